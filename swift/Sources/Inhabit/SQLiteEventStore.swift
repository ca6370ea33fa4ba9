import Foundation

/// Events in one SQLite file: the system's SQLite, and the same file that Python's `EventLog` reads and writes.
///
/// When a call that writes returns, what it wrote is on the disk. No statement and no transaction outlives a
/// call; ``releaseLocks()`` closes the connection too, and the next call opens it again.
public final class SQLiteEventStore: EventStore, @unchecked Sendable {
    /// The file.
    public let url: URL

    private let lock = NSLock()
    private var connection: SQLiteConnection?
    private let busyTimeoutMilliseconds: Int32 = 5000

    /// Opens the log in a file, and makes both if they are not there.
    ///
    /// - Throws: ``InhabitError/storage(_:)`` if the file cannot be opened, is no event log, or is of a newer version.
    public init(url: URL) throws {
        self.url = url
        try lock.withLock { _ = try open() }
    }

    @discardableResult
    public func append(_ events: [UserEvent]) throws -> Int {
        try withConnection { connection in
            try connection.transaction {
                var added = 0
                for event in events {
                    if try insert(event, into: connection) { added += 1 }
                }
                return added
            }
        }
    }

    /// Whether the event is new.
    private func insert(_ event: UserEvent, into connection: SQLiteConnection) throws -> Bool {
        let subject = try number(of: event.subject, in: "subjects", connection)
        let type = try number(of: event.type.rawValue, in: "kinds", connection)
        let before = connection.totalChanges
        try connection.run(
            """
            INSERT INTO events (id, subject, kind, occurred_at_us, utc_offset_s, recorded_at_us, value)
            VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING
            """,
            [
                .text(event.id), subject, type, .integer(event.occurredAt.microseconds),
                .integer(Int64(event.occurredAt.utcOffset)), .integer(event.recordedAt), .optional(event.value),
            ])
        guard connection.totalChanges == before else { return true }
        let same = try connection.integer(
            "SELECT (subject, kind, occurred_at_us, value) IS (?, ?, ?, ?) FROM events WHERE id = ?",
            [
                subject, type, .integer(event.occurredAt.microseconds), .optional(event.value), .text(event.id),
            ])
        guard same == 1 else { throw InhabitError.otherEvent(event.id) }
        return false
    }

    /// The number that stands for a name; a name seen for the first time is stored.
    private func number(
        of name: String, in table: String, _ connection: SQLiteConnection
    ) throws -> SQLiteConnection.Value {
        try connection.run("INSERT INTO \(table) (name) VALUES (?) ON CONFLICT DO NOTHING", [.text(name)])
        return .integer(try connection.integer("SELECT id FROM \(table) WHERE name = ?", [.text(name)]))
    }

    public func events(_ query: EventQuery) throws -> [UserEvent] {
        let condition = Condition(query)
        let rows = try withConnection {
            try $0.run(
                """
                SELECT events.id, s.name, k.name, occurred_at_us, utc_offset_s, recorded_at_us, value
                FROM \(condition.sql) ORDER BY occurred_at_us, recorded_at_us, events.id
                """, condition.parameters)
        }
        return try rows.map(Self.event)
    }

    private static func event(_ row: [SQLiteConnection.Value]) throws -> UserEvent {
        let occurredAt = LocalInstant(microseconds: row[3].integer, utcOffset: Int(row[4].integer))
        return try UserEvent(
            type: EventType(rawValue: row[2].text), subject: row[1].text, occurredAt: occurredAt,
            recordedAt: row[5].integer, value: row[6].real, id: row[0].text)
    }

    public func beginning(of subject: String, recordedBefore: Int64) throws -> Beginning? {
        let rows = try withConnection {
            // The first event of each type, by index; then the first of those and of the decisions.
            try $0.run(
                """
                WITH RECURSIVE firsts AS (
                  SELECT (
                    SELECT id FROM events
                    WHERE subject = s.id AND kind = k.id AND occurred_at_us < ?1 AND recorded_at_us < ?1
                    ORDER BY occurred_at_us, recorded_at_us, id LIMIT 1) AS id
                  FROM subjects s CROSS JOIN kinds k WHERE s.name = ?2
                ), decided AS (
                  SELECT at_us FROM decisions WHERE subject = ?2 AND at_us < ?1 ORDER BY at_us LIMIT 1
                ), offsets(utc_offset_s) AS (
                  SELECT min(utc_offset_s) FROM events
                  UNION ALL
                  SELECT (SELECT min(e.utc_offset_s) FROM events e WHERE e.utc_offset_s > offsets.utc_offset_s)
                  FROM offsets WHERE offsets.utc_offset_s IS NOT NULL
                ), told(at_us) AS (
                  SELECT min((SELECT min(recorded_at_us) FROM events e WHERE e.utc_offset_s = o.utc_offset_s))
                  FROM offsets o
                )
                SELECT occurred_at_us, recorded_at_us FROM firsts CROSS JOIN events USING (id)
                UNION ALL
                SELECT max(decided.at_us, told.at_us), max(decided.at_us, told.at_us)
                FROM decided CROSS JOIN told WHERE told.at_us < ?1
                ORDER BY 1, 2 LIMIT 1
                """, [.integer(recordedBefore), .text(subject)])
        }
        return rows.first.map { Beginning(occurredAt: $0[0].integer, recordedAt: $0[1].integer) }
    }

