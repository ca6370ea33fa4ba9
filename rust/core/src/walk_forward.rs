//! One person's whole history, in time order: learn what may be known, then predict.
//!
//! This is how a model is trained. Its predictions were all made before their outcomes, so they judge
//! the experts, the calibration and the gate for free; and it starts from nothing each time, so a
//! history without an event gives the bytes that it would have given had the event never been.

use core::{iter::successors, ops::Range};

use crate::{
    error::{Result, check_len, check_room, require},
    model::{MAX_TOGETHER, Model, ModelConfig, N_EXPERTS, Outcome, Scratch, check_inputs},
    rates::MAX_SLOTS,
};

/// The samples of one person, one row per moment, in time order.
#[derive(Clone, Copy, Debug)]
pub struct History<'a> {
    /// The inputs, `[n, n_inputs]` row-major.
    pub x: &'a [f32],
    /// 1 positive, 0 negative, -1 unknown.
    pub label: &'a [i8],
    /// The slot of each moment.
    pub slot: &'a [u8],
    /// The first row at whose prediction the label may be used, later than its own; n for a label that
    /// became known after the last prediction.
    pub learn_at: &'a [u32],
}

/// What was predicted, row by row.
#[derive(Debug)]
pub struct Forecasts<'a> {
    /// The probability that was served, `[n]`.
    pub probability: &'a mut [f64],
    /// What each expert said, `[n, N_EXPERTS]` row-major.
    pub experts: &'a mut [f64],
    /// Promotions of a personal network by then, `[n]`.
    pub promotions: &'a mut [u32],
}

/// The buffers of a walk over `n` rows.
#[derive(Debug)]
pub struct Workspace<'a> {
    /// `2 n + 1` numbers.
    pub order: &'a mut [u32],
    /// `n * n_inputs` numbers: inputs of the networks, in the order they were learnt.
    pub inputs: &'a mut [f32],
    /// `n` numbers: their outcomes.
    pub outcomes: &'a mut [f32],
    /// `n` numbers: the parts of one that these count as.
    pub parts: &'a mut [f32],
    /// The buffers of a training.
    pub scratch: Scratch<'a>,
}

const END: u32 = u32::MAX;

/// Walks `model` through `history`.
///
/// Before row `t` the labels with `learn_at == t` are learnt together, in the order of their rows, and the
/// personal network is retrained if enough has come since; then row `t` is predicted. After the last
/// row the labels with `learn_at == n` are learnt, so that the model has seen every label.
///
/// # Errors
/// As [`History::check`], for forecasts and workspace too; nothing is then changed.
/// [`Diverged`](crate::Error::Diverged) if a training of the personal network left the finite numbers: the model is
/// then worth nothing.
pub fn walk_forward(
    model: &mut Model<'_>,
    history: &History<'_>,
    forecasts: &mut Forecasts<'_>,
    workspace: &mut Workspace<'_>,
) -> Result<()> {
    walk(model, history, 0..history.label.len(), forecasts, workspace)
}

