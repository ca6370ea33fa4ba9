import CInhabit
import Foundation

/// One person's model of one subject: a mixture of experts that learns one outcome at a time.
///
/// It is what is served. Running rates, three logistic models, a prior network and a personal network, weighted by how well each
/// predicted this person so far, then calibrated. A value: a copy goes its own way.
public struct Model: Sendable {
    /// The experts, in the order of ``Prediction/experts``.
    public static let experts = [
        "rate", "recent_1", "recent_2", "recent_3", "present", "slot", "due", "logistic", "quick", "bold",
        "prior", "personal",
    ]

    /// What a model says about one moment.
    public struct Prediction: Hashable, Sendable {
        /// Calibrated: serve this one.
        public let probability: Double
        /// Before calibration.
        public let mixture: Double
        /// What each expert says.
        public let experts: [Double]
        /// How many trained personal networks have been promoted so far.
        public let promotions: Int
    }

    private var memory: [UInt64]

    /// The model of a person without history, who starts from what other people taught, if anything.
    ///
    /// - Parameter prior: a prior file, or `nil` to start from fixed weights.
    /// - Throws: ``InhabitError/checkpoint(_:)`` if the file holds no prior of these features.
    public init(prior: Generation? = nil) throws {
        self = try prior.map { try Model($0) } ?? Model(checkpoint: nil)
    }

    /// The model in a generation: it goes on with the same bits where it was saved, here or in Python.
    ///
    /// - Throws: ``InhabitError/checkpoint(_:)`` if the file holds no model of these features.
    public init(_ generation: Generation) throws {
        try self.init(checkpoint: generation.bytes)
    }

    private init(checkpoint: [UInt8]?) throws {
        let (length, inputs) = (checkpoint?.count ?? 0, UInt32(HabitFeatures.names.count))
        var size = 0
        try check(inhabit_model_size(checkpoint, length, inputs, &size), argument: "checkpoint")
        memory = [UInt64](repeating: 0, count: size / 8)
        let status = inhabit_model_begin(&memory, size, checkpoint, length, inputs, HabitFeatures.rates)
        try check(status, argument: "checkpoint")
        // A file is of any origin: a model of more inputs would read beyond those that it is given here.
        guard (try? predict([Float](repeating: 0.5, count: HabitFeatures.names.count))) != nil else {
            throw InhabitError.checkpoint("expected a model of \(HabitFeatures.names.count) inputs")
        }
    }

    /// How probable the target is at a moment.
    ///
    /// - Parameters:
    ///   - inputs: see ``HabitFeatures/inputs``.
    ///   - slot: which of the day's moments it is, 0 to 23.
    /// - Throws: ``InhabitError`` for inputs that are not finite or of another number.
    public func predict(_ inputs: [Float], slot: Int = 0) throws -> Prediction {
        var (memory, said) = (memory, inhabit_prediction())
        let status = inhabit_model_predict(
            &memory, memory.count * 8, inputs, inputs.count, try Self.slot(slot), &said)
        try check(status, argument: "inputs")
        let experts = withUnsafeBytes(of: said.experts) { bytes in
            Array(bytes.bindMemory(to: Double.self).prefix(Int(said.expert_count)))
        }
        return Prediction(
            probability: said.probability, mixture: said.mixture, experts: experts,
            promotions: Int(said.promotions))
    }

    /// Takes in the outcome of a moment; networks are trained by a training only.
    ///
    /// - Throws: as ``predict(_:slot:)``; nothing is then learnt.
    public mutating func learn(_ inputs: [Float], slot: Int = 0, occurred: Bool) throws {
        let status = inhabit_model_learn(
            &memory, memory.count * 8, inputs, inputs.count, try Self.slot(slot), occurred ? 1 : 0)
        try check(status, argument: "inputs")
    }

    /// What came of a moment.
    public struct Outcome: Hashable, Sendable {
        /// See ``HabitFeatures/inputs``.
        public var inputs: [Float]
        /// Which of the day's moments it is, 0 to 23.
        public var slot: Int
        /// Whether the target occurred in the window.
        public var occurred: Bool
        /// Whether other outcomes were learnt since the moment, as with windows that begin only after the next.
        public var isLate: Bool

        public init(inputs: [Float], slot: Int, occurred: Bool, isLate: Bool = false) {
            (self.inputs, self.slot, self.occurred, self.isLate) = (inputs, slot, occurred, isLate)
        }
    }

    /// Takes in the outcomes of moments that became known together, such as those of one day.
    ///
    /// All are judged by what was said before any of them, and count as one outcome together.
    ///
    /// - Throws: as ``predict(_:slot:)``; nothing is then learnt.
    public mutating func learnTogether(_ outcomes: [Outcome]) throws {
        let width = HabitFeatures.names.count
        for outcome in outcomes where outcome.inputs.count != width {
            throw InhabitError.shape(argument: "inputs", expected: width, actual: outcome.inputs.count)
        }
        let slots = try outcomes.map { UInt8(try Self.slot($0.slot)) }
        let occurred: [UInt8] = outcomes.map { $0.occurred ? 1 : 0 }
        let late: [UInt8] = outcomes.map { $0.isLate ? 1 : 0 }
        let status = inhabit_model_learn_together(
            &memory, memory.count * 8, outcomes.flatMap(\.inputs), width, slots, occurred, late, outcomes.count)
        try check(status, argument: "outcomes")
    }

    /// The model as a checkpoint that Python and this package read.
    ///
    /// - Parameter manifest: what it was made from, by convention JSON with sorted keys.
    public func generation(manifest: String) throws -> Generation {
        var memory = memory
        let bytes = try filled(of: UInt8.self, argument: "manifest") { bytes, capacity, written in
            inhabit_model_save(
                &memory, memory.count * 8, manifest, manifest.utf8.count, bytes, capacity, &written)
        }
        return try Generation(bytes: bytes)
    }

    /// Walks through rows of a person's history: before each, learn what may be known by then, retrain the
    /// personal network, then predict it. Slices that follow each other give the bits of one walk.
    ///
    /// - Returns: the predictions of these rows, each made before its outcome was known.
    mutating func walk(_ columns: Columns, rows: Range<Int>) throws -> [Double] {
        let (count, size) = (columns.labels.count, memory.count * 8)
        var workSize = 0
        try check(inhabit_model_walk_size(memory, size, count, &workSize), argument: "samples")
        var work = [UInt64](repeating: 0, count: workSize / 8)
        var probability = [Double](repeating: 0, count: count)
        let status = inhabit_model_walk(
            &memory, size, columns.inputs, columns.labels, columns.slots, columns.learnAt, count,
            rows.lowerBound, rows.upperBound, &probability, &work, workSize)
        try check(status, argument: "samples")
        return Array(probability[rows])
    }

    /// Samples as the C library reads them.
    struct Columns {
        var inputs: [Float] = []
        var labels: [Int8] = []
        var slots: [UInt8] = []
        var learnAt: [UInt32] = []
    }

    private static func slot(_ slot: Int) throws -> UInt32 {
        guard (0..<Schedule.maxSlots).contains(slot) else {
            throw InhabitError.config(argument: "slot", reason: "expected 0 to 23, got \(slot)")
        }
        return UInt32(slot)
    }
}
