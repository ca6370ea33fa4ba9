import Foundation

#if canImport(SQLite3)
    import SQLite3
#else
    import CSQLite
#endif

/// One connection to the system's SQLite. Not thread-safe: its owner takes turns.
final class SQLiteConnection {
    enum Value: Equatable {
        case null
        case integer(Int64)
        case real(Double)
        case text(String)
        case blob([UInt8])
    }

    private var handle: OpaquePointer?
    private let path: String

    init(path: String, timeoutMilliseconds: Int32) throws {
        self.path = path
        let flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX
        let status = sqlite3_open_v2(path, &handle, flags, nil)
        guard status == SQLITE_OK else {
            let error = failure()
            sqlite3_close_v2(handle)
            throw error
        }
        sqlite3_busy_timeout(handle, timeoutMilliseconds)
    }

    deinit { sqlite3_close_v2(handle) }

    /// Runs one statement to its end and returns its rows; no statement outlives the call, so no lock does.
    @discardableResult
    func run(_ sql: String, _ parameters: [Value] = []) throws -> [[Value]] {
        var rows: [[Value]] = []
        try run(sql, parametersOfEach: [parameters]) { rows.append($0) }
        return rows
    }

    /// Runs one statement once for each list of parameters.
    func run(
        _ sql: String, parametersOfEach lists: [[Value]], row: (([Value]) -> Void)? = nil
    ) throws {
        var statement: OpaquePointer?
        guard sqlite3_prepare_v2(handle, sql, -1, &statement, nil) == SQLITE_OK else { throw failure() }
        defer { sqlite3_finalize(statement) }
        for list in lists {
            for (index, value) in list.enumerated() {
                guard bind(value, to: statement, at: Int32(index + 1)) == SQLITE_OK else { throw failure() }
            }
            var status = sqlite3_step(statement)
            while status == SQLITE_ROW {
                let columns = 0..<sqlite3_column_count(statement)
                row?(columns.map { Self.value(of: statement, at: $0) })
                status = sqlite3_step(statement)
            }
            guard status == SQLITE_DONE else { throw failure() }
            sqlite3_reset(statement)
        }
    }

    /// Everything in `body`, or nothing.
    func transaction<T>(_ body: () throws -> T) throws -> T {
        try run("BEGIN IMMEDIATE")
        do {
            let result = try body()
            try run("COMMIT")
            return result
        } catch {
            if sqlite3_get_autocommit(handle) == 0 { _ = try? run("ROLLBACK") }
            throw error
        }
    }

    /// Rows changed since the connection was opened.
    var totalChanges: Int { Int(sqlite3_total_changes(handle)) }

    /// Runs the statements of a script one after the other.
    func runScript(_ script: String) throws {
        guard sqlite3_exec(handle, script, nil, nil, nil) == SQLITE_OK else { throw failure() }
    }

    func integer(_ sql: String, _ parameters: [Value] = []) throws -> Int64 {
        guard case let .integer(value)? = try run(sql, parameters).first?.first else { return 0 }
        return value
    }

    private func bind(_ value: Value, to statement: OpaquePointer?, at index: Int32) -> Int32 {
        // SQLite copies the bytes before the call returns.
        let transient = unsafeBitCast(-1, to: sqlite3_destructor_type.self)
        switch value {
        case .null: return sqlite3_bind_null(statement, index)
        case let .integer(number): return sqlite3_bind_int64(statement, index, number)
        case let .real(number): return sqlite3_bind_double(statement, index, number)
        case let .text(text):
            return sqlite3_bind_text(statement, index, text, Int32(text.utf8.count), transient)
        case let .blob(bytes):
            return sqlite3_bind_blob(statement, index, bytes, Int32(bytes.count), transient)
        }
    }

    private static func value(of statement: OpaquePointer?, at index: Int32) -> Value {
        switch sqlite3_column_type(statement, index) {
        case SQLITE_INTEGER: return .integer(sqlite3_column_int64(statement, index))
        case SQLITE_FLOAT: return .real(sqlite3_column_double(statement, index))
        case SQLITE_TEXT:
            guard let text = sqlite3_column_text(statement, index) else { return .null }
            let count = Int(sqlite3_column_bytes(statement, index))
            return .text(String(decoding: UnsafeBufferPointer(start: text, count: count), as: UTF8.self))
        case SQLITE_BLOB:
            let count = Int(sqlite3_column_bytes(statement, index))
            let bytes = sqlite3_column_blob(statement, index)
            return .blob([UInt8](UnsafeRawBufferPointer(start: bytes, count: count)))
        default: return .null
        }
    }

    private func failure() -> InhabitError {
        let message = handle.map { String(cString: sqlite3_errmsg($0)) } ?? "out of memory"
        let meaning: String
        switch sqlite3_errcode(handle) & 0xff {
        case SQLITE_FULL: meaning = "the disk is full; nothing of this call was kept"
        case SQLITE_BUSY: meaning = "another process is writing to the log; nothing of this call was kept"
        case SQLITE_READONLY: meaning = "the file is read-only"
        case SQLITE_CANTOPEN: meaning = "the file cannot be opened: look at its path and permissions"
        case SQLITE_NOTADB: meaning = "the file is not a SQLite database, so not an event log"
        case SQLITE_CORRUPT: meaning = "the file is damaged: restore a backup"
        default: meaning = "the database refused"
        }
        return .storage("\(path): \(meaning) (\(message))")
    }
}

extension SQLiteConnection.Value {
    static func optional(_ value: Double?) -> Self { value.map(Self.real) ?? .null }
    static func optional(_ value: Int64?) -> Self { value.map(Self.integer) ?? .null }
    static func optional(_ value: String?) -> Self { value.map(Self.text) ?? .null }

    var text: String {
        if case let .text(text) = self { return text }
        return ""
    }

    var integer: Int64 {
        if case let .integer(number) = self { return number }
        return 0
    }

    var real: Double? {
        switch self {
        case let .real(number): return number
        case let .integer(number): return Double(number)
        default: return nil
        }
    }

    var bytes: [UInt8] {
        if case let .blob(bytes) = self { return bytes }
        return []
    }
}
