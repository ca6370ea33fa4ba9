import Foundation

/// What one person's events tell about a target, for features to ask.
///
/// Every answer for a moment depends only on events that occurred and were recorded before it.
struct History {
    /// How many earlier windows a feature may look back on.
    static let length = 128

    private let target: Target
    /// The moments of the schedule, from ``length`` before the first one asked about at least to the last.
    private let windows: [Moment]
    private let evidence: [Evidence]
    /// When events become known, ascending, and when the earliest known by then occurred.
    private let knownFrom: [Int64]
    private let earliest: [Int64]
    private let launches: Happenings
    private let taps: Happenings

    /// - Parameters:
    ///   - events: in order; those about the target's subject and none count.
    ///   - began: when the first event of all occurred, if `events` does not go back to it.
    init(events: [UserEvent], target: Target, windows: [Moment], began: Int64? = nil) {
        self.target = target
        self.windows = windows
        let happened = Happenings(events, type: target.type, subjects: [target.subject])
        let skipped = Happenings(events, type: target.skipType, subjects: [target.subject])
        evidence = windows.map {
            Evidence(target, happened: happened, skipped: skipped, moment: $0)
        }
        let about: Set = [target.subject, ""]
        launches = Happenings(events, type: .appOpened, subjects: about)
        taps = Happenings(events, type: .reminderTapped, subjects: about)

        let own = events.filter { about.contains($0.subject) }
        let known = own.map { (seen: $0.seenAt, occurred: $0.occurredAt.microseconds) }
            .sorted { $0.seen < $1.seen }
        knownFrom = (began == nil ? [] : [Int64.min]) + known.map(\.seen)
        var occurred = (began.map { [$0] } ?? []) + known.map(\.occurred)
        for index in occurred.indices.dropFirst() { occurred[index] = min(occurred[index], occurred[index - 1]) }
        earliest = occurred
    }

    /// What is known at a moment.
    func asOf(_ moment: Moment) -> AsOf {
        let at = moment.at.microseconds
        let known = knownFrom.partitionIndex { $0 >= at }
        let began = known == 0 ? never : earliest[known - 1]
        // Open windows stay out: what is known of them early is only ever "yes".
        let closed = evidence.partitionIndex { $0.maturesAt > at }
        let begun = windows.partitionIndex { $0.windowEnd > began }
        var past: [AsOf.Past] = []
        for index in (max(begun, closed - Self.length)..<max(begun, closed)).reversed() {
            let label = evidence[index].known(at: at)
            guard label != .unknown else { continue }
            past.append(
                AsOf.Past(
                    isPositive: label == .positive, slot: windows[index].slot,
                    daysAgo: moment.day - windows[index].day))
        }
        return AsOf(
            moment: moment, past: past,
            launchesToday: launches.count(since: moment.dayStart, visibleAt: at),
            tapsToday: taps.count(since: moment.dayStart, visibleAt: at))
    }
}

extension History {
    /// What was known at the last scheduled moment, while its window is open, or else at this instant.
    ///
    /// Reads a bounded number of the store's events.
    static func live(
        _ store: any EventStore, target: Target, schedule: Schedule, now: LocalInstant
    ) throws -> AsOf {
        let at = now.microseconds
        let today = now.localDay(startingAt: schedule.dayStart)
        var days = length / schedule.times.count + 1
        var (windows, moment): ([Moment], Moment)
        var began: Int64
        repeat {
            // As if local time were UTC: a margin of days is more than any offset.
            let since = schedule.localStart(ofDay: today - days - Schedule.marginDays)
            let clock = LocalClock(changes: try store.offsetChanges(since: since, before: at)).with(now: now)
            windows = schedule.moments(on: clock, window: target.window, days: today - days...today + 2)
            let scheduled = windows[..<windows.partitionIndex { $0.at.microseconds > at }].last
            if let scheduled, scheduled.windowEnd > at {
                moment = scheduled
            } else {
                moment = schedule.moment(at: now, on: clock, window: target.window)
            }
            let asOf = moment.at.microseconds
            began = try store.firstOccurrence(subject: target.subject, recordedBefore: asOf) ?? never
            days *= 2  // long windows, or moments swallowed by jumps of the clock
        } while !reachesBack(windows, from: moment, began: began, grace: target.grace)

        // What the target did in all windows, what else happened only today.
        var query = EventQuery(subject: target.subject)
        query.recordedBefore = moment.at.microseconds
        query.types = [target.type, target.skipType].compactMap { $0 }
        query.since = windows.map { min($0.dayStart, $0.windowStart) }.min()
        var events = try store.events(query)
        query.types = [.appOpened, .reminderTapped].filter { query.types?.contains($0) == false }
        query.since = moment.dayStart
        events += try store.events(query)
        return History(events: events, target: target, windows: windows, began: began).asOf(moment)
    }

    /// Whether the windows hold the whole history of a moment.
    private static func reachesBack(_ windows: [Moment], from moment: Moment, began: Int64, grace: Int64) -> Bool {
        let closed = windows.partitionIndex { $0.windowEnd + grace > moment.at.microseconds }
        return closed >= length || windows[0].windowEnd <= began
    }
}

/// What is known at one moment.
struct AsOf {
    /// A closed window with a known label.
    struct Past {
        let isPositive: Bool
        let slot: Int
        /// How many local days before the moment's it opened.
        let daysAgo: Int
    }

    let moment: Moment
    /// The latest first.
    let past: [Past]
    let launchesToday: Int
    let tapsToday: Int
}

extension UserEvent {
    /// When the event had both occurred and been recorded.
    var seenAt: Int64 { max(occurredAt.microseconds, recordedAt) }
}
