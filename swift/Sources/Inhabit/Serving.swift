/// A generation in service: its model, which goes on learning what matures.
///
/// It is always in the state that a walk over all scheduled moments up to now would have left it in, except
/// that networks are trained by a training only.
struct Serving {
    /// Of the generation; 0 is the prior.
    let number: Int
    private(set) var model: Model
    /// The next scheduled moment, when there may be something to learn.
    private(set) var next = Int64.min
    /// The last moment that the model knows of.
    private var after: Int64

    init(_ found: (number: Int, generation: Generation)?, prior: Generation?) throws {
        if let found, let trained = try? Model(found.generation) {
            (number, model) = (found.number, trained)
            after = try found.generation.decodedManifest().lastMoment ?? .min
        } else {
            (number, model, after) = (0, try Model(prior: prior), .min)
        }
    }

    /// Learns the labels that have matured before the scheduled moments since, in their order.
    mutating func catchUp(with samples: Samples, now: LocalInstant, schedule: Schedule) throws {
        let (moments, labels, learnAt) = (samples.moments, samples.labels, samples.learnAt)
        let walked = moments.partitionIndex { $0.at.microseconds > after }
        let known = moments.indices.filter { samples.matured[$0] && labels[$0] != .unknown }
        let times = Set(known.map { learnAt[$0] }).sorted()
        for (index, time) in times.enumerated() where (walked..<moments.count).contains(time) {
            let learntBefore = index == 0 ? 0 : times[index - 1]
            try model.learnTogether(
                known.filter { learnAt[$0] == time }.map { row in
                    Model.Outcome(
                        inputs: samples.features[row].inputs, slot: moments[row].slot,
                        occurred: labels[row] == .positive, isLate: learntBefore > row)
                })
        }
        if let last = moments.last { after = last.at.microseconds }
        let clock = LocalClock(changes: [LocalInstant(microseconds: 0, utcOffset: now.utcOffset)])
        next = schedule.moment(at: now, on: clock, window: .nextMoment).windowEnd
    }
}
