import Foundation

/// When, as seen from a moment, the target may happen. Windows are half open: from `start` up to `end`.
public enum Window: Hashable, Sendable {
    /// From the moment to the next moment of the schedule.
    case nextMoment
    /// From the moment to the end of its local day.
    case restOfDay
    /// The whole local day after the moment's.
    case nextDay
    /// From the moment for so many microseconds.
    case duration(microseconds: Int64)

    /// The longest ``duration(microseconds:)``: 366 days.
    public static let longest = 366 * microsecondsPerDay

    /// Its length; 0 unless it is a ``duration(microseconds:)``.
    var duration: Int64 {
        guard case let .duration(length) = self else { return 0 }
        return length
    }
}

/// The local times of day at which predictions are made, and the hour a local day begins.
public struct Schedule: Hashable, Sendable {
    /// Most times in one schedule.
    public static let maxSlots = 24
    /// Offsets lie within a day: this many days on each side hold every local day an instant can touch.
    static let marginDays = 3
    /// In the order in which they come within a local day; the index is the moment's slot.
    public let times: [ClockTime]
    /// When the local day begins.
    public let dayStart: ClockTime

    /// One moment a day, as the day begins.
    public init() { self.init(sorted: [.dayStart], dayStart: .dayStart) }

    init(sorted times: [ClockTime], dayStart: ClockTime) {
        self.times = times
        self.dayStart = dayStart
    }

    /// - Throws: ``InhabitError/config(argument:reason:)`` if there are no times, more than 24, or two equal ones.
    public init(times: [ClockTime], dayStart: ClockTime = .dayStart) throws {
        guard (1...Self.maxSlots).contains(times.count), Set(times).count == times.count else {
            throw InhabitError.config(
                argument: "times",
                reason: "expected 1 to \(Self.maxSlots) different times of day, got \(times)")
        }
        let sorted = times.sorted { Self.offset($0, dayStart) < Self.offset($1, dayStart) }
        self.init(sorted: sorted, dayStart: dayStart)
    }

    /// Microseconds from the start of the local day to each slot, ascending.
    var offsets: [Int64] { times.map { Self.offset($0, dayStart) } }

    private static func offset(_ time: ClockTime, _ dayStart: ClockTime) -> Int64 {
        floorRemainder(time.microseconds - dayStart.microseconds, microsecondsPerDay)
    }

    /// Microseconds since local 1970 at which the local day `day` begins.
    func localStart(ofDay day: Int) -> Int64 {
        Int64(day) * microsecondsPerDay + dayStart.microseconds
    }
}

/// The instant that a prediction is made as of: it sees only what was recorded before.
public struct Moment: Hashable, Sendable {
    public let at: LocalInstant
    /// Index of the time of day in the schedule.
    public let slot: Int
    /// Days since 1970 of the local day.
    public let day: Int
    /// When that local day began, in microseconds of UTC since 1970.
    public let dayStart: Int64
    /// When the target may happen: from `windowStart` up to `windowEnd`, in microseconds of UTC since 1970.
    public let windowStart: Int64
    public let windowEnd: Int64

    /// Whether the window begins on a Saturday or Sunday.
    var isWeekend: Bool {
        let monday = Int64(day) + 3 + (windowStart > at.microseconds ? 1 : 0)
        return floorRemainder(monday, 7) >= 5
    }
}

/// A person's local time: the UTC offsets that were in force, as the log tells them.
///
/// Local time follows the person: it is UTC plus the offset carried by the event that was *recorded
/// last* before an instant. Daylight saving and travel are changes of that offset.
struct LocalClock: Hashable, Sendable {
    /// Offset `i` holds at instants after `changedAt[i]`, up to and with `changedAt[i + 1]`; the first also before.
    private(set) var changedAt: [Int64]
    private(set) var offsets: [Int64]
    /// The latest local time shown by the end of each segment.
    private let furthestLocal: [Int64]

    private init(changedAt: [Int64], offsets: [Int64]) {
        self.changedAt = changedAt
        self.offsets = offsets
        var furthest: [Int64] = []
        for segment in offsets.indices {
            let isLast = segment + 1 == offsets.count
            let end = isLast ? Int64.max / 2 : changedAt[segment + 1] + offsets[segment]
            furthest.append(max(end, furthest.last ?? Int64.min))
        }
        furthestLocal = furthest
    }

    /// The clock of a log: every event, once recorded, says what the offset is.
    init(of events: [UserEvent]) {
        var changedAt: [Int64] = []
        var offsets: [Int64] = []
        // Ties of the recording keep the order of the log, and the last one counts.
        let byRecording = events.enumerated().sorted {
            ($0.element.recordedAt, $0.offset) < ($1.element.recordedAt, $1.offset)
        }
        for (index, (_, event)) in byRecording.enumerated() {
            let next = index + 1 < byRecording.count ? byRecording[index + 1].element : nil
            if next?.recordedAt == event.recordedAt { continue }
            let offset = Int64(event.occurredAt.utcOffset) * microsecondsPerSecond
            if offsets.last != offset {
                changedAt.append(event.recordedAt)
                offsets.append(offset)
            }
        }
        if offsets.isEmpty { (changedAt, offsets) = ([0], [0]) }
        self.init(changedAt: changedAt, offsets: offsets)
    }

    /// The clock of changes that a store has found.
    ///
    /// - Parameter here: the device itself tells the offset at an instant.
    init(changes: [LocalInstant], here: LocalInstant? = nil) {
        let known = changes.isEmpty ? [here ?? LocalInstant(microseconds: 0, utcOffset: 0)] : changes
        let clock = LocalClock(
            changedAt: known.map(\.microseconds), offsets: known.map { Int64($0.utcOffset) * microsecondsPerSecond })
        self = here.map(clock.with(now:)) ?? clock
    }

