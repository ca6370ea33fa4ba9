//! Training of networks n-16-8-1 and smaller: lanes are units.
//!
//! Any number of inputs, at most 16 and 8 units in two hidden layers of `ReLU` or tanh, one output with
//! binary cross-entropy: the default shape, and what other features make of it. One person's batch is
//! too small to fill lanes with samples, but 16 units are one AVX-512 register; narrower layers are
//! padded with units that nothing reads. The sums run in the order of [`kernel`](crate::kernel), so the
//! bits are the same.

use crate::{
    kernel::{self, Rows},
    lanes::{Lanes, MAX_WIDTH},
    loss::Loss,
    network::{Activate, Activation, LossSum, Network, Relu, Samples, Tanh},
    optimizer::{self, Optimizer, Pace},
    simd::{self, Vectors},
};

/// The most units of a hidden layer: the length of a row.
const UNITS: usize = 16;

// Offsets in a block. Rows of weights come last, because their number is not known: those of layer 2, a
// row per unit, then those of layer 1, transposed, a row per input.
const BIASES_1: usize = 0;
const BIASES_2: usize = UNITS;
const WEIGHTS_3: usize = 2 * UNITS;
const BIAS_3: usize = 3 * UNITS;
const WEIGHTS_2: usize = 4 * UNITS;

/// Samples whose intermediate results are kept at a time; a larger batch takes several rounds.
const ROUND: usize = 32;

/// The sizes of a network's layers but the last, which has one unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    inputs: usize,
    units_1: usize,
    units_2: usize,
    /// Whether the compiler knows the sizes: worth sums as many as the inputs.
    known: bool,
}

impl Shape {
    pub(crate) const DEFAULT: Self = Self { inputs: 10, units_1: 16, units_2: 8, known: false };

    /// The shape of a network that this module can train.
    pub(crate) fn of(network: &Network) -> Option<Self> {
        let &[inputs, units_1, units_2, 1] = network.sizes() else { return None };
        let shape = Self {
            inputs: inputs.into(),
            units_1: units_1.into(),
            units_2: units_2.into(),
            known: false,
        };
        let usual = matches!(network.hidden(), Activation::Relu | Activation::Tanh)
            && network.loss() == Loss::BceWithLogits;
        (usual && shape.units_1 <= UNITS && shape.units_2 <= UNITS).then_some(shape)
    }

    /// Offset of the first weights, behind those of layer 2, whose rows come in eights.
    #[inline(always)]
    const fn weights_1(self) -> usize {
        WEIGHTS_2 + self.units_2.next_multiple_of(8) * UNITS
    }

    /// Length of a block.
    #[inline(always)]
    const fn length(self) -> usize {
        self.weights_1() + self.inputs * UNITS
    }

    /// Calls `meet(index in a block, index in the flat parameters, length)` for everything that is in the
    /// same order in both: all but the first weights.
    #[inline(always)]
    fn runs(self, mut meet: impl FnMut(usize, usize, usize)) {
        let Self { inputs, units_1, units_2, .. } = self;
        let mut flat = units_1 * inputs;
        let mut run = |block, length| {
            meet(block, flat, length);
            flat += length;
        };
        run(BIASES_1, units_1);
        for k in 0..units_2 {
            run(WEIGHTS_2 + k * UNITS, units_1);
        }
        run(BIASES_2, units_2);
        run(WEIGHTS_3, units_2);
        run(BIAS_3, 1);
    }

    fn pack(self, flat: &[f32], block: &mut [f32]) {
        block.fill(0.0);
        self.runs(|to, from, n| block[to..to + n].copy_from_slice(&flat[from..from + n]));
        for (i, row) in block[self.weights_1()..].chunks_exact_mut(UNITS).enumerate() {
            for (weight, from) in
                row.iter_mut().zip(flat.chunks_exact(self.inputs)).take(self.units_1)
            {
                *weight = from[i];
            }
        }
    }

