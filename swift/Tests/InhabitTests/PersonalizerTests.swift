import XCTest
@testable import Inhabit

/// The whole loop, on the people of `tests/vectors/personalizer.json` and on one of our own.
final class PersonalizerTests: XCTestCase {
    func testTrainsPredictsAndDecidesAsPythonDoes() async throws {
        let loop: LoopVectors = try vectors("loop.json")
        let expected: PersonalizerVectors = try vectors("personalizer.json")
        XCTAssertFalse(expected.people.isEmpty)
        for person in expected.people {
            let vector = try XCTUnwrap(loop.cases.first { $0.name == person.name })
            let (events, target, schedule) = try vector.question()
            var settings = Personalizer.Settings()
            (settings.target, settings.schedule) = (target, schedule)
            settings.target.once = true
            settings.policy = expected.policy.policy()
            let home = try temporaryFolder()
            let clock = TestClock()
            let me = try Personalizer.open(
                subject: target.subject, home: home, prior: person.prior == "builtin" ? .builtin : .none,
                settings: settings, clock: { clock.now })
            try SQLiteEventStore(url: home.appendingPathComponent("events.sqlite3")).append(events)

            try await train(me, clock, person.trainings[0], home, person.name)
            for look in person.looks.dropLast() { try await compare(me, clock, look, person.name) }
            try await train(me, clock, person.trainings[1], home, person.name)
            try await compare(me, clock, person.looks[person.looks.count - 1], person.name)
            let effects = try await me.explain()
            for (feature, expected) in zip(HabitFeatures.names, person.effects) {
                XCTAssertEqual(try XCTUnwrap(effects[feature]), expected, accuracy: 1e-9, "\(person.name): \(feature)")
            }
        }
    }

    private func train(
        _ me: Personalizer, _ clock: TestClock, _ expected: PersonalizerVectors.Training, _ home: URL, _ name: String
    ) async throws {
        clock.now = expected.at.instant
        let training = try await me.train()
        XCTAssertEqual(training.outcome.rawValue, expected.outcome, name)
        XCTAssertEqual(training.generation, expected.generation, name)
        XCTAssertEqual(training.samples, expected.samples, name)
        let generation = await me.currentGeneration
        XCTAssertEqual(generation.map { sha256Hex($0.bytes) }, expected.sha256, "\(name): the generation's bytes")
    }

    private func compare(
        _ me: Personalizer, _ clock: TestClock, _ look: PersonalizerVectors.Look, _ name: String
    ) async throws {
        clock.now = look.at.instant
        let probability = try await me.predict()
        XCTAssertEqual(probability.bitPattern, look.probabilityBits, "\(name) at \(look.at.instant)")
        let decision = try await me.decide()
        XCTAssertEqual(decision.action.rawValue, look.action, "\(name) at \(look.at.instant)")
        XCTAssertEqual(decision.reasons, look.reasons, "\(name) at \(look.at.instant)")
        XCTAssertEqual(decision.propensity, look.propensity, "\(name) at \(look.at.instant)")
        let status = try await me.status()
        XCTAssertEqual(status.newSamples, look.newSamples, "\(name) at \(look.at.instant)")
        XCTAssertEqual(decision.zone.rawValue, look.zone, "\(name) at \(look.at.instant)")
    }

    // MARK: - Laws

    func testThePriorIsThatOfPythonAndOthersAreRefused() throws {
        let url = repository.appendingPathComponent("python/inhabit/priors/builtin.safetensors")
        XCTAssertEqual(try Prior.builtin.generation()?.bytes, [UInt8](try Data(contentsOf: url)))
        XCTAssertNil(try Prior.none.generation())
        let other = try generation("prior.safetensors")
        XCTAssertThrowsError(try Prior.file(other).generation(), "of no features that we know")
        let untrained = try Model().predict([Float](repeating: 0.5, count: 10))
        let taught = try Model(prior: Prior.builtin.generation()).predict([Float](repeating: 0.5, count: 10))
        XCTAssertNotEqual(untrained, taught)
    }

