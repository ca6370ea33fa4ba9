//! Training of the default shape, 10-16-8-1 with `ReLU` or tanh and binary cross-entropy: lanes are
//! units.
//!
//! One person's batch is too small to fill lanes with samples, but 16 units are one AVX-512 register,
//! and the gradients of the first two layers stay in registers over all samples of a batch. The sums
//! run in the order of [`kernel`](crate::kernel), so the bits are the same.

use crate::{
    kernel::{self, Rows},
    lanes::{Lanes, MAX_WIDTH},
    loss::Loss,
    network::{Activate, Activation, LossSum, Network, Samples, with_usual_activation},
    optimizer::{self, Pace},
    simd::Vectors,
};

const INPUTS: usize = 10;
const UNITS_1: usize = 16;
const UNITS_2: usize = 8;

// Offsets in a block. The first weights are transposed, so that a row holds all units of an input.
const WEIGHTS_1: usize = 0;
const BIASES_1: usize = WEIGHTS_1 + INPUTS * UNITS_1;
const WEIGHTS_2: usize = BIASES_1 + UNITS_1;
const BIASES_2: usize = WEIGHTS_2 + UNITS_2 * UNITS_1;
const WEIGHTS_3: usize = BIASES_2 + UNITS_2;
const BIAS_3: usize = WEIGHTS_3 + UNITS_2;
/// Padded to whole registers; the padding stays 0.
const LENGTH: usize = 336;

/// Samples whose intermediate results are kept at a time; a larger batch takes several rounds.
const ROUND: usize = 32;

/// Whether a network has the shape of this module.
pub(crate) fn fits(network: &Network) -> bool {
    network.sizes() == [10, 16, 8, 1]
        && matches!(network.hidden(), Activation::Relu | Activation::Tanh)
        && network.loss() == Loss::BceWithLogits
}

/// Parameters, or anything with one number per parameter, in the order of this module.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Block([f32; LENGTH]);

impl Block {
    const ZERO: Self = Self([0.0; LENGTH]);

    fn pack(flat: &[f32]) -> Self {
        let mut block = Self::ZERO;
        for k in 0..UNITS_1 {
            for i in 0..INPUTS {
                block.0[WEIGHTS_1 + i * UNITS_1 + k] = flat[k * INPUTS + i];
            }
        }
        block.0[BIASES_1..=BIAS_3].copy_from_slice(&flat[BIASES_1..=BIAS_3]);
        block
    }

    fn unpack(&self, flat: &mut [f32]) {
        for k in 0..UNITS_1 {
            for i in 0..INPUTS {
                flat[k * INPUTS + i] = self.0[WEIGHTS_1 + i * UNITS_1 + k];
            }
        }
        flat[BIASES_1..=BIAS_3].copy_from_slice(&self.0[BIASES_1..=BIAS_3]);
    }
}

/// A training's numbers in the order of this module.
#[derive(Debug)]
pub(crate) struct Blocks {
    parameters: Block,
    first: Block,
    second: Block,
    anchor: Option<Block>,
}

impl Blocks {
    pub(crate) fn pack(
        parameters: &[f32],
        first: &[f32],
        second: &[f32],
        anchor: Option<&[f32]>,
    ) -> Self {
        Self {
            parameters: Block::pack(parameters),
            first: Block::pack(first),
            second: Block::pack(second),
            anchor: anchor.map(Block::pack),
        }
    }

    /// Every parameter, in some order, and zeros.
    pub(crate) fn parameters(&self) -> &[f32] {
        &self.parameters.0
    }

    pub(crate) fn settle(&mut self) {
        optimizer::settle(&mut self.first.0, &mut self.second.0);
    }

    pub(crate) fn unpack_parameters(&self, parameters: &mut [f32]) {
        self.parameters.unpack(parameters);
    }

    pub(crate) fn unpack(&self, parameters: &mut [f32], first: &mut [f32], second: &mut [f32]) {
        self.parameters.unpack(parameters);
        self.first.unpack(first);
        self.second.unpack(second);
    }
}

/// What one round keeps between forward and backward, sample-major.
#[repr(align(64))]
struct Round {
    units_1: [[f32; UNITS_1]; ROUND],
    units_2: [f32; UNITS_2 * ROUND],
    deltas_2: [[f32; UNITS_2]; ROUND],
    deltas_1: [[f32; UNITS_1]; ROUND],
    logits: [f32; ROUND],
    deltas_3: [f32; ROUND],
    targets: [f32; ROUND],
    scales: [f32; ROUND],
}

