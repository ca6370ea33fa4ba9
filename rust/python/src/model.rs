//! `ModelConfig`, `Prior`, `Model`.

use std::sync::{Mutex, MutexGuard, PoisonError};

use inhabit_core::{
    Network as Shape,
    generation::{CONFIG_LEN, decode_config, encode_config},
    model::{self as core, Memory, N_EXPERTS, Outcome},
};
use numpy::{Element, PyArray1, PyReadonlyArray1, PyUntypedArrayMethods};
use pyo3::{exceptions::PyTypeError, prelude::*, types::PyDict};

use crate::{
    arrays::{Floats, is_plain},
    error::{ConfigError, IntoPyResult, ShapeError},
    integers,
    network::{activation, activation_name},
    walk_forward::{Buffers, Columns, walk_rows},
};

/// How a model is built. Documented in `_native.pyi`.
#[pyclass(frozen, eq, module = "inhabit._native")]
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ModelConfig {
    core: core::ModelConfig,
}

#[pymethods]
impl ModelConfig {
    #[new]
    #[pyo3(signature = (
        n_inputs=10, rates=vec![1, 5, 6, 7, 8], *, hidden_layers=Some(vec![16, 8]), hidden="relu",
        share=None, retention=None, quick_retention=None, pull=None, learning_rate=None, epochs=None,
        batch_size=None, retrain_every=None, retrain_window=None, seed=0,
    ))]
    fn new(
        #[pyo3(from_py_with = integers::n_inputs)] n_inputs: usize,
        #[pyo3(from_py_with = integers::rates)] rates: Vec<usize>,
        #[pyo3(from_py_with = integers::hidden_layers)] hidden_layers: Option<Vec<usize>>,
        hidden: &str,
        share: Option<f64>,
        retention: Option<f64>,
        quick_retention: Option<f64>,
        pull: Option<f64>,
        learning_rate: Option<f64>,
        #[pyo3(from_py_with = integers::optional_epochs)] epochs: Option<u32>,
        #[pyo3(from_py_with = integers::optional_batch_size)] batch_size: Option<u32>,
        #[pyo3(from_py_with = integers::retrain_every)] retrain_every: Option<u32>,
        #[pyo3(from_py_with = integers::retrain_window)] retrain_window: Option<u32>,
        #[pyo3(from_py_with = integers::seed)] seed: u64,
    ) -> PyResult<Self> {
        let mut mask = 0;
        for rate in rates {
            if rate >= n_inputs.min(64) {
                let message =
                    format!("rates: expected indices of the {n_inputs} inputs, got {rate}");
                return Err(ConfigError::new_err(message));
            }
            mask |= 1 << rate;
        }
        let mut config = core::ModelConfig::new(n_inputs, mask).into_py()?;
        config.network = match hidden_layers {
            None => None,
            Some(units) => {
                let layers: Vec<usize> = [n_inputs].into_iter().chain(units).chain([1]).collect();
                let loss = inhabit_core::Loss::BceWithLogits;
                Some(Shape::new(&layers, activation("hidden", hidden)?, loss).into_py()?)
            }
        };
        let training = &mut config.training;
        training.l2 = pull.unwrap_or(training.l2);
        training.learning_rate = learning_rate.unwrap_or(training.learning_rate);
        training.epochs = epochs.unwrap_or(training.epochs);
        training.batch_size = batch_size.unwrap_or(training.batch_size);
        training.seed = seed;
        config.share = share.unwrap_or(config.share);
        config.retention = retention.unwrap_or(config.retention);
        config.quick_retention = quick_retention.unwrap_or(config.quick_retention);
        config.retrain_every = retrain_every.unwrap_or(config.retrain_every);
        config.retrain_window = retrain_window.unwrap_or(config.retrain_window);
        config.seed = seed;
        config.check().into_py()?;
        Ok(Self { core: config })
    }

    #[getter]
    fn n_inputs(&self) -> usize {
        self.core.n_inputs
    }
    #[getter]
    fn rates(&self) -> Vec<usize> {
        (0..self.core.n_inputs).filter(|i| self.core.rates >> i & 1 == 1).collect()
    }
    #[getter]
    fn layers(&self) -> Option<Vec<u16>> {
        self.core.network.map(|network| network.sizes().to_vec())
    }
    #[getter]
    fn hidden(&self) -> Option<&'static str> {
        self.core.network.map(|network| activation_name(network.hidden()))
    }
    #[getter]
    fn share(&self) -> f64 {
        self.core.share
    }
    #[getter]
    fn retention(&self) -> f64 {
        self.core.retention
    }
    #[getter]
    fn quick_retention(&self) -> f64 {
        self.core.quick_retention
    }
    #[getter]
    fn pull(&self) -> f64 {
        self.core.training.l2
    }
    #[getter]
    fn learning_rate(&self) -> f64 {
        self.core.training.learning_rate
    }
    #[getter]
    fn epochs(&self) -> u32 {
        self.core.training.epochs
    }
    #[getter]
    fn batch_size(&self) -> u32 {
        self.core.training.batch_size
    }
    #[getter]
    fn retrain_every(&self) -> u32 {
        self.core.retrain_every
    }
    #[getter]
    fn retrain_window(&self) -> u32 {
        self.core.retrain_window
    }
    #[getter]
    fn seed(&self) -> u64 {
        self.core.seed
    }
    #[getter]
    fn n_weights(&self) -> usize {
        self.core.n_weights()
    }
    #[getter]
    fn n_state(&self) -> usize {
        self.core.n_state()
    }
    #[getter]
    fn n_parameters(&self) -> usize {
        self.core.n_parameters()
    }

    fn __repr__(&self) -> String {
        let (rates, layers) = (self.rates(), self.layers());
        format!("ModelConfig(n_inputs={}, rates={rates:?}, layers={layers:?})", self.core.n_inputs)
    }
}

