//! Elementary functions with the same bits on every machine.
//!
//! Only `+ - * /`, comparisons, integer operations, the fused multiply-add and the square root are
//! used, each correctly rounded as IEEE 754 asks.

use crate::{lanes::Lanes, simd};

/// `a · b + c` with one rounding.
#[must_use]
#[inline(always)]
pub fn mul_add(a: f32, b: f32, c: f32) -> f32 {
    simd::mul_add(a, b, c).unwrap_or_else(|| soft_mul_add(a, b, c))
}

/// `a · b + c` with one rounding, for machines without the instruction.
///
/// The product of two `f32` is exact in `f64`; the sum is rounded to odd there, so that the final
/// rounding to `f32` sees every bit it needs.
///
/// # Source
/// Boldo & Melquiond (2008), *Emulation of a FMA and Correctly Rounded Sums: Proved Algorithms Using
/// Rounding to Odd*, IEEE Transactions on Computers 57 (4).
#[must_use]
#[inline(never)] // a kernel holds it hundreds of times
#[allow(clippy::cast_possible_truncation)] // the rounding to f32 is the purpose
pub fn soft_mul_add(a: f32, b: f32, c: f32) -> f32 {
    let product = f64::from(a) * f64::from(b);
    let addend = f64::from(c);
    let sum = product + addend;
    // The exact error of the sum (Knuth's TwoSum).
    let back = sum - product;
    let error = (product - (sum - back)) + (addend - back);
    // An inexact sum whose last bit is even moves one step towards the exact value: now it is odd.
    let bits = sum.to_bits();
    let inexact = error != 0.0 && sum.is_finite();
    let step = if (error > 0.0) == (sum > 0.0) { 1 } else { u64::MAX };
    let odd = if inexact && bits & 1 == 0 { bits.wrapping_add(step) } else { bits };
    f64::from_bits(odd) as f32
}

/// `√x`, correctly rounded; NaN for negative numbers.
#[must_use]
#[inline]
#[allow(clippy::cast_possible_truncation)]
pub fn sqrt_f32(x: f32) -> f32 {
    // Rounding √x first to 53 and then to 24 bits is harmless: 53 ≥ 2 · 24 + 2 (Figueroa 1995).
    simd::sqrt_f32(x).unwrap_or_else(|| soft_sqrt(f64::from(x)) as f32)
}

/// `√x`, correctly rounded; NaN for negative numbers.
#[must_use]
#[inline]
pub fn sqrt(x: f64) -> f64 {
    simd::sqrt_f64(x).unwrap_or_else(|| soft_sqrt(x))
}

/// `√x` digit by digit in integers, for machines without the instruction.
#[must_use]
pub fn soft_sqrt(x: f64) -> f64 {
    if !(x > 0.0 && x.is_finite()) {
        // √0 = 0 with its sign, √∞ = ∞; NaN and negative numbers give NaN.
        return if x == 0.0 || x == f64::INFINITY { x } else { f64::NAN };
    }
    let (x, shift) =
        if x < f64::MIN_POSITIVE { (x * 18_014_398_509_481_984.0, 27) } else { (x, 0) };
    let bits = x.to_bits();
    let exponent = (bits >> 52) as i64 - 1023;
    let mantissa = (bits & 0x000f_ffff_ffff_ffff) | 0x0010_0000_0000_0000;
    // mantissa · 2^(exponent - 52) with an even exponent, scaled so that the root has 54 bits.
    let mut rest = u128::from(mantissa) << (54 + (exponent & 1));
    let (mut root, mut bit) = (0u128, 1u128 << 106);
    while bit != 0 {
        if rest >= root + bit {
            rest -= root + bit;
            root = (root >> 1) + bit;
        } else {
            root >>= 1;
        }
        bit >>= 2;
    }
    // 54 bits: the last one decides the rounding; a tie is impossible for a root.
    let rounded = ((root + 1) >> 1) as u64;
    let half = (exponent >> 1) - shift;
    f64::from_bits((((half + 1023) as u64) << 52) + (rounded - 0x0010_0000_0000_0000))
}

