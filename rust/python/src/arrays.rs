//! Arrays at the door: C-contiguous, aligned float32 comes in without a copy; other numbers (booleans,
//! integers, floats of any width, layout, byte order and alignment) are copied; the rest is an error that
//! names the argument.

use numpy::{
    BorrowError, PyArrayDyn, PyArrayMethods, PyReadonlyArrayDyn, PyReadwriteArrayDyn,
    PyUntypedArray, PyUntypedArrayMethods,
};
use pyo3::{PyTypeInfo, exceptions::PyTypeError, intern, prelude::*, types::PyDict};

use crate::{
    error::{ConfigError, ShapeError},
    fast,
};

/// A C-contiguous, aligned float32 array, ready for the core.
#[derive(Debug)]
pub(crate) struct Floats<'py> {
    array: Bound<'py, PyArrayDyn<f32>>,
    /// Refuses to let another call write to the array meanwhile.
    guard: Option<PyReadonlyArrayDyn<'py, f32>>,
    argument: &'static str,
}

impl<'py> Floats<'py> {
    /// Reads `value`, an array or anything that numpy can convert to float32.
    pub(crate) fn read(argument: &'static str, value: &Bound<'py, PyAny>) -> PyResult<Self> {
        // A subclass may hide some of its numbers, as masked arrays do.
        if let Ok(array) = value.cast::<PyArrayDyn<f32>>()
            && is_plain(array)
            && array.get_type().is(PyUntypedArray::type_object(value.py()))
        {
            let guard = array
                .try_readonly()
                .map_err(|error| PyTypeError::new_err(format!("{argument}: {error}")))?;
            return Ok(Self { array: array.clone(), guard: Some(guard), argument });
        }
        match convert(value) {
            Ok(array) => Ok(Self { guard: Some(array.readonly()), array, argument }),
            Err((got, cause)) => {
                let message = format!("{argument}: expected numbers that fit float32, got {got}");
                let error = PyTypeError::new_err(message);
                error.set_cause(value.py(), cause);
                Err(error)
            }
        }
    }

    /// The same without its guard, see [`fast::unguarded`].
    pub(crate) fn unguarded(mut self) -> Self {
        self.guard = None;
        self
    }

    /// The numbers, row-major.
    pub(crate) fn as_slice(&self) -> &[f32] {
        match &self.guard {
            Some(guard) => guard.as_slice().unwrap_or(&[]),
            None => fast::unguarded(&self.array),
        }
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
    /// Refuses anything but a writable, C-contiguous, aligned float32 array of this shape.
    pub(crate) fn new(
        argument: &'static str,
        value: &Bound<'py, PyAny>,
        shape: &[usize],
    ) -> PyResult<Self> {
        let array = value
            .cast::<PyArrayDyn<f32>>()
            .ok()
            .filter(|array| is_plain(*array) && array.shape() == shape);
        let Some(array) = array else {
            return Err(ShapeError::new_err(format!(
                "{argument}: expected a writable, C-contiguous, aligned float32 array of shape {}",
                shape_text(shape)
            )));
        };
        match array.try_readwrite() {
            Ok(array) => Ok(Self { object: value.clone(), array }),
            Err(BorrowError::NotWriteable) => Err(ConfigError::new_err(format!(
                "{argument}: expected an array that can be written, got a read-only one"
            ))),
            Err(_) => Err(ConfigError::new_err(format!(
                "{argument}: expected memory of its own, got an array that is in use"
            ))),
        }
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

/// Whether the numbers are a slice as they lie in memory.
pub(crate) fn is_plain<'py>(array: &impl PyUntypedArrayMethods<'py>) -> bool {
    array.is_c_contiguous() && array.is_aligned()
}

fn shape_text(shape: &[usize]) -> String {
    let sizes: Vec<String> = shape.iter().map(ToString::to_string).collect();
    let comma = if sizes.len() == 1 { "," } else { "" };
    format!("({}{comma})", sizes.join(", "))
}

/// `numpy.require(value, "float32", "CA")`, of numbers only; or what came instead, and why that
/// cannot be converted.
fn convert<'py>(
    value: &Bound<'py, PyAny>,
) -> Result<Bound<'py, PyArrayDyn<f32>>, (String, Option<PyErr>)> {
    let py = value.py();
    let type_name =
        || value.get_type().name().map_or_else(|_| "an object".into(), |name| name.to_string());
    let failed = |error| (type_name(), Some(error));
    let numpy = py.import(intern!(py, "numpy")).map_err(failed)?;
    if is_masked(value).map_err(failed)? {
        return Err(("masked values".into(), None));
    }
    let array = numpy.call_method1(intern!(py, "asarray"), (value,)).map_err(failed)?;
    let dtype = array.getattr(intern!(py, "dtype")).map_err(failed)?;
    let kind: String =
        dtype.getattr(intern!(py, "kind")).and_then(|kind| kind.extract()).map_err(failed)?;
    // Booleans, signed and unsigned integers, floats. NumPy would also make numbers of texts, of times
    // and of half of a complex number.
    if !["b", "i", "u", "f"].contains(&kind.as_str()) {
        return Err((format!("{} of {dtype}", type_name()), None));
    }
    to_float32(&numpy, &array).map_err(failed)
}

fn is_masked(value: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = value.py();
    match value.cast::<PyUntypedArray>().ok().map(|array| array.getattr(intern!(py, "mask"))) {
        Some(Ok(mask)) => mask.call_method0(intern!(py, "any"))?.is_truthy(),
        _ => Ok(false),
    }
}

fn to_float32<'py>(
    numpy: &Bound<'py, PyModule>,
    array: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyArrayDyn<f32>>> {
    let py = numpy.py();
    // Numbers beyond float32 become infinite; the core refuses those by name, so no warning as well.
    let quiet = PyDict::new(py);
    quiet.set_item(intern!(py, "over"), intern!(py, "ignore"))?;
    let quiet = numpy.call_method(intern!(py, "errstate"), (), Some(&quiet))?;
    quiet.call_method0(intern!(py, "__enter__"))?;
    // "CA": C-contiguous and aligned.
    let arguments = (array, intern!(py, "float32"), intern!(py, "CA"));
    let converted = numpy.call_method1(intern!(py, "require"), arguments);
    quiet.call_method1(intern!(py, "__exit__"), (py.None(), py.None(), py.None()))?;
    Ok(converted?.cast_into::<PyArrayDyn<f32>>()?)
}
