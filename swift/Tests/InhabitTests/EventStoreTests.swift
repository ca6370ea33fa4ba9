import XCTest
@testable import Inhabit

/// The laws of a store; both implementations obey them.
class EventStoreLaws: XCTestCase {
    func makeStore() throws -> any EventStore { InMemoryEventStore() }

    func testReturnsEventsInOrderAndByQuery() throws {
        let store = try makeStore()
        let late = try event(.habitCompleted, 3, subject: "run")
        let early = try event(.appOpened, 1)
        let middle = try event(.habitCompleted, 2, subject: "read", recordedOn: 9)
        XCTAssertEqual(try store.append([late, early, middle]), 3)
        XCTAssertEqual(try store.events(EventQuery()), [early, middle, late])
        XCTAssertEqual(try store.events(EventQuery(subject: "run")), [early, late])
        XCTAssertEqual(try store.subjects(), ["read", "run"])

        var query = EventQuery(subject: "read")
        query.exactSubject = true
        XCTAssertEqual(try store.events(query), [middle])
        query = EventQuery()
        query.types = [.habitCompleted]
        query.since = march(2, 0).microseconds
        query.until = march(3, 0).microseconds
        XCTAssertEqual(try store.events(query), [middle])
        query = EventQuery()
        query.recordedBefore = march(9, 0).microseconds
        XCTAssertEqual(try store.events(query), [early, late], "the middle one was recorded on the 9th")
    }

    func testTheSameFactTwiceIsOneEvent() throws {
        let store = try makeStore()
        let done = try event(.habitCompleted, 1, subject: "run")
        XCTAssertEqual(try store.append([done, done]), 1)
        XCTAssertEqual(try store.append([done]), 0)
        XCTAssertEqual(try store.events(EventQuery()).count, 1)
    }

    func testAnIdNeverStandsForAnotherEventAndNothingIsKept() throws {
        let store = try makeStore()
        let one = try UserEvent(type: .habitCompleted, occurredAt: march(1, 8), id: "a")
        let other = try UserEvent(type: .habitSkipped, occurredAt: march(1, 8), id: "a")
        let new = try event(.appOpened, 2)
        try store.append([one])
        XCTAssertEqual(failure { try store.append([new, other]) }, .otherEvent("a"))
        XCTAssertEqual(try store.events(EventQuery()), [one])
    }

    func testDecisionsComeBackWhole() throws {
        let store = try makeStore()
        let stored = decision(about: "run", at: march(4, 18, utcOffset: 3600))
        try store.append(stored)
        try store.append(decision(about: "read", at: march(4, 18)))
        let found = try XCTUnwrap(store.decisions(subject: "run", since: march(4, 0).microseconds).first)
        XCTAssertEqual(found.decision, stored.decision)
        XCTAssertEqual(found.features, stored.features)
        XCTAssertEqual([found.windowStart, found.windowEnd], [stored.windowStart, stored.windowEnd])
        XCTAssertEqual(found.slot, stored.slot)
        XCTAssertNil(found.outcome)
        XCTAssertEqual(try store.decisions(subject: "run", since: march(5, 0).microseconds), [])
    }

    func testForgettingARangeTakesItsDecisionsAndBlanksThoseThatKnew() throws {
        let store = try makeStore()
        let doomed = try event(.habitCompleted, 2, subject: "run")
        let kept = try event(.habitCompleted, 1, subject: "run")
        try store.append([doomed, kept])
        for (day, subject) in [(1, "run"), (2, "run"), (4, "run"), (4, "read")] {
            try store.append(decision(about: subject, at: march(day, 18)))
        }
        let all = try store.decisions(subject: "run", since: .min)
        XCTAssertEqual(try store.setOutcomes([all[0].id!: .positive, all[2].id!: .negative]), 2)
        XCTAssertEqual(try store.setOutcomes([all[0].id!: .negative]), 0, "what is joined stays")

        var query = EventQuery(subject: "run")
        query.exactSubject = true
        (query.since, query.until) = (march(2, 0).microseconds, march(3, 0).microseconds)
        XCTAssertEqual(try store.forget(query), 1)
        XCTAssertEqual(try store.events(EventQuery()), [kept])
        let left = try store.decisions(subject: "run", since: .min)
        XCTAssertEqual(left.map(\.id), [all[0].id, all[2].id], "the day's decision is gone")
        XCTAssertEqual(left[0].decision, all[0].decision)
        XCTAssertEqual(left[0].outcome, .positive)
        // That of the 4th still says what was done, but not why; and what came of it is open again.
        XCTAssertEqual(left[1].decision.action, all[2].decision.action)
        XCTAssertEqual(left[1].decision.probability, 0)
        XCTAssertEqual(left[1].decision.reasons, [])
        XCTAssertEqual(left[1].features, [])
        XCTAssertNil(left[1].outcome)
        let other = try XCTUnwrap(store.decisions(subject: "read", since: .min).first)
        XCTAssertEqual(other.decision.probability, 0.25, "of another subject's event it knew nothing")
        XCTAssertEqual(try store.decisions(subject: "run", since: .min, openOnly: true).map(\.id), [all[2].id])
    }