/// `eˣ` in double precision, within 2 units in the last place; 0 below -745.2, ∞ above 709.8.
///
/// `x = n ln 2 + r` with `|r| ≤ ½ ln 2`, `eʳ` by its Taylor polynomial of degree 13.
#[must_use]
pub fn exp(x: f64) -> f64 {
    const LN_2_HIGH: f64 = 6.931_471_803_691_238e-1; // 32 bits: n · LN_2_HIGH is exact
    const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;
    if x.is_nan() {
        return x;
    }
    if x > 709.79 {
        return f64::INFINITY;
    }
    if x < -745.14 {
        return 0.0;
    }
    let scaled = x * core::f64::consts::LOG2_E;
    let n = (if scaled < 0.0 { scaled - 0.5 } else { scaled + 0.5 }) as i64;
    let whole = n as f64;
    let r = (x - whole * LN_2_HIGH) - whole * LN_2_LOW;
    // 1/13!, 1/12!, ... 1/0!
    const TERMS: [f64; 14] = [
        1.0 / 6_227_020_800.0,
        1.0 / 479_001_600.0,
        1.0 / 39_916_800.0,
        1.0 / 3_628_800.0,
        1.0 / 362_880.0,
        1.0 / 40_320.0,
        1.0 / 5_040.0,
        1.0 / 720.0,
        1.0 / 120.0,
        1.0 / 24.0,
        1.0 / 6.0,
        0.5,
        1.0,
        1.0,
    ];
    let power = TERMS.iter().fold(0.0, |sum, term| sum * r + term);
    // Two factors, so that neither leaves the range before the product does.
    let first = n / 2;
    power * power_of_two(first) * power_of_two(n - first)
}

/// `2ⁿ` for `n` in -1022 ..= 1023.
fn power_of_two(n: i64) -> f64 {
    f64::from_bits(((n + 1023) as u64) << 52)
}

/// The natural logarithm in double precision, within 2 units in the last place.
///
/// -∞ at 0, NaN below. `x = 2ᵏ m` with `m` in `[√½, √2)`, then
/// `ln m = 2 artanh s`, `s = (m - 1) / (m + 1)`, by its series.
#[must_use]
pub fn ln(x: f64) -> f64 {
    const LN_2_HIGH: f64 = 6.931_471_803_691_238e-1;
    const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;
    if x.is_nan() || x < 0.0 {
        return f64::NAN;
    }
    if x == 0.0 {
        return f64::NEG_INFINITY;
    }
    if x == f64::INFINITY {
        return x;
    }
    let (x, shift) =
        if x < f64::MIN_POSITIVE { (x * 18_014_398_509_481_984.0, 54) } else { (x, 0) };
    let bits = x.to_bits();
    let mut k = (bits >> 52) as i64 - 1023 - shift;
    let mut m = f64::from_bits((bits & 0x000f_ffff_ffff_ffff) | 0x3ff0_0000_0000_0000);
    if m > core::f64::consts::SQRT_2 {
        m *= 0.5;
        k += 1;
    }
    let f = m - 1.0; // exact
    let s = f / (2.0 + f);
    let s2 = s * s;
    // 2 artanh s = 2s + s · tail with tail = 2s²/3 + 2s⁴/5 + ...; and 2s = f - s f exactly.
    let mut tail = 0.0;
    let mut odd = 23.0;
    while odd > 1.0 {
        tail = tail * s2 + 2.0 / odd;
        odd -= 2.0;
    }
    let k = k as f64;
    let correction = s * (f - tail * s2);
    k * LN_2_HIGH - ((correction - k * LN_2_LOW) - f)
}

/// The logistic function `1 / (1 + e⁻ˣ)` in double precision.
#[must_use]
pub fn sigmoid(x: f64) -> f64 {
    if x < 0.0 {
        let e = exp(x);
        e / (1.0 + e)
    } else {
        1.0 / (1.0 + exp(-x))
    }
}

/// The log odds `ln(p / (1 - p))` of a probability inside (0, 1).
#[must_use]
pub fn logit(p: f64) -> f64 {
    ln(p / (1.0 - p))
}

/// `xʸ` for `x > 0`; exactly `x` where `y` is 1.
#[must_use]
pub fn power(x: f64, y: f64) -> f64 {
    if y == 1.0 { x } else { exp(y * ln(x)) }
}

