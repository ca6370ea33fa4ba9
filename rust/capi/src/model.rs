//! Models: the mixture of experts that is served, in memory of the caller.

use core::{ffi::c_char, mem::size_of};

use inhabit_core::{
    checkpoint::Fault,
    generation::{self, CONFIG_LEN, Generation, MAX_WEIGHTS},
    model::{self, MAX_MEMBERS, ModelConfig, N_EXPERTS, Outcome, Scratch},
    training,
    walk_forward::{self as walk, Forecasts, History, Workspace},
};

use crate::{
    Status,
    arguments::{Call, Cursor, seal},
    status::answer,
};

/// Room for experts in a prediction, with some to spare for later versions.
pub const MAX_EXPERTS: usize = 16;

/// `inhabit_prediction`: what a model says about one moment.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prediction {
    /// The calibrated probability: what is served.
    pub probability: f64,
    /// The mixture before calibration.
    pub mixture: f64,
    /// What each expert says, in the order of the mixture's weights; then zeros.
    pub experts: [f64; MAX_EXPERTS],
    /// How many experts there are.
    pub expert_count: u32,
    /// How many trained networks have been promoted so far.
    pub promotions: u32,
}

/// What stands at the beginning of a model's memory. Plain numbers: any bytes are a value of it, and
/// are checked before they are used.
#[repr(C)]
#[derive(Clone, Copy)]
struct Header {
    seal: u64,
    /// How many networks the prior has.
    members: u64,
    config: [f64; CONFIG_LEN],
    mean: [f64; MAX_WEIGHTS],
    variance: [f64; MAX_WEIGHTS],
    experts: [f64; N_EXPERTS],
}

impl Header {
    fn sealed(mut self) -> Self {
        self.seal = self.expected_seal();
        self
    }

    fn expected_seal(&self) -> u64 {
        // SAFETY: the seal is the first field, and every field is made of 8-byte words: no padding.
        unsafe { seal(b"model   ", self) }
    }
}

/// The parts of a model's memory behind the header.
struct Sizes {
    state: usize,
    parameters: usize,
    prior: usize,
    total: usize,
}

impl Sizes {
    /// `config` and `members` are checked, which bounds every number here.
    fn new(config: &ModelConfig, members: usize) -> Self {
        let (state, parameters) = (config.n_state(), config.n_parameters());
        let prior = members * parameters;
        let floats = 2 * parameters + prior;
        let bytes = size_of::<Header>() + state * size_of::<f64>() + floats * size_of::<f32>();
        // Whole 8-byte words, so that blocks can stand one behind the other.
        Self { state, parameters, prior, total: bytes.next_multiple_of(8) }
    }
}

/// A model's memory, taken apart.
struct Block<'a> {
    header: &'a mut Header,
    network: &'a mut [f32],
    memory: model::Memory<'a>,
}

impl Block<'_> {
    /// # Safety
    ///
    /// `memory` is NULL or points to `size` initialised bytes that nobody else touches during the call.
    unsafe fn new(
        call: &mut Call,
        memory: *mut u64,
        size: usize,
        config: &ModelConfig,
        members: usize,
    ) -> Result<Self, Status> {
        let sizes = Sizes::new(config, members);
        if size < sizes.total {
            return Err(Status::Space);
        }
        let mut cursor = Cursor::new(memory);
        // SAFETY: five ranges within the `size` bytes of the caller, one behind the other. `memory` is
        // checked to be aligned for the header (8), which has a multiple of 8 bytes, so all of them are
        // aligned. Every bit pattern is a header, an f64 and an f32.
        unsafe {
            Ok(Self {
                header: call.result(cursor.take(1))?,
                memory: model::Memory {
                    state: call.output(cursor.take(sizes.state), sizes.state)?,
                    champion: call.output(cursor.take(sizes.parameters), sizes.parameters)?,
                    challenger: call.output(cursor.take(sizes.parameters), sizes.parameters)?,
                },
                network: call.output(cursor.take(sizes.prior), sizes.prior)?,
            })
        }
    }
}

