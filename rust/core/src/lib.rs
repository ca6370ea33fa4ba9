//! The mathematics of `inhabit`: small networks that learn one person's habits.
//!
//! `no_std`, without allocation: slices in, slices out, the caller owns every buffer. Parameters are
//! one flat `[f32]`, layer after layer the weights `W [n_out, n_in]` in row-major order, then the
//! biases `b [n_out]`.
//!
//! # Same bits
//!
//! The same input gives the same bits on every machine, with any instruction set and any number of
//! threads. Three rules make it so:
//!
//! 1. Every sum runs in plain scalar order: inputs, then units, then samples. Lanes of a vector are
//!    units, samples or persons; a sum is never split across lanes.
//! 2. A multiplication and an addition are fused (one rounding, IEEE 754 `fusedMultiplyAdd`) exactly
//!    where the source says [`Lanes::mul_add`](lanes::Lanes::mul_add), and nowhere else. Machines without the instruction use
//!    [`math::mul_add`], which rounds the same way.
//! 3. `exp`, `ln`, `tanh` and the logistic function are in [`math`]; nothing comes from a platform's
//!    library.
#![no_std]
// Kernels index and match: a closure would not have the instructions that its caller enabled.
#![allow(clippy::needless_range_loop, clippy::manual_map)]

pub mod checkpoint;
pub mod error;
pub mod explain;
pub mod gate;
pub mod generation;
pub mod lanes;
pub mod loss;
pub mod math;
pub mod model;
pub mod network;
pub mod optimizer;
pub mod persons;
pub mod predictor;
pub mod random;
pub mod rates;
pub mod training;
pub mod walk_forward;

mod calibration;
mod kernel;
mod logistic;
mod mixture;
mod neurons;
mod rows;
pub mod simd;

pub use error::{Error, Result};
pub use loss::Loss;
pub use network::{Activation, Network, Samples};
pub use optimizer::Optimizer;
pub use predictor::Predictor;
pub use random::SplitMix64;
pub use training::{Memory, Progress, Status, Training, TrainingConfig};
