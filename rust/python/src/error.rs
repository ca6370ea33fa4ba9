//! The one conversion from the core's errors to Python's.

use inhabit_core::{Error, checkpoint::Fault};
use pyo3::{PyErr, import_exception};

import_exception!(inhabit.exceptions, CheckpointError);
import_exception!(inhabit.exceptions, ConfigError);
import_exception!(inhabit.exceptions, NonFiniteError);
import_exception!(inhabit.exceptions, ShapeError);

/// A core error on its way to Python, so that `?` converts it.
#[derive(Debug)]
pub(crate) struct NativeError(Error);

impl From<Error> for NativeError {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl From<NativeError> for PyErr {
    fn from(NativeError(error): NativeError) -> Self {
        let message = error.to_string();
        match error {
            Error::Shape { .. } => ShapeError::new_err(message),
            Error::NonFinite { .. } | Error::Overflow { .. } | Error::Diverged { .. } => {
                NonFiniteError::new_err(message)
            }
            _ => ConfigError::new_err(message),
        }
    }
}

/// A core result as a Python one.
pub(crate) trait IntoPyResult<T> {
    fn into_py(self) -> Result<T, PyErr>;
}

impl<T> IntoPyResult<T> for inhabit_core::Result<T> {
    fn into_py(self) -> Result<T, PyErr> {
        self.map_err(|error| NativeError(error).into())
    }
}

impl<T> IntoPyResult<T> for Result<T, Fault> {
    fn into_py(self) -> Result<T, PyErr> {
        self.map_err(|fault| CheckpointError::new_err(fault.to_string()))
    }
}