/// A model that was begun: `body` gets it, checked.
///
/// # Safety
///
/// `memory` is NULL or points to `size` initialised bytes that nobody else touches during the call.
unsafe fn with_model<R>(
    call: &mut Call,
    memory: *mut u64,
    size: usize,
    body: impl FnOnce(&mut model::Model<'_>) -> Result<R, Status>,
) -> Result<R, Status> {
    // SAFETY: passed on.
    let (config, members) = unsafe { peek(memory, size) }?;
    // SAFETY: passed on.
    let Block { header, network, memory } =
        unsafe { Block::new(call, memory, size, &config, members) }?;
    let network = (members > 0).then_some(&*network);
    let n = config.n_weights();
    let (mean, variance) = (&header.mean[..n], &header.variance[..n]);
    let prior = model::Prior::new(&config, network, mean, variance, &header.experts)
        .map_err(|_| Status::State)?;
    let mut model = model::Model::resume(&config, &prior, memory).map_err(|_| Status::State)?;
    body(&mut model)
}

/// The configuration of a model that was begun, and how many networks its prior has.
///
/// # Safety
///
/// `memory` is NULL or points to `size` initialised bytes that nobody writes during the call.
unsafe fn peek(memory: *const u64, size: usize) -> Result<(ModelConfig, usize), Status> {
    if memory.is_null() {
        return Err(Status::Null);
    }
    if size < size_of::<Header>() {
        return Err(Status::Space);
    }
    // SAFETY: passed on; every bit pattern is a header.
    let header = unsafe { <Call>::new().value(memory.cast::<Header>()) }?;
    if header.seal != header.expected_seal() {
        return Err(Status::State);
    }
    let config = generation::decode_config(&header.config).map_err(|_| Status::State)?;
    match usize::try_from(header.members) {
        Ok(members) if members <= MAX_MEMBERS => Ok((config, members)),
        _ => Err(Status::State),
    }
}

/// Where a model comes from: a checkpoint, or nothing but the number and kind of its inputs.
enum Source<'a> {
    Stored(Generation<'a>),
    Uninformed(ModelConfig),
}

impl Source<'_> {
    /// # Safety
    ///
    /// The contract of the header.
    unsafe fn new(
        call: &mut Call,
        checkpoint: *const u8,
        checkpoint_size: usize,
        inputs: u32,
        rates: u64,
    ) -> Result<Self, Status> {
        // SAFETY: passed on.
        match unsafe { call.optional(checkpoint, checkpoint_size) }? {
            Some(bytes) => Ok(Self::Stored(Generation::open(bytes)?)),
            None => Ok(Self::Uninformed(ModelConfig::new(inputs as usize, rates)?)),
        }
    }

    const fn config(&self) -> &ModelConfig {
        match self {
            Self::Stored(generation) => generation.config(),
            Self::Uninformed(config) => config,
        }
    }

    const fn members(&self) -> usize {
        match self {
            Self::Stored(generation) => generation.members(),
            Self::Uninformed(_) => 0,
        }
    }
}

/// How many bytes the memory of a model takes.
///
/// # Safety
///
/// The contract of the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inhabit_model_size(
    checkpoint: *const u8,
    checkpoint_size: usize,
    inputs: u32,
    size: *mut usize,
) -> Status {
    answer(|| {
        let mut call: Call = Call::new();
        // SAFETY: the contract of the header.
        let (source, size) = unsafe {
            (Source::new(&mut call, checkpoint, checkpoint_size, inputs, 0)?, call.result(size)?)
        };
        *size = Sizes::new(source.config(), source.members()).total;
        Ok(())
    })
}

/// Begin a model in `memory`.
///
/// # Safety
///
/// The contract of the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inhabit_model_begin(
    memory: *mut u64,
    size: usize,
    checkpoint: *const u8,
    checkpoint_size: usize,
    inputs: u32,
    rates: u64,
) -> Status {
    answer(|| {
        let mut call: Call = Call::new();
        // SAFETY: the contract of the header.
        let source = unsafe { Source::new(&mut call, checkpoint, checkpoint_size, inputs, rates) }?;
        let (config, members) = (source.config(), source.members());
        // SAFETY: the contract of the header.
        let mut block = unsafe { Block::new(&mut call, memory, size, config, members) }?;
        // Until all is well, the memory holds no model: this is the one function that may leave its
        // memory changed when it refuses, as the header says.
        block.header.seal = !block.header.expected_seal();
        let (prior, is_resumed) = match &source {
            Source::Stored(stored) => {
                (stored.prior(block.network)?, stored.memory(&mut block.memory)?)
            }
            Source::Uninformed(config) => (model::Prior::uninformed(config), false),
        };
        let n = config.n_weights();
        let mut header = Header {
            seal: 0,
            members: members as u64,
            config: generation::encode_config(config),
            mean: [0.0; MAX_WEIGHTS],
            variance: [0.0; MAX_WEIGHTS],
            experts: *prior.experts(),
        };
        header.mean[..n].copy_from_slice(prior.mean(config));
        header.variance[..n].copy_from_slice(prior.variance(config));
        if is_resumed {
            model::Model::resume(config, &prior, block.memory).map_err(|_| Status::Checkpoint)?;
        } else {
            model::Model::new(config, &prior, block.memory)?;
        }
        *block.header = header.sealed();
        Ok(())
    })
}

