//! The only module that speaks to the instruction set, and the only one with `unsafe`.
//!
//! Everything here has a portable twin that gives the same bits; the twin is the oracle of the tests.
#![allow(unsafe_code)]

/// `√x` by the processor's instruction where every processor of the target has one.
#[inline(always)]
pub(crate) fn sqrt_f32(x: f32) -> Option<f32> {
    #[cfg(target_arch = "x86_64")]
    {
        use core::arch::x86_64::{_mm_cvtss_f32, _mm_set_ss, _mm_sqrt_ss};
        // SAFETY: SSE is part of every x86-64 processor.
        Some(unsafe { _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(x))) })
    }
    #[cfg(target_arch = "aarch64")]
    {
        use core::arch::aarch64::{vdup_n_f32, vget_lane_f32, vsqrt_f32};
        // SAFETY: NEON is part of every aarch64 target that has `f32` registers.
        Some(unsafe { vget_lane_f32::<0>(vsqrt_f32(vdup_n_f32(x))) })
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    {
        let _ = x;
        None
    }
}

/// `√x` in double precision, as [`sqrt_f32`].
#[inline(always)]
pub(crate) fn sqrt_f64(x: f64) -> Option<f64> {
    #[cfg(target_arch = "x86_64")]
    {
        use core::arch::x86_64::{_mm_cvtsd_f64, _mm_set_sd, _mm_sqrt_sd};
        // SAFETY: SSE2 is part of every x86-64 processor.
        Some(unsafe { _mm_cvtsd_f64(_mm_sqrt_sd(_mm_set_sd(x), _mm_set_sd(x))) })
    }
    #[cfg(target_arch = "aarch64")]
    {
        use core::arch::aarch64::{vdup_n_f64, vget_lane_f64, vsqrt_f64};
        // SAFETY: NEON is part of every aarch64 target that has `f64` registers.
        Some(unsafe { vget_lane_f64::<0>(vsqrt_f64(vdup_n_f64(x))) })
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    {
        let _ = x;
        None
    }
}

/// `a · b + c` with one rounding by the processor's instruction, where every processor has one.
#[inline(always)]
pub(crate) fn mul_add(a: f32, b: f32, c: f32) -> Option<f32> {
    #[cfg(target_arch = "aarch64")]
    {
        use core::arch::aarch64::{vdup_n_f32, vfma_f32, vget_lane_f32};
        // SAFETY: as above.
        Some(unsafe { vget_lane_f32::<0>(vfma_f32(vdup_n_f32(c), vdup_n_f32(a), vdup_n_f32(b))) })
    }
    #[cfg(all(target_arch = "x86_64", target_feature = "fma"))]
    {
        use core::arch::x86_64::{_mm_cvtss_f32, _mm_fmadd_ss, _mm_set_ss};
        // SAFETY: the whole program is compiled for processors with FMA.
        Some(unsafe { _mm_cvtss_f32(_mm_fmadd_ss(_mm_set_ss(a), _mm_set_ss(b), _mm_set_ss(c))) })
    }
    #[cfg(not(any(target_arch = "aarch64", all(target_arch = "x86_64", target_feature = "fma"))))]
    {
        let _ = (a, b, c);
        None
    }
}
