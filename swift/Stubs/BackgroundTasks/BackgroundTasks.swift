// A stand-in for Apple's BackgroundTasks framework with the declarations that this package uses, so that
// the iOS-only code is compiled and its behaviour tested on Linux. Written from Apple's documentation;
// only a build with Xcode shows that the real framework agrees. Never part of a product.

import Foundation

public final class BGTaskScheduler: NSObject, @unchecked Sendable {
    public static let shared = BGTaskScheduler()

    private let lock = NSLock()
    private var handlers: [String: @Sendable (BGTask) -> Void] = [:]
    private var pending: [BGTaskRequest] = []

    public func register(
        forTaskWithIdentifier identifier: String,
        using queue: DispatchQueue?,
        launchHandler: @escaping @Sendable (BGTask) -> Void
    ) -> Bool {
        lock.withLock {
            guard handlers[identifier] == nil else { return false }
            handlers[identifier] = launchHandler
            return true
        }
    }

    public func submit(_ taskRequest: BGTaskRequest) throws {
        lock.withLock {
            pending.removeAll { $0.identifier == taskRequest.identifier }
            pending.append(taskRequest)
        }
    }

    public func cancel(taskRequestWithIdentifier identifier: String) {
        lock.withLock { pending.removeAll { $0.identifier == identifier } }
    }

    // What follows is not in Apple's framework: the tests play the system's part with it.

    public var pendingRequests: [BGTaskRequest] { lock.withLock { pending } }

    public func launch(_ task: BGTask) {
        let handler = lock.withLock { handlers[task.identifier] }
        cancel(taskRequestWithIdentifier: task.identifier)
        handler?(task)
    }
}

open class BGTaskRequest: NSObject {
    public let identifier: String
    public var earliestBeginDate: Date?

    fileprivate init(identifier: String) { self.identifier = identifier }
}

public final class BGProcessingTaskRequest: BGTaskRequest {
    public var requiresNetworkConnectivity = false
    public var requiresExternalPower = false

    public override init(identifier: String) { super.init(identifier: identifier) }
}

open class BGTask: NSObject {
    public let identifier: String
    public var expirationHandler: (() -> Void)?

    fileprivate init(identifier: String) { self.identifier = identifier }

    open func setTaskCompleted(success: Bool) {}
}

open class BGProcessingTask: BGTask {
    // Apple's initialiser is not public; the tests make tasks of their own.
    public override init(identifier: String) { super.init(identifier: identifier) }
}
