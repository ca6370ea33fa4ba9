import Foundation

/// How the UTC offset of a log changed, found by index instead of by reading every event.
///
/// In the order (recorded, occurred, id) the log is a sequence of runs of one offset each. A person has few
/// offsets, and an index holds the events of each in that order, so the end of the run before is one look-up
/// per offset.
struct OffsetRuns {
    private typealias Place = [SQLiteConnection.Value]  // recorded, occurred, id

    private let connection: SQLiteConnection
    private let offsets: [Int64]

    init(_ connection: SQLiteConnection) throws {
        self.connection = connection
        let rows = try connection.run(
            """
            WITH RECURSIVE known(utc_offset_s) AS (
              SELECT min(utc_offset_s) FROM events
              UNION ALL
              SELECT (SELECT min(e.utc_offset_s) FROM events e WHERE e.utc_offset_s > known.utc_offset_s)
              FROM known WHERE known.utc_offset_s IS NOT NULL
            )
            SELECT utc_offset_s FROM known WHERE utc_offset_s IS NOT NULL
            """)
        offsets = rows.map { $0[0].integer }
    }

    /// Goes backward from `end`, run by run.
    func changes(since: Int64, before end: Int64) throws -> [LocalInstant] {
        var changes: [LocalInstant] = []
        var run = try lastRun(of: offsets, before: [.integer(end), .integer(.min), .text("")])
        while let (place, offset) = run {
            run = try lastRun(of: offsets.filter { $0 != offset }, before: place)
            let began = try begin(of: offset, after: run?.place)
            if changes.last?.utcOffset == Int(offset) {
                changes.removeLast()  // the run between them was over at the instant it began
            }
            if changes.last?.microseconds != began {  // of one instant, the last event counts
                changes.append(LocalInstant(microseconds: began, utcOffset: Int(offset)))
            }
            if began < since { break }
        }
        return changes.reversed()
    }

    /// The last event of these offsets before a place in the order, and its offset.
    private func lastRun(of offsets: [Int64], before place: Place) throws -> (place: Place, offset: Int64)? {
        var last: (place: Place, offset: Int64)?
        for offset in offsets {
            let rows = try connection.run(
                """
                SELECT recorded_at_us, occurred_at_us, id FROM events
                WHERE utc_offset_s = ? AND (recorded_at_us, occurred_at_us, id) < (?, ?, ?)
                ORDER BY recorded_at_us DESC, occurred_at_us DESC, id DESC LIMIT 1
                """, [.integer(offset)] + place)
            guard let found = rows.first else { continue }
            if last == nil || Self.precedes(last!.place, found) { last = (found, offset) }
        }
        return last
    }

    private func begin(of offset: Int64, after place: Place?) throws -> Int64 {
        try connection.integer(
            """
            SELECT recorded_at_us FROM events
            WHERE utc_offset_s = ? AND (recorded_at_us, occurred_at_us, id) > (?, ?, ?)
            ORDER BY recorded_at_us, occurred_at_us, id LIMIT 1
            """, [.integer(offset)] + (place ?? [.integer(.min), .integer(.min), .text("")]))
    }

    private static func precedes(_ a: Place, _ b: Place) -> Bool {
        if a[0].integer != b[0].integer { return a[0].integer < b[0].integer }
        if a[1].integer != b[1].integer { return a[1].integer < b[1].integer }
        return a[2].text.utf8.lexicographicallyPrecedes(b[2].text.utf8)
    }
}
