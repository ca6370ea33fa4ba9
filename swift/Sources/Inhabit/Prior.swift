import Foundation

/// What a model knows before the first outcome of its person.
public enum Prior: Hashable, Sendable {
    /// The one that comes with the package; `python/inhabit/priors/CARD.md` says which people it learnt from.
    case builtin
    /// Nothing from other people: the model starts from fixed weights.
    case none
    /// The bytes of a file that `inhabit prior` made.
    case file(Generation)

    /// The file, if there is one; checked to be a prior of the features of this package.
    ///
    /// - Throws: ``InhabitError/checkpoint(_:)``
    public func generation() throws -> Generation? {
        let found: Generation
        switch self {
        case .none: return nil
        case .file(let generation): found = generation
        case .builtin: found = try Self.builtinFile.get()
        }
        guard try found.decodedManifest().schema == HabitFeatures.schema else {
            throw InhabitError.checkpoint("the prior was made for other features")
        }
        return found
    }

    /// Read once.
    private static let builtinFile = Result {
        guard let url = Bundle.module.url(forResource: "builtin", withExtension: "safetensors") else {
            throw InhabitError.checkpoint("the built-in prior is missing from the bundle of the package")
        }
        return try Generation(bytes: [UInt8](storing(at: url) { try Data(contentsOf: url) }))
    }
}
