//! The arithmetic of a network, once, in plain scalar order, generic over [`Lanes`].
//!
//! In the forward pass element `e` of lane `l` is at `e * WIDTH + l` of every buffer. With `f32` lanes this
//! is the plain layout of one sample of one person, and the oracle of every faster path.

use crate::{
    lanes::Lanes,
    loss::Loss,
    network::{Activate, Layer, LossSum, MAX_LAYERS, Network, Samples, with_activation},
    optimizer::Step,
    simd::Vectors,
};

/// Writes the outputs of all layers behind each other to `units`; the last are the sums `z`.
#[inline(always)]
pub(crate) fn forward<L: Lanes>(
    network: &Network,
    parameters: &[f32],
    x: &[f32],
    units: &mut [f32],
) {
    let mut start = 0;
    let mut before = 0;
    for layer in network.layers() {
        let (done, rest) = units.split_at_mut(start);
        let inputs = if start == 0 { x } else { &done[before..] };
        let outputs = &mut rest[..layer.outputs * L::WIDTH];
        forward_layer::<L>(&layer, parameters, inputs, outputs);
        // By itself: one copy of the layers serves all activations.
        with_activation!(layer.activation, activate::<L>(outputs));
        before = start;
        start += layer.outputs * L::WIDTH;
    }
}

/// Writes the sums of a layer.
#[inline(always)]
fn forward_layer<L: Lanes>(layer: &Layer, parameters: &[f32], inputs: &[f32], outputs: &mut [f32]) {
    let inputs = &inputs[..layer.inputs * L::WIDTH];
    let mut k = 0;
    // Four sums at a time, so that none waits for itself.
    while k < layer.outputs {
        k += if k + 4 <= layer.outputs {
            forward_units::<L, 4>(layer, parameters, inputs, outputs, k)
        } else {
            forward_units::<L, 1>(layer, parameters, inputs, outputs, k)
        };
    }
}

/// Writes the sums of `UNITS` units from `k` on; returns `UNITS`.
#[inline(always)]
fn forward_units<L: Lanes, const UNITS: usize>(
    layer: &Layer,
    parameters: &[f32],
    inputs: &[f32],
    outputs: &mut [f32],
    k: usize,
) -> usize {
    let mut rows = [parameters; UNITS];
    let mut sums = [L::splat(0.0); UNITS];
    for q in 0..UNITS {
        rows[q] = &parameters[layer.weights + (k + q) * layer.inputs..][..layer.inputs];
        sums[q] = L::splat(parameters[layer.biases + k + q]);
    }
    for (i, input) in inputs.chunks_exact(L::WIDTH).enumerate() {
        let input = L::load(input);
        for q in 0..UNITS {
            sums[q] = input.mul_add(L::splat(rows[q][i]), sums[q]);
        }
    }
    for q in 0..UNITS {
        sums[q].store(&mut outputs[(k + q) * L::WIDTH..]);
    }
    UNITS
}

/// Adds one sample's gradient to `gradient`; lanes are the inputs of a layer.
///
/// On entry the last `n_outputs` of `deltas` hold dL/dz; on return the rest holds dL/dz of the hidden
/// layers.
#[inline(always)]
fn backward<V: Vectors>(
    network: &Network,
    parameters: &[f32],
    x: &[f32],
    units: &[f32],
    deltas: &mut [f32],
    gradient: &mut [f32],
) {
    let mut end = network.n_units();
    let mut layers = [Layer::default(); MAX_LAYERS];
    let mut depth = 0;
    for layer in network.layers() {
        layers[depth] = layer;
        depth += 1;
    }
    for index in (0..depth).rev() {
        let layer = layers[index];
        let start = end - layer.outputs;
        let (previous, current) = deltas.split_at_mut(start);
        let current = &current[..layer.outputs];
        let inputs_start = if index == 0 { 0 } else { start - layer.inputs };
        let inputs = if index == 0 { x } else { &units[inputs_start..start] };
        let weights = &mut gradient[layer.weights..layer.biases];
        for (row, &delta) in weights.chunks_exact_mut(layer.inputs).zip(current) {
            let mut done = add_products::<V::Wide>(delta, inputs, row, 0);
            if V::Half::WIDTH < V::Wide::WIDTH {
                done = add_products::<V::Half>(delta, inputs, row, done);
            }
            add_products::<V::One>(delta, inputs, row, done);
        }
        let biases = &mut gradient[layer.biases..][..layer.outputs];
        for (bias, &delta) in biases.iter_mut().zip(current) {
            *bias += delta;
        }
        if index > 0 {
            let slopes = &mut previous[inputs_start..start];
            let mut done = backward_layer::<V::Wide>(&layer, parameters, current, slopes, 0);
            if V::Half::WIDTH < V::Wide::WIDTH {
                done = backward_layer::<V::Half>(&layer, parameters, current, slopes, done);
            }
            backward_layer::<V::One>(&layer, parameters, current, slopes, done);
            with_activation!(layers[index - 1].activation, chain::<V::One>(slopes, inputs));
        }
        end = start;
    }
}

