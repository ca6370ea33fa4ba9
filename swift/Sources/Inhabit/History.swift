import Foundation

/// What one person's events tell about a target, for features to ask.
///
/// Every answer for a moment depends only on events that occurred and were recorded before it.
struct History {
    /// How many earlier windows a feature may look back on.
    static let length = 128

    let target: Target
    /// The moments of the schedule, from ``length`` before the first one asked about at least to the last.
    private let windows: [Moment]
    private let evidence: [Evidence]
    /// What the subject began with, as known after ever later instants.
    private let began: [Beginning]
    private let launches: Happenings
    private let taps: Happenings

    /// - Parameters:
    ///   - events: in order; those about the target's subject and none count.
    ///   - began: what the subject began with, as known after ever later instants.
    init(events: [UserEvent], target: Target, windows: [Moment], began: [Beginning]) {
        self.target = target
        self.windows = windows
        self.began = began
        let happened = Happenings(events, type: target.type, subjects: [target.subject])
        let skipped = Happenings(events, type: target.skipType, subjects: [target.subject])
        evidence = windows.map {
            Evidence(target, happened: happened, skipped: skipped, moment: $0)
        }
        let about: Set = [target.subject, ""]
        launches = Happenings(events, type: .appOpened, subjects: about)
        taps = Happenings(events, type: .reminderTapped, subjects: about)
    }

    /// What is known about the window of a moment of the schedule, and since when.
    func evidence(of moment: Moment) -> Evidence {
        evidence[windows.partitionIndex { $0.at.microseconds >= moment.at.microseconds }]
    }

    /// What is known at a moment.
    func asOf(_ moment: Moment) -> AsOf {
        let at = moment.at.microseconds
        let known = self.began.partitionIndex { $0.recordedAt >= at }
        let began = known == 0 ? never : self.began[known - 1].occurredAt
        // Open windows stay out: what is known of them early is only ever "yes".
        let closed = evidence.partitionIndex { $0.maturesAt > at }
        let begun = windows.partitionIndex { $0.windowEnd > began }
        var past: [AsOf.Past] = []
        let within = max(begun, closed - Self.length)..<max(begun, closed)
        for index in within.reversed() {
            let label = evidence[index].known(at: at)
            guard label != .unknown else { continue }
            past.append(
                AsOf.Past(
                    isPositive: label == .positive, slot: windows[index].slot,
                    windowsAgo: within.upperBound - 1 - index, daysAgo: moment.day - windows[index].day,
                    isWeekend: windows[index].isWeekend))
        }
        return AsOf(
            moment: moment, past: past,
            launchesToday: launches.count(since: moment.dayStart, visibleAt: at),
            tapsToday: taps.count(since: moment.dayStart, visibleAt: at))
    }
}

extension History {
    /// The moments of local days and, before them, ``length`` whose windows had closed by then.
    ///
    /// - Parameters:
    ///   - end: local time is what was recorded of it before this instant.
    ///   - here: the device itself tells the offset at an instant.
    /// - Returns: the clock that is in force from the first of these moments on, and the moments.
    static func windows(
        of store: any EventStore, target: Target, schedule: Schedule, days: ClosedRange<Int>, before end: Int64,
        here: LocalInstant? = nil
    ) throws -> (clock: LocalClock, windows: [Moment]) {
        let begins = schedule.localStart(ofDay: days.lowerBound) - microsecondsPerDay  // nobody's day begins earlier
        var reach = length / schedule.times.count + 1 + Schedule.marginDays
        reach += Int((target.window.duration + target.grace) / microsecondsPerDay)
        while true {
            let first = days.lowerBound - reach
            let since = schedule.localStart(ofDay: first - Schedule.marginDays)
            let clock = LocalClock(changes: try store.offsetChanges(since: since, before: end), here: here)
            let windows = schedule.moments(on: clock, window: target.window, days: first...days.upperBound)
            let closed = windows.partitionIndex { $0.windowEnd + target.grace > begins }
            if closed >= length { return (clock, windows) }
            reach *= 2  // the clock jumped over so many moments
        }
    }

    /// What a store tells about moments, from what was recorded before an instant.
    ///
    /// Reads no more than the moments look at; `windows` are those of ``windows(of:target:schedule:days:before:here:)``.
    init(
        of store: any EventStore, target: Target, moments: [Moment], windows: [Moment], before end: Int64
    ) throws {
        // What the target did in all windows, what else happened only on the days of the moments, up to them.
        var query = EventQuery(subject: target.subject)
        query.recordedBefore = end
        query.types = [target.type, target.skipType].compactMap { $0 }
        query.since = windows.map { min($0.dayStart, $0.windowStart) }.min()
        var events = try store.events(query)
        query.types = [.appOpened, .reminderTapped].filter { query.types?.contains($0) == false }
        let days = Dictionary(grouping: moments, by: \.dayStart).mapValues { $0.map(\.at.microseconds).max() ?? .min }
        for (start, last) in days.sorted(by: { $0.key < $1.key }) where start < last {
            (query.since, query.until) = (start, last)
            events += try store.events(query)
        }

        var began: [Beginning] = []
        var known = try store.beginning(of: target.subject, recordedBefore: end)
        while let beginning = known {
            began.append(beginning)
            guard let first = moments.first, beginning.recordedAt >= first.at.microseconds else { break }
            known = try store.beginning(of: target.subject, recordedBefore: beginning.recordedAt)
        }
        self.init(events: events, target: target, windows: windows, began: began.reversed())
    }

    /// What was known at the last scheduled moment, while its window is open, or else at this instant.
    static func live(
        _ store: any EventStore, target: Target, schedule: Schedule, now: LocalInstant
    ) throws -> AsOf {
        let at = now.microseconds
        let days = schedule.days(window: target.window, from: at, to: at)
        let (clock, windows) = try windows(
            of: store, target: target, schedule: schedule, days: days, before: at, here: now)
        let scheduled = windows[windows.partitionIndex { $0.at.microseconds > at } - 1]
        let isOpen = scheduled.windowEnd > at
        let moment = isOpen ? scheduled : schedule.moment(at: now, on: clock, window: target.window)
        return try History(
            of: store, target: target, moments: [moment], windows: windows, before: moment.at.microseconds
        ).asOf(moment)
    }
}

/// What is known at one moment.
struct AsOf {
    /// A closed window with a known label.
    struct Past {
        let isPositive: Bool
        let slot: Int
        /// How many windows were closed since, with or without a label.
        let windowsAgo: Int
        /// How many local days before the moment's it opened.
        let daysAgo: Int
        let isWeekend: Bool
    }

    let moment: Moment
    /// The latest first.
    let past: [Past]
    let launchesToday: Int
    let tapsToday: Int

    /// How many windows were closed since the last positive one, or since one just before the first label.
    var lapse: Int {
        if let positive = past.first(where: \.isPositive) { return positive.windowsAgo }
        return past.last.map { $0.windowsAgo + 1 } ?? 0
    }
}

extension UserEvent {
    /// When the event had both occurred and been recorded.
    var seenAt: Int64 { max(occurredAt.microseconds, recordedAt) }
}
