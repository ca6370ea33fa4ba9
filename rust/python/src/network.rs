//! `Network`: a shape and its parameters.

use std::sync::Arc;

use inhabit_core::{
    Activation, Error, Loss, Network as Core, Predictor, Samples, SplitMix64, explain,
};
use numpy::{PyArray1, PyArrayMethods};
use pyo3::{prelude::*, types::PyTuple};
use rayon::{ThreadPool, prelude::*};

use crate::{
    arrays::{Floats, FloatsOut},
    error::{ConfigError, IntoPyResult, ShapeError},
    fast::GilCell,
    integers, workers,
};

/// A fully connected network and its parameters. Documented in `_native.pyi`.
#[pyclass(frozen, module = "inhabit._native", name = "Network")]
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) core: Core,
    state: GilCell<State>,
}

/// The parameters, finite and of the right number, and what single predictions make of them.
#[derive(Clone, Debug)]
struct State {
    parameters: Arc<[f32]>,
    predictor: Option<Arc<Predictor>>,
}

impl Network {
    pub(crate) fn with_parameters(core: Core, parameters: &[f32]) -> PyResult<Self> {
        Ok(Self { core, state: GilCell::new(State::new(&core, parameters)?) })
    }

    /// The parameters of now; assigning new ones does not change this snapshot.
    pub(crate) fn snapshot(&self, py: Python<'_>) -> Arc<[f32]> {
        self.state.with(py, |state| Arc::clone(&state.parameters))
    }

    pub(crate) fn replace(&self, py: Python<'_>, parameters: &[f32]) -> PyResult<()> {
        drop(self.state.replace(py, State::new(&self.core, parameters)?));
        Ok(())
    }

    /// The prediction for a finite row, of a network that has a [`Predictor`].
    #[inline]
    pub(crate) fn predict_row(&self, py: Python<'_>, row: &[f32; 10]) -> Option<f32> {
        self.state.with(py, |state| state.predictor.as_ref()?.predict(row).ok())
    }

    fn layers_text(&self) -> String {
        let sizes: Vec<String> = self.core.sizes().iter().map(ToString::to_string).collect();
        sizes.join(", ")
    }
}

impl State {
    fn new(core: &Core, parameters: &[f32]) -> PyResult<Self> {
        let predictor = Predictor::new(core, parameters).into_py()?.map(Arc::new);
        Ok(Self { parameters: parameters.into(), predictor })
    }
}

/// Rows per task when several cores share the work; with fewer, one core is as fast.
const TASK_ROWS: usize = 8192;

/// Predictions of all rows, by the threads of `pool` or by this one.
fn predict_rows(
    core: &Core,
    parameters: &[f32],
    x: &[f32],
    pool: Option<&ThreadPool>,
) -> inhabit_core::Result<Vec<f32>> {
    let (n_inputs, n_outputs) = (core.n_inputs(), core.n_outputs());
    let rows = x.len() / n_inputs;
    let mut output = vec![0.0; rows * n_outputs];
    let task = |(index, output): (usize, &mut [f32])| {
        let first = index * TASK_ROWS * n_inputs;
        let x = &x[first..first + output.len() / n_outputs * n_inputs];
        let mut scratch = vec![0.0; core.many_scratch()];
        core.predict_once(parameters, x, output, &mut scratch).map_err(|error| match error {
            Error::NonFinite { argument: "x", index } => {
                Error::NonFinite { argument: "X", index: first + index }
            }
            Error::Overflow { row } => Error::Overflow { row: index * TASK_ROWS + row },
            other => other,
        })
    };
    let at_once = TASK_ROWS * n_outputs;
    match pool {
        None => output.chunks_mut(at_once).enumerate().try_for_each(task),
        Some(pool) => {
            pool.install(|| output.par_chunks_mut(at_once).enumerate().try_for_each(task))
        }
    }?;
    Ok(output)
}

