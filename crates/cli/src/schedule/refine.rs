//! `schedule refine`: a schedule from gradient norms.

use std::fmt::Write as _;
use std::io::Write as _;

use anyhow::{Context, Result};
use headwater_record::TokenCount;
use headwater_report::{PlottedCurve, curves_svg};
use headwater_schedule::refine::{GradientNorm, RefineOptions, Refined, refine};
use headwater_schedule::{Batch, Kind, RunLength, ScheduleConfig};
use serde::Serialize;

use super::write_file;
use crate::args::{NormArg, RefineArgs};
use crate::progress::Console;
use crate::schedule::norms::read_norms;

/// Values at each end of a log that are dropped.
const EDGES: usize = 2;

/// Points of a refined schedule in a `[schedule]` table.
const POINTS: usize = 65;

/// Points of a curve on a picture.
const DRAWN: usize = 693;

pub(super) fn run(args: &RefineArgs, console: &Console) -> Result<()> {
    let read = read_norms(&args.norms, args.column.as_deref())?;
    let all = read.norms.len();
    let edges = if args.keep_edges { 0 } else { EDGES.min(all / 2) };
    let norm = match args.norm {
        NormArg::L1 => GradientNorm::L1,
        NormArg::L2 => GradientNorm::L2,
    };
    let options = RefineOptions { norm, tau: args.tau, floor: args.floor };
    let refined = refine(&read.norms[edges..all - edges], &options).with_context(|| {
        let hint = if edges > 0 { ", --keep-edges keeps them" } else { "" };
        format!("{}: {all} norms read, {edges} dropped at each end{hint}", args.norms.display())
    })?;
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "norms     {} read{}, {edges} dropped at each end, {} infinite ones dropped",
        TokenCount(all as u64),
        if read.skipped > 0 { format!(" ({} lines without one)", TokenCount(read.skipped)) } else { String::new() },
        refined.dropped
    )?;
    writeln!(
        out,
        "filter    median of {} norms; {} raised to the floor of {} of the median",
        refined.window, refined.floored, args.floor
    )?;
    if refined.window == 1 {
        tracing::warn!("the filter is one norm wide, so nothing is filtered: more norms or a wider --tau smooth noise");
    }
    let near = refined.approximation();
    writeln!(
        out,
        "nearest   warm-up {} of the run, then (1 − p)^{}: off by {:.3} of the peak at most, {:.3} in the mean square",
        near.warmup, near.exponent, near.worst, near.rms
    )?;
    if let Some(ratio) = refined.collapse {
        tracing::warn!(
            "the norms fall to {ratio:.2} of their median in the last tenth: the schedule follows that fall, which overfitting \
             causes too. Look at the picture, raise --floor, or take linear decay"
        );
    }
    if let Some(after) = refined.edge {
        tracing::warn!(
            "the schedule peaks at its very start and falls to {after:.2} of that half a filter's width later: there the filter \
             repeats the first norm, which decides the peak. If that norm is noise, leave it out"
        );
    }
    let steps = args.steps.map(usize::try_from).transpose()?;
    write_file(args.out.as_ref(), || csv(&refined, steps), console)?;
    write_file(args.toml.as_ref(), || tables(&refined), console)?;
    write_file(args.svg.as_ref(), || picture(&refined), console)
}

fn csv(refined: &Refined, steps: Option<usize>) -> String {
    let multipliers = steps.map_or_else(|| refined.multipliers(), |steps| refined.resampled(steps));
    let mut table = "step,lr_multiplier\n".to_owned();
    for (step, multiplier) in multipliers.iter().enumerate() {
        // writing to a string does not fail
        let _ = writeln!(table, "{step},{multiplier:?}");
    }
    table
}

fn tables(refined: &Refined) -> String {
    #[derive(Serialize)]
    struct Table {
        schedule: ScheduleConfig,
    }
    let of = |schedule| toml::to_string(&Table { schedule }).unwrap_or_default();
    let points = Some(refined.points(POINTS));
    let exact = of(ScheduleConfig { kind: Kind::Points, points, ..ScheduleConfig::default() });
    let near = of(refined.approximation().config());
    let near: String = near.lines().map(|line| format!("# {line}\n")).collect();
    format!("# The refined schedule at {POINTS} places.\n{exact}\n# The nearest that most trainers have:\n{near}")
}

fn picture(refined: &Refined) -> String {
    let last = (DRAWN - 1) as f64;
    let multipliers = refined.resampled(DRAWN).into_iter().enumerate();
    let run = RunLength { steps: DRAWN as u64 - 1, batch: Batch { sequences: 1, sequence_tokens: 1 } };
    let of = |name: &str, config: &ScheduleConfig| {
        config.resolve(run, 1.0).ok().map(|schedule| PlottedCurve::of(name, &schedule))
    };
    let kind = |kind| ScheduleConfig { kind, ..ScheduleConfig::default() };
    let refined_curve = PlottedCurve {
        name: "refined".to_owned(),
        points: multipliers.map(|(at, multiplier)| (at as f64 / last, multiplier)).collect(),
    };
    let others = [
        of("nearest warm-up and polynomial", &refined.approximation().config()),
        of("linear", &kind(Kind::Linear)),
        of("WSD, 1-sqrt over the last quarter", &kind(Kind::Wsd)),
    ];
    let curves: Vec<PlottedCurve> = std::iter::once(refined_curve).chain(others.into_iter().flatten()).collect();
    curves_svg("Refined schedule", "learning rate as a share of the peak", &curves)
}
