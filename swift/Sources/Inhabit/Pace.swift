import Foundation

/// How much of the processor a training may take.
///
/// iOS ends an app that keeps the processor busy for more than 80 % of a minute in the background. A training
/// stays well below by pausing between its slices.
public struct Pace: Hashable, Sendable {
    /// Seconds of work between two pauses.
    public let work: TimeInterval
    /// The part of the time that is work, above 0 and up to 1.
    public let share: Double

    /// - Throws: ``InhabitError/config(argument:reason:)``
    public init(work: TimeInterval, share: Double) throws {
        guard work > 0, work <= 10 else {
            throw InhabitError.config(argument: "work", reason: "expected seconds in (0, 10], got \(work)")
        }
        guard share > 0, share <= 1 else {
            throw InhabitError.config(argument: "share", reason: "expected a part in (0, 1], got \(share)")
        }
        self.init(unchecked: work, share)
    }

    private init(unchecked work: TimeInterval, _ share: Double) {
        self.work = work
        self.share = share
    }

    /// As fast as it goes: for the foreground, where a training takes milliseconds.
    public static let full = Pace(unchecked: 0.02, 1)
    /// Half of the time, a fifth of a second at once: for background tasks.
    public static let background = Pace(unchecked: 0.2, 0.5)
}

/// Keeps the pace of a training and knows its deadline.
struct Metronome {
    private let pace: Pace
    private let end: TimeInterval
    private var resumed: TimeInterval

    init(deadline: TimeInterval?, pace: Pace) {
        self.pace = pace
        resumed = ProcessInfo.processInfo.systemUptime
        end = resumed + (deadline ?? .infinity)
    }

    var isOver: Bool { ProcessInfo.processInfo.systemUptime >= end }

    /// Lets others work, and pauses if it is time to; whether the task was cancelled.
    mutating func pause() async -> Bool {
        let worked = ProcessInfo.processInfo.systemUptime - resumed
        guard worked >= pace.work else { return Task.isCancelled }
        let rest = min(worked * (1 - pace.share) / pace.share, max(end - resumed - worked, 0))
        if rest > 0 {
            try? await Task.sleep(nanoseconds: UInt64(rest * 1e9))
        } else {
            await Task.yield()
        }
        resumed = ProcessInfo.processInfo.systemUptime
        return Task.isCancelled
    }
}