    public func offsetChanges(since: Int64, before end: Int64) throws -> [LocalInstant] {
        try withConnection { try OffsetRuns($0).changes(since: since, before: end) }
    }

    public func meta(_ key: String) throws -> String? {
        let rows = try withConnection { try $0.run("SELECT value FROM meta WHERE key = ?", [.text(key)]) }
        return rows.first?.first?.text
    }

    public func meta(_ key: String, orSet value: String) throws -> String {
        try withConnection {
            let sql = "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT DO NOTHING"
            try $0.run(sql, [.text(key), .text(value)])
            return try $0.run("SELECT value FROM meta WHERE key = ?", [.text(key)]).first?.first?.text ?? value
        }
    }

    public func setMeta(_ key: String, _ value: String?) throws {
        _ = try withConnection {
            guard let value else { return try $0.run("DELETE FROM meta WHERE key = ?", [.text(key)]) }
            let sql = "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value"
            return try $0.run(sql, [.text(key), .text(value)])
        }
    }

    public func subjects() throws -> [String] {
        let rows = try withConnection { try $0.run("SELECT name FROM subjects WHERE name <> '' ORDER BY name") }
        return rows.compactMap { $0.first?.text }
    }

    public func append(_ stored: StoredDecision) throws {
        let decision = stored.decision
        let reasons = try JSONEncoder().encode(decision.reasons)
        let features = stored.features.flatMap { feature in
            withUnsafeBytes(of: feature.bitPattern.littleEndian, Array.init)
        }
        _ = try withConnection { connection in
            try connection.run(
                """
                INSERT INTO decisions (subject, at_us, utc_offset_s, slot, window_start_us, window_end_us, action,
                probability, propensity, generation, reasons, features, zone)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                """,
                [
                    .text(stored.subject), .integer(decision.at.microseconds),
                    .integer(Int64(decision.at.utcOffset)), .integer(Int64(stored.slot)),
                    .integer(stored.windowStart), .integer(stored.windowEnd), .text(decision.action.rawValue),
                    .real(decision.probability), .real(decision.propensity),
                    .integer(Int64(decision.generation)), .text(String(decoding: reasons, as: UTF8.self)),
                    .blob(features), .text(decision.zone.rawValue),
                ])
        }
    }

    public func decisions(subject: String, since: Int64, openOnly: Bool) throws -> [StoredDecision] {
        let rows = try withConnection {
            try $0.run(
                """
                SELECT at_us, utc_offset_s, slot, window_start_us, window_end_us, action, probability, propensity,
                generation, reasons, features, zone, id, outcome
                FROM decisions WHERE subject = ? AND at_us >= ? \(openOnly ? "AND outcome IS NULL" : "")
                ORDER BY at_us, id
                """, [.text(subject), .integer(since)])
        }
        return try rows.map { try Self.decision(subject, $0) }
    }

    @discardableResult
    public func setOutcomes(_ outcomes: [Int64: Label]) throws -> Int {
        try withConnection { connection in
            try connection.transaction {
                let before = connection.totalChanges
                for (id, outcome) in outcomes {
                    try connection.run(
                        "UPDATE decisions SET outcome = ? WHERE id = ? AND outcome IS NULL",
                        [.integer(Int64(outcome.rawValue)), .integer(id)])
                }
                return Int(connection.totalChanges - before)
            }
        }
    }

    private static func decision(_ subject: String, _ row: [SQLiteConnection.Value]) throws -> StoredDecision {
        let action = Decision.Action(rawValue: row[5].text)
        guard let action, let zone = Decision.Zone(rawValue: row[11].text) else {
            throw InhabitError.storage("a decision of an unknown kind: \(row[5].text), \(row[11].text)")
        }
        let decision = Decision(
            action: action, probability: row[6].real ?? 0,
            reasons: try JSONDecoder().decode([String].self, from: Data(row[9].text.utf8)),
            propensity: row[7].real ?? 1, generation: Int(row[8].integer), zone: zone,
            at: LocalInstant(microseconds: row[0].integer, utcOffset: Int(row[1].integer)))
        let bytes = row[10].bytes
        let features = stride(from: 0, to: bytes.count & ~3, by: 4).map { start in
            let bits = (0..<4).reduce(UInt32(0)) { $0 | UInt32(bytes[start + $1]) << (8 * UInt32($1)) }
            return Float(bitPattern: bits)
        }
        var stored = StoredDecision(
            subject: subject, decision: decision, slot: Int(row[2].integer), windowStart: row[3].integer,
            windowEnd: row[4].integer, features: features)
        stored.id = row[12].integer
        if case let .integer(outcome) = row[13] { stored.outcome = Label(rawValue: Int8(outcome)) }
        return stored
    }