/// `sums[i] += delta · inputs[i]` from `i` on as far as whole vectors go; returns how far.
#[inline(always)]
fn add_products<L: Lanes>(delta: f32, inputs: &[f32], sums: &mut [f32], mut i: usize) -> usize {
    let delta = L::splat(delta);
    let inputs = &inputs[..sums.len()];
    while i + L::WIDTH <= sums.len() {
        let sum = &mut sums[i..];
        delta.mul_add(L::load(&inputs[i..]), L::load(sum)).store(sum);
        i += L::WIDTH;
    }
    i
}

/// Writes dL/dh of the layer before `layer`, from input `i` on as far as whole vectors go; returns how
/// far.
#[inline(always)]
fn backward_layer<L: Lanes>(
    layer: &Layer,
    parameters: &[f32],
    deltas: &[f32],
    slopes: &mut [f32],
    mut i: usize,
) -> usize {
    let weights = &parameters[layer.weights..layer.biases];
    while i + L::WIDTH <= layer.inputs {
        let mut slope = L::splat(deltas[0]).mul(L::load(&weights[i..]));
        for k in 1..layer.outputs {
            let weights = L::load(&weights[k * layer.inputs + i..]);
            slope = L::splat(deltas[k]).mul_add(weights, slope);
        }
        slope.store(&mut slopes[i..]);
        i += L::WIDTH;
    }
    i
}

/// Which samples, in which order.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Rows<'a> {
    /// The first so many.
    First(usize),
    /// These.
    Listed(&'a [u32]),
}

impl Rows<'_> {
    #[inline(always)]
    fn len(&self) -> usize {
        match self {
            Self::First(n) => *n,
            Self::Listed(rows) => rows.len(),
        }
    }

    #[inline(always)]
    fn get(&self, index: usize) -> usize {
        match self {
            Self::First(_) => index,
            Self::Listed(rows) => rows[index] as usize,
        }
    }
}

/// The factor of `prediction - y` that makes the gradient that of the batch's weighted mean.
#[inline(always)]
#[allow(clippy::cast_precision_loss)]
pub(crate) fn mean_factor(
    loss: Loss,
    n_outputs: usize,
    samples: &Samples<'_>,
    rows: Rows<'_>,
) -> f32 {
    let mut total = rows.len() as f32;
    if samples.is_weighted() {
        total = 0.0;
        for index in 0..rows.len() {
            total += samples.weight(rows.get(index));
        }
    }
    let factor = loss.slope() / (total * n_outputs as f32);
    // Infinite where the weights sum to 0, or to so little that single precision has no name for its inverse.
    if factor.is_finite() { factor } else { 0.0 }
}

