//! A training between two steps as plain numbers, to be kept where Rust values cannot be.

use super::{LossSum, Memory, Powers, Status, Training, TrainingConfig};
use crate::{
    error::{Error, Result, check_finite},
    network::Network,
    random::SplitMix64,
};

/// Length of [`Training::state`].
pub const STATE_LEN: usize = 11;

impl Training {
    /// Everything that is neither network, configuration nor [`Memory`].
    #[must_use]
    pub fn state(&self) -> [u64; STATE_LEN] {
        [
            self.rows as u64,
            self.generator.state(),
            self.powers.beta1.to_bits(),
            self.powers.beta2.to_bits(),
            self.status as u64,
            u64::from(self.epoch),
            self.position as u64,
            self.losses.loss.to_bits(),
            self.losses.weight.to_bits(),
            u64::from(self.best_epoch),
            self.best_loss.to_bits(),
        ]
    }

    /// The training that [`state`](Self::state) and [`Memory`] were taken from; it goes on with the
    /// same bits.
    ///
    /// # Errors
    ///
    /// [`Error`] for numbers that no training leads to, so that whatever the numbers are, going on is
    /// safe.
    pub fn resume(
        network: &Network,
        config: &TrainingConfig,
        state: &[u64; STATE_LEN],
        memory: &Memory<'_>,
    ) -> Result<Self> {
        let [
            rows,
            generator,
            beta1,
            beta2,
            status,
            epoch,
            position,
            loss,
            weight,
            best_epoch,
            best_loss,
        ] = *state;
        config.check()?;
        let rows = usize::try_from(rows).ok().filter(|rows| u32::try_from(*rows).is_ok());
        let rows = rows.filter(|rows| *rows > 0).ok_or(IMPOSSIBLE)?;
        let training_rows = config.training_rows(rows)?;
        memory.check(network, rows)?;
        let training = Self {
            network: *network,
            config: *config,
            rows,
            training_rows,
            generator: SplitMix64::new(generator),
            powers: Powers { beta1: f64::from_bits(beta1), beta2: f64::from_bits(beta2) },
            status: match status {
                0 => Status::Running,
                1 => Status::Finished,
                2 => Status::StoppedEarly,
                3 => Status::Cancelled,
                _ => return Err(IMPOSSIBLE),
            },
            epoch: u32::try_from(epoch).map_err(|_| IMPOSSIBLE)?,
            position: usize::try_from(position).map_err(|_| IMPOSSIBLE)?,
            losses: LossSum { loss: f64::from_bits(loss), weight: f64::from_bits(weight) },
            best_epoch: u32::try_from(best_epoch).map_err(|_| IMPOSSIBLE)?,
            best_loss: f64::from_bits(best_loss),
        };
        let is_possible = training.epoch <= config.epochs
            && training.best_epoch <= training.epoch
            && training.position < training_rows
            && (training.status != Status::Running || training.epoch < config.epochs)
            && (0.0..=1.0).contains(&training.powers.beta1)
            && (0.0..=1.0).contains(&training.powers.beta2)
            && training.losses.weight.is_finite()
            && !training.best_loss.is_nan()
            && memory.order[..training_rows].iter().all(|row| (*row as usize) < training_rows);
        if !is_possible {
            return Err(IMPOSSIBLE);
        }
        let n = network.n_parameters();
        check_finite("memory.floats", &memory.floats[..3 * n])?;
        if config.patience.is_some() {
            check_finite("memory.floats", &memory.floats[4 * n..5 * n])?;
        }
        Ok(training)
    }
}

const IMPOSSIBLE: Error = Error::OutOfRange {
    argument: "state",
    expected: "the numbers of a training that was started",
    actual: f64::NAN,
};