/// `e⁻ˣ` per lane for `x` in [-88, 87]; the caller clamps. Relative error below 2 · 10⁻⁷.
///
/// # Source
/// Argument reduction of Cody & Waite (1980); the polynomial of degree 6 of Cephes' `expf` (Moshier).
#[inline(always)]
fn exp_of_negative_lanes<L: Lanes>(x: L) -> L {
    const SHIFT: f32 = 12_582_912.0; // 1.5 · 2²³: adding it rounds to an integer
    let x = L::splat(-0.0).sub(x); // only the sign, which costs a fused multiply-add nothing
    let shifted = x.mul_add(L::splat(core::f32::consts::LOG2_E), L::splat(SHIFT));
    let n = shifted.sub(L::splat(SHIFT));
    let r = n.mul_add(L::splat(-0.693_359_4), x);
    let r = n.mul_add(L::splat(2.121_944_4e-4), r);
    let p = L::splat(1.987_569_1e-4);
    let p = p.mul_add(r, L::splat(1.398_199_9e-3));
    let p = p.mul_add(r, L::splat(8.333_452e-3));
    let p = p.mul_add(r, L::splat(4.166_579_6e-2));
    let p = p.mul_add(r, L::splat(0.166_666_66));
    let p = p.mul_add(r, L::splat(0.5));
    let p = p.mul_add(r.mul(r), r).add(L::splat(1.0));
    p.scale_by_shift(shifted)
}

/// The logistic function per lane, `1 / (1 + e⁻ˣ)`; within 2 · 10⁻⁷, monotone ends 0 and 1.
#[inline(always)]
pub fn sigmoid_lanes<L: Lanes>(x: L) -> L {
    let e = exp_of_negative_lanes(x.min(L::splat(87.0)).max(L::splat(-88.0)));
    L::splat(1.0).div(L::splat(1.0).add(e))
}

/// The hyperbolic tangent per lane; absolute error below 5 · 10⁻⁷, never beyond ±1.
///
/// # Source
/// The rational minimax approximation of degree 13 / 6 that Eigen uses.
#[inline(always)]
pub fn tanh_lanes<L: Lanes>(x: L) -> L {
    const END: f32 = 7.905_311;
    let x = x.max(L::splat(-END)).min(L::splat(END));
    let x2 = x.mul(x);
    let p = L::splat(-2.760_768_5e-16);
    let p = x2.mul_add(p, L::splat(2.000_188e-13));
    let p = x2.mul_add(p, L::splat(-8.604_672e-11));
    let p = x2.mul_add(p, L::splat(5.122_297_3e-8));
    let p = x2.mul_add(p, L::splat(1.485_722_35e-5));
    let p = x2.mul_add(p, L::splat(6.372_619_5e-4));
    let p = x2.mul_add(p, L::splat(4.893_524_6e-3));
    let q = L::splat(1.198_258_4e-6);
    let q = x2.mul_add(q, L::splat(1.185_347_1e-4));
    let q = x2.mul_add(q, L::splat(2.268_434_7e-3));
    let q = x2.mul_add(q, L::splat(4.893_525e-3));
    x.mul(p).div(q)
}

/// `ln(1 + e⁻ˣ)` per lane for `x ≥ 0`: the loss of a logit on the right side by `x`.
///
/// With `u = e⁻ˣ` in (0, 1]: `ln(1 + u) = 2 artanh(u / (2 + u))`, the argument at most ⅓.
/// Relative error below 5 · 10⁻⁷ up to 87; beyond, where it is below 2 · 10⁻³⁸, the value there.
#[inline(always)]
pub fn softplus_of_negative_lanes<L: Lanes>(x: L) -> L {
    let u = exp_of_negative_lanes(x.min(L::splat(87.0)));
    let s = u.div(L::splat(2.0).add(u));
    let s2 = s.mul(s);
    let t = L::splat(2.0 / 15.0);
    let t = t.mul_add(s2, L::splat(2.0 / 13.0));
    let t = t.mul_add(s2, L::splat(2.0 / 11.0));
    let t = t.mul_add(s2, L::splat(2.0 / 9.0));
    let t = t.mul_add(s2, L::splat(2.0 / 7.0));
    let t = t.mul_add(s2, L::splat(2.0 / 5.0));
    let t = t.mul_add(s2, L::splat(2.0 / 3.0));
    s.mul(t.mul_add(s2, L::splat(2.0)))
}
