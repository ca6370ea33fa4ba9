//! `TrainingConfig`, `train`, `TrainingResult`.

use std::{
    ops::ControlFlow,
    time::{Duration, Instant},
};

use inhabit_core::{self as core, Memory, Optimizer, Progress, Status};
use numpy::PyArray1;
use pyo3::{prelude::*, types::PyDict};

use crate::{
    arrays::Floats,
    error::{ConfigError, IntoPyResult},
    integers,
    network::{Data, Network},
};

/// How to train. Documented in `_native.pyi`.
#[pyclass(frozen, module = "inhabit._native")]
#[derive(Debug)]
pub(crate) struct TrainingConfig {
    pub(crate) core: core::TrainingConfig,
    pub(crate) anchor: Option<Box<[f32]>>,
}

#[pymethods]
impl TrainingConfig {
    #[new]
    #[pyo3(signature = (
        optimizer="adam", learning_rate=1e-3, momentum=0.0, epochs=20, batch_size=32, l2=0.0,
        anchor=None, shuffle=true, seed=0, patience=None, validation_fraction=0.2, *,
        beta1=0.9, beta2=0.999, epsilon=1e-8,
    ))]
    fn new(
        optimizer: &str,
        learning_rate: f64,
        momentum: f64,
        #[pyo3(from_py_with = integers::epochs)] epochs: u32,
        #[pyo3(from_py_with = integers::batch_size)] batch_size: u32,
        l2: f64,
        anchor: Option<&Bound<'_, PyAny>>,
        shuffle: bool,
        #[pyo3(from_py_with = integers::seed)] seed: u64,
        #[pyo3(from_py_with = integers::patience)] patience: Option<u32>,
        validation_fraction: f64,
        beta1: f64,
        beta2: f64,
        epsilon: f64,
    ) -> PyResult<Self> {
        let optimizer = match optimizer {
            "sgd" => Optimizer::Sgd { momentum },
            "adam" if momentum == 0.0 => Optimizer::Adam { beta1, beta2, epsilon },
            "adam" => {
                let message = format!(
                    "momentum: expected 0 with optimizer='adam' (see beta1), got {momentum}"
                );
                return Err(ConfigError::new_err(message));
            }
            other => {
                let message = format!("optimizer: expected 'adam' or 'sgd', got {other:?}");
                return Err(ConfigError::new_err(message));
            }
        };
        let core = core::TrainingConfig {
            optimizer,
            learning_rate,
            epochs,
            batch_size,
            l2,
            shuffle,
            seed,
            patience,
            validation_fraction,
            track_loss: false,
        };
        core.check().into_py()?;
        let anchor = match anchor {
            Some(anchor) => {
                let anchor = Floats::read("anchor", anchor)?;
                Some(anchor.vector_of(anchor.as_slice().len())?.into())
            }
            None => None,
        };
        Ok(Self { core, anchor })
    }

    #[getter]
    fn optimizer(&self) -> &'static str {
        match self.core.optimizer {
            Optimizer::Sgd { .. } => "sgd",
            Optimizer::Adam { .. } => "adam",
        }
    }
    #[getter]
    fn learning_rate(&self) -> f64 {
        self.core.learning_rate
    }
    #[getter]
    fn momentum(&self) -> f64 {
        match self.core.optimizer {
            Optimizer::Sgd { momentum } => momentum,
            Optimizer::Adam { .. } => 0.0,
        }
    }
    #[getter]
    fn epochs(&self) -> u32 {
        self.core.epochs
    }
    #[getter]
    fn batch_size(&self) -> u32 {
        self.core.batch_size
    }
    #[getter]
    fn l2(&self) -> f64 {
        self.core.l2
    }
    #[getter]
    fn anchor<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyArray1<f32>>> {
        self.anchor.as_deref().map(|anchor| PyArray1::from_slice(py, anchor))
    }
    #[getter]
    fn shuffle(&self) -> bool {
        self.core.shuffle
    }
    #[getter]
    fn seed(&self) -> u64 {
        self.core.seed
    }
    #[getter]
    fn patience(&self) -> Option<u32> {
        self.core.patience
    }
    #[getter]
    fn validation_fraction(&self) -> f64 {
        self.core.validation_fraction
    }
    #[getter]
    fn beta1(&self) -> f64 {
        self.adam().0
    }
    #[getter]
    fn beta2(&self) -> f64 {
        self.adam().1
    }
    #[getter]
    fn epsilon(&self) -> f64 {
        self.adam().2
    }

    #[pyo3(signature = (**changes))]
    fn replace(slf: &Bound<'_, Self>, changes: Option<&Bound<'_, PyDict>>) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        let settings = PyDict::new(py);
        for name in NAMES {
            let is_adam = matches!(slf.get().core.optimizer, Optimizer::Adam { .. });
            if name == "momentum" && is_adam {
                continue;
            }
            settings.set_item(name, slf.getattr(name)?)?;
        }
        if let Some(changes) = changes {
            settings.update(changes.as_mapping())?;
        }
        Ok(slf.get_type().call((), Some(&settings))?.unbind())
    }

    fn __eq__(&self, other: &Self) -> bool {
        self.core == other.core && self.anchor == other.anchor
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let mut parts = Vec::new();
        for name in NAMES {
            let value = slf.getattr(name)?;
            let text = match name {
                "anchor" if !value.is_none() => "<parameters>".to_owned(),
                _ => value.repr()?.to_string(),
            };
            parts.push(format!("{name}={text}"));
        }
        Ok(format!("TrainingConfig({})", parts.join(", ")))
    }
}