/// What a model knows before the first outcome. Documented in `_native.pyi`.
#[pyclass(frozen, module = "inhabit._native")]
#[derive(Debug)]
pub(crate) struct Prior {
    config: core::ModelConfig,
    network: Option<Box<[f32]>>,
    mean: Vec<f64>,
    variance: Vec<f64>,
    experts: Vec<f64>,
}

#[pymethods]
impl Prior {
    #[new]
    #[pyo3(signature = (config=None, *, network=None, mean=None, variance=None, experts=None))]
    fn new(
        config: Option<&Bound<'_, ModelConfig>>,
        network: Option<&Bound<'_, PyAny>>,
        mean: Option<Vec<f64>>,
        variance: Option<Vec<f64>>,
        experts: Option<Vec<f64>>,
    ) -> PyResult<Self> {
        let config = config_or_default(config)?;
        let base = core::Prior::uninformed(&config);
        let network = match network {
            None => None,
            Some(value) => {
                let floats = Floats::read("network", value)?;
                Some(floats.vector_of(network_len(&config, floats.as_slice().len()))?.into())
            }
        };
        let mut prior = Self {
            config,
            network: present(network),
            mean: mean.unwrap_or_else(|| base.mean(&config).to_vec()),
            variance: variance.unwrap_or_else(|| base.variance(&config).to_vec()),
            experts: experts.unwrap_or_else(|| base.experts().to_vec()),
        };
        prior.experts = prior.core()?.experts().to_vec();
        Ok(prior)
    }

    #[getter]
    fn config(&self) -> ModelConfig {
        ModelConfig { core: self.config }
    }
    #[getter]
    fn network<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyArray1<f32>>> {
        self.network.as_deref().map(|parameters| PyArray1::from_slice(py, parameters))
    }
    #[getter]
    fn mean<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<f64>> {
        PyArray1::from_slice(py, &self.mean)
    }
    #[getter]
    fn variance<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<f64>> {
        PyArray1::from_slice(py, &self.variance)
    }
    #[getter]
    fn experts<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<f64>> {
        PyArray1::from_slice(py, &self.experts)
    }

    fn tensors<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.write_tensors(py, &self.config)
    }

    #[staticmethod]
    fn from_tensors(tensors: &Bound<'_, PyDict>) -> PyResult<Self> {
        let numbers = tensor::<f64>(tensors, "model.config", CONFIG_LEN)?;
        let numbers = numbers.as_slice().try_into().map_err(|_| {
            ShapeError::new_err(format!("model.config: expected {CONFIG_LEN} numbers"))
        })?;
        let config = decode_config(numbers).into_py()?;
        let network = match tensors.get_item("prior.network")? {
            Some(value) => {
                let length = network_len(&config, value.len().unwrap_or(0));
                Some(tensor(tensors, "prior.network", length)?.into())
            }
            None => None,
        };
        let prior = Self {
            network: present(network),
            mean: tensor(tensors, "prior.mean", config.n_weights())?,
            variance: tensor(tensors, "prior.variance", config.n_weights())?,
            experts: tensor(tensors, "prior.experts", N_EXPERTS)?,
            config,
        };
        prior.core()?;
        Ok(prior)
    }

    fn __repr__(&self) -> String {
        let parameters = self.network.as_deref().unwrap_or_default().len();
        let members = self.config.members(parameters).unwrap_or(0);
        format!("Prior(n_inputs={}, networks={members})", self.config.n_inputs)
    }
}

