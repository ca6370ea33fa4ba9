//! Bayesian logistic regression that learns one outcome at a time.
//!
//! The weights are a Gaussian, `mean` and `covariance`. Each outcome moves them to their posterior mode,
//! and the covariance by the curvature there; between outcomes they drift back to the prior by a
//! stationary (Ornstein-Uhlenbeck) step, so that old evidence fades at the rate `1 - retention`:
//!
//! `m ← m₀ + ρ (m - m₀)`, `P ← ρ² P + (1 - ρ²) P₀`.
//!
//! # Source
//! Spiegelhalter & Lauritzen 1990 (sequential updating of a Gaussian at the posterior mode); Fahrmeir
//! 1992 (the filter with drift); MacKay 1992 for the moderated output `σ(μ / √(1 + π v / 8))`.

use crate::{
    error::{Result, require, require_all},
    math,
};

/// The most weights, the constant counted.
pub(crate) const MAX_WEIGHTS: usize = 64;

/// The most steps towards the posterior mode of an outcome's log odds; a handful are usual.
const MODE_STEPS: usize = 100;

/// Length of the state for `n` weights: the mean, then the lower triangle of the covariance by rows.
pub(crate) const fn len(n: usize) -> usize {
    n + n * (n + 1) / 2
}

/// A Gaussian over independent weights: where learning starts and what it drifts back to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gaussian<'a> {
    pub(crate) mean: &'a [f64],
    pub(crate) variance: &'a [f64],
    /// What every variance is multiplied by.
    pub(crate) scale: f64,
}

/// Fills `state` with the prior.
pub(crate) fn reset(state: &mut [f64], prior: Gaussian<'_>) {
    let n = prior.mean.len();
    let (mean, covariance) = state.split_at_mut(n);
    mean.copy_from_slice(prior.mean);
    covariance.fill(0.0);
    for (i, &variance) in prior.variance.iter().enumerate() {
        covariance[index(i, i)] = prior.scale * variance;
    }
}

/// The log odds that the state gives to input `z`, moderated by its own uncertainty.
pub(crate) fn log_odds(state: &[f64], z: &[f64]) -> f64 {
    let mut gain = [0.0; MAX_WEIGHTS];
    let (mean, variance) = project(state, z, &mut gain);
    mean / math::sqrt(1.0 + core::f64::consts::FRAC_PI_8 * variance)
}

/// The variances of `n` weights, from the lower triangle of their covariance.
pub(crate) fn variances(covariance: &[f64], n: usize) -> impl ExactSizeIterator<Item = f64> {
    (0..n).map(|i| covariance[index(i, i)])
}

/// Takes in the outcome (1 or 0) that followed input `z`, as the part `part` of one, then drifts.
pub(crate) fn learn(
    state: &mut [f64],
    z: &[f64],
    outcome: f64,
    part: f64,
    prior: Gaussian<'_>,
    retention: f64,
) {
    let n = z.len();
    let mut gain = [0.0; MAX_WEIGHTS];
    let (log_odds, variance) = project(state, z, &mut gain);
    let p = math::sigmoid(posterior_mode(log_odds, part * variance, outcome));
    let error = part * (outcome - p);
    let information = part * (p * (1.0 - p));
    let shrink = information / (1.0 + information * variance);
    let keep = retention * retention;
    let (mean, covariance) = state.split_at_mut(n);
    for i in 0..n {
        let moved = mean[i] + gain[i] * error;
        mean[i] = prior.mean[i] + retention * (moved - prior.mean[i]);
        for j in 0..=i {
            let at = index(i, j);
            covariance[at] = keep * (covariance[at] - shrink * gain[i] * gain[j]);
        }
        covariance[index(i, i)] += (1.0 - keep) * prior.scale * prior.variance[i];
    }
}

/// Refuses a state that cannot be a Gaussian (a necessary condition: no negative variance, and no
/// covariance larger than its variances allow).
pub(crate) fn check(state: &[f64], n: usize) -> Result<()> {
    let (mean, covariance) = state.split_at(n);
    require_all("state", "weights between -1e6 and 1e6", mean, -1e6..=1e6)?;
    for i in 0..n {
        let own = covariance[index(i, i)];
        require((0.0..=1e6).contains(&own), "state", "variances between 0 and 1e6", own)?;
        for j in 0..i {
            let both = covariance[index(i, j)];
            let most = own * covariance[index(j, j)] * (1.0 + 1e-6) + 1e-18;
            let belongs = both * both <= most;
            require(belongs, "state", "covariances that belong to their variances", both)?;
        }
    }
    Ok(())
}

/// The most probable log odds `a` after the outcome, from a Gaussian before it: the root of
/// `a = mean + variance (outcome - σ(a))`.
///
/// It lies between the mean and the step of the linearised filter, which overshoots far from 0. Newton's
/// method, halving that bracket wherever it would leave it or fail to halve its own step, finds it to
/// rounding.
fn posterior_mode(mean: f64, variance: f64, outcome: f64) -> f64 {
    let far = mean + variance * (outcome - math::sigmoid(mean));
    let (mut low, mut high) = if far < mean { (far, mean) } else { (mean, far) };
    let mut a = mean;
    let mut previous = high - low;
    for _ in 0..MODE_STEPS {
        let p = math::sigmoid(a);
        let value = a - mean - variance * (outcome - p);
        if value > 0.0 {
            high = a;
        } else {
            low = a;
        }
        let mut step = value / (1.0 + variance * p * (1.0 - p));
        if step.abs() <= 1e-14 * (1.0 + a.abs()) {
            break;
        }
        if a - step <= low || a - step >= high || step.abs() > 0.5 * previous {
            step = a - 0.5 * (low + high);
        }
        previous = step.abs();
        a -= step;
    }
    a
}

/// `(m·z, z·P z)`, with `P z` in `gain`.
fn project(state: &[f64], z: &[f64], gain: &mut [f64; MAX_WEIGHTS]) -> (f64, f64) {
    let n = z.len();
    let (mean, covariance) = state.split_at(n);
    for i in 0..n {
        let row = &covariance[index(i, 0)..][..=i];
        let mut sum = 0.0;
        for j in 0..i {
            sum += row[j] * z[j];
            gain[j] += row[j] * z[i];
        }
        gain[i] = sum + row[i] * z[i];
    }
    let mut log_odds = 0.0;
    let mut variance = 0.0;
    for i in 0..n {
        log_odds += mean[i] * z[i];
        variance += gain[i] * z[i];
    }
    (log_odds, if variance > 0.0 { variance } else { 0.0 })
}

/// Where entry `(i, j)` of a lower triangle is, `j <= i`.
const fn index(i: usize, j: usize) -> usize {
    i * (i + 1) / 2 + j
}
