// swift-tools-version: 6.0
import PackageDescription

#if os(Linux)
    // The C library is built by cargo, see tools/swift; SQLite is the system's.
    let systemLibraries: [Target] = [
        .systemLibrary(name: "CInhabit", path: "rust/capi/include"),
        .systemLibrary(
            name: "CSQLite", path: "swift/Sources/CSQLite", providers: [.apt(["libsqlite3-dev"])]),
    ]
    let linked: [LinkerSetting] = [.linkedLibrary("inhabit")]
#else
    // `make xcframework` builds it; Apple's SDKs bring SQLite.
    let systemLibraries: [Target] = [
        .binaryTarget(name: "CInhabit", path: "build/Inhabit.xcframework")
    ]
    let linked: [LinkerSetting] = []
#endif

// The Apple-only code is compiled and tested on Linux against a stand-in, see tools/swift.
let stubs: [Target] =
    Context.environment["INHABIT_APPLE_STUBS"] == nil
    ? [] : [.target(name: "BackgroundTasks", path: "swift/Stubs/BackgroundTasks")]

let package = Package(
    name: "Inhabit",
    platforms: [.iOS(.v13), .macOS(.v11)],
    products: [.library(name: "Inhabit", targets: ["Inhabit"])],
    targets: systemLibraries + stubs + [
        .target(
            name: "Inhabit",
            dependencies: (systemLibraries + stubs).map { .byName(name: $0.name) },
            path: "swift/Sources/Inhabit",
            resources: [.copy("PrivacyInfo.xcprivacy"), .copy("builtin.safetensors")],
            linkerSettings: linked),
        .testTarget(
            name: "InhabitTests",
            dependencies: ["Inhabit"] + stubs.map { .byName(name: $0.name) },
            path: "swift/Tests/InhabitTests"),
    ]
)
