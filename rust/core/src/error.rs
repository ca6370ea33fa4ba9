//! The one error type of the core: it names the argument, says what was expected and what came.

use core::{fmt, ops::RangeInclusive};

use crate::simd;

/// The result of every fallible call of the core.
pub type Result<T> = core::result::Result<T, Error>;

/// Why a call was refused. Whatever the call would have changed is as it was before.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Error {
    /// A slice has the wrong number of elements.
    Shape {
        /// The argument's name.
        argument: &'static str,
        /// Elements expected.
        expected: usize,
        /// Elements given.
        actual: usize,
    },
    /// A NaN or an infinity in an input.
    NonFinite {
        /// The argument's name.
        argument: &'static str,
        /// Flat index of the first such element.
        index: usize,
    },
    /// A number outside its range.
    OutOfRange {
        /// The argument's name.
        argument: &'static str,
        /// The range, in words.
        expected: &'static str,
        /// The number given.
        actual: f64,
    },
    /// Finite numbers, but so large that a sum of the network, or the loss, is not.
    Overflow {
        /// The first row in which it is so.
        row: usize,
    },
    /// Training left the finite numbers: the loss grew without bound.
    Diverged {
        /// The epoch, counted from 1, in which it happened.
        epoch: u32,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Shape { argument, expected, actual } => {
                write!(f, "{argument}: expected {expected} elements, got {actual}")
            }
            Self::NonFinite { argument, index } => {
                write!(
                    f,
                    "{argument}: expected finite numbers, got a NaN or an infinity at index {index}"
                )
            }
            Self::OutOfRange { argument, expected, actual } => {
                write!(f, "{argument}: expected {expected}, got {actual}")
            }
            Self::Overflow { row } => write!(
                f,
                "x: numbers too large for these weights, a sum overflows in row {row}; scale the inputs to [0, 1]"
            ),
            Self::Diverged { epoch } => write!(
                f,
                "loss: not finite any more in epoch {epoch}; lower learning_rate or scale the inputs to [0, 1]"
            ),
        }
    }
}

impl core::error::Error for Error {}

/// Refuses a slice of the wrong length.
pub(crate) fn check_len(argument: &'static str, expected: usize, actual: usize) -> Result<()> {
    if expected == actual { Ok(()) } else { Err(Error::Shape { argument, expected, actual }) }
}

/// Refuses a scratch slice that is too short; a longer one is welcome.
pub(crate) fn check_room(argument: &'static str, expected: usize, actual: usize) -> Result<()> {
    if actual >= expected { Ok(()) } else { Err(Error::Shape { argument, expected, actual }) }
}

/// Refuses a number that does not hold what is expected of it.
pub(crate) fn require(
    holds: bool,
    argument: &'static str,
    expected: &'static str,
    actual: f64,
) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::OutOfRange { argument, expected, actual }) }
}

/// Refuses the first number that is not `within`; NaN never is.
pub(crate) fn require_all(
    argument: &'static str,
    expected: &'static str,
    values: &[f64],
    within: RangeInclusive<f64>,
) -> Result<()> {
    match values.iter().find(|value| !within.contains(value)) {
        Some(&value) => require(false, argument, expected, value),
        None => Ok(()),
    }
}

/// Refuses NaN and infinities; returns the largest size `|v|`.
pub(crate) fn check_finite(argument: &'static str, values: &[f32]) -> Result<f32> {
    let largest = simd::largest(values);
    if largest.is_finite() {
        return Ok(largest);
    }
    let index = values.iter().position(|v| !v.is_finite()).unwrap_or(0);
    Err(Error::NonFinite { argument, index })
}
