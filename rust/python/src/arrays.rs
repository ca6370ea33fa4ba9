//! Arrays at the door: C-contiguous float32 comes in without a copy, anything else that numpy can
//! convert is copied, the rest is an error that names the argument.

use numpy::{
    PyArrayDyn, PyArrayMethods, PyReadonlyArrayDyn, PyReadwriteArrayDyn, PyUntypedArrayMethods,
};
use pyo3::{exceptions::PyTypeError, intern, prelude::*, types::PyDict};

use crate::error::ShapeError;

/// A C-contiguous float32 array, ready for the core.
#[derive(Debug)]
pub(crate) struct Floats<'py> {
    array: PyReadonlyArrayDyn<'py, f32>,
    argument: &'static str,
}

impl<'py> Floats<'py> {
    /// Reads `value`, an array or anything that numpy can convert to float32.
    pub(crate) fn read(argument: &'static str, value: &Bound<'py, PyAny>) -> PyResult<Self> {
        if let Ok(array) = value.cast::<PyArrayDyn<f32>>()
            && array.is_c_contiguous()
        {
            let array = array
                .try_readonly()
                .map_err(|error| PyTypeError::new_err(format!("{argument}: {error}")))?;
            return Ok(Self { array, argument });
        }
        let converted = convert(value).map_err(|error| {
            let py = value.py();
            let reason = PyTypeError::new_err(format!(
                "{argument}: expected numbers that fit float32, got {}",
                value
                    .get_type()
                    .name()
                    .map_or_else(|_| "an object".into(), |name| name.to_string()),
            ));
            reason.set_cause(py, Some(error));
            reason
        })?;
        Ok(Self { array: converted.readonly(), argument })
    }

    /// The numbers, row-major.
    pub(crate) fn as_slice(&self) -> &[f32] {
        self.array.as_slice().unwrap_or(&[])
    }

    pub(crate) fn shape(&self) -> &[usize] {
        self.array.shape()
    }

    /// Refuses any shape but `[n, columns]`; returns n. One column may also come as `[n]`.
    pub(crate) fn rows_of(&self, columns: usize) -> PyResult<usize> {
        match *self.shape() {
            [rows, actual] if actual == columns => Ok(rows),
            [rows] if columns == 1 => Ok(rows),
            _ => Err(self.shape_error(&format!("(n, {columns})"))),
        }
    }

    /// Refuses any shape but `[length]`.
    pub(crate) fn vector_of(&self, length: usize) -> PyResult<&[f32]> {
        if *self.shape() == [length] {
            Ok(self.as_slice())
        } else {
            Err(self.shape_error(&format!("({length},)")))
        }
    }

    fn shape_error(&self, expected: &str) -> PyErr {
        ShapeError::new_err(format!(
            "{}: expected shape {expected}, got {}",
            self.argument,
            shape_text(self.shape())
        ))
    }
}

/// A float32 array to write to.
#[derive(Debug)]
pub(crate) struct FloatsOut<'py> {
    object: Bound<'py, PyAny>,
    array: PyReadwriteArrayDyn<'py, f32>,
}

impl<'py> FloatsOut<'py> {
    /// Refuses anything but a writable C-contiguous float32 array of this shape.
    pub(crate) fn new(
        argument: &'static str,
        value: &Bound<'py, PyAny>,
        shape: &[usize],
    ) -> PyResult<Self> {
        let array = value.cast::<PyArrayDyn<f32>>().ok().and_then(|array| {
            let fits = array.is_c_contiguous() && array.shape() == shape;
            if fits { array.try_readwrite().ok() } else { None }
        });
        array.map(|array| Self { object: value.clone(), array }).ok_or_else(|| {
            ShapeError::new_err(format!(
                "{argument}: expected a writable C-contiguous float32 array of shape {}",
                shape_text(shape)
            ))
        })
    }

    pub(crate) fn write(&mut self, values: &[f32]) {
        if let Ok(slice) = self.array.as_slice_mut() {
            slice.copy_from_slice(values);
        }
    }

    pub(crate) fn array(&self) -> &Bound<'py, PyAny> {
        &self.object
    }
}

fn shape_text(shape: &[usize]) -> String {
    let sizes: Vec<String> = shape.iter().map(ToString::to_string).collect();
    let comma = if sizes.len() == 1 { "," } else { "" };
    format!("({}{comma})", sizes.join(", "))
}

/// `numpy.ascontiguousarray(value, dtype="float32")`
fn convert<'py>(value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyArrayDyn<f32>>> {
    let py = value.py();
    let numpy = py.import(intern!(py, "numpy"))?;
    // Numbers beyond float32 become infinite; the core refuses those by name, so no warning as well.
    let quiet = PyDict::new(py);
    quiet.set_item(intern!(py, "over"), intern!(py, "ignore"))?;
    let quiet = numpy.call_method(intern!(py, "errstate"), (), Some(&quiet))?;
    quiet.call_method0(intern!(py, "__enter__"))?;
    let arguments = (value, intern!(py, "float32"));
    let converted = numpy.call_method1(intern!(py, "ascontiguousarray"), arguments);
    quiet.call_method1(intern!(py, "__exit__"), (py.None(), py.None(), py.None()))?;
    Ok(converted?.cast_into::<PyArrayDyn<f32>>()?)
}
