/// The question that is open at an instant: that of the last scheduled moment while its window is open, or
/// else that of the instant itself.
///
/// What is known as of its moment is the prediction's ground; what has happened since then updates it.
struct Question {
    let now: LocalInstant
    let moment: Moment
    let features: HabitFeatures
    private let target: Target

    init(at now: LocalInstant, of store: any EventStore, target: Target, schedule: Schedule) throws {
        let asOf = try History.live(store, target: target, schedule: schedule, now: now)
        (self.now, self.target, moment, features) = (now, target, asOf.moment, HabitFeatures(asOf))
    }

    /// Whether it is answered already: done, skipped, or open.
    func known(to store: any EventStore) throws -> Label {
        let start = target.once ? moment.dayStart : moment.windowStart
        var query = EventQuery(subject: target.subject)
        query.types = [target.type, target.skipType].compactMap { $0 }
        (query.since, query.until) = (start, moment.windowEnd)
        let events = try store.events(query)
        let happened = Happenings(events, type: target.type, subjects: [target.subject])
        let skipped = Happenings(events, type: target.skipType, subjects: [target.subject])
        return Evidence(target, happened: happened, skipped: skipped, from: start, to: moment.windowEnd)
            .known(at: now.microseconds + 1)  // what is recorded now is known now
    }

    /// The probability of an open question, given that nothing has happened in its window so far.
    func updated(_ probability: Double, by store: any EventStore) throws -> Double {
        var query = EventQuery(subject: target.subject)
        query.exactSubject = true
        query.types = [target.type]
        query.since = moment.windowStart - Timing.lookBackDays * microsecondsPerDay
        (query.until, query.recordedBefore) = (moment.windowStart, moment.at.microseconds)
        let completed = try store.events(query).map(\.occurredAt.localMicroseconds)
        let offset = Int64(now.utcOffset) * microsecondsPerSecond
        let share = Timing.shareToCome(
            completed, start: moment.windowStart + offset, end: moment.windowEnd + offset,
            now: now.localMicroseconds)
        return Timing.stillToCome(probability, share: share)
    }
}
