import Foundation

/// One example to learn from: what was known at a moment, and what came of it.
public struct TrainingSample: Hashable, Sendable {
    /// The features as of the moment, see ``HabitFeatures/inputs``.
    public var inputs: [Float]
    /// 1 when the target occurred in the window, 0 when it did not.
    public var target: Float

    public init(inputs: [Float], target: Float) {
        self.inputs = inputs
        self.target = target
    }
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
    /// The first row at whose prediction the label may already have been learnt; the count if there is none.
    let learnAt: [Int]
    /// Whether the label is final. Only final labels are to be learnt.
    let matured: [Bool]

    /// What was recorded before `now` makes samples of the moments before.
    ///
    /// - Parameters:
    ///   - events: all events of one person, in order; other subjects tell the local time.
    ///   - now: `nil` takes the log as finished: up to the last moment whose window begins no later than its end.
    init(events all: [UserEvent], target: Target, schedule: Schedule, before now: Int64?) {
        let events = now.map { now in all.filter { $0.seenAt < now } } ?? all
        let end = now ?? (events.map(\.seenAt).max() ?? -1) + 1
        let clock = LocalClock(of: events)
        let own = events.filter { $0.subject == target.subject || $0.subject.isEmpty }
        moments = schedule.moments(of: own, on: clock, window: target.window, before: now)
        guard let first = own.map(\.occurredAt.microseconds).min(), let last = moments.last else {
            (features, labels, learnAt, matured) = ([], [], [], [])
            return
        }
        let from = min(first, moments[0].at.microseconds)
        let windows = schedule.moments(
            on: clock, window: target.window, from: from, to: last.at.microseconds)
        let history = History(events: events, target: target, windows: windows)
        features = moments.map { HabitFeatures(history.asOf($0)) }

        let happened = Happenings(events, type: target.type, subjects: [target.subject])
        let skipped = Happenings(events, type: target.skipType, subjects: [target.subject])
        let evidence = moments.map {
            Evidence(target, happened: happened, skipped: skipped, moment: $0)
        }
        labels = evidence.map { $0.label(asOf: end) }
        matured = evidence.map { $0.maturesAt <= end }
        let instants = moments.map(\.at.microseconds)
        learnAt = evidence.map { evidence in instants.partitionIndex { $0 >= evidence.maturesAt } }
    }

    /// The samples whose label is final and known.
    var trainingSamples: [TrainingSample] {
        labels.indices.filter { matured[$0] && labels[$0] != .unknown }.map {
            TrainingSample(inputs: features[$0].inputs, target: labels[$0] == .positive ? 1 : 0)
        }
    }
}
