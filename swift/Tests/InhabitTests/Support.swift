import Foundation
import XCTest
@testable import Inhabit

/// The root of the repository, where the vectors live that all four languages read.
let repository = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

/// A JSON file of `tests/vectors`.
func vectors<T: Decodable>(_ name: String, as type: T.Type = T.self) throws -> T {
    let url = repository.appendingPathComponent("tests/vectors/\(name)")
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    return try decoder.decode(T.self, from: Data(contentsOf: url))
}

extension XCTestCase {
    /// An empty folder that is gone when the test ends.
    func temporaryFolder() throws -> URL {
        let url = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
        addTeardownBlock { try? FileManager.default.removeItem(at: url) }
        return url
    }
}

/// An instant in March 2026, in UTC unless an offset is given.
func march(_ day: Int, _ hour: Int, _ minute: Int = 0, utcOffset: Int = 0) -> LocalInstant {
    let firstOfMarch: Int64 = 1_772_323_200
    let seconds = firstOfMarch + Int64((day - 1) * 86_400 + hour * 3600 + minute * 60 - utcOffset)
    return LocalInstant(microseconds: seconds * 1_000_000, utcOffset: utcOffset)
}

/// The error that `body` throws, if it is one of ours.
func failure(_ body: () throws -> Void) -> InhabitError? {
    do { try body() } catch { return error as? InhabitError }
    return nil
}

/// A seeded generator, so that every run of a test sees the same numbers.
struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
