import XCTest
@testable import Inhabit

final class SchedulingTests: XCTestCase {
    private let charging = DeviceState(externalPower: true)

    func testAnswersAreThoseOfPython() throws {
        let vectors: DueVectors = try vectors("due.json")
        XCTAssertFalse(vectors.cases.isEmpty)
        for (index, vector) in vectors.cases.enumerated() {
            let answer = try vector.request.request().isDue(
                vector.device.state(), now: instant(vector.now), lastRun: vector.lastRun.map(instant),
                newSamples: vector.newSamples)
            XCTAssertEqual(answer.due, vector.due, "case \(index)")
            XCTAssertEqual(answer.reasons, vector.reasons, "case \(index)")
        }
    }

    func testCautiousAsksForWhatPlatformsAsk() throws {
        let ready = DeviceState(externalPower: true, unmeteredNetwork: true, deviceIdle: true, locked: true)
        let request = TrainingRequest.cautious()
        XCTAssertTrue(try request.isDue(ready, now: march(1, 3), newSamples: 1).due)
        let facts: [WritableKeyPath<DeviceState, Bool?>] = [
            \.externalPower, \.unmeteredNetwork, \.deviceIdle, \.locked,
        ]
        for fact in facts {
            var device = ready
            device[keyPath: fact] = false
            XCTAssertFalse(try request.isDue(device, now: march(1, 3), newSamples: 1).due)
        }
    }

    func testRefusesSettingsOutsideTheirRange() throws {
        func refuses(_ argument: String, _ change: (inout TrainingRequest) -> Void, line: UInt = #line) {
            var request = TrainingRequest()
            change(&request)
            guard case let .config(named, _)? = failure({ try request.validate() }) else {
                return XCTFail("nothing is thrown", line: line)
            }
            XCTAssertEqual(named, argument, line: line)
        }
        refuses("interval") { $0.interval = 0 }
        refuses("interval") { $0.interval = nil }
        refuses("interval") { $0.interval = .nan }
        refuses("interval") { $0.interval = .infinity }
        refuses("afterNewSamples") { $0.afterNewSamples = 0 }
        refuses("minimumNewSamples") { $0.minimumNewSamples = -1 }
        refuses("flex") { $0.flex = 86_400 }
        refuses("flex") { $0.flex = -1 }
        refuses("expiration") { ($0.earliestBegin, $0.expiration) = (march(2, 3), march(2, 3)) }
        XCTAssertThrowsError(try TrainingRequest().isDue(charging, now: march(1, 3), newSamples: -1))
        var settings = Personalizer.Settings()
        settings.request.minimumNewSamples = -1
        XCTAssertThrowsError(
            try Personalizer(
                subject: "run", store: InMemoryEventStore(), generations: temporaryFolder(), settings: settings))
    }

    func testTrainsWhenTheDeviceAndTheCalendarAgree() async throws {
        let (home, clock) = (try temporaryFolder(), TestClock(march(1, 20)))
        let me = try Personalizer.open(subject: "run", home: home, clock: { clock.now })
        func outcome(_ device: DeviceState) async throws -> String {
            let training = try await me.trainIfDue(device: device)
            return "\(training.outcome.rawValue): \(training.due?.description ?? "")"
        }
        try await me.record(.habitCompleted)
        var said = try await outcome(charging)
        XCTAssertEqual(said, "not due: not due: nothing to learn: 0 new samples, 1 needed")
        clock.now = march(2, 5)
        said = try await outcome(DeviceState(externalPower: false))
        XCTAssertEqual(said, "not due: not due: not on external power")
        said = try await outcome(charging)
        XCTAssertEqual(said, "trained: due: never trained, 1 new sample; on external power")
        let trained = try await me.status().lastTraining
        XCTAssertEqual(trained, clock.now)
        clock.now = march(3, 3)
        said = try await outcome(charging)
        XCTAssertEqual(said, "not due: not due: nothing to learn: 0 new samples, 1 needed")
        clock.now = march(3, 4, 30)
        let reopened = try Personalizer.open(subject: "run", home: home, clock: { clock.now })
        let again = try await reopened.trainIfDue(device: charging)
        XCTAssertEqual(
            again.due?.description, "due: last trained 23 h ago, every 1 d, 1 new sample; on external power")
    }

