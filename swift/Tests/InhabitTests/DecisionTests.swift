import XCTest
@testable import Inhabit

final class DecisionTests: XCTestCase {
    func testDecisionsAreThoseOfPython() throws {
        let vectors: DecisionVectors = try vectors("decisions.json")
        XCTAssertFalse(vectors.cases.isEmpty)
        for (index, vector) in vectors.cases.enumerated() {
            let decision = try vector.policy.policy().decide(vector.state.state())
            XCTAssertEqual(decision.action.rawValue, vector.decision.action, "case \(index)")
            XCTAssertEqual(decision.reasons, vector.decision.reasons, "case \(index)")
            XCTAssertEqual(decision.propensity, vector.decision.propensity, "case \(index)")
            XCTAssertEqual(decision.zone.rawValue, vector.decision.zone, "case \(index)")
        }
    }

    func testRefusesSettingsOutsideTheirRange() throws {
        func refuses(_ change: (inout DecisionPolicy) -> Void, line: UInt = #line) {
            var policy = DecisionPolicy()
            change(&policy)
            XCTAssertThrowsError(try policy.decide(PolicyState(now: march(1, 12), probability: 0.5)), line: line)
        }
        refuses { $0.remindBelow = 0.9 }
        refuses { $0.remindBelow = .nan }
        refuses { $0.hysteresis = 0.3 }
        refuses { $0.explore = 0.6 }
        refuses { $0.maxPerDay = -1 }
        refuses { $0.minimumGap = -.infinity }
        refuses { $0.quietHours = .init(from: .dayStart, to: .dayStart) }
    }

    func testRefusesWhatIsNoProbability() {
        for probability in [Double.nan, .infinity, -0.01, 1.01] {
            let state = PolicyState(now: march(1, 12), probability: probability)
            XCTAssertThrowsError(try DecisionPolicy().decide(state))
        }
    }
}

private struct DecisionVectors: Decodable {
    let cases: [Case]

    struct Case: Decodable {
        let policy: PolicyVector
        let state: StateVector
        let decision: DecisionVector
    }

    struct PolicyVector: Decodable {
        let remindBelow: Double
        let suppressAbove: Double
        let hysteresis: Double
        let quietHours: [Int]?
        let maxPerDay: Int
        let minimumGapS: Double
        let dayStart: Int
        let explore: Double
        let seed: UInt64

        func policy() throws -> DecisionPolicy {
            func time(_ minutes: Int) throws -> ClockTime {
                try ClockTime(hour: minutes / 60, minute: minutes % 60)
            }
            var policy = DecisionPolicy()
            (policy.remindBelow, policy.suppressAbove) = (remindBelow, suppressAbove)
            policy.hysteresis = hysteresis
            policy.quietHours = try quietHours.map { .init(from: try time($0[0]), to: try time($0[1])) }
            policy.maxPerDay = maxPerDay
            policy.minimumGap = minimumGapS
            policy.dayStart = try time(dayStart)
            (policy.explore, policy.seed) = (explore, seed)
            return policy
        }
    }

    struct StateVector: Decodable {
        let now: [Int64]
        let probability: Double
        let done: Bool
        let skipped: Bool
        let reminders: [[Int64]]
        let previousZone: Decision.Zone?
        let snoozedUntil: [Int64]?
        let generation: Int
        let draw: Int64

        func state() -> PolicyState {
            func instant(_ pair: [Int64]) -> LocalInstant {
                LocalInstant(microseconds: pair[0], utcOffset: Int(pair[1]))
            }
            var state = PolicyState(now: instant(now), probability: probability)
            (state.done, state.skipped) = (done, skipped)
            state.reminders = reminders.map(instant)
            state.previousZone = previousZone
            state.snoozedUntil = snoozedUntil.map(instant)
            (state.generation, state.draw) = (generation, draw)
            return state
        }
    }

    struct DecisionVector: Decodable {
        let action: String
        let reasons: [String]
        let propensity: Double
        let zone: String
    }
}
