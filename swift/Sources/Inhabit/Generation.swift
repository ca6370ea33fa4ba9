import CInhabit
import Foundation

/// Tensors and a manifest: what was learnt, as the bytes of a safetensors file that verify.
///
/// The same file as Python's, byte for byte, written and verified by the same core.
public struct Generation: Hashable, Sendable {
    /// The elements of a tensor: a vector.
    public enum Tensor: Hashable, Sendable {
        case float64([Double])
        case float32([Float])
        case uint32([UInt32])
    }

    /// The whole file.
    public let bytes: [UInt8]

    /// Verifies the bytes of a file; a hostile file is an error like any other.
    ///
    /// - Throws: ``InhabitError/checkpoint(_:)``
    public init(bytes: [UInt8]) throws {
        try check(inhabit_checkpoint_verify(bytes, bytes.count), argument: "bytes")
        self.bytes = bytes
    }

    /// Writes tensors and a manifest; the same content is always the same bytes.
    ///
    /// - Throws: ``InhabitError`` for a bad name or a number that is not finite.
    public init(tensors: [String: Tensor], manifest: String) throws {
        bytes = try withTensors(tensors.sorted { $0.key < $1.key }) { described in
            try filled(of: UInt8.self, argument: "tensors") { bytes, capacity, size in
                inhabit_checkpoint_write(
                    described, described.count, manifest, manifest.utf8.count, bytes, capacity, &size)
            }
        }
    }

    /// What the tensors were made from, as JSON text.
    public var manifest: String {
        get throws {
            let text: [CChar] = try filled(of: CChar.self, argument: "manifest") { text, capacity, length in
                inhabit_checkpoint_manifest(bytes, bytes.count, text, capacity, &length)
            }
            return String(decoding: text.map(UInt8.init(bitPattern:)), as: UTF8.self)
        }
    }

    /// A tensor of `Float`.
    ///
    /// - Throws: ``InhabitError/checkpoint(_:)`` if there is no such tensor of this type.
    public func float32(_ name: String) throws -> [Float] { try tensor(name, INHABIT_F32) }

    /// A tensor of `Double`.
    ///
    /// - Throws: ``InhabitError/checkpoint(_:)`` if there is no such tensor of this type.
    public func float64(_ name: String) throws -> [Double] { try tensor(name, INHABIT_F64) }

    /// A tensor of `UInt32`.
    ///
    /// - Throws: ``InhabitError/checkpoint(_:)`` if there is no such tensor of this type.
    public func uint32(_ name: String) throws -> [UInt32] { try tensor(name, INHABIT_U32) }

    /// All tensors of a model or a prior, and what else is known to be kept beside them.
    func tensors() throws -> [String: Tensor] {
        var tensors: [String: Tensor] = [:]
        for name in ["model.config", "model.state", "prior.mean", "prior.variance", "prior.experts"] {
            tensors[name] = (try? float64(name)).map(Tensor.float64)
        }
        for name in ["prior.network", "model.champion", "model.challenger", "forecast", "features.mean"] {
            tensors[name] = (try? float32(name)).map(Tensor.float32)
        }
        return tensors
    }

    private func tensor<T>(_ name: String, _ dtype: Int) throws -> [T] {
        try filled(of: T.self, argument: name) { data, capacity, count in
            inhabit_checkpoint_tensor(
                bytes, bytes.count, name, name.utf8.count, UInt32(dtype), data, capacity, &count)
        }
    }
}

/// Gives `body` the tensors as the C library knows them; the pointers live as long as the call.
private func withTensors<R>(
    _ tensors: [(key: String, value: Generation.Tensor)], _ body: ([inhabit_tensor]) throws -> R
) rethrows -> R {
    func describe(_ rest: ArraySlice<(key: String, value: Generation.Tensor)>, _ done: [inhabit_tensor]) throws -> R {
        guard let first = rest.first else { return try body(done) }
        var text = first.key
        return try text.withUTF8 { name in
            try first.value.withElements { dtype, data, count in
                var described = inhabit_tensor()
                described.name = UnsafeRawPointer(name.baseAddress)?.assumingMemoryBound(to: CChar.self)
                described.name_length = name.count
                described.dtype = UInt32(dtype)
                described.data = data
                described.count = count
                return try describe(rest.dropFirst(), done + [described])
            }
        }
    }
    return try describe(tensors[...], [])
}

extension Generation.Tensor {
    fileprivate func withElements<R>(_ body: (Int, UnsafeRawPointer?, Int) throws -> R) rethrows -> R {
        switch self {
        case let .float64(values):
            return try values.withUnsafeBytes { try body(INHABIT_F64, $0.baseAddress, values.count) }
        case let .float32(values):
            return try values.withUnsafeBytes { try body(INHABIT_F32, $0.baseAddress, values.count) }
        case let .uint32(values):
            return try values.withUnsafeBytes { try body(INHABIT_U32, $0.baseAddress, values.count) }
        }
    }
}
