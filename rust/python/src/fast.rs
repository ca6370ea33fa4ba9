//! The only `unsafe` of this crate: what makes one prediction cost little more than a Python call.
//!
//! Reading an array through the buffer protocol, converting a list through generic extraction or
//! taking a lock would each cost more than the network itself.

use std::cell::UnsafeCell;

use numpy::{PyArrayDescrMethods, PyUntypedArray, npyffi::PyArrayObject};
use pyo3::{ffi, prelude::*, sync::PyOnceLock};

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

/// Reads a row of `N` numbers from a float32 array, a list or a tuple, without any conversion.
///
/// `None` if it is anything else, also of another length: then the general path, slow and with
/// messages, decides.
#[inline]
pub(crate) fn read_row<const N: usize>(x: &Bound<'_, PyAny>) -> Option<[f32; N]> {
    // SAFETY: `x` is a live object, and so is its type.
    let kind = unsafe { ffi::Py_TYPE(x.as_ptr()) };
    if kind as usize == numpy(x.py())?.array {
        return read_array(x);
    }
    if kind == &raw mut ffi::PyList_Type || kind == &raw mut ffi::PyTuple_Type {
        return read_sequence(x, kind == &raw mut ffi::PyList_Type);
    }
    None
}

#[inline]
fn read_array<const N: usize>(x: &Bound<'_, PyAny>) -> Option<[f32; N]> {
    let float32 = numpy(x.py())?.float32;
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
    // `x`. The copy is made under the GIL.
    Some(unsafe { data.read() })
}

#[inline]
#[allow(clippy::cast_possible_truncation)] // rounding to float32 is the purpose
fn read_sequence<const N: usize>(x: &Bound<'_, PyAny>, is_list: bool) -> Option<[f32; N]> {
    let x = x.as_ptr();
    let mut row = [0.0; N];
    // SAFETY: `x` is exactly a list or a tuple. Items are borrowed, and nothing between taking one and
    // reading it can run Python code: an exact float or int converts without any.
    unsafe {
        let length = if is_list { ffi::PyList_Size(x) } else { ffi::PyTuple_Size(x) };
        if length != N as ffi::Py_ssize_t {
            return None;
        }
        for (i, number) in row.iter_mut().enumerate() {
            let i = i as ffi::Py_ssize_t;
            let item = if is_list { ffi::PyList_GetItem(x, i) } else { ffi::PyTuple_GetItem(x, i) };
            if ffi::Py_TYPE(item) != &raw mut ffi::PyFloat_Type {
                return None;
            }
            *number = ffi::PyFloat_AsDouble(item) as f32;
        }
    }
    Some(row)
}

/// Looks numpy's objects up once.
#[inline]
fn numpy(py: Python<'_>) -> Option<&'static Numpy> {
    static NUMPY: PyOnceLock<Numpy> = PyOnceLock::new();
    if let Some(numpy) = NUMPY.get(py) {
        return Some(numpy);
    }
    let array = py.get_type::<PyUntypedArray>().as_ptr() as usize;
    let float32 = numpy::dtype::<f32>(py);
    let address = float32.as_dtype_ptr() as usize;
    // Both live as long as the interpreter: numpy keeps its type and its built-in dtypes.
    Some(NUMPY.get_or_init(py, || Numpy { array, float32: address }))
}
