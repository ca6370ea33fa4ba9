import Foundation

#if canImport(SQLite3)
    import SQLite3
#else
    import CSQLite
#endif

/// The schema of an event log: the very migrations of Python's `EventLog`, which a test compares.
enum EventSchema {
    /// "inhb": tells our files from other SQLite databases.
    static let applicationID: Int64 = 0x696E_6862
    /// Strict tables came with SQLite 3.37; before, as on iOS 15, the same tables are made without the word.
    static let systemKnowsStrict = sqlite3_libversion_number() >= 3_037_000

    /// Refuses, before anything is written, a file that is not ours or too new for us.
    static func refuseForeign(_ connection: SQLiteConnection, path: String) throws {
        let identity = try connection.integer("PRAGMA application_id")
        let version = try connection.integer("PRAGMA user_version")
        let tables = try connection.integer("SELECT count(*) FROM sqlite_master")
        let isEmpty = identity == 0 && version == 0 && tables == 0
        guard identity == applicationID || isEmpty else {
            throw InhabitError.storage("\(path) is a SQLite database, but not an event log of inhabit")
        }
        guard version <= migrations.count else {
            throw InhabitError.storage(
                "\(path) was written by a newer inhabit (schema \(version), this one knows \(migrations.count))")
        }
    }

    static func configure(_ connection: SQLiteConnection) throws {
        let settings = [
            "journal_mode = WAL",  // readers do not wait for the writer
            "synchronous = FULL",  // every commit is synced: acknowledged means kept
            "fullfsync = ON",  // Apple systems: all the way to the disk, as fsync is elsewhere
            "checkpoint_fullfsync = ON",
            "secure_delete = ON",  // deleted content is overwritten with zeros
            "foreign_keys = ON",
            "temp_store = MEMORY",  // nothing personal in temporary files
            "trusted_schema = OFF",
        ]
        for setting in settings { try connection.run("PRAGMA \(setting)") }
    }

    /// Brings the schema up to date; each step commits together with its own number.
    static func migrate(_ connection: SQLiteConnection, strict: Bool = systemKnowsStrict) throws {
        while try connection.integer("PRAGMA user_version") < migrations.count {
            try connection.transaction {
                // Another process may have taken this step while we waited for the lock.
                let version = Int(try connection.integer("PRAGMA user_version"))
                guard version < migrations.count else { return }
                try connection.runScript(migration(version, strict: strict))
                try connection.run("PRAGMA application_id = \(applicationID)")
                try connection.run("PRAGMA user_version = \(version + 1)")
            }
        }
    }

    static func migration(_ version: Int, strict: Bool) -> String {
        let script = migrations[version]
        guard !strict else { return script }
        return script.replacingOccurrences(of: ") STRICT, WITHOUT ROWID", with: ") WITHOUT ROWID")
            .replacingOccurrences(of: ") STRICT", with: ")")
    }

    static let migrations = [
        """
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

        """,
        """
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

        """,
        """
        -- Small facts about the log and the schedule, such as the last training run.
        CREATE TABLE meta (
          key   TEXT PRIMARY KEY,
          value TEXT NOT NULL
        ) STRICT, WITHOUT ROWID;

        """,
    ]
}
