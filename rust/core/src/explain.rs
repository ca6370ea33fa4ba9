//! Exact reasons: how much each input moved a prediction.
//!
//! The Shapley values over all coalitions of inputs, interventional: an input that is left out takes
//! its value from a background row, and the rows are averaged,
//! `v(S) = mean over b of f(x on S, b elsewhere)`,
//! `φᵢ = Σ over S without i of |S|! (n - |S| - 1)! / n! · (v(S ∪ i) - v(S))`.
//!
//! # Source
//! Shapley (1953), *A Value for n-Person Games*; Janzing, Minorics & Blöbaum (2020), *Feature relevance
//! quantification in explainable AI: a causal problem*, for the interventional `v`.

use crate::{
    error::{Error, Result, check_finite, check_len, check_room, require},
    kernel,
    lanes::{Lanes, MAX_WIDTH},
    network::{Activate, Network, with_usual_activation},
    rows,
    simd::{self, Vectors},
};

/// The most inputs that are explained exactly: 2¹⁶ coalitions.
pub const MAX_INPUTS: usize = 16;

/// Length of the `values` of [`explain`]: one per coalition.
#[must_use]
pub fn coalitions(network: &Network) -> usize {
    1 << network.n_inputs().min(MAX_INPUTS)
}

/// Writes the Shapley values of the prediction for `x` and returns the mean prediction of the
/// background; the values sum to the prediction minus that mean.
///
/// # Shapes
/// `x`: `[n_inputs]`, `background`: `[m, n_inputs]`, `values`: [`coalitions`], `contributions`:
/// `[n_inputs]`, `scratch`: [`Network::many_scratch`].
///
/// # Errors
/// [`OutOfRange`](crate::Error::OutOfRange) for a network with more than one output or more than
/// [`MAX_INPUTS`] inputs, or without background; [`Shape`](crate::Error::Shape);
/// [`NonFinite`](crate::Error::NonFinite); [`Overflow`](crate::Error::Overflow) naming the row of the background.
/// `contributions` is then unchanged.
#[allow(clippy::cast_precision_loss)]
pub fn explain(
    network: &Network,
    parameters: &[f32],
    x: &[f32],
    background: &[f32],
    values: &mut [f64],
    contributions: &mut [f64],
    scratch: &mut [f32],
) -> Result<f64> {
    let n = network.n_inputs();
    require(n <= MAX_INPUTS, "network", "a network with at most 16 inputs", n as f64)?;
    let n_outputs = network.n_outputs();
    require(n_outputs == 1, "network", "a network with one output", n_outputs as f64)?;
    let largest = network.check_parameters(parameters)?;
    check_len("x", n, x.len())?;
    let rows = background.len() / n;
    check_len("background", rows * n, background.len())?;
    require(rows > 0, "background", "rows", 0.0)?;
    let largest_x = check_finite("x", x)?.max(check_finite("background", background)?);
    check_room("values", coalitions(network), values.len())?;
    let values = &mut values[..coalitions(network)];
    check_len("contributions", n, contributions.len())?;
    check_room("scratch", network.many_scratch(), scratch.len())?;
    if !network.cannot_overflow(largest, largest_x) {
        check_coalitions(network, parameters, x, background, scratch)?;
    }

    values.fill(0.0);
    for row in background.chunks_exact(n) {
        simd::add_coalitions(network, parameters, x, row, values, scratch);
    }
    let scale = 1.0 / rows as f64;
    for value in values.iter_mut() {
        *value *= scale;
    }
    share(values, contributions);
    Ok(values[0])
}

/// Refuses the first row of the background with which a coalition's sums overflow: they can where neither
/// those of `x` nor those of the row do.
fn check_coalitions(
    network: &Network,
    parameters: &[f32],
    x: &[f32],
    background: &[f32],
    scratch: &mut [f32],
) -> Result<()> {
    let mut mixed = [0.0; MAX_INPUTS];
    let mixed = &mut mixed[..x.len()];
    for (row, others) in background.chunks_exact(x.len()).enumerate() {
        for coalition in 0..coalitions(network) {
            for (i, number) in mixed.iter_mut().enumerate() {
                *number = if coalition >> i & 1 == 1 { x[i] } else { others[i] };
            }
            if !kernel::sums_are_finite(network, parameters, mixed, scratch) {
                return Err(Error::Overflow { row });
            }
        }
    }
    Ok(())
}

