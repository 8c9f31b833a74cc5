//! `schedule branch`: a child run that leaves the stable phase of its parent.

use std::io::Write as _;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use headwater_recipe::{Preset, RecipeConfig};
use headwater_record::TokenCount;
use headwater_report::{self as report, curves_svg};
use headwater_schedule::length::whole_number;
use headwater_schedule::{Batch, Curve, Form, Kind, Length, RunLength, Schedule, ScheduleConfig, Shape};
use headwater_select::{MixtureConfig, SelectedWeight};
use serde::{Deserialize, Serialize};

use super::spec::{Resolved, resolved};
use super::{sparkline, step_of, write_file};
use crate::args::BranchArgs;
use crate::pipeline::value_of;
use crate::progress::Console;

pub(super) fn run(args: &BranchArgs, console: &Console) -> Result<()> {
    let parent = resolved(&args.schedule, &args.size)?;
    let at = resume_step(args, parent.run.batch)?;
    let curve = parent.schedule.form().decay().map_or(Curve::Linear, |decay| decay.curve);
    let branch = |steps| parent.schedule.branch(at, steps, curve).context("cannot branch there");
    // whether there is a stable phase comes before how long to decay from it
    branch(1)?;
    let child = branch(decay_steps(args.decay.as_deref(), &parent, at)?)?;
    let mut out = std::io::stdout().lock();
    describe(&mut out, &parent, &child)?;
    for line in notes(args, &parent, &child)? {
        writeln!(out, "{line}")?;
    }
    write_file(args.toml.as_ref(), || child_tables(&parent, &child), console)?;
    write_file(args.svg.as_ref(), || picture(&parent.schedule, &child), console)
}

fn resume_step(args: &BranchArgs, batch: Batch) -> Result<u64> {
    match (args.at_step, args.at_tokens) {
        (Some(step), _) => Ok(step),
        (None, tokens) => Ok(RunLength::of_tokens(whole_number(tokens.unwrap_or(0.0), "tokens")?, batch)?.steps),
    }
}

/// Steps of the child's decay. A share is one of the child's run: D / (at + D).
fn decay_steps(written: Option<&str>, parent: &Resolved, at: u64) -> Result<u64> {
    let parents = || parent.schedule.decay_steps() as f64 / parent.schedule.steps() as f64;
    let length = match written {
        Some(text) => Length::deserialize(value_of(text))
            .map_err(|error| anyhow::anyhow!("--decay `{text}`: {}", error.message()))?,
        None => Length::Fraction(parents()),
    };
    let steps = match length {
        Length::Fraction(share) => step_of((share / (1.0 - share) * at as f64 + 0.5).floor()),
        length => length.steps(parent.run),
    };
    ensure!(steps > 0, "the child would not decay: give --decay a length, such as 0.1 or '{{steps=1000}}'");
    Ok(steps)
}

fn describe(out: &mut impl std::io::Write, parent: &Resolved, child: &Schedule) -> Result<()> {
    let tokens = |steps: u64| TokenCount(steps.saturating_mul(parent.run.batch.tokens()));
    let (at, steps) = (child.decay_start(), child.steps());
    writeln!(out, "{}", sparkline(child, child.peak_lr()))?;
    writeln!(out, "resume   after step {} ({} tokens) of the parent", TokenCount(at), tokens(at))?;
    writeln!(out, "decay    {} steps ({} tokens)", TokenCount(steps - at), tokens(steps - at))?;
    writeln!(
        out,
        "end      at step {} ({} tokens), learning rate {:?}",
        TokenCount(steps),
        tokens(steps),
        child.lr(steps)
    )?;
    let mixture = parent.spec.mixture;
    let weight = |weight: SelectedWeight| match weight {
        SelectedWeight::Concatenate => "corpus and selected, concatenated".to_owned(),
        SelectedWeight::Weight(weight) => format!("{weight} of the tokens selected"),
    };
    let changes = if mixture.decay.is_some() { "" } else { ", as before: set [mixture] decay for another" };
    writeln!(
        out,
        "data     from step {}: {}{changes}",
        TokenCount(at),
        weight(mixture.decay.unwrap_or(mixture.selected))
    )?;
    Ok(())
}

/// What to mind and what to do next.
fn notes(args: &BranchArgs, parent: &Resolved, child: &Schedule) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    notes.extend(checkpoint_note(parent, child));
    if Path::new(&args.schedule).extension().is_some_and(|extension| extension == "toml") {
        let tokens = child.steps() as f64 * parent.run.batch.tokens() as f64;
        let mut set =
            vec![format!("recipe.tokens={tokens:?}"), format!("recipe.peak_lr={:?}", parent.spec.recipe.peak_lr)];
        let table = toml::Table::try_from(child_config(parent, child))?;
        set.extend(table.iter().map(|(key, value)| format!("schedule.{key}={value}")));
        let set: Vec<_> = set.iter().map(|set| format!("--set {}", quoted(set))).collect();
        let (at, file) = (child.decay_start(), quoted(&args.schedule));
        notes.push(format!("recipe   headwater recipe {file} --out recipe-branch-{at} {}", set.join(" ")));
    }
    Ok(notes)
}

