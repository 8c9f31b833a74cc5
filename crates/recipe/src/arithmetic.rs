//! The arithmetic of a run in words, for the head of every config.

use headwater_record::TokenCount;
use headwater_record::selection::Bucket;
use headwater_schedule::{Kind, Length};

use crate::backend::FollowedSchedule;
use crate::plan::{Part, Stage, TrainingPlan};
use headwater_record::tokens::TextPart;

impl TrainingPlan<'_> {
    /// The arithmetic of the run, a line each.
    pub(crate) fn arithmetic(&self, followed: &FollowedSchedule) -> Vec<String> {
        let mut lines = vec![self.model_line()];
        lines.extend(self.settled.iter().cloned());
        lines.extend([self.steps_line(), self.warmup_line()]);
        lines.extend(self.decay_line());
        lines.extend(followed.sentences.iter().cloned());
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
        let (name, parameters) = (&self.preset.name, self.preset.model.parameters);
        format!("Model: preset {name}, {} parameters, {:.3} billion.", counted(parameters), parameters as f64 / 1e9)
    }

    fn steps_line(&self) -> String {
        let steps = self.schedule.steps();
        format!(
            "Steps: {} tokens / ({} sequences × {} tokens = {} tokens a step) = {:.2}, rounded to {} steps, {} tokens.",
            counted(self.tokens),
            counted(self.batch.sequences),
            counted(self.batch.sequence_tokens),
            counted(self.batch.tokens()),
            self.tokens as f64 / self.batch.tokens() as f64,
            counted(steps),
            counted(steps.saturating_mul(self.batch.tokens())),
        )
    }

    fn warmup_line(&self) -> String {
        if self.schedule.warmup_steps() == 0 {
            return format!("Warm-up: none; the peak is {:?}.", self.schedule.peak_lr());
        }
        let length = self.length(self.inputs.schedule.warmup(), self.schedule.warmup_steps());
        format!("Warm-up: {length}, linear to the peak of {:?}.", self.schedule.peak_lr())
    }

    fn decay_line(&self) -> Option<String> {
        let (schedule, wanted) = (&self.schedule, self.inputs.schedule);
        let decay = schedule.decay()?;
        let length = match wanted.kind {
            Kind::Linear | Kind::Cosine | Kind::Polynomial => "all steps after warm-up".to_owned(),
            _ => self.length(wanted.decay(), decay.steps),
        };
        Some(format!(
            "Decay: {length}, {} to {:?}; it starts after {} − {} = {} steps.",
            decay.curve.name(),
            schedule.lr(schedule.steps()),
            counted(schedule.steps()),
            counted(decay.steps),
            counted(decay.start),
        ))
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
                let (tokens_per_step, exact) = (self.batch.tokens(), tokens as f64 / self.batch.tokens() as f64);
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
        ];
        lines.extend(selection.buckets.iter().enumerate().map(|(index, bucket)| bucket_line(index, bucket)));
        lines.extend(self.stages.iter().map(|stage| match self.stages.len() {
            1 => format!("Mixture: {}.", stage.arithmetic),
            _ => format!(
                "Mixture, {}, steps {} to {}: {}.",
                stage.name,
                counted(stage.start),
                counted(stage.start + stage.steps),
                stage.arithmetic
            ),
        }));
        lines.extend(selection.parts().into_iter().filter_map(|name| self.passes_line(name)));
        lines.extend(self.spelled_ends());
        lines
    }

    /// How often the run goes through a part; `None` if it never reads it.
    fn passes_line(&self, name: TextPart) -> Option<String> {
        let read = self.reads(name);
        let (_, part) = read.first()?;
        let all = self.tokens_read(name);
        let term = |(stage, part): &(&Stage, &Part)| {
            format!("{:.6} × {} tokens", part.token_weight, counted(self.stage_tokens(stage)))
        };
        let terms: Vec<_> = read.iter().map(term).collect();
        let passes = all / part.tokens.0 as f64;
        let (terms, tokens, repeats) = (terms.join(" + "), part.tokens, self.repeats(name, passes));
        Some(format!("Passes: {} {terms} = {all:.4e}, {passes:.2} passes over {tokens}{repeats}.", name.name()))
    }

    /// The parts with documents that spell the token that ends documents, where token files tell.
    pub(crate) fn spelled_ends(&self) -> Vec<String> {
        let of = |name| self.inputs.tokens.iter().find(|there| there.part == name && there.documents_with_eos > 0);
        let lines = self.parts().filter_map(|part| of(part.name)).map(|there| {
            format!(
                "Ends: {} documents of {} spell {} in their text, which tokenizers take for the end of a document, so that each is several.",
                counted(there.documents_with_eos),
                there.part.name(),
                there.eos,
            )
        });
        lines.collect()
    }

    /// How the passes over a bucket compare with its repetitions; nothing for another part.
    fn repeats(&self, name: TextPart, passes: f64) -> String {
        let bucket = if let TextPart::Bucket(index) = name { self.inputs.selection.buckets.get(index) } else { None };
        bucket.map_or_else(String::new, |bucket| {
            format!(": {:.3} times its {:.3} repeats", passes / bucket.repeat, bucket.repeat)
        })
    }
}

fn bucket_line(index: usize, bucket: &Bucket) -> String {
    format!(
        "Bucket: {}, {:.2} % to {:.2} % of each ranking, {} tokens × {:.3} repeats = {} trained.",
        Bucket::name(index),
        100.0 * bucket.from,
        100.0 * bucket.to,
        bucket.tokens,
        bucket.repeat,
        TokenCount::nearest(bucket.trained_tokens()),
    )
}

/// A count with its digits grouped.
fn counted(count: u64) -> String {
    TokenCount(count).to_string()
}
