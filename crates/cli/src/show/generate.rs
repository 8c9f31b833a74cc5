//! `headwater generate`.

use anyhow::Result;
use headwater_pipeline::schedules::write_file;
use headwater_pipeline::{Environment, GenerateRequest, Precision, Sampling, ScheduleSettings, Words, generate, text};

use super::show;
use crate::args::GenerateArgs;
use crate::failure::Outcome;

/// Runs the command.
pub(crate) fn run(args: &GenerateArgs, environment: &Environment) -> Result<Outcome> {
    let given = || Ok(args.prompt.clone().unwrap_or_default());
    let prompt = args.prompt_file.as_ref().map_or_else(given, fs_err::read_to_string)?;
    let request = GenerateRequest {
        model: args.model.clone(),
        prompt,
        tokens: usize::try_from(args.tokens)?,
        sampling: Sampling { temperature: args.temperature, top_p: args.top_p, seed: args.seed },
        words: Words { words: args.words.clone(), paper: args.paper_tokens, end: args.end.clone() },
        schedule: ScheduleSettings {
            kind: args.reflection,
            wave: [args.amplitude, args.period, args.shift],
            penalty: args.penalty,
            from: args.from,
            until: args.until,
            by_thought: args.by_thought,
            waits: args.waits,
            budget: args.budget,
        },
        device: args.device.clone(),
        precision: Precision::Auto,
    };
    let written = generate(&request, environment)?;
    show(&written, args.output, |_| text::written_text(&written))?;
    args.svg.iter().try_for_each(|path| write_file(path, written.svg(), environment))?;
    Ok(Outcome::Done)
}
