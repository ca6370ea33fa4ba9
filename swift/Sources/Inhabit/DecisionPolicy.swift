import Foundation

/// What the product wants: when to remind, when to keep quiet.
///
/// A reminder is *allowed* when nothing stands in the way (already done, snoozed, quiet hours, the cap
/// of the day, the minimum gap). Only among allowed reminders does the probability choose, and only
/// there may chance take part: nothing random ever breaks a limit.
public struct DecisionPolicy: Hashable, Sendable {
    /// Below this probability the person needs help: remind.
    public var remindBelow = 0.4
    /// Above this probability a reminder would only be noise: suppress.
    public var suppressAbove = 0.8
    /// A zone, once entered at its threshold, is left only this much beyond it.
    public var hysteresis = 0.05
    /// Local span without reminders, over midnight where `from` is later than `to`; `nil`: no quiet.
    public var quietHours: QuietHours? = QuietHours(from: .quietFrom, to: .quietTo)
    /// Reminders in one local day, at most.
    public var maxPerDay = 3
    /// Seconds between two reminders, at least, in elapsed time.
    public var minimumGap: TimeInterval = 3 * 3600
    /// When a local day begins.
    public var dayStart = ClockTime.dayStart
    /// With this probability an allowed reminder is turned into none and the reverse, so that the effect
    /// of reminding can be learnt; 0 switches chance off.
    public var explore = 0.0
    /// Seed of those draws: the same seed draws the same for everybody. `nil` is 0 here; a ``Personalizer``
    /// draws by a number of its own for each home and subject then, so that chance differs between people,
    /// habits and days.
    public var seed: UInt64?

    public init() {}

    /// A span of the local day.
    public struct QuietHours: Hashable, Sendable {
        public var from: ClockTime
        public var to: ClockTime

        public init(from: ClockTime, to: ClockTime) {
            self.from = from
            self.to = to
        }

        func contains(_ instant: LocalInstant) -> Bool {
            let clock = instant.clockMicroseconds
            let (start, end) = (from.microseconds, to.microseconds)
            return start < end ? start <= clock && clock < end : clock >= start || clock < end
        }
    }

    /// - Throws: ``InhabitError/config(argument:reason:)`` naming the first setting outside its range.
    public func validate() throws {
        func require(_ holds: Bool, _ argument: String, _ expected: String) throws {
            if !holds { throw InhabitError.config(argument: argument, reason: "expected \(expected)") }
        }
        try require(
            0 <= remindBelow && remindBelow <= suppressAbove && suppressAbove <= 1,
            "remindBelow, suppressAbove",
            "0 <= remindBelow <= suppressAbove <= 1, got \(remindBelow) and \(suppressAbove)")
        let room = suppressAbove - remindBelow
        try require(
            0 <= hysteresis && 2 * hysteresis <= room, "hysteresis",
            "from 0 to half the distance of the thresholds, got \(hysteresis)")
        try require(0 <= explore && explore <= 0.5, "explore", "from 0 to 0.5, got \(explore)")
        try require(maxPerDay >= 0, "maxPerDay", ">= 0, got \(maxPerDay)")
        try require(
            minimumGap >= 0 && minimumGap.isFinite, "minimumGap", ">= 0, got \(minimumGap)")
        try require(
            quietHours.map { $0.from != $0.to } ?? true, "quietHours",
            "two different times, or nil for no quiet")
    }
}

/// What is known at the instant of a decision.
public struct PolicyState: Hashable, Sendable {
    /// The present instant, on the person's clock.
    public var now: LocalInstant
    /// The calibrated probability that the target occurs in the window.
    public var probability: Double
    /// The target has occurred in the window already.
    public var done = false
    /// The person said that they skip this time.
    public var skipped = false
    /// When reminders were given; those of the last two days are enough.
    public var reminders: [LocalInstant] = []
    /// The zone of the decision before this one, for the hysteresis.
    public var previousZone: Decision.Zone?
    /// The person asked for silence until then.
    public var snoozedUntil: LocalInstant?
    /// The generation that predicted; 0 when nothing is trained yet.
    public var generation = 0
    /// Names the moment: one moment, one draw, however often it is asked.
    public var draw: Int64 = 0

    public init(now: LocalInstant, probability: Double) {
        self.now = now
        self.probability = probability
    }
}

/// What to do at one moment, and why.
public struct Decision: Hashable, Sendable {
    /// Remind now; leave things as they are and ask again later; or drop what was planned.
    public enum Action: String, Sendable, Codable { case remind, wait, suppress }

    /// Where the probability lies between the two thresholds, hysteresis included.
    public enum Zone: String, Sendable, Codable { case low, middle, high }

    public let action: Action
    /// The prediction it rests on.
    public let probability: Double
    /// In words, the deciding one first.
    public let reasons: [String]
    /// Probability with which this side of "remind or not" was chosen; 1 where chance had no part.
    public let propensity: Double
    /// The generation that predicted.
    public let generation: Int
    /// The next decision wants it back. When there was nothing to predict (done, skipped), the zone of the
    /// decision before, or the middle.
    public let zone: Zone
    /// When it was made.
    public let at: LocalInstant
}