    fn unpack(self, block: &[f32], flat: &mut [f32]) {
        self.runs(|from, to, n| flat[to..to + n].copy_from_slice(&block[from..from + n]));
        for (i, row) in block[self.weights_1()..].chunks_exact(UNITS).enumerate() {
            for (weight, to) in
                row.iter().zip(flat.chunks_exact_mut(self.inputs)).take(self.units_1)
            {
                to[i] = *weight;
            }
        }
    }
}

/// A training's numbers in the order of this module.
#[derive(Debug)]
pub(crate) struct Blocks<'m> {
    shape: Shape,
    parameters: &'m mut [f32],
    gradient: &'m mut [f32],
    first: &'m mut [f32],
    second: &'m mut [f32],
    anchor: Option<&'m [f32]>,
    /// Whether the optimiser looks at the moments.
    moments: bool,
}

impl<'m> Blocks<'m> {
    /// Length of the memory for [`pack`](Self::pack).
    pub(crate) const fn floats(shape: Shape) -> usize {
        // Up to a vector before the blocks, so that they can be aligned.
        5 * shape.length() + MAX_WIDTH
    }

    pub(crate) fn pack(
        shape: Shape,
        optimizer: &Optimizer,
        parameters: &[f32],
        first: &[f32],
        second: &[f32],
        anchor: Option<&[f32]>,
        memory: &'m mut [f32],
    ) -> Self {
        let aligned = memory.as_ptr().align_offset(MAX_WIDTH * size_of::<f32>()).min(MAX_WIDTH);
        let mut blocks = memory[aligned..].chunks_exact_mut(shape.length());
        let mut block = || blocks.next().unwrap_or_default();
        let mut packed = Self {
            shape,
            parameters: block(),
            gradient: block(),
            first: block(),
            second: block(),
            anchor: None,
            moments: optimizer.has_moments(),
        };
        shape.pack(parameters, packed.parameters);
        packed.gradient.fill(0.0);
        if packed.moments {
            shape.pack(first, packed.first);
            shape.pack(second, packed.second);
        }
        if let Some(anchor) = anchor {
            let block = block();
            shape.pack(anchor, block);
            packed.anchor = Some(block);
        }
        packed
    }

    /// Every parameter, in some order, and zeros.
    pub(crate) fn parameters(&self) -> &[f32] {
        self.parameters
    }

    /// Every second moment, likewise; nothing if the optimiser has none.
    pub(crate) fn second(&self) -> &[f32] {
        if self.moments { self.second } else { &[] }
    }

    pub(crate) fn settle(&mut self) {
        if self.moments {
            optimizer::settle(self.first, self.second);
        }
    }

    pub(crate) fn unpack_parameters(&self, parameters: &mut [f32]) {
        self.shape.unpack(self.parameters, parameters);
    }

    pub(crate) fn unpack(&self, parameters: &mut [f32], first: &mut [f32], second: &mut [f32]) {
        self.unpack_parameters(parameters);
        if self.moments {
            self.shape.unpack(self.first, first);
            self.shape.unpack(self.second, second);
        }
    }
}

/// What one round keeps between forward and backward, sample-major.
#[repr(align(64))]
struct Round {
    units_1: [[f32; UNITS]; ROUND],
    units_2: [[f32; UNITS]; ROUND],
    deltas_2: [[f32; UNITS]; ROUND],
    deltas_1: [[f32; UNITS]; ROUND],
    logits: [f32; ROUND],
    deltas_3: [f32; ROUND],
    targets: [f32; ROUND],
    scales: [f32; ROUND],
}

impl Round {
    const EMPTY: Self = Self {
        units_1: [[0.0; UNITS]; ROUND],
        units_2: [[0.0; UNITS]; ROUND],
        deltas_2: [[0.0; UNITS]; ROUND],
        deltas_1: [[0.0; UNITS]; ROUND],
        logits: [0.0; ROUND],
        deltas_3: [0.0; ROUND],
        targets: [0.0; ROUND],
        scales: [0.0; ROUND],
    };
}

