import XCTest
@testable import Inhabit

/// Networks, training, models and files: the same bits as in Rust, Python and C, see `tests/vectors/make_core.py`.
final class CoreTests: XCTestCase {
    private func core() throws -> Generation { try generation("core.safetensors") }

    private func network(_ hidden: Network.Activation) throws -> Network {
        try Network(hidden: hidden, seed: UInt64(hidden.rawValue))
    }

    func testInitialParametersAndPredictions() throws {
        let core = try core()
        let x = try rows(of: core)
        let names: [(String, Network.Activation)] = [
            ("identity", .identity), ("relu", .relu), ("tanh", .tanh), ("sigmoid", .sigmoid),
        ]
        for (name, hidden) in names {
            let network = try network(hidden)
            let parameters = try core.float32("network.\(name).parameters")
            XCTAssertEqual(network.parameters.map(\.bitPattern), parameters.map(\.bitPattern), name)
            let expected = try core.float32("network.\(name).predictions").map(\.bitPattern)
            XCTAssertEqual(try network.predictMany(x).map(\.bitPattern), expected, name)
            XCTAssertEqual(try network.predict(x[7]).bitPattern, expected[7], name)
        }
    }

    func testTrainingInAnySlices() throws {
        let core = try core()
        let samples = try samples(of: core)
        for name in ["sgd", "adam", "ordered", "patience"] {
            let config = TrainingConfig(numbers: try core.float64("training.\(name).config"))
            let expected = try core.float32("training.\(name).parameters").map(\.bitPattern)
            let whole = try network(.relu).trained(on: samples, config: config)
            XCTAssertEqual(whole.parameters.map(\.bitPattern), expected, name)

            var training = try NetworkTraining(network(.relu), samples: samples, config: config)
            var progress = try training.step(batches: 1)
            while progress.status == .running {
                // Kept and gone on with, as by a background task that was ended.
                training = try NetworkTraining(
                    network(.relu), samples: samples, config: config, resuming: training.memory)
                progress = try training.step(batches: 5)
            }
            XCTAssertEqual(try training.network().parameters.map(\.bitPattern), expected, name)
        }
    }

    /// The row of Swift in the table that `make ios` prints for machine code and the wheel.
    func testTheHashesOfTheTable() throws {
        let core = try core()
        let config = TrainingConfig(numbers: try core.float64("training.adam.config"))
        let trained = try network(.relu).trained(on: samples(of: core), config: config)
        let weights = trained.parameters.flatMap { value in
            withUnsafeBytes(of: value.bitPattern.littleEndian) { Array($0) }
        }
        let expected = try generation("generation.safetensors")
        var model = try Model(prior: generation("prior.safetensors"))
        let columns = try columns(of: core)
        _ = try model.walk(columns, rows: 0..<columns.labels.count)
        let saved = try model.generation(manifest: expected.manifest).bytes
        let hashes = [weights, saved].map { sha256Hex($0).prefix(12) }
        print("this machine, Swift: weights \(hashes[0]), generation \(hashes[1])")
        XCTAssertEqual(saved, expected.bytes)
    }

    func testDefaultsAreThoseOfTheLibrary() throws {
        let config = TrainingConfig()
        XCTAssertEqual(config.epochs, 20)
        XCTAssertEqual(config.batchSize, 32)
        XCTAssertEqual(config.learningRate, 0.001)
        let samples = try samples(of: core())
        var other = config
        other.optimizer = .adam(beta1: 0.9, beta2: 0.999, epsilon: 1e-8)
        XCTAssertEqual(
            try network(.relu).trained(on: samples, config: config),
            try network(.relu).trained(on: samples, config: other))
    }

    func testAModelWalksAndIsSavedWithTheSameBytes() throws {
        let core = try core()
        let expected = try generation("generation.safetensors")
        let columns = try columns(of: core)
        var model = try Model(prior: generation("prior.safetensors"))
        var probability: [Double] = []
        let edges = [0, 1, 64, 65, 130, columns.labels.count]
        for (from, to) in zip(edges, edges.dropFirst()) {
            probability += try model.walk(columns, rows: from..<to)
        }
        let bits = try core.float64("walk.probability").map(\.bitPattern)
        XCTAssertEqual(probability.map(\.bitPattern), bits)
        XCTAssertEqual(try model.generation(manifest: expected.manifest).bytes, expected.bytes)
    }