    func testForgettingEverythingTakesEverything() throws {
        let store = try makeStore()
        try store.append([try event(.habitCompleted, 2, subject: "run")])
        try store.append(decision(about: "run", at: march(1, 18)))
        try store.setMeta("last_training:run", "yesterday")
        XCTAssertEqual(try store.forget(EventQuery()), 1)
        XCTAssertEqual(try store.decisions(subject: "run", since: .min), [])
        XCTAssertNil(try store.meta("last_training:run"))
    }

    func testTellsHowTheClockChanged() throws {
        let store = try makeStore()
        var generator = SplitMix(state: 7)
        let offsets = [0, 3600, 7200, -18_000]
        let events = try (0..<300).map { index in
            let at = march(1 + Int(generator.next() % 28), Int(generator.next() % 3))
            let offset = offsets[Int(generator.next() % 4)]
            let later = Int64(generator.next() % 2) * 3_600_000_000
            let instant = LocalInstant(microseconds: at.microseconds, utcOffset: offset)
            return try UserEvent(
                type: .appOpened, occurredAt: instant, recordedAt: at.microseconds + later, id: "\(index)")
        }
        try store.append(events)
        for day in [2, 5, 20, 30] {
            let end = march(day, 1).microseconds
            let known = LocalClock(of: events.sorted(by: UserEvent.inOrder).filter { $0.recordedAt < end })
            let since = march(day - 2, 0).microseconds
            let found = LocalClock(changes: try store.offsetChanges(since: since, before: end))
            for hour in stride(from: since, to: end, by: 1_800_000_000) {
                XCTAssertEqual(found.offset(at: hour), known.offset(at: hour))
            }
        }
    }

    func testKeepsTheFirstTextOfAKeyUnlessItIsReplaced() throws {
        let store = try makeStore()
        XCTAssertNil(try store.meta("salt"))
        XCTAssertEqual(try store.meta("salt", orSet: "a"), "a")
        XCTAssertEqual(try store.meta("salt", orSet: "b"), "a")
        XCTAssertEqual(try store.meta("salt"), "a")
        try store.setMeta("salt", "c")
        try store.setMeta("pepper", "d")
        XCTAssertEqual([try store.meta("salt"), try store.meta("pepper")], ["c", "d"])
        try store.setMeta("salt", nil)
        XCTAssertNil(try store.meta("salt"))
    }

    func testKnowsWhatASubjectBeganWith() throws {
        let store = try makeStore()
        try store.append(decision(about: "run", at: march(1, 8)))
        XCTAssertNil(try store.beginning(of: "run", recordedBefore: never), "nobody knows the local time")
        try store.append([
            try event(.appOpened, 2), try event(.habitCompleted, 6, subject: "write"),
            try event(.habitCompleted, 5, subject: "read"),
            try event(.habitCompleted, 3, subject: "read", recordedOn: 9),
        ])
        try store.append(decision(about: "write", at: march(4, 8)))
        try store.append(decision(about: "write", at: march(3, 8)))
        func begins(_ subject: String, _ day: Int) throws -> [Int64?] {
            let found = try store.beginning(of: subject, recordedBefore: march(day, 12).microseconds)
            return [found?.occurredAt, found?.recordedAt]
        }
        let instant = { march($0, $1).microseconds }
        XCTAssertEqual(try begins("read", 4), [nil, nil])
        XCTAssertEqual(try begins("read", 8), [instant(5, 8), instant(5, 8)])
        XCTAssertEqual(try begins("read", 9), [instant(3, 8), instant(9, 0)])
        XCTAssertEqual(try begins("write", 2), [nil, nil])
        XCTAssertEqual(try begins("write", 9), [instant(3, 8), instant(3, 8)])
        XCTAssertEqual(try begins("run", 1), [nil, nil])
        XCTAssertEqual(try begins("run", 9), [instant(2, 8), instant(2, 8)])
    }

