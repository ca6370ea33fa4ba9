//! The shape of a network, and what can be asked of it.
//!
//! A [`Network`] is a small copyable description. Its parameters are a flat slice that the caller
//! owns: layer after layer the weights `W [n_out, n_in]`, row-major, then the biases `b [n_out]`.

use crate::{
    error::{Error, Result, check_finite, check_len, check_room},
    kernel::{self, Rows},
    lanes::Lanes,
    loss::Loss,
    math,
    random::SplitMix64,
    rows, simd,
};

/// The most layers a network can have, the input counted.
pub const MAX_LAYERS: usize = 16;
/// The most units a layer can have.
pub const MAX_UNITS: usize = 4096;

/// Sums that are bounded by this in exact arithmetic are finite: half of what single precision holds, so
/// that there is room for rounding.
const SAFE: f64 = 0.5 * f32::MAX as f64;

/// What a hidden unit does with its sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Activation {
    /// `z`
    Identity,
    /// `max(z, 0)`, with derivative 0 at 0
    #[default]
    Relu,
    /// `tanh z`
    Tanh,
    /// `1 / (1 + e⁻ᶻ)`
    Sigmoid,
}

/// An [`Activation`] that the compiler knows, so that no kernel branches on it in its inner loops.
pub(crate) trait Activate {
    /// `f(z)`
    fn apply<L: Lanes>(z: L) -> L;
    /// `slope · f'(z)`, from the output `h = f(z)`.
    fn chain<L: Lanes>(slope: L, h: L) -> L;
}

pub(crate) struct Identity;
pub(crate) struct Relu;
pub(crate) struct Tanh;
pub(crate) struct Sigmoid;

impl Activate for Identity {
    #[inline(always)]
    fn apply<L: Lanes>(z: L) -> L {
        z
    }
    #[inline(always)]
    fn chain<L: Lanes>(slope: L, _: L) -> L {
        slope
    }
}

impl Activate for Relu {
    #[inline(always)]
    fn apply<L: Lanes>(z: L) -> L {
        z.max(L::splat(0.0))
    }
    #[inline(always)]
    fn chain<L: Lanes>(slope: L, h: L) -> L {
        slope.where_positive(h)
    }
}

impl Activate for Tanh {
    #[inline(always)]
    fn apply<L: Lanes>(z: L) -> L {
        math::tanh_lanes(z)
    }
    #[inline(always)]
    fn chain<L: Lanes>(slope: L, h: L) -> L {
        slope.mul(L::splat(1.0).sub(h.mul(h)))
    }
}

impl Activate for Sigmoid {
    #[inline(always)]
    fn apply<L: Lanes>(z: L) -> L {
        math::sigmoid_lanes(z)
    }
    #[inline(always)]
    fn chain<L: Lanes>(slope: L, h: L) -> L {
        slope.mul(h.mul(L::splat(1.0).sub(h)))
    }
}

/// Calls `$function::<$($generic,)* A>(...)` with the type `A` of the activation `$activation`.
macro_rules! with_activation {
    ($activation:expr, $function:ident::<$($generic:ty),*>($($argument:expr),* $(,)?)) => {
        match $activation {
            crate::network::Activation::Identity => {
                $function::<$($generic,)* crate::network::Identity>($($argument),*)
            }
            crate::network::Activation::Relu => {
                $function::<$($generic,)* crate::network::Relu>($($argument),*)
            }
            crate::network::Activation::Tanh => {
                $function::<$($generic,)* crate::network::Tanh>($($argument),*)
            }
            crate::network::Activation::Sigmoid => {
                $function::<$($generic,)* crate::network::Sigmoid>($($argument),*)
            }
        }
    };
}
pub(crate) use with_activation;

/// As [`with_activation`], for those two that the kernels of the default shape know.
macro_rules! with_usual_activation {
    ($activation:expr, $function:ident::<$($generic:ty),*>($($argument:expr),* $(,)?)) => {
        if matches!($activation, crate::network::Activation::Tanh) {
            $function::<$($generic,)* crate::network::Tanh>($($argument),*)
        } else {
            $function::<$($generic,)* crate::network::Relu>($($argument),*)
        }
    };
}
pub(crate) use with_usual_activation;

/// One affine layer: where it is in the flat parameters, and what it is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Layer {
    /// Units that come in.
    pub inputs: usize,
    /// Units that go out.
    pub outputs: usize,
    /// Index of `W[0, 0]`; `W[k, i]` is at `weights + k * inputs + i`.
    pub weights: usize,
    /// Index of `b[0]`.
    pub biases: usize,
    /// What follows the sum. The last layer has [`Activation::Identity`]; the loss adds the link.
    pub activation: Activation,
}

