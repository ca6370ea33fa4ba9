#if canImport(BackgroundTasks) && os(Linux)  // with the stand-in: the tests play the system's part
    import BackgroundTasks
    import XCTest
    @testable import Inhabit

    final class BackgroundTrainingTests: XCTestCase {
        func testAsksForExternalPowerAndNoNetwork() throws {
            let training = BackgroundTraining(identifier: "asks", interval: 3600) { [] }
            XCTAssertTrue(training.register())
            XCTAssertFalse(training.register(), "once only")
            try training.schedule()
            let request = try XCTUnwrap(pending("asks") as? BGProcessingTaskRequest)
            XCTAssertTrue(request.requiresExternalPower)
            XCTAssertFalse(request.requiresNetworkConnectivity)
            let wait = try XCTUnwrap(request.earliestBeginDate).timeIntervalSinceNow
            XCTAssertEqual(wait, 3600, accuracy: 600)
            let tonight = Date(timeIntervalSinceNow: 60)
            try training.schedule(earliestBegin: tonight)
            XCTAssertEqual(pending("asks")?.earliestBeginDate, tonight)
        }

        func testARunTrainsAsksForTheNextAndHoldsNoLock() async throws {
            let (me, url) = try personalizer()
            let training = BackgroundTraining(identifier: "run") { [me] }
            training.register()
            let task = SystemTask("run")
            BGTaskScheduler.shared.launch(task)
            await fulfillment(of: [task.completed], timeout: 600)
            XCTAssertEqual(task.success, true)
            XCTAssertNotNil(pending("run"))
            // Leaving WAL mode needs the file for oneself: any open connection of the store forbids it.
            let other = try SQLiteConnection(path: url.path, timeoutMilliseconds: 0)
            XCTAssertEqual(try other.run("PRAGMA journal_mode = DELETE"), [[.text("delete")]])
            let number = try await me.generation
            XCTAssertEqual(number, 1)
        }

        func testAnExpiredRunLosesNothing() async throws {
            let (me, url) = try personalizer()
            let gate = AsyncStream.makeStream(of: Void.self)
            let training = BackgroundTraining(identifier: "expires") {
                for await _ in gate.stream { break }
                return [me]
            }
            training.register()
            let first = SystemTask("expires")
            BGTaskScheduler.shared.launch(first)
            first.expirationHandler?()
            gate.continuation.yield()
            await fulfillment(of: [first.completed], timeout: 600)
            XCTAssertEqual(first.success, false)
            let other = try SQLiteConnection(path: url.path, timeoutMilliseconds: 0)
            XCTAssertEqual(try other.run("PRAGMA journal_mode = DELETE"), [[.text("delete")]])
            var number = try await me.generation
            XCTAssertEqual(number, 0, "the prior still serves")

            let second = SystemTask("expires")
            gate.continuation.yield()
            gate.continuation.finish()
            BGTaskScheduler.shared.launch(second)
            await fulfillment(of: [second.completed], timeout: 600)
            XCTAssertEqual(second.success, true)
            number = try await me.generation
            XCTAssertEqual(number, 1)
            let (same, _) = try personalizer()
            _ = try await same.train()
            let (generation, expected) = (await me.currentGeneration, await same.currentGeneration)
            XCTAssertEqual(generation, expected, "the same bytes as without the interruption")
        }

        func testAFailureIsToldToTheSystem() async throws {
            let training = BackgroundTraining(identifier: "fails") { throw InhabitError.storage("no disk") }
            training.register()
            let task = SystemTask("fails")
            BGTaskScheduler.shared.launch(task)
            await fulfillment(of: [task.completed], timeout: 600)
            XCTAssertEqual(task.success, false)
        }

        private func pending(_ identifier: String) -> BGTaskRequest? {
            BGTaskScheduler.shared.pendingRequests.first { $0.identifier == identifier }
        }

        private func personalizer() throws -> (Personalizer, URL) {
            let home = try temporaryFolder()
            let me = try Personalizer.open(subject: "run", home: home, clock: { march(140, 9) })
            let url = home.appendingPathComponent("events.sqlite3")
            let done = try (1...139).map {
                try UserEvent(type: .habitCompleted, subject: "run", occurredAt: march($0, 6 + $0 % 12))
            }
            try SQLiteEventStore(url: url).append(done)
            return (me, url)
        }
    }

    private final class SystemTask: BGProcessingTask, @unchecked Sendable {
        let completed = XCTestExpectation(description: "completed")
        private let lock = NSLock()
        private var result: Bool?

        init(_ identifier: String) { super.init(identifier: identifier) }

        var success: Bool? { lock.withLock { result } }

        override func setTaskCompleted(success: Bool) {
            lock.withLock { result = success }
            completed.fulfill()
        }
    }
#endif