/// The second weights with all units of an input side by side, as the forward pass wants them.
#[repr(align(64))]
struct Transposed([[f32; UNITS]; UNITS]);

/// Trains on the samples of `order`, a step per `batch_size` of them.
#[inline(always)]
pub(crate) fn train<V: Vectors>(
    activation: Activation,
    blocks: &mut Blocks<'_>,
    samples: &Samples<'_>,
    order: &[u32],
    batch_size: usize,
    pace: &mut Pace<'_>,
    losses: Option<&mut LossSum>,
) {
    let shape = blocks.shape;
    if V::Wide::WIDTH == 1 {
        // Without vectors the plain kernel is as fast: no code for it.
    } else if shape == Shape::DEFAULT && activation == Activation::Relu {
        // The usual network, with sizes and activation that the compiler knows.
        let shape = Shape { known: true, ..Shape::DEFAULT };
        train_shaped::<V, _>(UsualHidden, shape, blocks, samples, order, batch_size, pace, losses);
    } else {
        let shape = Shape { known: false, ..shape };
        train_shaped::<V, _>(activation, shape, blocks, samples, order, batch_size, pace, losses);
    }
}

/// What hidden units do with their sums.
trait Hidden: Copy {
    /// [`Activate::apply`]
    fn apply<L: Lanes>(self, z: L) -> L;
    /// [`Activate::chain`]
    fn chain<L: Lanes>(self, slope: L, h: L) -> L;
}

/// `ReLU`, known to the compiler.
#[derive(Clone, Copy)]
struct UsualHidden;

impl Hidden for UsualHidden {
    #[inline(always)]
    fn apply<L: Lanes>(self, z: L) -> L {
        Relu::apply(z)
    }
    #[inline(always)]
    fn chain<L: Lanes>(self, slope: L, h: L) -> L {
        Relu::chain(slope, h)
    }
}

/// One of the usual two: a branch in the inner loops, but half the code.
impl Hidden for Activation {
    #[inline(always)]
    fn apply<L: Lanes>(self, z: L) -> L {
        if self == Self::Tanh { Tanh::apply(z) } else { Relu::apply(z) }
    }
    #[inline(always)]
    fn chain<L: Lanes>(self, slope: L, h: L) -> L {
        if self == Self::Tanh { Tanh::chain(slope, h) } else { Relu::chain(slope, h) }
    }
}

#[inline(always)]
#[allow(clippy::too_many_arguments)]
fn train_shaped<V: Vectors, H: Hidden>(
    hidden: H,
    shape: Shape,
    blocks: &mut Blocks<'_>,
    samples: &Samples<'_>,
    order: &[u32],
    batch_size: usize,
    pace: &mut Pace<'_>,
    mut losses: Option<&mut LossSum>,
) {
    let mut round = Round::EMPTY;
    let mut transposed = Transposed([[0.0; UNITS]; UNITS]);
    let n = shape.length();
    let (parameters, gradient) = (&mut blocks.parameters[..n], &mut blocks.gradient[..n]);
    // Places beyond the samples of a round hold rows of another one; nothing reads what they give.
    let mut x = [samples.x(0); ROUND];
    for batch in order.chunks(batch_size) {
        transpose_weights_2::<V::Half>(shape, parameters, &mut transposed);
        let factor = kernel::mean_factor(Loss::BceWithLogits, 1, samples, Rows::Listed(batch));
        for (index, rows) in batch.chunks(ROUND).enumerate() {
            fetch(shape, samples, rows, factor, &mut x, &mut round);
            forward::<V::Wide, H>(
                hidden,
                shape,
                parameters,
                &transposed,
                &x,
                rows.len(),
                &mut round,
            );
            if let Some(losses) = &mut losses {
                add_losses::<V::Wide>(samples, rows, &mut round, losses);
            }
            let x = &x[..rows.len().min(ROUND)];
            backward::<V::Wide, H>(hidden, shape, parameters, x, &mut round, gradient, index == 0);
        }
        let step = pace.step();
        let (first, second) = (&mut *blocks.first, &mut *blocks.second);
        simd::apply_step(&step, parameters, gradient, first, second, blocks.anchor);
    }
}

