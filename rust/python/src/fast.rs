//! The only `unsafe` of this crate: what makes one prediction cost little more than a Python call, and
//! reading thousands of arrays no more than thousands of times one.
//!
//! Reading an array through the buffer protocol, converting a list through generic extraction or
//! taking a lock would each cost more than the network itself.

use std::cell::UnsafeCell;

use numpy::{
    PyArrayDescrMethods, PyArrayDyn, PyArrayMethods, PyUntypedArray, npyffi::PyArrayObject,
};
use pyo3::{ffi, intern, prelude::*, sync::PyOnceLock};

use crate::network::Network;

#[cfg(Py_GIL_DISABLED)]
compile_error!("GilCell is sound only where the GIL makes attached threads take turns");

/// A value that is only touched by a thread that holds the GIL.
#[derive(Debug)]
pub(crate) struct GilCell<T>(UnsafeCell<T>);

// SAFETY: `with` and `replace` need a `Python` token, so that one thread at a time is inside; and
// neither runs anything that could let go of the GIL meanwhile (see there).
unsafe impl<T: Send> Sync for GilCell<T> {}

impl<T> GilCell<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }

    /// Looks at the value. `look` computes; it does not call Python, which could come back here.
    #[inline]
    pub(crate) fn with<R>(&self, _: Python<'_>, look: impl FnOnce(&T) -> R) -> R {
        // SAFETY: the GIL is held for the whole call, and `look` neither releases it nor re-enters.
        look(unsafe { &*self.0.get() })
    }

    /// Puts in another value and returns the old one, which the caller drops afterwards.
    pub(crate) fn replace(&self, _: Python<'_>, value: T) -> T {
        // SAFETY: as in `with`: nobody else looks now. A move runs no foreign code.
        unsafe { core::mem::replace(&mut *self.0.get(), value) }
    }
}

/// What an exact float32 array is known by.
struct Numpy {
    /// The address of `numpy.ndarray`.
    array: usize,
    /// The address of the one `numpy.dtype("float32")` in native byte order.
    float32: usize,
}

/// The numbers of a C-contiguous array, row-major, without a guard against being written meanwhile.
///
/// For many arrays: they tend to be views of one, and each new guard is compared with all others of it.
pub(crate) fn unguarded<'a>(array: &'a Bound<'_, PyArrayDyn<f32>>) -> &'a [f32] {
    // SAFETY: whoever holds the slice holds the array, and numpy neither frees nor moves the numbers of
    // an array that somebody holds (unless told not to look, by `resize(refcheck=False)`: whoever says so
    // answers for it). Nothing of ours writes to them. Python code in another thread can,
    // as it can while numpy computes without the GIL: then old numbers are mixed with new ones. Any bits
    // are a number, none of them becomes an index or a length, and what comes of a training is checked
    // for being finite after each epoch.
    unsafe { array.as_slice() }.unwrap_or(&[])
}

/// Calls `predict` with the row that a float32 array, a list or a tuple of floats holds, without any
/// conversion.
///
/// `None` if `x` is anything else, also of another length: then the general path, slow and with
/// messages, decides. `predict` computes; it does not call Python.
#[inline]
pub(crate) fn with_row<const N: usize, R>(
    x: &Bound<'_, PyAny>,
    predict: impl FnOnce(&[f32; N]) -> R,
) -> Option<R> {
    let numpy = numpy(x.py())?;
    // SAFETY: `x` is a live object, and so is its type.
    let kind = unsafe { ffi::Py_TYPE(x.as_ptr()) };
    if kind as usize == numpy.array {
        return array_row(x, numpy.float32).map(predict);
    }
    let is_list = kind == &raw mut ffi::PyList_Type;
    if is_list || kind == &raw mut ffi::PyTuple_Type {
        let mut row = [0.0; N];
        return sequence_row(x, is_list, &mut row).then(|| predict(&row));
    }
    None
}

