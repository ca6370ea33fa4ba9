import Foundation

/// Where one person's events are kept: appended as they happen, never changed, forgotten on request.
///
/// Calls are synchronous and short; a store may be shared between threads.
public protocol EventStore: Sendable {
    /// Appends events in one transaction; the number that were new. An id that is there already adds nothing.
    ///
    /// - Throws: ``InhabitError/event(_:)`` if an id already stands for another event. Nothing is appended then.
    @discardableResult
    func append(_ events: [UserEvent]) throws -> Int

    /// The events that match, in order of (occurred, recorded, id).
    func events(_ query: EventQuery) throws -> [UserEvent]

    /// What a subject began with, as known just before an instant: the event about it that occurred first, or
    /// a decision about it that was made before.
    ///
    /// Events about no subject begin none, and no decision counts before an event, about anything, has told the
    /// local time.
    func beginning(of subject: String, recordedBefore: Int64) throws -> Beginning?

    /// The instants at which the person's clock changed, in order: the one in force at `since`, and later ones.
    ///
    /// The clock is that of the event recorded last, see ``LocalInstant/utcOffset``.
    func offsetChanges(since: Int64, before end: Int64) throws -> [LocalInstant]

    /// Stores a decision with its reasons.
    func append(_ decision: StoredDecision) throws

    /// The decisions about a subject made at or after an instant (microseconds since 1970), in order.
    ///
    /// - Parameter openOnly: only those whose outcome is not joined yet.
    func decisions(subject: String, since: Int64, openOnly: Bool) throws -> [StoredDecision]

    /// Joins outcomes to decisions, by ``StoredDecision/id``; the number that were joined.
    ///
    /// ``Label/unknown`` will never be known. An outcome that is joined already stays as it is.
    @discardableResult
    func setOutcomes(_ outcomes: [Int64: Label]) throws -> Int

    /// The small text stored under a key, such as what makes this home's chance differ from others'.
    func meta(_ key: String) throws -> String?

    /// Stores a small text under a key, unless there is one already; what is stored now.
    func meta(_ key: String, orSet value: String) throws -> String

    /// Stores a small text under a key, whatever was there; `nil` takes it away.
    func setMeta(_ key: String, _ value: String?) throws

    /// The subjects that there are events about, in order.
    func subjects() throws -> [String]

    /// Deletes events for good; the number of events that are gone.
    ///
    /// Decisions follow: those of the subject and the range are deleted. Others made since an event that is now
    /// forgotten stay in the history of what was done, without probability, reasons and features; outcomes that it
    /// may have decided are open again. A query for everything also deletes these texts.
    @discardableResult
    func forget(_ query: EventQuery) throws -> Int

    /// Lets go of files and locks until the next call.
    ///
    /// Call it before the system suspends the app: iOS ends a suspended process that holds a file lock.
    func releaseLocks()
}

extension EventStore {
    public func releaseLocks() {}

    /// The decisions about a subject made at or after an instant (microseconds since 1970), in order.
    public func decisions(subject: String, since: Int64) throws -> [StoredDecision] {
        try decisions(subject: subject, since: since, openOnly: false)
    }
}

/// The first thing that is known of a subject: an event about it, or a decision.
public struct Beginning: Hashable, Sendable {
    /// When the event occurred, or the decision was made, in microseconds of UTC since 1970.
    public let occurredAt: Int64
    /// When the log learnt of it.
    public let recordedAt: Int64

    public init(occurredAt: Int64, recordedAt: Int64) {
        self.occurredAt = occurredAt
        self.recordedAt = recordedAt
    }
}

/// Which events: all of them, until properties are set.
public struct EventQuery: Hashable, Sendable {
    /// Only those about this subject and, unless ``exactSubject``, those about none, which concern every subject.
    public var subject: String?
    /// Leaves out the events about no subject.
    public var exactSubject = false
    /// Only these types.
    public var types: [EventType]?
    /// Only what occurred at or after this instant, in microseconds of UTC since 1970.
    public var since: Int64?
    /// Only what occurred before this instant.
    public var until: Int64?
    /// Only what was recorded before this instant: what was known then.
    public var recordedBefore: Int64?

    public init() {}

    /// The events about a subject and those about none.
    public init(subject: String) { self.subject = subject }

    func matches(_ event: UserEvent) -> Bool {
        if let subject {
            let concernsAll = event.subject.isEmpty && !exactSubject
            guard event.subject == subject || concernsAll else { return false }
        }
        if let types, !types.contains(event.type) { return false }
        let occurred = event.occurredAt.microseconds
        if let since, occurred < since { return false }
        if let until, occurred >= until { return false }
        if let recordedBefore, event.recordedAt >= recordedBefore { return false }
        return true
    }

    /// Whether it names a subject and a range of time, or everything, and nothing else.
    var isRange: Bool { types == nil && recordedBefore == nil }

    /// Whether a decision is about the same subject and range of time.
    func matches(_ stored: StoredDecision) -> Bool {
        let at = stored.decision.at.microseconds
        return stored.subject == subject ?? stored.subject && at >= since ?? .min && at < until ?? .max
    }
}

