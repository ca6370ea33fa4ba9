//! Batch training that can stop after any batch and go on later with the same bits.
//!
//! [`Training`] is a small copyable value; the numbers that grow with the network are in a [`Memory`]
//! that the caller owns. A step allocates nothing. The initial parameters are only read: on any
//! error, or when a training is abandoned, the network is as it was.

use core::ops::ControlFlow;

use crate::{
    error::{Error, Result, check_finite, check_len, check_room, require},
    kernel::Rows,
    network::{LossSum, Network, Samples},
    neurons::{Blocks, Shape},
    optimizer::{self, Optimizer, Pace, Powers},
    random::SplitMix64,
    rows,
    simd::{self, InstructionSet},
};

mod state;

pub use state::STATE_LEN;

/// How to train.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrainingConfig {
    /// The optimiser and its own settings.
    pub optimizer: Optimizer,
    /// The length of a step; finite, above 0.
    pub learning_rate: f64,
    /// Passes over the samples, at least 1.
    pub epochs: u32,
    /// Samples in a step, at least 1; the last batch of an epoch may be smaller.
    pub batch_size: u32,
    /// Adds `½ l2 Σ (p - anchor)²` to the loss, over all parameters; finite, at least 0.
    pub l2: f64,
    /// Whether each epoch shuffles the order in which the one before left the samples.
    pub shuffle: bool,
    /// The seed of the shuffling.
    pub seed: u64,
    /// Stop after this many epochs without a better loss on the held-out tail, and return the best
    /// parameters seen, the initial ones included. `None`: train all epochs on all samples.
    pub patience: Option<u32>,
    /// With `patience`: the part of the samples, from the end, that is held out; in (0, 1).
    pub validation_fraction: f64,
    /// Keep the mean training loss of each epoch for [`Progress`]; costs a few per cent.
    pub track_loss: bool,
}

impl Default for TrainingConfig {
    /// 20 epochs in batches of 32, with Adam and a learning rate of 0.001.
    fn default() -> Self {
        Self {
            optimizer: Optimizer::ADAM,
            learning_rate: 1e-3,
            epochs: 20,
            batch_size: 32,
            l2: 0.0,
            shuffle: true,
            seed: 0,
            patience: None,
            validation_fraction: 0.2,
            track_loss: false,
        }
    }
}

impl TrainingConfig {
    /// Refuses settings outside their range.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] naming the setting.
    pub fn check(&self) -> Result<()> {
        self.optimizer.check()?;
        let rate = self.learning_rate;
        require(rate > 0.0 && rate <= 1e6, "learning_rate", "a number in (0, 1e6]", rate)?;
        require(self.epochs > 0, "epochs", "at least 1", f64::from(self.epochs))?;
        require(self.batch_size > 0, "batch_size", "at least 1", f64::from(self.batch_size))?;
        let l2 = self.l2;
        require((0.0..=1e6).contains(&l2), "l2", "a number in [0, 1e6]", l2)?;
        require(self.patience != Some(0), "patience", "at least 1", 0.0)?;
        let part = self.validation_fraction;
        require(part > 0.0 && part < 1.0, "validation_fraction", "a number in (0, 1)", part)
    }

    /// How many of `rows` samples are trained on; the rest, at the end, is held out.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if `patience` is set and either part would be empty.
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, clippy::cast_sign_loss)]
    fn training_rows(&self, rows: usize) -> Result<usize> {
        if self.patience.is_none() {
            return Ok(rows);
        }
        let held_out = ((rows as f64 * self.validation_fraction) as usize).max(1);
        let expected = "at least 2 rows when patience holds out a tail";
        require(held_out < rows, "x", expected, rows as f64)?;
        Ok(rows - held_out)
    }
}

/// The buffers of one training.
#[derive(Debug)]
pub struct Memory<'m> {
    /// At least [`Memory::floats`] numbers.
    pub floats: &'m mut [f32],
    /// At least one number per sample.
    pub order: &'m mut [u32],
}