    func testMayBeSharedBetweenThreads() throws {
        let store = try makeStore()
        let events = try (0..<64).map { try event(.appOpened, $0 % 28 + 1, hour: $0 / 28) }
        DispatchQueue.concurrentPerform(iterations: 64) { index in
            _ = try? store.append([events[index]])
            store.releaseLocks()
        }
        XCTAssertEqual(try store.events(EventQuery()), events.sorted(by: UserEvent.inOrder))
    }

    private func event(
        _ type: EventType, _ day: Int, hour: Int = 8, subject: String = "", recordedOn recorded: Int? = nil
    ) throws -> UserEvent {
        try UserEvent(
            type: type, subject: subject, occurredAt: march(day, hour),
            recordedAt: recorded.map { march($0, 0).microseconds })
    }

    private func decision(about subject: String, at: LocalInstant) -> StoredDecision {
        let decision = Decision(
            action: .remind, probability: 0.25, reasons: ["25 % likely, below 40 %"], propensity: 0.9,
            generation: 3, zone: .low, at: at)
        return StoredDecision(
            subject: subject, decision: decision, slot: 1, windowStart: at.microseconds,
            windowEnd: at.microseconds + 1, features: [0.5, 0.1])
    }
}

final class SQLiteEventStoreTests: EventStoreLaws {
    override func makeStore() throws -> any EventStore { try SQLiteEventStore(url: makeURL()) }

    private func makeURL() throws -> URL {
        try temporaryFolder().appendingPathComponent("deep/events.sqlite")
    }

    func testTheSchemaIsThatOfPython() throws {
        for (version, name) in ["0001_events", "0002_decisions", "0003_meta"].enumerated() {
            let file = repository.appendingPathComponent("python/inhabit/events/migrations/\(name).sql")
            XCTAssertEqual(EventSchema.migrations[version], try String(contentsOf: file, encoding: .utf8), name)
        }
        let folder = repository.appendingPathComponent("python/inhabit/events/migrations")
        let files = try FileManager.default.contentsOfDirectory(atPath: folder.path)
        XCTAssertEqual(files.filter { $0.hasSuffix(".sql") }.count, EventSchema.migrations.count)
    }

    func testAnOlderSQLiteMakesTheSameTables() throws {
        let connection = try SQLiteConnection(path: ":memory:", timeoutMilliseconds: 0)
        try EventSchema.migrate(connection, strict: false)
        let tables = try connection.run("SELECT sql FROM sqlite_master WHERE sql LIKE '%STRICT%'")
        XCTAssertEqual(tables.count, 0)
        XCTAssertEqual(try connection.integer("PRAGMA user_version"), Int64(EventSchema.migrations.count))
    }

    func testAcknowledgedEventsAreThereAfterReopening() throws {
        let url = try makeURL()
        let done = try UserEvent(
            type: "coffee", subject: "wörk ☕️", occurredAt: march(1, 8, utcOffset: -12_600), value: 0.1)
        try SQLiteEventStore(url: url).append([done])
        XCTAssertEqual(try SQLiteEventStore(url: url).events(EventQuery()), [done])
    }

    func testHoldsNoLockAfterReleasing() throws {
        let url = try makeURL()
        let store = try SQLiteEventStore(url: url)
        try store.append([try UserEvent(type: .appOpened, occurredAt: march(1, 8))])
        let other = try SQLiteConnection(path: url.path, timeoutMilliseconds: 0)
        // Leaving WAL mode needs the file for oneself: any open connection of the store forbids it.
        XCTAssertNotNil(failure { try other.run("PRAGMA journal_mode = DELETE") })
        store.releaseLocks()
        XCTAssertEqual(try other.run("PRAGMA journal_mode = DELETE"), [[.text("delete")]])
        XCTAssertEqual(try store.events(EventQuery()).count, 1, "the next call opens the file again")
    }

    func testForgottenBytesAreNowhereInTheFiles() throws {
        let url = try makeURL()
        let store = try SQLiteEventStore(url: url)
        let secret = "zzsecretzz"
        try store.append([try UserEvent(type: EventType(rawValue: secret), occurredAt: march(1, 8))])
        store.releaseLocks()
        XCTAssertTrue(try bytes(in: url.deletingLastPathComponent(), contain: secret))
        try store.forget(EventQuery())
        XCTAssertFalse(try bytes(in: url.deletingLastPathComponent(), contain: secret))
    }

