//! What is served: one person's mixture of experts, which learns one outcome at a time.
//!
//! ```text
//! x, slot ─┬─► running rates ─────────────────────────┐
//!          ├─► logistic models: steady, quick, bold ──┼─► mixture ─► calibration ─► probability
//!          ├─► prior network, one or several ─────────┤
//!          └─► personal network, past the gate ───────┘
//! ```
//!
//! A [`Model`] is a view over memory that the caller owns: one `[f64]` for everything that learns with
//! each outcome, and two flat `[f32]` for the personal network, champion and challenger. The memory is
//! the checkpoint: writing it to a file and reading it back resumes with the same bits.
//!
//! # State
//! In order: retrainings so far (1), running rates ([`rates`], 106), the same before the outcomes that
//! were learnt last (106), the steady, the quick and the bold
//! logistic model (`w + w (w + 1) / 2` each, `w` = [`ModelConfig::n_weights`]), mixture weights
//! ([`EXPERTS`]), calibration (7), gate (6).

use core::iter::once;

use crate::{
    Loss, Optimizer, calibration,
    error::{Error, Result, check_finite, check_len, check_room, require, require_all},
    gate,
    logistic::{self, Gaussian},
    math, mixture,
    network::{Activation, Network, Samples},
    rates::{self, DECAYS, MAX_SLOTS, Rates},
    simd,
    training::{self, Training, TrainingConfig},
};

/// The experts, in the order of their weights.
pub const EXPERTS: [&str; 12] = [
    "rate", "recent_1", "recent_2", "recent_3", "present", "slot", "due", "logistic", "quick",
    "bold", "prior", "personal",
];

/// How many experts there are.
pub const N_EXPERTS: usize = EXPERTS.len();

/// The most inputs a model can have.
pub const MAX_INPUTS: usize = logistic::MAX_WEIGHTS - N_OWN;

/// The most units, input and output included, that a model's network can have.
pub const MAX_NETWORK_UNITS: usize = 256;

/// The most networks of a prior.
pub const MAX_MEMBERS: usize = 16;

/// The largest size of an input. Far beyond it the logistic models' covariances would drown in rounding.
pub const LARGEST_INPUT: f32 = 1e12;

/// What the logistic models see before the inputs: the constant, the running rates, the prior network.
const N_OWN: usize = 1 + 1 + DECAYS.len() + 4 + 1;

/// Where the logistic models are among the experts: steady, quick, bold.
const LOGISTIC: usize = 7;
const N_LOGISTIC: usize = 3;
const PRIOR: usize = 10;
const PERSONAL: usize = 11;

/// How much wider than the prior the bold logistic model starts: for people unlike the others.
const BOLDNESS: f64 = 10.0;

/// Every expert's probability is kept inside `[CLIP, 1 - CLIP]`, so that no loss is infinite.
const CLIP: f64 = 1e-3;

/// The part of the pull that is left where there is no prior to pull to.
const COLD_PULL: f64 = 0.02;

/// The prior network's log odds are kept inside ± this for the logistic models.
const MOST_LOG_ODDS: f64 = 5.0;

/// Rates become log odds inside these bounds for the logistic models and for the networks.
const LOGISTIC_CLIP: f64 = 1e-3;
const NETWORK_CLIP: f64 = 1e-2;

/// How a model is built; the same for everyone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ModelConfig {
    /// Numbers in one input row.
    pub n_inputs: usize,
    /// Bit `i` is set if input `i` is a rate, which is read as log odds.
    pub rates: u64,
    /// The shape of the prior and the personal network; `None` to do without.
    pub network: Option<Network>,
    /// The share `s` of the weights that is dealt out anew after the first outcome, in `[0, 1)`; after
    /// `t` more it is `s / (1 + s t)`.
    pub share: f64,
    /// How much of what was learnt from an outcome the steady and the bold logistic model keep at the
    /// next.
    pub retention: f64,
    /// The same for the quick one.
    pub quick_retention: f64,
    /// How the personal network is trained, each time from where it is. `l2` is the pull towards the
    /// prior as a precision: it is divided by the number of outcomes. Without a prior a fiftieth of it
    /// pulls towards 0.
    pub training: TrainingConfig,
    /// Outcomes between two trainings of the personal network, at least 1.
    pub retrain_every: u32,
    /// The most recent outcomes that a training sees, at least 1.
    pub retrain_window: u32,
    /// The seed of the personal network where there is no prior.
    pub seed: u64,
}