/// The parts of [`Memory`].
#[derive(Debug)]
struct Parts<'m> {
    parameters: &'m mut [f32],
    first: &'m mut [f32],
    second: &'m mut [f32],
    gradient: &'m mut [f32],
    best: &'m mut [f32],
    scratch: &'m mut [f32],
    blocks: &'m mut [f32],
    order: &'m mut [u32],
}

/// The numbers of a training while it runs: as they are in memory, or as the fast kernel wants them.
#[derive(Debug)]
struct Numbers<'m> {
    parts: Parts<'m>,
    blocks: Option<Blocks<'m>>,
    anchor: Option<&'m [f32]>,
}

/// Whether there is anything to gain from lanes that are units.
fn has_vectors() -> bool {
    simd::instruction_set() != InstructionSet::Portable
}

impl<'m> Numbers<'m> {
    fn load(
        network: &Network,
        optimizer: &Optimizer,
        memory: &'m mut Memory<'_>,
        anchor: Option<&'m [f32]>,
    ) -> Self {
        let mut parts = memory.parts(network);
        let shape = Shape::of(network).filter(|_| has_vectors());
        let blocks = shape.map(|shape| {
            let (parameters, memory) = (&*parts.parameters, core::mem::take(&mut parts.blocks));
            Blocks::pack(shape, optimizer, parameters, parts.first, parts.second, anchor, memory)
        });
        Self { parts, blocks, anchor }
    }

    /// Whether the parameters, the moments and all sums that they make of the samples are finite.
    fn are_finite(&mut self, network: &Network, samples: &Samples<'_>) -> bool {
        let (parameters, second) = match &self.blocks {
            Some(blocks) => (blocks.parameters(), blocks.second()),
            None => (&*self.parts.parameters, &*self.parts.second),
        };
        let (largest, second) = (simd::largest(parameters), simd::largest(second));
        if !(largest.is_finite() && second.is_finite()) {
            return false;
        }
        if samples.cannot_overflow(network, largest) {
            return true;
        }
        let Parts { parameters, scratch, .. } = self.with_parameters();
        samples.check_sums(network, parameters, largest, scratch).is_ok()
    }

    fn settle(&mut self) {
        match &mut self.blocks {
            Some(blocks) => blocks.settle(),
            None => optimizer::settle(self.parts.first, self.parts.second),
        }
    }

    /// The parts, with the parameters of now.
    fn with_parameters(&mut self) -> &mut Parts<'m> {
        if let Some(blocks) = &self.blocks {
            blocks.unpack_parameters(self.parts.parameters);
        }
        &mut self.parts
    }

    fn save(self) {
        if let Some(blocks) = &self.blocks {
            blocks.unpack(self.parts.parameters, self.parts.first, self.parts.second);
        }
    }
}

impl Memory<'_> {
    /// The length of [`floats`](Self::floats) for a network.
    #[must_use]
    pub fn floats(network: &Network) -> usize {
        let blocks = Shape::of(network).map_or(0, Blocks::floats);
        5 * network.n_parameters() + network.gradient_scratch() + blocks
    }

    fn check(&self, network: &Network, rows: usize) -> Result<()> {
        check_room("memory.floats", Self::floats(network), self.floats.len())?;
        check_room("memory.order", rows, self.order.len())
    }

    fn parts(&mut self, network: &Network) -> Parts<'_> {
        let n = network.n_parameters();
        let (parameters, rest) = self.floats.split_at_mut(n);
        let (first, rest) = rest.split_at_mut(n);
        let (second, rest) = rest.split_at_mut(n);
        let (gradient, rest) = rest.split_at_mut(n);
        let (best, rest) = rest.split_at_mut(n);
        let (scratch, blocks) = rest.split_at_mut(network.gradient_scratch());
        Parts { parameters, first, second, gradient, best, scratch, blocks, order: self.order }
    }
}

/// Where a training is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Batches are left.
    Running,
    /// All epochs are done.
    Finished,
    /// The held-out loss did not improve for `patience` epochs.
    StoppedEarly,
    /// The observer asked to stop.
    Cancelled,
}