#[pymethods]
impl Network {
    #[new]
    #[pyo3(signature = (layers=None, hidden="relu", seed=0, *, loss="bce_with_logits"))]
    fn new(
        #[pyo3(from_py_with = integers::optional_layers)] layers: Option<Vec<usize>>,
        hidden: &str,
        #[pyo3(from_py_with = integers::seed)] seed: u64,
        loss: &str,
    ) -> PyResult<Self> {
        let sizes = layers.unwrap_or_else(|| vec![10, 16, 8, 1]);
        let hidden = activation("hidden", hidden)?;
        let loss = match loss {
            "bce_with_logits" => Loss::BceWithLogits,
            "mse" => Loss::Mse,
            other => {
                let choices = "'bce_with_logits' or 'mse'";
                return Err(ConfigError::new_err(format!(
                    "loss: expected {choices}, got {other:?}"
                )));
            }
        };
        let core = Core::new(&sizes, hidden, loss).into_py()?;
        let mut parameters = vec![0.0; core.n_parameters()];
        core.initialize(seed, &mut parameters).into_py()?;
        Self::with_parameters(core, &parameters)
    }

    #[getter]
    fn layers<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.core.sizes())
    }

    #[getter]
    fn hidden(&self) -> &'static str {
        activation_name(self.core.hidden())
    }

    #[getter]
    fn loss(&self) -> &'static str {
        match self.core.loss() {
            Loss::BceWithLogits => "bce_with_logits",
            Loss::Mse => "mse",
        }
    }

    #[getter]
    fn parameters<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<f32>> {
        PyArray1::from_slice(py, &self.snapshot(py))
    }

    #[setter]
    fn set_parameters(&self, py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let value = Floats::read("parameters", value)?;
        self.replace(py, value.vector_of(self.core.n_parameters())?)
    }

    /// What `predict` does with an argument that `fast` does not read.
    fn _predict_general(&self, x: &Bound<'_, PyAny>) -> PyResult<f64> {
        if self.core.n_outputs() != 1 {
            let outputs = self.core.n_outputs();
            return Err(ShapeError::new_err(format!(
                "predict: expected a network with one output, got {outputs}; use predict_many"
            )));
        }
        let parameters = self.snapshot(x.py());
        let x = Floats::read("x", x)?;
        let row = x.vector_of(self.core.n_inputs())?;
        let mut output = [0.0];
        let mut scratch = vec![0.0; self.core.n_units()];
        self.core.predict(&parameters, row, &mut output, &mut scratch).into_py()?;
        Ok(f64::from(output[0]))
    }

    #[pyo3(signature = (X, *, out=None))]
    #[allow(non_snake_case)]
    fn predict_many<'py>(
        &self,
        py: Python<'py>,
        X: &Bound<'py, PyAny>,
        out: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let x = Floats::read("X", X)?;
        let rows = x.rows_of(self.core.n_inputs())?;
        let outputs = self.core.n_outputs();
        let shape = if outputs == 1 { vec![rows] } else { vec![rows, outputs] };
        let mut out = out.map(|out| FloatsOut::new("out", out, &shape)).transpose()?;
        let parameters = self.snapshot(py);
        let pool = (rows >= 4 * TASK_ROWS).then(|| workers::shared(py)).transpose()?;
        let pool = pool.filter(|pool| pool.current_num_threads() > 1);
        let result = {
            let x = x.as_slice();
            py.detach(|| predict_rows(&self.core, &parameters, x, pool.as_deref())).into_py()?
        };
        // Written only now, so that an error leaves `out` as it was.
        if let Some(out) = &mut out {
            out.write(&result);
            return Ok(out.array().clone());
        }
        let result = PyArray1::from_vec(py, result);
        if outputs == 1 { Ok(result.into_any()) } else { Ok(result.reshape(shape)?.into_any()) }
    }

    #[pyo3(signature = (X, y, sample_weight=None))]
    #[allow(non_snake_case)]
    fn gradient<'py>(
        &self,
        py: Python<'py>,
        X: &Bound<'py, PyAny>,
        y: &Bound<'py, PyAny>,
        sample_weight: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<(f64, Bound<'py, PyArray1<f32>>)> {
        let data = Data::read(&self.core, X, y, sample_weight)?;
        let parameters = self.snapshot(py);
        let mut gradient = vec![0.0; self.core.n_parameters()];
        let samples = data.samples(&self.core)?;
        let loss = py
            .detach(|| {
                let mut scratch = vec![0.0; self.core.gradient_scratch()];
                self.core.gradient(&parameters, &samples, &mut gradient, &mut scratch)
            })
            .into_py()?;
        Ok((loss, PyArray1::from_vec(py, gradient)))
    }

    fn explain<'py>(
        &self,
        py: Python<'py>,
        x: &Bound<'py, PyAny>,
        background: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let n = self.core.n_inputs();
        let x = Floats::read("x", x)?;
        let single = x.shape().len() == 1;
        let rows = if single { x.vector_of(n)?.len() / n } else { x.rows_of(n)? };
        let background = Floats::read("background", background)?;
        background.rows_of(n)?;
        let parameters = self.snapshot(py);
        let mut contributions = vec![0.0; rows * n];
        let (x, background) = (x.as_slice(), background.as_slice());
        let pool = (!single).then(|| workers::shared(py)).transpose()?;
        py.detach(|| {
            let core = &self.core;
            let buffers = || (vec![0.0; explain::coalitions(core)], vec![0.0; core.many_scratch()]);
            let task = |(values, scratch): &mut (Vec<_>, Vec<_>),
                        (contributions, x): (&mut [f64], &[f32])| {
                explain::explain(core, &parameters, x, background, values, contributions, scratch)
                    .map(drop)
            };
            match pool {
                None => task(&mut buffers(), (&mut contributions, x)),
                Some(pool) => pool.install(|| {
                    let rows = contributions.par_chunks_mut(n).zip(x.par_chunks(n));
                    rows.try_for_each_init(buffers, task)
                }),
            }
        })
        .into_py()?;
        let contributions = PyArray1::from_vec(py, contributions);
        Ok(if single {
            contributions.into_any()
        } else {
            contributions.reshape([rows, n])?.into_any()
        })
    }

    fn copy(&self, py: Python<'_>) -> Self {
        let state = self.state.with(py, State::clone);
        Self { core: self.core, state: GilCell::new(state) }
    }

    fn __repr__(&self) -> String {
        let loss = match self.core.loss() {
            Loss::BceWithLogits => String::new(),
            Loss::Mse => ", loss='mse'".into(),
        };
        format!("Network(layers=({}), hidden='{}'{loss})", self.layers_text(), self.hidden())
    }

    fn __reduce__<'py>(
        slf: &Bound<'py, Self>,
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let py = slf.py();
        let this = slf.get();
        let rebuild = py.import("inhabit._native")?.getattr("_network_from_parameters")?;
        let arguments = (this.layers(py)?, this.hidden(), this.loss(), this.parameters(py));
        Ok((rebuild, arguments.into_pyobject(py)?))
    }
}