impl Prior {
    /// `config` and the prior as the tensors of a generation, see `inhabit_core::generation`.
    fn write_tensors<'py>(
        &self,
        py: Python<'py>,
        config: &core::ModelConfig,
    ) -> PyResult<Bound<'py, PyDict>> {
        let tensors = PyDict::new(py);
        tensors.set_item("model.config", PyArray1::from_slice(py, &encode_config(config)))?;
        tensors.set_item("prior.mean", self.mean(py))?;
        tensors.set_item("prior.variance", self.variance(py))?;
        tensors.set_item("prior.experts", self.experts(py))?;
        if let Some(network) = self.network(py) {
            tensors.set_item("prior.network", network)?;
        }
        Ok(tensors)
    }

    pub(crate) fn core(&self) -> PyResult<core::Prior<'_>> {
        let Self { config, network, mean, variance, experts } = self;
        core::Prior::new(config, network.as_deref(), mean, variance, experts).into_py()
    }
}

/// The parameters, if there are any: of a model without networks they may also come empty.
fn present(network: Option<Box<[f32]>>) -> Option<Box<[f32]>> {
    network.filter(|parameters| !parameters.is_empty())
}

/// How many parameters a prior is to have that came with `len`: as many, if they are whole networks.
fn network_len(config: &core::ModelConfig, len: usize) -> usize {
    if config.members(len).is_some() { len } else { config.n_parameters() }
}

/// The memory of a model, owned.
#[derive(Clone, Debug)]
pub(crate) struct Owned {
    state: Vec<f64>,
    champion: Vec<f32>,
    challenger: Vec<f32>,
}

impl Owned {
    pub(crate) fn new(config: &core::ModelConfig) -> Self {
        let parameters = vec![0.0; config.n_parameters()];
        Self {
            state: vec![0.0; config.n_state()],
            champion: parameters.clone(),
            challenger: parameters,
        }
    }

    pub(crate) fn view(&mut self) -> Memory<'_> {
        let Self { state, champion, challenger } = self;
        Memory { state, champion, challenger }
    }
}

/// One person's model. Documented in `_native.pyi`.
#[pyclass(frozen, module = "inhabit._native")]
#[derive(Debug)]
pub(crate) struct Model {
    config: core::ModelConfig,
    prior: Py<Prior>,
    memory: Mutex<Owned>,
}

#[pymethods]
impl Model {
    #[new]
    #[pyo3(signature = (config=None, prior=None))]
    fn new(
        py: Python<'_>,
        config: Option<&Bound<'_, ModelConfig>>,
        prior: Option<&Bound<'_, Prior>>,
    ) -> PyResult<Self> {
        let (config, prior) = setting(py, config, prior)?;
        let mut memory = Owned::new(&config);
        core::Model::new(&config, &prior.get().core()?, memory.view()).into_py()?;
        Ok(Self::of(config, prior, memory))
    }

    #[staticmethod]
    #[pyo3(signature = (tensors, config=None, prior=None))]
    fn from_tensors(
        tensors: &Bound<'_, PyDict>,
        config: Option<&Bound<'_, ModelConfig>>,
        prior: Option<&Bound<'_, Prior>>,
    ) -> PyResult<Self> {
        let py = tensors.py();
        let stored = match (config, prior) {
            (None, None) if tensors.contains("model.config")? => {
                Some(Bound::new(py, Prior::from_tensors(tensors)?)?)
            }
            _ => None,
        };
        let (config, prior) = setting(py, config, stored.as_ref().or(prior))?;
        let mut memory = Owned {
            state: tensor(tensors, "model.state", config.n_state())?,
            champion: tensor(tensors, "model.champion", config.n_parameters())?,
            challenger: tensor(tensors, "model.challenger", config.n_parameters())?,
        };
        core::Model::resume(&config, &prior.get().core()?, memory.view()).into_py()?;
        Ok(Self::of(config, prior, memory))
    }

