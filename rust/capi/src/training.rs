//! Training that stops after any batch and goes on later, in memory of the caller.

use core::{mem::size_of, ops::ControlFlow};

use inhabit_core::{
    Error, Memory, Network as Core, Optimizer, Samples, Training, TrainingConfig as CoreConfig,
    training::STATE_LEN,
};

use crate::{
    Network, Status,
    arguments::{Call, Cursor, seal},
    status::answer,
};

/// `inhabit_training_config`: how to train.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrainingConfig {
    /// `inhabit_optimizer`.
    pub optimizer: u32,
    /// Passes over the samples.
    pub epochs: u32,
    /// Samples in a step.
    pub batch_size: u32,
    /// Epochs without a better loss on the held-out tail before stopping; 0: hold nothing out.
    pub patience: u32,
    /// Not 0: shuffle before each epoch.
    pub shuffle: u32,
    /// Not 0: report the training loss of each epoch.
    pub track_loss: u32,
    /// Seed of the shuffling.
    pub seed: u64,
    /// Length of a step.
    pub learning_rate: f64,
    /// SGD only.
    pub momentum: f64,
    /// Adam only.
    pub beta1: f64,
    /// Adam only.
    pub beta2: f64,
    /// Adam only.
    pub epsilon: f64,
    /// Pull towards the anchor.
    pub l2: f64,
    /// With `patience`: the part that is held out.
    pub validation_fraction: f64,
}

impl TrainingConfig {
    pub(crate) fn core(&self) -> Result<CoreConfig, Status> {
        let optimizer = match self.optimizer {
            0 => Optimizer::Sgd { momentum: self.momentum },
            1 => Optimizer::Adam { beta1: self.beta1, beta2: self.beta2, epsilon: self.epsilon },
            _ => return Err(Status::Range),
        };
        let config = CoreConfig {
            optimizer,
            learning_rate: self.learning_rate,
            epochs: self.epochs,
            batch_size: self.batch_size,
            l2: self.l2,
            shuffle: self.shuffle != 0,
            seed: self.seed,
            patience: Some(self.patience).filter(|patience| *patience != 0),
            validation_fraction: self.validation_fraction,
            track_loss: self.track_loss != 0,
        };
        config.check()?;
        Ok(config)
    }
}

impl From<CoreConfig> for TrainingConfig {
    fn from(config: CoreConfig) -> Self {
        let Optimizer::Adam { beta1, beta2, epsilon } = Optimizer::ADAM else { unreachable!() };
        let (optimizer, momentum, beta1, beta2, epsilon) = match config.optimizer {
            Optimizer::Sgd { momentum } => (0, momentum, beta1, beta2, epsilon),
            Optimizer::Adam { beta1, beta2, epsilon } => (1, 0.0, beta1, beta2, epsilon),
        };
        Self {
            optimizer,
            epochs: config.epochs,
            batch_size: config.batch_size,
            patience: config.patience.unwrap_or(0),
            shuffle: config.shuffle.into(),
            track_loss: config.track_loss.into(),
            seed: config.seed,
            learning_rate: config.learning_rate,
            momentum,
            beta1,
            beta2,
            epsilon,
            l2: config.l2,
            validation_fraction: config.validation_fraction,
        }
    }
}

/// `inhabit_training_progress`: where a training is.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrainingProgress {
    /// `inhabit_training_status`.
    pub status: u32,
    /// Epochs done.
    pub epoch: u32,
    /// Epochs configured.
    pub epochs: u32,
    /// With `patience`: the epoch whose parameters are kept.
    pub best_epoch: u32,
    /// Mean training loss of the last epoch; NaN before its end, and unless tracked.
    pub loss: f64,
    /// Mean loss of the held-out tail after the last epoch; NaN without `patience`.
    pub validation_loss: f64,
}

/// What stands at the beginning of a training's memory. Plain numbers: any bytes are a value of it,
/// and are checked before they are used.
#[repr(C)]
#[derive(Clone, Copy)]
struct Header {
    seal: u64,
    config: TrainingConfig,
    state: [u64; STATE_LEN],
    loss: f64,
    validation_loss: f64,
    network: Network,
    /// So that the struct has no padding.
    reserved: u32,
}

impl Header {
    fn sealed(mut self) -> Self {
        self.seal = self.expected_seal();
        self
    }

    fn expected_seal(&self) -> u64 {
        // SAFETY: the seal is the first field; 8-byte fields, then 19 + 1 of 4 bytes: no padding.
        unsafe { seal(b"training", self) }
    }
}

