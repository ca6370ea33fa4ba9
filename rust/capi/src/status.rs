//! What every call answers.

use core::ffi::{CStr, c_char};

use inhabit_core::{Error, checkpoint::Fault};

/// The answer of a call. Numbers are never given a new meaning.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Done; the outputs are written.
    Ok = 0,
    /// A pointer that must not be NULL is NULL.
    Null = 1,
    /// A pointer is not aligned for its type.
    Misaligned = 2,
    /// An output overlaps another argument.
    Overlap = 3,
    /// A length is not what the network, or another argument, asks for.
    Size = 4,
    /// An input is NaN or infinite, or so large that a sum is.
    NonFinite = 5,
    /// A setting, a label or a weight is outside its range.
    Range = 6,
    /// The memory does not hold what was begun in it.
    State = 7,
    /// Training diverged.
    Diverged = 8,
    /// The caller's memory is too small.
    Space = 9,
    /// The bytes are not a whole, unaltered checkpoint of a known format.
    Checkpoint = 10,
    /// The checkpoint has no such tensor of this type and length.
    Missing = 11,
}

impl Status {
    const ALL: [(Self, &'static CStr); 12] = [
        (Self::Ok, c"ok"),
        (Self::Null, c"a pointer that must not be NULL is NULL"),
        (Self::Misaligned, c"a pointer is not aligned for its type"),
        (Self::Overlap, c"an output overlaps another argument"),
        (Self::Size, c"a length does not fit the network or the other arguments"),
        (Self::NonFinite, c"an input is NaN or infinite, or so large that a sum is"),
        (Self::Range, c"a setting, a label or a weight is out of range"),
        (Self::State, c"the memory does not hold what was begun in it"),
        (
            Self::Diverged,
            c"training diverged: lower the learning rate, or scale the inputs to [0, 1]",
        ),
        (Self::Space, c"the memory given is too small"),
        (Self::Checkpoint, c"not a whole, unaltered checkpoint of a known format"),
        (Self::Missing, c"the checkpoint has no such tensor of this type and length"),
    ];
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        match error {
            Error::Shape { .. } => Self::Size,
            Error::NonFinite { .. } | Error::Overflow { .. } => Self::NonFinite,
            Error::Diverged { .. } => Self::Diverged,
            _ => Self::Range,
        }
    }
}

impl From<Fault> for Status {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Missing => Self::Missing,
            Fault::Space => Self::Space,
            Fault::Value => Self::NonFinite,
            _ => Self::Checkpoint,
        }
    }
}

/// The answer of a call: what `body` says, as a number.
pub(crate) fn answer(body: impl FnOnce() -> Result<(), Status>) -> Status {
    body().err().unwrap_or(Status::Ok)
}

/// A sentence about a status, for people; static memory, never NULL.
#[unsafe(no_mangle)]
pub extern "C" fn inhabit_status_message(status: i32) -> *const c_char {
    let known = Status::ALL.iter().find(|(known, _)| *known as i32 == status);
    known.map_or(c"unknown status", |(_, message)| *message).as_ptr()
}
