//! `walk_forward`, for one person and for many.

use std::{cmp::Reverse, ops::Range};

use inhabit_core::{
    Result as CoreResult,
    model::{self as core, N_EXPERTS, Scratch},
    training,
    walk_forward::{self as walk, Forecasts, History, Workspace},
};
use numpy::{PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray1};
use pyo3::{prelude::*, types::PyTuple};

use crate::{
    arrays::Floats,
    error::{IntoPyResult, NativeError, ShapeError},
    integers,
    model::{Model, ModelConfig, Owned, Prior, column, setting},
    workers::{Group, Workers, of_person},
};

/// The columns of a history, borrowed from Python.
pub(crate) struct Columns<'py> {
    x: Floats<'py>,
    label: PyReadonlyArray1<'py, i8>,
    slot: PyReadonlyArray1<'py, u8>,
    learn_at: PyReadonlyArray1<'py, u32>,
}

impl<'py> Columns<'py> {
    pub(crate) fn read(
        config: &core::ModelConfig,
        x: &Bound<'py, PyAny>,
        label: &Bound<'py, PyAny>,
        slot: &Bound<'py, PyAny>,
        learn_at: &Bound<'py, PyAny>,
    ) -> PyResult<Self> {
        let x = Floats::read("X", x)?;
        let n = x.rows_of(config.n_inputs)?;
        let label = column("label", label, "int8", n)?;
        let slot = column("slot", slot, "uint8", n)?;
        let learn_at = column("learn_at", learn_at, "uint32", n)?;
        Ok(Self { x, label, slot, learn_at })
    }

    fn of_person(config: &core::ModelConfig, person: &Bound<'py, PyAny>) -> PyResult<Self> {
        let parts = person.cast::<PyTuple>().ok().filter(|parts| parts.len() == 4);
        let Some(parts) = parts else {
            return Err(ShapeError::new_err("expected a tuple (X, label, slot, learn_at)"));
        };
        let part = |index| parts.get_item(index);
        Self::read(config, &part(0)?, &part(1)?, &part(2)?, &part(3)?)
    }

    /// What may leave the GIL behind.
    pub(crate) fn history(&self) -> PyResult<History<'_>> {
        Ok(History {
            x: self.x.as_slice(),
            label: self.label.as_slice()?,
            slot: self.slot.as_slice()?,
            learn_at: self.learn_at.as_slice()?,
        })
    }
}

/// The memory of [`Forecasts`], owned.
pub(crate) struct Said {
    pub(crate) probability: Vec<f64>,
    experts: Vec<f64>,
    promotions: Vec<u32>,
}

/// The memory of [`Workspace`], owned: for one walk after the other.
#[derive(Default)]
pub(crate) struct Buffers {
    order: Vec<u32>,
    inputs: Vec<f32>,
    outcomes: Vec<f32>,
    parts: Vec<f32>,
    training_floats: Vec<f32>,
    training_order: Vec<u32>,
}

impl Buffers {
    fn workspace(&mut self, config: &core::ModelConfig, n: usize) -> Workspace<'_> {
        let floats = config.network.as_ref().map_or(0, training::Memory::floats);
        Workspace {
            order: room(&mut self.order, 2 * n + 1),
            inputs: room(&mut self.inputs, n * config.n_inputs),
            outcomes: room(&mut self.outcomes, n),
            parts: room(&mut self.parts, n),
            scratch: Scratch {
                floats: room(&mut self.training_floats, floats),
                order: room(&mut self.training_order, n.min(config.retrain_window as usize)),
            },
        }
    }
}

/// The buffer, with room for `n` numbers.
fn room<T: Clone + Default>(buffer: &mut Vec<T>, n: usize) -> &mut [T] {
    if buffer.len() < n {
        *buffer = vec![T::default(); n];
    }
    buffer
}

/// Walks a model through some rows of a history.
pub(crate) fn walk_rows(
    model: &mut core::Model<'_>,
    history: &History<'_>,
    rows: Range<usize>,
    buffers: &mut Buffers,
) -> CoreResult<Said> {
    let n = history.label.len();
    let mut said = Said {
        probability: vec![0.0; n],
        experts: vec![0.0; n * N_EXPERTS],
        promotions: vec![0; n],
    };
    let mut forecasts = Forecasts {
        probability: &mut said.probability,
        experts: &mut said.experts,
        promotions: &mut said.promotions,
    };
    let mut workspace = buffers.workspace(model.config(), n);
    walk::walk(model, history, rows, &mut forecasts, &mut workspace)?;
    Ok(said)
}

