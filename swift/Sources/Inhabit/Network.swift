import CInhabit
import Foundation

/// A fully connected network and its parameters.
///
/// `y = act(W x + b)` for each layer. The parameters are one flat array. A value: copying it copies its parameters, and it may be sent anywhere.
public struct Network: Hashable, Sendable {
    /// What a hidden layer does with its sums.
    public enum Activation: UInt32, Sendable { case identity = 0, relu, tanh, sigmoid }

    /// What training makes small.
    public enum Loss: UInt32, Sendable {
        /// Binary cross entropy; predictions are probabilities.
        case binaryCrossEntropy = 0
        /// Mean squared error; predictions are the plain outputs.
        case meanSquaredError
    }

    /// Layer sizes, the input first.
    public let layers: [Int]
    /// The activation of every hidden layer.
    public let hidden: Activation
    /// What training makes small.
    public let loss: Loss
    /// Per layer `W [out, in]` row by row, then `b [out]`.
    public private(set) var parameters: [Float]

    /// A network with seeded initial parameters; the same seed gives the same bits on every machine.
    ///
    /// - Throws: ``InhabitError/config(argument:reason:)`` for layers that make no network.
    public init(
        layers: [Int] = [10, 16, 8, 1], hidden: Activation = .relu, loss: Loss = .binaryCrossEntropy,
        seed: UInt64 = 0
    ) throws {
        (self.layers, self.hidden, self.loss, parameters) = (layers, hidden, loss, [])
        var shape = try shape()
        var count = 0
        try check(inhabit_network_parameter_count(&shape, &count), argument: "layers")
        parameters = [Float](repeating: 0, count: count)
        try check(inhabit_network_initialize(&shape, seed, &parameters, count), argument: "layers")
    }

    /// Takes other parameters; nothing changes if they do not fit.
    ///
    /// - Throws: ``InhabitError/shape(argument:expected:actual:)``, ``InhabitError/nonFinite(argument:)``
    public mutating func setParameters(_ new: [Float]) throws {
        guard new.count == parameters.count else {
            throw InhabitError.shape(argument: "parameters", expected: parameters.count, actual: new.count)
        }
        guard new.allSatisfy(\.isFinite) else { throw InhabitError.nonFinite(argument: "parameters") }
        parameters = new
    }

    /// The prediction for one row of inputs.
    ///
    /// - Throws: ``InhabitError/shape(argument:expected:actual:)``, ``InhabitError/nonFinite(argument:)``
    public func predict(_ inputs: [Float]) throws -> Float { try predictMany([inputs])[0] }

    /// The predictions for many rows: the same bits as one by one.
    ///
    /// - Throws: ``InhabitError/shape(argument:expected:actual:)``, ``InhabitError/nonFinite(argument:)``
    public func predictMany(_ rows: [[Float]]) throws -> [Float] {
        for row in rows where row.count != layers[0] {
            throw InhabitError.shape(argument: "inputs", expected: layers[0], actual: row.count)
        }
        var shape = try shape()
        let flat = rows.flatMap { $0 }
        var predictions = [Float](repeating: 0, count: rows.count * layers[layers.count - 1])
        let status = inhabit_predict(&shape, parameters, parameters.count, flat, rows.count, &predictions)
        try check(status, argument: "inputs")
        return predictions
    }

    /// The same for the C library.
    func shape() throws -> inhabit_network {
        var shape = inhabit_network()
        let capacity = MemoryLayout.size(ofValue: shape.layers) / MemoryLayout<UInt32>.size
        guard (2...capacity).contains(layers.count), layers.allSatisfy({ (1...1 << 20).contains($0) }) else {
            throw InhabitError.config(
                argument: "layers", reason: "expected 2 to \(capacity) sizes of at least 1, got \(layers)")
        }
        shape.layer_count = UInt32(layers.count)
        shape.hidden = hidden.rawValue
        shape.loss = loss.rawValue
        withUnsafeMutableBytes(of: &shape.layers) { bytes in
            _ = bytes.bindMemory(to: UInt32.self).update(fromContentsOf: layers.map(UInt32.init))
        }
        return shape
    }
}
