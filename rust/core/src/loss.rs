//! What training makes small.

use crate::{lanes::Lanes, math};

/// The loss, and with it the link from a network's last sum `z` to its prediction.
///
/// Both are means over samples, weighted by `sample_weight`, and over outputs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Loss {
    /// Binary cross-entropy on logits, `ln(1 + eᶻ) - y z`; the prediction is `1 / (1 + e⁻ᶻ)`.
    /// Targets lie in `[0, 1]`.
    #[default]
    BceWithLogits,
    /// Squared error, `(z - y)²`; the prediction is `z`.
    Mse,
}

impl Loss {
    /// The prediction that belongs to the last sum `z`.
    #[inline(always)]
    pub fn link<L: Lanes>(self, z: L) -> L {
        match self {
            Self::BceWithLogits => math::sigmoid_lanes(z),
            Self::Mse => z,
        }
    }

    /// What the prediction is off by: `prediction - y`.
    ///
    /// A probability within 2⁻²⁶ of its target is taken as equal to it. Near 1 single precision knows
    /// no nearer number; near 0 it does, and gradients would sink among the subnormal numbers, whose
    /// arithmetic is a hundred times slower.
    #[inline(always)]
    pub(crate) fn error<L: Lanes>(self, z: L, y: L) -> L {
        let error = self.link(z).sub(y);
        match self {
            Self::BceWithLogits => {
                let magnitude = error.max(L::splat(0.0).sub(error));
                error.where_positive(magnitude.sub(L::splat(1.0 / 67_108_864.0)))
            }
            Self::Mse => error,
        }
    }

    /// The loss of one output.
    #[inline(always)]
    pub(crate) fn value<L: Lanes>(self, z: L, y: L) -> L {
        match self {
            // max(z, 0) - y z + ln(1 + e^-|z|): no overflow and no cancellation on either side.
            Self::BceWithLogits => {
                let zero = L::splat(0.0);
                let positive = z.max(zero);
                let magnitude = positive.sub(z.min(zero));
                positive.sub(y.mul(z)).add(math::softplus_of_negative_lanes(magnitude))
            }
            Self::Mse => {
                let error = z.sub(y);
                error.mul(error)
            }
        }
    }

    /// The gradient with respect to `z` is this times `prediction - y`.
    #[inline(always)]
    pub(crate) const fn slope(self) -> f32 {
        match self {
            Self::BceWithLogits => 1.0,
            Self::Mse => 2.0,
        }
    }
}
