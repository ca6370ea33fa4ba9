//! Checkpoint files as bytes; where they are kept is the caller's business.

use core::ffi::{c_char, c_void};

use inhabit_core::checkpoint::{self, Checkpoint, Dtype, Elements, Fault, MAX_TENSORS};

use crate::{
    Status,
    arguments::{Call, MANY},
    status::answer,
};

/// `inhabit_tensor`: a vector with a name, to be written.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Tensor {
    /// Its name, `name_length` bytes; no terminating zero is needed.
    pub name: *const c_char,
    /// Length of the name.
    pub name_length: usize,
    /// `inhabit_dtype`.
    pub dtype: u32,
    /// The elements.
    pub data: *const c_void,
    /// How many.
    pub count: usize,
}

impl Tensor {
    /// The same for the core.
    ///
    /// # Safety
    ///
    /// `name` and `data` are as the header says.
    unsafe fn core<'a>(&self, call: &mut Call<MANY>) -> Result<checkpoint::Tensor<'a>, Status> {
        // SAFETY: passed on; every bit pattern is an element.
        unsafe {
            let name = call.text(self.name, self.name_length)?;
            let elements = match dtype_of(self.dtype)? {
                Dtype::F64 => Elements::F64(call.input(self.data.cast(), self.count)?),
                Dtype::F32 => Elements::F32(call.input(self.data.cast(), self.count)?),
                _ => Elements::U32(call.input(self.data.cast(), self.count)?),
            };
            Ok(checkpoint::Tensor { name, elements })
        }
    }
}

/// Write a checkpoint, or learn its size.
///
/// # Safety
///
/// The contract of the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inhabit_checkpoint_write(
    tensors: *const Tensor,
    tensor_count: usize,
    manifest: *const c_char,
    manifest_length: usize,
    bytes: *mut u8,
    capacity: usize,
    size: *mut usize,
) -> Status {
    answer(|| {
        let mut call = Call::<MANY>::new();
        // SAFETY: the contract of the header; every bit pattern is a byte.
        let (stored, manifest, out, size) = unsafe {
            (
                call.input(tensors, tensor_count)?,
                call.text(manifest, manifest_length)?,
                call.output(bytes, if bytes.is_null() { 0 } else { capacity })?,
                call.result(size)?,
            )
        };
        let mut content =
            [checkpoint::Tensor { name: "", elements: Elements::U32(&[]) }; MAX_TENSORS];
        let content = content.get_mut(..stored.len()).ok_or(Status::Range)?;
        for (tensor, stored) in content.iter_mut().zip(stored) {
            // SAFETY: the contract of the header.
            *tensor = unsafe { stored.core(&mut call) }?;
        }
        let written = if bytes.is_null() {
            checkpoint::len(content, manifest)
        } else {
            checkpoint::write(content, manifest, out)
        };
        *size = written.map_err(|fault| match fault {
            Fault::Tensor => Status::Range, // a name: the caller's argument, not a file
            fault => fault.into(),
        })?;
        Ok(())
    })
}

/// Verify a checkpoint.
///
/// # Safety
///
/// The contract of the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inhabit_checkpoint_verify(bytes: *const u8, size: usize) -> Status {
    answer(|| {
        // SAFETY: the contract of the header.
        let bytes = unsafe { <Call>::new().input(bytes, size) }?;
        Checkpoint::open(bytes)?;
        Ok(())
    })
}

/// Copy a tensor out of a checkpoint, or learn its length.
///
/// # Safety
///
/// The contract of the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inhabit_checkpoint_tensor(
    bytes: *const u8,
    size: usize,
    name: *const c_char,
    name_length: usize,
    dtype: u32,
    data: *mut c_void,
    capacity: usize,
    count: *mut usize,
) -> Status {
    answer(|| {
        let mut call: Call = Call::new();
        // SAFETY: the contract of the header.
        let (bytes, name, count) = unsafe {
            (call.input(bytes, size)?, call.text(name, name_length)?, call.result(count)?)
        };
        let dtype = dtype_of(dtype)?;
        let view = Checkpoint::open(bytes)?.expect(name, dtype)?;
        if !data.is_null() {
            let len = view.len();
            if capacity < len {
                return Err(Status::Space);
            }
            // SAFETY: the contract of the header; every bit pattern is an element.
            unsafe {
                match dtype {
                    Dtype::F64 => view.copy_f64(call.output(data.cast(), len)?)?,
                    Dtype::F32 => view.copy_f32(call.output(data.cast(), len)?)?,
                    _ => view.copy_u32(call.output(data.cast(), len)?)?,
                }
            }
        }
        *count = view.len();
        Ok(())
    })
}

/// Copy the manifest out of a checkpoint, or learn its length.
///
/// # Safety
///
/// The contract of the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inhabit_checkpoint_manifest(
    bytes: *const u8,
    size: usize,
    manifest: *mut c_char,
    capacity: usize,
    length: *mut usize,
) -> Status {
    answer(|| {
        let mut call: Call = Call::new();
        // SAFETY: the contract of the header; every bit pattern is a byte.
        let (bytes, out, length) = unsafe {
            (
                call.input(bytes, size)?,
                call.output(manifest.cast::<u8>(), if manifest.is_null() { 0 } else { capacity })?,
                call.result(length)?,
            )
        };
        let text = Checkpoint::open(bytes)?.manifest();
        *length = if manifest.is_null() { text.len() } else { text.copy(out)? };
        Ok(())
    })
}

fn dtype_of(code: u32) -> Result<Dtype, Status> {
    match code {
        0 => Ok(Dtype::F64),
        1 => Ok(Dtype::F32),
        2 => Ok(Dtype::U32),
        _ => Err(Status::Range),
    }
}