#[inline(always)]
fn transpose_weights_2<L: Lanes>(shape: Shape, p: &[f32], transposed: &mut Transposed) {
    let weights = &p[WEIGHTS_2..shape.weights_1()];
    let mut unit = 0;
    while unit < shape.units_2 {
        let mut inputs = 0;
        while inputs < UNITS {
            let columns = L::columns(&weights[unit * UNITS + inputs..], UNITS);
            for k in 0..8 {
                columns[k].store(&mut transposed.0[inputs + k][unit..]);
            }
            inputs += 8;
        }
        unit += L::WIDTH;
    }
}

/// Looks up a round's samples.
#[inline(always)]
fn fetch<'a>(
    shape: Shape,
    samples: &Samples<'a>,
    rows: &[u32],
    factor: f32,
    x: &mut [&'a [f32]; ROUND],
    round: &mut Round,
) {
    let (all_x, all_y) = samples.all();
    for ((x, y), &row) in x.iter_mut().zip(&mut round.targets).zip(rows) {
        *x = &all_x[row as usize * shape.inputs..][..shape.inputs];
        *y = all_y[row as usize];
    }
    if samples.is_weighted() {
        for (scale, &row) in round.scales.iter_mut().zip(rows) {
            *scale = factor * samples.weight(row as usize);
        }
    } else {
        round.scales = [factor; ROUND];
    }
}

#[inline(always)]
fn forward<L: Lanes, H: Hidden>(
    hidden: H,
    shape: Shape,
    p: &[f32],
    transposed: &Transposed,
    x: &[&[f32]; ROUND],
    n: usize,
    round: &mut Round,
) {
    // Several samples at a time, so that several chains of multiply-adds are under way.
    if L::WIDTH == MAX_WIDTH {
        forward_1::<L, H, 8>(hidden, shape, p, x, n, round);
    } else {
        forward_1::<L, H, 4>(hidden, shape, p, x, n, round);
    }
    forward_2::<L, H, 8>(hidden, shape, p, transposed, n, round);
    // The last sum and everything after it with lanes = samples.
    let bias = L::splat(p[BIAS_3]);
    let mut s = 0;
    while s < n && s + L::WIDTH <= ROUND {
        let mut z = bias;
        let mut unit = 0;
        while unit < shape.units_2 {
            let units = L::columns(&round.units_2.as_flattened()[s * UNITS + unit..], UNITS);
            for k in 0..8.min(shape.units_2 - unit) {
                z = units[k].mul_add(L::splat(p[WEIGHTS_3 + unit + k]), z);
            }
            unit += 8;
        }
        z.store(&mut round.logits[s..]);
        let error = Loss::BceWithLogits.error(z, L::load(&round.targets[s..]));
        error.mul(L::load(&round.scales[s..])).store(&mut round.deltas_3[s..]);
        s += L::WIDTH;
    }
}

#[inline(always)]
fn forward_1<L: Lanes, H: Hidden, const CHAINS: usize>(
    hidden: H,
    shape: Shape,
    p: &[f32],
    x: &[&[f32]; ROUND],
    n: usize,
    round: &mut Round,
) {
    let weights = &p[shape.weights_1()..].as_chunks::<UNITS>().0[..shape.inputs];
    let mut unit = 0;
    while unit < shape.units_1 {
        let bias = L::load(&p[BIASES_1 + unit..]);
        let mut s = 0;
        while s < n && s + CHAINS <= ROUND {
            let (mut rows, mut sums) = ([&[][..]; CHAINS], [bias; CHAINS]);
            for q in 0..CHAINS {
                rows[q] = &x[s + q][..shape.inputs];
            }
            for i in 0..shape.inputs {
                let weights = L::load(&weights[i][unit..]);
                for q in 0..CHAINS {
                    sums[q] = L::splat(rows[q][i]).mul_add(weights, sums[q]);
                }
            }
            for q in 0..CHAINS {
                hidden.apply(sums[q]).store(&mut round.units_1[s + q][unit..]);
            }
            s += CHAINS;
        }
        unit += L::WIDTH;
    }
}

