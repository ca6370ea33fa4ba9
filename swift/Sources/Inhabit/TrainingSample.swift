import Foundation

/// One example to learn from: what was known at a moment, and what came of it.
public struct TrainingSample: Hashable, Sendable {
    /// The features as of the moment, see ``HabitFeatures/inputs``.
    public var inputs: [Float]
    /// 1 when the target occurred in the window, 0 when it did not.
    public var label: Float

    public init(inputs: [Float], label: Float) {
        self.inputs = inputs
        self.label = label
    }
}

/// How far a walk over samples has come: what is learnt next depends on nothing else.
struct Walked: Hashable, Sendable {
    /// The last moment walked.
    let last: Int64
    /// When the label matured that was learnt last; `nil` before the first.
    let learnt: Int64?
}

/// The samples of one person and subject, in time order, made without looking ahead.
///
/// A label *matures* when its window has closed (and its grace is over): what was recorded by then is the
/// label, for good. Learning uses a label from the first moment at which it is mature, positives and
/// negatives alike.
struct Samples {
    let moments: [Moment]
    let features: [HabitFeatures]
    /// Of a window that is still open: what explicit evidence says already.
    let labels: [Label]
    /// When the label is final.
    let maturesAt: [Int64]
    /// The first row at whose prediction the label may already have been learnt; the count if there is none.
    let learnAt: [Int]
    /// Whether the label is final. Only final labels are to be learnt.
    let matured: [Bool]
    /// Whether the window, a duration, overlaps that of an earlier row that is learnt; then it is predicted,
    /// but not learnt: the earlier one has told most of its outcome.
    let repeats: [Bool]

    /// What is known of some moments just before an instant.
    ///
    /// - Parameter walked: where a walk had ended that the moments go on from.
    init(_ moments: [Moment], history: History, before end: Int64, since walked: Walked? = nil) {
        self.moments = moments
        features = moments.map { HabitFeatures(history.asOf($0)) }
        let evidence = moments.map(history.evidence(of:))
        labels = evidence.map { $0.label(asOf: end) }
        maturesAt = evidence.map(\.maturesAt)
        matured = evidence.map { $0.maturesAt <= end }
        let instants = moments.map(\.at.microseconds)
        learnAt = evidence.map { evidence in instants.partitionIndex { $0 >= evidence.maturesAt } }

        var repeats = [Bool](repeating: false, count: moments.count)
        if case .duration = history.target.window {
            var over = walked?.learnt.map { $0 - history.target.grace } ?? .min
            for row in moments.indices where matured[row] && labels[row] != .unknown {
                repeats[row] = moments[row].windowStart < over
                if !repeats[row] { over = moments[row].windowEnd }
            }
        }
        self.repeats = repeats
    }

    /// Whether a label may be learnt: it is final, known, and not told by an earlier one.
    func isLearnt(_ row: Int) -> Bool { matured[row] && !repeats[row] && labels[row] != .unknown }

    /// How far a walk over the first rows has come; `nil` after none.
    func walked(rows: Int) -> Walked? {
        guard rows > 0 else { return nil }
        let learnt = moments.indices.filter { isLearnt($0) && learnAt[$0] < rows }
        return Walked(last: moments[rows - 1].at.microseconds, learnt: learnt.map { maturesAt[$0] }.max())
    }

    /// The samples whose label may be learnt.
    var trainingSamples: [TrainingSample] {
        labels.indices.filter(isLearnt).map {
            TrainingSample(inputs: features[$0].inputs, label: labels[$0] == .positive ? 1 : 0)
        }
    }
}

/// What the schedule has asked of a log.
struct Asked {
    /// The moments so far: all, or the last of them.
    let samples: Samples
    /// When the next moment begins, as far as the log knows.
    let next: Int64
    /// The offset of the log's local time now.
    let utcOffset: Int

    /// Reads no more of a store than the samples look at.
    ///
    /// - Parameters:
    ///   - end: what was recorded before makes samples of the moments before.
    ///   - walked: leaves out the first samples, up to the last one whose label had matured in a walk; bit for
    ///     bit, the others are those of the table that holds all.
    init(
        of store: any EventStore, target: Target, schedule: Schedule, before end: Int64, since walked: Walked? = nil
    ) throws {
        let beginning = try store.beginning(of: target.subject, recordedBefore: end)
        var since = beginning?.occurredAt ?? end
        if let walked { since = max(since, walked.last - target.grace) }
        let days = schedule.days(window: target.window, from: since, to: end)
        let (clock, windows) = try History.windows(
            of: store, target: target, schedule: schedule, days: days, before: end)
        let following = windows.partitionIndex { $0.at.microseconds >= end }
        var moments = beginning == nil ? [] : windows[..<following].filter { $0.windowEnd > since }
        if let beginning, let oldest = moments.first, oldest.windowEnd <= beginning.recordedAt {
            // Only near the beginning: it was recorded late, and something else may be known for longer.
            var known = beginning.recordedAt
            while let earlier = try store.beginning(of: target.subject, recordedBefore: known) {
                known = earlier.recordedAt
            }
            moments.removeAll { $0.windowEnd <= known }
        }
        let history = try History(of: store, target: target, moments: moments, windows: windows, before: end)
        samples = Samples(moments, history: history, before: end, since: walked)
        next = windows[following].at.microseconds
        utcOffset = clock.changes.last?.utcOffset ?? 0
    }
}
