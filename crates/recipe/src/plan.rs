//! The run that every trainer gets: steps, parts of the data, and the arithmetic behind them in words.

use std::fmt::Write as _;

use headwater_record::TokenCount;
use headwater_schedule::config::whole;
use headwater_schedule::{Length, RunLength, Schedule};

use crate::{Error, Preset, RecipeInputs, Result, Trainer};

/// Rows of a table of learning rates, about.
const TABLE_ROWS: u64 = 2000;

/// Largest number of tokens a step.
const MOST_STEP_TOKENS: u64 = 1 << 53;

/// The run, resolved.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan<'a> {
    pub(crate) inputs: &'a RecipeInputs<'a>,
    pub(crate) preset: &'a Preset,
    pub(crate) schedule: Schedule,
    /// `recipe.tokens`; the steps train on about as many.
    tokens: u64,
    pub(crate) tokens_per_step: u64,
}

/// One of the two parts of the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PartName {
    Corpus,
    Selected,
}

/// A part of the data that training reads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Part {
    pub(crate) name: PartName,
    /// Share of the tokens that are trained on.
    pub(crate) token_weight: f64,
    /// Tokens of one pass, by the tokenizer that scored.
    pub(crate) tokens: TokenCount,
    /// Documents of one pass.
    pub(crate) documents: u64,
}

impl PartName {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Corpus => "corpus",
            Self::Selected => "selected",
        }
    }
}

impl<'a> Plan<'a> {
    pub(crate) fn new(inputs: &'a RecipeInputs<'a>, preset: &'a Preset) -> Result<Self> {
        let config = inputs.config;
        let (sequence_tokens, batch_sequences) = (config.sequence_tokens, config.batch_sequences);
        let tokens_per_step = sequence_tokens
            .checked_mul(batch_sequences)
            .filter(|tokens| (1..=MOST_STEP_TOKENS).contains(tokens))
            .ok_or(Error::StepTokens { sequence_tokens, batch_sequences })?;
        let unfit = |source| Error::Schedule { tokens: config.tokens, tokens_per_step, source };
        let tokens = whole(config.tokens, "tokens").map_err(unfit)?;
        let run = RunLength::of_tokens(tokens, tokens_per_step).map_err(unfit)?;
        let schedule = inputs.schedule.resolve(run, config.peak_lr).map_err(unfit)?;
        Ok(Self { inputs, preset, schedule, tokens, tokens_per_step })
    }

    /// The parts that are read at all, the corpus first.
    pub(crate) fn parts(&self) -> Vec<Part> {
        let (selection, mixture) = (self.inputs.selection, self.inputs.mixture);
        let documents = selection.domains.iter().map(|domain| domain.documents).sum();
        let kept_documents = selection.domains.iter().map(|domain| domain.kept_documents).sum();
        let corpus =
            Part { name: PartName::Corpus, token_weight: mixture.corpus_weight, tokens: selection.tokens(), documents };
        let selected = Part {
            name: PartName::Selected,
            token_weight: mixture.selected_weight,
            tokens: selection.kept_tokens(),
            documents: kept_documents,
        };
        [corpus, selected].into_iter().filter(|part| part.token_weight > 0.0).collect()
    }

    /// Passes over the batch that one step makes, if all devices together pass `factors` multiplied.
    pub(crate) fn accumulation(&self, trainer: Trainer, factors: [(&str, u64); 2]) -> Result<u64> {
        let batch_sequences = self.inputs.config.batch_sequences;
        let share = factors[0].1.saturating_mul(factors[1].1);
        if batch_sequences.is_multiple_of(share) {
            return Ok(batch_sequences / share);
        }
        Err(Error::Batch {
            batch_sequences,
            share,
            arithmetic: factors.map(|(name, count)| format!("{name} {count}")).join(" × "),
            trainer: trainer.name(),
            preset: self.preset.name.clone(),
        })
    }

    /// The seed of the run, cut to the 32 bits that `NumPy`, and so both trainers, take.
    pub(crate) fn seed(&self) -> u64 {
        self.inputs.seed & u64::from(u32::MAX)
    }

    /// The canonical schedule by completed steps: `step,tokens,lr`.
    pub(crate) fn schedule_csv(&self) -> String {
        let mut table = "step,tokens,lr\n".to_owned();
        for step in self.schedule.sampled_steps(TABLE_ROWS) {
            let tokens = u128::from(step) * u128::from(self.tokens_per_step);
            let _ = writeln!(table, "{step},{tokens},{:?}", self.schedule.lr(step));
        }
        table
    }