/// Predict one moment.
///
/// # Safety
///
/// The contract of the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inhabit_model_predict(
    memory: *mut u64,
    size: usize,
    x: *const f32,
    inputs: usize,
    slot: u32,
    prediction: *mut Prediction,
) -> Status {
    answer(|| {
        let mut call: Call = Call::new();
        // SAFETY: the contract of the header.
        let (x, prediction) = unsafe { (call.input(x, inputs)?, call.result(prediction)?) };
        // SAFETY: the contract of the header.
        *prediction = unsafe {
            with_model(&mut call, memory, size, |model| {
                let said = model.predict(x, slot as usize)?;
                let promotions = model.promotions();
                let mut experts = [0.0; MAX_EXPERTS];
                experts[..N_EXPERTS].copy_from_slice(&said.experts);
                Ok(Prediction {
                    probability: said.probability,
                    mixture: said.mixture,
                    experts,
                    expert_count: N_EXPERTS as u32,
                    promotions,
                })
            })
        }?;
        Ok(())
    })
}

/// Take in the outcome of a moment.
///
/// # Safety
///
/// The contract of the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inhabit_model_learn(
    memory: *mut u64,
    size: usize,
    x: *const f32,
    inputs: usize,
    slot: u32,
    outcome: u32,
) -> Status {
    answer(|| {
        if outcome > 1 {
            return Err(Status::Range);
        }
        let mut call: Call = Call::new();
        // SAFETY: the contract of the header.
        let x = unsafe { call.input(x, inputs) }?;
        // SAFETY: the contract of the header.
        unsafe {
            with_model(&mut call, memory, size, |model| {
                Ok(model.learn(x, slot as usize, outcome == 1)?)
            })
        }
    })
}

/// Take in the outcomes of moments whose labels became known together.
///
/// # Safety
///
/// The contract of the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inhabit_model_learn_together(
    memory: *mut u64,
    size: usize,
    x: *const f32,
    inputs: usize,
    slot: *const u8,
    outcome: *const u8,
    late: *const u8,
    rows: usize,
) -> Status {
    answer(|| {
        let mut call: Call = Call::new();
        let count = rows.checked_mul(inputs).ok_or(Status::Size)?;
        // SAFETY: the contract of the header.
        let (x, slot, outcome, late) = unsafe {
            (
                call.input(x, count)?,
                call.input(slot, rows)?,
                call.input(outcome, rows)?,
                call.input(late, rows)?,
            )
        };
        if outcome.iter().chain(late).any(|flag| *flag > 1) {
            return Err(Status::Range);
        }
        // SAFETY: the contract of the header.
        unsafe {
            with_model(&mut call, memory, size, |model| {
                if inputs != model.config().n_inputs {
                    return Err(Status::Size);
                }
                Ok(model.learn_together((0..rows).map(|row| Outcome {
                    x: &x[row * inputs..][..inputs],
                    slot: slot[row].into(),
                    positive: outcome[row] == 1,
                    late: late[row] == 1,
                }))?)
            })
        }
    })
}

/// The parts of the work memory of a walk.
struct WorkSizes {
    order: usize,
    inputs: usize,
    experts: usize,
    floats: usize,
    window: usize,
    total: usize,
}

