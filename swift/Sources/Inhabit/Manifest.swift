import Foundation

/// What a generation was made from; Python writes the same, byte for byte.
public struct Manifest: Hashable, Sendable {
    /// SHA-256 of the schema of the features; a model only fits features of the same schema.
    public var schema: String
    /// Names of the features, in order.
    public var features: [String]
    /// ``Generation/id`` of the prior; `nil` without one.
    public var parent: String?
    /// Moments, labels, positive labels, promotions.
    public var counts: [String: Int]
    /// Walk-forward scores of the model beside those of the running base rate.
    public var metrics: [String: Double]
    /// Digest of everything the walk has looked at: a walk over the same past can go on from here.
    public var past: String?
    /// How far the walk has come.
    var walked: Walked?

    /// The last moment walked, in microseconds of UTC since 1970.
    public var lastMoment: Int64? { walked?.last }

    /// JSON with sorted keys.
    var json: String {
        let numbers = counts.mapValues { "\($0)" }
        let settings = [
            "last_label_us": (walked?.learnt).map { "\($0)" } ?? "null",
            "last_moment_us": (walked?.last).map { "\($0)" } ?? "null",
            "past": past.map(quoted) ?? "null",
        ]
        return object([
            "counts": object(numbers),
            "features": "[\(features.map(quoted).joined(separator: ","))]",
            "format_version": "1",
            "metrics": object(metrics.mapValues(shortestDecimal)),
            "parent": parent.map(quoted) ?? "null",
            "schema": quoted(schema),
            "seed": "0",
            "settings": object(settings),
        ])
    }
}

private func object(_ members: [String: String]) -> String {
    let sorted = members.sorted { $0.key < $1.key }
    return "{\(sorted.map { "\(quoted($0.key)):\($0.value)" }.joined(separator: ","))}"
}

/// Names and digests only: nothing in them needs escaping.
private func quoted(_ text: String) -> String { "\"\(text)\"" }

extension Manifest: Decodable {
    private enum Key: String, CodingKey {
        case schema, features, parent, counts, metrics, settings
        case formatVersion = "format_version"
    }

    private struct Settings: Decodable {
        var past: String?
        // swift-format-ignore: AlwaysUseLowerCamelCase
        var last_moment_us, last_label_us: Int64?
    }

    public init(from decoder: any Decoder) throws {
        let members = try decoder.container(keyedBy: Key.self)
        let version = try members.decode(Int.self, forKey: .formatVersion)
        guard version == 1 else {
            throw InhabitError.checkpoint("format version: expected 1, got \(version)")
        }
        schema = try members.decode(String.self, forKey: .schema)
        features = try members.decode([String].self, forKey: .features)
        parent = try members.decodeIfPresent(String.self, forKey: .parent)
        counts = try members.decode([String: Int].self, forKey: .counts)
        metrics = try members.decode([String: Double].self, forKey: .metrics)
        let settings = try members.decodeIfPresent(Settings.self, forKey: .settings)
        past = settings?.past
        walked = settings?.last_moment_us.map { Walked(last: $0, learnt: settings?.last_label_us) }
    }
}

extension Generation {
    /// The first 16 hexadecimal digits of the SHA-256 of the bytes.
    public var id: String { String(sha256Hex(bytes).prefix(16)) }

    /// What it was made from.
    ///
    /// - Throws: ``InhabitError/checkpoint(_:)`` if the text is no manifest of this format.
    public func decodedManifest() throws -> Manifest {
        do {
            return try JSONDecoder().decode(Manifest.self, from: Data(try manifest.utf8))
        } catch let error as InhabitError {
            throw error
        } catch {
            throw InhabitError.checkpoint("the manifest is not what it should be: \(error)")
        }
    }
}
