import Foundation

/// The ten default features of a moment, all in [0, 1]: what the model reads.
///
/// Computed in `Double` with only `+ - * /` and comparisons, sums strictly from the latest to the oldest,
/// and rounded to `Float` once at the end: the same bits as in Python, live, in training and in replay.
public struct HabitFeatures: Hashable, Sendable {
    /// `min(s, 30) / 30`: `s` positive windows in a row, up to the latest.
    public var currentStreak: Float
    /// `(s + 1) / (n + 2)`: `s` positive of `n` windows of the last 30 local days and today.
    public var completionRate30Days: Float
    /// `c / (c + 3)`: `c` times the app was opened so far today.
    public var appLaunchesToday: Float
    /// `c / (c + 3)`: `c` reminders tapped so far today.
    public var remindersOpenedToday: Float
    /// Local time of day, in days since local midnight.
    public var hourOfDay: Float
    /// `(s + 4 r) / (n + 4)`: `s` positive of `n` windows of the same slot.
    public var sameSlotRate: Float
    /// `(s + 6 r) / (n + 6)`: `s` positive of `n` windows of the same weekday.
    public var sameWeekdayRate: Float
    /// `(s + 4 q) / (n + 4)`: of the same slot and the same kind of day, weekend or not; `q` is the rate of the slot.
    public var sameKindOfDayRate: Float
    /// 1 where the window opens on a Saturday or Sunday, else 0.
    public var weekend: Float
    /// `l / (l + 3)`: `l` windows in a row that were not positive, or not known, up to the latest.
    public var currentLapse: Float

    /// The names, in the order of ``inputs``.
    public static let names = [
        "current_streak", "completion_rate_30d", "app_launches_today", "reminders_opened_today", "hour_of_day",
        "same_slot_rate", "same_weekday_rate", "same_kind_of_day_rate", "weekend", "current_lapse",
    ]

    /// SHA-256 of what a model that reads these features depends on: names, versions, kinds, parameters.
    static let schema = sha256Hex(Array(schemaJSON.utf8))

    private static let schemaJSON = """
        {"features":[["current_streak",1,false,{}],["completion_rate_30d",1,true,{}],\
        ["app_launches_today",1,false,{"half_at":3,"kind":"app_opened"}],\
        ["reminders_opened_today",1,false,{"half_at":3,"kind":"reminder_tapped"}],\
        ["hour_of_day",1,false,{}],["same_slot_rate",1,true,{}],["same_weekday_rate",1,true,{}],\
        ["same_kind_of_day_rate",1,true,{}],["weekend",1,false,{}],["current_lapse",1,false,{}]],"history":128}
        """

    /// Which of them estimate the target's probability; the model reads those as log odds. Bit 0 is the first.
    static let rates: UInt64 = 0b00_1110_0010

    /// The ten numbers that the model reads.
    public var inputs: [Float] {
        [
            currentStreak, completionRate30Days, appLaunchesToday, remindersOpenedToday, hourOfDay, sameSlotRate,
            sameWeekdayRate, sameKindOfDayRate, weekend, currentLapse,
        ]
    }
}

extension HabitFeatures {
    init(_ asOf: AsOf) {
        let (past, moment) = (asOf.past, asOf.moment)
        let streak = past.prefix { $0.isPositive }.count
        currentStreak = Float(Double(min(streak, 30)) / 30)

        let month = Tally(past) { $0.daysAgo <= 30 }
        completionRate30Days = Float(month.rate(strength: 2, prior: 0.5))
        appLaunchesToday = Float(saturating(asOf.launchesToday, halfAt: 3))
        remindersOpenedToday = Float(saturating(asOf.tapsToday, halfAt: 3))
        hourOfDay = Float(Double(moment.at.clockMicroseconds) / Double(microsecondsPerDay))

        let long = Tally(past) { _ in true }.rate(strength: 2, prior: 0.5)
        let sameSlot = past.filter { $0.slot == moment.slot }
        let ofSlot = Tally(sameSlot) { _ in true }.rate(strength: 4, prior: long)
        sameSlotRate = Float(ofSlot)
        sameWeekdayRate = Float(Tally(past) { $0.daysAgo % 7 == 0 }.rate(strength: 6, prior: long))
        let sameKindOfDay = Tally(sameSlot) { $0.isWeekend == moment.isWeekend }
        sameKindOfDayRate = Float(sameKindOfDay.rate(strength: 4, prior: ofSlot))
        weekend = moment.isWeekend ? 1 : 0
        currentLapse = Float(saturating(asOf.lapse, halfAt: 3))
    }
}

/// How many windows, and how many of them positive.
private struct Tally {
    private var positive = 0
    private var known = 0

    init(_ past: [AsOf.Past], where isAlike: (AsOf.Past) -> Bool) {
        for window in past where isAlike(window) {
            known += 1
            if window.isPositive { positive += 1 }
        }
    }

    /// The rate, as if `strength` more windows had had the rate `prior`.
    func rate(strength: Double, prior: Double) -> Double {
        (Double(positive) + strength * prior) / (Double(known) + strength)
    }
}

/// `amount / (amount + halfAt)`: 0 at 0, 1/2 at `halfAt`, towards 1.
private func saturating(_ amount: Int, halfAt: Double) -> Double {
    Double(amount) / (Double(amount) + halfAt)
}