/// Rebuilds a pickled network.
#[pyfunction]
pub(crate) fn _network_from_parameters(
    #[pyo3(from_py_with = integers::layers)] layers: Vec<usize>,
    hidden: &str,
    loss: &str,
    parameters: &Bound<'_, PyAny>,
) -> PyResult<Network> {
    let network = Network::new(Some(layers), hidden, 0, loss)?;
    network.set_parameters(parameters.py(), parameters)?;
    Ok(network)
}

/// The arrays of a training call.
#[derive(Debug)]
pub(crate) struct Data<'py> {
    x: Floats<'py>,
    y: Floats<'py>,
    weight: Option<Floats<'py>>,
}

impl<'py> Data<'py> {
    pub(crate) fn read(
        core: &Core,
        x: &Bound<'py, PyAny>,
        y: &Bound<'py, PyAny>,
        sample_weight: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Self> {
        let x = Floats::read("X", x)?;
        let rows = x.rows_of(core.n_inputs())?;
        let y = Floats::read("y", y)?;
        if y.rows_of(core.n_outputs())? != rows {
            return Err(ShapeError::new_err(format!(
                "y: expected {rows} rows, as X has, got {}",
                y.shape()[0]
            )));
        }
        let weight = sample_weight.map(|w| Floats::read("sample_weight", w)).transpose()?;
        if let Some(weight) = &weight {
            weight.vector_of(rows)?;
        }
        Ok(Self { x, y, weight })
    }

    /// The same without guards, see [`Floats::unguarded`].
    pub(crate) fn unguarded(self) -> Self {
        Self {
            x: self.x.unguarded(),
            y: self.y.unguarded(),
            weight: self.weight.map(Floats::unguarded),
        }
    }

    /// What may leave the GIL behind.
    pub(crate) fn slices(&self) -> Slices<'_> {
        let weight = self.weight.as_ref().map(Floats::as_slice);
        Slices { x: self.x.as_slice(), y: self.y.as_slice(), weight }
    }

