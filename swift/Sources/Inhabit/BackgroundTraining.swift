// Apple's scheduler exists on these systems; on Linux a stand-in takes its place in tests.
#if canImport(BackgroundTasks) && !os(macOS) && !os(watchOS)
    import BackgroundTasks
    import Foundation

    /// Trains while the device charges and nobody uses it.
    ///
    /// The system calls when it likes, usually at night. A run that it ends early loses nothing: what was walked
    /// is kept, and the next run goes on from there. Every lock is let go before the system may suspend the app,
    /// and the work pauses often enough to stay below the limit of processor time.
    ///
    /// ```swift
    /// // in application(_:didFinishLaunchingWithOptions:), with the identifier in Info.plist
    /// let training = BackgroundTraining(identifier: "com.example.habits.training") { [personalizer] }
    /// training.register()
    /// try training.schedule()
    /// ```
    @available(iOS 13.0, tvOS 13.0, *)
    public struct BackgroundTraining: Sendable {
        /// As in `BGTaskSchedulerPermittedIdentifiers` of Info.plist.
        public let identifier: String
        /// Seconds between two runs, at least.
        public let interval: TimeInterval
        private let device: @Sendable () async -> DeviceState
        private let personalizers: @Sendable () async throws -> [Personalizer]

        /// - Parameters:
        ///   - interval: seconds between two runs, at least; by default a day.
        ///   - device: what is known of the device during a run; by default what the system promises: it charges,
        ///     and nobody uses it.
        ///   - personalizers: whom to train, if the request of their settings is due; asked at every run.
        public init(
            identifier: String, interval: TimeInterval = 86_400,
            device: @escaping @Sendable () async -> DeviceState = {
                DeviceState(externalPower: true, deviceIdle: true)
            },
            personalizers: @escaping @Sendable () async throws -> [Personalizer]
        ) {
            (self.identifier, self.interval) = (identifier, interval)
            (self.device, self.personalizers) = (device, personalizers)
        }

        /// Tells the system what to call; before the app has finished launching.
        ///
        /// - Returns: false if the identifier is not in Info.plist, or was registered before.
        @discardableResult
        public func register() -> Bool {
            BGTaskScheduler.shared.register(forTaskWithIdentifier: identifier, using: nil) { task in
                run(task)
            }
        }

        /// Asks the system for a run, on external power and without the network.
        ///
        /// - Parameter earliestBegin: not before; by default one interval from now.
        /// - Throws: ``InhabitError/config(argument:reason:)`` if the system refuses the request.
        public func schedule(earliestBegin: Date? = nil) throws {
            let request = BGProcessingTaskRequest(identifier: identifier)
            request.requiresExternalPower = true
            request.requiresNetworkConnectivity = false
            request.earliestBeginDate = earliestBegin ?? Date(timeIntervalSinceNow: interval)
            do {
                try BGTaskScheduler.shared.submit(request)
            } catch {
                throw InhabitError.config(
                    argument: "identifier", reason: "the system refuses \(identifier): \(error.localizedDescription)")
            }
        }

        /// One run: the system's task ends when the training has ended, one way or the other.
        private func run(_ task: BGTask) {
            try? schedule()  // the next one; if the system refuses, the app asks again when it is opened
            let task = SystemTask(task)
            let work = Task { await train() }
            task.onExpiration { work.cancel() }
            Task { task.complete(success: await work.value) }
        }

        /// Whether everybody who was due was trained to the present.
        private func train() async -> Bool {
            guard let people = try? await personalizers() else { return false }
            var isComplete = true
            for person in people {
                let outcome = try? await person.trainIfDue(device: device(), pace: .background).outcome
                await person.releaseLocks()
                isComplete = isComplete && [.trained, .unchanged, .notDue].contains(outcome)
            }
            return isComplete
        }
    }

    /// The system's task: its two members used here may be called on any thread.
    @available(iOS 13.0, tvOS 13.0, *)
    private struct SystemTask: @unchecked Sendable {
        private let task: BGTask

        init(_ task: BGTask) { self.task = task }

        func onExpiration(_ handler: @escaping @Sendable () -> Void) { task.expirationHandler = handler }
        func complete(success: Bool) { task.setTaskCompleted(success: success) }
    }
#endif
