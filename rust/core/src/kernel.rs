//! The arithmetic of a network, once, in plain scalar order, generic over [`Lanes`].
//!
//! Element `e` of lane `l` is at `e * WIDTH + l` in every buffer. With `f32` lanes this is the plain
//! layout of one sample of one person, and the oracle of every faster path.

use crate::{
    lanes::Lanes,
    network::{LossSum, Network, Samples},
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
        for k in 0..layer.outputs {
            let row = layer.weights + k * layer.inputs;
            let mut sum = parameters.at(layer.biases + k);
            for i in 0..layer.inputs {
                sum = L::load(&inputs[i * L::WIDTH..]).mul_add(parameters.at(row + i), sum);
            }
            layer.activation.apply(sum).store(&mut rest[k * L::WIDTH..]);
        }
        before = start;
        start += layer.outputs * L::WIDTH;
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
    let mut layers = [None; crate::network::MAX_LAYERS];
    let mut depth = 0;
    for layer in network.layers() {
        layers[depth] = Some(layer);
        depth += 1;
    }
    for index in (0..depth).rev() {
        let Some(layer) = layers[index] else { continue };
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
        if let Some(below) = index.checked_sub(1).and_then(|below| layers[below]) {
            for i in 0..layer.inputs {
                let weight = |k: usize| parameters.at(layer.weights + k * layer.inputs + i);
                let mut slope = L::load(current).mul(weight(0));
                for k in 1..layer.outputs {
                    slope = L::load(&current[k * L::WIDTH..]).mul_add(weight(k), slope);
                }
                let h = L::load(&inputs[i * L::WIDTH..]);
                below.activation.chain(slope, h).store(&mut previous[(inputs_start + i) * L::WIDTH..]);
            }
        }
        end = start;
    }
}

/// The factor of `prediction - y` that makes the gradient that of the batch's weighted mean.
#[inline(always)]
#[allow(clippy::cast_precision_loss)]
fn mean_factor(network: &Network, samples: &Samples<'_>, rows: impl ExactSizeIterator<Item = u32>) -> f32 {
    let total = if samples.is_weighted() {
        rows.fold(0.0, |sum, row| sum + samples.weight(row as usize))
    } else {
        rows.len() as f32
    };
    if total > 0.0 { network.loss().slope() / (total * network.n_outputs() as f32) } else { 0.0 }
}

/// Writes the gradient of the mean loss over `rows`; adds their losses to `losses` if given.
#[inline(always)]
pub(crate) fn batch_gradient(
    network: &Network,
    parameters: &[f32],
    samples: &Samples<'_>,
    rows: impl ExactSizeIterator<Item = u32> + Clone,
    gradient: &mut [f32],
    scratch: &mut [f32],
    mut losses: Option<&mut LossSum>,
) {
    let n_units = network.n_units();
    let first_output = n_units - network.n_outputs();
    let (units, deltas) = scratch[..2 * n_units].split_at_mut(n_units);
    let factor = mean_factor(network, samples, rows.clone());
    gradient.fill(0.0);
    for row in rows {
        let row = row as usize;
        let (x, y, weight) = (samples.x(row), samples.y(row), samples.weight(row));
        forward::<f32, _>(network, Shared(parameters), x, units);
        let scale = factor * weight;
        let outputs = units[first_output..].iter().zip(y);
        for (delta, (&z, &y)) in deltas[first_output..].iter_mut().zip(outputs.clone()) {
            *delta = (network.loss().link(z) - y) * scale;
        }
        if let Some(losses) = losses.as_deref_mut() {
            for (&z, &y) in outputs {
                losses.add(network.loss().value(z, y), weight);
            }
        }
        backward::<f32, _>(network, Shared(parameters), x, units, deltas, gradient);
    }
}

/// The mean loss of the rows from `first` on.
pub(crate) fn mean_loss(
    network: &Network,
    parameters: &[f32],
    samples: &Samples<'_>,
    first: usize,
    scratch: &mut [f32],
) -> f64 {
    let n_units = network.n_units();
    let mut sum = LossSum::default();
    for row in first..samples.rows() {
        forward::<f32, _>(network, Shared(parameters), samples.x(row), &mut scratch[..n_units]);
        let z = &scratch[n_units - network.n_outputs()..n_units];
        for (&z, &y) in z.iter().zip(samples.y(row)) {
            sum.add(network.loss().value(z, y), samples.weight(row));
        }
    }
    sum.mean()
}
