//! The only module that speaks to the instruction set, and the only one with `unsafe`.
//!
//! It holds vector types that are [`Lanes`], the detection of what the processor has, and one entry
//! point per kernel. Everything here has a portable twin that gives the same bits; the twin is the
//! oracle of the tests.
//!
//! # Safety
//!
//! A vector type uses instructions that not every processor has. The types are private to this module
//! and only name themselves in the functions below that enable the very instructions
//! (`#[target_feature]`); those run only after [`instruction_set`] found them. Loads and stores check
//! the length of their slice first.
#![allow(unsafe_code)]

use crate::{
    error::Result,
    explain, kernel,
    lanes::{self, Lanes},
    network::{Activation, LossSum, Network, Samples},
    neurons,
    optimizer::{Pace, Step},
    persons,
    predictor::{self, Predictor},
    rows,
    training::TrainingConfig,
};

/// A set of instructions that kernels exist for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum InstructionSet {
    /// Whatever the compiler makes of plain Rust.
    Portable = 1,
    /// 4 lanes, on every aarch64.
    Neon = 2,
    /// 8 lanes, AVX2 and FMA.
    Avx2 = 3,
    /// 16 lanes, AVX-512 F, BW, DQ and VL.
    Avx512 = 4,
}

/// The vector types of an instruction set.
pub(crate) trait Vectors {
    /// At most 16 lanes, the most there are.
    type Wide: Lanes;
    /// At most 8 lanes.
    type Half: Lanes;
    /// 1 lane.
    type One: Lanes;
}

/// [`InstructionSet::Portable`]
#[cfg_attr(target_arch = "aarch64", allow(dead_code))] // NEON is always there
#[derive(Clone, Copy, Debug)]
pub(crate) struct Portable;

impl Vectors for Portable {
    type Wide = f32;
    type Half = f32;
    type One = f32;
}

/// The instruction set that kernels use: the best there is, unless [`force`] said otherwise.
#[inline]
#[must_use]
pub fn instruction_set() -> InstructionSet {
    #[cfg(target_arch = "x86_64")]
    {
        x86::selected()
    }
    #[cfg(target_arch = "aarch64")]
    {
        InstructionSet::Neon
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    {
        InstructionSet::Portable
    }
}

/// Makes all kernels use `wanted`, if the processor has it; returns whether it does.
///
/// For tests, which compare the bits of every path. Any choice is correct, but none while another thread computes.
pub fn force(wanted: InstructionSet) -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        x86::force(wanted)
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        wanted == instruction_set()
    }
}

