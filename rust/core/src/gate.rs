//! The promotion gate: a challenger replaces the champion only on evidence that was collected before
//! it could be known.
//!
//! Both state a probability before each outcome. The gain is `d = loss(champion) - loss(challenger)`
//! with losses `-ln p`. Once both have spoken, `d` can only take two values, one for each outcome, and
//! the worse of them, `-m`, is known. The gate bets on `d`: each of a grid of gamblers starts with an
//! equal part of 1 and multiplies it by `1 + λ d` with its own `λ`, at most `0.75 / m`, so that nobody
//! can lose everything; then a tenth of all they have is dealt out equally, so that those who lost to a
//! challenger that knew nothing yet are back when it has learnt. While the challenger is not better in
//! expectation, given what came before, the expected wealth never grows: each factor has a mean of at
//! most 1, and dealing changes no sum. So by Ville's inequality the chance that the wealth *ever* reaches
//! `1 / α` is at most `α`: the gate may look after every outcome, for ever, without a correction.
//!
//! The first promotion is the one that matters most, and may spend four fifths of the level: it needs
//! the wealth `1.25 / α`, the `k`-th after it `5 k (k + 1) / α`. These levels sum to `α`, the chance of any
//! false promotion in a life.
//!
//! # Source
//! Waudby-Smith & Ramdas 2024, "Estimating means of bounded random variables by betting"; Choe & Ramdas
//! 2023, "Comparing sequential forecasters"; Ville 1939. Dealing out: Herbster & Warmuth 1998, as in
//! the mixture.

use crate::{
    error::{Result, require, require_all},
    math,
};

/// The chance, at most, that noise alone ever promotes a challenger.
pub const LEVEL: f64 = 0.05;

/// The gamblers' stakes per unit of loss.
const STAKES: [f64; 5] = [0.1, 0.25, 0.5, 1.0, 2.0];

/// The most of its wealth that a gambler can lose at once.
const BOLDEST: f64 = 0.75;

/// The part of the wealth that is dealt out equally after each bet.
const SHARE: f64 = 0.1;

/// The part of the level that is for the first promotion.
const FIRST: f64 = 0.8;

/// Length of the state: promotions so far, then the wealth of each gambler.
pub(crate) const LEN: usize = 1 + STAKES.len();

/// Fills `state` with the start of a life without promotions.
pub(crate) fn reset(state: &mut [f64]) {
    state[0] = 0.0;
    restart(state);
}

/// Takes in the comparison of one window's end: what champion and challenger said, inside (0, 1), and
/// what came. Labels that mature together are one bet, on the mean of their gains: they may all tell
/// of the same event. `true` if the challenger is to be promoted, which starts the next comparison.
pub(crate) fn learn(
    state: &mut [f64],
    comparisons: impl ExactSizeIterator<Item = (f64, f64, bool)>,
) -> bool {
    #[allow(clippy::cast_precision_loss)]
    let weight = 1.0 / comparisons.len() as f64;
    let (mut gain, mut worst) = (0.0, 0.0);
    for (champion, challenger, outcome) in comparisons {
        let if_positive = math::ln(challenger / champion);
        let if_negative = math::ln((1.0 - challenger) / (1.0 - champion));
        gain += weight * if outcome { if_positive } else { if_negative };
        worst -= weight * if_positive.min(if_negative);
    }
    if worst <= 0.0 {
        return false; // they agree
    }
    let mut wealth = 0.0;
    for (part, stake) in state[1..].iter_mut().zip(STAKES) {
        *part *= 1.0 + stake.min(BOLDEST / worst) * gain;
        wealth += *part;
    }
    let promoted = wealth * level(state[0]) >= 1.0;
    if promoted {
        state[0] += 1.0;
        restart(state);
        return true;
    }
    let dealt = SHARE * wealth / STAKES.len() as f64;
    for part in &mut state[1..] {
        *part = (1.0 - SHARE) * *part + dealt;
    }
    false
}

/// The level of the next promotion; those of all promotions sum to [`LEVEL`].
fn level(promotions: f64) -> f64 {
    if promotions == 0.0 {
        FIRST * LEVEL
    } else {
        (1.0 - FIRST) * LEVEL / (promotions * (promotions + 1.0))
    }
}

/// Promotions so far.
pub(crate) fn promotions(state: &[f64]) -> f64 {
    state[0]
}

/// Refuses a state that no sequence of comparisons leads to.
pub(crate) fn check(state: &[f64]) -> Result<()> {
    // Truncation is exact below 2⁵³.
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
    let whole = (state[0] as i64) as f64;
    let is_count = (0.0..=1e9).contains(&state[0]) && whole == state[0];
    require(is_count, "state", "a whole number of promotions", state[0])?;
    require_all("state", "wealth of at least 0", &state[1..], 0.0..=1e15)
}

#[allow(clippy::cast_precision_loss)]
fn restart(state: &mut [f64]) {
    state[1..].fill(1.0 / STAKES.len() as f64);
}