/// A fully connected network: layer sizes, the hidden activation and the loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    sizes: [u16; MAX_LAYERS],
    count: u8,
    hidden: Activation,
    loss: Loss,
}

impl Default for Network {
    /// 10-16-8-1, `ReLU`, binary cross-entropy: 321 parameters.
    fn default() -> Self {
        let mut sizes = [0; MAX_LAYERS];
        sizes[..4].copy_from_slice(&[10, 16, 8, 1]);
        Self { sizes, count: 4, hidden: Activation::Relu, loss: Loss::BceWithLogits }
    }
}

impl Network {
    /// A network with the given layer sizes, the input first.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] unless there are 2 to [`MAX_LAYERS`] layers of 1 to [`MAX_UNITS`] units.
    #[allow(clippy::cast_precision_loss)]
    pub fn new(layers: &[usize], hidden: Activation, loss: Loss) -> Result<Self> {
        if !(2..=MAX_LAYERS).contains(&layers.len()) {
            let expected = "2 to 16 layer sizes, the input first";
            return Err(Error::OutOfRange {
                argument: "layers",
                expected,
                actual: layers.len() as f64,
            });
        }
        let mut sizes = [0; MAX_LAYERS];
        for (size, &units) in sizes.iter_mut().zip(layers) {
            if !(1..=MAX_UNITS).contains(&units) {
                let expected = "layer sizes from 1 to 4096";
                return Err(Error::OutOfRange {
                    argument: "layers",
                    expected,
                    actual: units as f64,
                });
            }
            *size = units as u16;
        }
        Ok(Self { sizes, count: layers.len() as u8, hidden, loss })
    }

    /// The layer sizes, the input first.
    #[must_use]
    #[inline]
    pub fn sizes(&self) -> &[u16] {
        &self.sizes[..usize::from(self.count)]
    }

    /// The activation of every hidden layer.
    #[must_use]
    #[inline]
    pub const fn hidden(&self) -> Activation {
        self.hidden
    }

    /// The loss, which also decides the link of the output.
    #[must_use]
    #[inline]
    pub const fn loss(&self) -> Loss {
        self.loss
    }

    /// Numbers in one input row.
    #[must_use]
    #[inline]
    pub fn n_inputs(&self) -> usize {
        usize::from(self.sizes[0])
    }

    /// Numbers in one prediction.
    #[must_use]
    #[inline]
    pub fn n_outputs(&self) -> usize {
        usize::from(self.sizes[usize::from(self.count) - 1])
    }

    /// Length of the flat parameters.
    #[must_use]
    pub fn n_parameters(&self) -> usize {
        self.layers().map(|layer| layer.outputs * (layer.inputs + 1)).sum()
    }

    /// Units of all layers but the input: the length of the scratch memory of one prediction.
    #[must_use]
    pub fn n_units(&self) -> usize {
        self.sizes()[1..].iter().map(|&units| usize::from(units)).sum()
    }

    /// Length of the scratch memory of [`gradient`](Self::gradient).
    #[must_use]
    pub fn gradient_scratch(&self) -> usize {
        2 * self.n_units()
    }

    /// Length of the scratch memory with which [`predict`](Self::predict) takes many rows at once.
    #[must_use]
    pub fn many_scratch(&self) -> usize {
        rows::scratch(self)
    }

