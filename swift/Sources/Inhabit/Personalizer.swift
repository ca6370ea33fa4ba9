import Foundation

/// One person, one subject: the whole loop.
///
/// Record what happens, predict, decide, see what came of it, train:
///
/// ```swift
/// let me = try Personalizer.open(subject: "meditate")
/// try await me.record(.habitCompleted)
/// let probability = try await me.predict()
/// let decision = try await me.decide()
/// if decision.action == .remind { scheduleReminder() }
/// ```
///
/// Its home is a folder: `events.sqlite3` (one person's log, all subjects) and `generations/` (what was learnt
/// about each subject), laid out as Python lays them out. Nothing else is read or written.
public actor Personalizer {
    /// What the habit is about, such as `"meditate"`.
    public let subject: String
    /// What is predicted, when, and what is done with it.
    public let settings: Settings

    private let store: any EventStore
    private let generations: GenerationStore
    private let unfinished: GenerationStore
    private let prior: Generation?
    private let home: URL?
    private let target: Target
    private let clock: @Sendable () -> LocalInstant
    private var serving: Serving?
    private var isTraining = false
    /// Counts what makes a training that is under way worthless.
    private var forgettings = 0

    /// What a personalizer is told.
    public struct Settings: Sendable {
        /// What is predicted; its subject is the personalizer's. Once a day is enough, unless you say otherwise;
        /// that counts only where the window is the rest of the day.
        public var target = Target.onceADay
        /// When the question is asked anew; each time is an example to learn from. By default once a day.
        /// Predictions may be asked for at any time.
        public var schedule = Schedule()
        /// What to do with a probability; its day begins when the schedule's does.
        public var policy = DecisionPolicy()
        /// How many generations stay on disk.
        public var keep = 5
        /// When ``Personalizer/trainIfDue(device:deadline:pace:)`` trains.
        public var request = TrainingRequest()

        public init() {}
    }

    /// Puts a personalizer together from its parts.
    ///
    /// - Parameters:
    ///   - generations: where what is learnt about this subject is kept.
    ///   - prior: what was learnt from other people.
    ///   - clock: tells the present.
    /// - Throws: ``InhabitError`` for a setting outside its range or a prior for other features.
    public init(
        subject: String, store: any EventStore, generations: URL, prior: Prior = .builtin,
        settings: Settings = Settings(), clock: @escaping @Sendable () -> LocalInstant = { .now() }
    ) throws {
        try self.init(
            subject: subject, store: store, generations: generations, home: nil, prior: prior,
            settings: settings, clock: clock)
    }

    private init(
        subject: String, store: any EventStore, generations: URL, home: URL?, prior: Prior, settings: Settings,
        clock: @escaping @Sendable () -> LocalInstant
    ) throws {
        guard !subject.isEmpty else {
            throw InhabitError.config(argument: "subject", reason: "expected a name such as \"meditate\"")
        }
        var settings = settings
        settings.target.subject = subject
        settings.target.once = settings.target.once && settings.target.window == .restOfDay
        settings.policy.dayStart = settings.schedule.dayStart
        try settings.policy.validate()
        try settings.target.validate()
        try settings.request.validate()
        let prior = try prior.generation()
        _ = try Model(prior: prior)  // refused here rather than at the first prediction
        (self.subject, self.settings, self.store, self.prior) = (subject, settings, store, prior)
        (target, self.clock, self.home) = (settings.target, clock, home)
        self.generations = try GenerationStore(folder: generations, keep: settings.keep)
        unfinished = try GenerationStore(folder: generations.appendingPathComponent("unfinished"), keep: 1)
    }

    /// Opens the home of a person, made if there is none.
    ///
    /// - Parameter home: the folder; by default `inhabit` in Application Support.
    /// - Throws: ``InhabitError``
    public static func open(
        subject: String, home: URL? = nil, prior: Prior = .builtin, settings: Settings = Settings(),
        clock: @escaping @Sendable () -> LocalInstant = { .now() }
    ) throws -> Personalizer {
        let home = try home ?? defaultHome()
        let store = try SQLiteEventStore(url: home.appendingPathComponent("events.sqlite3"))
        let folder = home.appendingPathComponent("generations").appendingPathComponent(folderName(of: subject))
        return try Personalizer(
            subject: subject, store: store, generations: folder, home: home, prior: prior, settings: settings,
            clock: clock)
    }

    /// `inhabit` in the system's folder for application data: Application Support on Apple systems.
    ///
    /// - Throws: ``InhabitError/storage(_:)``
    public static func defaultHome() throws -> URL {
        let directory = FileManager.SearchPathDirectory.applicationSupportDirectory
        guard let support = FileManager.default.urls(for: directory, in: .userDomainMask).first else {
            throw InhabitError.storage("there is no folder for application data")
        }
        return support.appendingPathComponent("inhabit")
    }

    /// The name of a subject's folder: its letters and digits, then a hash that tells subjects apart.
    static func folderName(of subject: String) -> String {
        let words = subject.lowercased().unicodeScalars.split { scalar in
            !(("a"..."z").contains(scalar) || ("0"..."9").contains(scalar))
        }
        let readable = words.map { String($0) }.joined(separator: "-").prefix(32)
        let digest = sha256Hex(Array(subject.utf8)).prefix(8)
        return readable.isEmpty ? String(digest) : "\(readable)-\(digest)"
    }

    // MARK: - What happens

    /// Keeps an event for good; when this returns, it is on the disk.
    ///
    /// - Parameters:
    ///   - occurredAt: when it happened; by default now.
    ///   - subject: what it is about, by default this subject; empty for what concerns all, such as an app launch.
    /// - Throws: ``InhabitError``
    @discardableResult
    public func record(
        _ type: EventType, occurredAt: LocalInstant? = nil, subject: String? = nil, value: Double? = nil,
        id: String? = nil
    ) throws -> UserEvent {
        let now = clock()
        let occurredAt = occurredAt ?? now
        let event = try UserEvent(
            type: type, subject: subject ?? self.subject, occurredAt: occurredAt,
            recordedAt: max(now.microseconds, occurredAt.microseconds), value: value, id: id)
        try store.append([event])
        serving?.told(event)
        return event
    }

    // MARK: - Predict and decide

    /// The probability of what has happened already, and the highest that is given; the rest to 1 is the lowest.
    ///
    /// A prediction may be as sure: ``known(at:)`` tells.
    public static let sure = 0.999

    /// The calibrated probability that the target occurs in the window that is open: strictly between 0 and 1.
    ///
    /// That is the window of the last scheduled moment: with the usual settings, the day. What has happened in
    /// it so far counts, and so does that nothing has happened yet.
    ///
    /// - Parameter at: as of this instant; by default now.
    /// - Throws: ``InhabitError``
    public func predict(at: LocalInstant? = nil) throws -> Double { try look(at).probability }

    /// Whether the target has occurred in the window that is open: `true` when it has, `false` when the person
    /// skipped it, `nil` while nobody knows.
    ///
    /// - Parameter at: as of this instant; by default now.
    /// - Throws: ``InhabitError``
    public func known(at: LocalInstant? = nil) throws -> Bool? {
        switch try look(at).known {
        case .positive: return true
        case .negative: return false
        case .unknown: return nil
        }
    }

    /// The features that a prediction rests on: those of the last scheduled moment.
    ///
    /// - Throws: ``InhabitError``
    public func features(at: LocalInstant? = nil) throws -> HabitFeatures { try look(at).question.features }

    /// Decides whether to remind, wait or suppress, and keeps the decision with its reasons.
    ///
    /// A decision to remind is a reminder: caps and gaps count it from then on; each subject has its own. A decision
    /// that is kept begins the subject, as an event about it does: from then on, silence is an answer.
    ///
    /// - Parameters:
    ///   - at: looks at the log as of this instant, with what is learnt by now; by default now.
    ///   - isStored: whether to keep it. By default a decision about now is kept, one about another time is not:
    ///     it was made with hindsight.
    /// - Throws: ``InhabitError``
    public func decide(at: LocalInstant? = nil, store isStored: Bool? = nil) throws -> Decision {
        let look = try look(at)
        let (moment, now) = (look.question.moment, look.question.now)
        let since = now.microseconds - 2 * microsecondsPerDay
        let recent = try store.decisions(subject: subject, since: since)
            .filter { $0.decision.at.microseconds <= now.microseconds }
        var state = PolicyState(now: now, probability: look.probability)
        (state.done, state.skipped) = (look.known == .positive, look.known == .negative)
        state.reminders = try reminders(recent, since: since, until: now.microseconds)
        // What rested on a forgotten event has no features any more, and leaves no zone either.
        state.previousZone = recent.last { !$0.features.isEmpty }?.decision.zone
        state.generation = try served().number
        state.draw = Int64(moment.day + daysBefore1970) * 256 + Int64(moment.slot)
        let decision = try ownPolicy().decide(state)
        if isStored ?? (at == nil) {
            try store.append(
                StoredDecision(
                    subject: subject, decision: decision, slot: moment.slot, windowStart: moment.windowStart,
                    windowEnd: moment.windowEnd, features: look.question.features.inputs))
        }
        return decision
    }

    private func look(_ at: LocalInstant?) throws -> (question: Question, known: Label, probability: Double) {
        let question = try Question(
            at: at ?? clock(), of: store, target: target, schedule: settings.schedule)
        let (moment, inputs) = (question.moment, question.features.inputs)
        let atFirst = try served().model.predict(inputs, slot: moment.slot).probability
        let known = try question.known(to: store)
        switch known {
        case .positive: return (question, known, Self.sure)
        case .negative: return (question, known, 1 - Self.sure)
        case .unknown:
            let toCome = try question.updated(atFirst, by: store)
            return (question, known, min(max(toCome, 1 - Self.sure), Self.sure))
        }
    }

    /// Joins the outcomes of decisions whose windows have closed; how many were joined.
    ///
    /// A training does so itself.
    ///
    /// - Throws: ``InhabitError/storage(_:)``
    @discardableResult
    public func observe() throws -> Int {
        let now = clock().microseconds
        let closed = try store.decisions(subject: subject, since: .min, openOnly: true)
            .filter { $0.windowEnd + target.grace <= now }
        guard let first = closed.map(\.windowStart).min(), let last = closed.map(\.windowEnd).max() else { return 0 }
        var query = EventQuery(subject: subject)
        query.types = [target.type, target.skipType].compactMap { $0 }
        (query.since, query.until) = (first, last)
        let events = try store.events(query)
        let happened = Happenings(events, type: target.type, subjects: [subject])
        let skipped = Happenings(events, type: target.skipType, subjects: [subject])
        var outcomes: [Int64: Label] = [:]
        for decision in closed {
            guard let id = decision.id else { continue }
            let (start, end) = (decision.windowStart, decision.windowEnd)
            let evidence = Evidence(target, happened: happened, skipped: skipped, from: start, to: end)
            outcomes[id] = evidence.label(asOf: now)
        }
        return try store.setOutcomes(outcomes)
    }

    /// The policy, with a seed of this home and subject if it explores and has none.
    private func ownPolicy() throws -> DecisionPolicy {
        guard settings.policy.explore > 0, settings.policy.seed == nil else { return settings.policy }
        let fresh = (0..<16).map { _ in String(format: "%02x", UInt8.random(in: 0...255)) }.joined()
        let salt = try store.meta("salt") ?? store.meta("salt", orSet: fresh)
        let digest = sha256(Array("\(salt)\n\(subject)".utf8))
        var policy = settings.policy
        policy.seed = digest.prefix(8).reversed().reduce(0) { $0 << 8 | UInt64($1) }
        return policy
    }

    /// When reminders were given lately, decided here or told by the app.
    private func reminders(_ recent: [StoredDecision], since: Int64, until: Int64) throws -> [LocalInstant] {
        let decided = recent.map(\.decision).filter { $0.action == .remind }.map(\.at)
        var query = EventQuery(subject: subject)
        query.types = [.reminderSent]
        (query.since, query.until) = (since, until + 1)
        // An event this soon after a decision to remind is that reminder, told by the app.
        let sameReminder = 15 * 60 * microsecondsPerSecond
        let told = try store.events(query).map(\.occurredAt).filter { at in
            !decided.contains { (0...sameReminder).contains(at.microseconds - $0.microseconds) }
        }
        return decided + told
    }

    /// By how much each feature moves the prediction: exact Shapley values.
    ///
    /// They sum to the prediction at the beginning of the window minus that for this person's average features.
    ///
    /// - Throws: ``InhabitError``
    public func explain(at: LocalInstant? = nil) throws -> [String: Double] {
        let (question, serving) = (try look(at).question, try served())
        let effects = try shapley(question.features.inputs, average: serving.average) {
            try serving.model.predict($0, slot: question.moment.slot).probability
        }
        return Dictionary(uniqueKeysWithValues: zip(HabitFeatures.names, effects))
    }

    /// Where the loop stands.
    public struct Status: Hashable, Sendable {
        /// Number of the generation in service; 0 is the prior.
        public let generation: Int
        /// Labels that it has learnt from.
        public let samples: Int
        /// Labels that have matured since.
        public let newSamples: Int
        /// When a training ended last; `nil`: never.
        public let lastTraining: LocalInstant?
        /// Walk-forward scores of the generation, beside those of the running base rate.
        public let metrics: [String: Double]
    }

    /// Says where the loop stands.
    ///
    /// - Throws: ``InhabitError``
    public func status() throws -> Status {
        let serving = try served()
        return Status(
            generation: serving.number, samples: serving.manifest?.counts["labels"] ?? 0, newSamples: try newSamples(),
            lastTraining: try lastTraining(), metrics: serving.manifest?.metrics ?? [:])
    }

    private func newSamples() throws -> Int {
        try served().newLabels(
            in: store, target: target, schedule: settings.schedule, now: clock().microseconds)
    }

    private func lastTraining() throws -> LocalInstant? {
        try store.meta(Self.lastTrainingKey(subject)).flatMap { LocalInstant(text: $0) }
    }

    private static func lastTrainingKey(_ subject: String) -> String { "last_training:\(subject)" }

    // MARK: - Learn

    /// What came of a training.
    public struct Training: Hashable, Sendable {
        public enum Outcome: String, Sendable {
            /// There is a new generation.
            case trained
            /// Nothing new to learn.
            case unchanged
            /// See ``Training/due``.
            case notDue = "not due"
            /// The deadline came; what was done so far is kept, and the next training goes on from there.
            case expired
            /// It was told to stop; nothing is lost either.
            case cancelled
        }

        public let outcome: Outcome
        /// Number of the generation in service now; 0 is the prior.
        public let generation: Int
        /// Labels learnt from.
        public let samples: Int
        /// Walk-forward scores, beside those of the running base rate.
        public let metrics: [String: Double]
        /// Why it was, or was not, the time to train; `nil` when nobody asked.
        public internal(set) var due: Due?
    }

    /// Trains when the device and the calendar agree; meant to be called now and then.
    ///
    /// The request is that of the settings, see ``TrainingRequest/isDue(_:now:lastRun:newSamples:)``.
    ///
    /// - Parameters:
    ///   - device: what is known of the device now.
    ///   - deadline: as for ``train(deadline:pace:)``.
    ///   - pace: as for ``train(deadline:pace:)``.
    /// - Throws: ``InhabitError``
    public func trainIfDue(
        device: DeviceState, deadline: TimeInterval? = nil, pace: Pace = .full
    ) async throws -> Training {
        try observe()
        let due = try settings.request.isDue(
            device, now: clock(), lastRun: lastTraining(), newSamples: newSamples())
        var training = due.due ? try await train(deadline: deadline, pace: pace) : try result(.notDue, of: nil)
        training.due = due
        return training
    }

    /// Learns from everything that has matured.
    ///
    /// Cancelling the task stops it between two slices of a fraction of a millisecond. However it ends, nothing
    /// is lost: the generation in service stays, and the next training goes on where this one stopped.
    ///
    /// - Parameters:
    ///   - deadline: stop when so many seconds are used up.
    ///   - pace: how much of the processor it may take.
    /// - Throws: ``InhabitError``
    public func train(deadline: TimeInterval? = nil, pace: Pace = .full) async throws -> Training {
        guard !isTraining else { return try result(.cancelled, of: nil) }
        isTraining = true
        defer { isTraining = false }
        try observe()
        let began = forgettings
        var metronome = Metronome(deadline: deadline, pace: pace)
        var walk = try Walk(samples(), prior: prior, start: furthest())
        while !walk.isFinished {
            // At least one slice is walked, so that even a hurried device arrives in the end.
            try walk.advance()
            if walk.isFinished { break }
            let isCancelled = await metronome.pause()
            guard began == forgettings else { return try result(.cancelled, of: nil) }
            guard !isCancelled, !metronome.isOver else {
                let generation = try walk.generation()
                try unfinished.save(generation)
                return try result(isCancelled ? .cancelled : .expired, of: generation)
            }
        }
        return try keep(walk.generation())
    }

    /// Puts what a walk has learnt in service.
    private func keep(_ generation: Generation) throws -> Training {
        let isNew = loaded()?.generation != generation
        let isAnything = try generation.decodedManifest().counts["labels"] != 0
        if isNew && isAnything { try generations.save(generation) }
        try unfinished.purge()
        try store.setMeta(Self.lastTrainingKey(subject), clock().text)
        serving = nil
        return try result(isNew && isAnything ? .trained : .unchanged, of: generation)
    }

    private func result(_ outcome: Training.Outcome, of generation: Generation?) throws -> Training {
        let manifest = try generation?.decodedManifest()
        return Training(
            outcome: outcome, generation: try served().number, samples: manifest?.counts["labels"] ?? 0,
            metrics: manifest?.metrics ?? [:])
    }

    /// The examples that the log makes as of now: what was known at each moment, and what came of it.
    ///
    /// - Throws: ``InhabitError/storage(_:)``
    public func trainingSamples() throws -> [TrainingSample] { try samples().trainingSamples }

    private func samples() throws -> Samples {
        // A moment that begins now is one of them.
        try Asked(of: store, target: target, schedule: settings.schedule, before: clock().microseconds + 1).samples
    }

    /// The generation that has walked furthest, finished or not.
    private func furthest() -> Generation? {
        let found = [unfinished, generations].compactMap { try? $0.load()?.generation }
        return found.max { moments(of: $0) < moments(of: $1) }
    }

    private func moments(of generation: Generation) -> Int {
        (try? generation.decodedManifest().counts["moments"]) ?? 0
    }

    /// Forgets events of this subject and all that was learnt from them, exactly.
    ///
    /// What remains is learnt again (about other subjects at their next training, which is due at once) and gives
    /// the same bytes as if they had never been.
    ///
    /// - Parameters:
    ///   - since: from this instant on; `nil`: from the beginning.
    ///   - until: before this instant; `nil`: to the end. One of the two must be given.
    /// - Returns: how many events are gone.
    /// - Throws: ``InhabitError``
    @discardableResult
    public func forget(since: LocalInstant? = nil, until: LocalInstant? = nil) async throws -> Int {
        guard since != nil || until != nil else {
            throw InhabitError.config(
                argument: "since, until", reason: "expected at least one, or forgetEverything()")
        }
        var query = EventQuery(subject: subject)
        query.exactSubject = true
        (query.since, query.until) = (since?.microseconds, until?.microseconds)
        let gone = try forget(query)
        _ = try await train()
        return gone
    }

    /// Forgets all events of all subjects, all decisions and all that was learnt.
    ///
    /// - Returns: how many events are gone.
    /// - Throws: ``InhabitError``
    @discardableResult
    public func forgetEverything() throws -> Int { try forget(EventQuery()) }

    private func forget(_ query: EventQuery) throws -> Int {
        // What was learnt goes first: whatever happens next, nothing outlives its events. Every event tells
        // every subject the local time, so the generations of all of them go.
        forgettings += 1
        serving = nil
        for folder in [generations.folder] + others() {
            try GenerationStore(folder: folder.appendingPathComponent("unfinished")).purge()
            try GenerationStore(folder: folder).purge()
        }
        for subject in try store.subjects() {  // its next training is due
            try store.setMeta(Self.lastTrainingKey(subject), nil)
        }
        return try store.forget(query)
    }

    /// The folders of the other subjects of this home.
    private func others() -> [URL] {
        guard let home else { return [] }
        let root = home.appendingPathComponent("generations")
        let found = try? FileManager.default.contentsOfDirectory(at: root, includingPropertiesForKeys: nil)
        return found ?? []
    }

    /// Takes the generation in service out of service; the number of the one before it.
    ///
    /// - Throws: ``InhabitError/checkpoint(_:)`` if there is none before it.
    @discardableResult
    public func rollback() throws -> Int {
        let number = try generations.rollback()
        serving = nil
        return number
    }

    /// Lets go of every file and lock until the next call; before the system suspends the app.
    public func releaseLocks() { store.releaseLocks() }

    // MARK: - Serve

    /// Number of the generation in service; 0 is the prior.
    public var generation: Int {
        get throws { try served().number }
    }

    /// The generation in service, to be moved to another device; `nil` while the prior serves.
    public var currentGeneration: Generation? { loaded()?.generation }

    /// The model in service, with every label learnt that has matured by now.
    private func served() throws -> Serving {
        var serving = try self.serving ?? Serving(loaded(), prior: prior)
        try serving.catchUp(
            with: store, target: target, schedule: settings.schedule, now: clock().microseconds)
        self.serving = serving
        return serving
    }

    /// The newest generation that fits; the prior serves while there is none.
    private func loaded() -> (number: Int, generation: Generation)? {
        guard let found = try? generations.load(), let manifest = try? found.generation.decodedManifest() else {
            return nil  // the events are what counts: the next training makes a new generation from them
        }
        return manifest.schema == HabitFeatures.schema ? found : nil
    }
}

extension Target {
    fileprivate static var onceADay: Target {
        var target = Target()
        target.once = true
        return target
    }
}

/// From 0001-01-01, the first day of Python's calendar, to 1970-01-01.
let daysBefore1970 = 719_163