impl WorkSizes {
    fn new(config: &ModelConfig, rows: usize) -> Result<Self, Status> {
        let times = |count: usize, of: usize| count.checked_mul(of).ok_or(Status::Size);
        let order = times(rows, 2)?.checked_add(1).ok_or(Status::Size)?;
        let inputs = times(rows, config.n_inputs)?;
        let experts = times(rows, N_EXPERTS)?;
        let floats = config.network.as_ref().map_or(0, training::Memory::floats);
        let window = rows.min(config.retrain_window as usize);
        let words = [order, inputs, rows, rows, rows, floats, window];
        let words = words.into_iter().try_fold(times(experts, 2)?, usize::checked_add);
        let total = words.and_then(|words| words.checked_mul(4)).and_then(|n| n.checked_add(7));
        let total = total.ok_or(Status::Size)? / 8 * 8;
        Ok(Self { order, inputs, experts, floats, window, total })
    }
}

/// How many bytes of work memory [`inhabit_model_walk`] needs.
///
/// # Safety
///
/// The contract of the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inhabit_model_walk_size(
    memory: *const u64,
    size: usize,
    rows: usize,
    work_size: *mut usize,
) -> Status {
    answer(|| {
        let mut call: Call = Call::new();
        // SAFETY: the contract of the header.
        let (config, _) = unsafe { peek(memory, size) }?;
        // SAFETY: the contract of the header; the model is only looked at, so nothing may be written to it.
        let (_, work_size) = unsafe { (call.input(memory, size / 8)?, call.result(work_size)?) };
        *work_size = WorkSizes::new(&config, rows)?.total;
        Ok(())
    })
}

/// Walk a model through a part of its person's history.
///
/// # Safety
///
/// The contract of the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inhabit_model_walk(
    memory: *mut u64,
    size: usize,
    x: *const f32,
    label: *const i8,
    slot: *const u8,
    learn_at: *const u32,
    rows: usize,
    from: usize,
    to: usize,
    probability: *mut f64,
    work: *mut u64,
    work_size: usize,
) -> Status {
    answer(|| {
        // SAFETY: the contract of the header.
        let (config, _) = unsafe { peek(memory, size) }?;
        let sizes = WorkSizes::new(&config, rows)?;
        if work_size < sizes.total {
            return Err(Status::Space);
        }
        let mut call: Call = Call::new();
        let mut cursor = Cursor::new(work);
        // SAFETY: the contract of the header; of `work` ranges within its bytes, one behind the other,
        // the widest elements first, so that all of them are aligned if the first one is.
        unsafe {
            let history = History {
                x: call.input(x, sizes.inputs)?,
                label: call.input(label, rows)?,
                slot: call.input(slot, rows)?,
                learn_at: call.input(learn_at, rows)?,
            };
            let mut forecasts = Forecasts {
                probability: call.output(probability, rows)?,
                experts: call.output(cursor.take(sizes.experts), sizes.experts)?,
                promotions: call.output(cursor.take(rows), rows)?,
            };
            let mut workspace = Workspace {
                order: call.output(cursor.take(sizes.order), sizes.order)?,
                inputs: call.output(cursor.take(sizes.inputs), sizes.inputs)?,
                outcomes: call.output(cursor.take(rows), rows)?,
                parts: call.output(cursor.take(rows), rows)?,
                scratch: Scratch {
                    floats: call.output(cursor.take(sizes.floats), sizes.floats)?,
                    order: call.output(cursor.take(sizes.window), sizes.window)?,
                },
            };
            with_model(&mut call, memory, size, |model| {
                Ok(walk::walk(model, &history, from..to, &mut forecasts, &mut workspace)?)
            })
        }
    })
}

/// Write a model as a checkpoint, or learn its size.
///
/// # Safety
///
/// The contract of the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inhabit_model_save(
    memory: *mut u64,
    size: usize,
    manifest: *const c_char,
    manifest_length: usize,
    bytes: *mut u8,
    capacity: usize,
    written: *mut usize,
) -> Status {
    answer(|| {
        let mut call: Call = Call::new();
        // SAFETY: the contract of the header; every bit pattern is a byte.
        let (manifest, out, written) = unsafe {
            (
                call.text(manifest, manifest_length)?,
                call.output(bytes, if bytes.is_null() { 0 } else { capacity })?,
                call.result(written)?,
            )
        };
        // SAFETY: the contract of the header.
        *written = unsafe {
            with_model(&mut call, memory, size, |model| {
                let result: Result<usize, Fault> = if bytes.is_null() {
                    generation::len(model, manifest)
                } else {
                    generation::write(model, manifest, out)
                };
                Ok(result?)
            })
        }?;
        Ok(())
    })
}
