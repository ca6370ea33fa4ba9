//! The C ABI of `inhabit`, as declared and documented in `include/inhabit.h`.
//!
//! This crate is the only place where memory of unknown origin becomes Rust slices. Every function has
//! the same form: take the arguments through a `Call` (`arguments.rs`), which refuses NULL,
//! misaligned, impossible and overlapping memory; call the core; write the outputs if all went well.
//!
//! Under `panic = "abort"` (the profile `ios`) there is no standard library, no allocator and no
//! unwinder; otherwise it is an ordinary crate, for `cargo test`.
#![cfg_attr(panic = "abort", no_std)]

mod arguments;
mod checkpoint;
mod model;
mod network;
mod status;
mod training;

pub use checkpoint::*;
pub use model::*;
pub use network::*;
pub use status::*;
pub use training::*;

/// Version of this interface: changes when a signature, a struct or a constant does.
pub const ABI_VERSION: u32 = 1;

/// The version of the interface, to compare with `INHABIT_ABI_VERSION` of the header.
#[unsafe(no_mangle)]
pub extern "C" fn inhabit_abi_version() -> u32 {
    ABI_VERSION
}

/// No call with documented arguments panics; if one does, stop before anything is damaged.
#[cfg(panic = "abort")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    #[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
    // SAFETY: a trap instruction ends the process; it touches no memory and does not return.
    unsafe {
        #[cfg(target_arch = "aarch64")]
        core::arch::asm!("brk #1", options(noreturn, nomem, nostack));
        #[cfg(target_arch = "x86_64")]
        core::arch::asm!("ud2", options(noreturn, nomem, nostack));
    }
    #[cfg(not(any(target_arch = "aarch64", target_arch = "x86_64")))]
    loop {}
}
