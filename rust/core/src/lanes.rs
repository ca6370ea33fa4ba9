//! One number per lane: the arithmetic that every kernel is written in.
//!
//! A kernel is generic over [`Lanes`] and written in plain scalar order. With `f32` a lane is the one
//! sample of one person; with a vector type lanes are samples or persons. Each operation is IEEE 754
//! and works lane by lane, so a lane's result does not depend on how many lanes there are.

use crate::{math, simd::Vectors};

/// `WIDTH` independent `f32` numbers.
pub trait Lanes: Copy {
    /// How many.
    const WIDTH: usize;
    /// The same number in every lane.
    fn splat(value: f32) -> Self;
    /// The first `WIDTH` numbers of `source`.
    fn load(source: &[f32]) -> Self;
    /// Writes the first `WIDTH` numbers of `target`.
    fn store(self, target: &mut [f32]);
    /// `self + other`
    #[must_use]
    fn add(self, other: Self) -> Self;
    /// `self - other`
    #[must_use]
    fn sub(self, other: Self) -> Self;
    /// `self · other`
    #[must_use]
    fn mul(self, other: Self) -> Self;
    /// `self / other`
    #[must_use]
    fn div(self, other: Self) -> Self;
    /// `self · factor + addend`, rounded once.
    #[must_use]
    fn mul_add(self, factor: Self, addend: Self) -> Self;
    /// `√self`
    #[must_use]
    fn sqrt(self) -> Self;
    /// `self` where it is greater than `other`, else `other` (so NaN becomes `other`).
    #[must_use]
    fn max(self, other: Self) -> Self;
    /// `self` where it is less than `other`, else `other` (so NaN becomes `other`).
    #[must_use]
    fn min(self, other: Self) -> Self;
    /// `self` where `condition > 0`, else 0.
    #[must_use]
    fn where_positive(self, condition: Self) -> Self;
    /// Adds the low bits of `shift` to the exponent: `self · 2ⁿ` when `shift` is `1.5·2²³ + n`.
    #[must_use]
    fn scale_by_shift(self, shift: Self) -> Self;
    /// Transposes `WIDTH` rows of 8 numbers: lane r of column k is `source[r * stride + k]`.
    #[inline(always)]
    fn columns(source: &[f32], stride: usize) -> [Self; 8] {
        let mut columns = [Self::splat(0.0); 8];
        let mut k = 0;
        while k < 8 {
            let mut column = [0.0; MAX_WIDTH];
            let mut r = 0;
            while r < Self::WIDTH {
                column[r] = source[r * stride + k];
                r += 1;
            }
            columns[k] = Self::load(&column);
            k += 1;
        }
        columns
    }
}

/// The widest vector there is.
pub const MAX_WIDTH: usize = 16;

impl Lanes for f32 {
    const WIDTH: usize = 1;

    #[inline(always)]
    fn splat(value: f32) -> Self {
        value
    }
    #[inline(always)]
    fn load(source: &[f32]) -> Self {
        source[0]
    }
    #[inline(always)]
    fn store(self, target: &mut [f32]) {
        target[0] = self;
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self + other
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        self - other
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        self * other
    }
    #[inline(always)]
    fn div(self, other: Self) -> Self {
        self / other
    }
    #[inline(always)]
    fn mul_add(self, factor: Self, addend: Self) -> Self {
        math::mul_add(self, factor, addend)
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        math::sqrt_f32(self)
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        if self > other { self } else { other }
    }
    #[inline(always)]
    fn min(self, other: Self) -> Self {
        if self < other { self } else { other }
    }
    #[inline(always)]
    fn where_positive(self, condition: Self) -> Self {
        if condition > 0.0 { self } else { 0.0 }
    }
    #[inline(always)]
    fn scale_by_shift(self, shift: Self) -> Self {
        f32::from_bits(self.to_bits().wrapping_add(shift.to_bits() << 23))
    }
}

/// The lanes of the widest vectors of an instruction set.
#[inline(always)]
pub(crate) fn width<V: Vectors>() -> usize {
    V::Wide::WIDTH
}