    /// The layers, from the input on.
    #[inline]
    pub fn layers(&self) -> impl Iterator<Item = Layer> + '_ {
        let mut weights = 0;
        let last = usize::from(self.count) - 2;
        self.sizes().windows(2).enumerate().map(move |(index, pair)| {
            let (inputs, outputs) = (usize::from(pair[0]), usize::from(pair[1]));
            let biases = weights + inputs * outputs;
            let activation = if index == last { Activation::Identity } else { self.hidden };
            let layer = Layer { inputs, outputs, weights, biases, activation };
            weights = biases + outputs;
            layer
        })
    }

    /// Writes seeded initial parameters: biases 0, weights uniform in `±a`.
    ///
    /// `a = √(6 / n_in)` before `ReLU` (He et al. 2015), otherwise `√(6 / (n_in + n_out))`
    /// (Glorot & Bengio 2010). Drawn in the order of the flat parameters from
    /// [`SplitMix64::new(seed)`](SplitMix64::new).
    ///
    /// # Errors
    /// [`Error::Shape`] unless `parameters` has [`n_parameters`](Self::n_parameters) elements.
    #[allow(clippy::cast_precision_loss)]
    pub fn initialize(&self, seed: u64, parameters: &mut [f32]) -> Result<()> {
        check_len("parameters", self.n_parameters(), parameters.len())?;
        let mut generator = SplitMix64::new(seed);
        for layer in self.layers() {
            let fan = match layer.activation {
                Activation::Relu => layer.inputs,
                _ => layer.inputs + layer.outputs,
            };
            let bound = math::sqrt_f32(6.0 / fan as f32);
            for weight in &mut parameters[layer.weights..layer.biases] {
                *weight = (2.0 * generator.uniform() - 1.0) * bound;
            }
            parameters[layer.biases..layer.biases + layer.outputs].fill(0.0);
        }
        Ok(())
    }

    /// Refuses parameters of the wrong number, or that are not finite; returns the largest size.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::NonFinite`].
    pub fn check_parameters(&self, parameters: &[f32]) -> Result<f32> {
        check_len("parameters", self.n_parameters(), parameters.len())?;
        check_finite("parameters", parameters)
    }

    /// A size that no sum exceeds, infinite if it is not [`SAFE`], where parameters are at most
    /// `parameter` in size and inputs at most `x`: a sum of `n` inputs within ±m is within
    /// ±`parameter (n m + 1)`.
    fn largest_sum(&self, parameter: f32, x: f32) -> f64 {
        let (parameter, mut size) = (f64::from(parameter), f64::from(x));
        let bounded = matches!(self.hidden, Activation::Tanh | Activation::Sigmoid);
        let mut largest = 0.0_f64;
        for &inputs in &self.sizes()[..usize::from(self.count) - 1] {
            let sum = parameter * (f64::from(inputs) * size + 1.0);
            if sum.is_nan() || sum > SAFE {
                return f64::INFINITY;
            }
            largest = sum.max(largest);
            size = if bounded { 1.0 } else { sum };
        }
        largest
    }

    /// Whether no sum overflows with any parameters and inputs of at most these sizes.
    #[inline]
    pub(crate) fn cannot_overflow(&self, parameter: f32, x: f32) -> bool {
        self.largest_sum(parameter, x) <= SAFE
    }

    /// Refuses finite rows of `x` in which a sum overflows. `largest` and `largest_x` are the largest
    /// sizes of `parameters` and `x`: nearly always they say that none can.
    ///
    /// # Errors
    /// [`Error::Overflow`].
    pub(crate) fn check_sums(
        &self,
        parameters: &[f32],
        largest: f32,
        x: &[f32],
        largest_x: f32,
        scratch: &mut [f32],
    ) -> Result<()> {
        if self.cannot_overflow(largest, largest_x) {
            return Ok(());
        }
        let mut rows = x.chunks_exact(self.n_inputs());
        match rows.position(|x| !kernel::sums_are_finite(self, parameters, x, scratch)) {
            Some(row) => Err(Error::Overflow { row }),
            None => Ok(()),
        }
    }

    /// Writes the predictions for rows of input.
    ///
    /// Per layer `h = f(W x + b)`, each sum from the bias on in the order of the inputs; the last sum
    /// goes through the link of the loss.
    ///
    /// # Shapes
    /// `x`: `[n, n_inputs]` row-major, `output`: `[n, n_outputs]`, `scratch`: at least
    /// [`n_units`](Self::n_units); [`many_scratch`](Self::many_scratch) lets rows go side by side.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::NonFinite`], [`Error::Overflow`]; `output` is then unchanged.
    pub fn predict(
        &self,
        parameters: &[f32],
        x: &[f32],
        output: &mut [f32],
        scratch: &mut [f32],
    ) -> Result<()> {
        let largest = self.check_parameters(parameters)?;
        let rows = self.check_rows(x)?;
        check_len("output", rows * self.n_outputs(), output.len())?;
        check_room("scratch", self.n_units(), scratch.len())?;
        let largest_x = check_finite("x", x)?;
        self.check_sums(parameters, largest, x, largest_x, scratch)?;
        simd::predict(self, parameters, x, output, scratch, true);
        Ok(())
    }

    /// As [`predict`](Self::predict), reading `x` only once.
    ///
    /// # Errors
    /// As [`predict`](Self::predict), but after [`Error::NonFinite`] or [`Error::Overflow`] `output` holds nothing
    /// of use.
    pub fn predict_once(
        &self,
        parameters: &[f32],
        x: &[f32],
        output: &mut [f32],
        scratch: &mut [f32],
    ) -> Result<()> {
        if !rows::is_default(self) {
            return self.predict(parameters, x, output, scratch);
        }
        let largest = self.check_parameters(parameters)?;
        let rows = self.check_rows(x)?;
        check_len("output", rows, output.len())?;
        check_room("scratch", self.n_units(), scratch.len())?;
        let bound = simd::predict(self, parameters, x, output, scratch, true);
        if self.cannot_overflow(largest, bound) {
            return Ok(());
        }
        let largest_x = check_finite("x", x)?;
        self.check_sums(parameters, largest, x, largest_x, scratch)
    }

    /// Writes the gradient of the mean loss and returns the loss.
    ///
    /// The mean is `Σ wₛ lossₛ / Σ wₛ` over samples, and plain over outputs; with all weights 0, loss
    /// and gradient are 0, and with weights that sum to less than 10⁻³⁸ the gradient is 0.
    ///
    /// # Shapes
    /// `gradient`: [`n_parameters`](Self::n_parameters), `scratch`: at least
    /// [`gradient_scratch`](Self::gradient_scratch).
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::NonFinite`], [`Error::Overflow`], and nothing is written; [`Error::NonFinite`] naming
    /// `gradient` if finite numbers were too large for it, which then holds none.
    pub fn gradient(
        &self,
        parameters: &[f32],
        samples: &Samples<'_>,
        gradient: &mut [f32],
        scratch: &mut [f32],
    ) -> Result<f64> {
        let largest = self.check_parameters(parameters)?;
        samples.check_network(self)?;
        check_len("gradient", self.n_parameters(), gradient.len())?;
        check_room("scratch", self.gradient_scratch(), scratch.len())?;
        samples.check_sums(self, parameters, largest, scratch)?;
        let mut sum = LossSum::default();
        let rows = Rows::First(samples.rows());
        simd::batch_gradient(self, parameters, samples, rows, gradient, scratch, Some(&mut sum));
        check_finite("gradient", gradient)?;
        Ok(sum.mean())
    }

    /// The mean loss of the samples, as [`gradient`](Self::gradient) returns it; `scratch`: at least
    /// [`n_units`](Self::n_units).
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::NonFinite`], [`Error::Overflow`].
    pub fn mean_loss(
        &self,
        parameters: &[f32],
        samples: &Samples<'_>,
        scratch: &mut [f32],
    ) -> Result<f64> {
        let largest = self.check_parameters(parameters)?;
        samples.check_network(self)?;
        check_room("scratch", self.n_units(), scratch.len())?;
        samples.check_sums(self, parameters, largest, scratch)?;
        Ok(rows::mean_loss(self, parameters, samples, 0, scratch))
    }

    /// The number of rows in `x`.
    fn check_rows(&self, x: &[f32]) -> Result<usize> {
        let rows = x.len() / self.n_inputs();
        check_len("x", rows * self.n_inputs(), x.len())?;
        Ok(rows)
    }
}

