//! Many trainings in one call, on all cores: `train_many` for people, `ensemble` for doubt.

use std::{collections::BTreeMap, ops::ControlFlow};

use inhabit_core::{self as core, Memory, Network as Core, Samples, SplitMix64, Training, persons};
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

/// What all trainings have in common.
#[derive(Clone, Copy, Debug)]
struct Job<'a> {
    network: &'a Core,
    config: &'a core::TrainingConfig,
    anchor: Option<&'a [f32]>,
    initial: &'a [f32],
}

/// Buffers that one thread uses for one training after the other.
#[derive(Debug, Default)]
struct Buffers {
    floats: Vec<f32>,
    order: Vec<u32>,
}

impl Job<'_> {
    /// Trains everybody on all cores and writes their parameters behind each other.
    ///
    /// An error comes with the index of the person.
    fn run(
        &self,
        people: &[Samples<'_>],
        parameters: &mut [f32],
    ) -> Result<(), (usize, core::Error)> {
        let n = self.network.n_parameters();
        let trained = self
            .groups(people)
            .into_par_iter()
            .map_init(Buffers::default, |buffers, group| {
                self.train_group(buffers, people, &group).map(|parameters| (group, parameters))
            })
            .collect::<Result<Vec<_>, _>>()?;
        for (group, trained) in trained {
            for (&index, trained) in group.iter().zip(trained.chunks(n)) {
                parameters[index * n..][..n].copy_from_slice(trained);
            }
        }
        Ok(())
    }

    /// Those who can go side by side: as many samples each, enough of them for a vector.
    fn groups(&self, people: &[Samples<'_>]) -> Vec<Vec<usize>> {
        let lanes = if persons::pays(self.network) { persons::lanes() } else { 1 };
        let mut alike: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        let mut groups = Vec::new();
        for (index, samples) in people.iter().enumerate() {
            if lanes > 1 && persons::fits(self.config, samples) {
                alike.entry(samples.rows()).or_default().push(index);
            } else {
                groups.push(vec![index]);
            }
        }
        for group in alike.values().flat_map(|alike| alike.chunks(lanes)) {
            if 2 * group.len() > lanes {
                groups.push(group.to_vec());
            } else {
                groups.extend(group.iter().map(|&index| vec![index]));
            }
        }
        groups
    }

    fn train_group(
        &self,
        buffers: &mut Buffers,
        people: &[Samples<'_>],
        group: &[usize],
    ) -> Result<Vec<f32>, (usize, core::Error)> {
        let mut parameters = vec![0.0; group.len() * self.network.n_parameters()];
        let samples: Vec<Samples<'_>> = group.iter().map(|&index| people[index]).collect();
        if group.len() > 1 && self.train_side_by_side(buffers, &samples, &mut parameters).is_ok() {
            return Ok(parameters);
        }
        // Alone, or to find out whose training it is that fails.
        let each = parameters.chunks_mut(self.network.n_parameters());
        for ((samples, parameters), &index) in samples.iter().zip(each).zip(group) {
            self.train_one(buffers, samples, parameters).map_err(|error| (index, error))?;
        }
        Ok(parameters)
    }

    fn train_side_by_side(
        &self,
        buffers: &mut Buffers,
        people: &[Samples<'_>],
        parameters: &mut [f32],
    ) -> core::Result<()> {
        let rows = people[0].rows();
        let mut memory = buffers.memory(persons::floats(self.network, rows), rows);
        let Self { network, config, anchor, initial } = *self;
        persons::train(network, config, people, anchor, initial, parameters, &mut memory)
    }

    fn train_one(
        &self,
        buffers: &mut Buffers,
        samples: &Samples<'_>,
        parameters: &mut [f32],
    ) -> core::Result<()> {
        let mut memory = buffers.memory(Memory::floats(self.network), samples.rows());
        let mut training =
            Training::start(self.network, self.config, samples, self.initial, &mut memory)?;
        let mut observe = |_: &core::Progress| ControlFlow::Continue(());
        training.run(samples, self.anchor, &mut memory, u64::MAX, &mut observe)?;
        parameters.copy_from_slice(training.parameters(&memory));
        Ok(())
    }
}

impl Buffers {
    fn memory(&mut self, floats: usize, rows: usize) -> Memory<'_> {
        self.floats.resize(floats.max(self.floats.len()), 0.0);
        self.order.resize(rows.max(self.order.len()), 0);
        Memory { floats: &mut self.floats, order: &mut self.order }
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
        let job = Job { network: &shape, config: &config, anchor, initial: &initial };
        py.detach(|| job.run(samples, parameters)).map_err(|(index, error)| {
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
            let job = Job { network: &shape, config: &config, anchor, initial: &own };
            if bootstrap {
                let drawn = slices.draw(&shape, SplitMix64::new(seed));
                job.train_one(buffers, &drawn.samples(&shape)?, &mut parameters)?;
            } else {
                let mut initial = vec![0.0; shape.n_parameters()];
                shape.initialize(seed, &mut initial)?;
                let job = Job { initial: &initial, ..job };
                job.train_one(buffers, &samples, &mut parameters)?;
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