    func testTheSeedsStory() async throws {
        let clock = TestClock(march(1, 8))
        let me = try Personalizer.open(subject: "meditate", home: temporaryFolder(), clock: { clock.now })
        let atFirst = try await me.predict()
        for day in 1...28 {
            clock.now = march(day, 8)
            try await me.record(.appOpened, subject: "")
            clock.now = march(day, 21)
            try await me.record(.habitCompleted)
        }
        var known = try await me.known()
        XCTAssertEqual(known, true)
        clock.now = march(29, 9)
        known = try await me.known()
        XCTAssertNil(known)
        let training = try await me.train()
        XCTAssertEqual(training.outcome, .trained)
        XCTAssertEqual(training.samples, 28)
        let probability = try await me.predict()
        XCTAssertGreaterThan(probability, 0.8)
        XCTAssertGreaterThan(probability, atFirst)
        let decision = try await me.decide()
        XCTAssertEqual(decision.action, .suppress)
        let again = try await me.train()
        XCTAssertEqual(again.outcome, .unchanged)
        let samples = try await me.trainingSamples()
        XCTAssertEqual(samples.count, training.samples)
    }

    func testAnInterruptedTrainingLosesNothing() async throws {
        let events = try self.events(days: 300)
        let whole = try personalizer(events)
        _ = try await whole.train()
        let expected = await whole.currentGeneration

        let interrupted = try personalizer(events)
        var runs = 0
        var outcome = Personalizer.Training.Outcome.expired
        while outcome == .expired {
            let beforehand = try await interrupted.predict()
            outcome = try await interrupted.train(deadline: 0).outcome
            runs += 1
            if outcome == .expired {
                let served = try await interrupted.predict()
                XCTAssertEqual(served, beforehand, "what was in service stays in service")
            }
        }
        XCTAssertGreaterThan(runs, 3)
        let generation = await interrupted.currentGeneration
        XCTAssertEqual(generation, expected, "the same bytes as in one go")
    }

    func testACancelledTrainingLosesNothing() async throws {
        let events = try self.events(days: 120)
        let me = try personalizer(events)
        let work = Task { try await me.train() }
        work.cancel()
        let outcome = try await work.value.outcome
        XCTAssertTrue([.cancelled, .trained].contains(outcome))
        _ = try await me.train()
        let whole = try personalizer(events)
        _ = try await whole.train()
        let (generation, expected) = (await me.currentGeneration, await whole.currentGeneration)
        XCTAssertEqual(generation, expected)
    }

    func testChanceDiffersBetweenHomesAndSubjectsAndIsKept() async throws {
        var settings = Personalizer.Settings()
        settings.policy.explore = 0.5
        settings.policy.quietHours = nil
        settings.policy.minimumGap = 0
        settings.policy.maxPerDay = 1000
        func draws(_ subject: String, _ home: URL) async throws -> [Decision.Action] {
            let clock = TestClock()
            let me = try Personalizer.open(subject: subject, home: home, settings: settings, clock: { clock.now })
            var actions: [Decision.Action] = []
            for day in 1...40 {
                clock.now = march(day, 9)
                actions.append(try await me.decide(store: false).action)
            }
            return actions
        }
        let (home, other) = (try temporaryFolder(), try temporaryFolder())
        let (run, read) = (try await draws("run", home), try await draws("read", home))
        let (again, elsewhere) = (try await draws("run", home), try await draws("run", other))
        XCTAssertEqual(run, again)
        XCTAssertNotEqual(run, read)
        XCTAssertNotEqual(run, elsewhere)
    }

    func testOutcomesAreJoinedWhenTheWindowHasClosed() async throws {
        let (home, clock) = (try temporaryFolder(), TestClock(march(2, 18)))
        let me = try Personalizer.open(subject: "run", home: home, clock: { clock.now })
        let store = try SQLiteEventStore(url: home.appendingPathComponent("events.sqlite3"))
        for day in [2, 3] {
            clock.now = march(day, 18)
            _ = try await me.decide()
            clock.now = march(day, 20)
            if day == 2 { try await me.record(.habitCompleted) }
        }
        clock.now = march(3, 23)
        var joined = try await me.observe()
        XCTAssertEqual(joined, 1, "the second window is open")
        clock.now = march(4, 9)
        _ = try await me.train()
        joined = try await me.observe()
        XCTAssertEqual(joined, 0, "the training has joined it")
        XCTAssertEqual(try store.decisions(subject: "run", since: .min).map(\.outcome), [.positive, .negative])
    }

    func testSettingsOutsideTheirRangeAreRefused() throws {
        func refuses(_ change: (inout Target) -> Void, line: UInt = #line) throws {
            var settings = Personalizer.Settings()
            settings.target.once = false
            change(&settings.target)
            let folder = try temporaryFolder()
            XCTAssertThrowsError(
                try Personalizer(
                    subject: "run", store: InMemoryEventStore(), generations: folder, settings: settings),
                line: line
            ) { XCTAssertTrue($0 is InhabitError, line: line) }
        }
        try refuses { $0.window = .duration(microseconds: 0) }
        try refuses { $0.window = .duration(microseconds: Window.longest + 1) }
        try refuses { $0.skipType = $0.type }
        try refuses { $0.grace = -1 }
    }

