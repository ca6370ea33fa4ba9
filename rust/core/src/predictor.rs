//! One prediction as fast as the machine allows.

use crate::{
    error::{Error, Result},
    lanes::Lanes,
    loss::Loss,
    network::{Activate, Activation, Network, with_usual_activation},
    neurons::Shape,
    simd,
    simd::Vectors,
};

/// A square below this one's could vanish, and with it an input that is out of reach. Weights that call
/// for less overflow with any input, or nearly.
const LEAST_REACH: f32 = 1e-6;

/// A default network (10-16-8-1, `ReLU` or tanh, binary cross-entropy) with its weights laid out for one
/// prediction at a time: lanes are units. The bits are those of [`Network::predict`].
#[derive(Clone, Debug)]
#[repr(align(64))]
pub struct Predictor {
    activation: Activation,
    weights_1: [[f32; 16]; 10],
    biases_1: [f32; 16],
    weights_2: [[f32; 8]; 16],
    biases_2: [f32; 8],
    weights_3: [f32; 8],
    bias_3: f32,
    /// Inputs whose squares add up to at most this cannot make a sum overflow.
    reach: f32,
}

impl Predictor {
    /// Lays out `parameters`; `None` for a network of another shape.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::NonFinite`].
    pub fn new(network: &Network, parameters: &[f32]) -> Result<Option<Self>> {
        let largest = network.check_parameters(parameters)?;
        if Shape::of(network) != Some(Shape::DEFAULT) {
            return Ok(None);
        }
        let mut reach = f32::MAX;
        while reach >= LEAST_REACH && !network.cannot_overflow(largest, reach) {
            reach *= 0.5;
        }
        let p = parameters;
        let mut predictor = Self {
            activation: network.hidden(),
            weights_1: [[0.0; 16]; 10],
            biases_1: [0.0; 16],
            weights_2: [[0.0; 8]; 16],
            biases_2: [0.0; 8],
            weights_3: [0.0; 8],
            bias_3: p[320],
            reach: if reach < LEAST_REACH { -1.0 } else { (reach * reach).min(f32::MAX) },
        };
        for k in 0..16 {
            predictor.biases_1[k] = p[160 + k];
            for i in 0..10 {
                predictor.weights_1[i][k] = p[k * 10 + i];
            }
        }
        for k in 0..8 {
            predictor.biases_2[k] = p[304 + k];
            predictor.weights_3[k] = p[312 + k];
            for i in 0..16 {
                predictor.weights_2[i][k] = p[176 + k * 16 + i];
            }
        }
        Ok(Some(predictor))
    }

    /// The parameters that were laid out.
    fn parameters(&self) -> [f32; 321] {
        let mut p = [0.0; 321];
        for k in 0..16 {
            for i in 0..10 {
                p[k * 10 + i] = self.weights_1[i][k];
            }
            for j in 0..8 {
                p[176 + j * 16 + k] = self.weights_2[k][j];
            }
        }
        p[160..176].copy_from_slice(&self.biases_1);
        p[304..312].copy_from_slice(&self.biases_2);
        p[312..320].copy_from_slice(&self.weights_3);
        p[320] = self.bias_3;
        p
    }

    /// The prediction for one row.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::NonFinite`], [`Error::Overflow`].
    #[inline]
    pub fn predict(&self, x: &[f32]) -> Result<f32> {
        let (Some(row), true) = (x.first_chunk(), x.len() == 10) else {
            return Err(Error::Shape { argument: "x", expected: 10, actual: x.len() });
        };
        let prediction = simd::predict_one(self, row);
        // The kernel marks a row that wants a closer look by an answer that no probability can be.
        if prediction.is_nan() { self.look_closer(row) } else { Ok(prediction) }
    }

    /// The prediction for a row out of reach, if all sums are finite.
    #[cold]
    fn look_closer(&self, row: &[f32; 10]) -> Result<f32> {
        let network = Network::new(&[10, 16, 8, 1], self.activation, Loss::BceWithLogits)?;
        let mut prediction = [0.0];
        network.predict(&self.parameters(), row, &mut prediction, &mut [0.0; 25])?;
        Ok(prediction[0])
    }
}

/// The prediction for one row; NaN if the row is out of reach.
#[inline(always)]
pub(crate) fn predict_one<V: Vectors>(p: &Predictor, x: &[f32; 10]) -> f32 {
    with_usual_activation!(p.activation, predict_activated::<V>(p, x))
}

#[inline(always)]
fn predict_activated<V: Vectors, A: Activate>(p: &Predictor, x: &[f32; 10]) -> f32 {
    let x = simd::one_by_one(x);
    let mut squares = V::Half::splat(0.0);
    for value in x {
        let value = V::Half::splat(value);
        squares = value.mul_add(value, squares);
    }
    let mut size = [0.0; 8];
    squares.store(&mut size);
    let mut units_1 = [0.0; 16];
    let mut unit = 0;
    // Two chains at a time where a vector holds half of the units.
    while unit < 16 {
        let mut low = V::Half::load(&p.biases_1[unit..]);
        let next = unit + V::Half::WIDTH;
        let mut high = V::Half::load(&p.biases_1[next..]);
        for i in 0..10 {
            let input = V::Half::splat(x[i]);
            low = input.mul_add(V::Half::load(&p.weights_1[i][unit..]), low);
            high = input.mul_add(V::Half::load(&p.weights_1[i][next..]), high);
        }
        A::apply(low).store(&mut units_1[unit..]);
        A::apply(high).store(&mut units_1[next..]);
        unit = next + V::Half::WIDTH;
    }
    let mut units_2 = [0.0; 8];
    let mut unit = 0;
    while unit < 8 {
        let mut sum = V::Half::load(&p.biases_2[unit..]);
        for k in 0..16 {
            let weights = V::Half::load(&p.weights_2[k][unit..]);
            sum = V::Half::splat(units_1[k]).mul_add(weights, sum);
        }
        A::apply(sum).store(&mut units_2[unit..]);
        unit += V::Half::WIDTH;
    }
    let mut z = V::One::splat(p.bias_3);
    for k in 0..8 {
        z = V::One::splat(units_2[k]).mul_add(V::One::splat(p.weights_3[k]), z);
    }
    let mut prediction = [0.0];
    Loss::BceWithLogits.link(z).store(&mut prediction);
    if size[0] <= p.reach { prediction[0] } else { f32::NAN }
}