/// A decision as a store keeps it.
public struct StoredDecision: Hashable, Sendable {
    /// Given by the store.
    public internal(set) var id: Int64?
    public var subject: String
    /// What was decided. Once an event that it rested on is forgotten, its probability is 0 and means nothing.
    public var decision: Decision
    /// Index of the moment in the schedule.
    public var slot: Int
    /// When the target may happen, in microseconds of UTC since 1970.
    public var windowStart: Int64
    public var windowEnd: Int64
    /// The features it rests on; none once an event that they rested on is forgotten.
    public var features: [Float]
    /// What came of the window: ``Label/unknown`` will never be known, `nil` is not joined yet.
    public internal(set) var outcome: Label?

    public init(
        subject: String, decision: Decision, slot: Int, windowStart: Int64, windowEnd: Int64, features: [Float]
    ) {
        self.subject = subject
        self.decision = decision
        self.slot = slot
        self.windowStart = windowStart
        self.windowEnd = windowEnd
        self.features = features
    }
}

extension StoredDecision {
    /// Takes away what rested on an event that is forgotten.
    fileprivate mutating func blank() {
        decision = Decision(
            action: decision.action, probability: 0, reasons: [], propensity: decision.propensity,
            generation: decision.generation, zone: decision.zone, at: decision.at)
        features = []
    }
}

/// Events in memory, for tests and previews.
public final class InMemoryEventStore: EventStore, @unchecked Sendable {
    private let lock = NSLock()
    private var byID: [String: UserEvent] = [:]
    private var ordered: [UserEvent] = []
    private var made: [StoredDecision] = []
    private var lastDecision: Int64 = 0
    private var metas: [String: String] = [:]

    public init() {}

    @discardableResult
    public func append(_ events: [UserEvent]) throws -> Int {
        try lock.withLock {
            var added: [String: UserEvent] = [:]
            for event in events {
                guard let known = byID[event.id] ?? added[event.id] else {
                    added[event.id] = event
                    continue
                }
                guard known.isSameFact(as: event) else { throw InhabitError.otherEvent(event.id) }
            }
            byID.merge(added) { known, _ in known }
            ordered.append(contentsOf: added.values)
            ordered.sort(by: UserEvent.inOrder)
            return added.count
        }
    }

    public func events(_ query: EventQuery) throws -> [UserEvent] {
        lock.withLock { ordered.filter(query.matches) }
    }

    public func append(_ decision: StoredDecision) throws {
        lock.withLock {
            lastDecision += 1
            made.append(decision)
            made[made.count - 1].id = lastDecision
        }
    }

    public func decisions(subject: String, since: Int64, openOnly: Bool) throws -> [StoredDecision] {
        lock.withLock {
            made.filter {
                $0.subject == subject && $0.decision.at.microseconds >= since && !(openOnly && $0.outcome != nil)
            }
        }
    }

    @discardableResult
    public func setOutcomes(_ outcomes: [Int64: Label]) throws -> Int {
        lock.withLock {
            var joined = 0
            for index in made.indices where made[index].outcome == nil {
                guard let id = made[index].id, let outcome = outcomes[id] else { continue }
                made[index].outcome = outcome
                joined += 1
            }
            return joined
        }
    }

    public func meta(_ key: String) throws -> String? { lock.withLock { metas[key] } }

    public func meta(_ key: String, orSet value: String) throws -> String {
        lock.withLock {
            let kept = metas[key] ?? value
            metas[key] = kept
            return kept
        }
    }

    public func setMeta(_ key: String, _ value: String?) throws { lock.withLock { metas[key] = value } }

    public func subjects() throws -> [String] {
        lock.withLock { Set(ordered.map(\.subject)).subtracting([""]).sorted() }
    }

    public func beginning(of subject: String, recordedBefore: Int64) throws -> Beginning? {
        lock.withLock {
            let known = ordered.filter { $0.recordedAt < recordedBefore }
            var found = known.filter { $0.subject == subject }.map {
                Beginning(occurredAt: $0.occurredAt.microseconds, recordedAt: $0.recordedAt)
            }
            let decided = made.filter { $0.subject == subject }.map(\.decision.at.microseconds).min()
            if let decided, decided < recordedBefore, let told = known.map(\.recordedAt).min() {
                found.append(Beginning(occurredAt: max(decided, told), recordedAt: max(decided, told)))
            }
            return found.min { ($0.occurredAt, $0.recordedAt) < ($1.occurredAt, $1.recordedAt) }
        }
    }

    public func offsetChanges(since: Int64, before end: Int64) throws -> [LocalInstant] {
        var query = EventQuery()
        query.recordedBefore = end
        return LocalClock(of: try events(query)).changes
    }

    @discardableResult
    public func forget(_ query: EventQuery) throws -> Int {
        lock.withLock {
            let doomed = ordered.filter(query.matches)
            for event in doomed { byID[event.id] = nil }
            ordered.removeAll(where: query.matches)
            if query.isRange { made.removeAll(where: query.matches) }
            if query == EventQuery() { metas = [:] }
            for index in made.indices {
                let about = doomed.filter { $0.subject.isEmpty || $0.subject == made[index].subject }
                if let known = about.map(\.recordedAt).min(), made[index].decision.at.microseconds >= known {
                    made[index].blank()
                }
                if let first = about.map(\.occurredAt.microseconds).min(), made[index].windowEnd > first {
                    made[index].outcome = nil
                }
            }
            return doomed.count
        }
    }
}

extension InhabitError {
    static func otherEvent(_ id: String) -> InhabitError {
        .event("id \"\(id)\" already stands for another event: events never change")
    }
}
