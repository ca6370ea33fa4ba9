//! The door from Python to `inhabit-core`: the module `inhabit._native`.
//!
//! It converts, releases the GIL, calls the core and converts back; there is no logic here. What each
//! name does is documented in `python/inhabit/_native.pyi`.
// A Python signature is as wide as it is; arguments arrive by value.
#![allow(clippy::too_many_arguments, clippy::needless_pass_by_value)]

mod arrays;
mod checkpoint;
mod error;
mod fast;
mod integers;
mod many;
mod model;
mod network;
mod training;
mod walk_forward;
mod workers;

use pyo3::prelude::*;

/// The Rust core of `inhabit`.
#[pymodule]
mod _native {
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::checkpoint::{checkpoint_decode, checkpoint_encode};
    #[pymodule_export]
    use crate::many::{ensemble, train_many};
    #[pymodule_export]
    use crate::model::{Model, ModelConfig, Prior};
    #[pymodule_export]
    use crate::network::{_network_from_parameters, Network};
    #[pymodule_export]
    use crate::training::{TrainingConfig, TrainingProgress, TrainingResult, train};
    #[pymodule_export]
    use crate::walk_forward::{WalkForward, walk_forward, walk_forward_many};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("EXPERTS", inhabit_core::model::EXPERTS.to_vec())?;
        module.add("MAX_MEMBERS", inhabit_core::model::MAX_MEMBERS)?;
        crate::fast::add_predict(module.py())?;
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
