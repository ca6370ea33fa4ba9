/// A generation in service: its model, which goes on learning what matures.
///
/// It is always in the state that a walk over all scheduled moments up to now would have left it in, except
/// that networks are trained by a training only.
struct Serving {
    /// Of the generation; 0 is the prior.
    let number: Int
    private(set) var model: Model
    /// How far the walk has come.
    private(set) var walked: Walked?
    /// What the generation was made from; `nil` for the prior.
    let manifest: Manifest?
    /// The mean of each feature, where explanations start from.
    let average: [Float]
    /// What was asked when it was last caught up.
    private var asked: Asked?
    /// How many labels were learnt since the training.
    private var learntSince = 0

    init(_ found: (number: Int, generation: Generation)?, prior: Generation?) throws {
        if let found, let trained = try? Model(found.generation) {
            (number, model) = (found.number, trained)
            manifest = try found.generation.decodedManifest()
            average = try found.generation.float32("features.mean")
            walked = manifest?.walked
        } else {
            (number, model, manifest) = (0, try Model(prior: prior), nil)
            average = [Float](repeating: 0.5, count: HabitFeatures.names.count)
        }
    }

    /// Learns the labels that have matured before the scheduled moments since, in the order of a walk.
    mutating func catchUp(with store: any EventStore, target: Target, schedule: Schedule, now: Int64) throws {
        if let asked, now < asked.next { return }
        let asked = try Asked(of: store, target: target, schedule: schedule, before: now + 1, since: walked)
        let samples = asked.samples
        let known = samples.moments.indices.filter {
            samples.isLearnt($0) && samples.learnAt[$0] < samples.moments.count
        }
        var learnt = walked?.learnt
        for (_, rows) in Dictionary(grouping: known, by: { samples.learnAt[$0] }).sorted(by: { $0.key < $1.key }) {
            try model.learnTogether(
                rows.map { row in
                    let moment = samples.moments[row]
                    // Others were learnt since this moment, which could not know of them.
                    let isLate = moment.at.microseconds < learnt ?? .min
                    return Model.Outcome(
                        inputs: samples.features[row].inputs, slot: moment.slot,
                        occurred: samples.labels[row] == .positive, isLate: isLate)
                })
            learnt = rows.map { samples.maturesAt[$0] }.max()
        }
        learntSince += known.count
        // A clock that was set back teaches nothing twice.
        if let last = samples.moments.last?.at.microseconds, last > walked?.last ?? .min {
            walked = Walked(last: last, learnt: learnt)
        }
        self.asked = asked
    }

    /// How many labels have matured since the training.
    func newLabels(
        in store: any EventStore, target: Target, schedule: Schedule, now: Int64
    ) throws -> Int {
        let samples = try Asked(of: store, target: target, schedule: schedule, before: now + 1, since: walked).samples
        return learntSince + samples.moments.indices.filter(samples.isLearnt).count
    }

    /// Takes note of an event recorded just now: another local time may bring a moment at once.
    mutating func told(_ event: UserEvent) {
        if event.occurredAt.utcOffset != asked?.utcOffset { asked = nil }
    }
}
