import Foundation

/// The parameters of a network as JSON: one row-major list of weights per layer, one list of all biases.
///
/// Python reads and writes the same (`parameters_to_json`); every number survives the way exactly.
public struct ModelCheckpoint: Codable, Hashable, Sendable {
    /// Per layer `W [out, in]`, row by row.
    public var weights: [[Float]]
    /// The biases of all layers, one after the other.
    public var biases: [Float]
    /// Yours to count.
    public var version: Int

    public init(weights: [[Float]], biases: [Float], version: Int) {
        self.weights = weights
        self.biases = biases
        self.version = version
    }

    /// The parameters of a network.
    public init(_ network: Network, version: Int = 1) {
        self.init(weights: [], biases: [], version: version)
        var rest = network.parameters[...]
        for (inputs, outputs) in zip(network.layers, network.layers.dropFirst()) {
            weights.append(Array(rest.prefix(inputs * outputs)))
            rest = rest.dropFirst(inputs * outputs)
            biases += rest.prefix(outputs)
            rest = rest.dropFirst(outputs)
        }
    }

    /// Gives a network these parameters.
    ///
    /// - Throws: ``InhabitError/checkpoint(_:)`` if they do not fit its layers; the network is then unchanged.
    public func restore(_ network: inout Network) throws {
        let pairs = Array(zip(network.layers, network.layers.dropFirst()))
        guard weights.map(\.count) == pairs.map({ $0 * $1 }) else {
            throw InhabitError.checkpoint("weights: do not fit the layers \(network.layers)")
        }
        guard biases.count == pairs.map(\.1).reduce(0, +) else {
            throw InhabitError.checkpoint("biases: do not fit the layers \(network.layers)")
        }
        var (flat, rest) = ([Float](), biases[...])
        for (layer, (_, outputs)) in zip(weights, pairs) {
            flat += layer
            flat += rest.prefix(outputs)
            rest = rest.dropFirst(outputs)
        }
        try network.setParameters(flat)
    }

    /// Writes the checkpoint to a file: all of it, or the file stays as it was.
    ///
    /// - Throws: ``InhabitError/storage(_:)``
    public func save(to url: URL) throws {
        try storing(at: url) {
            let folder = url.deletingLastPathComponent()
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            let encoder = JSONEncoder()
            encoder.outputFormatting = .sortedKeys
            try encoder.encode(self).write(to: url, options: .atomic)
        }
    }

    /// Reads a checkpoint.
    ///
    /// - Throws: ``InhabitError/storage(_:)`` if there is no such file, ``InhabitError/checkpoint(_:)`` if it is no checkpoint.
    public init(contentsOf url: URL) throws {
        let data = try storing(at: url) { try Data(contentsOf: url) }
        do {
            self = try JSONDecoder().decode(ModelCheckpoint.self, from: data)
        } catch {
            throw InhabitError.checkpoint("\(url.lastPathComponent): not a ModelCheckpoint: \(error)")
        }
    }
}

/// Turns what the file system says into ``InhabitError/storage(_:)``.
func storing<T>(at url: URL, _ body: () throws -> T) throws -> T {
    do {
        return try body()
    } catch let error as InhabitError {
        throw error
    } catch {
        throw InhabitError.storage("\(url.path): \(error.localizedDescription)")
    }
}
