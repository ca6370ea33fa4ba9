import Foundation

let microsecondsPerSecond: Int64 = 1_000_000
let microsecondsPerDay: Int64 = 86_400 * microsecondsPerSecond

/// An instant together with the local clock of the person it happened to.
///
/// The clock is the offset from UTC that held there and then, so neither travel, nor daylight saving,
/// nor a later change of a time zone's rules can move an event to another day.
public struct LocalInstant: Hashable, Sendable, Codable {
    /// Microseconds of UTC since 1970.
    public var microseconds: Int64
    /// Seconds by which the local clock is ahead of UTC.
    public var utcOffset: Int

    public init(microseconds: Int64, utcOffset: Int) {
        self.microseconds = microseconds
        self.utcOffset = utcOffset
    }

    /// The instant of `date` on the clocks of `timeZone`, rounded to the microsecond.
    public init(_ date: Date, in timeZone: TimeZone = .current) {
        let us = (date.timeIntervalSince1970 * 1e6).rounded()
        self.init(microseconds: Int64(us), utcOffset: timeZone.secondsFromGMT(for: date))
    }

    /// The present instant.
    public static func now(in timeZone: TimeZone = .current) -> LocalInstant {
        LocalInstant(Date(), in: timeZone)
    }

    /// The instant, without its clock.
    public var date: Date { Date(timeIntervalSince1970: Double(microseconds) / 1e6) }

    /// Microseconds since 1970 as the local clock shows them.
    var localMicroseconds: Int64 { microseconds + Int64(utcOffset) * microsecondsPerSecond }

    /// What the local clock shows, in microseconds after midnight.
    var clockMicroseconds: Int64 { floorRemainder(localMicroseconds, microsecondsPerDay) }

    /// Days since 1970 of the local day that began at `dayStart`: the small hours belong to the evening before.
    func localDay(startingAt dayStart: ClockTime) -> Int {
        Int(floorQuotient(localMicroseconds - dayStart.microseconds, microsecondsPerDay))
    }
}

/// A time of day on a wall clock.
public struct ClockTime: Hashable, Sendable, Codable, Comparable {
    public let hour: Int
    public let minute: Int

    /// - Throws: ``InhabitError/config(argument:reason:)`` for a time that no clock shows.
    public init(hour: Int, minute: Int = 0) throws {
        guard (0..<24).contains(hour), (0..<60).contains(minute) else {
            throw InhabitError.config(
                argument: "time", reason: "expected 00:00 to 23:59, got \(hour):\(minute)")
        }
        self.init(unchecked: hour, minute)
    }

    private init(unchecked hour: Int, _ minute: Int) {
        self.hour = hour
        self.minute = minute
    }

    /// 04:00, when a day begins unless you say otherwise: what is done at 01:00 belongs to the evening before.
    public static let dayStart = ClockTime(unchecked: 4, 0)
    static let quietFrom = ClockTime(unchecked: 22, 0)
    static let quietTo = ClockTime(unchecked: 7, 0)

    var microseconds: Int64 { Int64(hour * 60 + minute) * 60 * microsecondsPerSecond }

    public static func < (a: ClockTime, b: ClockTime) -> Bool { a.microseconds < b.microseconds }
}

extension ClockTime: CustomStringConvertible {
    public var description: String {
        let hours = hour < 10 ? "0\(hour)" : "\(hour)"
        let minutes = minute < 10 ? "0\(minute)" : "\(minute)"
        return "\(hours):\(minutes)"
    }
}

/// `a / b` rounded down, as days before 1970 need it.
func floorQuotient(_ a: Int64, _ b: Int64) -> Int64 {
    let (quotient, remainder) = a.quotientAndRemainder(dividingBy: b)
    return remainder < 0 ? quotient - 1 : quotient
}

/// What ``floorQuotient(_:_:)`` leaves: never negative.
func floorRemainder(_ a: Int64, _ b: Int64) -> Int64 { a - floorQuotient(a, b) * b }
