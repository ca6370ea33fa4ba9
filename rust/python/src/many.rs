//! Many trainings in one call, on all cores: `train_many` for people, `ensemble` for doubt.

use std::ops::ControlFlow;

use inhabit_core::{self as core, Memory, Network as Core, Samples, SplitMix64, Training};
use numpy::{PyArray1, PyArrayMethods};
use pyo3::{prelude::*, types::PyTuple};
use rayon::prelude::*;

use crate::{
    error::{ConfigError, IntoPyResult, NativeError, ShapeError},
    network::{Data, Network},
    training::TrainingConfig,
};

/// People between two looks at signals and two calls of `progress`.
const PEOPLE_PER_SLICE: usize = 256;

/// Buffers that one thread uses for one training after the other.
#[derive(Default)]
struct Buffers {
    floats: Vec<f32>,
    order: Vec<u32>,
}

impl Buffers {
    /// Trains from `initial` to the end and writes the result to `parameters`.
    fn train(
        &mut self,
        network: &Core,
        config: &core::TrainingConfig,
        anchor: Option<&[f32]>,
        samples: &Samples<'_>,
        initial: &[f32],
        parameters: &mut [f32],
    ) -> core::Result<()> {
        self.floats.resize(Memory::floats(network), 0.0);
        self.order.resize(samples.rows().max(self.order.len()), 0);
        let mut memory = Memory { floats: &mut self.floats, order: &mut self.order };
        let mut training = Training::start(network, config, samples, initial, &mut memory)?;
        let mut observe = |_: &core::Progress| ControlFlow::Continue(());
        training.run(samples, anchor, &mut memory, u64::MAX, &mut observe)?;
        parameters.copy_from_slice(training.parameters(&memory));
        Ok(())
    }
}

/// Trains one network per person. Documented in `_native.pyi`.
#[pyfunction]
#[pyo3(signature = (network, people, config=None, *, progress=None))]
pub(crate) fn train_many<'py>(
    py: Python<'py>,
    network: &Bound<'py, Network>,
    people: &Bound<'py, PyAny>,
    config: Option<&Bound<'py, TrainingConfig>>,
    progress: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let shape = network.get().core;
    let people: Vec<Data<'py>> = people
        .try_iter()?
        .enumerate()
        .map(|(index, person)| read_person(&shape, index, &person?))
        .collect::<PyResult<_>>()?;
    let samples: Vec<Samples<'_>> = (0..)
        .zip(&people)
        .map(|(index, data)| data.samples(&shape).map_err(|e| of_person(py, index, e)))
        .collect::<PyResult<_>>()?;
    let (config, anchor) = settings(config);
    let initial = network.get().snapshot(py);
    let n = shape.n_parameters();
    let mut parameters = vec![0.0; samples.len() * n];
    let slices = samples.chunks(PEOPLE_PER_SLICE).zip(parameters.chunks_mut(PEOPLE_PER_SLICE * n));
    for (slice, (samples, parameters)) in slices.enumerate() {
        py.detach(|| {
            let people = samples.par_iter().zip(parameters.par_chunks_mut(n)).enumerate();
            people.try_for_each_init(Buffers::default, |buffers, (index, (samples, parameters))| {
                buffers
                    .train(&shape, &config, anchor, samples, &initial, parameters)
                    .map_err(|error| (index, error))
            })
        })
        .map_err(|(index, error)| {
            of_person(py, slice * PEOPLE_PER_SLICE + index, NativeError::from(error).into())
        })?;
        py.check_signals()?;
        if let Some(progress) = progress {
            progress.call1((slice * PEOPLE_PER_SLICE + samples.len(), people.len()))?;
        }
    }
    Ok(PyArray1::from_vec(py, parameters).reshape([people.len(), n])?.into_any())
}

/// Trains the same network several times. Documented in `_native.pyi`.
#[pyfunction]
#[pyo3(signature = (network, X, y, config=None, sample_weight=None, *, members=8, bootstrap=false))]
#[allow(non_snake_case)]
pub(crate) fn ensemble<'py>(
    py: Python<'py>,
    network: &Bound<'py, Network>,
    X: &Bound<'py, PyAny>,
    y: &Bound<'py, PyAny>,
    config: Option<&Bound<'py, TrainingConfig>>,
    sample_weight: Option<&Bound<'py, PyAny>>,
    members: usize,
    bootstrap: bool,
) -> PyResult<Vec<Network>> {
    if !(1..=10_000).contains(&members) {
        return Err(ConfigError::new_err(format!("members: expected 1 to 10000, got {members}")));
    }
    let shape = network.get().core;
    let data = Data::read(&shape, X, y, sample_weight)?;
    let samples = data.samples(&shape)?;
    let slices = data.slices();
    let (config, anchor) = settings(config);
    let own = network.get().snapshot(py);
    let trained = py.detach(|| {
        let member = |buffers: &mut Buffers, k: usize| {
            let seed = config.seed.wrapping_add(k as u64);
            let config = core::TrainingConfig { seed, ..config };
            let mut parameters = vec![0.0; shape.n_parameters()];
            if bootstrap {
                let drawn = slices.draw(&shape, SplitMix64::new(seed));
                let samples = drawn.samples(&shape)?;
                buffers.train(&shape, &config, anchor, &samples, &own, &mut parameters)?;
            } else {
                let mut initial = vec![0.0; shape.n_parameters()];
                shape.initialize(seed, &mut initial)?;
                buffers.train(&shape, &config, anchor, &samples, &initial, &mut parameters)?;
            }
            Ok(parameters)
        };
        (0..members)
            .into_par_iter()
            .map_init(Buffers::default, member)
            .collect::<core::Result<Vec<_>>>()
    });
    trained.into_py()?.iter().map(|p| Network::with_parameters(shape, p)).collect()
}

fn settings<'a>(
    config: Option<&'a Bound<'_, TrainingConfig>>,
) -> (core::TrainingConfig, Option<&'a [f32]>) {
    match config {
        Some(config) => (config.get().core, config.get().anchor.as_deref()),
        None => (core::TrainingConfig::default(), None),
    }
}

fn read_person<'py>(shape: &Core, index: usize, person: &Bound<'py, PyAny>) -> PyResult<Data<'py>> {
    let parts = person.cast::<PyTuple>().ok().filter(|parts| (2..=3).contains(&parts.len()));
    let Some(parts) = parts else {
        let message = format!("people[{index}]: expected a tuple (X, y) or (X, y, sample_weight)");
        return Err(ShapeError::new_err(message));
    };
    let weight = parts.get_item(2).ok().filter(|weight| !weight.is_none());
    Data::read(shape, &parts.get_item(0)?, &parts.get_item(1)?, weight.as_ref())
        .map_err(|error| of_person(person.py(), index, error))
}

/// The same error, saying whose data it is about.
fn of_person(py: Python<'_>, index: usize, error: PyErr) -> PyErr {
    let message = format!("people[{index}]: {}", error.value(py));
    PyErr::from_type(error.get_type(py), message)
}