    private func bytes(in folder: URL, contain text: String) throws -> Bool {
        let files = try FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)
        return try files.contains { try Data(contentsOf: $0).range(of: Data(text.utf8)) != nil }
    }

    func testReadsTheLogsThatPythonAndEarlierVersionsWrote() throws {
        let loop: LoopVectors = try vectors("loop.json")
        let person = try XCTUnwrap(loop.cases.first { $0.name == "clocks go back" })
        let logs = repository.appendingPathComponent("tests/vectors/logs")
        let files = try FileManager.default.contentsOfDirectory(atPath: logs.path).filter { $0.hasSuffix(".sqlite3") }
        XCTAssertGreaterThanOrEqual(files.count, 2)
        for file in files {
            let url = try temporaryFolder().appendingPathComponent(file)
            try Data(contentsOf: logs.appendingPathComponent(file)).write(to: url)
            let store = try SQLiteEventStore(url: url)
            let expected = try person.question().events
            XCTAssertEqual(try store.events(EventQuery()), expected, file)
            let decision = try XCTUnwrap(store.decisions(subject: "meditate", since: 0).first)
            XCTAssertEqual(decision.decision.action, .remind, file)
            XCTAssertEqual(decision.decision.reasons, ["25 % likely, below 40 %"], file)
            XCTAssertEqual(decision.features, [0.5, 0.1], file)
            XCTAssertEqual(decision.decision.at, expected.last?.occurredAt, file)
        }
    }

    func testRefusesWhatIsNoEventLog() throws {
        let url = try temporaryFolder().appendingPathComponent("other.sqlite")
        do {
            let other = try SQLiteConnection(path: url.path, timeoutMilliseconds: 0)
            try other.run("CREATE TABLE notes (text TEXT)")
        }
        XCTAssertThrowsError(try SQLiteEventStore(url: url)) {
            XCTAssertTrue("\($0)".contains("not an event log"), "\($0)")
        }
        try Data("not a database at all, but long enough to be looked at".utf8).write(to: url)
        XCTAssertThrowsError(try SQLiteEventStore(url: url))
    }

    func testRefusesAFileOfANewerVersion() throws {
        let url = try makeURL()
        _ = try SQLiteEventStore(url: url)
        try SQLiteConnection(path: url.path, timeoutMilliseconds: 0).run("PRAGMA user_version = 99")
        XCTAssertThrowsError(try SQLiteEventStore(url: url)) {
            XCTAssertTrue("\($0)".contains("newer inhabit"), "\($0)")
        }
    }
}

final class UserEventTests: XCTestCase {
    func testRefusesWhatCannotBe() throws {
        let at = march(1, 8)
        func refuses(_ make: @autoclosure () throws -> UserEvent, line: UInt = #line) {
            XCTAssertThrowsError(try make(), line: line) { XCTAssertTrue($0 is InhabitError, line: line) }
        }
        refuses(try UserEvent(type: "", occurredAt: at))
        refuses(try UserEvent(type: "a\u{7f}", occurredAt: at))
        refuses(try UserEvent(type: .appOpened, subject: "line\nbreak", occurredAt: at))
        refuses(try UserEvent(type: .appOpened, subject: String(repeating: "x", count: 257), occurredAt: at))
        refuses(try UserEvent(type: .appOpened, occurredAt: at, recordedAt: at.microseconds - 1))
        refuses(try UserEvent(type: .appOpened, occurredAt: at, value: .nan))
        refuses(try UserEvent(type: .appOpened, occurredAt: at, id: ""))
        refuses(try UserEvent(type: .appOpened, occurredAt: LocalInstant(microseconds: 0, utcOffset: 90_000)))
    }

    func testIdsAreThoseOfPython() throws {
        let plain = try UserEvent(type: .habitCompleted, subject: "run", occurredAt: march(1, 8))
        XCTAssertEqual(plain.id, expectedIDs[0])
        for (value, id) in zip([2.5, -0.0, 1e16, 1e-5, 123_456_789.123, 1e300], expectedIDs.dropFirst()) {
            let event = try UserEvent(type: "weight", occurredAt: march(1, 8), value: value)
            XCTAssertEqual(event.id, id, "\(value)")
        }
    }

    func testSha256OfTheStandard() {
        XCTAssertEqual(
            sha256Hex(Array("abc".utf8)), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
        let long = [UInt8](repeating: UInt8(ascii: "a"), count: 1_000_000)
        XCTAssertEqual(
            sha256Hex(long), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0")
    }
}

// Printed by inhabit.events in Python for the same facts.
private let expectedIDs = [
    "6a295ab9af96ffe4ad3db262c9af486c",
    "226bba382ef99f3d2595f71f3c0a9d6b",
    "87a4daec6ade5772f92e0995f63e7972",
    "c04c2cb251ae822b09a3e5f4c398726d",
    "67ee95ccf79db2839868c068ab6ade49",
    "325d56580251dc9924372406e2f6cddf",
    "2a7872bb853c75c89d4294a8089d6293",
]
