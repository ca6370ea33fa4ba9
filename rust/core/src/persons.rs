//! Training of many persons side by side: lanes are persons.
//!
//! The same shape, settings and number of samples for all, so that they take the same steps at the
//! same time; no sum crosses lanes, so each gets the bits that it would get alone. Works for any
//! network, and needs no layout that depends on it.

use crate::{
    error::{Error, Result, check_finite, check_len, check_room},
    lanes::{Lanes, MAX_WIDTH},
    loss::Loss,
    network::{
        Activate, Activation, Identity, Layer, MAX_LAYERS, Network, Samples, with_activation,
        with_usual_activation,
    },
    neurons::Shape,
    optimizer::{self, Pace, Powers, Step},
    random::SplitMix64,
    simd::{self, Vectors},
    training::{Memory, TrainingConfig},
};

/// Samples that go through the layers together.
const BLOCK: usize = 8;

/// How many persons go side by side with the instruction set in use.
#[must_use]
pub fn lanes() -> usize {
    simd::person_lanes()
}

/// Whether persons side by side are faster than one after the other: always, except where one person's
/// training has its own kernel and vectors are short (measured with 10-16-8-1: AVX-512 gains a fifth, AVX2
/// loses 6 to 20 %).
#[must_use]
pub fn pays(network: &Network) -> bool {
    lanes() == MAX_WIDTH || (lanes() > 1 && Shape::of(network).is_none())
}

/// Length of [`Memory::floats`] for [`train`] with `rows` samples per person.
#[must_use]
pub fn floats(network: &Network, rows: usize) -> usize {
    let sample = network.n_inputs() + network.n_outputs();
    let block = 2 * network.n_units();
    // One more vector, so that the rest can be aligned.
    MAX_WIDTH * (4 * network.n_parameters() + rows * sample + BLOCK * block + 1)
}

/// Whether [`train`] can take persons with these settings and samples.
#[must_use]
pub fn fits(config: &TrainingConfig, samples: &Samples<'_>) -> bool {
    config.patience.is_none() && !samples.is_weighted()
}

/// Trains up to [`lanes`] persons to the end, all from `initial`, and writes their parameters behind
/// each other.
///
/// # Errors
/// As [`Training`](crate::Training), for any of the persons, and [`Error::Diverged`] already where a sum might
/// overflow; [`Error::Shape`] unless they have equally many samples, [`Error::OutOfRange`] unless the settings
/// [`fits`]. Nothing is then written to `parameters`.
#[allow(clippy::cast_precision_loss)]
pub fn train(
    network: &Network,
    config: &TrainingConfig,
    people: &[Samples<'_>],
    anchor: Option<&[f32]>,
    initial: &[f32],
    parameters: &mut [f32],
    memory: &mut Memory<'_>,
) -> Result<()> {
    config.check()?;
    network.check_parameters(initial)?;
    let Some(first) = people.first().filter(|_| people.len() <= lanes()) else {
        let actual = people.len() as f64;
        return Err(Error::OutOfRange { argument: "people", expected: "1 to lanes()", actual });
    };
    for person in people {
        person.check_network(network)?;
        check_len("people", first.rows(), person.rows())?;
        if !fits(config, person) {
            let expected = "no patience and no sample weights";
            return Err(Error::OutOfRange { argument: "people", expected, actual: 0.0 });
        }
    }
    if let Some(anchor) = anchor {
        check_len("anchor", network.n_parameters(), anchor.len())?;
        check_finite("anchor", anchor)?;
    }
    check_len("parameters", people.len() * network.n_parameters(), parameters.len())?;
    check_room("memory.floats", floats(network, first.rows()), memory.floats.len())?;
    check_room("memory.order", first.rows(), memory.order.len())?;
    let order = &mut memory.order[..first.rows()];
    for (index, row) in (0..).zip(&mut *order) {
        *row = index;
    }
    simd::train_persons(network, config, people, anchor, initial, parameters, memory.floats, order)
}

/// The numbers of all persons, a vector for each number of one.
struct Numbers<'m, L> {
    parameters: &'m mut [L],
    gradient: &'m mut [L],
    first: &'m mut [L],
    second: &'m mut [L],
    x: &'m mut [L],
    y: &'m mut [L],
    /// Of one block: the outputs of each layer, each `[BLOCK][units]`.
    units: &'m mut [L],
    /// Likewise dL/dz.
    deltas: &'m mut [L],
}