/// What an observer sees after each epoch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// Epochs done.
    pub epoch: u32,
    /// Epochs configured.
    pub epochs: u32,
    /// The mean loss of the epoch's batches, each before its step, without the L2 term; NaN unless
    /// [`track_loss`](TrainingConfig::track_loss).
    pub loss: f64,
    /// The mean loss of the held-out tail after the epoch; NaN without `patience`.
    pub validation_loss: f64,
}

/// A training that is somewhere between its first and its last batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Training {
    network: Network,
    config: TrainingConfig,
    /// All samples, and those that are trained on.
    rows: usize,
    training_rows: usize,
    generator: SplitMix64,
    powers: Powers,
    status: Status,
    epoch: u32,
    /// Samples of the current epoch that are done.
    position: usize,
    losses: LossSum,
    best_epoch: u32,
    best_loss: f64,
}

impl Training {
    /// Starts a training of `network` from `initial` parameters.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for a setting; [`Error::Shape`] or [`Error::NonFinite`] for `initial`, and
    /// [`Error::Shape`] for a `memory` that is too small. `memory` is then unchanged.
    pub fn start(
        network: &Network,
        config: &TrainingConfig,
        samples: &Samples<'_>,
        initial: &[f32],
        memory: &mut Memory<'_>,
    ) -> Result<Self> {
        config.check()?;
        network.check_parameters(initial)?;
        samples.check_network(network)?;
        let rows = samples.rows();
        let training_rows = config.training_rows(rows)?;
        memory.check(network, rows)?;

        for (index, row) in (0..).zip(&mut memory.order[..training_rows]) {
            *row = index;
        }
        let parts = memory.parts(network);
        parts.parameters.copy_from_slice(initial);
        parts.first.fill(0.0);
        parts.second.fill(0.0);
        let mut best_loss = f64::INFINITY;
        if config.patience.is_some() {
            parts.best.copy_from_slice(initial);
            // Not where it is NaN: nothing would ever be better.
            let loss = rows::mean_loss(network, initial, samples, training_rows, parts.scratch);
            best_loss = best_loss.min(loss);
        }
        Ok(Self {
            network: *network,
            config: *config,
            rows,
            training_rows,
            generator: SplitMix64::new(config.seed),
            powers: Powers::START,
            status: Status::Running,
            epoch: 0,
            position: 0,
            losses: LossSum::default(),
            best_epoch: 0,
            best_loss,
        })
    }

    /// Trains up to `batches` batches; stop and go on in any partition gives the same bits.
    ///
    /// `samples`, `anchor` and `memory` are those of the call before. `anchor` is what L2 pulls
    /// towards, 0 if absent. `observe` is called after each epoch and can end the training.
    ///
    /// # Errors
    /// [`Error::Shape`] or [`Error::NonFinite`] for an argument, and nothing happened;
    /// [`Error::Diverged`] if the parameters, or sums that they make of the samples, left the finite numbers, and
    /// the training is over.
    pub fn run(
        &mut self,
        samples: &Samples<'_>,
        anchor: Option<&[f32]>,
        memory: &mut Memory<'_>,
        batches: u64,
        observe: &mut dyn FnMut(&Progress) -> ControlFlow<()>,
    ) -> Result<Status> {
        samples.check_network(&self.network)?;
        check_len(
            "x",
            self.rows * self.network.n_inputs(),
            samples.rows() * self.network.n_inputs(),
        )?;
        memory.check(&self.network, self.rows)?;
        if let Some(anchor) = anchor {
            check_len("anchor", self.network.n_parameters(), anchor.len())?;
            check_finite("anchor", anchor)?;
        }
        let mut left = batches;
        let mut numbers = Numbers::load(&self.network, &self.config.optimizer, memory, anchor);
        let mut outcome = Ok(());
        while left > 0 && self.status == Status::Running && outcome.is_ok() {
            left -= self.run_within_epoch(samples, &mut numbers, left);
            if self.position == self.training_rows {
                outcome = self.end_epoch(samples, &mut numbers, observe);
            }
        }
        numbers.save();
        outcome.map(|()| self.status)
    }

