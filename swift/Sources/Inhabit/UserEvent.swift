import Foundation

/// What happened: one of the named kinds, or any word of your own.
public struct EventType: RawRepresentable, Hashable, Sendable, ExpressibleByStringLiteral {
    public let rawValue: String

    public init(rawValue: String) { self.rawValue = rawValue }
    public init(stringLiteral value: String) { self.init(rawValue: value) }

    /// The person opened the app.
    public static let appOpened: EventType = "app_opened"
    /// The app showed a reminder.
    public static let reminderSent: EventType = "reminder_sent"
    /// The person answered a reminder by tapping it.
    public static let reminderTapped: EventType = "reminder_tapped"
    /// The person did the habit: the default target.
    public static let habitCompleted: EventType = "habit_completed"
    /// The person said that they will not do the habit this time.
    public static let habitSkipped: EventType = "habit_skipped"
}

/// Something that happened to one person.
///
/// An event has two times. ``occurredAt`` is when it happened, on the person's clock there and then;
/// ``recordedAt`` is when the store learnt of it. A prediction may only use what was recorded before its
/// moment, so both are needed to replay history honestly.
public struct UserEvent: Hashable, Sendable, Identifiable {
    /// Identity: appending an id that is already there adds nothing.
    public let id: String
    /// What happened.
    public let type: EventType
    /// What it is about, such as `"meditate"`; empty: it concerns every subject.
    public let subject: String
    /// When it happened, and the local clock there and then.
    public let occurredAt: LocalInstant
    /// When the store learnt of it, in microseconds of UTC since 1970; never before ``occurredAt``.
    public let recordedAt: Int64
    /// A finite amount, if the type has one.
    public let value: Double?

    /// An event with all that can be said about it.
    ///
    /// - Parameters:
    ///   - recordedAt: microseconds of UTC since 1970; `nil`: as it happened.
    ///   - id: `nil`: a digest of subject, type, instant and value, so the same fact told twice is one event.
    /// - Throws: ``InhabitError`` for a name that is empty, longer than 256 characters or has control
    ///   characters, an amount that is not finite, or an event that was known before it happened.
    public init(
        type: EventType, subject: String = "", occurredAt: LocalInstant, recordedAt: Int64? = nil,
        value: Double? = nil, id: String? = nil
    ) throws {
        try Self.checkName(type.rawValue, "type")
        if !subject.isEmpty { try Self.checkName(subject, "subject") }
        if let id { try Self.checkName(id, "id") }
        if let value, !value.isFinite { throw InhabitError.nonFinite(argument: "value") }
        let recordedAt = recordedAt ?? occurredAt.microseconds
        guard recordedAt >= occurredAt.microseconds else {
            throw InhabitError.event("recordedAt is before occurredAt: nothing is known before it happens")
        }
        guard abs(occurredAt.utcOffset) < 86_400 else {
            throw InhabitError.event("utcOffset: expected less than a day, got \(occurredAt.utcOffset) s")
        }
        self.type = type
        self.subject = subject
        self.occurredAt = occurredAt
        self.recordedAt = recordedAt
        self.value = value.map { $0 + 0 }  // -0 becomes 0, as in the database
        self.id = id ?? Self.contentID(type, subject, occurredAt.microseconds, self.value)
    }

    /// An event as an app tells it: what happened, and when.
    ///
    /// It counts as recorded now, or when it happened if that is later.
    /// - Throws: as ``init(type:subject:occurredAt:recordedAt:value:id:)``.
    public init(
        timestamp: Date = Date(), type: EventType, subject: String = "", value: Double? = nil,
        timeZone: TimeZone = .current
    ) throws {
        let occurredAt = LocalInstant(timestamp, in: timeZone)
        let now = LocalInstant.now(in: timeZone).microseconds
        try self.init(
            type: type, subject: subject, occurredAt: occurredAt,
            recordedAt: max(now, occurredAt.microseconds), value: value)
    }

    /// When it happened, without the clock.
    public var timestamp: Date { occurredAt.date }

    private static func checkName(_ name: String, _ what: String) throws {
        let scalars = name.unicodeScalars
        let isControl = { (scalar: Unicode.Scalar) in scalar.value < 0x20 || scalar.value == 0x7f }
        guard (1...256).contains(scalars.count), !scalars.contains(where: isControl) else {
            throw InhabitError.event(
                "\(what): expected 1 to 256 characters without control characters, got \"\(name.prefix(60))\"")
        }
    }

    /// Identity of an event that came without one: SHA-256 of its content, 128 bits in hex.
    private static func contentID(
        _ type: EventType, _ subject: String, _ occurredAt: Int64, _ value: Double?
    ) -> String {
        let amount = value.map(shortestDecimal) ?? ""
        let content = "\(subject)\n\(type.rawValue)\n\(occurredAt)\n\(amount)"
        return String(sha256Hex(Array(content.utf8)).prefix(32))
    }
}

extension UserEvent {
    /// The order in which every store returns events.
    static func inOrder(_ a: UserEvent, _ b: UserEvent) -> Bool {
        let (first, second) = (a.occurredAt.microseconds, b.occurredAt.microseconds)
        if first != second { return first < second }
        if a.recordedAt != b.recordedAt { return a.recordedAt < b.recordedAt }
        return a.id.utf8.lexicographicallyPrecedes(b.id.utf8)
    }

    /// Whether two events with one id say the same; offset and recording may differ.
    func isSameFact(as other: UserEvent) -> Bool {
        (type, subject, occurredAt.microseconds) == (other.type, other.subject, other.occurredAt.microseconds)
            && value == other.value
    }
}
