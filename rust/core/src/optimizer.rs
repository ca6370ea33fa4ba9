//! How a gradient becomes a step.

use crate::{
    error::{Result, require},
    lanes::Lanes,
    math,
};

/// The optimiser and its own settings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Optimizer {
    /// `v ← momentum · v + g`, `p ← p - learning_rate · v` (Polyak 1964); plain descent with momentum 0.
    Sgd {
        /// In `[0, 1)`.
        momentum: f64,
    },
    /// `m ← β₁ m + (1 - β₁) g`, `v ← β₂ v + (1 - β₂) g²`,
    /// `p ← p - learning_rate · m̂ / (√v̂ + ε)` with `m̂ = m / (1 - β₁ᵗ)`, `v̂ = v / (1 - β₂ᵗ)`
    /// (Kingma & Ba 2015). The corrections `1 - βᵗ` are kept in double precision.
    Adam {
        /// β₁ in `[0, 1)`.
        beta1: f64,
        /// β₂ in `[0, 1)`.
        beta2: f64,
        /// ε > 0.
        epsilon: f64,
    },
}

impl Default for Optimizer {
    fn default() -> Self {
        Self::ADAM
    }
}

impl Optimizer {
    /// Adam with the settings of its paper.
    pub const ADAM: Self = Self::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 };

    /// Whether steps depend on the gradients of earlier steps.
    pub(crate) fn has_moments(&self) -> bool {
        !matches!(self, Self::Sgd { momentum: 0.0 })
    }

    pub(crate) fn check(&self) -> Result<()> {
        let fraction = |argument, value| {
            require((0.0..1.0).contains(&value), argument, "a number in [0, 1)", value)
        };
        match *self {
            Self::Sgd { momentum } => fraction("momentum", momentum),
            Self::Adam { beta1, beta2, epsilon } => {
                fraction("beta1", beta1)?;
                fraction("beta2", beta2)?;
                // Smaller would vanish in single precision, and 0 / 0 with it.
                let holds = (1e-30..=1.0).contains(&epsilon);
                require(holds, "epsilon", "a number in [1e-30, 1]", epsilon)
            }
        }
    }
}

/// `β₁ᵗ` and `β₂ᵗ` after `t` steps, as running products.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Powers {
    pub(crate) beta1: f64,
    pub(crate) beta2: f64,
}

impl Powers {
    pub(crate) const START: Self = Self { beta1: 1.0, beta2: 1.0 };
}

/// Rounds moments to 0 that are too small to move a parameter, at the end of each epoch.
///
/// A unit that fell silent has no gradient; its moments decay towards the subnormal numbers and stay
/// there, and every later step would be several times slower.
#[inline]
pub(crate) fn settle(first: &mut [f32], second: &mut [f32]) {
    for m in first {
        *m = if m.abs() < 1e-24 { 0.0 } else { *m };
    }
    for v in second {
        *v = if *v < 1e-33 { 0.0 } else { *v };
    }
}

/// Steps one after the other.
#[derive(Debug)]
pub(crate) struct Pace<'a> {
    pub(crate) optimizer: &'a Optimizer,
    pub(crate) learning_rate: f64,
    pub(crate) l2: f64,
    pub(crate) powers: &'a mut Powers,
}

impl Pace<'_> {
    /// The next step; the powers move on.
    #[inline(always)]
    pub(crate) fn step(&mut self) -> Step {
        Step::next(self.optimizer, self.learning_rate, self.l2, self.powers)
    }
}

/// The numbers of one step, rounded to single precision once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) adam: bool,
    /// momentum or β₁
    pub(crate) decay1: f32,
    pub(crate) decay2: f32,
    /// 1 - β₁, 1 - β₂
    pub(crate) rest1: f32,
    pub(crate) rest2: f32,
    /// -learning_rate, for Adam divided by 1 - β₁ᵗ
    pub(crate) rate: f32,
    /// 1 / √(1 - β₂ᵗ)
    pub(crate) scale: f32,
    pub(crate) epsilon: f32,
    pub(crate) l2: f32,
}

impl Step {
    #[inline(always)]
    #[allow(clippy::cast_possible_truncation)]
    fn next(optimizer: &Optimizer, learning_rate: f64, l2: f64, powers: &mut Powers) -> Self {
        let l2 = l2 as f32;
        match *optimizer {
            Optimizer::Sgd { momentum } => Self {
                adam: false,
                decay1: momentum as f32,
                decay2: 0.0,
                rest1: 1.0,
                rest2: 0.0,
                rate: -learning_rate as f32,
                scale: 0.0,
                epsilon: 0.0,
                l2,
            },
            Optimizer::Adam { beta1, beta2, epsilon } => {
                powers.beta1 *= beta1;
                powers.beta2 *= beta2;
                Self {
                    adam: true,
                    decay1: beta1 as f32,
                    decay2: beta2 as f32,
                    rest1: (1.0 - beta1) as f32,
                    rest2: (1.0 - beta2) as f32,
                    rate: -(learning_rate / (1.0 - powers.beta1)) as f32,
                    scale: (1.0 / math::sqrt(1.0 - powers.beta2)) as f32,
                    epsilon: epsilon as f32,
                    l2,
                }
            }
        }
    }