    func testAModelWalksFromSeveralPriorNetworksAndKeepsThem() throws {
        let core = try core()
        let prior = try generation("ensemble.safetensors")
        let columns = try columns(of: core)
        var model = try Model(prior: prior)
        let probability = try model.walk(columns, rows: 0..<columns.labels.count)
        let bits = try core.float64("ensemble.probability").map(\.bitPattern)
        XCTAssertEqual(probability.map(\.bitPattern), bits)
        let saved = try model.generation(manifest: "{}")
        XCTAssertEqual(try saved.float32("prior.network"), try prior.float32("prior.network"))
        XCTAssertEqual(try Model(saved).generation(manifest: "{}"), saved)
    }

    func testAModelGoesOnWhereItWasSaved() throws {
        let x = try rows(of: core())
        var model = try Model(generation("generation.safetensors"))
        var copy = try Model(model.generation(manifest: "{}"))
        for (index, row) in x.prefix(50).enumerated() {
            try model.learn(row, slot: index % 3, occurred: index % 2 == 0)
            try copy.learn(row, slot: index % 3, occurred: index % 2 == 0)
            let said = try model.predict(row, slot: index % 3)
            XCTAssertEqual(said, try copy.predict(row, slot: index % 3))
            XCTAssertTrue(said.probability > 0 && said.probability < 1)
            XCTAssertEqual(said.experts.count, Model.experts.count)
        }
        XCTAssertEqual(try model.generation(manifest: "{}"), try copy.generation(manifest: "{}"))
    }

    func testRefusesWhatIsWrongAndChangesNothing() throws {
        let zeros = [Float](repeating: 0, count: 10)
        var network = try network(.relu)
        let before = network
        XCTAssertEqual(
            failure { _ = try network.predict([1, 2]) }, .shape(argument: "inputs", expected: 10, actual: 2))
        XCTAssertEqual(
            failure { _ = try network.predict([.nan] + zeros.dropFirst()) }, .nonFinite(argument: "inputs"))
        XCTAssertEqual(
            failure { try network.setParameters([1]) }, .shape(argument: "parameters", expected: 321, actual: 1))
        XCTAssertEqual(
            failure { try network.setParameters([Float](repeating: .infinity, count: 321)) },
            .nonFinite(argument: "parameters"))
        XCTAssertEqual(network, before)
        XCTAssertThrowsError(try Network(layers: [10]))
        XCTAssertThrowsError(try Network(layers: [10, 0, 1]))
        XCTAssertThrowsError(try Network(layers: [Int](repeating: 2, count: 17)))

        var config = TrainingConfig()
        config.epochs = 0
        let samples = [TrainingSample(inputs: zeros, label: 1)]
        XCTAssertThrowsError(try network.trained(on: samples, config: config))
        XCTAssertThrowsError(try network.trained(on: [TrainingSample(inputs: [1], label: 1)]))
        XCTAssertThrowsError(try network.trained(on: [TrainingSample(inputs: zeros, label: 2)]))
        XCTAssertThrowsError(try network.trained(on: samples, anchor: [0]))

        var model = try Model()
        let saved = try model.generation(manifest: "{}")
        XCTAssertThrowsError(try model.predict([1]))
        XCTAssertThrowsError(try model.predict(zeros, slot: 24))
        XCTAssertThrowsError(try model.learn([.infinity] + zeros.dropFirst(), occurred: true))
        XCTAssertEqual(try model.generation(manifest: "{}"), saved)
    }

    /// The C library reads as many numbers as a network, a memory or a model calls for.
    func testNothingIsReadBeyondTheSamples() throws {
        let sample = TrainingSample(inputs: [0.5, 1], label: 1)
        let wide = try Network(layers: [2, 2000])
        XCTAssertThrowsError(try wide.trained(on: [sample])) { error in
            guard case .config("network", _) = error as? InhabitError else { return XCTFail("\(error)") }
        }

        let network = try Network(layers: [2, 3, 1])
        let others = [
            try NetworkTraining(network, samples: [TrainingSample](repeating: sample, count: 50_000)),
            try NetworkTraining(Network(layers: [2, 4, 1]), samples: [sample]),
        ]
        for other in others {
            XCTAssertThrowsError(try NetworkTraining(network, samples: [sample], resuming: other.memory)) { error in
                guard case .config("memory", _) = error as? InhabitError else { return XCTFail("\(error)") }
            }
        }
        XCTAssertThrowsError(try NetworkTraining(network, samples: [sample], resuming: []))
        XCTAssertThrowsError(
            try NetworkTraining(network, samples: [sample], resuming: [UInt64](repeating: 1, count: 99)))

        // A model of 53 inputs, without networks; the numbers are those of `encode_config` in the core.
        var config: [Double] = [53, 0, 0, 0.02, 1, 1, 1, 365, 0, 0, 0, 0, 0, 0, 0.1, 2, 32, 10, 1, 0, 0, 0, 0]
        config += [Double](repeating: 0, count: 16)
        let wider = try Generation(
            tensors: [
                "model.config": .float64(config),
                "prior.mean": .float64([Double](repeating: 0, count: 64)),
                "prior.variance": .float64([Double](repeating: 1, count: 64)),
                "prior.experts": .float64([Double](repeating: 0.1, count: Model.experts.count)),
            ], manifest: "{}")
        XCTAssertEqual(
            failure { _ = try Model(prior: wider) }, .checkpoint("expected a model of 10 inputs"))
    }

