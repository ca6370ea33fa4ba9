import XCTest
@testable import Inhabit

/// From events to samples, the same bits as in Python: `tests/vectors/loop.json`.
final class LoopTests: XCTestCase {
    func testMomentsSamplesAndFeaturesAreThoseOfPython() throws {
        let loop: LoopVectors = try vectors("loop.json")
        XCTAssertEqual(loop.features, HabitFeatures.names)
        for vector in loop.cases {
            let (events, target, schedule) = try vector.question()
            let samples = Samples(
                events: events, decided: vector.decidedUs, target: target, schedule: schedule, before: nil)
            let moments = samples.moments
            XCTAssertEqual(moments.map(\.at.microseconds), vector.moments.atUs, vector.name)
            XCTAssertEqual(moments.map(\.at.utcOffset), vector.moments.utcOffsetS, vector.name)
            XCTAssertEqual(moments.map(\.slot), vector.moments.slot, vector.name)
            XCTAssertEqual(moments.map { $0.day + 719_163 }, vector.moments.day, vector.name)
            XCTAssertEqual(moments.map(\.dayStart), vector.moments.dayStartUs, vector.name)
            XCTAssertEqual(moments.map(\.windowStart), vector.moments.windowStartUs, vector.name)
            XCTAssertEqual(moments.map(\.windowEnd), vector.moments.windowEndUs, vector.name)
            XCTAssertEqual(samples.labels.map(\.rawValue), vector.samples.label, vector.name)
            XCTAssertEqual(samples.matured, vector.samples.matured, vector.name)
            XCTAssertEqual(samples.learnAt, vector.samples.learnAt, vector.name)
            XCTAssertEqual(samples.repeats, vector.samples.repeats, vector.name)
            XCTAssertEqual(samples.features.count, vector.samples.featureBits.count, vector.name)
            for (row, (features, bits)) in zip(samples.features, vector.samples.featureBits).enumerated() {
                for (index, (value, expected)) in zip(features.inputs, bits).enumerated() {
                    XCTAssertEqual(
                        value.bitPattern, expected, "\(vector.name), row \(row), \(HabitFeatures.names[index])")
                }
            }
        }
    }

    func testALiveLookGivesTheSameBits() throws {
        let loop: LoopVectors = try vectors("loop.json")
        let hour: Int64 = 3_600_000_000
        for vector in loop.cases {
            let (events, target, schedule) = try vector.question()
            let store = try vector.store(in: temporaryFolder())
            let samples = Samples(
                events: events, decided: vector.decidedUs, target: target, schedule: schedule, before: nil)
            for (moment, expected) in zip(samples.moments, samples.features) {
                let asOf = try History.live(store, target: target, schedule: schedule, now: moment.at)
                XCTAssertEqual(HabitFeatures(asOf), expected, "\(vector.name) at \(moment.at)")
                // Later in the window, the question is still that of its moment.
                var later = moment.at
                later.microseconds += (min(moment.windowEnd, moment.at.microseconds + hour) - 1 - later.microseconds)
                guard later.microseconds >= moment.windowStart else { continue }
                let again = try History.live(store, target: target, schedule: schedule, now: later)
                guard again.moment.at == moment.at else { continue }
                XCTAssertEqual(HabitFeatures(again), expected, "\(vector.name) at \(later)")
            }
        }
    }

    func testTheLastSamplesAreReadWithoutTheOthers() throws {
        let loop: LoopVectors = try vectors("loop.json")
        for vector in loop.cases {
            let (events, target, schedule) = try vector.question()
            let store = try vector.store(in: temporaryFolder())
            let times = events.map(\.recordedAt).sorted()
            for (then, now) in [(0, 5), (0, 2), (2, 3), (3, 4), (9, 10), (5, 10)] {
                let (then, now) = (times[(times.count - 1) * then / 10] + 7, times[(times.count - 1) * now / 10] + 7)
                func known(before end: Int64) -> Samples {
                    Samples(
                        events: events, decided: vector.decidedUs, target: target, schedule: schedule, before: end)
                }
                let (whole, earlier) = (known(before: now), known(before: then))
                let walked = earlier.walked(rows: earlier.moments.count)
                for (since, begin) in [
                    (nil, 0), (walked, whole.maturesAt.partitionIndex { $0 > walked?.last ?? .min }),
                ] {
                    let asked = try Asked(
                        of: store, target: target, schedule: schedule, before: now, since: since)
                    let (part, name) = (asked.samples, "\(vector.name), row \(begin) on, at \(now)")
                    XCTAssertEqual(part.moments, Array(whole.moments[begin...]), name)
                    XCTAssertEqual(part.features, Array(whole.features[begin...]), name)
                    XCTAssertEqual(part.labels, Array(whole.labels[begin...]), name)
                    XCTAssertEqual(part.maturesAt, Array(whole.maturesAt[begin...]), name)
                    XCTAssertEqual(part.matured, Array(whole.matured[begin...]), name)
                    XCTAssertEqual(part.repeats, Array(whole.repeats[begin...]), name)
                    XCTAssertEqual(part.learnAt, whole.learnAt[begin...].map { $0 - begin }, name)
                    XCTAssertGreaterThanOrEqual(asked.next, now)
                }
            }
        }
    }

