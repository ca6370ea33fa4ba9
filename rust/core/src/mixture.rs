//! A mixture of experts with a falling share: nearly as good as the best expert, whatever happens.
//!
//! The mixture says `p = Σ wᵢ pᵢ`. After the outcome each weight is multiplied by the probability that
//! its expert gave to it, the weights are normalised, and a small share `sₜ` is dealt out anew by the
//! initial weights `u`, so that an expert whose time comes later is found:
//!
//! `wᵢ ← (1 - sₜ) wᵢ ℓᵢ / Σ wⱼ ℓⱼ + sₜ uᵢ`, with `sₜ = s / (1 + s t)` after `t` earlier outcomes.
//!
//! The share falls because the best expert changes often while little is known and the logistic models
//! still learn, and seldom later; what it costs to be ready for a change then grows as `ln n` only.
//!
//! # Guarantee
//! For every sequence of outcomes and every expert `i`, over `n` outcomes,
//!
//! `loss(mixture) ≤ loss(expert i) + ln 1/uᵢ + ln (1 + s (n - 1)) / (1 - s)`,
//!
//! where a loss is a sum of `-ln p(outcome)`; the last term is the sum of all `ln 1/(1 - sₜ)`, whose
//! products telescope. With `k` experts of equal initial weight and `s = 0` this is the classical `ln k`;
//! each change of the best expert after `t` outcomes costs at most another `ln 1/uⱼ + ln (t + 1/s)` (j the
//! expert changed to). Of `m` labels that become known together each counts as the part `1 / m`, by the
//! power `1 / m` of its likelihood and with that part of the share, and the bound holds for losses
//! weighted so: the geometric mean is concave.
//!
//! # Source
//! Herbster & Warmuth 1998, "Tracking the best expert", for the share; Shamir & Merhav 1999, "Low-complexity
//! sequential lossless coding for piecewise-stationary memoryless sources", and Koolen & de Rooij 2013,
//! "Universal codes from switching strategies", for its fall; Cesa-Bianchi & Lugosi 2006, chapters 3 and 5.

use crate::{
    error::{Result, require},
    math,
};

/// The mixed probability.
pub(crate) fn mix(weights: &[f64], probabilities: &[f64]) -> f64 {
    weights.iter().zip(probabilities).fold(0.0, |sum, (w, p)| sum + w * p)
}

/// The share that is dealt out anew after an outcome that `earlier` ones came before; `first` after the
/// very first.
pub(crate) fn share(first: f64, earlier: f64) -> f64 {
    first / (1.0 + first * earlier)
}

/// Takes in an outcome that counts as the part `part` of one; probabilities are strictly inside (0, 1).
#[inline(never)] // the mixture and the calibration would each hold a copy
pub(crate) fn learn(
    weights: &mut [f64],
    initial: &[f64],
    probabilities: &[f64],
    outcome: bool,
    part: f64,
    share: f64,
) {
    let mut total = 0.0;
    for (w, &p) in weights.iter_mut().zip(probabilities) {
        *w *= math::power(if outcome { p } else { 1.0 - p }, part);
        total += *w;
    }
    for (w, &u) in weights.iter_mut().zip(initial) {
        *w = (1.0 - share) * (*w / total) + share * u;
    }
}

/// Refuses weights that are no distribution.
pub(crate) fn check(weights: &[f64]) -> Result<()> {
    let total: f64 = weights.iter().sum();
    let holds = weights.iter().all(|w| (0.0..=1.0).contains(w)) && (total - 1.0).abs() < 1e-6;
    require(holds, "state", "mixture weights in [0, 1] that sum to 1", total)
}