    /// `g + l2 (p - anchor)`
    #[inline(always)]
    pub(crate) fn pull<L: Lanes>(&self, gradient: L, parameter: L, anchor: L) -> L {
        L::splat(self.l2).mul_add(parameter.sub(anchor), gradient)
    }

    /// The gradient of the parameters from `i` on, pulled if `PULL`.
    // A method: a closure would be compiled without the instructions of the kernel around it.
    #[inline(always)]
    fn slope<L: Lanes, const PULL: bool>(
        &self,
        i: usize,
        parameter: L,
        gradient: &[f32],
        anchor: Option<&[f32]>,
    ) -> L {
        let slope = L::load(&gradient[i..]);
        match anchor {
            Some(anchor) if PULL => self.pull(slope, parameter, L::load(&anchor[i..])),
            None if PULL => self.pull(slope, parameter, L::splat(0.0)),
            _ => slope,
        }
    }

    /// One parameter's step: returns the new parameter and moments.
    #[inline(always)]
    pub(crate) fn apply<L: Lanes>(
        &self,
        parameter: L,
        gradient: L,
        first: L,
        second: L,
    ) -> (L, L, L) {
        let rate = L::splat(self.rate);
        if self.adam {
            let first = L::splat(self.decay1).mul_add(first, L::splat(self.rest1).mul(gradient));
            let square = gradient.mul(gradient);
            let second = L::splat(self.decay2).mul_add(second, L::splat(self.rest2).mul(square));
            let root = second.sqrt().mul_add(L::splat(self.scale), L::splat(self.epsilon));
            (rate.mul_add(first.div(root), parameter), first, second)
        } else {
            let first = if self.decay1 > 0.0 {
                L::splat(self.decay1).mul_add(first, gradient)
            } else {
                gradient
            };
            (rate.mul_add(first, parameter), first, second)
        }
    }

    /// The step of all parameters; their number is a multiple of the width.
    ///
    /// `anchor` is 0 where absent; it matters only with `l2 > 0`.
    #[inline(always)]
    pub(crate) fn apply_all<L: Lanes>(
        &self,
        parameters: &mut [f32],
        gradient: &[f32],
        first: &mut [f32],
        second: &mut [f32],
        anchor: Option<&[f32]>,
    ) {
        if self.l2 > 0.0 {
            self.steps::<L, true>(parameters, gradient, first, second, anchor);
        } else {
            self.steps::<L, false>(parameters, gradient, first, second, None);
        }
    }

    #[inline(always)]
    fn steps<L: Lanes, const PULL: bool>(
        &self,
        parameters: &mut [f32],
        gradient: &[f32],
        first: &mut [f32],
        second: &mut [f32],
        anchor: Option<&[f32]>,
    ) {
        let n = parameters.len();
        let (gradient, first, second) = (&gradient[..n], &mut first[..n], &mut second[..n]);
        let mut i = 0;
        if self.adam {
            while i + L::WIDTH <= n {
                let p = L::load(&parameters[i..]);
                let (m, v) = (L::load(&first[i..]), L::load(&second[i..]));
                let (p, m, v) = self.apply(p, self.slope::<L, PULL>(i, p, gradient, anchor), m, v);
                p.store(&mut parameters[i..]);
                m.store(&mut first[i..]);
                v.store(&mut second[i..]);
                i += L::WIDTH;
            }
        } else if self.decay1 > 0.0 {
            while i + L::WIDTH <= n {
                let (p, m) = (L::load(&parameters[i..]), L::load(&first[i..]));
                let (p, m, _) = self.apply(p, self.slope::<L, PULL>(i, p, gradient, anchor), m, m);
                p.store(&mut parameters[i..]);
                m.store(&mut first[i..]);
                i += L::WIDTH;
            }
        } else {
            while i + L::WIDTH <= n {
                let p = L::load(&parameters[i..]);
                let slope = self.slope::<L, PULL>(i, p, gradient, anchor);
                self.apply(p, slope, slope, slope).0.store(&mut parameters[i..]);
                i += L::WIDTH;
            }
        }
    }
}