#[inline(always)]
fn forward_2<L: Lanes, H: Hidden, const CHAINS: usize>(
    hidden: H,
    shape: Shape,
    p: &[f32],
    transposed: &Transposed,
    n: usize,
    round: &mut Round,
) {
    // By fours, so that the compiler may multiply by a lane of four numbers that it reads at once; the widest
    // vectors have none.
    let most = if L::WIDTH == MAX_WIDTH { UNITS } else { 4 };
    let mut unit = 0;
    while unit < shape.units_2 {
        let bias = L::load(&p[BIASES_2 + unit..]);
        let mut s = 0;
        while s < n && s + CHAINS <= ROUND {
            let mut sums = [bias; CHAINS];
            let mut first = 0;
            while first < shape.units_1 {
                for k in first..shape.units_1.min(first + most) {
                    let weights = L::load(&transposed.0[k][unit..]);
                    for q in 0..CHAINS {
                        sums[q] = L::splat(round.units_1[s + q][k]).mul_add(weights, sums[q]);
                    }
                }
                first += most;
            }
            for q in 0..CHAINS {
                hidden.apply(sums[q]).store(&mut round.units_2[s + q][unit..]);
            }
            s += CHAINS;
        }
        unit += L::WIDTH;
    }
}

/// Adds the gradient of a round's samples, in their order; a `fresh` gradient starts from 0.
#[inline(always)]
fn backward<L: Lanes, H: Hidden>(
    hidden: H,
    shape: Shape,
    p: &[f32],
    x: &[&[f32]],
    round: &mut Round,
    g: &mut [f32],
    fresh: bool,
) {
    let n = x.len().min(ROUND);
    let start = |g: &[f32], at: usize| if fresh { L::splat(0.0) } else { L::load(&g[at..]) };
    let mut unit = 0;
    while unit < shape.units_2 {
        let weights = L::load(&p[WEIGHTS_3 + unit..]);
        let mut sums = start(g, WEIGHTS_3 + unit);
        let mut biases = start(g, BIASES_2 + unit);
        for s in 0..n {
            let delta = L::splat(round.deltas_3[s]);
            let h = L::load(&round.units_2[s][unit..]);
            sums = delta.mul_add(h, sums);
            let slope = hidden.chain(delta.mul(weights), h);
            biases = biases.add(slope);
            slope.store(&mut round.deltas_2[s][unit..]);
        }
        sums.store(&mut g[WEIGHTS_3 + unit..]);
        biases.store(&mut g[BIASES_2 + unit..]);
        unit += L::WIDTH;
    }
    let mut bias = if fresh { 0.0 } else { g[BIAS_3] };
    for s in 0..n {
        bias += round.deltas_3[s];
    }
    g[BIAS_3] = bias;
    let mut unit = 0;
    while unit < shape.units_1 {
        let mut weights = [L::splat(0.0); UNITS];
        for k in 0..shape.units_2 {
            weights[k] = L::load(&p[WEIGHTS_2 + k * UNITS + unit..]);
        }
        let mut biases = start(g, BIASES_1 + unit);
        for s in 0..n {
            let deltas = &round.deltas_2[s];
            let mut slope = L::splat(deltas[0]).mul(weights[0]);
            for k in 1..shape.units_2 {
                slope = L::splat(deltas[k]).mul_add(weights[k], slope);
            }
            let slope = hidden.chain(slope, L::load(&round.units_1[s][unit..]));
            biases = biases.add(slope);
            slope.store(&mut round.deltas_1[s][unit..]);
        }
        biases.store(&mut g[BIASES_1 + unit..]);
        unit += L::WIDTH;
    }
    let (weights_2, weights_1) = g[WEIGHTS_2..].split_at_mut(shape.weights_1() - WEIGHTS_2);
    let (units_1, deltas_1) = (&round.units_1[..n], &round.deltas_1[..n]);
    let mut k = 0;
    while k < shape.units_2 {
        k = add_products::<L, _, 8>(weights_2, k, k, &round.deltas_2[..n], units_1, fresh);
    }
    // As many sums as the registers hold; the last ones go back so far that they are as many.
    let (mut i, most) = (0, shape.inputs);
    while i < most {
        i = if shape.known && most == 10 {
            add_products::<L, _, 10>(weights_1, i, i, x, deltas_1, fresh)
        } else if most >= 8 {
            add_products::<L, _, 8>(weights_1, i.min(most - 8), i, x, deltas_1, fresh)
        } else {
            add_products::<L, _, 1>(weights_1, i, i, x, deltas_1, fresh)
        };
    }
}