    /// When the clock changed, and to what.
    var changes: [LocalInstant] {
        zip(changedAt, offsets).map {
            LocalInstant(microseconds: $0, utcOffset: Int($1 / microsecondsPerSecond))
        }
    }

    /// The clock up to an instant at which the device itself tells the offset.
    func with(now: LocalInstant) -> LocalClock {
        let known = changedAt.partitionIndex { $0 >= now.microseconds }
        let offset = Int64(now.utcOffset) * microsecondsPerSecond
        var (changes, values) = (Array(changedAt[..<known]), Array(offsets[..<known]))
        if values.last != offset {
            changes.append(now.microseconds - 1)
            values.append(offset)
        }
        return LocalClock(changedAt: changes, offsets: values)
    }

    /// The offset in force at an instant, in seconds.
    func offset(at instant: Int64) -> Int {
        let segment = changedAt.partitionIndex { $0 >= instant } - 1
        return Int(offsets[max(segment, 0)] / microsecondsPerSecond)
    }

    /// The first instant at which the local clock shows at least `local`.
    func firstInstant(local: Int64) -> Int64 {
        let segment = furthestLocal.partitionIndex { $0 >= local }
        let at = local - offsets[segment]
        return segment == 0 ? at : max(at, changedAt[segment] + 1)
    }
}

extension Array {
    /// The first index whose element satisfies `isSecondHalf`, in an array that is sorted by it.
    func partitionIndex(_ isSecondHalf: (Element) -> Bool) -> Int {
        var (low, high) = (startIndex, endIndex)
        while low < high {
            let middle = (low + high) / 2
            if isSecondHalf(self[middle]) { high = middle } else { low = middle + 1 }
        }
        return low
    }
}

extension Schedule {
    /// Every moment of a range of local days.
    ///
    /// Of moments that one jump of the local clock skips together, the last one remains; it is left out,
    /// too, when the jump ends its local day.
    func moments(on clock: LocalClock, window: Window, days: ClosedRange<Int>) -> [Moment] {
        // One day more than asked for, so that the last moment has a successor.
        let last = days.upperBound + 1
        var found: [(at: Int64, slot: Int, day: Int)] = []
        for day in days.lowerBound...last {
            let locals = offsets.map { localStart(ofDay: day) + $0 } + [localStart(ofDay: day + 1)]
            let instants = locals.map(clock.firstInstant)
            for slot in times.indices where instants[slot] < instants[slot + 1] {
                found.append((instants[slot], slot, day))
            }
        }
        func start(_ day: Int) -> Int64 { clock.firstInstant(local: localStart(ofDay: day)) }
        var moments: [Moment] = []
        for (index, (at, slot, day)) in found.enumerated() where day <= days.upperBound {
            let next = index + 1 < found.count ? found[index + 1].at : start(last + 2)
            let instant = LocalInstant(microseconds: at, utcOffset: clock.offset(at: at))
            let (from, to) = window.bounds(from: at, nextMoment: next) { start(day + $0) }
            moments.append(
                Moment(
                    at: instant, slot: slot, day: day, dayStart: start(day), windowStart: from, windowEnd: to))
        }
        return moments
    }

    /// Local days with every moment that lies in, or can reach, the time from `first` to `last`.
    ///
    /// The last of them begins after that time, wherever the person is.
    func days(window: Window, from first: Int64, to last: Int64) -> ClosedRange<Int> {
        func utcDay(_ instant: Int64) -> Int {
            LocalInstant(microseconds: instant, utcOffset: 0).localDay(startingAt: dayStart)
        }
        let reach = Self.marginDays + Int(window.duration / microsecondsPerDay)
        return utcDay(first) - reach...utcDay(last) + Self.marginDays
    }

    /// One moment at any instant.
    ///
    /// Its day is the last local day begun, its slot the last one begun in that day; its window is the one
    /// a moment of the schedule would have at this instant.
    func moment(at now: LocalInstant, on clock: LocalClock, window: Window) -> Moment {
        let (clock, at) = (clock.with(now: now), now.microseconds)
        func start(_ day: Int) -> Int64 { clock.firstInstant(local: localStart(ofDay: day)) }
        var day = now.localDay(startingAt: dayStart)
        // Every day is lived once: after a flight west, the one the clock shows may be over already.
        while start(day + 1) <= at { day += 1 }
        let begun = offsets.filter { clock.firstInstant(local: localStart(ofDay: day) + $0) <= at }.count
        let next = moments(on: clock, window: .nextMoment, days: day...(day + 1))
            .first { $0.at.microseconds > at }
        let after = next?.at.microseconds ?? start(day + 2)
        let (from, to) = window.bounds(from: at, nextMoment: after) { start(day + $0) }
        return Moment(
            at: now, slot: max(begun - 1, 0), day: day, dayStart: start(day), windowStart: from, windowEnd: to)
    }
}

extension Window {
    /// The window of a moment; `dayStart` tells when the day so many days later begins.
    fileprivate func bounds(
        from at: Int64, nextMoment: Int64, dayStart: (Int) -> Int64
    ) -> (start: Int64, end: Int64) {
        switch self {
        case .nextMoment: return (at, nextMoment)
        case .restOfDay: return (at, dayStart(1))
        case .nextDay: return (dayStart(1), dayStart(2))
        case let .duration(length): return (at, at + length)
        }
    }
}