extension Decision: CustomStringConvertible {
    public var description: String { "\(action): \(reasons.joined(separator: "; "))" }
}

extension Decision.Zone {
    /// What the probability alone asks for.
    fileprivate var wanted: Decision.Action {
        switch self {
        case .low: return .remind
        case .middle: return .wait
        case .high: return .suppress
        }
    }
}

extension DecisionPolicy {
    /// Decides what to do: a pure function of the policy and the state.
    ///
    /// - Throws: ``InhabitError`` for a policy outside its ranges or a probability outside [0, 1].
    public func decide(_ state: PolicyState) throws -> Decision {
        try validate()
        guard state.probability.isFinite else {
            throw InhabitError.nonFinite(argument: "probability")
        }
        guard (0...1).contains(state.probability) else {
            throw InhabitError.config(
                argument: "probability", reason: "expected a number in [0, 1], got \(state.probability)")
        }
        let zone = zone(of: state.probability, after: state.previousZone)
        let likelihood = likelihood(state.probability, zone)
        let wanted = zone.wanted
        let hindrances = hindrances(state)
        let isKnown = state.done || state.skipped  // which says nothing about noise

        func decision(_ action: Decision.Action, _ reasons: [String], _ propensity: Double = 1) -> Decision {
            Decision(
                action: action, probability: state.probability, reasons: reasons, propensity: propensity,
                generation: state.generation, zone: isKnown ? state.previousZone ?? .middle : zone,
                at: state.now)
        }
        if isKnown { return decision(.suppress, [state.done ? "already done" : "skipped by the person"]) }
        if !hindrances.isEmpty {
            guard wanted == .remind else { return decision(wanted, [likelihood]) }
            return decision(.wait, hindrances + [likelihood])
        }
        guard explore > 0 else { return decision(wanted, [likelihood]) }
        guard uniform(seed: seed ?? 0, draw: state.draw) < explore else {
            return decision(wanted, [likelihood], 1 - explore)
        }
        let byChance = "by chance (\(percent(explore))), to learn what a reminder changes"
        return decision(wanted == .remind ? .wait : .remind, [byChance, likelihood], explore)
    }

    private func zone(of probability: Double, after before: Decision.Zone?) -> Decision.Zone {
        if probability < remindBelow + (before == .low ? hysteresis : 0) { return .low }
        if probability > suppressAbove - (before == .high ? hysteresis : 0) { return .high }
        return .middle
    }

    private func likelihood(_ probability: Double, _ zone: Decision.Zone) -> String {
        let likely = "\(percent(probability)) likely"
        let (low, high) = (percent(remindBelow), percent(suppressAbove))
        switch zone {
        case .low:
            let beyond = probability < remindBelow ? "" : " a moment ago, not clearly above yet"
            return "\(likely), below \(low)\(beyond)"
        case .high:
            let beyond = probability > suppressAbove ? "" : " a moment ago, not clearly below yet"
            return "\(likely), above \(high)\(beyond)"
        case .middle:
            return "\(likely), between \(low) and \(high)"
        }
    }

    /// Everything that forbids a reminder now.
    private func hindrances(_ state: PolicyState) -> [String] {
        var reasons: [String] = []
        if let until = state.snoozedUntil, state.now.microseconds < until.microseconds {
            reasons.append("snoozed until \(clock(until))")
        }
        if let quiet = quietHours, quiet.contains(state.now) {
            reasons.append("quiet hours from \(quiet.from) to \(quiet.to)")
        }
        let today = state.now.localDay(startingAt: dayStart)
        let given = state.reminders.filter { $0.localDay(startingAt: dayStart) == today }.count
        if given >= maxPerDay {
            reasons.append("\(given) of \(maxPerDay) reminders today")
        }
        // Elapsed time, whatever the wall clocks and a clock set back in between may say.
        let gap = state.reminders.map { abs(state.now.microseconds - $0.microseconds) }.min()
        if let gap, Double(gap) < minimumGap * 1e6 {
            let minutes = gap / (60 * microsecondsPerSecond)
            let wanted = Int64(minimumGap / 60)
            reasons.append("last reminder \(minutes) min ago, \(wanted) min apart at least")
        }
        return reasons
    }
}

/// Output `draw` of SplitMix64(`seed`) as a number in [0, 1).
///
/// Steele, Lea, Flood: Fast splittable pseudorandom number generators (OOPSLA 2014).
private func uniform(seed: UInt64, draw: Int64) -> Double {
    let step = UInt64(bitPattern: draw) &+ 1
    var z = seed &+ step &* 0x9E37_79B9_7F4A_7C15
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    z ^= z >> 31
    return Double(z >> 11) * 0x1p-53
}

private func percent(_ probability: Double) -> String {
    String(format: "%.0f %%", 100 * probability)
}

private func clock(_ instant: LocalInstant) -> String {
    let minutes = instant.clockMicroseconds / (60 * microsecondsPerSecond)
    return String(format: "%02d:%02d", Int(minutes / 60), Int(minutes % 60))
}