const NAMES: [&str; 14] = [
    "optimizer",
    "learning_rate",
    "momentum",
    "epochs",
    "batch_size",
    "l2",
    "anchor",
    "shuffle",
    "seed",
    "patience",
    "validation_fraction",
    "beta1",
    "beta2",
    "epsilon",
];

impl TrainingConfig {
    fn adam(&self) -> (f64, f64, f64) {
        match self.core.optimizer {
            Optimizer::Adam { beta1, beta2, epsilon } => (beta1, beta2, epsilon),
            Optimizer::Sgd { .. } => (0.9, 0.999, 1e-8),
        }
    }
}

/// What a training did. Documented in `_native.pyi`.
#[pyclass(frozen, module = "inhabit._native")]
#[derive(Debug)]
pub(crate) struct TrainingResult {
    #[pyo3(get)]
    network: Py<Network>,
    #[pyo3(get)]
    status: &'static str,
    #[pyo3(get)]
    epochs: u32,
    #[pyo3(get)]
    best_epoch: u32,
    #[pyo3(get)]
    loss: f64,
    #[pyo3(get)]
    losses: Vec<f64>,
    #[pyo3(get)]
    validation_losses: Vec<f64>,
    parameters: Box<[f32]>,
}

#[pymethods]
impl TrainingResult {
    #[getter]
    fn parameters<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<f32>> {
        PyArray1::from_slice(py, &self.parameters)
    }

    fn __repr__(&self) -> String {
        format!(
            "TrainingResult(status='{}', epochs={}, loss={:.6})",
            self.status, self.epochs, self.loss
        )
    }
}

/// What a progress callback sees after each epoch.
#[pyclass(frozen, module = "inhabit._native", get_all)]
#[derive(Debug)]
pub(crate) struct TrainingProgress {
    epoch: u32,
    epochs: u32,
    loss: f64,
    validation_loss: Option<f64>,
}

/// Samples times parameters per slice: a few milliseconds, after which signals (Ctrl-C) and the deadline are
/// looked at. A sample of a small network takes as long as one of the default network's 321 parameters.
const SLICE: u64 = 100_000 * 321;