    func testForgettingIsExact() async throws {
        let events = try self.events(days: 60)
        let since = march(40, 0)
        let me = try personalizer(events)
        _ = try await me.train()
        let gone = try await me.forget(since: since)
        XCTAssertEqual(gone, events.filter { $0.occurredAt.microseconds >= since.microseconds }.count)
        let never = try personalizer(events.filter { $0.occurredAt.microseconds < since.microseconds })
        _ = try await never.train()
        let (left, expected) = (await me.currentGeneration, await never.currentGeneration)
        XCTAssertEqual(left?.bytes, expected?.bytes, "as if the events had never been")
    }

    func testForgettingReachesEverySubjectOfAHome() async throws {
        let (home, clock) = (try temporaryFolder(), TestClock())
        let open = { (subject: String) in
            try Personalizer.open(subject: subject, home: home, clock: { clock.now })
        }
        let (run, read) = (try open("run"), try open("read"))
        for day in 1...20 {
            clock.now = march(day, 8)
            try await run.record(.habitCompleted)
            clock.now = march(day, 20)
            try await read.record(.habitCompleted)
        }
        clock.now = march(30, 9)
        _ = try await run.train()
        _ = try await read.train()
        try await run.forget(since: march(10, 0))
        let (left, other) = (await run.currentGeneration, await read.currentGeneration)
        XCTAssertNotNil(left, "what remains is learnt again")
        XCTAssertNil(other, "an event of one subject tells the others the local time")
        let gone = try await run.forgetEverything()
        XCTAssertEqual(gone, 9 + 20)
        let nothing = await run.currentGeneration
        XCTAssertNil(nothing)
        do {
            try await run.forget()
            XCTFail("what to forget must be named")
        } catch { XCTAssertTrue(error is InhabitError) }
    }

    func testADamagedGenerationIsPassedOverAndRollbackGoesBack() async throws {
        let folder = try temporaryFolder()
        let clock = TestClock(march(30, 9))
        let store = InMemoryEventStore()
        try store.append(events(days: 120))
        func open() throws -> Personalizer {
            try Personalizer(subject: "run", store: store, generations: folder, clock: { clock.now })
        }
        let me = try open()
        _ = try await me.train()
        let early = try await me.predict()
        clock.now = march(120, 9)
        _ = try await me.train()
        var number = try await me.generation
        XCTAssertEqual(number, 2)

        let newest = folder.appendingPathComponent("generation-000002.safetensors")
        var bytes = [UInt8](try Data(contentsOf: newest))
        bytes[bytes.count / 2] ^= 1
        try Data(bytes).write(to: newest)
        number = try await open().generation
        XCTAssertEqual(number, 1, "the newest that verifies is loaded")

        bytes[bytes.count / 2] ^= 1
        try Data(bytes).write(to: newest)
        number = try await me.rollback()
        XCTAssertEqual(number, 1)
        clock.now = march(30, 9)
        let back = try await open().predict()
        XCTAssertEqual(back, early)
        do {
            try await me.rollback()
            XCTFail("there is nothing to roll back to")
        } catch { XCTAssertTrue(error is InhabitError) }
    }

    func testKeepsTheLastFewGenerations() async throws {
        let store = try GenerationStore(folder: temporaryFolder(), keep: 2)
        let one = try Model().generation(manifest: "{}")
        for expected in 1...4 { XCTAssertEqual(try store.save(one), expected) }
        XCTAssertEqual(store.numbers, [3, 4])
        let left = store.folder.appendingPathComponent("generation-000004.safetensors.x.part")
        try Data([1]).write(to: left)
        try store.save(one)
        XCTAssertEqual(store.numbers, [4, 5])
        XCTAssertTrue(FileManager.default.fileExists(atPath: left.path), "another process may be writing it")
        try store.save(one)
        XCTAssertFalse(FileManager.default.fileExists(atPath: left.path), "what a killed process left")
        try store.purge()
        XCTAssertEqual(try FileManager.default.contentsOfDirectory(atPath: store.folder.path), [])
        XCTAssertNil(try store.load())
        XCTAssertThrowsError(try GenerationStore(folder: store.folder, keep: 0))
    }