    @discardableResult
    public func forget(_ query: EventQuery) throws -> Int {
        let condition = Condition(query)
        return try withConnection { connection in
            let gone = try connection.transaction {
                try connection.run("CREATE TEMP TABLE IF NOT EXISTS doomed (id TEXT PRIMARY KEY)")
                try connection.run("DELETE FROM doomed")
                try connection.run("INSERT INTO doomed SELECT events.id FROM \(condition.sql)", condition.parameters)
                let gone = try connection.integer("SELECT count(*) FROM doomed")
                if query.isRange { try forgetDecisions(query, in: connection) }
                for statement in Self.forgetDoomed { try connection.run(statement) }
                if query == EventQuery() { try connection.run("DELETE FROM meta") }
                return Int(gone)
            }
            // Freed pages and the write-ahead log would still hold the bytes.
            try connection.run("VACUUM")
            try connection.run("PRAGMA wal_checkpoint(TRUNCATE)")
            return gone
        }
    }

    /// Deletes the decisions about the subject in the range of time.
    private func forgetDecisions(_ query: EventQuery, in connection: SQLiteConnection) throws {
        try connection.run(
            """
            DELETE FROM decisions WHERE subject = coalesce(?, subject)
            AND at_us >= coalesce(?, at_us) AND at_us < coalesce(?, at_us + 1)
            """, [.optional(query.subject), .optional(query.since), .optional(query.until)])
    }

    /// Deletes doomed events, blanks the decisions that may rest on one, opens the outcomes that one may have decided.
    private static let forgetDoomed = [
        """
        UPDATE decisions SET probability = NULL, features = NULL, reasons = '[]' WHERE at_us >= (
          SELECT min(recorded_at_us) FROM doomed JOIN events USING (id) JOIN subjects s ON s.id = events.subject
          WHERE s.name IN ('', decisions.subject))
        """,
        """
        UPDATE decisions SET outcome = NULL WHERE window_end_us > (
          SELECT min(occurred_at_us) FROM doomed JOIN events USING (id) JOIN subjects s ON s.id = events.subject
          WHERE s.name IN ('', decisions.subject))
        """,
        "DELETE FROM events WHERE id IN (SELECT id FROM doomed)",
        "DROP TABLE doomed",
        "DELETE FROM subjects WHERE id NOT IN (SELECT subject FROM events)",
        "DELETE FROM kinds WHERE id NOT IN (SELECT kind FROM events)",
    ]

    public func releaseLocks() {
        lock.withLock { connection = nil }
    }

    private func withConnection<T>(_ body: (SQLiteConnection) throws -> T) throws -> T {
        try lock.withLock { try body(open()) }
    }

    /// The connection, opened if need be. The caller holds the lock.
    private func open() throws -> SQLiteConnection {
        if let connection { return connection }
        try makeFile()
        let opened = try SQLiteConnection(path: url.path, timeoutMilliseconds: busyTimeoutMilliseconds)
        try EventSchema.refuseForeign(opened, path: url.path)
        try EventSchema.configure(opened)
        try EventSchema.migrate(opened)
        connection = opened
        return opened
    }

    /// Makes the file for its owner only, readable while the device is locked: training runs then.
    private func makeFile() throws {
        let files = FileManager.default
        do {
            try files.createDirectory(at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
        } catch {
            throw InhabitError.storage("\(url.path): \(error.localizedDescription)")
        }
        guard !files.fileExists(atPath: url.path) else { return }
        var attributes: [FileAttributeKey: Any] = [.posixPermissions: 0o600]
        #if os(iOS)
            attributes[.protectionKey] = FileProtectionType.completeUntilFirstUserAuthentication
        #endif
        guard files.createFile(atPath: url.path, contents: nil, attributes: attributes) else {
            throw InhabitError.storage("\(url.path): the file cannot be made: look at its path and permissions")
        }
    }
}

/// FROM and WHERE of a query over events, with its parameters.
///
/// CROSS JOIN fixes the order of the loops: the few subjects and types outside, then one index range of
/// events for each pair.
private struct Condition {
    let sql: String
    let parameters: [SQLiteConnection.Value]

    init(_ query: EventQuery) {
        var conditions: [String] = []
        var parameters: [SQLiteConnection.Value] = []
        if let subject = query.subject {
            conditions.append(query.exactSubject ? "s.name = ?" : "s.name IN ('', ?)")
            parameters.append(.text(subject))
        }
        if let types = query.types {
            conditions.append("k.name IN (\(types.map { _ in "?" }.joined(separator: ", ")))")
            parameters += types.map { .text($0.rawValue) }
        }
        // What is recorded by then has occurred by then: an end for the index range.
        let until = [query.until, query.recordedBefore].compactMap { $0 }.min()
        let limits: [(String, Int64?)] = [
            ("recorded_at_us < ?", query.recordedBefore), ("occurred_at_us >= ?", query.since),
            ("occurred_at_us < ?", until),
        ]
        for case let (condition, limit?) in limits {
            conditions.append(condition)
            parameters.append(.integer(limit))
        }
        sql = """
            subjects s CROSS JOIN kinds k CROSS JOIN events ON events.subject = s.id AND events.kind = k.id
            WHERE \((conditions + ["TRUE"]).joined(separator: " AND "))
            """
        self.parameters = parameters
    }
}
