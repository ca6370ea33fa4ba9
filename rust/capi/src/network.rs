//! Networks: a plain description, and parameters that the caller keeps.

use inhabit_core::{Activation, Loss, Network as Core};

use crate::{Status, arguments::Call, status::answer};

/// The most layers of a network, the input counted.
pub const MAX_LAYERS: usize = 16;
/// The most units of a network, the input not counted: what fits on the stack of any thread.
pub const MAX_UNITS: usize = 2048;

/// `inhabit_network`: the shape of a network.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// Sizes in `layers`, the input counted.
    pub layer_count: u32,
    /// `inhabit_activation` of every hidden layer.
    pub hidden: u32,
    /// `inhabit_loss`.
    pub loss: u32,
    /// Layer sizes, the input first.
    pub layers: [u32; MAX_LAYERS],
}

impl Network {
    /// The same in the core, if it is a network.
    pub(crate) fn core(&self) -> Result<Core, Status> {
        let hidden = match self.hidden {
            0 => Activation::Identity,
            1 => Activation::Relu,
            2 => Activation::Tanh,
            3 => Activation::Sigmoid,
            _ => return Err(Status::Range),
        };
        let loss = match self.loss {
            0 => Loss::BceWithLogits,
            1 => Loss::Mse,
            _ => return Err(Status::Range),
        };
        let sizes = self.layers.map(|size| size as usize);
        let sizes = sizes.get(..self.layer_count as usize).ok_or(Status::Range)?;
        let network = Core::new(sizes, hidden, loss)?;
        if network.n_units() > MAX_UNITS { Err(Status::Range) } else { Ok(network) }
    }
}

/// Work memory for one prediction, on the stack; the larger array only where it is needed.
fn with_scratch<R>(units: usize, body: impl FnOnce(&mut [f32]) -> R) -> R {
    const USUAL: usize = 64;
    if units <= USUAL { body(&mut [0.0; USUAL]) } else { with_large_scratch(body) }
}

#[inline(never)]
fn with_large_scratch<R>(body: impl FnOnce(&mut [f32]) -> R) -> R {
    body(&mut [0.0; MAX_UNITS])
}

/// How many parameters a network has.
///
/// # Safety
///
/// The contract of the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inhabit_network_parameter_count(
    network: *const Network,
    count: *mut usize,
) -> Status {
    answer(|| {
        let mut call: Call = Call::new();
        // SAFETY: the contract of the header.
        let (network, count) = unsafe { (call.value(network)?, call.result(count)?) };
        *count = network.core()?.n_parameters();
        Ok(())
    })
}

/// Seeded initial parameters.
///
/// # Safety
///
/// The contract of the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inhabit_network_initialize(
    network: *const Network,
    seed: u64,
    parameters: *mut f32,
    parameter_count: usize,
) -> Status {
    answer(|| {
        let mut call: Call = Call::new();
        // SAFETY: the contract of the header.
        let (network, parameters) =
            unsafe { (call.value(network)?, call.output(parameters, parameter_count)?) };
        Ok(network.core()?.initialize(seed, parameters)?)
    })
}

/// The predictions for rows of input.
///
/// # Safety
///
/// The contract of the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inhabit_predict(
    network: *const Network,
    parameters: *const f32,
    parameter_count: usize,
    x: *const f32,
    rows: usize,
    predictions: *mut f32,
) -> Status {
    answer(|| {
        let mut call: Call = Call::new();
        // SAFETY: the contract of the header.
        let network = unsafe { call.value(network) }?.core()?;
        let inputs = rows.checked_mul(network.n_inputs()).ok_or(Status::Size)?;
        let outputs = rows.checked_mul(network.n_outputs()).ok_or(Status::Size)?;
        // SAFETY: the contract of the header.
        let (parameters, x, predictions) = unsafe {
            (
                call.input(parameters, parameter_count)?,
                call.input(x, inputs)?,
                call.output(predictions, outputs)?,
            )
        };
        with_scratch(network.n_units(), |scratch| {
            Ok(network.predict(parameters, x, predictions, scratch)?)
        })
    })
}
