//! What a generation holds: a model, or the prior of one, as tensors of a [`checkpoint`].
//!
//! | tensor | type | holds |
//! |---|---|---|
//! | `model.config` | F64 | the [`ModelConfig`], see [`encode_config`] |
//! | `prior.network` | F32 | parameters of the prior network, or of several one behind the other; absent without one |
//! | `prior.mean`, `prior.variance` | F64 | of the logistic models' weights |
//! | `prior.experts` | F64 | initial weights of the mixture |
//! | `model.state` | F64 | everything that learns with each outcome |
//! | `model.champion`, `model.challenger` | F32 | the personal network; absent without one |
//!
//! A file without the three last rows is a prior: a model that has learnt nothing yet.

use crate::{
    Activation, Loss, Network, Optimizer, TrainingConfig,
    checkpoint::{self, Checkpoint, Dtype, Elements, Fault, Tensor},
    error::{Error, Result},
    logistic,
    model::{Memory, Model, ModelConfig, N_EXPERTS, Prior},
    network::MAX_LAYERS,
};

/// Length of an encoded [`ModelConfig`].
pub const CONFIG_LEN: usize = 23 + MAX_LAYERS;

/// The most weights of a logistic model, see [`ModelConfig::n_weights`].
pub const MAX_WEIGHTS: usize = logistic::MAX_WEIGHTS;

/// A configuration as numbers, all exact; 64-bit integers as two halves, the lower first.
///
/// In order: inputs; rates (2); share; retention; quick retention; outcomes between retrainings and in
/// one; seed (2); optimiser (0 SGD, 1 Adam); momentum or β₁; β₂; ε; learning rate; epochs; batch size;
/// l2; shuffle; seed of the shuffling (2); layers of the network (0: none); its hidden activation (0
/// identity, 1 `ReLU`, 2 tanh, 3 sigmoid); the layer sizes, then zeros.
#[must_use]
pub fn encode_config(config: &ModelConfig) -> [f64; CONFIG_LEN] {
    let ModelConfig {
        n_inputs,
        rates,
        network,
        share,
        retention,
        quick_retention,
        training,
        retrain_every,
        retrain_window,
        seed,
    } = *config;
    let halves = |value: u64| [f64::from(value as u32), f64::from((value >> 32) as u32)];
    let [rates_low, rates_high] = halves(rates);
    let [seed_low, seed_high] = halves(seed);
    let [shuffle_low, shuffle_high] = halves(training.seed);
    let (optimizer, first, second, epsilon) = match training.optimizer {
        Optimizer::Sgd { momentum } => (0.0, momentum, 0.0, 0.0),
        Optimizer::Adam { beta1, beta2, epsilon } => (1.0, beta1, beta2, epsilon),
    };
    let sizes = network.as_ref().map_or(&[][..], Network::sizes);
    let hidden = network.map_or(Activation::Identity, |network| network.hidden());
    let mut numbers = [0.0; CONFIG_LEN];
    numbers[..23].copy_from_slice(&[
        n_inputs as f64,
        rates_low,
        rates_high,
        share,
        retention,
        quick_retention,
        f64::from(retrain_every),
        f64::from(retrain_window),
        seed_low,
        seed_high,
        optimizer,
        first,
        second,
        epsilon,
        training.learning_rate,
        f64::from(training.epochs),
        f64::from(training.batch_size),
        training.l2,
        f64::from(u8::from(training.shuffle)),
        shuffle_low,
        shuffle_high,
        sizes.len() as f64,
        f64::from(hidden as u8),
    ]);
    for (number, &size) in numbers[23..].iter_mut().zip(sizes) {
        *number = f64::from(size);
    }
    numbers
}