/// Adds `left[s][from + t] · right[s]` to row `from + t` of `g` for all samples `s` and `t < SUMS`, but
/// leaves the rows before `done` alone; returns how many are done then.
#[inline(always)]
fn add_products<L: Lanes, R: AsRef<[f32]>, const SUMS: usize>(
    g: &mut [f32],
    from: usize,
    done: usize,
    left: &[R],
    right: &[[f32; UNITS]],
    fresh: bool,
) -> usize {
    let g = &mut g.as_chunks_mut::<UNITS>().0[from..from + SUMS];
    // Where vectors are short, there are registers for two of each sum.
    if L::WIDTH == 4 {
        add_products_to::<L, R, SUMS, 2>(g, from, done, left, right, fresh);
    } else {
        add_products_to::<L, R, SUMS, 1>(g, from, done, left, right, fresh);
    }
    from + SUMS
}

#[inline(always)]
fn add_products_to<L: Lanes, R: AsRef<[f32]>, const SUMS: usize, const VECTORS: usize>(
    g: &mut [[f32; UNITS]],
    from: usize,
    done: usize,
    left: &[R],
    right: &[[f32; UNITS]],
    fresh: bool,
) {
    let mut unit = 0;
    while unit < UNITS {
        let mut sums = [[L::splat(0.0); VECTORS]; SUMS];
        if !fresh {
            for t in 0..SUMS {
                for v in 0..VECTORS {
                    sums[t][v] = L::load(&g[t][unit + v * L::WIDTH..]);
                }
            }
        }
        for (left, right) in left.iter().zip(right) {
            let left = &left.as_ref()[from..from + SUMS];
            let mut factors = [L::splat(0.0); VECTORS];
            for v in 0..VECTORS {
                factors[v] = L::load(&right[unit + v * L::WIDTH..]);
            }
            for t in 0..SUMS {
                for v in 0..VECTORS {
                    sums[t][v] = L::splat(left[t]).mul_add(factors[v], sums[t][v]);
                }
            }
        }
        for t in done - from..SUMS {
            for v in 0..VECTORS {
                sums[t][v].store(&mut g[t][unit + v * L::WIDTH..]);
            }
        }
        unit += VECTORS * L::WIDTH;
    }
}

#[inline(always)]
fn add_losses<L: Lanes>(
    samples: &Samples<'_>,
    rows: &[u32],
    round: &mut Round,
    losses: &mut LossSum,
) {
    let mut values = [0.0; ROUND + MAX_WIDTH];
    let mut s = 0;
    while s < rows.len() && s + L::WIDTH <= ROUND {
        let z = L::load(&round.logits[s..]);
        let y = L::load(&round.targets[s..]);
        Loss::BceWithLogits.value(z, y).store(&mut values[s..]);
        s += L::WIDTH;
    }
    for (s, &row) in rows.iter().enumerate() {
        losses.add(values[s], samples.weight(row as usize));
    }
}