    func testAHostileFileIsAnErrorLikeAnyOther() throws {
        let bytes = try generation("generation.safetensors").bytes
        var generator = SplitMix(state: 1)
        for _ in 0..<2000 {
            var hostile = bytes
            for _ in 0...Int(generator.next() % 3) {
                let place = Int(generator.next() % UInt64(hostile.count))
                switch generator.next() % 3 {
                case 0: hostile[place] ^= 1 << UInt8(generator.next() % 8)
                case 1: hostile.removeSubrange(place...)
                default: hostile.insert(UInt8(truncatingIfNeeded: generator.next()), at: place)
                }
                if hostile.isEmpty { break }
            }
            guard hostile != bytes else { continue }
            XCTAssertThrowsError(try Generation(bytes: hostile)) { error in
                guard case .checkpoint = error as? InhabitError else { return XCTFail("\(error)") }
            }
        }
    }

    func testTheSeedsCheckpointSurvivesTheWay() throws {
        let url = try temporaryFolder().appendingPathComponent("deep/checkpoint.json")
        let network = try network(.tanh)
        try ModelCheckpoint(network, version: 3).save(to: url)
        let checkpoint = try ModelCheckpoint(contentsOf: url)
        XCTAssertEqual(checkpoint.version, 3)
        XCTAssertEqual(checkpoint.weights.map(\.count), [160, 128, 8])
        XCTAssertEqual(checkpoint.biases.count, 25)
        var other = try Network(hidden: .tanh, seed: 99)
        try checkpoint.restore(&other)
        XCTAssertEqual(other, network)

        var small = try Network(layers: [10, 4, 1])
        let before = small
        XCTAssertThrowsError(try checkpoint.restore(&small))
        XCTAssertEqual(small, before)
        try Data("{}".utf8).write(to: url)
        XCTAssertThrowsError(try ModelCheckpoint(contentsOf: url))
        XCTAssertThrowsError(try ModelCheckpoint(contentsOf: url.appendingPathComponent("none")))
    }

    // MARK: - The vectors

    private func rows(of core: Generation) throws -> [[Float]] {
        let flat = try core.float32("history.x")
        return stride(from: 0, to: flat.count, by: 10).map { Array(flat[$0..<$0 + 10]) }
    }

    private func columns(of core: Generation) throws -> Model.Columns {
        var columns = Model.Columns()
        columns.inputs = try core.float32("history.x")
        columns.labels = try core.uint32("history.label").map { Int8($0) - 1 }
        columns.slots = try core.uint32("history.slot").map { UInt8($0) }
        columns.learnAt = try core.uint32("history.learn_at")
        return columns
    }

    private func samples(of core: Generation) throws -> [TrainingSample] {
        let labels = try columns(of: core).labels
        return zip(try rows(of: core), labels).filter { $0.1 >= 0 }.map {
            TrainingSample(inputs: $0.0, label: Float($0.1))
        }
    }
}

func generation(_ name: String) throws -> Generation {
    let url = repository.appendingPathComponent("tests/vectors/\(name)")
    return try Generation(bytes: [UInt8](Data(contentsOf: url)))
}

extension TrainingConfig {
    /// The fields of `inhabit_training_config`, in order.
    fileprivate init(numbers: [Double]) {
        self.init()
        if numbers[0] == 0 {
            optimizer = .sgd(momentum: numbers[8])
        } else {
            optimizer = .adam(beta1: numbers[9], beta2: numbers[10], epsilon: numbers[11])
        }
        (epochs, batchSize) = (Int(numbers[1]), Int(numbers[2]))
        patience = numbers[3] == 0 ? nil : Int(numbers[3])
        (shuffle, trackLoss) = (numbers[4] != 0, numbers[5] != 0)
        seed = UInt64(numbers[6])
        (learningRate, l2, validationFraction) = (numbers[7], numbers[12], numbers[13])
    }
}
