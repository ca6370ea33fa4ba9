//! Calibration of one person's probabilities: monotone, identity at first, never far from it without
//! evidence.
//!
//! The calibrated probability is a mixture of two experts: the probability `p` itself, and
//! `σ(a + b logit p)` with `a`, `b` learned one outcome at a time (Platt scaling, as Bayesian logistic
//! regression around `a = 0`, `b = 1`). `b` is kept positive, so the map is strictly increasing and
//! ranks as before; and as a mixture it costs at most `ln 1/u + ln (1 + s (n - 1)) / (1 - s)` against the
//! uncalibrated probabilities ([`mixture`]), `u` the initial weight of the identity. It only ever
//! learns from a probability that was stated before its outcome.
//!
//! # Source
//! Platt 1999 for the map; the mixture is the guard against overfitting it.

use crate::{
    error::Result,
    logistic::{self, Gaussian},
    math, mixture,
};

const MAP: usize = logistic::len(2);

/// Length of the state: the Gaussian over `a` and `b`, then the weights of identity and map.
pub(crate) const LEN: usize = MAP + 2;

const PRIOR: Gaussian<'static> =
    Gaussian { mean: &[0.0, 1.0], variance: &[0.02, 0.02], scale: 1.0 };
const INITIAL: [f64; 2] = [0.75, 0.25];
const RETENTION: f64 = 0.9995;
const LEAST_SLOPE: f64 = 0.1;

/// Fills `state` with the identity.
pub(crate) fn reset(state: &mut [f64]) {
    logistic::reset(&mut state[..MAP], PRIOR);
    state[MAP..].copy_from_slice(&INITIAL);
}

/// The calibrated probability; strictly increasing in `p`, which is inside (0, 1).
pub(crate) fn apply(state: &[f64], p: f64) -> f64 {
    mixture::mix(&state[MAP..], &[p, map(state, p)])
}

/// Takes in the outcome that followed the probability `p`, as the part `part` of one.
pub(crate) fn learn(state: &mut [f64], p: f64, outcome: bool, part: f64, share: f64) {
    let pair = [p, map(state, p)];
    mixture::learn(&mut state[MAP..], &INITIAL, &pair, outcome, part, share);
    let y = f64::from(u8::from(outcome));
    logistic::learn(&mut state[..MAP], &[1.0, math::logit(p)], y, part, PRIOR, RETENTION);
}

/// Refuses a state that is no calibration.
pub(crate) fn check(state: &[f64]) -> Result<()> {
    logistic::check(&state[..MAP], 2)?;
    mixture::check(&state[MAP..])
}

fn map(state: &[f64], p: f64) -> f64 {
    let slope = if state[1] > LEAST_SLOPE { state[1] } else { LEAST_SLOPE };
    math::sigmoid(state[0] + slope * math::logit(p))
}