/// Trains `network` in place. Documented in `_native.pyi`.
#[pyfunction]
#[pyo3(signature = (network, X, y, config=None, sample_weight=None, *, progress=None, deadline_s=None))]
#[allow(non_snake_case)]
pub(crate) fn train<'py>(
    py: Python<'py>,
    network: &Bound<'py, Network>,
    X: &Bound<'py, PyAny>,
    y: &Bound<'py, PyAny>,
    config: Option<&Bound<'py, TrainingConfig>>,
    sample_weight: Option<&Bound<'py, PyAny>>,
    progress: Option<Py<PyAny>>,
    deadline_s: Option<f64>,
) -> PyResult<TrainingResult> {
    let started = Instant::now();
    let deadline = match deadline_s {
        Some(seconds) => match Duration::try_from_secs_f64(seconds) {
            Ok(duration) => Some(duration),
            Err(_) => {
                let message = format!("deadline_s: expected at least 0 seconds, got {seconds}");
                return Err(ConfigError::new_err(message));
            }
        },
        None => None,
    };
    let shape = network.get().core;
    let data = Data::read(&shape, X, y, sample_weight)?;
    let samples = data.samples(&shape)?;
    let (mut config, anchor) = match config {
        Some(config) => (config.get().core, config.get().anchor.as_deref()),
        None => (core::TrainingConfig::default(), None),
    };
    config.track_loss = progress.is_some();

    let initial = network.get().snapshot(py);
    let mut floats = vec![0.0; Memory::floats(&shape)];
    let mut order = vec![0; samples.rows()];
    let mut memory = Memory { floats: &mut floats, order: &mut order };
    let mut training =
        core::Training::start(&shape, &config, &samples, &initial, &mut memory).into_py()?;

    let mut losses = Vec::new();
    let mut validation_losses = Vec::new();
    let mut status = Status::Running;
    let mut expired = false;
    let slice_samples = SLICE / shape.n_parameters().max(321) as u64;
    let slice = (slice_samples / u64::from(config.batch_size)).max(1);
    while status == Status::Running && !expired {
        let mut refused = None;
        status = py
            .detach(|| {
                let mut observe = |step: &Progress| {
                    if config.track_loss {
                        losses.push(step.loss);
                    }
                    if config.patience.is_some() {
                        validation_losses.push(step.validation_loss);
                    }
                    let Some(callback) = &progress else { return ControlFlow::Continue(()) };
                    match Python::attach(|py| report(py, callback, step)) {
                        Ok(flow) => flow,
                        Err(error) => {
                            refused = Some(error);
                            ControlFlow::Break(())
                        }
                    }
                };
                training.run(&samples, anchor, &mut memory, slice, &mut observe)
            })
            .into_py()?;
        if let Some(error) = refused {
            return Err(error);
        }
        py.check_signals()?;
        expired = deadline.is_some_and(|deadline| started.elapsed() >= deadline);
    }

    let parameters: Box<[f32]> = training.parameters(&memory).into();
    let mut scratch = vec![0.0; shape.n_units()];
    let loss = py.detach(|| shape.mean_loss(&parameters, &samples, &mut scratch)).into_py()?;
    network.get().replace(py, &parameters)?;
    Ok(TrainingResult {
        network: network.clone().unbind(),
        status: match status {
            Status::Running => "deadline",
            Status::Finished => "finished",
            Status::StoppedEarly => "stopped_early",
            Status::Cancelled => "cancelled",
        },
        epochs: training.epoch(),
        best_epoch: if config.patience.is_some() {
            training.best_epoch()
        } else {
            training.epoch()
        },
        loss,
        losses,
        validation_losses,
        parameters,
    })
}

/// Calls `progress`; `False` asks to stop.
fn report(py: Python<'_>, callback: &Py<PyAny>, step: &Progress) -> PyResult<ControlFlow<()>> {
    let progress = TrainingProgress {
        epoch: step.epoch,
        epochs: step.epochs,
        loss: step.loss,
        validation_loss: (!step.validation_loss.is_nan()).then_some(step.validation_loss),
    };
    let answer = callback.call1(py, (progress,))?;
    let stop = answer.bind(py).is(pyo3::types::PyBool::new(py, false));
    Ok(if stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
}