/// Walks `model` through the part `rows` of `history`: slices that follow each other, from 0 to the
/// end, give the bits of one [`walk_forward`].
///
/// The slice with the last row also learns the labels that come after it. What is needed of the
/// earlier rows is rebuilt in `workspace`; of `forecasts` only `rows` are written.
///
/// # Errors
/// As [`walk_forward`]; [`OutOfRange`](crate::Error::OutOfRange) for `rows` outside of the history.
pub fn walk(
    model: &mut Model<'_>,
    history: &History<'_>,
    rows: Range<usize>,
    forecasts: &mut Forecasts<'_>,
    workspace: &mut Workspace<'_>,
) -> Result<()> {
    let n = check(model, history, forecasts, workspace)?;
    let inside = rows.start <= rows.end && rows.end <= n;
    require(inside, "rows", "a range within the history", rows.end as f64)?;
    let n_inputs = model.config().n_inputs;
    let row = |j: usize| &history.x[j * n_inputs..][..n_inputs];
    let (first, next) = workspace.order[..2 * n + 1].split_at_mut(n + 1);
    // A list per row of what is learnt before it; built backwards, so that rows come in order.
    first.fill(END);
    for j in (0..n).rev().filter(|&j| history.label[j] >= 0) {
        let at = history.learn_at[j] as usize;
        next[j] = first[at];
        first[at] = j as u32;
    }
    let link = |j: u32| (j != END).then_some(j as usize);
    let mut learnt = 0;
    let mut trained = 0;
    // The row before which labels were learnt last: later than a row, that row's outcome is late.
    let mut learnt_last = None;
    for (t, &head) in first.iter().enumerate() {
        if t == rows.end && t < n {
            break;
        }
        let is_new = if t < n { t >= rows.start } else { rows.start < n };
        let due = || successors(link(head), |&i| link(next[i]));
        let begin = learnt;
        for i in due() {
            let input = &mut workspace.inputs[learnt * n_inputs..][..n_inputs];
            model.network_input(row(i), input)?;
            workspace.outcomes[learnt] = f32::from(history.label[i]);
            learnt += 1;
        }
        for group in workspace.parts[begin..learnt].chunks_mut(MAX_TOGETHER) {
            group.fill(1.0 / group.len() as f32);
        }
        if is_new {
            model.learn_all(&mut due().map(|i| Outcome {
                x: row(i),
                slot: usize::from(history.slot[i]),
                positive: history.label[i] == 1,
                late: learnt_last.is_some_and(|before| before > i),
            }));
        }
        if learnt > begin {
            learnt_last = Some(t);
        }
        if learnt - trained >= model.config().retrain_every as usize {
            trained = learnt;
            let from = learnt.saturating_sub(model.config().retrain_window as usize);
            if is_new {
                let inputs = &workspace.inputs[from * n_inputs..learnt * n_inputs];
                let (outcomes, parts) =
                    (&workspace.outcomes[from..learnt], &workspace.parts[from..learnt]);
                model.retrain(inputs, outcomes, parts, &mut workspace.scratch)?;
            }
        }
        if is_new && t < n {
            let said = model.predict(row(t), usize::from(history.slot[t]))?;
            forecasts.probability[t] = said.probability;
            forecasts.experts[t * N_EXPERTS..][..N_EXPERTS].copy_from_slice(&said.experts);
            forecasts.promotions[t] = model.promotions();
        }
    }
    Ok(())
}

impl History<'_> {
    /// Refuses a history that a model of `config` cannot be walked through; returns its number of rows.
    ///
    /// # Errors
    /// [`Shape`](crate::Error::Shape), [`NonFinite`](crate::Error::NonFinite) or
    /// [`OutOfRange`](crate::Error::OutOfRange), naming the column.
    pub fn check(&self, config: &ModelConfig) -> Result<usize> {
        let n = self.label.len();
        check_len("x", n * config.n_inputs, self.x.len())?;
        check_inputs(self.x)?;
        check_len("slot", n, self.slot.len())?;
        check_len("learn_at", n, self.learn_at.len())?;
        for &label in self.label {
            require((-1..=1).contains(&label), "label", "1, 0 or -1", label.into())?;
        }
        for &slot in self.slot {
            require(usize::from(slot) < MAX_SLOTS, "slot", "slots from 0 to 23", slot.into())?;
        }
        for (row, &at) in self.learn_at.iter().enumerate() {
            let later = (row + 1..=n).contains(&(at as usize));
            require(later, "learn_at", "rows later than the sample's own, at most n", at.into())?;
        }
        Ok(n)
    }
}

/// Refuses what does not fit together; returns the number of rows.
fn check(
    model: &Model<'_>,
    history: &History<'_>,
    forecasts: &Forecasts<'_>,
    workspace: &Workspace<'_>,
) -> Result<usize> {
    let config = model.config();
    let n = history.check(config)?;
    check_len("probability", n, forecasts.probability.len())?;
    check_len("experts", n * N_EXPERTS, forecasts.experts.len())?;
    check_len("promotions", n, forecasts.promotions.len())?;
    check_room("workspace.order", 2 * n + 1, workspace.order.len())?;
    check_room("workspace.inputs", n * config.n_inputs, workspace.inputs.len())?;
    check_room("workspace.outcomes", n, workspace.outcomes.len())?;
    check_room("workspace.parts", n, workspace.parts.len())?;
    workspace.scratch.check(config, n)?;
    Ok(n)
}