/// Trains on the samples of `order`, a step per `batch_size` of them.
#[inline(always)]
pub(crate) fn train<V: Vectors>(
    activation: Activation,
    blocks: &mut Blocks,
    samples: &Samples<'_>,
    order: &[u32],
    batch_size: usize,
    pace: &mut Pace<'_>,
    losses: Option<&mut LossSum>,
) {
    with_usual_activation!(
        activation,
        train_activated::<V>(blocks, samples, order, batch_size, pace, losses)
    );
}

#[inline(always)]
fn train_activated<V: Vectors, A: Activate>(
    blocks: &mut Blocks,
    samples: &Samples<'_>,
    order: &[u32],
    batch_size: usize,
    pace: &mut Pace<'_>,
    mut losses: Option<&mut LossSum>,
) {
    let mut round = Round {
        units_1: [[0.0; UNITS_1]; ROUND],
        units_2: [0.0; UNITS_2 * ROUND],
        deltas_2: [[0.0; UNITS_2]; ROUND],
        deltas_1: [[0.0; UNITS_1]; ROUND],
        logits: [0.0; ROUND],
        deltas_3: [0.0; ROUND],
        targets: [0.0; ROUND],
        scales: [0.0; ROUND],
    };
    let mut transposed = [[0.0; UNITS_2]; UNITS_1];
    transpose_weights_2::<V>(&blocks.parameters, &mut transposed);
    for batch in order.chunks(batch_size) {
        let factor = kernel::mean_factor(Loss::BceWithLogits, 1, samples, Rows::Listed(batch));
        let mut gradient = Block::ZERO;
        for rows in batch.chunks(ROUND) {
            let x = fetch(samples, rows, factor, &mut round);
            forward::<V, A>(&blocks.parameters, &transposed, &x, rows.len(), &mut round);
            if let Some(losses) = &mut losses {
                add_losses::<V>(samples, rows, &mut round, losses);
            }
            backward::<V, A>(&blocks.parameters, &x, rows.len(), &mut round, &mut gradient);
        }
        let anchor = match &blocks.anchor {
            Some(anchor) => Some(&anchor.0[..]),
            None => None,
        };
        pace.step().apply_all::<V::Wide>(
            &mut blocks.parameters.0,
            &gradient.0,
            &mut blocks.first.0,
            &mut blocks.second.0,
            anchor,
        );
        transpose_weights_2::<V>(&blocks.parameters, &mut transposed);
    }
}

/// Layer 2 forward wants all units of an input side by side, backward all inputs of a unit.
#[inline(always)]
fn transpose_weights_2<V: Vectors>(parameters: &Block, transposed: &mut [[f32; UNITS_2]; UNITS_1]) {
    let weights = &parameters.0[WEIGHTS_2..BIASES_2];
    let width = V::Half::WIDTH;
    let mut units = 0;
    while units < UNITS_2 {
        let mut inputs = 0;
        while inputs < UNITS_1 {
            let columns = V::Half::columns(&weights[units * UNITS_1 + inputs..], UNITS_1);
            for k in 0..8 {
                columns[k].store(&mut transposed[inputs + k][units..]);
            }
            inputs += 8;
        }
        units += width;
    }
}

/// Looks up a round's samples. Places beyond its end repeat the last row; `backward` ignores them.
#[inline(always)]
fn fetch<'a>(
    samples: &Samples<'a>,
    rows: &[u32],
    factor: f32,
    round: &mut Round,
) -> [&'a [f32; INPUTS]; ROUND] {
    let row = |index: usize| -> &'a [f32; INPUTS] {
        samples.x(rows[index] as usize).first_chunk().unwrap_or(&[0.0; INPUTS])
    };
    let n = rows.len().min(ROUND);
    let mut x = [row(n - 1); ROUND];
    for s in 0..n {
        let index = rows[s] as usize;
        x[s] = row(s);
        round.targets[s] = samples.y(index)[0];
        round.scales[s] = factor * samples.weight(index);
    }
    x
}

