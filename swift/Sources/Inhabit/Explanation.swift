/// How much each feature moves a prediction away from that of average features: exact Shapley values.
///
/// `φᵢ = Σ |S|! (n − |S| − 1)! / n! · (v(S + i) − v(S))` over the sets `S` without `i`, where `v(S)` is the prediction
/// with the features in `S` as they are and the others average. They sum to `predict(x) − predict(average)`, and take
/// `2ⁿ` predictions.
func shapley(_ x: [Float], average: [Float], predict: ([Float]) throws -> Double) rethrows -> [Double] {
    let n = x.count
    let value = try (0..<(1 << n)).map { set in
        try predict((0..<n).map { set >> $0 & 1 == 1 ? x[$0] : average[$0] })
    }
    // 1 / (n · (n − 1 over s)), the weight of a set of s features.
    var weight = [1 / Double(n)]
    for s in 1..<n { weight.append(weight[s - 1] * Double(s) / Double(n - s)) }
    return (0..<n).map { feature in
        value.indices.filter { $0 >> feature & 1 == 0 }.reduce(0) { sum, set in
            sum + weight[set.nonzeroBitCount] * (value[set | 1 << feature] - value[set])
        }
    }
}