/// The parts of a training's memory behind the header.
struct Sizes {
    floats: usize,
    order: usize,
    total: usize,
}

impl Sizes {
    fn new(network: &Core, rows: usize) -> Result<Self, Status> {
        let floats = Memory::floats(network);
        let bytes = floats.checked_add(rows).and_then(|n| n.checked_mul(size_of::<f32>()));
        let total = bytes.and_then(|bytes| bytes.checked_add(size_of::<Header>()));
        // Whole 8-byte words, so that blocks can stand one behind the other.
        let total =
            total.and_then(|total| total.checked_next_multiple_of(8)).ok_or(Status::Size)?;
        Ok(Self { floats, order: rows, total })
    }
}

/// A training's memory, taken apart.
struct Block<'a> {
    header: &'a mut Header,
    memory: Memory<'a>,
}

impl Block<'_> {
    /// # Safety
    ///
    /// `memory` is NULL or points to `size` bytes that nobody else touches during the call.
    unsafe fn new(
        call: &mut Call,
        memory: *mut u64,
        size: usize,
        sizes: &Sizes,
    ) -> Result<Self, Status> {
        if size < sizes.total {
            return Err(Status::Space);
        }
        let mut cursor = Cursor::new(memory);
        // SAFETY: three ranges within the `size` bytes of the caller, one behind the other. `memory` is
        // checked to be aligned for the header (8); the rest is aligned to 4 as the header has a
        // multiple of 8 bytes. Every bit pattern is a header, an f32 and a u32.
        unsafe {
            Ok(Self {
                header: call.result(cursor.take(1))?,
                memory: Memory {
                    floats: call.output(cursor.take(sizes.floats), sizes.floats)?,
                    order: call.output(cursor.take(sizes.order), sizes.order)?,
                },
            })
        }
    }
}

/// The network, configuration and number of samples of a training that was begun.
///
/// # Safety
///
/// `memory` is NULL or points to `size` initialised bytes that nobody writes during the call.
unsafe fn peek(memory: *const u64, size: usize) -> Result<(Header, Core, Sizes), Status> {
    if memory.is_null() {
        return Err(Status::Null);
    }
    if size < size_of::<Header>() {
        return Err(Status::Space);
    }
    // SAFETY: passed on; every bit pattern is a header.
    let header = *unsafe { <Call>::new().value(memory.cast::<Header>()) }?;
    if header.seal != header.expected_seal() {
        return Err(Status::State);
    }
    let network = header.network.core().map_err(|_| Status::State)?;
    let rows = usize::try_from(header.state[0]).map_err(|_| Status::State)?;
    let sizes = Sizes::new(&network, rows).map_err(|_| Status::State)?;
    if size < sizes.total { Err(Status::State) } else { Ok((header, network, sizes)) }
}

impl Header {
    fn resume(&self, network: &Core, memory: &Memory<'_>) -> Result<Training, Status> {
        let config = self.config.core().map_err(|_| Status::State)?;
        Training::resume(network, &config, &self.state, memory).map_err(|error| match error {
            Error::NonFinite { .. } => Status::Diverged, // in the middle of an epoch
            _ => Status::State,
        })
    }
}

/// The default configuration.
///
/// # Safety
///
/// The contract of the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inhabit_training_defaults(config: *mut TrainingConfig) -> Status {
    answer(|| {
        // SAFETY: the contract of the header.
        *unsafe { <Call>::new().result(config) }? = CoreConfig::default().into();
        Ok(())
    })
}

/// How many bytes the memory of a training takes.
///
/// # Safety
///
/// The contract of the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inhabit_training_size(
    network: *const Network,
    rows: usize,
    size: *mut usize,
) -> Status {
    answer(|| {
        let mut call: Call = Call::new();
        // SAFETY: the contract of the header.
        let (network, size) = unsafe { (call.value(network)?, call.result(size)?) };
        *size = Sizes::new(&network.core()?, rows)?.total;
        Ok(())
    })
}