/// The configuration that was [encoded](encode_config).
///
/// # Errors
///
/// [`Error::OutOfRange`] for numbers that no configuration gives.
pub fn decode_config(numbers: &[f64; CONFIG_LEN]) -> Result<ModelConfig> {
    let mut reader = Reader(numbers);
    let n_inputs = reader.integer()? as usize;
    let rates = reader.long()?;
    let [share, retention, quick_retention] = [reader.number(), reader.number(), reader.number()];
    let (retrain_every, retrain_window) = (reader.integer()?, reader.integer()?);
    let seed = reader.long()?;
    let optimizer = reader.integer()?;
    let [first, second, epsilon] = [reader.number(), reader.number(), reader.number()];
    let training = TrainingConfig {
        optimizer: match optimizer {
            0 => Optimizer::Sgd { momentum: first },
            1 => Optimizer::Adam { beta1: first, beta2: second, epsilon },
            _ => return Err(IMPOSSIBLE),
        },
        learning_rate: reader.number(),
        epochs: reader.integer()?,
        batch_size: reader.integer()?,
        l2: reader.number(),
        shuffle: reader.integer()? != 0,
        seed: reader.long()?,
        ..TrainingConfig::default()
    };
    let (layers, hidden) = (reader.integer()? as usize, reader.integer()?);
    let hidden = match hidden {
        0 => Activation::Identity,
        1 => Activation::Relu,
        2 => Activation::Tanh,
        3 => Activation::Sigmoid,
        _ => return Err(IMPOSSIBLE),
    };
    let mut sizes = [0; MAX_LAYERS];
    for size in &mut sizes {
        *size = reader.integer()? as usize;
    }
    let network = match sizes.get(..layers).ok_or(IMPOSSIBLE)? {
        [] => None,
        sizes => Some(Network::new(sizes, hidden, Loss::BceWithLogits)?),
    };
    let config = ModelConfig {
        n_inputs,
        rates,
        network,
        share,
        retention,
        quick_retention,
        training,
        retrain_every,
        retrain_window,
        seed,
    };
    config.check()?;
    Ok(config)
}

const IMPOSSIBLE: Error = Error::OutOfRange {
    argument: "config",
    expected: "the numbers of a configuration",
    actual: f64::NAN,
};

struct Reader<'a>(&'a [f64]);

impl Reader<'_> {
    fn number(&mut self) -> f64 {
        let Some((first, rest)) = self.0.split_first() else { return f64::NAN };
        self.0 = rest;
        *first
    }

    fn integer(&mut self) -> Result<u32> {
        let number = self.number();
        let integer = number as u32; // saturates, so that the comparison finds what does not fit
        if f64::from(integer).to_bits() == number.to_bits() { Ok(integer) } else { Err(IMPOSSIBLE) }
    }

    fn long(&mut self) -> Result<u64> {
        Ok(u64::from(self.integer()?) | u64::from(self.integer()?) << 32)
    }
}

/// Writes a model, and what it needs to go on, into `out`; the number of bytes.
///
/// # Errors
///
/// As [`checkpoint::write`].
pub fn write(
    model: &Model<'_>,
    manifest: &str,
    out: &mut [u8],
) -> core::result::Result<usize, Fault> {
    with_tensors(model, |tensors| checkpoint::write(tensors, manifest, out))
}

/// The number of bytes that [`write()`] needs.
///
/// # Errors
///
/// As [`checkpoint::len`].
pub fn len(model: &Model<'_>, manifest: &str) -> core::result::Result<usize, Fault> {
    with_tensors(model, |tensors| checkpoint::len(tensors, manifest))
}