#[inline]
fn array_row<'a, const N: usize>(x: &'a Bound<'_, PyAny>, float32: usize) -> Option<&'a [f32; N]> {
    // SAFETY: the type is exactly `numpy.ndarray`, whose instances begin with this structure in every
    // numpy that this crate supports (the ABI of 1.x and 2.x).
    let array = unsafe { &(*x.as_ptr().cast::<PyArrayObject>()).fields };
    if array.descr as usize != float32 || array.nd != 1 {
        return None;
    }
    // SAFETY: with one dimension, `dimensions` and `strides` point at one number each.
    let (length, stride) = unsafe { (*array.dimensions, *array.strides) };
    let data = array.data.cast::<[f32; N]>();
    if length as usize != N || stride as usize != size_of::<f32>() || !data.is_aligned() {
        return None;
    }
    // SAFETY: `data` points at N aligned, contiguous float32 in native byte order, alive as long as
    // `x`; the GIL is held while they are read. Should numpy write them meanwhile in a thread that let go
    // of it, old numbers are mixed with new ones: any bits are a number, and the prediction is checked.
    Some(unsafe { &*data })
}

/// Fills `row` from a list or tuple of N exact floats; whether it is one.
#[inline]
#[allow(clippy::cast_possible_truncation)] // rounding to float32 is the purpose
fn sequence_row<const N: usize>(x: &Bound<'_, PyAny>, is_list: bool, row: &mut [f32; N]) -> bool {
    let x = x.as_ptr();
    // SAFETY: `x` is exactly a list or a tuple. Items are borrowed, and nothing between taking one and
    // reading it can run Python code: an exact float converts without any.
    unsafe {
        let length = if is_list { ffi::PyList_Size(x) } else { ffi::PyTuple_Size(x) };
        if length != N as ffi::Py_ssize_t {
            return false;
        }
        for (i, number) in (0..).zip(row) {
            let item = if is_list { ffi::PyList_GetItem(x, i) } else { ffi::PyTuple_GetItem(x, i) };
            if ffi::Py_TYPE(item) != &raw mut ffi::PyFloat_Type {
                return false;
            }
            *number = ffi::PyFloat_AsDouble(item) as f32;
        }
    }
    true
}

/// Looks numpy's objects up once.
#[inline]
fn numpy(py: Python<'_>) -> Option<&'static Numpy> {
    static NUMPY: PyOnceLock<Numpy> = PyOnceLock::new();
    if let Some(numpy) = NUMPY.get(py) {
        return Some(numpy);
    }
    // Both live as long as the interpreter: numpy keeps its type and its built-in dtypes.
    let array = py.get_type::<PyUntypedArray>().as_ptr() as usize;
    let float32 = numpy::dtype::<f32>(py).as_dtype_ptr() as usize;
    Some(NUMPY.get_or_init(py, || Numpy { array, float32 }))
}

/// Gives `Network` its method `predict` as a plain C function of one argument.
///
/// The general machinery (argument parsing, the panic guard, the attach counter) would add half of
/// what the prediction itself costs.
pub(crate) fn add_predict(py: Python<'_>) -> PyResult<()> {
    /// `PyMethodDef` holds pointers, so it is not `Sync` by itself.
    struct Method(UnsafeCell<ffi::PyMethodDef>);
    // SAFETY: CPython reads the definition and never writes it.
    unsafe impl Sync for Method {}

    static METHOD: Method = Method(UnsafeCell::new(ffi::PyMethodDef {
        ml_name: c"predict".as_ptr(),
        ml_meth: ffi::PyMethodDefPointer { PyCFunction: predict },
        ml_flags: ffi::METH_O,
        ml_doc: c"predict($self, x, /)\n--\n\nPredict one row.".as_ptr(),
    }));
    let class = py.get_type::<Network>();
    // SAFETY: `class` is a type, and the definition lives forever.
    let method = unsafe {
        let method = ffi::PyDescr_NewMethod(class.as_type_ptr(), METHOD.0.get());
        Bound::from_owned_ptr_or_err(py, method)?
    };
    class.setattr("predict", method)
}

/// `Network.predict(x)`
unsafe extern "C" fn predict(slf: *mut ffi::PyObject, x: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: Python calls with the GIL held and live arguments, and the descriptor made sure that
    // `slf` is a `Network`. Nothing below panics.
    unsafe {
        let py = Python::assume_attached();
        let network = Bound::ref_from_ptr(py, &slf).cast_unchecked::<Network>();
        let prediction =
            with_row(Bound::ref_from_ptr(py, &x), |row| network.get().predict_row(py, row));
        if let Some(Some(prediction)) = prediction {
            return ffi::PyFloat_FromDouble(f64::from(prediction));
        }
        // Another kind of argument, another shape of network, or an error that wants words.
        let name = intern!(py, "_predict_general").as_ptr();
        ffi::PyObject_CallMethodObjArgs(slf, name, x, core::ptr::null_mut::<ffi::PyObject>())
    }
}