impl<'m, L: Lanes> Numbers<'m, L> {
    fn new(network: &Network, rows: usize, memory: &'m mut [L]) -> Self {
        let n = network.n_parameters();
        let (parameters, rest) = memory.split_at_mut(n);
        let (gradient, rest) = rest.split_at_mut(n);
        let (first, rest) = rest.split_at_mut(n);
        let (second, rest) = rest.split_at_mut(n);
        let (x, rest) = rest.split_at_mut(rows * network.n_inputs());
        let (y, rest) = rest.split_at_mut(rows * network.n_outputs());
        let (units, rest) = rest.split_at_mut(BLOCK * network.n_units());
        let deltas = &mut rest[..BLOCK * network.n_units()];
        Self { parameters, gradient, first, second, x, y, units, deltas }
    }
}

/// At most [`BLOCK`] samples of a batch.
#[derive(Clone, Copy)]
struct Block<'a> {
    rows: &'a [u32],
    /// Samples in the batch.
    batch: usize,
    /// Whether the gradient holds the sums of the batch's earlier blocks.
    begun: bool,
}

/// [`train`] with all arguments checked.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
pub(crate) fn run<V: Vectors>(
    network: &Network,
    config: &TrainingConfig,
    people: &[Samples<'_>],
    anchor: Option<&[f32]>,
    initial: &[f32],
    parameters: &mut [f32],
    memory: &mut [f32],
    order: &mut [u32],
) -> Result<()> {
    let rows = order.len();
    let mut numbers = Numbers::new(network, rows, simd::as_lanes::<V::Wide>(memory));
    for (to, &from) in numbers.parameters.iter_mut().zip(initial) {
        *to = V::Wide::splat(from);
    }
    numbers.first.fill(V::Wide::splat(0.0));
    numbers.second.fill(V::Wide::splat(0.0));
    interleave(people, |person| person.all().0, numbers.x);
    interleave(people, |person| person.all().1, numbers.y);
    let mut generator = SplitMix64::new(config.seed);
    let mut powers = Powers::START;
    for epoch in 1..=config.epochs {
        if config.shuffle {
            generator.shuffle(order);
        }
        for batch in order.chunks(config.batch_size as usize) {
            for (index, rows) in batch.chunks(BLOCK).enumerate() {
                let part = Block { rows, batch: batch.len(), begun: index > 0 };
                if Shape::of(network) == Some(Shape::DEFAULT) {
                    with_usual_activation!(
                        network.hidden(),
                        default_block::<V::Wide>(&mut numbers, part)
                    );
                } else {
                    block(network, &mut numbers, part);
                }
            }
            let mut pace = Pace {
                optimizer: &config.optimizer,
                learning_rate: config.learning_rate,
                l2: config.l2,
                powers: &mut powers,
            };
            take_step(&pace.step(), &mut numbers, anchor);
        }
        // Where a sum might overflow nobody looks closer here: alone, each training does.
        let largest = simd::largest(simd::as_floats(numbers.parameters));
        let second = simd::largest(simd::as_floats(numbers.second));
        let safe = |person: &Samples<'_>| person.cannot_overflow(network, largest);
        if !(second.is_finite() && people.iter().all(safe)) {
            return Err(Error::Diverged { epoch });
        }
        optimizer::settle(simd::as_floats(numbers.first), simd::as_floats(numbers.second));
    }
    let n = network.n_parameters();
    for (index, value) in numbers.parameters.iter().enumerate() {
        let mut lanes = [0.0; MAX_WIDTH];
        value.store(&mut lanes);
        for person in 0..people.len() {
            parameters[person * n + index] = lanes[person];
        }
    }
    Ok(())
}

/// Puts the numbers of all persons side by side; lanes without a person repeat the first.
#[inline(always)]
fn interleave<'a, L: Lanes>(
    people: &[Samples<'a>],
    numbers: impl Fn(&Samples<'a>) -> &'a [f32],
    target: &mut [L],
) {
    let mut sources = [numbers(&people[0]); MAX_WIDTH];
    for (source, person) in sources.iter_mut().zip(people) {
        *source = numbers(person);
    }
    let mut rows = [[0.0; 8]; MAX_WIDTH];
    for (at, target) in (0..).step_by(8).zip(target.chunks_mut(8)) {
        for (row, source) in rows.iter_mut().zip(&sources[..L::WIDTH]) {
            match source[at..].first_chunk() {
                Some(eight) => *row = *eight,
                None => row[..target.len()].copy_from_slice(&source[at..]),
            }
        }
        let columns = L::columns(rows.as_flattened(), 8);
        for (to, from) in target.iter_mut().zip(columns) {
            *to = from;
        }
    }
}

#[inline(always)]
fn take_step<L: Lanes>(step: &Step, numbers: &mut Numbers<'_, L>, anchor: Option<&[f32]>) {
    let n = numbers.parameters.len();
    let Numbers { parameters, gradient, first, second, .. } = numbers;
    let (gradient, first, second) = (&gradient[..n], &mut first[..n], &mut second[..n]);
    if !step.adam && step.decay1 == 0.0 && step.l2 == 0.0 {
        // The moments are not looked at: leave their memory alone.
        for i in 0..n {
            (parameters[i], ..) = step.apply(parameters[i], gradient[i], gradient[i], gradient[i]);
        }
        return;
    }
    for i in 0..n {
        let mut slope = gradient[i];
        if step.l2 > 0.0 {
            let anchor = L::splat(match anchor {
                Some(anchor) => anchor[i],
                None => 0.0,
            });
            slope = step.pull(slope, parameters[i], anchor);
        }
        (parameters[i], first[i], second[i]) =
            step.apply(parameters[i], slope, first[i], second[i]);
    }
}

/// The layers of 10-16-8-1, known to the compiler.
const DEFAULT: [Layer; 3] = [
    Layer { inputs: 10, outputs: 16, weights: 0, biases: 160, activation: Activation::Relu },
    Layer { inputs: 16, outputs: 8, weights: 176, biases: 304, activation: Activation::Relu },
    Layer { inputs: 8, outputs: 1, weights: 312, biases: 320, activation: Activation::Identity },
];

/// Adds the gradient of a block, for the default network.
#[inline(always)]
fn default_block<L: Lanes, A: Activate>(numbers: &mut Numbers<'_, L>, block: Block<'_>) {
    let Numbers { parameters, gradient, x, y, units, deltas, .. } = numbers;
    let (parameters, gradient) = (&parameters[..321], &mut gradient[..321]);
    let (units_1, units) = units.split_at_mut(BLOCK * 16);
    let (units_2, units_3) = units.split_at_mut(BLOCK * 8);
    let (deltas_1, deltas) = deltas.split_at_mut(BLOCK * 16);
    let (deltas_2, deltas_3) = deltas.split_at_mut(BLOCK * 8);
    let [first, second, third] = &DEFAULT;
    let inputs = listed(10, x, block.rows);
    forward::<L, A>(first, parameters, &inputs, units_1);
    let hidden_1 = each(16, units_1);
    forward::<L, A>(second, parameters, &hidden_1, units_2);
    let hidden_2 = each(8, units_2);
    forward::<L, Identity>(third, parameters, &hidden_2, units_3);
    errors(Loss::BceWithLogits, 1, y, block, units_3, deltas_3);
    add_weights(third, gradient, deltas_3, &hidden_2, block);
    backward::<L, A>(third, parameters, deltas_3, units_2, deltas_2);
    add_weights(second, gradient, deltas_2, &hidden_1, block);
    backward::<L, A>(second, parameters, deltas_2, units_1, deltas_1);
    add_weights(first, gradient, deltas_1, &inputs, block);
}

/// As [`default_block`], for any network.
#[inline(always)]
fn block<L: Lanes>(network: &Network, numbers: &mut Numbers<'_, L>, block: Block<'_>) {
    let n_outputs = network.n_outputs();
    let Numbers { parameters, gradient, x, y, units, deltas, .. } = numbers;
    let mut layers = [Layer::default(); MAX_LAYERS];
    let mut depth = 0;
    let mut end = 0;
    let mut rest = &mut **units;
    let mut inputs = listed(network.n_inputs(), x, block.rows);
    for layer in network.layers() {
        layers[depth] = layer;
        depth += 1;
        let (outputs, later) = core::mem::take(&mut rest).split_at_mut(BLOCK * layer.outputs);
        rest = later;
        forward::<L, Identity>(&layer, parameters, &inputs, outputs);
        with_activation!(layer.activation, activate::<L>(outputs));
        inputs = each(layer.outputs, outputs);
        end += BLOCK * layer.outputs;
    }
    let start = end - BLOCK * n_outputs;
    errors(network.loss(), n_outputs, y, block, &units[start..], &mut deltas[start..]);
    for index in (1..depth).rev() {
        let (layer, before) = (&layers[index], &layers[index - 1]);
        end -= BLOCK * layer.outputs;
        let (slopes, current) = deltas.split_at_mut(end);
        let start = end - BLOCK * layer.inputs;
        let (slopes, outputs) = (&mut slopes[start..], &units[start..end]);
        add_weights(layer, gradient, current, &each(layer.inputs, outputs), block);
        backward::<L, Identity>(layer, parameters, current, outputs, slopes);
        with_activation!(before.activation, chain::<L>(slopes, outputs));
    }
    let inputs = listed(network.n_inputs(), x, block.rows);
    add_weights(&layers[0], gradient, deltas, &inputs, block);
}

/// The activation by itself: one copy of the layers serves all of them.
#[inline(always)]
fn activate<L: Lanes, A: Activate>(outputs: &mut [L]) {
    for output in outputs {
        *output = A::apply(*output);
    }
}

#[inline(always)]
fn chain<L: Lanes, A: Activate>(slopes: &mut [L], units: &[L]) {
    for (slope, &unit) in slopes.iter_mut().zip(units) {
        *slope = A::chain(*slope, unit);
    }
}

/// The rows of `n` numbers that are listed; places beyond the last repeat it, and the gradient leaves them out.
#[inline(always)]
fn listed<'a, L>(n: usize, x: &'a [L], rows: &[u32]) -> [&'a [L]; BLOCK] {
    let mut listed = [x; BLOCK];
    for (s, place) in listed.iter_mut().enumerate() {
        *place = &x[rows[s.min(rows.len() - 1)] as usize * n..][..n];
    }
    listed
}

/// The rows of `n` numbers, one after the other.
#[inline(always)]
fn each<L>(n: usize, units: &[L]) -> [&[L]; BLOCK] {
    let mut rows = [units; BLOCK];
    for (s, row) in rows.iter_mut().enumerate() {
        *row = &units[s * n..][..n];
    }
    rows
}

/// Writes dL/dz of the last layer.
#[inline(always)]
#[allow(clippy::cast_precision_loss)]
fn errors<L: Lanes>(
    loss: Loss,
    n_outputs: usize,
    y: &[L],
    block: Block<'_>,
    z: &[L],
    deltas: &mut [L],
) {
    let scale = L::splat(loss.slope() / (block.batch as f32 * n_outputs as f32));
    for (s, &row) in block.rows.iter().enumerate() {
        let y = &y[row as usize * n_outputs..][..n_outputs];
        for k in 0..n_outputs {
            let at = s * n_outputs + k;
            deltas[at] = loss.error(z[at], y[k]).mul(scale);
        }
    }
}

#[inline(always)]
fn forward<L: Lanes, A: Activate>(
    layer: &Layer,
    parameters: &[L],
    inputs: &[&[L]; BLOCK],
    outputs: &mut [L],
) {
    let mut k = 0;
    while k < layer.outputs {
        let units = if k + 2 <= layer.outputs { 2 } else { 1 };
        let mut s = 0;
        // As many sums as the registers hold, so that enough multiply-adds are under way.
        while s < BLOCK {
            match (units, L::WIDTH == MAX_WIDTH) {
                (2, true) => forward_tile::<L, A, 2, 8>(layer, parameters, inputs, outputs, k, s),
                (2, false) => forward_tile::<L, A, 2, 4>(layer, parameters, inputs, outputs, k, s),
                (_, true) => forward_tile::<L, A, 1, 8>(layer, parameters, inputs, outputs, k, s),
                (_, false) => forward_tile::<L, A, 1, 4>(layer, parameters, inputs, outputs, k, s),
            }
            s += if L::WIDTH == MAX_WIDTH { 8 } else { 4 };
        }
        k += units;
    }
}

#[inline(always)]
fn forward_tile<L: Lanes, A: Activate, const UNITS: usize, const SAMPLES: usize>(
    layer: &Layer,
    parameters: &[L],
    inputs: &[&[L]; BLOCK],
    outputs: &mut [L],
    k: usize,
    s: usize,
) {
    let n = layer.inputs;
    let mut x = [&inputs[0][..n]; SAMPLES];
    for t in 0..SAMPLES {
        x[t] = &inputs[s + t][..n];
    }
    let mut weights = [&parameters[..n]; UNITS];
    let mut sums = [[L::splat(0.0); SAMPLES]; UNITS];
    for q in 0..UNITS {
        weights[q] = &parameters[layer.weights + (k + q) * n..][..n];
        sums[q] = [parameters[layer.biases + k + q]; SAMPLES];
    }
    for i in 0..n {
        for t in 0..SAMPLES {
            for q in 0..UNITS {
                sums[q][t] = x[t][i].mul_add(weights[q][i], sums[q][t]);
            }
        }
    }
    for t in 0..SAMPLES {
        for q in 0..UNITS {
            outputs[(s + t) * layer.outputs + k + q] = A::apply(sums[q][t]);
        }
    }
}

/// Adds the gradients of a layer's weights and biases, sample by sample.
#[inline(always)]
fn add_weights<L: Lanes>(
    layer: &Layer,
    gradient: &mut [L],
    deltas: &[L],
    inputs: &[&[L]; BLOCK],
    block: Block<'_>,
) {
    let deltas = &deltas[..block.rows.len() * layer.outputs];
    let mut k = 0;
    while k < layer.outputs {
        let left = (layer.outputs - k, layer.inputs);
        let mut i = 0;
        while i < layer.inputs {
            // As large as the registers allow: 20 sums of 32 registers, or 8 of 16.
            i += match (left.0 >= 4, layer.inputs - i) {
                (true, 5) | (true, 10..) if L::WIDTH == MAX_WIDTH => {
                    weights_tile::<L, 4, 5>(layer, gradient, deltas, inputs, k, i, block.begun)
                }
                (true, 4..) if L::WIDTH == MAX_WIDTH => {
                    weights_tile::<L, 4, 4>(layer, gradient, deltas, inputs, k, i, block.begun)
                }
                (true, 2..) => {
                    weights_tile::<L, 4, 2>(layer, gradient, deltas, inputs, k, i, block.begun)
                }
                (true, _) => {
                    weights_tile::<L, 4, 1>(layer, gradient, deltas, inputs, k, i, block.begun)
                }
                (false, 4..) => {
                    weights_tile::<L, 1, 4>(layer, gradient, deltas, inputs, k, i, block.begun)
                }
                (false, _) => {
                    weights_tile::<L, 1, 1>(layer, gradient, deltas, inputs, k, i, block.begun)
                }
            };
        }
        k += if left.0 >= 4 { 4 } else { 1 };
    }
    let biases = &mut gradient[layer.biases..][..layer.outputs];
    if !block.begun {
        biases.fill(L::splat(0.0));
    }
    for delta in deltas.chunks_exact(layer.outputs) {
        for k in 0..biases.len() {
            biases[k] = biases[k].add(delta[k]);
        }
    }
}

/// Adds the gradients of the weights between `UNITS` outputs from `k` on and `INPUTS` inputs from `i`
/// on; returns `INPUTS`.
#[inline(always)]
fn weights_tile<L: Lanes, const UNITS: usize, const INPUTS: usize>(
    layer: &Layer,
    gradient: &mut [L],
    deltas: &[L],
    inputs: &[&[L]; BLOCK],
    k: usize,
    i: usize,
    begun: bool,
) -> usize {
    let mut sums = [[L::splat(0.0); INPUTS]; UNITS];
    if begun {
        for q in 0..UNITS {
            let row = &gradient[layer.weights + (k + q) * layer.inputs + i..][..INPUTS];
            sums[q].copy_from_slice(row);
        }
    }
    for (delta, x) in deltas.chunks_exact(layer.outputs).zip(inputs) {
        // Both are there. A panic in this loop, even one that never comes, would keep the sums in memory.
        let (Some(delta), Some(x)) = (delta.get(k..k + UNITS), x.get(i..i + INPUTS)) else { break };
        for q in 0..UNITS {
            for r in 0..INPUTS {
                sums[q][r] = delta[q].mul_add(x[r], sums[q][r]);
            }
        }
    }
    for q in 0..UNITS {
        let row = &mut gradient[layer.weights + (k + q) * layer.inputs + i..][..INPUTS];
        row.copy_from_slice(&sums[q]);
    }
    INPUTS
}

/// Writes dL/dz of the layer before `layer`.
#[inline(always)]
fn backward<L: Lanes, A: Activate>(
    layer: &Layer,
    parameters: &[L],
    deltas: &[L],
    inputs: &[L],
    slopes: &mut [L],
) {
    let mut i = 0;
    while i < layer.inputs {
        let pair = i + 2 <= layer.inputs;
        let mut s = 0;
        while s < BLOCK {
            match (pair, L::WIDTH == MAX_WIDTH) {
                (true, true) => {
                    backward_tile::<L, A, 2, 8>(layer, parameters, deltas, inputs, slopes, i, s)
                }
                (true, false) => {
                    backward_tile::<L, A, 2, 4>(layer, parameters, deltas, inputs, slopes, i, s)
                }
                (false, true) => {
                    backward_tile::<L, A, 1, 8>(layer, parameters, deltas, inputs, slopes, i, s)
                }
                (false, false) => {
                    backward_tile::<L, A, 1, 4>(layer, parameters, deltas, inputs, slopes, i, s)
                }
            }
            s += if L::WIDTH == MAX_WIDTH { 8 } else { 4 };
        }
        i += if pair { 2 } else { 1 };
    }
}

#[inline(always)]
fn backward_tile<L: Lanes, A: Activate, const INPUTS: usize, const SAMPLES: usize>(
    layer: &Layer,
    parameters: &[L],
    deltas: &[L],
    inputs: &[L],
    slopes: &mut [L],
    i: usize,
    s: usize,
) {
    let n = layer.outputs;
    let mut delta = [&deltas[..n]; SAMPLES];
    for t in 0..SAMPLES {
        delta[t] = &deltas[(s + t) * n..][..n];
    }
    let mut sums = [[L::splat(0.0); SAMPLES]; INPUTS];
    let matrix = &parameters[layer.weights..][..n * layer.inputs];
    for (k, row) in matrix.chunks_exact(layer.inputs).enumerate() {
        let weights = &row[i..i + INPUTS];
        for t in 0..SAMPLES {
            for r in 0..INPUTS {
                sums[r][t] = if k == 0 {
                    delta[t][k].mul(weights[r])
                } else {
                    delta[t][k].mul_add(weights[r], sums[r][t])
                };
            }
        }
    }
    for t in 0..SAMPLES {
        for r in 0..INPUTS {
            let at = (s + t) * layer.inputs + i + r;
            slopes[at] = A::chain(sums[r][t], inputs[at]);
        }
    }
}
