//! Generation files: numpy arrays and a manifest to bytes, and back.

use inhabit_core::checkpoint::{self, Checkpoint, Dtype, Elements, Fault, Tensor, View};
use numpy::{PyArray1, PyReadonlyArray1};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use crate::error::IntoPyResult;

/// The arrays that a file can hold.
#[derive(FromPyObject)]
pub enum Array<'py> {
    F32(PyReadonlyArray1<'py, f32>),
    F64(PyReadonlyArray1<'py, f64>),
    U32(PyReadonlyArray1<'py, u32>),
}

/// `(name, array)` pairs and the manifest as the bytes of a generation file.
#[pyfunction]
pub fn checkpoint_encode<'py>(
    py: Python<'py>,
    tensors: Vec<(String, Array<'py>)>,
    manifest: &str,
) -> PyResult<Bound<'py, PyBytes>> {
    let tensors = tensors
        .iter()
        .map(|(name, array)| {
            let elements = match array {
                Array::F32(array) => Elements::F32(array.as_slice()?),
                Array::F64(array) => Elements::F64(array.as_slice()?),
                Array::U32(array) => Elements::U32(array.as_slice()?),
            };
            Ok(Tensor { name, elements })
        })
        .collect::<PyResult<Vec<_>>>()?;
    let len = checkpoint::len(&tensors, manifest).into_py()?;
    PyBytes::new_with(py, len, |out| {
        checkpoint::write(&tensors, manifest, out).map(|_| ()).into_py()
    })
}

/// The tensors, in the order of the file, and the manifest of verified bytes.
#[pyfunction]
pub fn checkpoint_decode<'py>(
    py: Python<'py>,
    data: &[u8],
) -> PyResult<(Bound<'py, PyDict>, String)> {
    let checkpoint = Checkpoint::open(data).into_py()?;
    let tensors = PyDict::new(py);
    for view in checkpoint.tensors() {
        match view.dtype {
            Dtype::F32 => tensors.set_item(view.name, array(py, &view, View::copy_f32)?)?,
            Dtype::F64 => tensors.set_item(view.name, array(py, &view, View::copy_f64)?)?,
            Dtype::U32 => tensors.set_item(view.name, array(py, &view, View::copy_u32)?)?,
            Dtype::U8 => {} // the checksum, which `open` has verified
        }
    }
    Ok((tensors, checkpoint.manifest().chars().collect()))
}

fn array<'py, 'data, T: numpy::Element + Copy + Default>(
    py: Python<'py>,
    view: &View<'data>,
    copy: impl Fn(&View<'data>, &mut [T]) -> Result<(), Fault>,
) -> PyResult<Bound<'py, PyArray1<T>>> {
    let mut values = vec![T::default(); view.len()];
    copy(view, &mut values).into_py()?;
    Ok(PyArray1::from_vec(py, values))
}