/// Gives `body` the tensors of a model.
pub fn with_tensors<R>(model: &Model<'_>, body: impl FnOnce(&[Tensor<'_>]) -> R) -> R {
    let (config, prior, memory) = (model.config(), model.prior(), model.memory());
    let numbers = encode_config(config);
    let mut tensors = [Tensor { name: "", elements: Elements::U32(&[]) }; 8];
    let all = [
        Tensor { name: "model.config", elements: Elements::F64(&numbers) },
        Tensor { name: "prior.mean", elements: Elements::F64(prior.mean(config)) },
        Tensor { name: "prior.variance", elements: Elements::F64(prior.variance(config)) },
        Tensor { name: "prior.experts", elements: Elements::F64(prior.experts()) },
        Tensor { name: "model.state", elements: Elements::F64(memory.state) },
        Tensor { name: "prior.network", elements: Elements::F32(prior.network().unwrap_or(&[])) },
        Tensor { name: "model.champion", elements: Elements::F32(memory.champion) },
        Tensor { name: "model.challenger", elements: Elements::F32(memory.challenger) },
    ];
    let present = all.into_iter().filter(|tensor| !tensor.elements.is_empty());
    let count = tensors.iter_mut().zip(present).map(|(slot, tensor)| *slot = tensor).count();
    body(&tensors[..count])
}

/// A verified file that holds a model or a prior.
#[derive(Clone, Copy, Debug)]
pub struct Generation<'a> {
    checkpoint: Checkpoint<'a>,
    config: ModelConfig,
    members: usize,
}

impl<'a> Generation<'a> {
    /// Verifies `bytes` and reads the configuration.
    ///
    /// # Errors
    ///
    /// The [`Fault`] that was found first.
    pub fn open(bytes: &'a [u8]) -> core::result::Result<Self, Fault> {
        let checkpoint = Checkpoint::open(bytes)?;
        let mut numbers = [0.0; CONFIG_LEN];
        checkpoint.expect("model.config", Dtype::F64)?.copy_f64(&mut numbers)?;
        let config = decode_config(&numbers).map_err(|_| Fault::Value)?;
        let members = match checkpoint.tensor("prior.network") {
            None => 0,
            Some(_) => {
                let network = checkpoint.expect("prior.network", Dtype::F32)?;
                config.members(network.len()).ok_or(Fault::Missing)?
            }
        };
        Ok(Self { checkpoint, config, members })
    }

    /// How the model is built.
    #[must_use]
    pub const fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// How many networks the prior has: from 0 to [`MAX_MEMBERS`](crate::model::MAX_MEMBERS).
    #[must_use]
    pub const fn members(&self) -> usize {
        self.members
    }

    /// The prior; `network` is memory for [`ModelConfig::n_parameters`] numbers for each of the
    /// [`members`](Self::members).
    ///
    /// # Errors
    ///
    /// [`Fault::Missing`], [`Fault::Value`].
    pub fn prior<'n>(&self, network: &'n mut [f32]) -> core::result::Result<Prior<'n>, Fault> {
        let n = self.config.n_weights();
        let mut mean = [0.0; MAX_WEIGHTS];
        let mut variance = [0.0; MAX_WEIGHTS];
        let mut experts = [0.0; N_EXPERTS];
        let read = |name, out: &mut [f64]| self.checkpoint.expect(name, Dtype::F64)?.copy_f64(out);
        read("prior.mean", &mut mean[..n])?;
        read("prior.variance", &mut variance[..n])?;
        read("prior.experts", &mut experts)?;
        let network = if self.members > 0 {
            self.checkpoint.expect("prior.network", Dtype::F32)?.copy_f32(network)?;
            Some(&*network)
        } else {
            None
        };
        Prior::new(&self.config, network, &mean[..n], &variance[..n], &experts)
            .map_err(|_| Fault::Value)
    }

    /// Copies the model's memory, where the file holds more than a prior; true if it does.
    ///
    /// # Errors
    ///
    /// [`Fault::Missing`], [`Fault::Value`].
    pub fn memory(&self, memory: &mut Memory<'_>) -> core::result::Result<bool, Fault> {
        let Some(state) = self.checkpoint.tensor("model.state") else { return Ok(false) };
        state.copy_f64(memory.state)?;
        if self.config.network.is_some() {
            let read =
                |name, out: &mut [f32]| self.checkpoint.expect(name, Dtype::F32)?.copy_f32(out);
            read("model.champion", memory.champion)?;
            read("model.challenger", memory.challenger)?;
        }
        Ok(true)
    }
}