impl ModelConfig {
    /// The defaults for `n_inputs` inputs, those in `rates` being rates, with a network n-16-8-1.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] as in [`check`](Self::check).
    pub fn new(n_inputs: usize, rates: u64) -> Result<Self> {
        let config = Self {
            n_inputs,
            rates,
            network: Some(Network::new(
                &[n_inputs.max(1), 16, 8, 1],
                Activation::Relu,
                Loss::BceWithLogits,
            )?),
            share: 0.02,
            retention: 0.9999,
            quick_retention: 0.985,
            training: TrainingConfig {
                optimizer: Optimizer::Sgd { momentum: 0.0 },
                learning_rate: 0.1,
                epochs: 2,
                l2: 10.0,
                ..TrainingConfig::default()
            },
            retrain_every: 1,
            retrain_window: 365,
            seed: 0,
        };
        config.check()?;
        Ok(config)
    }

    /// Refuses settings outside their range.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] naming the setting.
    #[allow(clippy::cast_precision_loss)]
    pub fn check(&self) -> Result<()> {
        let n = self.n_inputs;
        require((1..=MAX_INPUTS).contains(&n), "n_inputs", "1 to 53 inputs", n as f64)?;
        let unknown = self.rates >> n.min(63);
        require(unknown == 0, "rates", "bits of the inputs only", self.rates as f64)?;
        require((0.0..1.0).contains(&self.share), "share", "a number in [0, 1)", self.share)?;
        for (argument, value) in
            [("retention", self.retention), ("quick_retention", self.quick_retention)]
        {
            require(value > 0.0 && value <= 1.0, argument, "a number in (0, 1]", value)?;
        }
        require(self.retrain_every > 0, "retrain_every", "at least 1", 0.0)?;
        require(self.retrain_window > 0, "retrain_window", "at least 1", 0.0)?;
        let pull = self.training.l2;
        require((0.0..=1e6).contains(&pull), "pull", "a number in [0, 1e6]", pull)?;
        self.training.check()?;
        require(
            self.training.patience.is_none(),
            "training.patience",
            "none: every outcome is needed",
            0.0,
        )?;
        let Some(network) = &self.network else { return Ok(()) };
        let units = network.n_units() + network.n_inputs();
        require(
            network.n_inputs() == n,
            "network",
            "as many inputs as the model",
            network.n_inputs() as f64,
        )?;
        require(network.n_outputs() == 1, "network", "one output", network.n_outputs() as f64)?;
        require(network.loss() == Loss::BceWithLogits, "network", "the loss bce_with_logits", 0.0)?;
        require(units <= MAX_NETWORK_UNITS, "network", "at most 256 units", units as f64)
    }

    /// Weights of a logistic model: 11 for the constant, the running rates and the prior network, then the
    /// inputs.
    #[must_use]
    pub const fn n_weights(&self) -> usize {
        N_OWN + self.n_inputs
    }

    /// Length of [`Memory::state`].
    #[must_use]
    pub const fn n_state(&self) -> usize {
        1 + 2 * rates::LEN
            + N_LOGISTIC * logistic::len(self.n_weights())
            + N_EXPERTS
            + calibration::LEN
            + gate::LEN
    }

    /// Length of [`Memory::champion`] and of [`Memory::challenger`].
    #[must_use]
    pub fn n_parameters(&self) -> usize {
        self.network.as_ref().map_or(0, Network::n_parameters)
    }

    /// How many networks one behind the other have `len` parameters, if that is 1 to [`MAX_MEMBERS`];
    /// 0 of a model without networks.
    #[must_use]
    pub fn members(&self, len: usize) -> Option<usize> {
        let Some(network) = &self.network else { return (len == 0).then_some(0) };
        let one = network.n_parameters();
        (1..=MAX_MEMBERS).find(|members| members * one == len)
    }

    /// Refuses parameters of the networks that are not finite, or with which a sum might overflow.
    fn check_network(&self, argument: &'static str, parameters: &[f32]) -> Result<()> {
        let largest = check_finite(argument, parameters)?;
        let is_safe = |network: &Network| network.cannot_overflow(largest, LARGEST_INPUT);
        let holds = self.network.as_ref().is_none_or(is_safe);
        require(holds, argument, "parameters with which no sum overflows", largest.into())
    }

    /// Whether input `i` is a rate.
    const fn is_rate(&self, i: usize) -> bool {
        self.rates >> i & 1 == 1
    }
}

/// What a model knows before the first outcome of its person.
#[derive(Clone, Copy, Debug)]
pub struct Prior<'a> {
    network: Option<&'a [f32]>,
    /// How many networks that is.
    members: usize,
    mean: [f64; logistic::MAX_WEIGHTS],
    variance: [f64; logistic::MAX_WEIGHTS],
    experts: [f64; N_EXPERTS],
}