/// Writes the gradient of the mean loss over `rows`; adds their losses to `losses` if given.
#[inline(always)]
pub(crate) fn batch_gradient<V: Vectors>(
    network: &Network,
    parameters: &[f32],
    samples: &Samples<'_>,
    rows: Rows<'_>,
    gradient: &mut [f32],
    scratch: &mut [f32],
    mut losses: Option<&mut LossSum>,
) {
    let n_units = network.n_units();
    let first_output = n_units - network.n_outputs();
    let (units, deltas) = scratch[..2 * n_units].split_at_mut(n_units);
    let factor = mean_factor(network.loss(), network.n_outputs(), samples, rows);
    gradient.fill(0.0);
    for index in 0..rows.len() {
        let row = rows.get(index);
        let (x, y, weight) = (samples.x(row), samples.y(row), samples.weight(row));
        forward::<V::One>(network, parameters, x, units);
        let scale = V::One::splat(factor * weight);
        for output in 0..y.len() {
            let z = V::One::load(&units[first_output + output..]);
            let y = V::One::load(&y[output..]);
            let delta = network.loss().error(z, y).mul(scale);
            delta.store(&mut deltas[first_output + output..]);
            if let Some(losses) = &mut losses {
                let mut loss = [0.0];
                network.loss().value(z, y).store(&mut loss);
                losses.add(loss[0], weight);
            }
        }
        backward::<V>(network, parameters, x, units, deltas, gradient);
    }
}

/// The largest size `|v|`; not finite if a value is not.
#[inline(always)]
pub(crate) fn largest<V: Vectors>(values: &[f32]) -> f32 {
    f32::from_bits(largest_bits(values) as u32)
}

/// The bits of the largest size. As signed numbers they are in order, first the finite ones, then infinity,
/// then NaN.
#[inline(always)]
pub(crate) fn largest_bits(values: &[f32]) -> i32 {
    // No branch, so that the compiler takes many at a time.
    let mut worst = 0;
    for value in values {
        worst = worst.max((value.to_bits() & 0x7fff_ffff) as i32);
    }
    worst
}

/// As [`forward`] of one sample: whether all sums are finite. Its outputs do not tell, since `ReLU` makes 0
/// of a NaN.
pub(crate) fn sums_are_finite(
    network: &Network,
    parameters: &[f32],
    x: &[f32],
    units: &mut [f32],
) -> bool {
    let (mut start, mut before) = (0, 0);
    for layer in network.layers() {
        let (done, outputs) = units.split_at_mut(start);
        let inputs = if start == 0 { x } else { &done[before..] };
        forward_layer::<f32>(&layer, parameters, inputs, &mut outputs[..layer.outputs]);
        let outputs = &mut outputs[..layer.outputs];
        if !outputs.iter().all(|sum| sum.is_finite()) {
            return false;
        }
        with_activation!(layer.activation, activate::<f32>(outputs));
        (before, start) = (start, start + layer.outputs);
    }
    true
}

#[inline(always)]
fn activate<L: Lanes, A: Activate>(sums: &mut [f32]) {
    for sum in sums.chunks_exact_mut(L::WIDTH) {
        A::apply(L::load(sum)).store(sum);
    }
}

#[inline(always)]
fn chain<L: Lanes, A: Activate>(slopes: &mut [f32], units: &[f32]) {
    for (slope, unit) in slopes.chunks_exact_mut(L::WIDTH).zip(units.chunks_exact(L::WIDTH)) {
        A::chain(L::load(slope), L::load(unit)).store(slope);
    }
}

/// The step of all parameters of one person.
#[inline(always)]
pub(crate) fn apply_step<V: Vectors>(
    step: &Step,
    parameters: &mut [f32],
    gradient: &[f32],
    first: &mut [f32],
    second: &mut [f32],
    anchor: Option<&[f32]>,
) {
    let whole = parameters.len() - parameters.len() % V::Wide::WIDTH;
    let (parameters, rest) = parameters.split_at_mut(whole);
    let (first, first_rest) = first.split_at_mut(whole);
    let (second, second_rest) = second.split_at_mut(whole);
    step.apply_all::<V::Wide>(parameters, gradient, first, second, anchor);
    let anchor_rest = match anchor {
        Some(anchor) => Some(&anchor[whole..]),
        None => None,
    };
    step.apply_all::<V::One>(rest, &gradient[whole..], first_rest, second_rest, anchor_rest);
}
