//! `schedule refine`: a schedule from gradient norms.

use std::io::BufReader;

use anyhow::{Context, Result, anyhow};
use headwater_corpus::NumberFile;
use headwater_record::TokenCount;
use headwater_report::{PlottedCurve, curves_svg};
use headwater_schedule::norms::{LogFormat, NormLog, NormSource};
use headwater_schedule::refine::{GradientNorm, RefineOptions, RefineSummary, Refined, SPOILT_EDGES, refine};
use headwater_schedule::{Batch, Error, Kind, RunLength, ScheduleConfig};

use super::{folder_and_name, write_file};
use crate::args::{NormArg, RefineArgs};
use crate::progress::Console;

/// Points of a curve on a picture.
const DRAWN: usize = 693;

pub(super) fn run(args: &RefineArgs, console: &Console) -> Result<()> {
    let log = read_log(args)?;
    let norm = match args.norm {
        NormArg::L1 => GradientNorm::L1,
        NormArg::L2 => GradientNorm::L2,
    };
    let edges = if args.keep_edges { 0 } else { SPOILT_EDGES };
    let options = RefineOptions { norm, tau: args.tau, floor: args.floor, edges };
    let refined = refine(&log.norms, &options).with_context(|| {
        let (read, edges) = (log.norms.len(), options.edges_of(log.norms.len()));
        let hint = if edges > 0 { ", --keep-edges keeps them" } else { "" };
        format!("{}: {read} norms read, {edges} dropped at each end{hint}", args.norms.display())
    })?;
    let summary = refined.summary(log.skipped);
    describe(&mut std::io::stdout().lock(), &summary)?;
    warn(&summary);
    let steps = args.steps.map(usize::try_from).transpose()?;
    let tables = refined.toml()?;
    write_file(args.out.as_ref(), || refined.csv(steps), console)?;
    write_file(args.toml.as_ref(), || tables, console)?;
    write_file(args.svg.as_ref(), || picture(&refined), console)
}

fn read_log(args: &RefineArgs) -> Result<NormLog> {
    let file = args.norms.display().to_string();
    let source = NormSource { file: &file, column: args.column.as_deref() };
    let open = || fs_err::File::open(&args.norms).map(BufReader::new);
    let log = match LogFormat::of(&args.norms)? {
        LogFormat::Csv => source.read_csv(open()?),
        LogFormat::Json => source.read_json(open()?),
        LogFormat::JsonLines => source.read_json_lines(open()?),
        LogFormat::Parquet => {
            let (place, name) = folder_and_name(&args.norms)?;
            let numbers = NumberFile::open(&place, &name)?;
            let columns = numbers.columns();
            match source.column_among(&columns) {
                Ok(column) => source.read_values(numbers.read(columns[column])?),
                Err(error) => Err(error),
            }
        }
    };
    log.map_err(|error| match error {
        Error::NormColumn { .. } | Error::NormKey { .. } => anyhow!("{error} with --column"),
        _ => error.into(),
    })
}

fn describe(out: &mut impl std::io::Write, summary: &RefineSummary) -> Result<()> {
    writeln!(
        out,
        "norms     {} read{}, {} dropped at each end, {} infinite ones dropped",
        TokenCount(summary.read as u64),
        if summary.skipped > 0 {
            format!(" ({} lines without one)", TokenCount(summary.skipped))
        } else {
            String::new()
        },
        summary.edges,
        summary.infinite
    )?;
    writeln!(
        out,
        "filter    median of {} norms; {} raised to the floor of {} of the median",
        summary.window, summary.floored, summary.floor
    )?;
    let near = summary.nearest;
    writeln!(
        out,
        "nearest   warm-up {} of the run, then (1 − p)^{}: off by {:.3} of the peak at most, {:.3} in the mean square",
        near.warmup, near.exponent, near.worst, near.rms
    )?;
    Ok(())
}

fn warn(summary: &RefineSummary) {
    if summary.window == 1 {
        tracing::warn!("the filter is one norm wide, so nothing is filtered: more norms or a wider --tau smooth noise");
    }
    if let Some(ratio) = summary.collapse {
        tracing::warn!(
            "the norms fall to {ratio:.2} of their median in the last tenth: the schedule follows that fall, which overfitting \
             causes too. Look at the picture, raise --floor, or take linear decay"
        );
    }
    if let Some(after) = summary.early_peak {
        tracing::warn!(
            "the schedule peaks at its very start and falls to {after:.2} of that half a filter's width later: there the filter \
             repeats the first norm, which decides the peak. If that norm is noise, leave it out"
        );
    }
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
