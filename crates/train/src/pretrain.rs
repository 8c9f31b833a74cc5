//! A whole run, with checkpoints.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use headwater_schedule::Schedule;

use crate::{Error, Settings, StepLog, Trainer};

/// Where a run leaves its checkpoints.
///
/// In it are `stable`, the end of the stable phase, before the first update of the decay; `final`, after the last update; and `latest`,
/// from which a killed run goes on.
#[derive(Clone, Copy, Debug)]
pub struct RunFolder<'a> {
    /// The folder, made if it is missing.
    pub path: &'a Path,
    /// Steps from one `latest` to the next; 0 for none but that of a run that was told to stop.
    pub every_steps: u64,
}

/// What one step of a run did, and how fast.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// What it did: the same in every run.
    pub log: StepLog,
    /// Tokens that were predicted in a second of this step, without reading its batch.
    pub tokens_per_second: f64,
}

/// Trains until the schedule ends, from where a run in `folder` stopped, and returns the trainer.
///
/// `next` fills the tokens of step n, `(sequences, length + 1)`; as it is asked for n, a run that goes on sees the tokens that it would have
/// seen. `watch` is told each step, and stops the run by [`ControlFlow::Break`], which leaves `latest` and a trainer with steps to go.
///
/// # Errors
/// What `next` and `watch` return, [`Error::Diverged`], and what [`Trainer::new`], [`Trainer::save`] and [`Trainer::resume`] return.
///
/// # Determinism
/// Checkpoints have the same bytes for any number of threads and wherever the run was stopped or killed.
pub fn pretrain<E: From<Error>>(
    settings: &Settings,
    schedule: &Schedule,
    folder: RunFolder<'_>,
    mut next: impl FnMut(u64, &mut [u32]) -> Result<(), E>,
    mut watch: impl FnMut(Progress) -> Result<ControlFlow<()>, E>,
) -> Result<Trainer, E> {
    let [latest, stable, last] = ["latest", "stable", "final"].map(|name| folder.path.join(name));
    if let Some(trainer) = Trainer::resume(settings, schedule, &last)? {
        return Ok(trainer);
    }
    let mut trainer = match Trainer::resume(settings, schedule, &latest)? {
        Some(trainer) => trainer,
        None => Trainer::new(settings.clone(), schedule.clone())?,
    };
    let mut tokens = vec![0; settings.batch_tokens()];
    let decays = schedule.decay_start() < schedule.steps();
    while trainer.completed() < schedule.steps() {
        let step = trainer.completed();
        // a run that was killed here saves the same bytes again
        if decays && step == schedule.decay_start() {
            trainer.save(&stable)?;
        }
        next(step, &mut tokens)?;
        let start = Instant::now();
        let log = trainer.step(&tokens)?;
        let tokens_per_second = rate(log.tokens, start.elapsed().as_secs_f64());
        let stops = watch(Progress { log, tokens_per_second })?.is_break();
        let due = folder.every_steps > 0 && trainer.completed().is_multiple_of(folder.every_steps);
        if (due || stops) && trainer.completed() < schedule.steps() {
            trainer.save(&latest)?;
        }
        if stops && trainer.completed() < schedule.steps() {
            return Ok(trainer);
        }
    }
    trainer.save(&last)?;
    Ok(trainer)
}

#[expect(clippy::cast_precision_loss, reason = "a batch has fewer than 2⁵³ tokens")]
fn rate(tokens: u64, seconds: f64) -> f64 {
    tokens as f64 / seconds
}

#[cfg(test)]
mod tests;