/// Begin a training in `memory`.
///
/// # Safety
///
/// The contract of the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inhabit_training_begin(
    memory: *mut u64,
    size: usize,
    network: *const Network,
    config: *const TrainingConfig,
    x: *const f32,
    y: *const f32,
    sample_weight: *const f32,
    rows: usize,
    initial: *const f32,
    parameter_count: usize,
) -> Status {
    answer(|| {
        let mut call: Call = Call::new();
        // SAFETY: the contract of the header.
        let (shape, config) = unsafe { (call.value(network)?, call.value(config)?) };
        let network = shape.core()?;
        let sizes = Sizes::new(&network, rows)?;
        // SAFETY: the contract of the header.
        let (samples, initial, mut block) = unsafe {
            (
                samples(&mut call, &network, x, y, sample_weight, rows)?,
                call.input(initial, parameter_count)?,
                Block::new(&mut call, memory, size, &sizes)?,
            )
        };
        let training =
            Training::start(&network, &config.core()?, &samples, initial, &mut block.memory)?;
        *block.header = Header {
            seal: 0,
            config: *config,
            state: training.state(),
            loss: f64::NAN,
            validation_loss: f64::NAN,
            network: *shape,
            reserved: 0,
        }
        .sealed();
        Ok(())
    })
}

/// Train up to `batches` batches.
///
/// # Safety
///
/// The contract of the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inhabit_training_step(
    memory: *mut u64,
    size: usize,
    x: *const f32,
    y: *const f32,
    sample_weight: *const f32,
    anchor: *const f32,
    batches: u64,
    progress: *mut TrainingProgress,
) -> Status {
    answer(|| {
        // SAFETY: the contract of the header.
        let (header, network, sizes) = unsafe { peek(memory, size) }?;
        let mut call: Call = Call::new();
        // SAFETY: the contract of the header.
        let (mut block, samples, anchor, progress) = unsafe {
            (
                Block::new(&mut call, memory, size, &sizes)?,
                samples(&mut call, &network, x, y, sample_weight, sizes.order)?,
                call.optional(anchor, network.n_parameters())?,
                call.result(progress)?,
            )
        };
        let mut training = header.resume(&network, &block.memory)?;
        let (mut loss, mut validation_loss) = (header.loss, header.validation_loss);
        training.run(&samples, anchor, &mut block.memory, batches, &mut |now| {
            (loss, validation_loss) = (now.loss, now.validation_loss);
            ControlFlow::Continue(())
        })?;
        *block.header =
            Header { state: training.state(), loss, validation_loss, ..header }.sealed();
        *progress = TrainingProgress {
            status: training.status() as u32,
            epoch: training.epoch(),
            epochs: training.config().epochs,
            best_epoch: training.best_epoch(),
            loss,
            validation_loss,
        };
        Ok(())
    })
}

/// The network and the number of samples of a training that was begun.
///
/// # Safety
///
/// The contract of the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inhabit_training_begun(
    memory: *const u64,
    size: usize,
    network: *mut Network,
    rows: *mut usize,
) -> Status {
    answer(|| {
        // SAFETY: the contract of the header.
        let (header, _, sizes) = unsafe { peek(memory, size) }?;
        let mut call: Call = Call::new();
        // SAFETY: the contract of the header.
        let (_, network, rows) =
            unsafe { (call.input(memory, size / 8)?, call.result(network)?, call.result(rows)?) };
        (*network, *rows) = (header.network, sizes.order);
        Ok(())
    })
}

/// The parameters to use now.
///
/// # Safety
///
/// The contract of the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inhabit_training_parameters(
    memory: *mut u64,
    size: usize,
    parameters: *mut f32,
    parameter_count: usize,
) -> Status {
    answer(|| {
        // SAFETY: the contract of the header.
        let (header, network, sizes) = unsafe { peek(memory, size) }?;
        let mut call: Call = Call::new();
        // SAFETY: the contract of the header.
        let (block, out) = unsafe {
            (
                Block::new(&mut call, memory, size, &sizes)?,
                call.output(parameters, parameter_count)?,
            )
        };
        if out.len() != network.n_parameters() {
            return Err(Status::Size);
        }
        let training = header.resume(&network, &block.memory)?;
        out.copy_from_slice(training.parameters(&block.memory));
        Ok(())
    })
}

/// # Safety
///
/// The contract of the header.
unsafe fn samples<'a>(
    call: &mut Call,
    network: &Core,
    x: *const f32,
    y: *const f32,
    sample_weight: *const f32,
    rows: usize,
) -> Result<Samples<'a>, Status> {
    let inputs = rows.checked_mul(network.n_inputs()).ok_or(Status::Size)?;
    let outputs = rows.checked_mul(network.n_outputs()).ok_or(Status::Size)?;
    // SAFETY: passed on.
    let (x, y, sample_weight) = unsafe {
        (call.input(x, inputs)?, call.input(y, outputs)?, call.optional(sample_weight, rows)?)
    };
    Ok(Samples::new(network, x, y, sample_weight)?)
}