    func testWhatIsForgottenIsDueAtOnceForEverySubject() async throws {
        let (home, clock) = (try temporaryFolder(), TestClock())
        func open(_ subject: String) throws -> Personalizer {
            try Personalizer.open(subject: subject, home: home, clock: { clock.now })
        }
        let (run, read) = (try open("run"), try open("read"))
        for day in 1...3 {
            clock.now = march(day, 20)
            try await run.record(.habitCompleted)
            try await read.record(.habitCompleted)
        }
        clock.now = march(4, 5)
        for me in [run, read] { _ = try await me.train() }
        var due = try await read.trainIfDue(device: charging).due
        XCTAssertEqual(due?.due, false)
        try await run.forget(since: march(3, 0))
        due = try await open("read").trainIfDue(device: charging).due
        XCTAssertEqual(due?.reasons.first, "never trained, 3 new samples")
    }

    func testAnInstantIsKeptAsPythonKeepsIt() {
        let cases: [(String, LocalInstant)] = [
            ("2026-03-02T03:00:00+00:00", march(2, 3)),
            ("2026-03-02T03:00:00+05:45", march(2, 3, utcOffset: 20_700)),
            ("2026-03-01T23:30:00-03:30", march(1, 23, 30, utcOffset: -12_600)),
            ("2026-03-02T03:00:00+00:53:28", march(2, 3, utcOffset: 3208)),
            ("1970-01-01T00:00:00.000001+00:00", LocalInstant(microseconds: 1, utcOffset: 0)),
            ("1969-12-31T23:59:59.999999+00:00", LocalInstant(microseconds: -1, utcOffset: 0)),
            ("2000-02-29T12:00:00+00:00", LocalInstant(microseconds: 951_825_600_000_000, utcOffset: 0)),
            ("2100-03-01T00:00:00+00:00", LocalInstant(microseconds: 4_107_542_400_000_000, utcOffset: 0)),
        ]
        for (text, instant) in cases {
            XCTAssertEqual(instant.text, text)
            XCTAssertEqual(LocalInstant(text: text), instant)
        }
        for text in ["", "yesterday", "2026-03-02", "99999999999-03-02T03:00:00+00:00"] {
            XCTAssertNil(LocalInstant(text: text))
        }
    }
}

private func instant(_ pair: [Int64]) -> LocalInstant {
    LocalInstant(microseconds: pair[0], utcOffset: Int(pair[1]))
}

private struct DueVectors: Decodable {
    let cases: [Case]

    struct Case: Decodable {
        let request: Request
        let device: Device
        let now: [Int64]
        let lastRun: [Int64]?
        let newSamples: Int
        let due: Bool
        let reasons: [String]
    }

    struct Request: Decodable {
        let requiresExternalPower: Bool
        let requiresUnmeteredNetwork: Bool
        let requiresDeviceIdle: Bool
        let requiresLocked: Bool
        let requiresBatteryNotLow: Bool
        let intervalS: Double?
        let afterNewSamples: Int?
        let minimumNewSamples: Int
        let flexS: Double
        let earliestBegin: [Int64]?
        let expiration: [Int64]?
        let unknownMeans: String

        func request() throws -> TrainingRequest {
            var request = TrainingRequest()
            (request.requiresExternalPower, request.requiresUnmeteredNetwork) = (
                requiresExternalPower, requiresUnmeteredNetwork
            )
            (request.requiresDeviceIdle, request.requiresLocked) = (requiresDeviceIdle, requiresLocked)
            request.requiresBatteryNotLow = requiresBatteryNotLow
            (request.interval, request.flex) = (intervalS, flexS)
            (request.afterNewSamples, request.minimumNewSamples) = (afterNewSamples, minimumNewSamples)
            (request.earliestBegin, request.expiration) = (earliestBegin.map(instant), expiration.map(instant))
            request.unknownMeans = try XCTUnwrap(TrainingRequest.Unknown(rawValue: unknownMeans))
            return request
        }
    }

    struct Device: Decodable {
        let externalPower: Bool?
        let unmeteredNetwork: Bool?
        let deviceIdle: Bool?
        let locked: Bool?
        let batteryNotLow: Bool?

        func state() -> DeviceState {
            DeviceState(
                externalPower: externalPower, unmeteredNetwork: unmeteredNetwork, deviceIdle: deviceIdle,
                locked: locked, batteryNotLow: batteryNotLow)
        }
    }
}
