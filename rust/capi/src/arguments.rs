//! From pointers to slices: the checks that every argument passes, written once.

use core::{ffi::c_char, mem, ptr, slice, str};

use inhabit_core::checkpoint::MAX_TENSORS;

use crate::Status;

/// For calls with a list of tensors: each has a name and elements.
pub(crate) const MANY: usize = 2 * MAX_TENSORS + 4;

/// The memory that one call was given.
///
/// What a slice needs to be sound and can be checked is checked here: not NULL, aligned, not longer
/// than an object can be, and no output overlaps another argument. What cannot be checked is the
/// contract of the header: that the memory is there, initialised, and not written by another thread
/// during the call.
pub(crate) struct Call<const MOST: usize = 24> {
    ranges: [Range; MOST],
    count: usize,
}

/// Takes a block of memory apart, from its beginning on.
pub(crate) struct Cursor(*mut u8);

impl Cursor {
    pub(crate) const fn new(block: *mut u64) -> Self {
        Self(block.cast())
    }

    /// Where the next `count` elements are.
    pub(crate) const fn take<T>(&mut self, count: usize) -> *mut T {
        let pointer = self.0.cast();
        self.0 = self.0.wrapping_add(count * mem::size_of::<T>());
        pointer
    }
}

/// A block of memory begins with a header, which says how the rest is laid out; the header's first word
/// is the seal of the others, so that a header that was damaged, or never written, is not believed.
///
/// # Safety
///
/// `T` begins with the seal (`u64`), and has no padding.
pub(crate) unsafe fn seal<T>(kind: &[u8; 8], header: &T) -> u64 {
    const { assert!(mem::size_of::<T>() & 7 == 0 && mem::align_of::<T>() == 8) };
    // SAFETY: a T is aligned for u64 and a whole number of them, all initialised as it has no padding.
    let words = unsafe {
        slice::from_raw_parts(ptr::from_ref(header).cast::<u64>(), mem::size_of::<T>() / 8)
    };
    // Each step is one to one in its word, so a change of one word always changes the seal.
    words[1..].iter().fold(u64::from_le_bytes(*kind), |seal, word| {
        (seal ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
    })
}

/// The addresses of one argument.
#[derive(Clone, Copy)]
struct Range {
    begin: usize,
    end: usize,
    is_output: bool,
}

impl Range {
    const fn clashes(&self, other: &Self) -> bool {
        (self.is_output || other.is_output) && self.begin < other.end && other.begin < self.end
    }
}

impl<const MOST: usize> Call<MOST> {
    pub(crate) const fn new() -> Self {
        Self { ranges: [Range { begin: 0, end: 0, is_output: false }; MOST], count: 0 }
    }

    /// `len` elements to read. NULL is fine for none.
    ///
    /// # Safety
    ///
    /// If `pointer` is not NULL it points to `len` initialised elements that nobody writes during the
    /// call. Every bit pattern is a `T`.
    pub(crate) unsafe fn input<'a, T>(
        &mut self,
        pointer: *const T,
        len: usize,
    ) -> Result<&'a [T], Status> {
        self.check(pointer, len, false)?;
        if len == 0 {
            return Ok(&[]);
        }
        // SAFETY: not NULL, aligned, at most isize::MAX bytes and apart from every output, as checked;
        // there and initialised, as the caller promises.
        Ok(unsafe { slice::from_raw_parts(pointer, len) })
    }

    /// `len` elements to write. NULL is fine for none.
    ///
    /// # Safety
    ///
    /// As [`Call::input`], and nobody reads the elements during the call either.
    pub(crate) unsafe fn output<'a, T>(
        &mut self,
        pointer: *mut T,
        len: usize,
    ) -> Result<&'a mut [T], Status> {
        self.check(pointer, len, true)?;
        if len == 0 {
            return Ok(&mut []);
        }
        // SAFETY: as in `input`; apart from every other argument, so the reference is the only one.
        Ok(unsafe { slice::from_raw_parts_mut(pointer, len) })
    }

    /// One value to read.
    ///
    /// # Safety
    ///
    /// As [`Call::input`] with one element.
    pub(crate) unsafe fn value<'a, T>(&mut self, pointer: *const T) -> Result<&'a T, Status> {
        // SAFETY: passed on.
        unsafe { self.input(pointer, 1) }.map(|values| &values[0])
    }

    /// One value to write.
    ///
    /// # Safety
    ///
    /// As [`Call::output`] with one element.
    pub(crate) unsafe fn result<'a, T>(&mut self, pointer: *mut T) -> Result<&'a mut T, Status> {
        // SAFETY: passed on.
        unsafe { self.output(pointer, 1) }.map(|values| &mut values[0])
    }

    /// As [`Call::input`], but NULL means that the argument is not given.
    ///
    /// # Safety
    ///
    /// As [`Call::input`].
    pub(crate) unsafe fn optional<'a, T>(
        &mut self,
        pointer: *const T,
        len: usize,
    ) -> Result<Option<&'a [T]>, Status> {
        if pointer.is_null() {
            return Ok(None);
        }
        // SAFETY: passed on.
        unsafe { self.input(pointer, len) }.map(Some)
    }

    /// Text of `len` bytes of UTF-8; no terminating zero.
    ///
    /// # Safety
    ///
    /// As [`Call::input`].
    pub(crate) unsafe fn text<'a>(
        &mut self,
        pointer: *const c_char,
        len: usize,
    ) -> Result<&'a str, Status> {
        // SAFETY: passed on; every bit pattern is a byte.
        let bytes = unsafe { self.input(pointer.cast::<u8>(), len) }?;
        str::from_utf8(bytes).map_err(|_| Status::Range)
    }

    fn check<T>(&mut self, pointer: *const T, len: usize, is_output: bool) -> Result<(), Status> {
        if len == 0 {
            return Ok(());
        }
        if pointer.is_null() {
            return Err(Status::Null);
        }
        if !pointer.is_aligned() {
            return Err(Status::Misaligned);
        }
        let begin = pointer.addr();
        let bytes =
            len.checked_mul(mem::size_of::<T>()).filter(|bytes| *bytes <= isize::MAX as usize);
        let end = bytes.and_then(|bytes| begin.checked_add(bytes)).ok_or(Status::Size)?;
        let range = Range { begin, end, is_output };
        if self.ranges[..self.count].iter().any(|known| known.clashes(&range)) {
            return Err(Status::Overlap);
        }
        *self.ranges.get_mut(self.count).ok_or(Status::Size)? = range;
        self.count += 1;
        Ok(())
    }
}