#[inline(always)]
fn forward<V: Vectors, A: Activate>(
    parameters: &Block,
    transposed: &[[f32; UNITS_2]; UNITS_1],
    x: &[&[f32; INPUTS]; ROUND],
    n: usize,
    round: &mut Round,
) {
    let p = &parameters.0;
    // Several samples at a time, so that several chains of multiply-adds are under way.
    if V::Wide::WIDTH == UNITS_1 {
        forward_1::<V::Wide, A, 8>(p, x, n, round);
    } else {
        forward_1::<V::Wide, A, 4>(p, x, n, round);
    }
    forward_2::<V::Half, A, 8>(p, transposed, n, round);
    // The last sum and everything after it with lanes = samples.
    let bias = V::Wide::splat(p[BIAS_3]);
    let mut s = 0;
    while s < n && s + V::Wide::WIDTH <= ROUND {
        let units = V::Wide::columns(&round.units_2[s * UNITS_2..], UNITS_2);
        let mut z = bias;
        for k in 0..UNITS_2 {
            z = units[k].mul_add(V::Wide::splat(p[WEIGHTS_3 + k]), z);
        }
        z.store(&mut round.logits[s..]);
        let error = Loss::BceWithLogits.error(z, V::Wide::load(&round.targets[s..]));
        error.mul(V::Wide::load(&round.scales[s..])).store(&mut round.deltas_3[s..]);
        s += V::Wide::WIDTH;
    }
}

#[inline(always)]
fn forward_1<L: Lanes, A: Activate, const CHAINS: usize>(
    p: &[f32; LENGTH],
    x: &[&[f32; INPUTS]; ROUND],
    n: usize,
    round: &mut Round,
) {
    let zero = L::splat(0.0);
    let mut unit = 0;
    while unit < UNITS_1 {
        let mut weights = [zero; INPUTS];
        for i in 0..INPUTS {
            weights[i] = L::load(&p[WEIGHTS_1 + i * UNITS_1 + unit..]);
        }
        let bias = L::load(&p[BIASES_1 + unit..]);
        let mut s = 0;
        while s < n && s + CHAINS <= ROUND {
            let mut sums = [bias; CHAINS];
            for i in 0..INPUTS {
                for q in 0..CHAINS {
                    sums[q] = L::splat(x[s + q][i]).mul_add(weights[i], sums[q]);
                }
            }
            for q in 0..CHAINS {
                A::apply(sums[q]).store(&mut round.units_1[s + q][unit..]);
            }
            s += CHAINS;
        }
        unit += L::WIDTH;
    }
}

#[inline(always)]
fn forward_2<L: Lanes, A: Activate, const CHAINS: usize>(
    p: &[f32; LENGTH],
    transposed: &[[f32; UNITS_2]; UNITS_1],
    n: usize,
    round: &mut Round,
) {
    let mut unit = 0;
    while unit < UNITS_2 {
        let bias = L::load(&p[BIASES_2 + unit..]);
        let mut s = 0;
        while s < n && s + CHAINS <= ROUND {
            let mut sums = [bias; CHAINS];
            for k in 0..UNITS_1 {
                let weights = L::load(&transposed[k][unit..]);
                for q in 0..CHAINS {
                    sums[q] = L::splat(round.units_1[s + q][k]).mul_add(weights, sums[q]);
                }
            }
            for q in 0..CHAINS {
                A::apply(sums[q]).store(&mut round.units_2[(s + q) * UNITS_2 + unit..]);
            }
            s += CHAINS;
        }
        unit += L::WIDTH;
    }
}