    func testSeveralWritersLoseNoGeneration() throws {
        let folder = try temporaryFolder()
        let one = try Model().generation(manifest: "{}")
        let stores = try (0..<4).map { _ in try GenerationStore(folder: folder, keep: 100) }
        let taken = Taken()
        DispatchQueue.concurrentPerform(iterations: 40) { index in
            if let number = try? stores[index % 4].save(one) { taken.add(number) }
        }
        XCTAssertEqual(taken.numbers, Array(1...40))
        XCTAssertEqual(stores[0].numbers, Array(1...40))
    }

    func testFoldersOfSubjectsAreThoseOfPython() {
        let names = [
            "meditate": "meditate-4b9ffffd", "Öl & Wasser!": "l-wasser-1d516c36", "": "e3b0c442",
            "日本": "cf2abf0c",
        ]
        for (subject, folder) in names {
            XCTAssertEqual(Personalizer.folderName(of: subject), folder)
        }
    }

    func testABackgroundPaceLeavesHalfOfTheTime() async throws {
        var metronome = Metronome(deadline: nil, pace: try Pace(work: 0.01, share: 0.25))
        let began = ProcessInfo.processInfo.systemUptime
        var worked = 0.0
        for _ in 0..<5 {
            let start = ProcessInfo.processInfo.systemUptime
            while ProcessInfo.processInfo.systemUptime - start < 0.01 {}
            worked += ProcessInfo.processInfo.systemUptime - start
            _ = await metronome.pause()
        }
        let all = ProcessInfo.processInfo.systemUptime - began
        XCTAssertLessThan(worked / all, 0.3)
        XCTAssertThrowsError(try Pace(work: 0, share: 0.5))
        XCTAssertThrowsError(try Pace(work: 1, share: 1.5))
    }

    // MARK: - Somebody

    /// Does it three days in a row, then not, with a reminder now and then.
    private func events(days: Int) throws -> [UserEvent] {
        try (1...days).flatMap { day in
            var types: [(EventType, Int)] = [(.appOpened, 7)]
            if day % 4 != 0 { types.append((.habitCompleted, 19)) }
            if day % 3 == 0 { types.append((.reminderTapped, 18)) }
            return try types.map { try UserEvent(type: $0.0, subject: "run", occurredAt: march(day, $0.1)) }
        }
    }

    private func personalizer(_ events: [UserEvent]) throws -> Personalizer {
        let store = InMemoryEventStore()
        try store.append(events)
        let now = march(301, 9)
        return try Personalizer(subject: "run", store: store, generations: temporaryFolder(), clock: { now })
    }
}

/// Numbers that several threads were given.
private final class Taken: @unchecked Sendable {
    private let lock = NSLock()
    private var all: [Int] = []

    func add(_ number: Int) { lock.withLock { all.append(number) } }
    var numbers: [Int] { lock.withLock { all.sorted() } }
}

/// A clock that the test moves.
final class TestClock: @unchecked Sendable {
    private let lock = NSLock()
    private var instant: LocalInstant

    init(_ instant: LocalInstant = march(1, 0)) { self.instant = instant }

    var now: LocalInstant {
        get { lock.withLock { instant } }
        set { lock.withLock { instant = newValue } }
    }
}

private struct PersonalizerVectors: Decodable {
    let policy: Policy
    let people: [Person]

    struct Policy: Decodable {
        let remindBelow: Double
        let suppressAbove: Double
        let explore: Double
        let seed: UInt64

        func policy() -> DecisionPolicy {
            var policy = DecisionPolicy()
            (policy.remindBelow, policy.suppressAbove) = (remindBelow, suppressAbove)
            (policy.explore, policy.seed) = (explore, seed)
            return policy
        }
    }

    struct Person: Decodable {
        let name: String
        let prior: String
        let trainings: [Training]
        let looks: [Look]
        let effects: [Double]
    }

    struct Training: Decodable {
        let at: [Int64]
        let outcome: String
        let generation: Int
        let samples: Int
        let sha256: String?
    }

    struct Look: Decodable {
        let at: [Int64]
        let probabilityBits: UInt64
        let action: String
        let reasons: [String]
        let propensity: Double
        let zone: String
        let newSamples: Int
    }
}

extension [Int64] {
    /// Microseconds of UTC and the offset in seconds.
    fileprivate var instant: LocalInstant { LocalInstant(microseconds: self[0], utcOffset: Int(self[1])) }
}