    fn tensors<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        // A copy: what follows may run Python code (3.11 collects garbage wherever it allocates), and that
        // may come back to this model, from this thread or another.
        let memory = self.lock().clone();
        let tensors = self.prior.get().write_tensors(py, &self.config)?;
        tensors.set_item("model.state", PyArray1::from_slice(py, &memory.state))?;
        if self.config.n_parameters() > 0 {
            tensors.set_item("model.champion", PyArray1::from_slice(py, &memory.champion))?;
            tensors.set_item("model.challenger", PyArray1::from_slice(py, &memory.challenger))?;
        }
        Ok(tensors)
    }

    #[pyo3(signature = (x, slot=0))]
    fn predict(
        &self,
        x: &Bound<'_, PyAny>,
        #[pyo3(from_py_with = integers::slot)] slot: usize,
    ) -> PyResult<f64> {
        Ok(self.prediction(x, slot)?.probability)
    }

    #[pyo3(signature = (x, slot=0))]
    fn experts<'py>(
        &self,
        py: Python<'py>,
        x: &Bound<'py, PyAny>,
        #[pyo3(from_py_with = integers::slot)] slot: usize,
    ) -> PyResult<Bound<'py, PyArray1<f64>>> {
        Ok(PyArray1::from_slice(py, &self.prediction(x, slot)?.experts))
    }

    fn learn(
        &self,
        x: &Bound<'_, PyAny>,
        #[pyo3(from_py_with = integers::slot)] slot: usize,
        #[pyo3(from_py_with = integers::label)] label: u8,
    ) -> PyResult<()> {
        let x = Floats::read("x", x)?;
        let x = x.vector_of(self.config.n_inputs)?;
        self.with(|model| model.learn(x, slot, label == 1))
    }

    #[pyo3(signature = (X, slot, label, late=None))]
    #[allow(non_snake_case, clippy::needless_pass_by_value)]
    fn learn_together(
        &self,
        X: &Bound<'_, PyAny>,
        #[pyo3(from_py_with = integers::slots)] slot: Vec<usize>,
        #[pyo3(from_py_with = integers::labels)] label: Vec<usize>,
        late: Option<Vec<bool>>,
    ) -> PyResult<()> {
        let x = Floats::read("X", X)?;
        let n = x.rows_of(self.config.n_inputs)?;
        let late = late.unwrap_or_else(|| vec![false; n]);
        for (name, actual) in [("slot", slot.len()), ("label", label.len()), ("late", late.len())] {
            if actual != n {
                let message = format!("{name}: expected one per row of X, {n}, got {actual}");
                return Err(ShapeError::new_err(message));
            }
        }
        let rows = x.as_slice().chunks_exact(self.config.n_inputs);
        let outcomes = rows
            .zip(slot.iter().zip(&label).zip(&late))
            .map(|(x, ((&slot, &label), &late))| Outcome { x, slot, positive: label == 1, late });
        self.with(|model| model.learn_together(outcomes))
    }

    fn network_input<'py>(
        &self,
        py: Python<'py>,
        x: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyArray1<f32>>> {
        let x = Floats::read("x", x)?;
        let x = x.vector_of(self.config.n_inputs)?;
        let mut out = vec![0.0; x.len()];
        self.with(|model| model.network_input(x, &mut out))?;
        Ok(PyArray1::from_vec(py, out))
    }

    #[pyo3(signature = (X, label, slot, learn_at, begin, end))]
    #[allow(non_snake_case)]
    fn walk<'py>(
        &self,
        py: Python<'py>,
        X: &Bound<'py, PyAny>,
        label: &Bound<'py, PyAny>,
        slot: &Bound<'py, PyAny>,
        learn_at: &Bound<'py, PyAny>,
        #[pyo3(from_py_with = integers::begin)] begin: usize,
        #[pyo3(from_py_with = integers::end)] end: usize,
    ) -> PyResult<Bound<'py, PyArray1<f64>>> {
        let columns = Columns::read(&self.config, X, label, slot, learn_at)?;
        let history = columns.history()?;
        let said = py.detach(|| {
            self.with(|model| walk_rows(model, &history, begin..end, &mut Buffers::default()))
        })?;
        Ok(PyArray1::from_slice(py, &said.probability[begin..end]))
    }

    fn calibrate(&self, probability: f64) -> PyResult<f64> {
        self.with(|model| model.calibrate(probability))
    }

    fn copy(&self, py: Python<'_>) -> Self {
        Self::of(self.config, self.prior.clone_ref(py), self.lock().clone())
    }

    #[getter]
    fn config(&self) -> ModelConfig {
        ModelConfig { core: self.config }
    }
    #[getter]
    fn outcomes(&self) -> PyResult<u64> {
        // A count below 2⁵³, up to the rounding of its parts.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        self.with(|model| Ok((model.outcomes() + 0.5) as u64))
    }
    #[getter]
    fn promotions(&self) -> PyResult<u32> {
        self.with(|model| Ok(model.promotions()))
    }
    #[getter]
    fn weights<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray1<f64>>> {
        let weights = self.with(|model| Ok(model.weights().to_vec()))?;
        Ok(PyArray1::from_vec(py, weights))
    }
    #[getter]
    fn mean<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray1<f64>>> {
        let mean = self.with(|model| Ok(model.mean().to_vec()))?;
        Ok(PyArray1::from_vec(py, mean))
    }
    #[getter]
    fn variance<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray1<f64>>> {
        let variance = self.with(|model| Ok(model.variance().collect()))?;
        Ok(PyArray1::from_vec(py, variance))
    }

    fn __repr__(&self) -> PyResult<String> {
        let (outcomes, promotions) = (self.outcomes()?, self.promotions()?);
        Ok(format!("Model(outcomes={outcomes}, promotions={promotions})"))
    }
}