/// Adds, for each coalition, the prediction of `x` on its members and `row` elsewhere.
///
/// Lanes are coalitions: the low bits of a coalition number are the lane, so that most columns hold
/// one number in all lanes, and none needs a transpose.
#[inline(always)]
pub(crate) fn add_coalitions<V: Vectors>(
    network: &Network,
    parameters: &[f32],
    x: &[f32],
    row: &[f32],
    values: &mut [f64],
    scratch: &mut [f32],
) {
    if let (true, Some(parameters)) = (rows::is_default(network), parameters.first_chunk()) {
        return with_usual_activation!(
            network.hidden(),
            add_default_coalitions::<V::Wide>(network, parameters, x, row, values)
        );
    }
    let n = network.n_inputs();
    let width = V::Wide::WIDTH;
    let (columns, units) = scratch.split_at_mut(n * width);
    let last = (network.n_units() - 1) * width;
    let mut first = 0;
    while first < values.len() {
        for i in 0..n {
            column::<V::Wide>(x[i], row[i], i, first).store(&mut columns[i * width..]);
        }
        kernel::forward::<V::Wide>(network, parameters, columns, units);
        add::<V::Wide>(network.loss().link(V::Wide::load(&units[last..])), &mut values[first..]);
        first += width;
    }
}

/// As [`add_coalitions`], for 10-16-8-1 with everything in registers.
#[inline(always)]
fn add_default_coalitions<L: Lanes, A: Activate>(
    network: &Network,
    p: &[f32; 321],
    x: &[f32],
    row: &[f32],
    values: &mut [f64],
) {
    let mut inputs = [L::splat(0.0); 10];
    for i in 0..10 {
        inputs[i] = column(x[i], row[i], i, 0);
    }
    let mut first = 0;
    while first < values.len() {
        for i in L::WIDTH.trailing_zeros() as usize..10 {
            inputs[i] = L::splat(if first >> i & 1 == 1 { x[i] } else { row[i] });
        }
        let z = rows::default_sum::<L, A>(p, &inputs);
        add(network.loss().link(z), &mut values[first..]);
        first += L::WIDTH;
    }
}

/// Input `i` of the coalitions from `first` on: `member` where bit i of the number is set.
#[inline(always)]
fn column<L: Lanes>(member: f32, other: f32, i: usize, first: usize) -> L {
    let mut column = [other; MAX_WIDTH];
    for lane in 0..L::WIDTH {
        if (first + lane) >> i & 1 == 1 {
            column[lane] = member;
        }
    }
    L::load(&column)
}

#[inline(always)]
fn add<L: Lanes>(predictions: L, values: &mut [f64]) {
    let mut lanes = [0.0; MAX_WIDTH];
    predictions.store(&mut lanes);
    let count = L::WIDTH.min(values.len());
    for lane in 0..count {
        values[lane] += f64::from(lanes[lane]);
    }
}

/// Shares `v(all) - v(none)` out among the players.
#[allow(clippy::cast_precision_loss)]
fn share(values: &[f64], contributions: &mut [f64]) {
    let n = contributions.len();
    // |S|! (n - |S| - 1)! / n! for |S| = 0 .. n - 1: 1 / n, then each from the one before.
    let mut weights = [0.0; MAX_INPUTS];
    weights[0] = 1.0 / n as f64;
    for size in 1..n {
        weights[size] = weights[size - 1] * size as f64 / (n - size) as f64;
    }
    for (i, contribution) in contributions.iter_mut().enumerate() {
        let member = 1 << i;
        let mut sum = 0.0;
        for (coalition, value) in values.iter().enumerate() {
            if coalition & member == 0 {
                let weight = weights[coalition.count_ones() as usize];
                sum += weight * (values[coalition | member] - value);
            }
        }
        *contribution = sum;
    }
}
