//! The simple experts: running rates of one person's outcomes, kept in a few dozen numbers.
//!
//! Every rate is a ratio of sums with pseudo-counts, so it stays inside (0, 1) and exists before the
//! first outcome. A rate over few outcomes is shrunk to one over more: the fast moving rates to the
//! slower ones, the slot's rate and the rate after the last outcome to the overall rate, the rate after
//! as many misses in a row, which knows who is due every third day, to the rate after the last outcome.
//!
//! One knows that people stop for good. Its person had the rate `r` of the outcomes up to the last
//! success; may leave at each outcome with the chance `h`; and is there still with the probability `a`,
//! which is 1 at a success, and `a ← (1 - h) a (1 - r) / (a (1 - r) + 1 - a)` at anything else. It says `a r`.
//!
//! # Source
//! Schmittlein, Morrison & Colombo 1987, "Counting your customers: who are they and what will they do
//! next?"; in discrete time Fader, Hardie & Shang 2010.

use crate::{
    error::{Result, require},
    math,
};

/// The most slots (moments in a day) that are told apart.
pub const MAX_SLOTS: usize = 24;

/// How fast the moving rates forget, slowest first: the weight of an outcome of age `a` is
/// `(1 - decay)ᵃ`.
pub const DECAYS: [f64; 4] = [0.015, 0.05, 0.15, 0.4];

/// Length of the state, in numbers.
pub(crate) const LEN: usize = PRESENT + 3;

// Where things are. Every sum is followed by its count.
const TOTAL: usize = 0;
const LAST: usize = 2;
const MOVING: usize = 3;
const AFTER: usize = MOVING + 2 * DECAYS.len();
/// After each number of misses in a row in one slot, whatever the slot.
const DUE: usize = AFTER + 4;
/// Each slot's sum and count, then its misses in a row.
const SLOTS: usize = DUE + 2 * (MOST_MISSES as usize + 1);
/// The probability of being there still; then successes and outcomes up to the last success.
const PRESENT: usize = SLOTS + 3 * MAX_SLOTS;

/// Misses in a row are told apart up to a week of them.
const MOST_MISSES: u8 = 7;

/// The last outcome before there is one.
const NONE_YET: f64 = 0.5;

/// Misses in a row before there is an outcome.
const NO_OUTCOME: f64 = -1.0;

// Pseudo-counts: how many outcomes the rate shrunk to is worth.
const MOVING_PRIOR: f64 = 2.0;
const SLOT_PRIOR: f64 = 4.0;
const AFTER_PRIOR: f64 = 3.0;
const DUE_PRIOR: f64 = 3.0;

/// The chance of leaving for good at an outcome.
const LEAVING: f64 = 0.01;

/// What the simple experts say before an outcome.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// `(successes + 1) / (outcomes + 2)`
    pub overall: f64,
    /// Recency-weighted rates, one per entry of [`DECAYS`].
    pub moving: [f64; DECAYS.len()],
    /// The rate of somebody who may have left for good since the last success.
    pub present: f64,
    /// The rate in this slot.
    pub slot: f64,
    /// The rate after an outcome like the last one.
    pub after: f64,
    /// The rate after as many misses in a row as now in this slot.
    pub due: f64,
    /// The last outcome, 1 or 0; ½ before there is one.
    pub last: f64,
    /// How many misses in a row there are in this slot, at most 7; -1 before there is an outcome.
    pub misses: f64,
}

impl Rates {
    /// The last outcome in this slot, 1 or 0; ½ before there is one.
    #[must_use]
    pub fn last_in_slot(&self) -> f64 {
        if self.misses == NO_OUTCOME { NONE_YET } else { f64::from(u8::from(self.misses == 0.0)) }
    }
}

/// Fills `state` with that of a person without history.
pub(crate) fn reset(state: &mut [f64]) {
    state.fill(0.0);
    state[LAST] = NONE_YET;
    for slot in state[SLOTS..PRESENT].chunks_exact_mut(3) {
        slot[2] = NO_OUTCOME;
    }
    state[PRESENT] = 1.0;
}

/// The rates before the next outcome, in slot `slot`.
pub(crate) fn read(state: &[f64], slot: usize) -> Rates {
    let overall = (state[TOTAL] + 1.0) / (state[TOTAL + 1] + 2.0);
    let shrunk = |at: usize, prior: f64, towards: f64| {
        (state[at] + prior * towards) / (state[at + 1] + prior)
    };
    let mut moving = [0.0; DECAYS.len()];
    let mut slower = overall;
    for (i, rate) in moving.iter_mut().enumerate() {
        *rate = shrunk(MOVING + 2 * i, MOVING_PRIOR, slower);
        slower = *rate;
    }
    let last = state[LAST];
    let after = match transition(last) {
        Some(at) => shrunk(at, AFTER_PRIOR, overall),
        None => overall,
    };
    let at = SLOTS + 3 * slot;
    let misses = state[at + 2];
    let due = in_a_row(misses).map_or(after, |at| shrunk(at, DUE_PRIOR, after));
    let slot = shrunk(at, SLOT_PRIOR, overall);
    let present = state[PRESENT] * rate_while_present(state);
    Rates { overall, moving, present, slot, after, due, last, misses }
}

