//! Many trainings in one call, on all cores: `train_many` for people, `ensemble` for doubt.

use std::{cmp::Reverse, collections::BTreeMap, ops::ControlFlow};

use inhabit_core::{self as core, Memory, Network as Core, Samples, SplitMix64, Training, persons};
use numpy::{PyArray1, PyArrayMethods};
use pyo3::{prelude::*, types::PyTuple};

use crate::{
    error::{NativeError, ShapeError},
    integers,
    network::{Data, Network, Slices},
    training::TrainingConfig,
    workers::{Failure, Group, Workers, of_person},
};

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
    /// Those who can go side by side: as many samples each, enough of them for a vector. The longest
    /// first.
    fn groups(&self, people: &[Samples<'_>]) -> Vec<Group> {
        let lanes = if persons::pays(self.network) { persons::lanes() } else { 1 };
        let mut alike: BTreeMap<usize, Group> = BTreeMap::new();
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
        groups.sort_by_key(|group| Reverse(people[group[0]].rows() * group.len()));
        groups
    }

    fn train_group(
        &self,
        buffers: &mut Buffers,
        people: &[Samples<'_>],
        group: &[usize],
    ) -> Result<Vec<f32>, Failure> {
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
#[pyo3(signature = (network, people, config=None, *, workers=None, progress=None))]
pub(crate) fn train_many<'py>(
    py: Python<'py>,
    network: &Bound<'py, Network>,
    people: &Bound<'py, PyAny>,
    config: Option<&Bound<'py, TrainingConfig>>,
    #[pyo3(from_py_with = integers::workers)] workers: Option<usize>,
    progress: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let workers = Workers::new(py, workers, progress)?;
    let shape = network.get().core;
    let people: Vec<Data<'py>> = people
        .try_iter()?
        .enumerate()
        .map(|(index, person)| read_person(&shape, index, &person?))
        .collect::<PyResult<_>>()?;
    let slices: Vec<Slices<'_>> = people.iter().map(Data::slices).collect();
    let samples = workers.check(&slices, |slices| slices.samples(&shape))?;
    let (config, anchor) = settings(config);
    let initial = network.get().snapshot(py);
    let job = Job { network: &shape, config: &config, anchor, initial: &initial };
    let groups = job.groups(&samples);
    let trained = workers.run(
        &groups,
        |buffers, group| job.train_group(buffers, &samples, group),
        |(index, error)| of_person(py, index, NativeError::from(error).into()),
    )?;
    let n = shape.n_parameters();
    let mut parameters = vec![0.0; people.len() * n];
    for (group, trained) in groups.iter().zip(trained) {
        for (&index, trained) in group.iter().zip(trained.chunks(n)) {
            parameters[index * n..][..n].copy_from_slice(trained);
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
    #[pyo3(from_py_with = integers::members)] members: usize,
    bootstrap: bool,
) -> PyResult<Vec<Network>> {
    let shape = network.get().core;
    let data = Data::read(&shape, X, y, sample_weight)?;
    let samples = data.samples(&shape)?;
    let slices = data.slices();
    let (config, anchor) = settings(config);
    let own = network.get().snapshot(py);
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
    let groups: Vec<Group> = (0..members).map(|k| vec![k]).collect();
    let trained = Workers::new(py, None, None)?.run(
        &groups,
        |buffers, group| member(buffers, group[0]).map_err(|error| (group[0], error)),
        |(_, error)| NativeError::from(error).into(),
    )?;
    trained.iter().map(|p| Network::with_parameters(shape, p)).collect()
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
        .map(Data::unguarded)
        .map_err(|error| of_person(person.py(), index, error))
}
