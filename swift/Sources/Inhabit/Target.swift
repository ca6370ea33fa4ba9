import Foundation

/// What is known of a label.
public enum Label: Int8, Sendable, Codable {
    /// The window closed, or the target occurred, or neither yet.
    case unknown = -1
    case negative = 0
    case positive = 1
}

/// What is predicted: that an event of a type, about a subject, occurs within a window.
public struct Target: Hashable, Sendable {
    /// What it means that a window closed without the event.
    public enum Missing: String, Sendable {
        /// It did not happen.
        case negative
        /// Nobody knows; only an explicit skip is a negative.
        case unknown
    }

    /// The type of event to predict.
    public var type = EventType.habitCompleted
    /// What it is about. The target's event must carry exactly this subject.
    public var subject: String
    /// When it may happen, as seen from a moment.
    public var window = Window.restOfDay
    /// What it means that a window closed without the event.
    public var missing = Missing.negative
    /// The type of event that says explicitly "not this time".
    public var skipType: EventType? = .habitSkipped
    /// How many microseconds after the end of the window a late record still counts; the label matures then.
    public var grace: Int64 = 0
    /// Whether once a day is enough: then a window that opens when the target has occurred in its local day
    /// already is no question any more, and has no label.
    public var once = false

    public init(subject: String = "") { self.subject = subject }

    /// - Throws: ``InhabitError/config(argument:reason:)`` for a setting outside its range.
    func validate() throws {
        if case let .duration(length) = window, !(1...Window.longest).contains(length) {
            throw InhabitError.config(
                argument: "window", reason: "expected a duration above 0, up to 366 days, got \(length) microseconds")
        }
        guard type != skipType else {
            throw InhabitError.config(argument: "type", reason: "expected another type than the skip's, got \(type)")
        }
        guard !(once && window == .nextDay) else {
            throw InhabitError.config(argument: "once", reason: "expected a window on the moment's own day")
        }
        guard grace >= 0 else {
            throw InhabitError.config(argument: "grace", reason: "expected a duration of at least 0, got \(grace)")
        }
    }
}

/// An instant after everything.
let never = Int64.max

/// Events of one type, in order of their occurrence.
struct Happenings {
    private(set) var occurredAt: [Int64] = []
    /// The first instant at which a prediction may know of each: it occurred and was recorded before.
    private(set) var visibleFrom: [Int64] = []

    init(_ events: [UserEvent], type: EventType?, subjects: Set<String>) {
        for event in events where event.type == type && subjects.contains(event.subject) {
            occurredAt.append(event.occurredAt.microseconds)
            visibleFrom.append(max(event.occurredAt.microseconds, event.recordedAt) + 1)
        }
    }

    /// From when on it is known that one of the events occurred in [start, end).
    func firstVisible(from start: Int64, to end: Int64) -> Int64 {
        let first = occurredAt.partitionIndex { $0 >= start }
        let after = occurredAt.partitionIndex { $0 >= end }
        guard first < after else { return never }
        return visibleFrom[first..<after].min() ?? never
    }

    /// How many occurred at or after `since` and are visible at `instant`.
    func count(since: Int64, visibleAt instant: Int64) -> Int {
        let first = occurredAt.partitionIndex { $0 >= since }
        return visibleFrom[first...].lazy.filter { $0 <= instant }.count
    }
}

/// From when on what is known about one window.
struct Evidence {
    /// The first instant at which the target is known to have happened; ``never`` if it is not.
    let positiveFrom: Int64
    /// The first instant at which, short of that, it counts as not having happened.
    let negativeFrom: Int64
    /// The end of the window and of the grace: what is known then is the label, for good.
    let maturesAt: Int64

    private init(settledUntil end: Int64) { (positiveFrom, negativeFrom, maturesAt) = (never, never, end) }

    init(_ target: Target, happened: Happenings, skipped: Happenings, from start: Int64, to end: Int64) {
        maturesAt = end + target.grace
        positiveFrom = happened.firstVisible(from: start, to: end)
        let skippedFrom = skipped.firstVisible(from: start, to: end)
        negativeFrom = target.missing == .negative ? min(skippedFrom, maturesAt) : skippedFrom
    }

    /// The evidence about the window of a moment.
    init(_ target: Target, happened: Happenings, skipped: Happenings, moment: Moment) {
        let (start, end) = (moment.windowStart, moment.windowEnd)
        // Only closed windows are ever asked about, so what is known by the end decides.
        let earlier = target.once ? happened.firstVisible(from: moment.dayStart, to: start) : never
        if earlier <= end + target.grace {
            self.init(settledUntil: end + target.grace)
        } else {
            self.init(target, happened: happened, skipped: skipped, from: start, to: end)
        }
    }

    /// The label as known at an instant.
    func known(at instant: Int64) -> Label {
        if positiveFrom <= instant { return .positive }
        return negativeFrom <= instant ? .negative : .unknown
    }

    /// The label that counts: as known when it matured, or now if it has not.
    func label(asOf instant: Int64) -> Label { known(at: min(maturesAt, instant)) }
}