/// A weighted sum of losses on its way to a mean.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct LossSum {
    pub(crate) loss: f64,
    pub(crate) weight: f64,
}

impl LossSum {
    #[inline(always)]
    pub(crate) fn add(&mut self, loss: f32, weight: f32) {
        self.loss += f64::from(loss) * f64::from(weight);
        self.weight += f64::from(weight);
    }

    pub(crate) fn mean(&self) -> f64 {
        if self.weight > 0.0 { self.loss / self.weight } else { 0.0 }
    }
}

/// Training samples that were checked once, so that every step may trust them.
#[derive(Clone, Copy, Debug)]
pub struct Samples<'a> {
    x: &'a [f32],
    y: &'a [f32],
    weights: Option<&'a [f32]>,
    n_inputs: usize,
    n_outputs: usize,
    largest_x: f32,
    largest_y: f32,
}

impl<'a> Samples<'a> {
    /// Samples for `network`.
    ///
    /// # Shapes
    /// `x`: `[n, n_inputs]`, `y`: `[n, n_outputs]`, `sample_weight`: `[n]`, all row-major.
    ///
    /// # Errors
    /// [`Error::Shape`]; [`Error::NonFinite`]; [`Error::OutOfRange`] for a target outside `[0, 1]`
    /// with [`Loss::BceWithLogits`], a weight outside `[0, 1e28]`, or no rows at all.
    pub fn new(
        network: &Network,
        x: &'a [f32],
        y: &'a [f32],
        sample_weight: Option<&'a [f32]>,
    ) -> Result<Self> {
        let rows = network.check_rows(x)?;
        if rows == 0 || u32::try_from(rows).is_err() {
            #[allow(clippy::cast_precision_loss)]
            let actual = rows as f64;
            return Err(Error::OutOfRange {
                argument: "x",
                expected: "1 to 2**32 - 1 rows",
                actual,
            });
        }
        check_len("y", rows * network.n_outputs(), y.len())?;
        let (largest_x, largest_y) = (check_finite("x", x)?, check_finite("y", y)?);
        if network.loss() == Loss::BceWithLogits {
            check_range("y", "targets in [0, 1]", y, |v| (0.0..=1.0).contains(&v))?;
        }
        if let Some(weights) = sample_weight {
            check_len("sample_weight", rows, weights.len())?;
            check_finite("sample_weight", weights)?;
            // So that the sum of as many as there can be is finite.
            let within = |v| (0.0..=1e28).contains(&v);
            check_range("sample_weight", "weights from 0 to 1e28", weights, within)?;
        }
        let (n_inputs, n_outputs) = (network.n_inputs(), network.n_outputs());
        Ok(Self { x, y, weights: sample_weight, n_inputs, n_outputs, largest_x, largest_y })
    }

