//! The promotion gate: a challenger replaces the champion only on evidence that was collected before
//! it could be known.
//!
//! Both state a probability before each outcome. With losses `-ln p`, probabilities clipped so that no
//! two losses differ by more than `c`, the gate bets on `d = (loss(champion) - loss(challenger)) / c`,
//! a number in `[-1, 1]`: each of a grid of gamblers starts with an equal part of 1 and multiplies it by
//! `1 + λ d`. While the challenger is not better in expectation, the expected wealth never grows, so by
//! Ville's inequality the chance that the wealth *ever* reaches `1 / α` is at most `α`: the gate may
//! look after every outcome, for ever, without a correction. The `k`-th promotion needs the wealth
//! `k (k + 1) / α`; the levels sum to `α`, the chance of any false promotion in a life.
//!
//! # Source
//! Waudby-Smith & Ramdas 2024, "Estimating means of bounded random variables by betting"; Choe & Ramdas
//! 2023, "Comparing sequential forecasters"; Ville 1939.

use crate::{
    error::{Error, Result},
    math,
};

/// The chance, at most, that noise alone ever promotes a challenger.
pub const LEVEL: f64 = 0.05;

/// The bets of the gamblers, as parts of their wealth.
const BETS: [f64; 6] = [0.03, 0.1, 0.2, 0.4, 0.6, 0.9];

/// Probabilities are clipped to `[CLIP, 1 - CLIP]` before they are compared.
const CLIP: f64 = 0.02;

/// Length of the state: promotions so far, then the wealth of each gambler.
pub(crate) const LEN: usize = 1 + BETS.len();

/// Fills `state` with the start of a life without promotions.
pub(crate) fn reset(state: &mut [f64]) {
    state[0] = 0.0;
    restart(state);
}

/// Takes in one comparison; `true` if the challenger is to be promoted, which starts the next one.
pub(crate) fn learn(state: &mut [f64], champion: f64, challenger: f64, outcome: bool) -> bool {
    let stated = |p: f64| clip(if outcome { p } else { 1.0 - p });
    let span = math::ln((1.0 - CLIP) / CLIP);
    let gain = math::ln(stated(challenger) / stated(champion)) / span;
    let mut wealth = 0.0;
    for (part, bet) in state[1..].iter_mut().zip(BETS) {
        *part *= 1.0 + bet * gain;
        wealth += *part;
    }
    let next = state[0] + 1.0;
    let promoted = wealth >= next * (next + 1.0) / LEVEL;
    if promoted {
        state[0] = next;
        restart(state);
    }
    promoted
}

/// Promotions so far.
pub(crate) fn promotions(state: &[f64]) -> f64 {
    state[0]
}

/// Refuses a state that no sequence of comparisons leads to.
pub(crate) fn check(state: &[f64]) -> Result<()> {
    let refuse = |expected, actual| Err(Error::OutOfRange { argument: "state", expected, actual });
    // Truncation is exact below 2⁵³.
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
    let whole = (state[0] as i64) as f64;
    if !(0.0..=1e9).contains(&state[0]) || whole != state[0] {
        return refuse("a whole number of promotions", state[0]);
    }
    match state[1..].iter().find(|part| !(0.0..1e24).contains(*part)) {
        Some(&part) => refuse("wealth of at least 0", part),
        None => Ok(()),
    }
}

#[allow(clippy::cast_precision_loss)]
fn restart(state: &mut [f64]) {
    state[1..].fill(1.0 / BETS.len() as f64);
}

fn clip(p: f64) -> f64 {
    p.clamp(CLIP, 1.0 - CLIP)
}