impl<'a> Prior<'a> {
    /// Nothing from other people: fixed weights that say "the rates are about right", no network.
    ///
    /// Means: overall rate 0.65; moving rates 0, 0, 0.1, 0.1; slot 0.35; after 0.25; last outcome and last in
    /// the slot 0.1; inputs that are rates 0.1; all else 0. Variances: constant 0.5; running rates and
    /// network 0.1; inputs that are rates 0.25, other inputs 0.5.
    #[must_use]
    pub fn uninformed(config: &ModelConfig) -> Self {
        let mut mean = [0.0; logistic::MAX_WEIGHTS];
        mean[..N_OWN].copy_from_slice(&[0.0, 0.65, 0.0, 0.0, 0.1, 0.1, 0.35, 0.25, 0.1, 0.1, 0.0]);
        let mut variance = [0.1; logistic::MAX_WEIGHTS];
        variance[0] = 0.5;
        for i in 0..config.n_inputs.min(MAX_INPUTS) {
            (mean[N_OWN + i], variance[N_OWN + i]) =
                if config.is_rate(i) { (0.1, 0.25) } else { (0.0, 0.5) };
        }
        let experts = [0.07, 0.01, 0.01, 0.02, 0.08, 0.03, 0.02, 0.28, 0.46, 0.03, 0.12, 0.04];
        let experts = normalised(experts, config, false);
        Self { network: None, members: 0, mean, variance, experts }
    }