    func testAnEventRecordedLaterChangesNoEarlierMoment() throws {
        let loop: LoopVectors = try vectors("loop.json")
        for vector in loop.cases {
            let (events, target, schedule) = try vector.question()
            let whole = Samples(
                events: events, decided: vector.decidedUs, target: target, schedule: schedule, before: nil)
            for end in [whole.moments.count / 3, whole.moments.count / 2] {
                let now = whole.moments[end].at.microseconds
                let part = Samples(
                    events: events, decided: vector.decidedUs, target: target, schedule: schedule, before: now)
                // Where a window ends may depend on a journey that lies ahead; when it is asked, never.
                XCTAssertEqual(part.moments.map(\.at), whole.moments[..<end].map(\.at), vector.name)
                XCTAssertEqual(part.features, Array(whole.features[..<end]), vector.name)
            }
        }
    }
}

struct LoopVectors: Decodable {
    let features: [String]
    let cases: [Case]

    struct Case: Decodable {
        let name: String
        let schedule: ScheduleVector
        let target: TargetVector
        let decidedUs: Int64?
        let events: [EventVector]
        let moments: MomentsVector
        let samples: SamplesVector
    }

    struct ScheduleVector: Decodable {
        let times: [String]
        let dayStart: String
    }

    struct TargetVector: Decodable {
        let kind: String
        let subject: String
        let window: String
        let missing: String
        let skipKind: String?
        let graceUs: Int64
        let once: Bool
    }

    struct MomentsVector: Decodable {
        let atUs: [Int64]
        let utcOffsetS: [Int]
        let slot: [Int]
        let day: [Int]
        let dayStartUs: [Int64]
        let windowStartUs: [Int64]
        let windowEndUs: [Int64]
    }

    struct SamplesVector: Decodable {
        let label: [Int8]
        let matured: [Bool]
        let learnAt: [Int]
        let repeats: [Bool]
        let featureBits: [[UInt32]]
    }

    /// A row of (id, subject, kind, occurred_at_us, utc_offset_s, recorded_at_us, value).
    struct EventVector: Decodable {
        let event: UserEvent

        init(from decoder: any Decoder) throws {
            var row = try decoder.unkeyedContainer()
            let id = try row.decode(String.self)
            let subject = try row.decode(String.self)
            let type = try row.decode(String.self)
            let at = try row.decode(Int64.self)
            let instant = LocalInstant(microseconds: at, utcOffset: try row.decode(Int.self))
            let recordedAt = try row.decode(Int64.self)
            let value = try row.decodeIfPresent(Double.self)
            event = try UserEvent(
                type: EventType(rawValue: type), subject: subject, occurredAt: instant, recordedAt: recordedAt,
                value: value)
            XCTAssertEqual(event.id, id, "the same fact has the same id in Swift")
        }
    }
}

extension LoopVectors.Case {
    func question() throws -> (events: [UserEvent], target: Target, schedule: Schedule) {
        var target = Target(subject: self.target.subject)
        target.type = EventType(rawValue: self.target.kind)
        target.window = try window(self.target.window)
        target.missing = try XCTUnwrap(Target.Missing(rawValue: self.target.missing))
        target.skipType = self.target.skipKind.map(EventType.init(rawValue:))
        target.grace = self.target.graceUs
        target.once = self.target.once
        let times = try self.schedule.times.map(clockTime)
        let schedule = try Schedule(times: times, dayStart: clockTime(self.schedule.dayStart))
        return (events.map(\.event).sorted(by: UserEvent.inOrder), target, schedule)
    }

    /// A log of the events, and of the decision.
    func store(in folder: URL) throws -> SQLiteEventStore {
        let store = try SQLiteEventStore(url: folder.appendingPathComponent("events.sqlite"))
        try store.append(events.map(\.event))
        if let decidedUs { try store.append(decision(about: target.subject, at: decidedUs)) }
        return store
    }

    private func window(_ name: String) throws -> Window {
        switch name {
        case "next-moment": return .nextMoment
        case "rest-of-day": return .restOfDay
        case "next-day": return .nextDay
        default: return .duration(microseconds: try XCTUnwrap(Int64(name.dropLast())) * 3_600_000_000)
        }
    }

    private func clockTime(_ text: String) throws -> ClockTime {
        let parts = text.split(separator: ":").compactMap { Int($0) }
        return try ClockTime(hour: parts[0], minute: parts[1])
    }
}
