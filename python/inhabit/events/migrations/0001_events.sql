-- One person's events. Names are stored once; an event holds their numbers.
-- AUTOINCREMENT: the number of a forgotten name is never given to another.
CREATE TABLE subjects (
  id   INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE kinds (
  id   INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL UNIQUE
) STRICT;

-- The primary key is the order in which events are read, so a look-back is one
-- short run of neighbouring rows per subject and kind, however old the log.
CREATE TABLE events (
  subject        INTEGER NOT NULL REFERENCES subjects (id),
  kind           INTEGER NOT NULL REFERENCES kinds (id),
  occurred_at_us INTEGER NOT NULL,
  recorded_at_us INTEGER NOT NULL CHECK (recorded_at_us >= occurred_at_us),
  id             TEXT    NOT NULL UNIQUE CHECK (id <> ''),
  utc_offset_s   INTEGER NOT NULL CHECK (utc_offset_s BETWEEN -86399 AND 86399),
  value          REAL,
  PRIMARY KEY (subject, kind, occurred_at_us, recorded_at_us, id)
) STRICT, WITHOUT ROWID;

-- The last event recorded before an instant tells the local time at that instant.
-- Few offsets, so the changes between them are a few look-ups (offsets.py).
CREATE INDEX events_by_offset ON events (utc_offset_s, recorded_at_us, occurred_at_us, id);
