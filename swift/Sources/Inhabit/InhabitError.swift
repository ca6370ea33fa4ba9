import Foundation

/// The one error that this package throws.
///
/// Every case says what was wrong, what was expected and what came. A call that throws has changed nothing.
public enum InhabitError: Error, Equatable, Sendable {
    /// An argument has the wrong number of elements.
    case shape(argument: String, expected: Int, actual: Int)
    /// A number is NaN or infinite.
    case nonFinite(argument: String)
    /// A configuration value or argument is outside its allowed range.
    case config(argument: String, reason: String)
    /// An event cannot be recorded.
    case event(String)
    /// A checkpoint is damaged, of another format, or of another model.
    case checkpoint(String)
    /// The event store or a file could not be read or written.
    case storage(String)
    /// The C library underneath is of another version than this package.
    case library(String)
}

extension InhabitError: LocalizedError {
    public var errorDescription: String? {
        switch self {
        case let .shape(argument, expected, actual):
            return "\(argument): expected \(expected) elements, got \(actual)"
        case let .nonFinite(argument):
            return "\(argument): expected finite numbers, got NaN, infinity, or too large ones"
        case let .config(argument, reason):
            return "\(argument): \(reason)"
        case let .event(reason): return "event: \(reason)"
        case let .checkpoint(reason): return "checkpoint: \(reason)"
        case let .storage(reason): return "storage: \(reason)"
        case let .library(reason): return "inhabit library: \(reason)"
        }
    }
}
