import Foundation

/// Five facts of the device; each is true, false, or `nil` when nobody could tell.
public struct DeviceState: Hashable, Sendable {
    /// Charging, or running on mains.
    public var externalPower: Bool?
    /// Connected, and the connection is not paid by volume.
    public var unmeteredNetwork: Bool?
    /// Nobody is using the device.
    public var deviceIdle: Bool?
    /// The screen is locked.
    public var locked: Bool?
    /// The charge is not low (a machine without a battery: true).
    public var batteryNotLow: Bool?

    public init(
        externalPower: Bool? = nil, unmeteredNetwork: Bool? = nil, deviceIdle: Bool? = nil, locked: Bool? = nil,
        batteryNotLow: Bool? = nil
    ) {
        (self.externalPower, self.unmeteredNetwork) = (externalPower, unmeteredNetwork)
        (self.deviceIdle, self.locked, self.batteryNotLow) = (deviceIdle, locked, batteryNotLow)
    }
}

/// What a training asks of the device and of the clock.
///
/// A training takes milliseconds and no network, so the default asks for external power only; ``cautious(interval:)``
/// asks for all that the platforms' own background tasks ask.
public struct TrainingRequest: Hashable, Sendable {
    /// How an unknown fact of the device counts.
    public enum Unknown: String, Sendable { case no, yes }

    public var requiresExternalPower = true
    public var requiresUnmeteredNetwork = false
    public var requiresDeviceIdle = false
    public var requiresLocked = false
    public var requiresBatteryNotLow = false
    /// Train when so many seconds have passed since the last run; `nil`: never by time.
    public var interval: TimeInterval? = 86_400
    /// Train as soon as so many labels have matured since the last run; `nil`: never by count.
    public var afterNewSamples: Int?
    /// With fewer new samples than this the interval alone is no reason to train.
    public var minimumNewSamples = 1
    /// A run may come so many seconds before the interval is over, so that a task that the system starts a little
    /// earlier than yesterday does not lose the day.
    public var flex: TimeInterval = 3600
    /// Not before this instant.
    public var earliestBegin: LocalInstant?
    /// The request is void from this instant on.
    public var expiration: LocalInstant?
    /// How an unknown fact of the device counts.
    public var unknownMeans = Unknown.no

    public init() {}

    /// Asks for charging, Wi-Fi, a locked screen and an idle device.
    public static func cautious(interval: TimeInterval = 86_400) -> TrainingRequest {
        var request = TrainingRequest()
        (request.requiresUnmeteredNetwork, request.requiresDeviceIdle, request.requiresLocked) = (true, true, true)
        request.interval = interval
        return request
    }

    /// - Throws: ``InhabitError/config(argument:reason:)`` naming the first setting outside its range.
    public func validate() throws {
        func require(_ holds: Bool, _ argument: String, _ expected: String) throws {
            if !holds { throw InhabitError.config(argument: argument, reason: "expected \(expected)") }
        }
        try require(interval != nil || afterNewSamples != nil, "interval", "a time or afterNewSamples, got neither")
        let longest = interval ?? .infinity
        try require(longest > 0 && interval?.isFinite ?? true, "interval", "a positive time, got \(longest)")
        let wanted = afterNewSamples ?? 1
        try require(wanted >= 1, "afterNewSamples", ">= 1, got \(wanted)")
        try require(minimumNewSamples >= 0, "minimumNewSamples", ">= 0, got \(minimumNewSamples)")
        try require(0 <= flex && flex < longest, "flex", "from 0 to below the interval, got \(flex)")
        if let earliestBegin, let expiration {
            try require(
                earliestBegin.microseconds < expiration.microseconds, "expiration",
                "after earliestBegin \(earliestBegin.toMinutes), got \(expiration.toMinutes)")
        }
    }
}

/// Whether a training is due, and why in words.
public struct Due: Hashable, Sendable {
    public let due: Bool
    /// What speaks for it when it is due, what stands in the way when it is not.
    public let reasons: [String]
}

extension Due: CustomStringConvertible {
    public var description: String { "\(due ? "due" : "not due"): \(reasons.joined(separator: "; "))" }
}

