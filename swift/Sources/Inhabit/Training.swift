import CInhabit
import Foundation

/// How to train.
public struct TrainingConfig: Hashable, Sendable {
    /// What turns a gradient into a step.
    public enum Optimizer: Hashable, Sendable {
        case sgd(momentum: Double = 0)
        case adam(beta1: Double = 0.9, beta2: Double = 0.999, epsilon: Double = 1e-8)
    }

    public var optimizer = Optimizer.adam()
    /// Length of a step.
    public var learningRate = 0.001
    /// Passes over the samples.
    public var epochs = 20
    /// Samples in a step; the last batch of an epoch may be smaller.
    public var batchSize = 32
    /// Adds `½ l2 Σ (p − anchor)²` to the loss.
    public var l2 = 0.0
    /// Whether each epoch shuffles the samples anew.
    public var shuffle = true
    /// Seed of the shuffling.
    public var seed: UInt64 = 0
    /// Stop after this many epochs without a better loss on the held-out tail; `nil`: hold nothing out.
    public var patience: Int?
    /// With ``patience``: the part of the samples, from the end, that is held out.
    public var validationFraction = 0.2
    /// Keep the mean training loss of each epoch for ``TrainingProgress/loss``.
    public var trackLoss = false

    public init() {}

    /// The same for the C library.
    func c() throws -> inhabit_training_config {
        var config = inhabit_training_config()
        try check(inhabit_training_defaults(&config), argument: "config")
        switch optimizer {
        case let .sgd(momentum):
            config.optimizer = UInt32(INHABIT_SGD)
            config.momentum = momentum
        case let .adam(beta1, beta2, epsilon):
            config.optimizer = UInt32(INHABIT_ADAM)
            (config.beta1, config.beta2, config.epsilon) = (beta1, beta2, epsilon)
        }
        config.epochs = try Self.positive(epochs, "epochs")
        config.batch_size = try Self.positive(batchSize, "batchSize")
        config.patience = try patience.map { try Self.positive($0, "patience") } ?? 0
        config.shuffle = shuffle ? 1 : 0
        config.track_loss = trackLoss ? 1 : 0
        config.seed = seed
        (config.learning_rate, config.l2) = (learningRate, l2)
        config.validation_fraction = validationFraction
        return config
    }

    private static func positive(_ value: Int, _ argument: String) throws -> UInt32 {
        guard let exact = UInt32(exactly: value), exact > 0 else {
            throw InhabitError.config(argument: argument, reason: "expected at least 1, got \(value)")
        }
        return exact
    }
}

/// Where a training is.
public struct TrainingProgress: Hashable, Sendable {
    public enum Status: UInt32, Sendable { case running = 0, finished, stoppedEarly, cancelled }

    public let status: Status
    /// Epochs done.
    public let epoch: Int
    /// Mean training loss of the last epoch; `nil` before its end, and unless tracked.
    public let loss: Double?
    /// Mean loss of the held-out tail after the last epoch; `nil` without patience.
    public let validationLoss: Double?
}

/// A training of a network that can stop after any batch and go on later, with the same bits.
///
/// A value: a copy is a snapshot. ``memory`` is all there is to it, so it can be kept in a file while the
/// system has better things to do.
public struct NetworkTraining: Sendable {
    /// The whole state of the training.
    public private(set) var memory: [UInt64]
    private let initial: Network
    private let inputs: [Float]
    private let labels: [Float]
    private let anchor: [Float]?

    /// Begins a training, or goes on with one whose memory was kept.
    ///
    /// - Parameters:
    ///   - anchor: the parameters that L2 pulls towards; `nil`: zero.
    ///   - memory: ``memory`` of a training of the same network and samples; `nil` begins a new one.
    /// - Throws: ``InhabitError`` for a network with more than one output, samples that do not fit it or are not
    ///   finite, a setting outside its range, and a memory of another training.
    public init(
        _ network: Network, samples: [TrainingSample], config: TrainingConfig = TrainingConfig(),
        anchor: [Float]? = nil, resuming memory: [UInt64]? = nil
    ) throws {
        guard network.layers.last == 1 else {
            throw InhabitError.config(
                argument: "network", reason: "expected one output, as samples have one label, got \(network.layers)")
        }
        for sample in samples where sample.inputs.count != network.layers[0] {
            throw InhabitError.shape(
                argument: "samples", expected: network.layers[0], actual: sample.inputs.count)
        }
        if let anchor, anchor.count != network.parameters.count {
            throw InhabitError.shape(
                argument: "anchor", expected: network.parameters.count, actual: anchor.count)
        }
        (initial, self.anchor) = (network, anchor)
        (inputs, labels) = (samples.flatMap(\.inputs), samples.map(\.label))
        var shape = try network.shape()
        if let memory {
            // The library takes the memory's word for how many numbers there are behind the pointers.
            var (begun, rows) = (inhabit_network(), 0)
            try check(inhabit_training_begun(memory, memory.count * 8, &begun, &rows), argument: "memory")
            guard rows == samples.count, bytes(of: begun) == bytes(of: shape) else {
                throw InhabitError.config(
                    argument: "memory",
                    reason: "expected that of a training of this network on \(samples.count) samples")
            }
            self.memory = memory
            return
        }
        var (config, size) = (try config.c(), 0)
        try check(inhabit_training_size(&shape, samples.count, &size), argument: "samples")
        self.memory = [UInt64](repeating: 0, count: size / 8)
        let status = inhabit_training_begin(
            &self.memory, size, &shape, &config, inputs, labels, nil, labels.count, network.parameters,
            network.parameters.count)
        try check(status, argument: "samples")
    }

    /// Trains up to `batches` batches; in any partition the bits are the same.
    ///
    /// - Throws: ``InhabitError/config(argument:reason:)`` if training left the finite numbers.
    @discardableResult
    public mutating func step(batches: UInt64 = .max) throws -> TrainingProgress {
        var progress = inhabit_training_progress()
        let status = inhabit_training_step(
            &memory, memory.count * 8, inputs, labels, nil, anchor, batches, &progress)
        try check(status, argument: "samples")
        return TrainingProgress(
            status: TrainingProgress.Status(rawValue: progress.status) ?? .running, epoch: Int(progress.epoch),
            loss: progress.loss.isNaN ? nil : progress.loss,
            validationLoss: progress.validation_loss.isNaN ? nil : progress.validation_loss)
    }

    /// The network with the parameters to use now.
    public func network() throws -> Network {
        var parameters = initial.parameters
        var memory = memory
        let status = inhabit_training_parameters(&memory, memory.count * 8, &parameters, parameters.count)
        try check(status, argument: "memory")
        var network = initial
        try network.setParameters(parameters)
        return network
    }
}

extension Network {
    /// A network trained from this one.
    ///
    /// - Throws: as ``NetworkTraining/init(_:samples:config:anchor:resuming:)``.
    public func trained(
        on samples: [TrainingSample], config: TrainingConfig = TrainingConfig(), anchor: [Float]? = nil
    ) throws -> Network {
        var training = try NetworkTraining(self, samples: samples, config: config, anchor: anchor)
        try training.step()
        return try training.network()
    }
}

private func bytes(of shape: inhabit_network) -> [UInt8] { withUnsafeBytes(of: shape) { Array($0) } }