    /// A prior that was trained on other people.
    ///
    /// # Shapes
    /// `network`: the parameters, or none, or those of up to [`MAX_MEMBERS`] networks one behind the
    /// other, whose log odds are averaged; `mean`, `variance`: [`ModelConfig::n_weights`], of the
    /// logistic models' weights; `experts`: [`N_EXPERTS`], the initial weights of the mixture (made to
    /// sum to 1 over the experts that there are).
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::NonFinite`], or [`Error::OutOfRange`] for a parameter, a variance or a weight.
    pub fn new(
        config: &ModelConfig,
        network: Option<&'a [f32]>,
        mean: &[f64],
        variance: &[f64],
        experts: &[f64],
    ) -> Result<Self> {
        config.check()?;
        let n = config.n_weights();
        check_len("mean", n, mean.len())?;
        check_len("variance", n, variance.len())?;
        check_len("experts", N_EXPERTS, experts.len())?;
        let mut members = 0;
        if let Some(parameters) = network {
            let (expected, actual) = (config.n_parameters(), parameters.len());
            let shape = Error::Shape { argument: "network", expected, actual };
            members = config.members(actual).ok_or(shape)?;
            config.check_network("network", parameters)?;
        }
        require_all("mean", "weights between -100 and 100", mean, -100.0..=100.0)?;
        require_all("variance", "variances between 0 and 100", variance, 0.0..=100.0)?;
        require_all("experts", "weights between 0 and 1", experts, 0.0..=1.0)?;
        let mut prior = Self::uninformed(config);
        prior.network = network.filter(|_| members > 0);
        prior.members = members;
        prior.mean[..n].copy_from_slice(mean);
        prior.variance[..n].copy_from_slice(variance);
        prior.experts.copy_from_slice(experts);
        prior.experts = normalised(prior.experts, config, network.is_some());
        let is_any = prior.experts.iter().any(|&w| w > 0.0);
        require(is_any, "experts", "a weight above 0 for an expert that there is", 0.0)?;
        Ok(prior)
    }

    /// The parameters of the network, if there is one; of several, one behind the other.
    #[must_use]
    pub const fn network(&self) -> Option<&'a [f32]> {
        self.network
    }

    /// The parameters of the first network: where the personal one begins, and what it is pulled to.
    fn anchor(&self, config: &ModelConfig) -> Option<&'a [f32]> {
        self.network.map(|parameters| &parameters[..config.n_parameters()])
    }

    /// The initial weights of the mixture.
    #[must_use]
    pub const fn experts(&self) -> &[f64; N_EXPERTS] {
        &self.experts
    }

    /// The mean of the logistic models' weights.
    #[must_use]
    pub fn mean(&self, config: &ModelConfig) -> &[f64] {
        &self.mean[..config.n_weights()]
    }

    /// The variance of the logistic models' weights.
    #[must_use]
    pub fn variance(&self, config: &ModelConfig) -> &[f64] {
        &self.variance[..config.n_weights()]
    }

    /// Where the `i`-th logistic model starts.
    fn gaussian(&self, n: usize, i: usize) -> Gaussian<'_> {
        let scale = if i == 2 { BOLDNESS } else { 1.0 };
        Gaussian { mean: &self.mean[..n], variance: &self.variance[..n], scale }
    }
}

/// The weights, 0 for the experts that there are not, made to sum to 1.
fn normalised(
    mut weights: [f64; N_EXPERTS],
    config: &ModelConfig,
    has_prior: bool,
) -> [f64; N_EXPERTS] {
    if !has_prior {
        weights[PRIOR] = 0.0;
    }
    if config.network.is_none() {
        weights[PRIOR] = 0.0;
        weights[PERSONAL] = 0.0;
    }
    let total = weights.iter().fold(0.0, |sum, w| sum + w);
    // Weights that sum to 1 stay as they are, so that what was stored is read back bit for bit.
    if total > 0.0 && (total - 1.0).abs() > 1e-12 {
        for w in &mut weights {
            *w /= total;
        }
    }
    weights
}

/// The memory of a model.
#[derive(Debug)]
pub struct Memory<'m> {
    /// [`ModelConfig::n_state`] numbers: everything that learns with each outcome.
    pub state: &'m mut [f64],
    /// [`ModelConfig::n_parameters`] numbers: the personal network that is served.
    pub champion: &'m mut [f32],
    /// The same: the one that was trained last.
    pub challenger: &'m mut [f32],
}

/// The buffers of one training of the personal network.
#[derive(Debug)]
pub struct Scratch<'m> {
    /// At least [`training::Memory::floats`] of the network.
    pub floats: &'m mut [f32],
    /// At least [`ModelConfig::retrain_window`] numbers, or one for each outcome if there are fewer.
    pub order: &'m mut [u32],
}

/// One prediction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prediction {
    /// The calibrated probability: what is served.
    pub probability: f64,
    /// The mixture before calibration.
    pub mixture: f64,
    /// What each of the [`EXPERTS`] says.
    pub experts: [f64; N_EXPERTS],
}

/// One person's model.
#[derive(Debug)]
pub struct Model<'m> {
    config: &'m ModelConfig,
    prior: &'m Prior<'m>,
    memory: Memory<'m>,
}

/// The parts of [`Memory::state`], to read or to write.
struct Parts<S> {
    /// One number.
    retrainings: S,
    rates: S,
    rates_before: S,
    /// One behind the other.
    logistic: S,
    weights: S,
    calibration: S,
    gate: S,
}

impl<S: Split> Parts<S> {
    fn of(state: S, config: &ModelConfig) -> Self {
        let (retrainings, rest) = state.split(1);
        let (rates, rest) = rest.split(rates::LEN);
        let (rates_before, rest) = rest.split(rates::LEN);
        let (logistic, rest) = rest.split(N_LOGISTIC * logistic::len(config.n_weights()));
        let (weights, rest) = rest.split(N_EXPERTS);
        let (calibration, gate) = rest.split(calibration::LEN);
        Self { retrainings, rates, rates_before, logistic, weights, calibration, gate }
    }
}

/// A slice that is cut in two, whether to read or to write.
trait Split: Sized {
    fn split(self, at: usize) -> (Self, Self);
}

impl Split for &[f64] {
    fn split(self, at: usize) -> (Self, Self) {
        self.split_at(at)
    }
}

impl Split for &mut [f64] {
    fn split(self, at: usize) -> (Self, Self) {
        self.split_at_mut(at)
    }
}

/// What came of a moment.
#[derive(Clone, Copy, Debug)]
pub struct Outcome<'a> {
    /// The input of the moment.
    pub x: &'a [f32],
    /// Its slot.
    pub slot: usize,
    /// Whether the target occurred in its window.
    pub positive: bool,
    /// Whether other outcomes were learnt between the moment and now, as with windows that begin
    /// only after the next moment.
    pub late: bool,
}

impl Outcome<'_> {
    const NOTHING: Self = Self { x: &[], slot: 0, positive: false, late: false };
}

/// The most outcomes that are judged together; more are taken in by groups of so many.
pub(crate) const MAX_TOGETHER: usize = MAX_SLOTS;

/// What was stated of a moment before its outcome.
#[derive(Clone, Copy)]
struct Stated {
    z: [f64; logistic::MAX_WEIGHTS],
    /// The last outcome and the misses in a row, as it was judged.
    known: (f64, f64),
    said: Prediction,
    challenger: Option<f64>,
}

impl Stated {
    const NOTHING: Self = Self {
        z: [0.0; logistic::MAX_WEIGHTS],
        known: (0.0, 0.0),
        said: Prediction { probability: 0.0, mixture: 0.0, experts: [0.0; N_EXPERTS] },
        challenger: None,
    };
}

/// What the experts see of one moment.
struct Seen<'z> {
    rates: Rates,
    /// What the networks see, then zeros.
    input: [f32; MAX_INPUTS],
    /// The prior network's log odds; of several, their average.
    network: Option<f64>,
    /// The input of the logistic models.
    z: &'z [f64],
}

impl<'m> Model<'m> {
    /// The model of a person without history; overwrites `memory`.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for a setting, [`Error::Shape`] for `memory` or for a prior of another network.
    pub fn new(config: &'m ModelConfig, prior: &'m Prior<'m>, memory: Memory<'m>) -> Result<Self> {
        let mut model = Self::attach(config, prior, memory)?;
        let n = config.n_weights();
        let parts = model.parts();
        parts.retrainings[0] = 0.0;
        rates::reset(parts.rates);
        rates::reset(parts.rates_before);
        for (i, state) in parts.logistic.chunks_exact_mut(logistic::len(n)).enumerate() {
            logistic::reset(state, prior.gaussian(n, i));
        }
        parts.weights.copy_from_slice(&prior.experts);
        calibration::reset(parts.calibration);
        gate::reset(parts.gate);
        let Some(network) = &config.network else { return Ok(model) };
        match prior.anchor(config) {
            Some(parameters) => model.memory.challenger.copy_from_slice(parameters),
            None => network.initialize(config.seed, model.memory.challenger)?,
        }
        model.memory.champion.copy_from_slice(model.memory.challenger);
        Ok(model)
    }

    /// The model whose memory was written down earlier.
    ///
    /// # Errors
    /// As [`new`](Self::new); [`Error::NonFinite`] or [`Error::OutOfRange`] for numbers that no
    /// history leads to. `memory` is unchanged.
    pub fn resume(
        config: &'m ModelConfig,
        prior: &'m Prior<'m>,
        memory: Memory<'m>,
    ) -> Result<Self> {
        if let Some(index) = memory.state.iter().position(|v| !v.is_finite()) {
            return Err(Error::NonFinite { argument: "state", index });
        }
        config.check_network("champion", memory.champion)?;
        config.check_network("challenger", memory.challenger)?;
        let model = Self::attach(config, prior, memory)?;
        let view = model.view();
        let retrainings = view.retrainings[0];
        let is_count = (0.0..=1e15).contains(&retrainings);
        require(is_count, "state", "a count of retrainings", retrainings)?;
        rates::check(view.rates)?;
        rates::check(view.rates_before)?;
        for state in view.logistic.chunks_exact(logistic::len(config.n_weights())) {
            logistic::check(state, config.n_weights())?;
        }
        mixture::check(view.weights)?;
        calibration::check(view.calibration)?;
        gate::check(view.gate)?;
        Ok(model)
    }

    /// The model whose memory never left this program: as [`resume`](Self::resume), at no cost.
    ///
    /// # Errors
    /// As [`new`](Self::new). Numbers that did not come from a model give predictions that mean nothing.
    pub fn attach(
        config: &'m ModelConfig,
        prior: &'m Prior<'m>,
        memory: Memory<'m>,
    ) -> Result<Self> {
        config.check()?;
        check_len("state", config.n_state(), memory.state.len())?;
        check_len("champion", config.n_parameters(), memory.champion.len())?;
        check_len("challenger", config.n_parameters(), memory.challenger.len())?;
        if let Some(network) = prior.network {
            check_len("prior", prior.members * config.n_parameters(), network.len())?;
        }
        Ok(Self { config, prior, memory })
    }

    /// How probable the target is at a moment with input `x` in slot `slot`.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::NonFinite`], [`Error::OutOfRange`] for `x` or `slot`.
    pub fn predict(&self, x: &[f32], slot: usize) -> Result<Prediction> {
        self.check_input(x, slot)?;
        let mut z = [0.0; logistic::MAX_WEIGHTS];
        let seen = self.see(self.view().rates, x, slot, &mut z);
        Ok(self.prediction(&seen))
    }

    /// Takes in the outcome of a moment: [`learn_together`](Self::learn_together) of one.
    ///
    /// # Errors
    /// As [`predict`](Self::predict); nothing is then changed.
    pub fn learn(&mut self, x: &[f32], slot: usize, outcome: bool) -> Result<()> {
        self.check_input(x, slot)?;
        self.learn_all(&mut once(Outcome { x, slot, positive: outcome, late: false }));
        Ok(())
    }

    /// Takes in the outcomes of moments whose labels became known together, in time order.
    ///
    /// The order matters, and is the whole of the bookkeeping: every part is first judged by what it
    /// says without any of these outcomes (weights, calibration, gate), and then learns from them.
    /// A [late](Outcome::late) one sees the rates of before the last call, as its moment did: what came
    /// between is not to be had when it counts.
    /// Windows that end together tell of the same events, so `m` outcomes count as `1 / m` each.
    /// More than 24 are taken in by groups of that many.
    ///
    /// # Errors
    /// As [`predict`](Self::predict); nothing is then changed.
    pub fn learn_together<'a>(
        &mut self,
        mut outcomes: impl Iterator<Item = Outcome<'a>> + Clone,
    ) -> Result<()> {
        for outcome in outcomes.clone() {
            self.check_input(outcome.x, outcome.slot)?;
        }
        self.learn_all(&mut outcomes);
        Ok(())
    }

    /// [`learn_together`](Self::learn_together) of outcomes that were checked.
    pub(crate) fn learn_all<'a>(&mut self, outcomes: &mut dyn Iterator<Item = Outcome<'a>>) {
        let mut rates_before = [0.0; rates::LEN];
        rates_before.copy_from_slice(self.view().rates);
        let mut group = [Outcome::NOTHING; MAX_TOGETHER];
        let mut learnt = false;
        loop {
            let mut n = 0;
            for (place, outcome) in group.iter_mut().zip(&mut *outcomes) {
                *place = outcome;
                n += 1;
            }
            if n == 0 {
                break;
            }
            self.learn_group(&group[..n]);
            learnt = true;
        }
        if learnt {
            self.parts().rates_before.copy_from_slice(&rates_before);
        }
    }

    /// Takes in 1 to [`MAX_TOGETHER`] outcomes that were checked.
    #[inline(never)] // in one place it would take in a copy of all that `predict` calls
    fn learn_group(&mut self, outcomes: &[Outcome<'_>]) {
        #[allow(clippy::cast_precision_loss)]
        let part = 1.0 / outcomes.len() as f64;
        let mut stated = [Stated::NOTHING; MAX_TOGETHER];
        for (stated, outcome) in stated.iter_mut().zip(outcomes) {
            let view = self.view();
            let rates = if outcome.late { view.rates_before } else { view.rates };
            let seen = self.see(rates, outcome.x, outcome.slot, &mut stated.z);
            (stated.known, stated.said) =
                ((seen.rates.last, seen.rates.misses), self.prediction(&seen));
            stated.challenger = self.challenger(&seen.input);
        }
        let (config, prior) = (self.config, self.prior);
        let n = config.n_weights();
        let retention = [config.retention, config.quick_retention, config.retention];
        let parts = self.parts();
        let promoted = stated[0].challenger.is_some()
            && gate::learn(
                parts.gate,
                stated.iter().zip(outcomes).map(|(stated, outcome)| {
                    let champion = stated.said.experts[PERSONAL];
                    (champion, stated.challenger.unwrap_or(champion), outcome.positive)
                }),
            );
        let share = part * mixture::share(config.share, rates::outcomes(parts.rates));
        rates::fade(parts.rates);
        for (stated, outcome) in stated.iter().zip(outcomes) {
            let said = &stated.said;
            let positive = outcome.positive;
            mixture::learn(parts.weights, &prior.experts, &said.experts, positive, part, share);
            calibration::learn(parts.calibration, said.mixture, positive, part, share);
            let y = f64::from(u8::from(positive));
            for (i, state) in parts.logistic.chunks_exact_mut(logistic::len(n)).enumerate() {
                let z = &stated.z[..n];
                logistic::learn(state, z, y, part, prior.gaussian(n, i), retention[i]);
            }
            rates::learn(parts.rates, outcome.slot, y, part, stated.known);
        }
        if promoted {
            self.memory.champion.copy_from_slice(self.memory.challenger);
        }
    }

    /// Trains the challenger on inputs (as [`network_input`](Self::network_input) writes them) and
    /// outcomes, from where it is, pulled towards the prior. `parts` are the parts of one that the
    /// outcomes count as.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::NonFinite`], [`Error::Diverged`]; nothing is then changed.
    pub fn retrain(
        &mut self,
        inputs: &[f32],
        outcomes: &[f32],
        parts: &[f32],
        scratch: &mut Scratch<'_>,
    ) -> Result<()> {
        let Some(network) = &self.config.network else { return Ok(()) };
        check_len("parts", outcomes.len(), parts.len())?;
        // The usual weights cost no time.
        let weights = if parts.iter().all(|&part| part == 1.0) { None } else { Some(parts) };
        let samples = Samples::new(network, inputs, outcomes, weights)?;
        let mut config = self.config.training;
        let counted = parts.iter().fold(0.0, |sum, &part| sum + f64::from(part));
        let pull = if self.prior.network.is_some() { config.l2 } else { COLD_PULL * config.l2 };
        // A larger pull would step past the prior.
        config.l2 = (pull / counted).min(1.0 / config.learning_rate);
        let mut memory =
            training::Memory { floats: &mut *scratch.floats, order: &mut *scratch.order };
        let mut training =
            Training::start(network, &config, &samples, self.memory.challenger, &mut memory)?;
        let mut go_on = |_: &training::Progress| core::ops::ControlFlow::Continue(());
        let anchor = self.prior.anchor(self.config);
        training.run(&samples, anchor, &mut memory, u64::MAX, &mut go_on)?;
        let trained = training.parameters(&memory);
        if self.config.check_network("challenger", trained).is_err() {
            return Err(Error::Diverged { epoch: training.epoch() });
        }
        self.memory.challenger.copy_from_slice(trained);
        self.parts().retrainings[0] += 1.0;
        Ok(())
    }

    /// Writes what the networks see of `x`: half the log odds of a rate, anything else as it is.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::NonFinite`].
    pub fn network_input(&self, x: &[f32], out: &mut [f32]) -> Result<()> {
        self.check_input(x, 0)?;
        check_len("out", x.len(), out.len())?;
        self.write_network_input(x, out);
        Ok(())
    }

    /// What the calibration makes of a probability of the mixture: strictly increasing, the identity
    /// before the first outcome.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] unless `probability` is inside (0, 1).
    pub fn calibrate(&self, probability: f64) -> Result<f64> {
        let inside = probability > 0.0 && probability < 1.0;
        require(inside, "probability", "a number inside (0, 1)", probability)?;
        Ok(calibration::apply(self.view().calibration, probability))
    }

    /// Outcomes taken in so far; those that were learnt together count as one, up to rounding.
    #[must_use]
    pub fn outcomes(&self) -> f64 {
        rates::outcomes(self.view().rates)
    }

    /// Challengers promoted so far: the personal network that is served is that of the last one; 0 serves none.
    #[must_use]
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    pub fn promotions(&self) -> u32 {
        gate::promotions(self.view().gate) as u32
    }

    /// The weights of the [`EXPERTS`] now.
    #[must_use]
    pub fn weights(&self) -> &[f64] {
        self.view().weights
    }

    /// The mean of the steady logistic model's weights now; before the first outcome that of the
    /// [`Prior`].
    #[must_use]
    pub fn mean(&self) -> &[f64] {
        self.steady().0
    }

    /// The variances of the steady logistic model's weights now, in the order of [`mean`](Self::mean).
    pub fn variance(&self) -> impl ExactSizeIterator<Item = f64> {
        logistic::variances(self.steady().1, self.config.n_weights())
    }

    /// The steady logistic model: mean and covariance.
    fn steady(&self) -> (&[f64], &[f64]) {
        let n = self.config.n_weights();
        self.view().logistic[..logistic::len(n)].split_at(n)
    }

    /// How the model is built.
    #[must_use]
    pub const fn config(&self) -> &'m ModelConfig {
        self.config
    }

    /// What it knew before the first outcome.
    #[must_use]
    pub const fn prior(&self) -> &'m Prior<'m> {
        self.prior
    }

    /// The memory, as it is written to a checkpoint.
    #[must_use]
    pub const fn memory(&self) -> &Memory<'m> {
        &self.memory
    }

    fn check_input(&self, x: &[f32], slot: usize) -> Result<()> {
        check_len("x", self.config.n_inputs, x.len())?;
        check_inputs(x)?;
        #[allow(clippy::cast_precision_loss)]
        require(slot < MAX_SLOTS, "slot", "a slot from 0 to 23", slot as f64)
    }

    /// What every part says, from the same rates.
    fn prediction(&self, seen: &Seen<'_>) -> Prediction {
        let view = self.view();
        let (rates, z) = (&seen.rates, seen.z);
        let mut experts = [0.0; N_EXPERTS];
        experts[0] = rates.overall;
        // The fastest is only for the logistic models: on its own it says too much.
        experts[1..=3].copy_from_slice(&rates.moving[..3]);
        experts[4] = rates.present;
        experts[5] = rates.slot;
        experts[6] = rates.due;
        let logistic = view.logistic.chunks_exact(logistic::len(z.len()));
        for (p, state) in experts[LOGISTIC..].iter_mut().zip(logistic) {
            *p = math::sigmoid(logistic::log_odds(state, z));
        }
        experts[PRIOR] = seen.network.map_or(rates.overall, math::sigmoid);
        experts[PERSONAL] = if gate::promotions(view.gate) > 0.0 {
            math::sigmoid(self.network_says(self.memory.champion, &seen.input))
        } else {
            experts[PRIOR]
        };
        for p in &mut experts {
            *p = p.clamp(CLIP, 1.0 - CLIP);
        }
        let mixture = mixture::mix(view.weights, &experts);
        Prediction { probability: calibration::apply(view.calibration, mixture), mixture, experts }
    }

    /// What the challenger says, once it was trained.
    fn challenger(&self, input: &[f32]) -> Option<f64> {
        let trained = self.config.network.is_some() && self.view().retrainings[0] > 0.0;
        trained.then(|| {
            math::sigmoid(self.network_says(self.memory.challenger, input)).clamp(CLIP, 1.0 - CLIP)
        })
    }

    /// The log odds that a network gives to what it sees.
    fn network_says(&self, parameters: &[f32], input: &[f32]) -> f64 {
        let Some(network) = &self.config.network else { return 0.0 };
        let input = &input[..self.config.n_inputs];
        let (mut z, mut scratch) = ([0.0], [0.0; MAX_NETWORK_UNITS]);
        simd::predict(network, parameters, input, &mut z, &mut scratch, false);
        f64::from(z[0])
    }

    /// The average of the log odds that the prior's networks give.
    #[allow(clippy::cast_precision_loss)]
    fn prior_says(&self, parameters: &[f32], input: &[f32]) -> f64 {
        let members = parameters.chunks_exact(self.config.n_parameters());
        let n = members.len() as f64;
        members.fold(0.0, |sum, member| sum + self.network_says(member, input)) / n
    }

    fn write_network_input(&self, x: &[f32], out: &mut [f32]) {
        for (i, (&x, out)) in x.iter().zip(out).enumerate() {
            #[allow(clippy::cast_possible_truncation)]
            let half_log_odds = |x| (0.5 * log_odds(x, NETWORK_CLIP)) as f32;
            *out = if self.config.is_rate(i) { half_log_odds(x.into()) } else { x };
        }
    }

    /// What the experts see of `x`. The logistic models: the constant; the overall rate's log odds; those
    /// of the other rates relative to it; the last outcomes around 0; the prior network relative to the
    /// overall rate (0 without one); the inputs, rates likewise relative, the others as they are.
    fn see<'z>(&self, rates: &[f64], x: &[f32], slot: usize, z: &'z mut [f64]) -> Seen<'z> {
        let rates = rates::read(rates, slot);
        let mut input = [0.0; MAX_INPUTS];
        if self.config.network.is_some() {
            self.write_network_input(x, &mut input);
        }
        let network = self.prior.network.map(|parameters| self.prior_says(parameters, &input));
        let overall = log_odds(rates.overall, LOGISTIC_CLIP);
        let relative = |rate| log_odds(rate, LOGISTIC_CLIP) - overall;
        z[0] = 1.0;
        z[1] = overall;
        for (z, &rate) in z[2..].iter_mut().zip(&rates.moving) {
            *z = relative(rate);
        }
        let rest = 2 + DECAYS.len();
        z[rest] = relative(rates.slot);
        z[rest + 1] = relative(rates.after);
        z[rest + 2] = rates.last - 0.5;
        z[rest + 3] = rates.last_in_slot() - 0.5;
        z[rest + 4] =
            network.map_or(0.0, |says| says.clamp(-MOST_LOG_ODDS, MOST_LOG_ODDS) - overall);
        for (i, (z, &x)) in z[N_OWN..].iter_mut().zip(x).enumerate() {
            let x = f64::from(x);
            *z = if self.config.is_rate(i) { relative(x) } else { x };
        }
        Seen { rates, input, network, z: &z[..self.config.n_weights()] }
    }

    fn view(&self) -> Parts<&[f64]> {
        Parts::of(&*self.memory.state, self.config)
    }

    fn parts(&mut self) -> Parts<&mut [f64]> {
        Parts::of(&mut *self.memory.state, self.config)
    }
}

/// Refuses inputs that are not finite, or larger than [`LARGEST_INPUT`].
pub(crate) fn check_inputs(x: &[f32]) -> Result<()> {
    let largest = check_finite("x", x)?;
    require(largest <= LARGEST_INPUT, "x", "inputs between -1e12 and 1e12", largest.into())
}

fn log_odds(rate: f64, clip: f64) -> f64 {
    math::logit(rate.clamp(clip, 1.0 - clip))
}

impl Scratch<'_> {
    /// Refuses buffers that are too small for `config` and as many outcomes.
    pub(crate) fn check(&self, config: &ModelConfig, outcomes: usize) -> Result<()> {
        let Some(network) = &config.network else { return Ok(()) };
        check_room("scratch.floats", training::Memory::floats(network), self.floats.len())?;
        let most = outcomes.min(config.retrain_window as usize);
        check_room("scratch.order", most, self.order.len())
    }
}