    /// What a trainer logs: `step,lr`. `row` turns a number of completed steps into a logged step and its rate.
    pub(crate) fn expected_lr_csv(&self, row: impl Fn(u64) -> Option<(u64, f64)>) -> String {
        let mut table = "step,lr\n".to_owned();
        for (step, lr) in self.schedule.sampled_steps(TABLE_ROWS).into_iter().filter_map(row) {
            let _ = writeln!(table, "{step},{lr:?}");
        }
        table
    }

    /// The arithmetic of the run, a line each.
    pub(crate) fn arithmetic(&self) -> Vec<String> {
        let mut lines = vec![self.model_line(), self.steps_line(), self.warmup_line()];
        lines.extend(self.decay_line());
        if self.inputs.is_sampled {
            lines.push(
                "Pilot: only a sample of the corpus was scored; selection, mixture and passes are those of the sample."
                    .to_owned(),
            );
        }
        lines.extend(self.data_lines());
        if self.seed() != self.inputs.seed {
            lines.push(format!("Seed: {} mod 2^32 = {}.", self.inputs.seed, self.seed()));
        }
        lines
    }

    fn model_line(&self) -> String {
        let parameters = self.preset.model.parameters() as f64 / 1e9;
        format!("Model: preset {}, {parameters:.3} billion parameters.", self.preset.name)
    }

    fn steps_line(&self) -> String {
        let config = self.inputs.config;
        let steps = self.schedule.steps();
        format!(
            "Steps: {} tokens / ({} sequences × {} tokens = {} tokens a step) = {:.2}, rounded to {} steps, {} tokens.",
            counted(self.tokens),
            counted(config.batch_sequences),
            counted(config.sequence_tokens),
            counted(self.tokens_per_step),
            self.tokens as f64 / self.tokens_per_step as f64,
            counted(steps),
            counted(steps.saturating_mul(self.tokens_per_step)),
        )
    }

    fn warmup_line(&self) -> String {
        let length = self.length(self.inputs.schedule.warmup, self.schedule.warmup_steps());
        format!("Warm-up: {length}, linear to the peak of {:?}.", self.schedule.peak_lr())
    }

    fn decay_line(&self) -> Option<String> {
        let schedule = &self.schedule;
        let length = self.length(self.inputs.schedule.decay, schedule.decay_steps());
        let start = schedule.decay_start();
        (schedule.decay_steps() > 0).then(|| {
            format!(
                "Decay: {length}, {} to {:?}; it starts after {} − {} = {} steps.",
                schedule.shape().name(),
                schedule.floor_lr(),
                counted(schedule.steps()),
                counted(schedule.decay_steps()),
                counted(start),
            )
        })
    }

    fn length(&self, length: Length, steps: u64) -> String {
        let rounded = format!("rounded to {} steps", counted(steps));
        match length {
            Length::Fraction(fraction) => {
                let run = self.schedule.steps();
                format!("{fraction} × {} steps = {:.2}, {rounded}", counted(run), fraction * run as f64)
            }
            Length::Steps(steps) => format!("{} steps, as configured", counted(steps)),
            Length::Tokens(tokens) => {
                let (tokens_per_step, exact) = (self.tokens_per_step, tokens as f64 / self.tokens_per_step as f64);
                format!("{} tokens / {} a step = {exact:.2}, {rounded}", counted(tokens), counted(tokens_per_step))
            }
        }
    }

    fn data_lines(&self) -> Vec<String> {
        let selection = self.inputs.selection;
        let (kept, all) = (selection.kept_tokens(), selection.tokens());
        let percent = if all.0 == 0 { 0.0 } else { 100.0 * kept.0 as f64 / all.0 as f64 };
        let mut lines = vec![
            format!("Selection: {}, by {}, at {}.", selection.hash, selection.rank, self.inputs.subset),
            format!("Kept: {kept} of {all} tokens = {percent:.2} %, as the scoring model's tokenizer counts."),
            format!("Mixture: {}.", self.inputs.mixture.arithmetic),
        ];
        let trained = self.schedule.steps().saturating_mul(self.tokens_per_step);
        lines.extend(self.parts().iter().map(|part| {
            let drawn = part.token_weight * trained as f64;
            let passes = drawn / part.tokens.0 as f64;
            format!(
                "Passes: {} {:.6} × {} tokens = {drawn:.4e}, {passes:.2} passes over {}.",
                part.name.text(),
                part.token_weight,
                counted(trained),
                part.tokens,
            )
        }));
        lines
    }
}

/// A count with its digits grouped.
fn counted(count: u64) -> String {
    TokenCount(count).to_string()
}