/// Walks a fresh model through all of a history.
fn walk_person(
    config: &core::ModelConfig,
    prior: &core::Prior<'_>,
    history: &History<'_>,
    buffers: &mut Buffers,
) -> CoreResult<(Owned, Said)> {
    let mut memory = Owned::new(config);
    let mut model = core::Model::new(config, prior, memory.view())?;
    let said = walk_rows(&mut model, history, 0..history.label.len(), buffers)?;
    Ok((memory, said))
}

/// What `walk_forward` returns. Documented in `_native.pyi`.
#[pyclass(frozen, get_all, module = "inhabit._native")]
#[derive(Debug)]
pub(crate) struct WalkForward {
    probability: Py<PyArray1<f64>>,
    experts: Py<PyArray2<f64>>,
    promotions: Py<PyArray1<u32>>,
    model: Py<Model>,
}

impl WalkForward {
    fn new(
        py: Python<'_>,
        config: core::ModelConfig,
        prior: &Py<Prior>,
        (memory, said): (Owned, Said),
    ) -> PyResult<Self> {
        let shape = [said.probability.len(), N_EXPERTS];
        Ok(Self {
            probability: PyArray1::from_vec(py, said.probability).unbind(),
            experts: PyArray1::from_vec(py, said.experts).reshape(shape)?.unbind(),
            promotions: PyArray1::from_vec(py, said.promotions).unbind(),
            model: Py::new(py, Model::of(config, prior.clone_ref(py), memory))?,
        })
    }
}

/// Walks a model through one person's samples. Documented in `_native.pyi`.
#[pyfunction]
#[pyo3(signature = (X, label, slot, learn_at, config=None, prior=None))]
#[allow(non_snake_case)]
pub(crate) fn walk_forward<'py>(
    py: Python<'py>,
    X: &Bound<'py, PyAny>,
    label: &Bound<'py, PyAny>,
    slot: &Bound<'py, PyAny>,
    learn_at: &Bound<'py, PyAny>,
    config: Option<&Bound<'py, ModelConfig>>,
    prior: Option<&Bound<'py, Prior>>,
) -> PyResult<WalkForward> {
    let (config, prior) = setting(py, config, prior)?;
    let start = prior.get().core()?;
    let columns = Columns::read(&config, X, label, slot, learn_at)?;
    let history = columns.history()?;
    let walked =
        py.detach(|| walk_person(&config, &start, &history, &mut Buffers::default())).into_py()?;
    WalkForward::new(py, config, &prior, walked)
}

/// Walks a model through each person's samples. Documented in `_native.pyi`.
#[pyfunction]
#[pyo3(signature = (people, config=None, prior=None, *, workers=None, progress=None))]
pub(crate) fn walk_forward_many<'py>(
    py: Python<'py>,
    people: &Bound<'py, PyAny>,
    config: Option<&Bound<'py, ModelConfig>>,
    prior: Option<&Bound<'py, Prior>>,
    #[pyo3(from_py_with = integers::workers)] workers: Option<usize>,
    progress: Option<&Bound<'py, PyAny>>,
) -> PyResult<Vec<WalkForward>> {
    let workers = Workers::new(py, workers, progress)?;
    let (config, prior) = setting(py, config, prior)?;
    let start = prior.get().core()?;
    let people: Vec<Columns<'py>> = (0..)
        .zip(people.try_iter()?)
        .map(|(i, person)| {
            Columns::of_person(&config, &person?).map_err(|error| of_person(py, i, error))
        })
        .collect::<PyResult<_>>()?;
    let histories: Vec<History<'_>> =
        people.iter().map(Columns::history).collect::<PyResult<_>>()?;
    workers.check(&histories, |history| history.check(&config))?;
    let mut groups: Vec<Group> = (0..people.len()).map(|i| vec![i]).collect();
    groups.sort_by_key(|group| Reverse(histories[group[0]].label.len()));
    let walked = workers.run(
        &groups,
        |buffers, group| {
            let i = group[0];
            walk_person(&config, &start, &histories[i], buffers).map_err(|error| (i, error))
        },
        |(i, error)| of_person(py, i, NativeError::from(error).into()),
    )?;
    let mut walked: Vec<_> = groups.iter().zip(walked).collect();
    walked.sort_unstable_by_key(|(group, _)| group[0]);
    walked.into_iter().map(|(_, walked)| WalkForward::new(py, config, &prior, walked)).collect()
}