extension TrainingRequest {
    /// Decides whether to train now: a pure function of its arguments.
    ///
    /// Due when the cadence asks for a run and every required fact holds.
    ///
    /// - Parameters:
    ///   - lastRun: when the last training ended; `nil`: never.
    ///   - newSamples: labels that matured since then.
    /// - Throws: ``InhabitError/config(argument:reason:)`` for a request outside its ranges or a negative count.
    public func isDue(
        _ deviceState: DeviceState, now: LocalInstant, lastRun: LocalInstant? = nil, newSamples: Int = 0
    ) throws -> Due {
        try validate()
        guard newSamples >= 0 else {
            throw InhabitError.config(argument: "newSamples", reason: "expected >= 0, got \(newSamples)")
        }
        let cadence = cadence(now: now, lastRun: lastRun, newSamples: newSamples)
        var hindrances = cadence.asks ? [] : [cadence.words]
        hindrances += outside(now)
        var granted: [String] = []
        for (isRequired, value, holds, fails) in facts(of: deviceState) where isRequired {
            switch value {
            case true?: granted.append(holds)
            case false?: hindrances.append(fails)
            case nil:
                let words = "unknown whether \(holds) (counts as \(unknownMeans))"
                if unknownMeans == .yes { granted.append(words) } else { hindrances.append(words) }
            }
        }
        return hindrances.isEmpty
            ? Due(due: true, reasons: [cadence.words] + granted) : Due(due: false, reasons: hindrances)
    }

    /// Whether each fact is required, what the device says, and the words when it holds and when it does not.
    private func facts(of device: DeviceState) -> [(Bool, Bool?, String, String)] {
        [
            (requiresExternalPower, device.externalPower, "on external power", "not on external power"),
            (
                requiresUnmeteredNetwork, device.unmeteredNetwork, "on an unmetered network",
                "not on an unmetered network"
            ),
            (requiresDeviceIdle, device.deviceIdle, "the device is idle", "the device is in use"),
            (requiresLocked, device.locked, "the screen is locked", "the screen is not locked"),
            (requiresBatteryNotLow, device.batteryNotLow, "the battery is not low", "the battery is low"),
        ]
    }

    /// Whether time or count asks for a run, in words.
    private func cadence(now: LocalInstant, lastRun: LocalInstant?, newSamples: Int) -> (asks: Bool, words: String) {
        let samples = "\(newSamples) new sample\(newSamples == 1 ? "" : "s")"
        if let wanted = afterNewSamples, newSamples >= wanted {
            return (true, "\(samples), \(wanted) were waited for")
        }
        if newSamples < minimumNewSamples {
            return (false, "nothing to learn: \(samples), \(minimumNewSamples) needed")
        }
        guard let interval else { return (false, "waiting for more: \(samples), \(afterNewSamples ?? 0) wanted") }
        guard let lastRun else { return (true, "never trained, \(samples)") }
        let passed = now.microseconds - lastRun.microseconds
        if passed < 0 {  // a clock that was set back must not stop training for good
            return (true, "the last run lies in the future, the clock was changed; \(samples)")
        }
        let since = "last trained \(duration(Double(passed) / 1e6)) ago, every \(duration(interval))"
        return (Double(passed) >= (interval - flex) * 1e6, "\(since), \(samples)")
    }

    /// Why `now` lies outside the time span of the request, if it does.
    private func outside(_ now: LocalInstant) -> [String] {
        var reasons: [String] = []
        if let earliestBegin, now.microseconds < earliestBegin.microseconds {
            reasons.append("not before \(earliestBegin.toMinutes)")
        }
        if let expiration, now.microseconds >= expiration.microseconds {
            reasons.append("expired at \(expiration.toMinutes)")
        }
        return reasons
    }
}

/// Rounds to the largest unit that fits: `3 d`, `7 h`, `20 min`.
private func duration(_ seconds: TimeInterval) -> String {
    let minutes = Int(exactly: (seconds / 60).rounded(.down)) ?? .max
    if minutes >= 48 * 60 || minutes == 24 * 60 { return "\(minutes / (24 * 60)) d" }
    return minutes >= 60 ? "\(minutes / 60) h" : "\(minutes) min"
}
