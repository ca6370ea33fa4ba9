/// Instants as ISO 8601 writes them on their own clock: the words of ``Due``, and how a home keeps its last training.
extension LocalInstant {
    /// Such as `2026-03-02T03:00+01:00`.
    var toMinutes: String { "\(dateText)T\(clockText(parts: 2))\(offsetText)" }

    /// Such as `2026-03-02T03:00:00.000001+01:00`; without the fraction if it is 0.
    var text: String {
        let fraction = clockMicroseconds % microsecondsPerSecond
        return "\(dateText)T\(clockText(parts: 3))\(fraction == 0 ? "" : ".\(padded(fraction, 6))")\(offsetText)"
    }

    /// Reads what ``text`` writes; `nil` for anything else.
    init?(text: String) {
        // Behind the date a minus is that of the offset.
        let isBehind = text.dropFirst(10).contains("-")
        let digits = text.split { !("0"..."9").contains($0) }
        var numbers = digits.compactMap { Int64($0) }
        let fraction = text.contains(".") && numbers.count > 6 ? numbers.remove(at: 6) : 0
        guard (8...9).contains(numbers.count), numbers.allSatisfy({ $0 < 10_000 }), fraction < 1_000_000 else {
            return nil
        }
        let seconds = { (at: ArraySlice<Int64>) in zip(at, [3600, 60, 1]).reduce(0) { $0 + $1.0 * $1.1 } }
        let offset = seconds(numbers[6...]) * (isBehind ? -1 : 1)
        let day = daysSince1970(year: numbers[0], month: numbers[1], day: numbers[2])
        let local = day * 86_400 + seconds(numbers[3..<6])
        self.init(microseconds: (local - offset) * microsecondsPerSecond + fraction, utcOffset: Int(offset))
    }

    private var dateText: String {
        let (year, month, day) = civilDate(daysSince1970: floorQuotient(localMicroseconds, microsecondsPerDay))
        return "\(padded(year, 4))-\(padded(month, 2))-\(padded(day, 2))"
    }

    private func clockText(parts: Int) -> String { sexagesimal(clockMicroseconds / microsecondsPerSecond, parts) }

    private var offsetText: String {
        let seconds = Int64(abs(utcOffset))
        return (utcOffset < 0 ? "-" : "+") + sexagesimal(seconds, seconds % 60 == 0 ? 2 : 3)
    }
}

/// The first parts of `hours:minutes:seconds`.
private func sexagesimal(_ seconds: Int64, _ parts: Int) -> String {
    [seconds / 3600, seconds / 60 % 60, seconds % 60].prefix(parts).map { padded($0, 2) }.joined(separator: ":")
}

private func padded(_ number: Int64, _ width: Int) -> String {
    let digits = String(number)
    return String(repeating: "0", count: max(width - digits.count, 0)) + digits
}

// Years that begin in March have their leap day at the end, and 400 of them have 146,097 days.
// 1970-01-01 is day 719,468 since 0000-03-01.

/// The date in the Gregorian calendar, extended to before its beginning.
private func civilDate(daysSince1970: Int64) -> (year: Int64, month: Int64, day: Int64) {
    let (era, dayOfEra) = (
        floorQuotient(daysSince1970 + 719_468, 146_097), floorRemainder(daysSince1970 + 719_468, 146_097)
    )
    let year = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * year + year / 4 - year / 100)
    let month = (5 * dayOfYear + 2) / 153  // since March
    let isNewYear = month >= 10
    return (
        400 * era + year + (isNewYear ? 1 : 0), month + (isNewYear ? -9 : 3), dayOfYear - (153 * month + 2) / 5 + 1
    )
}

/// Days from 1970-01-01 to a date.
private func daysSince1970(year: Int64, month: Int64, day: Int64) -> Int64 {
    let year = month <= 2 ? year - 1 : year
    let (era, yearOfEra) = (floorQuotient(year, 400), floorRemainder(year, 400))
    let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
    return 146_097 * era + 365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
}
