import Foundation

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// The last few generations of one subject, in a folder of their own.
///
/// A new one is written to a sibling file, flushed to the disk and given its name: after a crash at any point
/// the folder holds the old ones, or the old ones and the new one. Several processes may save at once. The newest that verifies is loaded. The folder
/// is laid out as Python's `GenerationStore` lays it out.
public struct GenerationStore: Sendable {
    /// Made on the first ``save(_:)``.
    public let folder: URL
    /// How many generations stay.
    public let keep: Int

    /// - Throws: ``InhabitError/config(argument:reason:)`` unless at least one generation is kept.
    public init(folder: URL, keep: Int = 5) throws {
        guard keep >= 1 else {
            throw InhabitError.config(argument: "keep", reason: "expected at least 1 generation, got \(keep)")
        }
        self.folder = folder
        self.keep = keep
    }

    /// The numbers of the stored generations, oldest first; nothing is verified.
    public var numbers: [Int] { files.filter { $0.kind.isEmpty }.map(\.number).sorted() }

    /// Stores a generation durably under the next number, which is returned, and lets the oldest go.
    ///
    /// - Throws: ``InhabitError/storage(_:)``; the folder is then as it was.
    @discardableResult
    public func save(_ generation: Generation) throws -> Int {
        try storing(at: folder) {
            try FileManager.default.createDirectory(
                at: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
            let number = try write(generation.bytes)
            prune()
            return number
        }
    }

    /// The newest generation that verifies, with its number; `nil` when nothing has been stored yet.
    ///
    /// - Throws: ``InhabitError/checkpoint(_:)`` if there are files, but none verifies.
    public func load() throws -> (number: Int, generation: Generation)? {
        let numbers = numbers
        if let found = newestValid(of: numbers) { return found }
        guard numbers.isEmpty else {
            throw InhabitError.checkpoint("no generation in \(folder.path) verifies")
        }
        return nil
    }

    /// Takes the newest generation out of service; the number of the one that is loaded from now on.
    ///
    /// - Throws: ``InhabitError/checkpoint(_:)`` if there is no earlier one that verifies; nothing is then changed.
    @discardableResult
    public func rollback() throws -> Int {
        let current = try load()?.number ?? 0
        guard let earlier = newestValid(of: numbers.filter { $0 < current })?.number else {
            throw InhabitError.checkpoint("no earlier generation in \(folder.path) to roll back to")
        }
        try storing(at: folder) {
            // Newest first: a crash in between goes halfway back.
            for number in numbers.reversed() where number > earlier {
                try FileManager.default.moveItem(at: url(number), to: url(number, ".rejected"))
            }
            try flush(folder)
        }
        return earlier
    }

    /// Removes every trace of all generations: how forgetting ends.
    ///
    /// - Throws: ``InhabitError/storage(_:)``
    public func purge() throws {
        try storing(at: folder) {
            for file in files { try FileManager.default.removeItem(at: url(file.number, file.kind)) }
            if FileManager.default.fileExists(atPath: folder.path) { try flush(folder) }
        }
    }

    private func newestValid(of numbers: [Int]) -> (number: Int, generation: Generation)? {
        for number in numbers.sorted(by: >) {
            guard let data = try? Data(contentsOf: url(number)) else { continue }
            if let generation = try? Generation(bytes: [UInt8](data)) { return (number, generation) }
        }
        return nil
    }

    private func url(_ number: Int, _ kind: String = "") -> URL {
        folder.appendingPathComponent(String(format: "generation-%06d.safetensors", number) + kind)
    }

    /// Number and kind (empty, `.rejected`, `.<token>.part`) of all our files.
    private var files: [(number: Int, kind: String)] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
        return names.compactMap { name in
            let (prefix, suffix) = ("generation-", ".safetensors")
            guard name.hasPrefix(prefix), let end = name.range(of: suffix) else { return nil }
            let digits = name[name.index(name.startIndex, offsetBy: prefix.count)..<end.lowerBound]
            guard digits.count >= 6, let number = Int(digits) else { return nil }
            return (number, String(name[end.upperBound...]))
        }
    }

    /// Writes a file under the next number that no other process takes.
    private func write(_ bytes: [UInt8]) throws -> Int {
        var number = (files.map(\.number).max() ?? 0) + 1
        let part = url(number, ".\(UUID().uuidString.prefix(8)).part")
        defer { try? FileManager.default.removeItem(at: part) }
        var attributes: [FileAttributeKey: Any] = [.posixPermissions: 0o600]
        #if os(iOS)
            // Readable while the device is locked: training runs then.
            attributes[.protectionKey] = FileProtectionType.completeUntilFirstUserAuthentication
        #endif
        guard FileManager.default.createFile(atPath: part.path, contents: Data(bytes), attributes: attributes)
        else { throw InhabitError.storage("\(part.path): cannot be written") }
        try flush(part)
        // Unlike a rename, a link never replaces what another process has put there.
        while link(part.path, url(number).path) != 0 {
            guard errno == EEXIST else {
                throw InhabitError.storage("\(url(number).path): \(String(cString: strerror(errno)))")
            }
            number += 1
        }
        try flush(folder)
        return number
    }

    /// Lets go what is older than the last `keep`, and what a process killed long ago left half-written.
    private func prune() {
        guard let oldest = numbers.suffix(keep).first else { return }
        for (number, kind) in files where number < oldest {
            try? FileManager.default.removeItem(at: url(number, kind))
        }
    }
}

/// Brings a file, or the names in a folder, to the medium.
private func flush(_ url: URL) throws {
    let descriptor = open(url.path, O_RDONLY)
    guard descriptor >= 0 else {
        throw InhabitError.storage("\(url.path): \(String(cString: strerror(errno)))")
    }
    defer { close(descriptor) }
    #if canImport(Darwin)
        let result = fcntl(descriptor, F_FULLFSYNC)  // fsync stops at the drive's own cache
    #else
        let result = fsync(descriptor)
    #endif
    guard result >= 0 else {
        throw InhabitError.storage("\(url.path): \(String(cString: strerror(errno)))")
    }
}
