/// What the time of day adds: the longer nothing has happened, the less is still to come.
///
/// A prediction is made once, at the beginning of a window. Later in the window, as long as the target has not
/// occurred, Bayes' rule updates it: with `p` the probability at the beginning and `s` the share of this
/// person's completions that come later than now, `P(still to come | not yet) = p s / (p s + 1 - p)`.
enum Timing {
    /// How many days of completions tell the time of day.
    static let lookBackDays: Int64 = 64
    private static let strength = 2.0

    /// The share of completions that come later in the window than now; in (0, 1], 1 before the window begins.
    ///
    /// `(later + 2 left) / (n + 2)`, where `left` is the share of the window that lies ahead, `n` the number of
    /// earlier days with a completion within the hours of the window, and `later` how many of these had the
    /// first one later in the day than now. All instants are local, in microseconds.
    static func shareToCome(_ completed: [Int64], start: Int64, end: Int64, now: Int64) -> Double {
        guard now > start else { return 1 }
        let (length, elapsed) = (end - start, now - start)
        let left = Double(length - elapsed) / Double(length)
        let longestDay = microsecondsPerDay + microsecondsPerDay / 24  // a day with 25 hours is still a day
        guard length <= longestDay else { return left }
        var firstDelays: [Int64: Int64] = [:]
        for instant in completed {
            let day = floorQuotient(instant - start, microsecondsPerDay)
            let delay = floorRemainder(instant - start, microsecondsPerDay)
            guard day < 0, delay < length else { continue }
            firstDelays[day] = min(firstDelays[day] ?? delay, delay)
        }
        let later = firstDelays.values.filter { $0 > elapsed }.count
        return (Double(later) + strength * left) / (Double(firstDelays.count) + strength)
    }

    /// The probability given that it has not happened yet.
    static func stillToCome(_ probability: Double, share: Double) -> Double {
        if share == 1 { return probability }  // exactly what was said, not nearly
        let toCome = probability * share
        return toCome / (toCome + 1 - probability)
    }
}
