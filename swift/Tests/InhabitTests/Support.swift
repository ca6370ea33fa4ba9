import Foundation
import XCTest
@testable import Inhabit

/// The root of the repository, where the vectors live that all four languages read.
let repository = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

/// A JSON file of `tests/vectors`.
func vectors<T: Decodable>(_ name: String, as type: T.Type = T.self) throws -> T {
    let url = repository.appendingPathComponent("tests/vectors/\(name)")
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    return try decoder.decode(T.self, from: Data(contentsOf: url))
}

extension XCTestCase {
    /// An empty folder that is gone when the test ends.
    func temporaryFolder() throws -> URL {
        let url = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
        addTeardownBlock { try? FileManager.default.removeItem(at: url) }
        return url
    }
}

/// An instant in March 2026, in UTC unless an offset is given.
func march(_ day: Int, _ hour: Int, _ minute: Int = 0, utcOffset: Int = 0) -> LocalInstant {
    let firstOfMarch: Int64 = 1_772_323_200
    let seconds = firstOfMarch + Int64((day - 1) * 86_400 + hour * 3600 + minute * 60 - utcOffset)
    return LocalInstant(microseconds: seconds * 1_000_000, utcOffset: utcOffset)
}

/// The error that `body` throws, if it is one of ours.
func failure(_ body: () throws -> Void) -> InhabitError? {
    do { try body() } catch { return error as? InhabitError }
    return nil
}

/// A seeded generator, so that every run of a test sees the same numbers.
struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}

/// A decision to wait, and nothing that it would have rested on.
func decision(about subject: String, at: Int64) -> StoredDecision {
    let decision = Decision(
        action: .wait, probability: 0.5, reasons: [], propensity: 1, generation: 0, zone: .middle,
        at: LocalInstant(microseconds: at, utcOffset: 0))
    return StoredDecision(
        subject: subject, decision: decision, slot: 0, windowStart: at, windowEnd: at + 1, features: [])
}

extension Samples {
    /// What all events of one person make, read at once: the plain way, for comparison.
    ///
    /// Without an instant the log is finished: up to the last moment whose window begins no later than its end.
    init(events all: [UserEvent], decided: Int64?, target: Target, schedule: Schedule, before now: Int64?) {
        let events = now.map { now in all.filter { $0.recordedAt < now } } ?? all
        let clock = LocalClock(of: events)
        var own = events.filter { $0.subject == target.subject }.map {
            Beginning(occurredAt: $0.occurredAt.microseconds, recordedAt: $0.recordedAt)
        }
        if let decided, decided < now ?? never, let told = events.map(\.recordedAt).min() {
            own.append(Beginning(occurredAt: max(decided, told), recordedAt: max(decided, told)))
        }
        let (first, begun) = (own.map(\.occurredAt).min() ?? 0, own.map(\.recordedAt).min() ?? never)
        let concerning = events.filter { $0.subject == target.subject || $0.subject.isEmpty }
        let last = max(concerning.map(\.recordedAt).max() ?? 0, own.map(\.recordedAt).min() ?? 0)
        let days = schedule.days(window: target.window, from: first, to: max(now ?? last, first))
        let windows = schedule.moments(on: clock, window: target.window, days: days)
        let moments = windows.filter { moment in
            let isBefore = now.map { moment.at.microseconds < $0 } ?? (moment.windowStart <= last)
            return moment.windowEnd > begun && isBefore
        }
        var began: [Beginning] = []
        for known in own.sorted(by: { $0.recordedAt < $1.recordedAt }) {
            let earliest = min(known.occurredAt, began.last?.occurredAt ?? never)
            began.append(Beginning(occurredAt: earliest, recordedAt: known.recordedAt))
        }
        let history = History(events: events, target: target, windows: windows, began: began)
        let end = (events.map(\.recordedAt).max() ?? -1) + 1
        self.init(moments, history: history, before: now ?? end)
    }
}