/// Adds the gradient of a round's samples, in their order.
#[inline(always)]
fn backward<V: Vectors, A: Activate>(
    parameters: &Block,
    x: &[&[f32; INPUTS]; ROUND],
    n: usize,
    round: &mut Round,
    gradient: &mut Block,
) {
    let n = n.min(ROUND);
    let (p, g) = (&parameters.0, &mut gradient.0);
    let mut unit = 0;
    while unit < UNITS_2 {
        let weights = V::Half::load(&p[WEIGHTS_3 + unit..]);
        let mut sums = V::Half::load(&g[WEIGHTS_3 + unit..]);
        let mut biases = V::Half::load(&g[BIASES_2 + unit..]);
        for s in 0..n {
            let delta = V::Half::splat(round.deltas_3[s]);
            let h = V::Half::load(&round.units_2[s * UNITS_2 + unit..]);
            sums = delta.mul_add(h, sums);
            let slope = A::chain(delta.mul(weights), h);
            biases = biases.add(slope);
            slope.store(&mut round.deltas_2[s][unit..]);
        }
        sums.store(&mut g[WEIGHTS_3 + unit..]);
        biases.store(&mut g[BIASES_2 + unit..]);
        unit += V::Half::WIDTH;
    }
    let mut bias = g[BIAS_3];
    for s in 0..n {
        bias += round.deltas_3[s];
    }
    g[BIAS_3] = bias;

    let zero = V::Wide::splat(0.0);
    let mut unit = 0;
    while unit < UNITS_1 {
        let mut weights = [zero; UNITS_2];
        for k in 0..UNITS_2 {
            weights[k] = V::Wide::load(&p[WEIGHTS_2 + k * UNITS_1 + unit..]);
        }
        let mut sums_1 = [zero; INPUTS];
        for i in 0..INPUTS {
            sums_1[i] = V::Wide::load(&g[WEIGHTS_1 + i * UNITS_1 + unit..]);
        }
        let mut sums_2 = [zero; UNITS_2];
        for k in 0..UNITS_2 {
            sums_2[k] = V::Wide::load(&g[WEIGHTS_2 + k * UNITS_1 + unit..]);
        }
        let mut biases = V::Wide::load(&g[BIASES_1 + unit..]);
        if V::Wide::WIDTH == UNITS_1 {
            // 32 registers hold it all.
            for s in 0..n {
                let (h, delta) = delta_1::<V::Wide, A>(&weights, round, s, unit);
                for k in 0..UNITS_2 {
                    sums_2[k] = V::Wide::splat(round.deltas_2[s][k]).mul_add(h, sums_2[k]);
                }
                for i in 0..INPUTS {
                    sums_1[i] = V::Wide::splat(x[s][i]).mul_add(delta, sums_1[i]);
                }
                biases = biases.add(delta);
            }
        } else {
            // 16 registers hold the sums of one layer at a time.
            for s in 0..n {
                let (_, delta) = delta_1::<V::Wide, A>(&weights, round, s, unit);
                delta.store(&mut round.deltas_1[s][unit..]);
            }
            for s in 0..n {
                let delta = V::Wide::load(&round.deltas_1[s][unit..]);
                for i in 0..INPUTS {
                    sums_1[i] = V::Wide::splat(x[s][i]).mul_add(delta, sums_1[i]);
                }
                biases = biases.add(delta);
            }
            for s in 0..n {
                let h = V::Wide::load(&round.units_1[s][unit..]);
                for k in 0..UNITS_2 {
                    sums_2[k] = V::Wide::splat(round.deltas_2[s][k]).mul_add(h, sums_2[k]);
                }
            }
        }
        for i in 0..INPUTS {
            sums_1[i].store(&mut g[WEIGHTS_1 + i * UNITS_1 + unit..]);
        }
        for k in 0..UNITS_2 {
            sums_2[k].store(&mut g[WEIGHTS_2 + k * UNITS_1 + unit..]);
        }
        biases.store(&mut g[BIASES_1 + unit..]);
        unit += V::Wide::WIDTH;
    }
}

/// The outputs of layer 1 and the gradient with respect to its sums.
#[inline(always)]
fn delta_1<L: Lanes, A: Activate>(
    weights: &[L; UNITS_2],
    round: &Round,
    s: usize,
    unit: usize,
) -> (L, L) {
    let deltas = &round.deltas_2[s];
    let mut slope = L::splat(deltas[0]).mul(weights[0]);
    for k in 1..UNITS_2 {
        slope = L::splat(deltas[k]).mul_add(weights[k], slope);
    }
    let h = L::load(&round.units_1[s][unit..]);
    (h, A::chain(slope, h))
}

#[inline(always)]
fn add_losses<V: Vectors>(
    samples: &Samples<'_>,
    rows: &[u32],
    round: &mut Round,
    losses: &mut LossSum,
) {
    let mut values = [0.0; ROUND + MAX_WIDTH];
    let mut s = 0;
    while s < rows.len() && s + V::Wide::WIDTH <= ROUND {
        let z = V::Wide::load(&round.logits[s..]);
        let y = V::Wide::load(&round.targets[s..]);
        Loss::BceWithLogits.value(z, y).store(&mut values[s..]);
        s += V::Wide::WIDTH;
    }
    for (s, &row) in rows.iter().enumerate() {
        losses.add(values[s], samples.weight(row as usize));
    }
}