/// What came before fades by one outcome: to be called before what is learnt together.
pub(crate) fn fade(state: &mut [f64]) {
    for (sum, decay) in state[MOVING..AFTER].chunks_exact_mut(2).zip(DECAYS) {
        sum[0] *= 1.0 - decay;
        sum[1] *= 1.0 - decay;
    }
}

/// Takes in an outcome, 1 or 0, as the part `part` of one; `last` and `misses` are what they were in
/// [`Rates`] when it was judged. In its slot it counts in full, because those that share it are in other
/// slots.
pub(crate) fn learn(
    state: &mut [f64],
    slot: usize,
    outcome: f64,
    part: f64,
    (last, misses): (f64, f64),
) {
    let absent = 1.0 - rate_while_present(state);
    let mut count = |at: usize, part: f64| {
        state[at] += part * outcome;
        state[at + 1] += part;
    };
    count(TOTAL, part);
    count(SLOTS + 3 * slot, 1.0);
    for i in 0..DECAYS.len() {
        count(MOVING + 2 * i, part);
    }
    for at in transition(last).into_iter().chain(in_a_row(misses)) {
        count(at, part);
    }
    let mut present = 1.0;
    if outcome == 1.0 {
        (state[PRESENT + 1], state[PRESENT + 2]) = (state[TOTAL], state[TOTAL + 1]);
    } else {
        present = state[PRESENT] * math::power(absent, part);
        present /= present + (1.0 - state[PRESENT]);
    }
    state[PRESENT] = (1.0 - LEAVING * part) * present;
    state[LAST] = outcome;
    let misses = &mut state[SLOTS + 3 * slot + 2];
    *misses =
        if outcome == 1.0 { 0.0 } else { (misses.max(0.0) + 1.0).min(f64::from(MOST_MISSES)) };
}

/// Refuses a state that no history leads to: a sum outside `[0, count]`, a last outcome that is none,
/// misses that are no number of them.
pub(crate) fn check(state: &[f64]) -> Result<()> {
    let require = |holds, expected, actual| require(holds, "state", expected, actual);
    let sums = state[TOTAL..LAST].chunks_exact(2).chain(state[MOVING..SLOTS].chunks_exact(2));
    let sums = sums.chain(state[PRESENT + 1..LEN].chunks_exact(2));
    for pair in sums.chain(state[SLOTS..PRESENT].chunks_exact(3)) {
        // A moving sum is rounded at each step, and so may pass its count by a hair.
        let holds = pair[0] >= 0.0 && pair[0] <= pair[1] * (1.0 + 1e-9) && pair[1] <= 1e15;
        require(holds, "successes between 0 and the count of outcomes", pair[0])?;
    }
    let last = state[LAST];
    let holds = last == 0.0 || last == 1.0 || last == NONE_YET;
    require(holds, "a last outcome that is 0, 1 or 0.5", last)?;
    for slot in state[SLOTS..PRESENT].chunks_exact(3) {
        let holds = slot[2] == NO_OUTCOME || (0..=MOST_MISSES).any(|n| slot[2] == f64::from(n));
        require(holds, "misses in a row from 0 to 7, or -1", slot[2])?;
    }
    let present = state[PRESENT];
    require((0.0..=1.0).contains(&present), "a probability of being there still", present)
}

/// Outcomes taken in so far.
pub(crate) fn outcomes(state: &[f64]) -> f64 {
    state[TOTAL + 1]
}

/// The rate of the outcomes up to the last success.
fn rate_while_present(state: &[f64]) -> f64 {
    (state[PRESENT + 1] + 1.0) / (state[PRESENT + 2] + 2.0)
}

/// Where the transitions from the last outcome are counted.
fn transition(last: f64) -> Option<usize> {
    if last == 0.0 {
        Some(AFTER)
    } else if last == 1.0 {
        Some(AFTER + 2)
    } else {
        None
    }
}

/// Where the outcomes after as many misses in a row are counted.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn in_a_row(misses: f64) -> Option<usize> {
    (misses >= 0.0).then(|| DUE + 2 * misses as usize)
}
