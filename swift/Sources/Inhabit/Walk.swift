import Foundation

/// A training: a walk through one person's history, in slices, from the prior to a generation.
///
/// A left fold over the moments: learn the labels that have matured, let the network train, predict; and so
/// on to the present. So every prediction was made before its outcome was known; the walk can stop after any
/// slice and go on later with the same bytes; and the next training goes on where the last one ended, as
/// long as the past is unchanged. Python's `inhabit.training` makes the same bytes of the same events.
struct Walk {
    /// Rows between two looks at the clock: a fraction of a millisecond each.
    static let slice = 64

    private let samples: Samples
    private let parent: String?
    private let columns: Model.Columns
    private var model: Model
    /// The predictions so far; one for each row walked.
    private var forecast: [Float]
    /// The row at which this walk began: 0 from the prior.
    let continuedFrom: Int

    /// - Parameters:
    ///   - prior: what was learnt from other people.
    ///   - start: an earlier generation; continued if it saw the same past, ignored otherwise.
    init(_ samples: Samples, prior: Generation?, start: Generation? = nil) throws {
        self.samples = samples
        parent = prior?.id
        // What matures after the last moment is learnt by whoever walks on.
        columns = samples.columns(learntBefore: samples.moments.count)
        if let (model, forecast) = Self.resume(start, samples, parent) {
            (self.model, self.forecast) = (model, forecast)
        } else {
            (model, forecast) = (try Model(prior: prior), [])
        }
        continuedFrom = forecast.count
    }

    var isFinished: Bool { forecast.count == samples.moments.count }

    /// Walks one slice.
    mutating func advance() throws {
        let from = forecast.count
        let to = min(from + Self.slice, samples.moments.count)
        forecast += try model.walk(columns, rows: from..<to).map { Float($0) }
    }

    /// What is learnt so far; its bytes depend on samples and prior alone.
    func generation() throws -> Generation {
        let rows = forecast.count
        let learnt = samples.columns(learntBefore: rows).labels[..<rows]
        let manifest = Manifest(
            schema: HabitFeatures.schema, features: HabitFeatures.names, parent: parent,
            counts: [
                "moments": rows, "labels": learnt.filter { $0 >= 0 }.count,
                "positives": learnt.filter { $0 == 1 }.count, "promotions": try promotions(),
            ],
            metrics: metrics(Array(learnt)), past: samples.digest(rows: rows),
            walked: samples.walked(rows: rows))
        var tensors = try model.generation(manifest: "").tensors()
        tensors["forecast"] = .float32(forecast)
        tensors["features.mean"] = .float32(samples.mean(rows: rows))
        return try Generation(tensors: tensors, manifest: manifest.json)
    }

    private func promotions() throws -> Int {
        try model.predict([Float](repeating: 0.5, count: HabitFeatures.names.count)).promotions
    }

    private static func resume(
        _ start: Generation?, _ samples: Samples, _ parent: String?
    ) -> (Model, [Float])? {
        // Made by an older version, perhaps: the events are all we need.
        guard let start, let manifest = try? start.decodedManifest() else { return nil }
        let rows = manifest.counts["moments"] ?? 0
        guard manifest.parent == parent, (0...samples.moments.count).contains(rows) else { return nil }
        guard manifest.past == samples.digest(rows: rows) else { return nil }
        guard let forecast = try? start.float32("forecast"), forecast.count == rows else { return nil }
        return (try? Model(start)).map { ($0, forecast) }
    }

    /// Log loss and Brier score over the labels learnt, beside those of the running base rate.
    private func metrics(_ labels: [Int8]) -> [String: Double] {
        let base = samples.runningBaseRate()
        let rows = labels.indices.filter { labels[$0] >= 0 }
        guard !rows.isEmpty else { return [:] }
        var scores: [String: Double] = [:]
        for (prefix, predicted) in [("", forecast.map(Double.init)), ("base_rate_", base)] {
            var (logLoss, brier) = (0.0, 0.0)
            for row in rows {
                let (probability, outcome) = (predicted[row], Double(labels[row]))
                let clipped = min(max(probability, 0.01), 0.99)
                logLoss -= log(outcome == 1 ? clipped : 1 - clipped)
                brier += (probability - outcome) * (probability - outcome)
            }
            scores["\(prefix)log_loss"] = sixDecimals(logLoss / Double(rows.count))
            scores["\(prefix)brier"] = sixDecimals(brier / Double(rows.count))
        }
        return scores
    }
}

/// Rounded, because logarithms of different systems differ in the last bit.
private func sixDecimals(_ value: Double) -> Double { Double(String(format: "%.6f", value)) ?? value }

extension Samples {
    /// The columns that a model walks; labels that are learnt at row `end` or later are unknown.
    func columns(learntBefore end: Int) -> Model.Columns {
        var columns = Model.Columns()
        for row in moments.indices {
            let label = isLearnt(row) && learnAt[row] < end ? labels[row] : .unknown
            columns.inputs += features[row].inputs
            columns.labels.append(label.rawValue)
            columns.slots.append(UInt8(moments[row].slot))
            columns.learnAt.append(UInt32(learnAt[row]))
        }
        return columns
    }

    /// Digest of everything that a walk over the first `rows` moments has looked at.
    func digest(rows: Int) -> String {
        let columns = columns(learntBefore: rows)
        var bytes = Array(HabitFeatures.schema.utf8)
        for features in features[..<rows] {
            for value in features.inputs { bytes += littleEndian(value.bitPattern) }
        }
        bytes += columns.slots[..<rows]
        for row in 0..<rows { bytes += littleEndian(UInt32(min(learnAt[row], rows))) }
        bytes += columns.labels[..<rows].map(UInt8.init(bitPattern:))
        return String(sha256Hex(bytes).prefix(32))
    }

    /// `(positives + 1) / (labels + 2)` of what had matured before each moment.
    func runningBaseRate() -> [Double] {
        let count = moments.count
        var (known, positive) = ([Int](repeating: 0, count: count + 1), [Int](repeating: 0, count: count + 1))
        for row in moments.indices where matured[row] && labels[row] != .unknown {
            known[learnAt[row]] += 1
            positive[learnAt[row]] += labels[row] == .positive ? 1 : 0
        }
        var (n, s) = (0, 0)
        return moments.indices.map { row in
            n += known[row]
            s += positive[row]
            return (Double(s) + 1) / (Double(n) + 2)
        }
    }

    /// Mean of each feature; the middle without any row.
    func mean(rows: Int) -> [Float] {
        guard rows > 0 else { return [Float](repeating: 0.5, count: HabitFeatures.names.count) }
        var sums = [Double](repeating: 0, count: HabitFeatures.names.count)
        for features in features[..<rows] {
            for (index, value) in features.inputs.enumerated() { sums[index] += Double(value) }
        }
        return sums.map { Float($0 / Double(rows)) }
    }
}

private func littleEndian(_ value: UInt32) -> [UInt8] {
    (0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * UInt32($0))) }
}
