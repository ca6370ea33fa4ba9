//! The arithmetic of a network, once, in plain scalar order, generic over [`Lanes`].
//!
//! Element `e` of lane `l` is at `e * WIDTH + l` in every buffer. With `f32` lanes this is the plain
//! layout of one sample of one person, and the oracle of every faster path.

use crate::{
    lanes::Lanes,
    loss::Loss,
    network::{Activate, Identity, Layer, LossSum, MAX_LAYERS, Network, Samples, with_activation},
    optimizer::Step,
    simd::Vectors,
};

/// Where parameters come from: the same in every lane, or each lane its own.
pub(crate) trait Parameters<L: Lanes>: Copy {
    fn at(self, index: usize) -> L;
}

/// One network for all lanes (lanes are samples).
#[derive(Clone, Copy)]
pub(crate) struct Shared<'a>(pub(crate) &'a [f32]);

impl<L: Lanes> Parameters<L> for Shared<'_> {
    #[inline(always)]
    fn at(self, index: usize) -> L {
        L::splat(self.0[index])
    }
}

/// Writes the outputs of all layers behind each other to `units`; the last are the sums `z`.
#[inline(always)]
pub(crate) fn forward<L: Lanes, P: Parameters<L>>(
    network: &Network,
    parameters: P,
    x: &[f32],
    units: &mut [f32],
) {
    let mut start = 0;
    let mut before = 0;
    for layer in network.layers() {
        let (done, rest) = units.split_at_mut(start);
        let inputs = if start == 0 { x } else { &done[before..] };
        with_activation!(layer.activation, forward_layer::<L, P>(&layer, parameters, inputs, rest));
        before = start;
        start += layer.outputs * L::WIDTH;
    }
}

#[inline(always)]
fn forward_layer<L: Lanes, P: Parameters<L>, A: Activate>(
    layer: &Layer,
    parameters: P,
    inputs: &[f32],
    outputs: &mut [f32],
) {
    for k in 0..layer.outputs {
        let row = layer.weights + k * layer.inputs;
        let mut sum = parameters.at(layer.biases + k);
        for i in 0..layer.inputs {
            sum = L::load(&inputs[i * L::WIDTH..]).mul_add(parameters.at(row + i), sum);
        }
        A::apply(sum).store(&mut outputs[k * L::WIDTH..]);
    }
}

/// Adds one sample's gradient to `gradient`.
///
/// On entry the last `n_outputs` of `deltas` hold dL/dz; on return the rest holds dL/dz of the hidden
/// layers.
#[inline(always)]
pub(crate) fn backward<L: Lanes, P: Parameters<L>>(
    network: &Network,
    parameters: P,
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
        let (previous, current) = deltas.split_at_mut(start * L::WIDTH);
        let inputs_start = if index == 0 { 0 } else { start - layer.inputs };
        let inputs = if index == 0 { x } else { &units[inputs_start * L::WIDTH..] };
        for k in 0..layer.outputs {
            let delta = L::load(&current[k * L::WIDTH..]);
            for i in 0..layer.inputs {
                let target = &mut gradient[(layer.weights + k * layer.inputs + i) * L::WIDTH..];
                delta.mul_add(L::load(&inputs[i * L::WIDTH..]), L::load(target)).store(target);
            }
            let target = &mut gradient[(layer.biases + k) * L::WIDTH..];
            L::load(target).add(delta).store(target);
        }
        if index > 0 {
            let slopes = &mut previous[inputs_start * L::WIDTH..];
            with_activation!(
                layers[index - 1].activation,
                backward_layer::<L, P>(&layer, parameters, current, inputs, slopes)
            );
        }
        end = start;
    }
}

/// Writes dL/dz of the layer before `layer`.
#[inline(always)]
fn backward_layer<L: Lanes, P: Parameters<L>, A: Activate>(
    layer: &Layer,
    parameters: P,
    deltas: &[f32],
    inputs: &[f32],
    slopes: &mut [f32],
) {
    for i in 0..layer.inputs {
        let weights = layer.weights + i;
        let mut slope = L::load(deltas).mul(parameters.at(weights));
        for k in 1..layer.outputs {
            let weight = parameters.at(weights + k * layer.inputs);
            slope = L::load(&deltas[k * L::WIDTH..]).mul_add(weight, slope);
        }
        A::chain(slope, L::load(&inputs[i * L::WIDTH..])).store(&mut slopes[i * L::WIDTH..]);
    }
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
    if total > 0.0 { loss.slope() / (total * n_outputs as f32) } else { 0.0 }
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
        forward::<V::One, _>(network, Shared(parameters), x, units);
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
        backward::<V::One, _>(network, Shared(parameters), x, units, deltas, gradient);
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
        forward_layer::<f32, _, Identity>(&layer, Shared(parameters), inputs, outputs);
        let outputs = &mut outputs[..layer.outputs];
        if !outputs.iter().all(|sum| sum.is_finite()) {
            return false;
        }
        with_activation!(layer.activation, activate::<f32>(outputs));
        (before, start) = (start, start + layer.outputs);
    }
    true
}

fn activate<L: Lanes, A: Activate>(sums: &mut [L]) {
    for sum in sums {
        *sum = A::apply(*sum);
    }
}

/// The step of all parameters of one person.
#[inline(always)]
pub(crate) fn apply_step<V: Vectors>(
    step: &Step,
    parameters: &mut [f32],
    gradient: &mut [f32],
    first: &mut [f32],
    second: &mut [f32],
    anchor: Option<&[f32]>,
) {
    let whole = parameters.len() - parameters.len() % V::Wide::WIDTH;
    let (parameters, rest) = parameters.split_at_mut(whole);
    let (gradient, gradient_rest) = gradient.split_at_mut(whole);
    let (first, first_rest) = first.split_at_mut(whole);
    let (second, second_rest) = second.split_at_mut(whole);
    step.apply_all::<V::Wide>(parameters, gradient, first, second, anchor);
    let anchor_rest = match anchor {
        Some(anchor) => Some(&anchor[whole..]),
        None => None,
    };
    step.apply_all::<V::One>(rest, gradient_rest, first_rest, second_rest, anchor_rest);
}
