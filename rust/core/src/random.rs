//! The named generator behind every random choice of the core.

/// `SplitMix64`: one word of state, passes BigCrush, and any seed is a good seed.
///
/// # Source
/// Steele, Lea & Flood (2014), *Fast Splittable Pseudorandom Number Generators*, OOPSLA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SplitMix64 {
    state: u64,
}

impl SplitMix64 {
    /// A generator that starts from `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The state; `SplitMix64::new(state)` goes on from here.
    #[must_use]
    pub const fn state(&self) -> u64 {
        self.state
    }

    /// The next 64 random bits.
    #[inline]
    pub const fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = self.state;
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in `[0, bound)` by multiply-shift of the high 32 bits; 0 for `bound` 0.
    ///
    /// The bias is at most `bound / 2³²`, far below what a shuffle of one person's samples could show.
    #[inline]
    pub const fn below(&mut self, bound: u32) -> u32 {
        (((self.next_u64() >> 32) * bound as u64) >> 32) as u32
    }

    /// A multiple of 2⁻²⁴ in `[0, 1)`, every one exactly representable.
    #[inline]
    #[allow(clippy::cast_precision_loss)] // 24 bits are exact in f32
    pub const fn uniform(&mut self) -> f32 {
        (self.next_u64() >> 40) as f32 * (1.0 / 16_777_216.0)
    }

    /// Shuffles in place (Fisher and Yates, from the last element down).
    ///
    /// Each 64 random bits serve two exchanges, the high half first: a shuffle of every epoch is a
    /// noticeable part of a small training.
    #[inline]
    pub const fn shuffle(&mut self, items: &mut [u32]) {
        let mut i = items.len();
        while i > 2 {
            let bits = self.next_u64();
            let (high, low) = (bits >> 32, bits & 0xffff_ffff);
            items.swap(i - 1, ((high * i as u64) >> 32) as usize);
            items.swap(i - 2, ((low * (i as u64 - 1)) >> 32) as usize);
            i -= 2;
        }
        if i == 2 {
            let j = self.below(2) as usize;
            items.swap(1, j);
        }
    }
}