    pub(crate) fn samples(&self, core: &Core) -> PyResult<Samples<'_>> {
        self.slices().samples(core).into_py()
    }
}

/// What an activation is called.
pub(crate) const fn activation_name(activation: Activation) -> &'static str {
    match activation {
        Activation::Identity => "identity",
        Activation::Relu => "relu",
        Activation::Tanh => "tanh",
        Activation::Sigmoid => "sigmoid",
    }
}

/// The activation called `name`.
pub(crate) fn activation(argument: &str, name: &str) -> PyResult<Activation> {
    match name {
        "identity" => Ok(Activation::Identity),
        "relu" => Ok(Activation::Relu),
        "tanh" => Ok(Activation::Tanh),
        "sigmoid" => Ok(Activation::Sigmoid),
        other => {
            let choices = "'relu', 'tanh', 'sigmoid' or 'identity'";
            Err(ConfigError::new_err(format!("{argument}: expected {choices}, got {other:?}")))
        }
    }
}

/// The numbers of a training call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slices<'a> {
    x: &'a [f32],
    y: &'a [f32],
    weight: Option<&'a [f32]>,
}

impl<'a> Slices<'a> {
    pub(crate) fn samples(&self, core: &Core) -> inhabit_core::Result<Samples<'a>> {
        Samples::new(core, self.x, self.y, self.weight)
    }

    /// A bootstrap resample.
    pub(crate) fn draw(&self, core: &Core, mut generator: SplitMix64) -> Drawn {
        let (n_inputs, n_outputs) = (core.n_inputs(), core.n_outputs());
        let rows = self.x.len() / n_inputs;
        let mut drawn =
            Drawn { x: Vec::new(), y: Vec::new(), weight: self.weight.map(|_| Vec::new()) };
        for _ in 0..rows {
            let row = generator.below(rows as u32) as usize;
            drawn.x.extend_from_slice(&self.x[row * n_inputs..][..n_inputs]);
            drawn.y.extend_from_slice(&self.y[row * n_outputs..][..n_outputs]);
            if let (Some(to), Some(from)) = (&mut drawn.weight, self.weight) {
                to.push(from[row]);
            }
        }
        drawn
    }
}

/// Rows drawn with replacement, as many as there were.
#[derive(Debug)]
pub(crate) struct Drawn {
    x: Vec<f32>,
    y: Vec<f32>,
    weight: Option<Vec<f32>>,
}

impl Drawn {
    pub(crate) fn samples(&self, core: &Core) -> inhabit_core::Result<Samples<'_>> {
        Samples::new(core, &self.x, &self.y, self.weight.as_deref())
    }
}
