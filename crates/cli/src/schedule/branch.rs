//! `schedule branch`: a child run that leaves the stable phase of its parent.

use std::io::Write as _;

use anyhow::{Result, anyhow};
use headwater_recipe::{BranchPlan, CheckpointGap};
use headwater_record::TokenCount;
use headwater_report::{PlottedCurve, curves_svg};
use headwater_schedule::{BranchPoint, BranchRequest, Error, Length, Schedule};
use headwater_select::SelectedWeight;

use super::spec::{is_file, resolved};
use super::write_file;
use crate::args::BranchArgs;
use crate::progress::Console;

pub(super) fn run(args: &BranchArgs, console: &Console) -> Result<()> {
    let parent = resolved(&args.schedule, &args.size)?;
    let at = args.at_step.map_or(BranchPoint::Tokens(args.at_tokens.unwrap_or(0.0)), BranchPoint::Step);
    let decay = args.decay.as_deref().map(decay_length).transpose()?;
    let plan = BranchPlan::new(&parent, &BranchRequest { at, decay })?;
    let tables = plan.toml()?;
    let mut out = std::io::stdout().lock();
    describe(&mut out, &plan)?;
    if let Some(gap) = &plan.checkpoint {
        writeln!(out, "{}", checkpoint_note(gap))?;
    }
    if is_file(&args.schedule) {
        let set: Vec<_> = plan.assignments()?.iter().map(|set| format!("--set {}", quoted(set))).collect();
        let (at, file) = (plan.resume_step, quoted(&args.schedule));
        writeln!(out, "recipe   headwater recipe {file} --out recipe-branch-{at} {}", set.join(" "))?;
    }
    write_file(args.toml.as_ref(), || tables, console)?;
    write_file(args.svg.as_ref(), || picture(&parent.schedule, &plan.schedule), console)
}

fn decay_length(text: &str) -> Result<Length> {
    text.parse().map_err(|error: Error| match &error {
        Error::Inline { source, .. } => anyhow!("--decay `{text}`: {}", source.message()),
        _ => error.into(),
    })
}

fn describe(out: &mut impl std::io::Write, plan: &BranchPlan) -> Result<()> {
    let [resume, decay, end] = [plan.resume_step, plan.decay_steps, plan.end_step].map(TokenCount);
    let [resume_tokens, decay_tokens, end_tokens] =
        [plan.resume_tokens, plan.decay_tokens, plan.end_tokens].map(TokenCount);
    let data = match plan.selected {
        SelectedWeight::Concatenate => "corpus and selected, concatenated".to_owned(),
        SelectedWeight::Weight(weight) => format!("{weight} of the tokens selected"),
    };
    let changes = if plan.is_other_mixture { "" } else { ", as before: set [mixture] decay for another" };
    writeln!(out, "{}", plan.schedule.sparkline(plan.schedule.peak_lr()))?;
    writeln!(out, "resume   after step {resume} ({resume_tokens} tokens) of the parent")?;
    writeln!(out, "decay    {decay} steps ({decay_tokens} tokens)")?;
    writeln!(out, "end      at step {end} ({end_tokens} tokens), learning rate {:?}", plan.end_lr)?;
    writeln!(out, "data     from step {resume}: {data}{changes}")?;
    Ok(())
}

fn checkpoint_note(gap: &CheckpointGap) -> String {
    let advice = gap.nearest_step.map_or_else(
        || "none of them in the stable phase: save one there".to_owned(),
        |step| format!("the nearest in the stable phase after step {}: pass --at-step {step}", TokenCount(step)),
    );
    format!("note     preset {} saves a checkpoint every {} steps, {advice}", gap.preset, gap.every_steps)
}

/// As one word of a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

fn picture(parent: &Schedule, child: &Schedule) -> String {
    let longest = parent.steps().max(child.steps());
    let curve = |name, schedule| PlottedCurve::within(name, schedule, longest);
    let curves = [curve("parent", parent), curve("child", child)];
    curves_svg("A branch", &format!("learning rate over {} steps", TokenCount(longest)), &curves)
}
