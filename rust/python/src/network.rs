//! `Network`: a shape and its parameters.

use std::sync::{Arc, RwLock};

use inhabit_core::{Activation, Loss, Network as Core, Samples};
use numpy::{PyArray1, PyArray2, PyArrayMethods};
use pyo3::{prelude::*, types::PyTuple};

use crate::{
    arrays::Floats,
    error::{ConfigError, IntoPyResult, ShapeError},
};

/// A fully connected network and its parameters. Documented in `_native.pyi`.
#[pyclass(frozen, module = "inhabit._native", name = "Network")]
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) core: Core,
    parameters: RwLock<Arc<[f32]>>,
}

impl Network {
    pub(crate) fn with_parameters(core: Core, parameters: Arc<[f32]>) -> Self {
        Self { core, parameters: RwLock::new(parameters) }
    }

    /// The parameters of now; assigning new ones does not change this snapshot.
    pub(crate) fn snapshot(&self) -> Arc<[f32]> {
        Arc::clone(&self.parameters.read().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    pub(crate) fn replace(&self, parameters: Arc<[f32]>) {
        *self.parameters.write().unwrap_or_else(std::sync::PoisonError::into_inner) = parameters;
    }
}

#[pymethods]
impl Network {
    #[new]
    #[pyo3(signature = (layers=None, hidden="relu", seed=0, *, loss="bce_with_logits"))]
    fn new(layers: Option<Vec<i64>>, hidden: &str, seed: u64, loss: &str) -> PyResult<Self> {
        let layers = layers.unwrap_or_else(|| vec![10, 16, 8, 1]);
        let sizes: Vec<usize> =
            layers.iter().map(|&size| usize::try_from(size).unwrap_or(0)).collect();
        let hidden = activation("hidden", hidden)?;
        let loss = match loss {
            "bce_with_logits" => Loss::BceWithLogits,
            "mse" => Loss::Mse,
            other => {
                let choices = "'bce_with_logits' or 'mse'";
                return Err(ConfigError::new_err(format!("loss: expected {choices}, got {other:?}")));
            }
        };
        let core = Core::new(&sizes, hidden, loss).into_py()?;
        let mut parameters = vec![0.0; core.n_parameters()];
        core.initialize(seed, &mut parameters).into_py()?;
        Ok(Self::with_parameters(core, parameters.into()))
    }

    #[getter]
    fn layers<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.core.sizes())
    }

    #[getter]
    fn hidden(&self) -> &'static str {
        match self.core.hidden() {
            Activation::Identity => "identity",
            Activation::Relu => "relu",
            Activation::Tanh => "tanh",
            Activation::Sigmoid => "sigmoid",
        }
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
        PyArray1::from_slice(py, &self.snapshot())
    }

    #[setter]
    fn set_parameters(&self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let value = Floats::read("parameters", value)?;
        let parameters = value.vector_of(self.core.n_parameters())?;
        self.core.check_parameters(parameters).into_py()?;
        self.replace(parameters.into());
        Ok(())
    }

    fn predict(&self, x: &Bound<'_, PyAny>) -> PyResult<f64> {
        if self.core.n_outputs() != 1 {
            let outputs = self.core.n_outputs();
            return Err(ShapeError::new_err(format!(
                "predict: expected a network with one output, got {outputs}; use predict_many"
            )));
        }
        let x = Floats::read("x", x)?;
        let row = x.vector_of(self.core.n_inputs())?;
        let mut output = [0.0];
        let mut scratch = vec![0.0; self.core.n_units()];
        self.core.predict(&self.snapshot(), row, &mut output, &mut scratch).into_py()?;
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
        let parameters = self.snapshot();
        let run = |out: &mut [f32]| {
            let x = x.as_slice();
            py.detach(|| {
                let mut scratch = vec![0.0; self.core.n_units()];
                self.core.predict(&parameters, x, out, &mut scratch)
            })
            .into_py()
        };
        if let Some(out) = out {
            let mismatch = || {
                ShapeError::new_err(format!(
                    "out: expected a writable C-contiguous float32 array of shape {}",
                    if outputs == 1 { format!("({rows},)") } else { format!("({rows}, {outputs})") }
                ))
            };
            if outputs == 1 {
                let array = out.cast::<PyArray1<f32>>().map_err(|_| mismatch())?;
                let mut array = array.try_readwrite().map_err(|_| mismatch())?;
                let slice = array.as_slice_mut().map_err(|_| mismatch())?;
                if slice.len() != rows {
                    return Err(mismatch());
                }
                run(slice)?;
            } else {
                let array = out.cast::<PyArray2<f32>>().map_err(|_| mismatch())?;
                let mut array = array.try_readwrite().map_err(|_| mismatch())?;
                if array.as_array().shape() != [rows, outputs] {
                    return Err(mismatch());
                }
                run(array.as_slice_mut().map_err(|_| mismatch())?)?;
            }
            return Ok(out.clone());
        }
        let mut result = vec![0.0; rows * outputs];
        run(&mut result)?;
        let result = PyArray1::from_vec(py, result);
        if outputs == 1 { Ok(result.into_any()) } else { Ok(result.reshape([rows, outputs])?.into_any()) }
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
        let parameters = self.snapshot();
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

    fn copy(&self) -> Self {
        Self::with_parameters(self.core, self.snapshot())
    }

    fn __repr__(&self) -> String {
        let sizes: Vec<String> = self.core.sizes().iter().map(ToString::to_string).collect();
        let loss = match self.core.loss() {
            Loss::BceWithLogits => String::new(),
            Loss::Mse => ", loss='mse'".into(),
        };
        format!("Network(layers=({}), hidden='{}'{loss})", sizes.join(", "), self.hidden())
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
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
    layers: Vec<i64>,
    hidden: &str,
    loss: &str,
    parameters: &Bound<'_, PyAny>,
) -> PyResult<Network> {
    let network = Network::new(Some(layers), hidden, 0, loss)?;
    network.set_parameters(parameters)?;
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

    pub(crate) fn samples(&self, core: &Core) -> PyResult<Samples<'_>> {
        let weight = self.weight.as_ref().map(Floats::as_slice);
        Samples::new(core, self.x.as_slice(), self.y.as_slice(), weight).into_py()
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
