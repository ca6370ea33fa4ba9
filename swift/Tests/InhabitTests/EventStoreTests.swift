import XCTest
@testable import Inhabit

final class EventStoreTests: XCTestCase {
    func testMigrationsAreThoseOfPython() throws {
        for (version, name) in ["0001_events", "0002_decisions", "0003_meta"].enumerated() {
            let file = repository.appendingPathComponent("python/inhabit/migrations/\(name).sql")
            let script = try String(contentsOf: file, encoding: .utf8)
            XCTAssertEqual(EventSchema.migrations[version], script, name)
        }
    }
}

let repository = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
