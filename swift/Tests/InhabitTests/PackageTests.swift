import XCTest
@testable import Inhabit

/// What the package says of itself is true.
final class PackageTests: XCTestCase {
    private let sources = repository.appendingPathComponent("swift/Sources/Inhabit")

    func testThePrivacyManifestNamesWhatIsUsedAndNothingElse() throws {
        let url = sources.appendingPathComponent("PrivacyInfo.xcprivacy")
        let plist = try PropertyListSerialization.propertyList(from: Data(contentsOf: url), format: nil)
        let manifest = try XCTUnwrap(plist as? [String: Any])
        XCTAssertEqual(manifest["NSPrivacyTracking"] as? Bool, false)
        XCTAssertEqual((manifest["NSPrivacyCollectedDataTypes"] as? [Any])?.count, 0)
        let accessed = try XCTUnwrap(manifest["NSPrivacyAccessedAPITypes"] as? [[String: Any]])
        let named = Set(accessed.compactMap { $0["NSPrivacyAccessedAPIType"] as? String })

        // The APIs for which Apple asks a reason, by category.
        let categories = [
            "SystemBootTime": ["systemUptime", "mach_absolute_time"],
            "FileTimestamp": ["creationDate", "modificationDate", "attributesOfItem", "getattrlist", "fstat", "stat("],
            "DiskSpace": ["volumeAvailableCapacity", "systemFreeSize", "statfs", "statvfs"],
            "UserDefaults": ["UserDefaults"],
            "ActiveKeyboards": ["activeInputModes"],
        ]
        let text = try sourceText()
        for (category, words) in categories {
            let isUsed = words.contains { text.contains($0) }
            XCTAssertEqual(named.contains("NSPrivacyAccessedAPICategory\(category)"), isUsed, category)
        }
    }

    func testTheExpertsAreThoseOfTheCore() throws {
        let url = repository.appendingPathComponent("rust/core/src/model.rs")
        let core = try String(contentsOf: url, encoding: .utf8)
        let list = try XCTUnwrap(core.components(separatedBy: "pub const EXPERTS").dropFirst().first)
        let names = list.components(separatedBy: "];")[0].components(separatedBy: "\"").enumerated()
        XCTAssertEqual(names.filter { $0.offset % 2 == 1 }.map(\.element), Model.experts)
    }

    func testThereIsNoNetworkCode() throws {
        let text = try sourceText()
        for word in ["URLSession", "import Network", "CFNetwork", "socket(", "NWConnection", "http://", "https://"] {
            XCTAssertFalse(text.contains(word), word)
        }
    }

    func testTheDocumentationShowsCodeThatCompiles() throws {
        let readme = repository.appendingPathComponent("README.md")
        let guide = repository.appendingPathComponent("docs/ios.md")
        let landing = sources.appendingPathComponent("Inhabit.docc/Inhabit.md")
        let examples = repository.appendingPathComponent("swift/Tests/InhabitTests/Examples.swift")
        let compiled = words(try String(contentsOf: examples, encoding: .utf8))
        var count = 0
        for document in [readme, guide, landing] {
            let text = try String(contentsOf: document, encoding: .utf8)
            for block in text.components(separatedBy: "```swift\n").dropFirst() {
                let code = block.components(separatedBy: "```")[0]
                XCTAssertTrue(compiled.contains(words(code)), "not in Examples.swift: \(code)")
                count += 1
            }
        }
        XCTAssertGreaterThan(count, 5)
    }

    func testEveryPublicTypeIsOnTheLandingPage() throws {
        let url = sources.appendingPathComponent("Inhabit.docc/Inhabit.md")
        let page = try String(contentsOf: url, encoding: .utf8)
        let pattern = #"(?m)^ {0,4}public (?:final )?(?:struct|class|actor|enum|protocol) (\w+)"#
        let text = try sourceText()
        let expression = try NSRegularExpression(pattern: pattern)
        let matches = expression.matches(in: text, range: NSRange(text.startIndex..., in: text))
        let nested: Set = ["QuietHours", "Action", "Zone", "Tensor", "Prediction", "Activation", "Loss", "Settings"]
        let others: Set = ["Training", "Missing", "Optimizer", "Status", "Outcome", "Unknown"]
        for match in matches {
            let name = String(text[try XCTUnwrap(Range(match.range(at: 1), in: text))])
            guard !nested.contains(name), !others.contains(name) else { continue }
            XCTAssertTrue(page.contains("- ``\(name)``"), name)
        }
    }

    private func sourceText() throws -> String {
        let files = try FileManager.default.contentsOfDirectory(at: sources, includingPropertiesForKeys: nil)
        return try files.filter { $0.pathExtension == "swift" }
            .map { try String(contentsOf: $0, encoding: .utf8) }.joined(separator: "\n")
    }

    /// The words of some code, however it is indented.
    private func words(_ code: String) -> String {
        code.split(whereSeparator: \.isWhitespace).joined(separator: " ")
    }
}
