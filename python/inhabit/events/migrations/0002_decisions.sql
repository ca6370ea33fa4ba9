-- What was decided, why, and (later) what came of it.
-- probability and features are NULL once an event they rested on was forgotten.
CREATE TABLE decisions (
  id              INTEGER PRIMARY KEY,
  subject         TEXT    NOT NULL,
  at_us           INTEGER NOT NULL,
  utc_offset_s    INTEGER NOT NULL CHECK (utc_offset_s BETWEEN -86399 AND 86399),
  slot            INTEGER NOT NULL CHECK (slot >= 0),
  window_start_us INTEGER NOT NULL,
  window_end_us   INTEGER NOT NULL CHECK (window_end_us >= window_start_us),
  action          TEXT    NOT NULL,
  probability     REAL    CHECK (probability BETWEEN 0 AND 1),
  propensity      REAL    NOT NULL CHECK (propensity > 0 AND propensity <= 1),
  generation      INTEGER NOT NULL CHECK (generation >= 0),
  zone            TEXT    NOT NULL,
  reasons         TEXT    NOT NULL,
  features        BLOB,
  outcome         INTEGER CHECK (outcome IN (-1, 0, 1))
) STRICT;

CREATE INDEX decisions_by_time ON decisions (subject, at_us);
CREATE INDEX decisions_open ON decisions (subject, window_end_us) WHERE outcome IS NULL;