/// As one word of a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// Where the nearest checkpoint is, if the preset saves none where the child leaves.
fn checkpoint_note(parent: &Resolved, child: &Schedule) -> Option<String> {
    let preset = Preset::named(&parent.spec.recipe.preset).ok()?;
    let (at, every) = (child.decay_start(), preset.machines.checkpoint_steps);
    if at.is_multiple_of(every) {
        return None;
    }
    let before = at / every * every;
    let is_stable = |step: &u64| parent.schedule.branch(*step, 1, Curve::Linear).is_ok();
    let nearest = [before, before + every].into_iter().find(is_stable);
    let advice = nearest.map_or_else(
        || "none of them in the stable phase: save one there".to_owned(),
        |step| format!("the nearest in the stable phase after step {}: pass --at-step {step}", TokenCount(step)),
    );
    Some(format!("note     preset {} saves a checkpoint every {every} steps, {advice}", preset.name))
}

/// The table that resolves to the child for the child's run: the parent's, with every length in steps.
fn child_config(parent: &Resolved, child: &Schedule) -> ScheduleConfig {
    let config = parent.spec.schedule.clone();
    let in_steps = |length: Length| Length::Steps(length.steps(parent.run));
    // kinds that decay over the whole run have no decay of their own
    let shape = match config.kind {
        Kind::Constant | Kind::Linear => Some(Shape::Linear),
        Kind::Cosine => Some(Shape::Cosine),
        Kind::Polynomial => Some(Shape::Polynomial),
        _ => None,
    };
    let (timescale, cooldown) = match child.form() {
        Form::InverseSqrt { .. } => {
            (Some(config.timescale.map_or(Length::Steps(child.warmup_steps()), in_steps)), None)
        }
        Form::Infinite { cooldown, .. } => (None, Some(Length::Steps(cooldown.steps))),
        _ => (None, None),
    };
    ScheduleConfig {
        kind: if shape.is_some() { Kind::Wsd } else { config.kind },
        warmup: Some(Length::Steps(child.warmup_steps())),
        decay: Some(Length::Steps(child.decay_steps())),
        half_life: config.half_life.map(in_steps),
        shape: shape.or(config.shape),
        timescale,
        cooldown,
        ..config
    }
}

fn child_tables(parent: &Resolved, child: &Schedule) -> String {
    #[derive(Serialize)]
    struct Tables {
        schedule: ScheduleConfig,
        recipe: RecipeConfig,
        mixture: MixtureConfig,
    }
    let tokens = child.steps() as f64 * parent.run.batch.tokens() as f64;
    let recipe = RecipeConfig { tokens, ..parent.spec.recipe.clone() };
    let tables = Tables { schedule: child_config(parent, child), recipe, mixture: parent.spec.mixture };
    toml::to_string(&tables).unwrap_or_default()
}

fn picture(parent: &Schedule, child: &Schedule) -> String {
    let longest = parent.steps().max(child.steps());
    let curve = |name, schedule| report::PlottedCurve::within(name, schedule, longest);
    let curves = [curve("parent", parent), curve("child", child)];
    curves_svg("A branch", &format!("learning rate over {} steps", TokenCount(longest)), &curves)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::RunSizeArgs;
    use crate::schedule::spec::resolved;

    /// The table of the child, resolved for the child's run, is the child that was shown.
    #[test]
    fn a_childs_table_makes_the_child() -> Result<()> {
        let size = RunSizeArgs { steps: Some(119_209), ..RunSizeArgs::default() };
        for (name, at) in [
            ("wsd", 60_000),
            ("wsd:shape=exponential,half_life=0.05,floor=0.01", 50_000),
            ("wsd:shape=polynomial,exponent=2.5", 1_000),
            ("constant", 119_209),
            ("cosine", 119),
            ("linear:floor=0.1", 119),
            ("polynomial:exponent=2.0", 119),
            ("inverse-sqrt:warmup=0.05", 60_000),
            ("inverse-sqrt:timescale=0.1", 60_000),
            ("power:shape=linear", 60_000),
            ("infinite:cooldown=0.25,cooldown_shape=linear", 60_000),
        ] {
            let parent = resolved(name, &size)?;
            let curve = parent.schedule.form().decay().map_or(Curve::Linear, |decay| decay.curve);
            let child = parent.schedule.branch(at, 10_000, curve)?;
            let run = RunLength { steps: child.steps(), batch: parent.run.batch };
            assert_eq!(child_config(&parent, &child).resolve(run, parent.spec.recipe.peak_lr)?, child, "{name}");
        }
        Ok(())
    }
}