/// Defines a function that runs a kernel, generic over [`Vectors`], with the selected instructions.
macro_rules! entry_points {
    ($($(#[$meta:meta])* fn $name:ident($($argument:ident: $type:ty),* $(,)?) $(-> $result:ty)? = $module:ident::$kernel:ident;)*) => {$(
        $(#[$meta])*
        pub(crate) fn $name($($argument: $type),*) $(-> $result)? {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
                fn avx512($($argument: $type),*) $(-> $result)? {
                    $module::$kernel::<x86::Avx512>($($argument),*)
                }
                #[target_feature(enable = "avx2,fma")]
                fn avx2($($argument: $type),*) $(-> $result)? {
                    $module::$kernel::<x86::Avx2>($($argument),*)
                }
                match instruction_set() {
                    // SAFETY: the processor was found to have these instructions.
                    InstructionSet::Avx512 => return unsafe { avx512($($argument),*) },
                    // SAFETY: as above.
                    InstructionSet::Avx2 => return unsafe { avx2($($argument),*) },
                    _ => {}
                }
            }
            #[cfg(target_arch = "aarch64")]
            return $module::$kernel::<neon::Neon>($($argument),*);
            #[cfg(not(target_arch = "aarch64"))]
            $module::$kernel::<Portable>($($argument),*)
        }
    )*};
}

/// The aligned part of `floats` as vectors.
pub(crate) fn as_lanes<L: Lanes>(floats: &mut [f32]) -> &mut [L] {
    // SAFETY: a vector is WIDTH numbers behind each other, any bits are a valid one, and the middle
    // part that comes back is aligned.
    unsafe { floats.align_to_mut().1 }
}

/// Vectors as their numbers.
pub(crate) fn as_floats<L: Lanes>(vectors: &mut [L]) -> &mut [f32] {
    // SAFETY: as above, and `f32` is aligned less strictly, so that nothing is left over.
    unsafe { vectors.align_to_mut().1 }
}

/// The numbers of a row, each read by itself.
///
/// Whoever asks has often just written the row number by number, and the processor hands a number that
/// is still on its way to memory only to a read of that very number. The compiler would read several at
/// once, and they would wait until the row and all that was stored before it has arrived: as long as a
/// prediction takes.
#[inline(always)]
pub(crate) fn one_by_one<const N: usize>(row: &[f32; N]) -> [f32; N] {
    // SAFETY: a reference may be read. Volatile reads are not merged.
    core::array::from_fn(|i| unsafe { core::ptr::read_volatile(&raw const row[i]) })
}

entry_points! {
    /// [`kernel::largest`]
    fn largest(values: &[f32]) -> f32 = kernel::largest;
    /// [`neurons::train`]
    fn train_neurons(
        activation: Activation,
        blocks: &mut neurons::Blocks<'_>,
        samples: &Samples<'_>,
        order: &[u32],
        batch_size: usize,
        pace: &mut Pace<'_>,
        losses: Option<&mut LossSum>,
    ) = neurons::train;
    /// [`kernel::batch_gradient`]
    fn batch_gradient(
        network: &Network,
        parameters: &[f32],
        samples: &Samples<'_>,
        rows: kernel::Rows<'_>,
        gradient: &mut [f32],
        scratch: &mut [f32],
        losses: Option<&mut LossSum>,
    ) = kernel::batch_gradient;
    /// [`kernel::apply_step`]
    fn apply_step(
        step: &Step,
        parameters: &mut [f32],
        gradient: &[f32],
        first: &mut [f32],
        second: &mut [f32],
        anchor: Option<&[f32]>,
    ) = kernel::apply_step;
    /// [`persons::lanes`]
    fn person_lanes() -> usize = lanes::width;
    /// [`persons::run`]
    #[allow(clippy::too_many_arguments)]
    fn train_persons(
        network: &Network,
        config: &TrainingConfig,
        people: &[Samples<'_>],
        anchor: Option<&[f32]>,
        initial: &[f32],
        parameters: &mut [f32],
        memory: &mut [f32],
        order: &mut [u32],
    ) -> Result<()> = persons::run;
    /// [`predictor::predict_one`]
    fn predict_one(network: &Predictor, x: &[f32; 10]) -> f32 = predictor::predict_one;
    /// [`rows::predict`]
    fn predict(
        network: &Network,
        parameters: &[f32],
        x: &[f32],
        output: &mut [f32],
        scratch: &mut [f32],
        linked: bool,
    ) -> f32 = rows::predict;
    /// [`explain::add_coalitions`]
    fn add_coalitions(
        network: &Network,
        parameters: &[f32],
        x: &[f32],
        row: &[f32],
        values: &mut [f64],
        scratch: &mut [f32],
    ) = explain::add_coalitions;
    /// [`rows::losses`]
    fn losses(network: &Network, z: &mut [f32], y: &[f32]) = rows::losses;
}

/// AVX2 with FMA, and AVX-512.
#[cfg(target_arch = "x86_64")]
pub(crate) mod x86 {
    use core::arch::x86_64::*;
    use core::sync::atomic::{AtomicU8, Ordering};

    use super::{InstructionSet, Vectors};
    use crate::lanes::Lanes;

    /// 0 until the first use; a race only finds the same answer twice.
    static SELECTED: AtomicU8 = AtomicU8::new(0);

    #[inline]
    pub(super) fn selected() -> InstructionSet {
        match SELECTED.load(Ordering::Relaxed) {
            0 => {
                let best = detect();
                SELECTED.store(best as u8, Ordering::Relaxed);
                best
            }
            3 => InstructionSet::Avx2,
            4 => InstructionSet::Avx512,
            _ => InstructionSet::Portable,
        }
    }

    pub(super) fn force(wanted: InstructionSet) -> bool {
        let has = wanted as u8 <= detect() as u8 && wanted != InstructionSet::Neon;
        if has {
            SELECTED.store(wanted as u8, Ordering::Relaxed);
        }
        has
    }

    /// What the processor has and the operating system saves on a switch of threads.
    fn detect() -> InstructionSet {
        #[target_feature(enable = "xsave")]
        fn saved_registers() -> u64 {
            // SAFETY: the caller saw OSXSAVE; register 0 then exists.
            unsafe { _xgetbv(0) }
        }
        let has = |register: u32, bits: &[u32]| bits.iter().all(|bit| register >> bit & 1 == 1);
        #[allow(unused_unsafe)] // safe to call since Rust 1.94
        // SAFETY: every x86-64 processor has CPUID, and leaf 0 says how far it goes.
        let (highest, basic) = unsafe { (__cpuid(0).eax, __cpuid(1)) };
        let (fma, osxsave, avx) = (12, 27, 28);
        if highest < 7 || !has(basic.ecx, &[fma, osxsave, avx]) {
            return InstructionSet::Portable;
        }
        // SAFETY: OSXSAVE says that the operating system enabled XGETBV.
        let saved = unsafe { saved_registers() };
        #[allow(unused_unsafe)]
        // SAFETY: leaf 7 exists.
        let extended = unsafe { __cpuid_count(7, 0) };
        let (ymm, zmm) = (0x06, 0xe6);
        let avx2 = saved & ymm == ymm && has(extended.ebx, &[5]);
        let (f, dq, bw, vl) = (16, 17, 30, 31);
        let avx512 = saved & zmm == zmm && has(extended.ebx, &[f, dq, bw, vl]);
        match (avx2, avx512) {
            (true, true) => InstructionSet::Avx512,
            (true, false) => InstructionSet::Avx2,
            _ => InstructionSet::Portable,
        }
    }

    /// [`InstructionSet::Avx2`]
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Avx2;

    impl Vectors for Avx2 {
        type Wide = F32x8;
        type Half = F32x8;
        type One = F32x1;
    }

    /// [`InstructionSet::Avx512`]
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Avx512;

    impl Vectors for Avx512 {
        type Wide = F32x16;
        type Half = F32x8;
        type One = F32x1;
    }

    /// One number with the FMA instruction.
    #[derive(Clone, Copy, Debug)]
    #[repr(transparent)]
    pub(crate) struct F32x1(f32);

    /// 8 numbers.
    #[derive(Clone, Copy, Debug)]
    #[repr(transparent)]
    pub(crate) struct F32x8(__m256);

    /// 16 numbers.
    #[derive(Clone, Copy, Debug)]
    #[repr(transparent)]
    pub(crate) struct F32x16(__m512);

    impl Lanes for F32x1 {
        const WIDTH: usize = 1;
        #[inline(always)]
        fn splat(value: f32) -> Self {
            Self(value)
        }
        #[inline(always)]
        fn load(source: &[f32]) -> Self {
            Self(source[0])
        }
        #[inline(always)]
        fn store(self, target: &mut [f32]) {
            target[0] = self.0;
        }
        #[inline(always)]
        fn add(self, other: Self) -> Self {
            Self(self.0 + other.0)
        }
        #[inline(always)]
        fn sub(self, other: Self) -> Self {
            Self(self.0 - other.0)
        }
        #[inline(always)]
        fn mul(self, other: Self) -> Self {
            Self(self.0 * other.0)
        }
        #[inline(always)]
        fn div(self, other: Self) -> Self {
            Self(self.0 / other.0)
        }
        #[inline(always)]
        fn mul_add(self, factor: Self, addend: Self) -> Self {
            // SAFETY: see the module; the type exists only where FMA is enabled.
            Self(unsafe {
                _mm_cvtss_f32(_mm_fmadd_ss(
                    _mm_set_ss(self.0),
                    _mm_set_ss(factor.0),
                    _mm_set_ss(addend.0),
                ))
            })
        }
        #[inline(always)]
        fn sqrt(self) -> Self {
            Self(Lanes::sqrt(self.0))
        }
        #[inline(always)]
        fn max(self, other: Self) -> Self {
            // SAFETY: as above.
            Self(unsafe { _mm_cvtss_f32(_mm_max_ss(_mm_set_ss(self.0), _mm_set_ss(other.0))) })
        }
        #[inline(always)]
        fn min(self, other: Self) -> Self {
            // SAFETY: as above.
            Self(unsafe { _mm_cvtss_f32(_mm_min_ss(_mm_set_ss(self.0), _mm_set_ss(other.0))) })
        }
        #[inline(always)]
        fn where_positive(self, condition: Self) -> Self {
            Self(self.0.where_positive(condition.0))
        }
        #[inline(always)]
        fn scale_by_shift(self, shift: Self) -> Self {
            // SAFETY: as above. Not as integers: moving there and back would take longer than the sum.
            Self(unsafe {
                let value = _mm_castps_si128(_mm_set_ss(self.0));
                let shift = _mm_slli_epi32::<23>(_mm_castps_si128(_mm_set_ss(shift.0)));
                _mm_cvtss_f32(_mm_castsi128_ps(_mm_add_epi32(value, shift)))
            })
        }
    }

    macro_rules! lanes {
        ($name:ident, $width:literal, $splat:ident, $load:ident, $store:ident, $add:ident, $sub:ident,
         $mul:ident, $div:ident, $fma:ident, $sqrt:ident, $max:ident, $min:ident, |$x:ident, $condition:ident| $where:expr,
         |$value:ident, $shift:ident| $scale:expr, |$source:ident, $stride:ident| $columns:expr) => {
            impl Lanes for $name {
                const WIDTH: usize = $width;
                #[inline(always)]
                fn splat(value: f32) -> Self {
                    // SAFETY: see the module, here and in every operation below.
                    Self(unsafe { $splat(value) })
                }
                #[inline(always)]
                fn load(source: &[f32]) -> Self {
                    let source = &source[..$width];
                    // SAFETY: the slice has the length; the load needs no alignment.
                    Self(unsafe { $load(source.as_ptr()) })
                }
                #[inline(always)]
                fn store(self, target: &mut [f32]) {
                    let target = &mut target[..$width];
                    // SAFETY: the slice has the length; the store needs no alignment.
                    unsafe { $store(target.as_mut_ptr(), self.0) }
                }
                #[inline(always)]
                fn add(self, other: Self) -> Self {
                    // SAFETY: as above.
                    Self(unsafe { $add(self.0, other.0) })
                }
                #[inline(always)]
                fn sub(self, other: Self) -> Self {
                    // SAFETY: as above.
                    Self(unsafe { $sub(self.0, other.0) })
                }
                #[inline(always)]
                fn mul(self, other: Self) -> Self {
                    // SAFETY: as above.
                    Self(unsafe { $mul(self.0, other.0) })
                }
                #[inline(always)]
                fn div(self, other: Self) -> Self {
                    // SAFETY: as above.
                    Self(unsafe { $div(self.0, other.0) })
                }
                #[inline(always)]
                fn mul_add(self, factor: Self, addend: Self) -> Self {
                    // SAFETY: as above.
                    Self(unsafe { $fma(self.0, factor.0, addend.0) })
                }
                #[inline(always)]
                fn sqrt(self) -> Self {
                    // SAFETY: as above.
                    Self(unsafe { $sqrt(self.0) })
                }
                #[inline(always)]
                fn max(self, other: Self) -> Self {
                    // SAFETY: as above. The instruction returns its second operand for NaN, as asked.
                    Self(unsafe { $max(self.0, other.0) })
                }
                #[inline(always)]
                fn min(self, other: Self) -> Self {
                    // SAFETY: as above.
                    Self(unsafe { $min(self.0, other.0) })
                }
                #[inline(always)]
                fn where_positive(self, condition: Self) -> Self {
                    let ($x, $condition) = (self.0, condition.0);
                    // SAFETY: as above.
                    Self(unsafe { $where })
                }
                #[inline(always)]
                fn scale_by_shift(self, shift: Self) -> Self {
                    let ($value, $shift) = (self.0, shift.0);
                    // SAFETY: as above.
                    Self(unsafe { $scale })
                }
                #[inline(always)]
                fn columns($source: &[f32], $stride: usize) -> [Self; 8] {
                    let $source = &$source[..($width - 1) * $stride + 8];
                    let $source = $source.as_ptr();
                    // SAFETY: row r < WIDTH ends at r * stride + 8, inside the slice.
                    unsafe { $columns }
                }
            }
        };
    }

    /// `√x`, rounded as by the instruction, from an estimate: the divider, which has a quotient to find
    /// for every root of Adam's, is left to it.
    ///
    /// Goldschmidt's iteration, then Markstein's correction by an exact remainder (IBM J. Res. Dev. 34,
    /// 1990, 111-119). From any estimate as good as the instruction's, the last rounding is the right
    /// one for every `x` whose remainder is exact; a test looks at all of them.
    #[inline(always)]
    unsafe fn sqrt16(x: __m512) -> __m512 {
        // SAFETY: the caller is inside AVX-512 code.
        unsafe {
            let bits = _mm512_castps_si512(x);
            let above = _mm512_sub_epi32(bits, _mm512_set1_epi32(SMALLEST_ROOTED));
            let usual =
                _mm512_cmplt_epu32_mask(above, _mm512_set1_epi32(INFINITE - SMALLEST_ROOTED));
            // Nothing but usual numbers and zeros, which an estimate of 0 leaves as they are.
            if _mm512_mask_test_epi32_mask(!usual, bits, bits) != 0 {
                return _mm512_sqrt_ps(x);
            }
            let estimate = _mm512_maskz_rsqrt14_ps(usual, x);
            let half = _mm512_set1_ps(0.5);
            let (root, slope) = (_mm512_mul_ps(x, estimate), _mm512_mul_ps(half, estimate));
            let error = _mm512_fnmadd_ps(root, slope, half);
            let root = _mm512_fmadd_ps(root, error, root);
            let slope = _mm512_fmadd_ps(slope, error, slope);
            _mm512_fmadd_ps(_mm512_fnmadd_ps(root, root, x), slope, root)
        }
    }

    /// The bits of 2⁻¹⁰⁰: of smaller numbers the remainder may be too small to be exact.
    const SMALLEST_ROOTED: i32 = 0x0d80_0000;
    /// The bits of the first number that is not finite.
    const INFINITE: i32 = 0x7f80_0000;

    /// 8 x 8 transpose, within each 128-bit quarter first, then of quarters.
    #[inline(always)]
    unsafe fn transpose8(rows: [__m256; 8]) -> [__m256; 8] {
        // SAFETY: the caller is inside AVX2 code.
        unsafe {
            let mut pairs = rows;
            let mut quads = rows;
            let mut i = 0;
            while i < 8 {
                pairs[i] = _mm256_unpacklo_ps(rows[i], rows[i + 1]);
                pairs[i + 1] = _mm256_unpackhi_ps(rows[i], rows[i + 1]);
                i += 2;
            }
            let mut i = 0;
            while i < 8 {
                quads[i] = _mm256_shuffle_ps::<0x44>(pairs[i], pairs[i + 2]);
                quads[i + 1] = _mm256_shuffle_ps::<0xee>(pairs[i], pairs[i + 2]);
                quads[i + 2] = _mm256_shuffle_ps::<0x44>(pairs[i + 1], pairs[i + 3]);
                quads[i + 3] = _mm256_shuffle_ps::<0xee>(pairs[i + 1], pairs[i + 3]);
                i += 4;
            }
            let mut columns = rows;
            let mut k = 0;
            while k < 4 {
                columns[k] = _mm256_permute2f128_ps::<0x20>(quads[k], quads[k + 4]);
                columns[k + 4] = _mm256_permute2f128_ps::<0x31>(quads[k], quads[k + 4]);
                k += 1;
            }
            columns
        }
    }

    lanes!(
        F32x8,
        8,
        _mm256_set1_ps,
        _mm256_loadu_ps,
        _mm256_storeu_ps,
        _mm256_add_ps,
        _mm256_sub_ps,
        _mm256_mul_ps,
        _mm256_div_ps,
        _mm256_fmadd_ps,
        _mm256_sqrt_ps,
        _mm256_max_ps,
        _mm256_min_ps,
        |x, condition| _mm256_and_ps(
            x,
            _mm256_cmp_ps::<_CMP_GT_OQ>(condition, _mm256_setzero_ps())
        ),
        |value, shift| _mm256_castsi256_ps(_mm256_add_epi32(
            _mm256_castps_si256(value),
            _mm256_slli_epi32::<23>(_mm256_castps_si256(shift))
        )),
        |source, stride| {
            let mut rows = [_mm256_setzero_ps(); 8];
            let mut r = 0;
            while r < 8 {
                rows[r] = _mm256_loadu_ps(source.add(r * stride));
                r += 1;
            }
            let columns = transpose8(rows);
            let mut result = [Self(columns[0]); 8];
            let mut k = 1;
            while k < 8 {
                result[k] = Self(columns[k]);
                k += 1;
            }
            result
        }
    );

    lanes!(
        F32x16,
        16,
        _mm512_set1_ps,
        _mm512_loadu_ps,
        _mm512_storeu_ps,
        _mm512_add_ps,
        _mm512_sub_ps,
        _mm512_mul_ps,
        _mm512_div_ps,
        _mm512_fmadd_ps,
        sqrt16,
        _mm512_max_ps,
        _mm512_min_ps,
        |x, condition| _mm512_maskz_mov_ps(
            _mm512_cmp_ps_mask::<_CMP_GT_OQ>(condition, _mm512_setzero_ps()),
            x
        ),
        |value, shift| _mm512_castsi512_ps(_mm512_add_epi32(
            _mm512_castps_si512(value),
            _mm512_slli_epi32::<23>(_mm512_castps_si512(shift))
        )),
        |source, stride| {
            // Rows r and r + 8 share a register, so that one 8 x 8 transpose of halves does both.
            let mut rows = [_mm512_setzero_ps(); 8];
            let mut r = 0;
            while r < 8 {
                let low = _mm512_castps256_ps512(_mm256_loadu_ps(source.add(r * stride)));
                rows[r] =
                    _mm512_insertf32x8::<1>(low, _mm256_loadu_ps(source.add((r + 8) * stride)));
                r += 1;
            }
            let mut pairs = rows;
            let mut quads = rows;
            let mut i = 0;
            while i < 8 {
                pairs[i] = _mm512_unpacklo_ps(rows[i], rows[i + 1]);
                pairs[i + 1] = _mm512_unpackhi_ps(rows[i], rows[i + 1]);
                i += 2;
            }
            let mut i = 0;
            while i < 8 {
                quads[i] = _mm512_shuffle_ps::<0x44>(pairs[i], pairs[i + 2]);
                quads[i + 1] = _mm512_shuffle_ps::<0xee>(pairs[i], pairs[i + 2]);
                quads[i + 2] = _mm512_shuffle_ps::<0x44>(pairs[i + 1], pairs[i + 3]);
                quads[i + 3] = _mm512_shuffle_ps::<0xee>(pairs[i + 1], pairs[i + 3]);
                i += 4;
            }
            let low = _mm512_setr_epi32(0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27);
            let high =
                _mm512_setr_epi32(4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31);
            let mut result = [Self(rows[0]); 8];
            let mut k = 0;
            while k < 4 {
                result[k] = Self(_mm512_permutex2var_ps(quads[k], low, quads[k + 4]));
                result[k + 4] = Self(_mm512_permutex2var_ps(quads[k], high, quads[k + 4]));
                k += 1;
            }
            result
        }
    );

    #[cfg(test)]
    mod tests {
        use super::*;

        /// Of 16 neighbours, the first whose root is not the instruction's.
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
        fn differs(first: u32) -> bool {
            let next = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
            let x = _mm512_castsi512_ps(_mm512_add_epi32(_mm512_set1_epi32(first as i32), next));
            // SAFETY: inside AVX-512 code.
            let root = unsafe { sqrt16(x) };
            let (found, known) =
                (_mm512_castps_si512(root), _mm512_castps_si512(_mm512_sqrt_ps(x)));
            _mm512_cmpneq_epi32_mask(found, known) != 0
        }

        /// A root's last bit depends on the number's digits and on whether its exponent is even.
        #[test]
        fn a_root_is_that_of_the_instruction() {
            if detect() != InstructionSet::Avx512 {
                return;
            }
            let two_exponents = 1 << 24;
            let all_digits = [0x3f80_0000, SMALLEST_ROOTED as u32, INFINITE as u32 - two_exponents];
            let edges =
                [0, 0x007f_fff0, 0x0080_0000, 0x7fc0_0000, 0x8000_0000, 0xbf80_0000, 0xff80_0000];
            for first in edges {
                for x in (first..first + 4096).step_by(16) {
                    // SAFETY: the processor was found to have these instructions.
                    assert!(!unsafe { differs(x) }, "{x:#x}");
                }
            }
            for first in all_digits {
                for x in (first - 4096..first + two_exponents).step_by(16) {
                    // SAFETY: as above.
                    assert!(!unsafe { differs(x) }, "{x:#x}");
                }
            }
        }
    }
}

/// NEON.
#[cfg(target_arch = "aarch64")]
pub(crate) mod neon {
    use core::arch::aarch64::*;

    use super::Vectors;
    use crate::lanes::Lanes;

    /// [`InstructionSet::Neon`](super::InstructionSet::Neon)
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Neon;

    impl Vectors for Neon {
        type Wide = F32x4;
        type Half = F32x4;
        type One = f32;
    }

    /// 4 numbers.
    #[derive(Clone, Copy, Debug)]
    #[repr(transparent)]
    pub(crate) struct F32x4(float32x4_t);

    impl Lanes for F32x4 {
        const WIDTH: usize = 4;
        #[inline(always)]
        fn splat(value: f32) -> Self {
            // SAFETY: NEON is part of every aarch64 target with `f32` registers, here and below.
            Self(unsafe { vdupq_n_f32(value) })
        }
        #[inline(always)]
        fn load(source: &[f32]) -> Self {
            let source = &source[..4];
            // SAFETY: the slice has the length.
            Self(unsafe { vld1q_f32(source.as_ptr()) })
        }
        #[inline(always)]
        fn store(self, target: &mut [f32]) {
            let target = &mut target[..4];
            // SAFETY: the slice has the length.
            unsafe { vst1q_f32(target.as_mut_ptr(), self.0) }
        }
        #[inline(always)]
        fn add(self, other: Self) -> Self {
            // SAFETY: as above.
            Self(unsafe { vaddq_f32(self.0, other.0) })
        }
        #[inline(always)]
        fn sub(self, other: Self) -> Self {
            // SAFETY: as above.
            Self(unsafe { vsubq_f32(self.0, other.0) })
        }
        #[inline(always)]
        fn mul(self, other: Self) -> Self {
            // SAFETY: as above.
            Self(unsafe { vmulq_f32(self.0, other.0) })
        }
        #[inline(always)]
        fn div(self, other: Self) -> Self {
            // SAFETY: as above.
            Self(unsafe { vdivq_f32(self.0, other.0) })
        }
        #[inline(always)]
        fn mul_add(self, factor: Self, addend: Self) -> Self {
            // SAFETY: as above.
            Self(unsafe { vfmaq_f32(addend.0, self.0, factor.0) })
        }
        #[inline(always)]
        fn sqrt(self) -> Self {
            // SAFETY: as above.
            Self(unsafe { vsqrtq_f32(self.0) })
        }
        #[inline(always)]
        fn max(self, other: Self) -> Self {
            // SAFETY: as above. Not `vmaxq_f32`, which returns NaN for NaN.
            Self(unsafe { vbslq_f32(vcgtq_f32(self.0, other.0), self.0, other.0) })
        }
        #[inline(always)]
        fn min(self, other: Self) -> Self {
            // SAFETY: as above.
            Self(unsafe { vbslq_f32(vcltq_f32(self.0, other.0), self.0, other.0) })
        }
        #[inline(always)]
        fn where_positive(self, condition: Self) -> Self {
            // SAFETY: as above.
            Self(unsafe {
                let positive = vcgtq_f32(condition.0, vdupq_n_f32(0.0));
                vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(self.0), positive))
            })
        }
        #[inline(always)]
        fn scale_by_shift(self, shift: Self) -> Self {
            // SAFETY: as above.
            Self(unsafe {
                let shift = vshlq_n_s32::<23>(vreinterpretq_s32_f32(shift.0));
                vreinterpretq_f32_s32(vaddq_s32(vreinterpretq_s32_f32(self.0), shift))
            })
        }
        #[inline(always)]
        fn columns(source: &[f32], stride: usize) -> [Self; 8] {
            let source = &source[..3 * stride + 8];
            // SAFETY: as above; the last of 4 rows of 8 numbers ends with the slice.
            unsafe {
                let row =
                    |r: usize, half: usize| vld1q_f32(source.as_ptr().add(r * stride + 4 * half));
                let of = |half: usize| {
                    let (a, b, c, d) = (row(0, half), row(1, half), row(2, half), row(3, half));
                    // Pairs of numbers first, then pairs of pairs.
                    let even = (vtrn1q_f32(a, b), vtrn1q_f32(c, d));
                    let odd = (vtrn2q_f32(a, b), vtrn2q_f32(c, d));
                    let join = |(top, bottom): (float32x4_t, float32x4_t)| {
                        let (top, bottom) =
                            (vreinterpretq_f64_f32(top), vreinterpretq_f64_f32(bottom));
                        [vtrn1q_f64(top, bottom), vtrn2q_f64(top, bottom)]
                            .map(|column| Self(vreinterpretq_f32_f64(column)))
                    };
                    let ([first, third], [second, fourth]) = (join(even), join(odd));
                    [first, second, third, fourth]
                };
                let ([a, b, c, d], [e, f, g, h]) = (of(0), of(1));
                [a, b, c, d, e, f, g, h]
            }
        }
    }
}

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