    /// How many.
    #[must_use]
    #[inline]
    pub fn rows(&self) -> usize {
        self.x.len() / self.n_inputs
    }

    #[inline(always)]
    pub(crate) fn x(&self, row: usize) -> &'a [f32] {
        &self.x[row * self.n_inputs..][..self.n_inputs]
    }

    #[inline(always)]
    pub(crate) fn y(&self, row: usize) -> &'a [f32] {
        &self.y[row * self.n_outputs..][..self.n_outputs]
    }

    #[inline(always)]
    pub(crate) fn weight(&self, row: usize) -> f32 {
        self.weights.map_or(1.0, |weights| weights[row])
    }

    #[inline(always)]
    pub(crate) const fn is_weighted(&self) -> bool {
        self.weights.is_some()
    }

    /// `x` and `y` of all rows.
    #[inline(always)]
    pub(crate) const fn all(&self) -> (&'a [f32], &'a [f32]) {
        (self.x, self.y)
    }

    /// `x` and `y` of `rows` rows from `first` on.
    #[inline(always)]
    pub(crate) fn span(&self, first: usize, rows: usize) -> (&'a [f32], &'a [f32]) {
        let x = &self.x[first * self.n_inputs..][..rows * self.n_inputs];
        (x, &self.y[first * self.n_outputs..][..rows * self.n_outputs])
    }

    /// As [`Network::cannot_overflow`], for sums and losses.
    #[inline]
    pub(crate) fn cannot_overflow(&self, network: &Network, parameter: f32) -> bool {
        let sum = network.largest_sum(parameter, self.largest_x);
        let error = sum + f64::from(self.largest_y);
        sum <= SAFE && (network.loss() == Loss::BceWithLogits || error * error <= SAFE)
    }

    /// As [`Network::check_sums`], for sums and losses.
    pub(crate) fn check_sums(
        &self,
        network: &Network,
        parameters: &[f32],
        largest: f32,
        scratch: &mut [f32],
    ) -> Result<()> {
        if self.cannot_overflow(network, largest) {
            return Ok(());
        }
        let first_output = network.n_units() - network.n_outputs();
        let mut is_finite = |row: usize| {
            kernel::sums_are_finite(network, parameters, self.x(row), scratch) && {
                let mut outputs = scratch[first_output..].iter().zip(self.y(row));
                outputs.all(|(&z, &y)| network.loss().value(z, y).is_finite())
            }
        };
        match (0..self.rows()).find(|&row| !is_finite(row)) {
            Some(row) => Err(Error::Overflow { row }),
            None => Ok(()),
        }
    }

    pub(crate) fn check_network(&self, network: &Network) -> Result<()> {
        check_len("x", network.n_inputs(), self.n_inputs)?;
        check_len("y", network.n_outputs(), self.n_outputs)
    }
}

fn check_range(
    argument: &'static str,
    expected: &'static str,
    values: &[f32],
    inside: impl Fn(f32) -> bool,
) -> Result<()> {
    match values.iter().find(|&&v| !inside(v)) {
        Some(&v) => Err(Error::OutOfRange { argument, expected, actual: f64::from(v) }),
        None => Ok(()),
    }
}
