//! Branch plans: where a child of a training run resumes, how it decays, on what data, and the tables that configure it.

use headwater_schedule::{BranchRequest, Schedule};
use headwater_select::SelectedWeight;
use serde::Serialize;

use crate::{Error, Preset, RecipeConfig, Result, TrainingRun, TrainingTables};

/// A child run that leaves the stable phase of its parent and decays.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BranchPlan {
    /// Steps of the parent after which the child resumes.
    pub resume_step: u64,
    /// Tokens trained on by then.
    pub resume_tokens: u64,
    /// Steps of the child's decay.
    pub decay_steps: u64,
    /// Tokens of the child's decay.
    pub decay_tokens: u64,
    /// The child's last step, counted from the parent's first.
    pub end_step: u64,
    /// Tokens trained on by then.
    pub end_tokens: u64,
    /// The learning rate at the end.
    pub end_lr: f64,
    /// How much of what the child reads is selected.
    pub selected: SelectedWeight,
    /// Whether that differs from what the parent reads: `[mixture] decay` is set.
    pub is_other_mixture: bool,
    /// The checkpoints of the parent, if none is where the child resumes.
    pub checkpoint: Option<CheckpointGap>,
    /// The tables that configure the child.
    pub tables: TrainingTables,
    /// The child's schedule.
    #[serde(skip)]
    pub schedule: Schedule,
}

/// A step at which the parent saves no checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CheckpointGap {
    /// The preset that says when checkpoints are saved.
    pub preset: String,
    /// Steps between checkpoints.
    pub every_steps: u64,
    /// The step of the nearest checkpoint in the stable phase; absent if there is none.
    pub nearest_step: Option<u64>,
}

impl BranchPlan {
    /// Plans the child of `parent` that `request` asks for.
    ///
    /// # Errors
    /// [`Error::Branch`] if there is no stable phase, the child leaves outside it, or it would not decay.
    pub fn new(parent: &TrainingRun, request: &BranchRequest) -> Result<Self> {
        let child = parent.as_parent().branch(request).map_err(|source| Error::Branch { source })?;
        let schedule = child.schedule;
        let tokens = |steps: u64| steps.saturating_mul(parent.length.batch.tokens());
        let (resume_step, end_step) = (schedule.decay_start(), schedule.steps());
        let mixture = parent.tables.mixture;
        let recipe = RecipeConfig {
            tokens: end_step as f64 * parent.length.batch.tokens() as f64,
            // the batch that the steps are counted in, whatever the data
            batch_sequences: Some(parent.length.batch.sequences),
            ..parent.tables.recipe.clone()
        };
        Ok(Self {
            resume_step,
            resume_tokens: tokens(resume_step),
            decay_steps: end_step - resume_step,
            decay_tokens: tokens(end_step - resume_step),
            end_step,
            end_tokens: tokens(end_step),
            end_lr: schedule.lr(end_step),
            selected: mixture.decay.unwrap_or(mixture.selected),
            is_other_mixture: mixture.decay.is_some(),
            checkpoint: checkpoint_gap(parent, resume_step),
            tables: TrainingTables { schedule: child.config, recipe, mixture },
            schedule,
        })
    }

    /// Returns the child's tables as a TOML file.
    ///
    /// # Errors
    /// [`Error::Toml`].
    pub fn toml(&self) -> Result<String> {
        toml::to_string(&self.tables).map_err(|source| Error::Toml { path: "the child's tables", source })
    }

    /// Returns the assignments `KEY=VALUE` that make the child's pipeline of its parent's.
    ///
    /// # Errors
    /// [`Error::Toml`].
    pub fn assignments(&self) -> Result<Vec<String>> {
        let table = toml::Table::try_from(&self.tables.schedule)
            .map_err(|source| Error::Toml { path: "the child's schedule", source })?;
        let RecipeConfig { tokens, peak_lr, batch_sequences, .. } = &self.tables.recipe;
        let mut assignments = vec![format!("recipe.tokens={tokens:?}"), format!("recipe.peak_lr={peak_lr:?}")];
        assignments.extend(batch_sequences.map(|sequences| format!("recipe.batch_sequences={sequences}")));
        assignments.extend(table.iter().map(|(key, value)| format!("schedule.{key}={value}")));
        Ok(assignments)
    }
}

/// Finds the nearest checkpoint, if the preset, one that comes with the program, saves none at `step`.
fn checkpoint_gap(parent: &TrainingRun, step: u64) -> Option<CheckpointGap> {
    let recipe = &parent.tables.recipe;
    let preset = match &recipe.preset {
        Some(name) => Preset::named(name),
        None => Preset::for_tokens(recipe.tokens),
    };
    let preset = preset.ok()?;
    let every_steps = preset.machines.checkpoint_steps;
    if step.is_multiple_of(every_steps) {
        return None;
    }
    let nearest_step = parent.as_parent().nearest_checkpoint(step, every_steps);
    Some(CheckpointGap { preset: preset.name, every_steps, nearest_step })
}

#[cfg(test)]
mod tests {
    use headwater_schedule::{BranchPoint, Length};

    use super::*;
    use crate::RunSize;

    #[test]
    fn a_plan_says_all_that_the_child_needs() -> std::result::Result<(), Box<dyn std::error::Error>> {
        let parent = TrainingTables::default().resolve("wsd", &RunSize::default())?;
        let request = BranchRequest { at: BranchPoint::Step(60_001), decay: Some(Length::Steps(1000)) };
        let plan = BranchPlan::new(&parent, &request)?;
        assert_eq!((plan.resume_step, plan.decay_steps, plan.end_step, plan.end_lr), (60_001, 1000, 61_001, 0.0));
        assert_eq!(plan.end_tokens, 61_001 * 8_388_608);
        assert!(plan.checkpoint.as_ref().is_some_and(|gap| gap.nearest_step.is_some_and(|step| step < 60_001)));
        let child: TrainingTables = toml::from_str(&plan.toml()?)?;
        assert_eq!(child.resolve("child", &RunSize::default())?.schedule, plan.schedule);
        assert!(plan.assignments()?.contains(&"schedule.decay={ steps = 1000.0 }".to_owned()));
        let late = BranchRequest { at: BranchPoint::Step(119_000), decay: None };
        assert!(matches!(BranchPlan::new(&parent, &late), Err(Error::Branch { .. })));
        Ok(())
    }
}
