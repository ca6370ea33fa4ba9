//! Many predictions of one network: lanes are samples.

use crate::{
    kernel,
    lanes::{Lanes, MAX_WIDTH},
    math,
    network::{Activate, Activation, LossSum, Network, Samples, with_usual_activation},
    simd::{self, Vectors},
};

/// Scratch for the widest lanes; with less, rows go one by one.
pub(crate) fn scratch(network: &Network) -> usize {
    MAX_WIDTH * (network.n_inputs() + network.n_units())
}

/// Writes the prediction of every row of `x`, or, not `linked`, its last sums `z`.
///
/// Returns a size that no number of `x` exceeds, not finite if there is a NaN or an infinity; only the
/// default shape looks.
#[inline(always)]
pub(crate) fn predict<V: Vectors>(
    network: &Network,
    parameters: &[f32],
    x: &[f32],
    output: &mut [f32],
    scratch: &mut [f32],
    linked: bool,
) -> f32 {
    let (n_inputs, n_units, n_outputs) =
        (network.n_inputs(), network.n_units(), network.n_outputs());
    let rows = x.len() / n_inputs;
    if let (true, Some(parameters)) = (is_default(network), parameters.first_chunk()) {
        return with_usual_activation!(
            network.hidden(),
            predict_default::<V::Wide>(parameters, network, x, output, linked)
        );
    }
    let mut done = 0;
    if scratch.len() >= V::Wide::WIDTH * (n_inputs + n_units) {
        let width = V::Wide::WIDTH;
        let (columns, units) = scratch.split_at_mut(n_inputs * width);
        while done + width <= rows {
            for lane in 0..width {
                let row = &x[(done + lane) * n_inputs..][..n_inputs];
                for i in 0..n_inputs {
                    columns[i * width + lane] = row[i];
                }
            }
            kernel::forward::<V::Wide>(network, parameters, columns, units);
            for k in 0..n_outputs {
                let z = V::Wide::load(&units[(n_units - n_outputs + k) * width..]);
                let z = if linked { network.loss().link(z) } else { z };
                let mut column = [0.0; MAX_WIDTH];
                z.store(&mut column);
                for lane in 0..width {
                    output[(done + lane) * n_outputs + k] = column[lane];
                }
            }
            done += width;
        }
    }
    while done < rows {
        let row = &x[done * n_inputs..][..n_inputs];
        kernel::forward::<V::One>(network, parameters, row, scratch);
        for k in 0..n_outputs {
            let z = V::One::load(&scratch[n_units - n_outputs + k..]);
            let z = if linked { network.loss().link(z) } else { z };
            z.store(&mut output[done * n_outputs + k..]);
        }
        done += 1;
    }
    0.0
}

/// Whether a network has the default sizes and one of the usual activations.
pub(crate) fn is_default(network: &Network) -> bool {
    network.sizes() == [10, 16, 8, 1]
        && matches!(network.hidden(), Activation::Relu | Activation::Tanh)
}

/// As [`predict`], for 10-16-8-1 with everything in registers.
#[inline(always)]
fn predict_default<L: Lanes, A: Activate>(
    p: &[f32; 321],
    network: &Network,
    x: &[f32],
    output: &mut [f32],
    linked: bool,
) -> f32 {
    let mut padded = [0.0; MAX_WIDTH * 10];
    // The sum of squares bounds every number; cheaper than reading them twice.
    let mut squares = L::splat(0.0);
    for (x, output) in x.chunks(L::WIDTH * 10).zip(output.chunks_mut(L::WIDTH)) {
        let x = if output.len() == L::WIDTH {
            x
        } else {
            padded[..x.len()].copy_from_slice(x);
            &padded[..L::WIDTH * 10]
        };
        // Columns 0 to 7, then 2 to 9: two overlapping squares never read beyond a row.
        let head = L::columns(x, 10);
        let tail = L::columns(&x[2..], 10);
        let inputs = [
            head[0], head[1], head[2], head[3], head[4], head[5], head[6], head[7], tail[6],
            tail[7],
        ];
        for i in 0..10 {
            squares = inputs[i].mul_add(inputs[i], squares);
        }
        let z = default_sum::<L, A>(p, &inputs);
        let z = if linked { network.loss().link(z) } else { z };
        if output.len() == L::WIDTH {
            z.store(output);
        } else {
            let mut lanes = [0.0; MAX_WIDTH];
            z.store(&mut lanes);
            output.copy_from_slice(&lanes[..output.len()]);
        }
    }
    let mut lanes = [0.0; MAX_WIDTH];
    squares.store(&mut lanes);
    // Twice, for the rounding of the sums.
    let most = 2.0 * f32::from_bits(kernel::largest_bits(&lanes[..L::WIDTH]) as u32);
    math::sqrt_f32(most)
}

/// The last sum `z` of a network 10-16-8-1, everything in registers.
#[inline(always)]
pub(crate) fn default_sum<L: Lanes, A: Activate>(p: &[f32; 321], inputs: &[L; 10]) -> L {
    let mut units = [L::splat(0.0); 16];
    for k in 0..16 {
        let mut sum = L::splat(p[160 + k]);
        for i in 0..10 {
            sum = inputs[i].mul_add(L::splat(p[k * 10 + i]), sum);
        }
        units[k] = A::apply(sum);
    }
    let mut z = L::splat(p[320]);
    for j in 0..8 {
        let mut sum = L::splat(p[304 + j]);
        for k in 0..16 {
            sum = units[k].mul_add(L::splat(p[176 + j * 16 + k]), sum);
        }
        z = A::apply(sum).mul_add(L::splat(p[312 + j]), z);
    }
    z
}

/// The mean loss of the rows from `first` on.
pub(crate) fn mean_loss(
    network: &Network,
    parameters: &[f32],
    samples: &Samples<'_>,
    first: usize,
    scratch: &mut [f32],
) -> f64 {
    const BLOCK: usize = 64;
    let n_outputs = network.n_outputs();
    let mut sum = LossSum::default();
    let mut row = first;
    while row < samples.rows() {
        let mut z = [0.0; BLOCK];
        let rows = (samples.rows() - row).min(BLOCK / n_outputs).max(1);
        let (x, y) = samples.span(row, rows);
        if let Some(z) = z.get_mut(..rows * n_outputs) {
            simd::predict(network, parameters, x, z, scratch, false);
            simd::losses(network, z, y);
            for (i, &loss) in z.iter().enumerate() {
                sum.add(loss, samples.weight(row + i / n_outputs));
            }
        } else {
            // A row of more outputs than the block holds: where they are computed, one by one.
            let end = network.n_units();
            kernel::forward::<f32>(network, parameters, x, scratch);
            for (&z, &y) in scratch[end - n_outputs..end].iter().zip(y) {
                sum.add(network.loss().value(z, y), samples.weight(row));
            }
        }
        row += rows;
    }
    sum.mean()
}

/// Turns last sums into losses, in place.
#[inline(always)]
pub(crate) fn losses<V: Vectors>(network: &Network, z: &mut [f32], y: &[f32]) {
    let loss = network.loss();
    let y = &y[..z.len()];
    let mut i = 0;
    while i + V::Wide::WIDTH <= z.len() {
        loss.value(V::Wide::load(&z[i..]), V::Wide::load(&y[i..])).store(&mut z[i..]);
        i += V::Wide::WIDTH;
    }
    while i < z.len() {
        loss.value(V::One::load(&z[i..]), V::One::load(&y[i..])).store(&mut z[i..]);
        i += 1;
    }
}
