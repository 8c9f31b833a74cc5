//! `headwater generate`.

use anyhow::Result;
use headwater_pipeline::schedules::{Wave, write_file};
use headwater_pipeline::{
    Environment, GenerateRequest, Precision, ReflectionSchedule, Sampling, Span, TipFrom, Words, generate, text,
};

use super::show;
use crate::args::{CountedFrom, GenerateArgs, ReflectionArg};
use crate::failure::Outcome;

/// What tip by thought acts on, in the original.
const THOUGHT_TOKENS: u64 = 600;

/// Runs the command.
pub(crate) fn run(args: &GenerateArgs, environment: &Environment) -> Result<Outcome> {
    let prompt = match (&args.prompt, &args.prompt_file) {
        (Some(prompt), _) => prompt.clone(),
        (None, Some(path)) => fs_err::read_to_string(path)?,
        (None, None) => String::new(),
    };
    let request = GenerateRequest {
        model: args.model.clone(),
        prompt,
        tokens: usize::try_from(args.tokens)?,
        sampling: Sampling { temperature: args.temperature, top_p: args.top_p, seed: args.seed },
        words: Words { words: args.words.clone(), paper: args.paper_tokens, end: args.end.clone() },
        schedule: schedule(args)?,
        device: args.device.clone(),
        precision: Precision::Auto,
    };
    let written = generate(&request, environment)?;
    show(&written, args.output, |_| text::written_text(&written))?;
    args.svg.iter().try_for_each(|path| write_file(path, written.svg(), environment))?;
    Ok(Outcome::Done)
}

fn schedule(args: &GenerateArgs) -> Result<ReflectionSchedule> {
    let until = |usual: u64| Span { from: args.from, until: args.until.unwrap_or(usual) };
    let usual = Span::default().until;
    Ok(match args.reflection {
        ReflectionArg::None => ReflectionSchedule::None,
        ReflectionArg::Cyclic => {
            let wave = Wave::new(args.amplitude, args.period, args.shift)?;
            ReflectionSchedule::Cyclic { wave, span: until(usual) }
        }
        ReflectionArg::Tip => {
            let (from, usual) = match args.counted_from {
                CountedFrom::Output => (TipFrom::Output, usual),
                CountedFrom::Thought => (TipFrom::Thought, THOUGHT_TOKENS),
            };
            ReflectionSchedule::Tip { penalty: args.penalty, span: until(usual), from }
        }
        ReflectionArg::S1 => ReflectionSchedule::S1 { waits: args.waits, budget: args.budget },
    })
}