    /// Trains at most `batches` batches of the current epoch; returns how many.
    fn run_within_epoch(
        &mut self,
        samples: &Samples<'_>,
        numbers: &mut Numbers<'_>,
        batches: u64,
    ) -> u64 {
        let Numbers { parts, blocks, anchor } = numbers;
        if self.position == 0 && self.config.shuffle {
            self.generator.shuffle(&mut parts.order[..self.training_rows]);
        }
        let size = self.config.batch_size as usize;
        let todo = self.training_rows - self.position;
        let todo =
            usize::try_from(batches).map_or(todo, |batches| batches.saturating_mul(size).min(todo));
        let order = &parts.order[self.position..self.position + todo];
        let mut losses = self.config.track_loss.then_some(&mut self.losses);
        let mut pace = Pace {
            optimizer: &self.config.optimizer,
            learning_rate: self.config.learning_rate,
            l2: self.config.l2,
            powers: &mut self.powers,
        };
        if let Some(blocks) = blocks {
            simd::train_neurons(
                self.network.hidden(),
                blocks,
                samples,
                order,
                size,
                &mut pace,
                losses,
            );
        } else {
            for batch in order.chunks(size) {
                simd::batch_gradient(
                    &self.network,
                    parts.parameters,
                    samples,
                    Rows::Listed(batch),
                    parts.gradient,
                    parts.scratch,
                    losses.as_deref_mut(),
                );
                let (first, second) = (&mut *parts.first, &mut *parts.second);
                let step = pace.step();
                simd::apply_step(&step, parts.parameters, parts.gradient, first, second, *anchor);
            }
        }
        self.position += todo;
        todo.div_ceil(size) as u64
    }

    fn end_epoch(
        &mut self,
        samples: &Samples<'_>,
        numbers: &mut Numbers<'_>,
        observe: &mut dyn FnMut(&Progress) -> ControlFlow<()>,
    ) -> Result<()> {
        self.epoch += 1;
        self.position = 0;
        if !numbers.are_finite(&self.network, samples) {
            self.status = Status::Cancelled;
            return Err(Error::Diverged { epoch: self.epoch });
        }
        numbers.settle();
        let loss = if self.config.track_loss { self.losses.mean() } else { f64::NAN };
        self.losses = LossSum::default();
        let mut validation_loss = f64::NAN;
        if self.epoch == self.config.epochs {
            self.status = Status::Finished;
        }
        if let Some(patience) = self.config.patience {
            let first = self.training_rows;
            let Parts { parameters, best, scratch, .. } = numbers.with_parameters();
            validation_loss = rows::mean_loss(&self.network, parameters, samples, first, scratch);
            if validation_loss < self.best_loss {
                (self.best_loss, self.best_epoch) = (validation_loss, self.epoch);
                best.copy_from_slice(parameters);
            } else if self.epoch - self.best_epoch >= patience {
                self.status = Status::StoppedEarly;
            }
        }
        let progress =
            Progress { epoch: self.epoch, epochs: self.config.epochs, loss, validation_loss };
        if observe(&progress).is_break() && self.status == Status::Running {
            self.status = Status::Cancelled;
        }
        Ok(())
    }

    /// The parameters to use now: the best on the held-out tail with `patience`, else the latest.
    #[must_use]
    pub fn parameters<'m>(&self, memory: &'m Memory<'_>) -> &'m [f32] {
        let n = self.network.n_parameters();
        let start = if self.config.patience.is_some() { 4 * n } else { 0 };
        &memory.floats[start..start + n]
    }

    /// Where the training is.
    #[must_use]
    pub const fn status(&self) -> Status {
        self.status
    }

    /// Epochs done.
    #[must_use]
    pub const fn epoch(&self) -> u32 {
        self.epoch
    }

    /// With `patience`: the epoch whose parameters are best, 0 for the initial ones.
    #[must_use]
    pub const fn best_epoch(&self) -> u32 {
        self.best_epoch
    }

    /// The configuration.
    #[must_use]
    pub const fn config(&self) -> &TrainingConfig {
        &self.config
    }
}