impl Model {
    pub(crate) fn of(config: core::ModelConfig, prior: Py<Prior>, memory: Owned) -> Self {
        Self { config, prior, memory: Mutex::new(memory) }
    }

    fn lock(&self) -> MutexGuard<'_, Owned> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(
        &self,
        act: impl FnOnce(&mut core::Model<'_>) -> inhabit_core::Result<T>,
    ) -> PyResult<T> {
        let prior = self.prior.get().core()?;
        let mut memory = self.lock();
        let mut model = core::Model::attach(&self.config, &prior, memory.view()).into_py()?;
        act(&mut model).into_py()
    }

    fn prediction(&self, x: &Bound<'_, PyAny>, slot: usize) -> PyResult<core::Prediction> {
        let x = Floats::read("x", x)?;
        let x = x.vector_of(self.config.n_inputs)?;
        self.with(|model| model.predict(x, slot))
    }
}

/// The configuration and the prior, with defaults for what is absent.
pub(crate) fn setting(
    py: Python<'_>,
    config: Option<&Bound<'_, ModelConfig>>,
    prior: Option<&Bound<'_, Prior>>,
) -> PyResult<(core::ModelConfig, Py<Prior>)> {
    let prior = match prior {
        None => Py::new(py, Prior::new(config, None, None, None, None)?)?,
        Some(prior) => prior.clone().unbind(),
    };
    let theirs = prior.get().config;
    let config = config.map_or(theirs, |config| config.get().core);
    let same = (config.n_inputs, config.rates, config.network)
        == (theirs.n_inputs, theirs.rates, theirs.network);
    if same {
        return Ok((config, prior));
    }
    Err(ConfigError::new_err("prior: expected one for the inputs, rates and layers of config"))
}

fn config_or_default(config: Option<&Bound<'_, ModelConfig>>) -> PyResult<core::ModelConfig> {
    match config {
        Some(config) => Ok(config.get().core),
        None => core::ModelConfig::new(10, 0b1_1110_0010).into_py(),
    }
}

/// A column of `n` elements of exactly this type.
pub(crate) fn column<'py, T: Element>(
    argument: &str,
    value: &Bound<'py, PyAny>,
    dtype: &str,
    n: usize,
) -> PyResult<PyReadonlyArray1<'py, T>> {
    let Ok(array) = value.extract::<PyReadonlyArray1<'py, T>>() else {
        let message = format!("{argument}: expected a one-dimensional numpy array of {dtype}");
        return Err(PyTypeError::new_err(message));
    };
    if array.len() == n && is_plain(&*array) {
        return Ok(array);
    }
    let message = format!(
        "{argument}: expected a contiguous, aligned array of shape ({n},), got {:?}",
        array.shape()
    );
    Err(ShapeError::new_err(message))
}

/// The numbers of the tensor `name`; absent is empty.
fn tensor<T: Element + Copy>(
    tensors: &Bound<'_, PyDict>,
    name: &str,
    n: usize,
) -> PyResult<Vec<T>> {
    let Some(value) = tensors.get_item(name)? else {
        if n == 0 {
            return Ok(Vec::new());
        }
        return Err(ShapeError::new_err(format!("{name}: expected {n} numbers, got none")));
    };
    let dtype = if size_of::<T>() == 8 { "float64" } else { "float32" };
    Ok(column::<T>(name, &value, dtype, n)?.as_slice()?.to_vec())
}
