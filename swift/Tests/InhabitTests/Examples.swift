import Foundation
import Inhabit

// The code of README.md, docs/ios.md and of the documentation, compiled: PackageTests compares the texts.

private func scheduleReminder() {}
private func suppressReminder() {}

private func readme() async throws {
    let me = try Personalizer.open(subject: "meditate")
    try await me.record(.habitCompleted)
    let decision = try await me.decide()
    if decision.action == .remind { scheduleReminder() }
}

private func landingPage() async throws {
    let me = try Personalizer.open(subject: "meditate")
    try await me.record(.habitCompleted)
    let probability = try await me.predict()
    let decision = try await me.decide()
    _ = (probability, decision)
}

private func recording() async throws {
    let me = try Personalizer.open(subject: "meditate")
    try await me.record(.appOpened, subject: "")  // concerns every subject
    try await me.record(.habitCompleted)
}

private func asking(_ me: Personalizer) async throws {
    let probability = try await me.predict()
    let decision = try await me.decide()
    switch decision.action {
    case .remind: scheduleReminder()
    case .suppress: suppressReminder()
    case .wait: break  // ask again later
    }
    print(decision)  // "remind: 31 % likely, below 40 %"
    _ = probability
}

private func settingUp() throws {
    var settings = Personalizer.Settings()
    settings.target.window = .nextMoment
    settings.schedule = try Schedule(times: [ClockTime(hour: 7), ClockTime(hour: 18, minute: 30)])
    settings.policy.remindBelow = 0.3
    settings.policy.maxPerDay = 1
    let runner = try Personalizer.open(subject: "run", settings: settings)
    _ = runner
}

#if canImport(BackgroundTasks) && !os(macOS) && !os(watchOS)
    private func trainingInTheBackground(_ me: Personalizer) throws {
        let training = BackgroundTraining(identifier: "com.example.habits.training") { [me] }
        training.register()
        try training.schedule()
    }
#endif

private func trainingInTheForeground(_ me: Personalizer, isCharging: Bool) async throws {
    let outcome = try await me.train(deadline: 0.5)
    print(outcome.outcome, outcome.generation, outcome.metrics)
    let training = try await me.trainIfDue(device: DeviceState(externalPower: isCharging), deadline: 0.5)
    print(training.due?.description ?? "")  // "not due: not on external power"
}

private func shippingAPrior(_ priorURL: URL) throws {
    let file = try Data(contentsOf: priorURL)
    let prior = try Generation(bytes: [UInt8](file))
    let walker = try Personalizer.open(subject: "walk", prior: .file(prior))
    _ = walker
}

private func moving(_ me: Personalizer, _ exportURL: URL) async throws {
    if let generation = await me.currentGeneration {
        try Data(generation.bytes).write(to: exportURL)
    }
    let imported = try Generation(bytes: [UInt8](Data(contentsOf: exportURL)))
    let model = try Model(imported)
    let said = try model.predict(await me.features().inputs)
    _ = said
}

private func checkpointing(_ me: Personalizer, _ checkpointURL: URL) async throws {
    let samples = try await me.trainingSamples()
    let network = try Network(seed: 1).trained(on: samples)
    try ModelCheckpoint(network, version: 1).save(to: checkpointURL)
    var restored = try Network()
    try ModelCheckpoint(contentsOf: checkpointURL).restore(&restored)
}

private func forgetting(_ me: Personalizer) async throws {
    try await me.forget(since: LocalInstant(Date(timeIntervalSinceNow: -3600)))
    try await me.forgetEverything()
}
