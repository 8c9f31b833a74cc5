//! `headwater schedule`.

use anyhow::Result;
use headwater_pipeline::schedules::{self, BranchOptions, GradientNorm, RefineRequest, RunSize, write_file};
use headwater_pipeline::{Environment, text};

use super::{print, show};
use crate::args::{BranchArgs, NormArg, RefineArgs, RunSizeArgs, ScheduleCommand};
use crate::failure::Outcome;

/// Runs `command`.
pub(crate) fn run(command: &ScheduleCommand, environment: &Environment) -> Result<Outcome> {
    match command {
        ScheduleCommand::Show(args) => {
            let shown = schedules::show(&args.schedule, &size(&args.size), args.rows)?;
            show(&shown, args.output, |width| text::shown_schedule(&shown, width))?;
            args.csv.iter().try_for_each(|path| write_file(path, shown.csv(args.csv_rows), environment))?;
            args.svg.iter().try_for_each(|path| write_file(path, shown.svg(), environment))?;
        }
        ScheduleCommand::Compare(args) => {
            let compared = schedules::compare(&args.schedules, &size(&args.size))?;
            show(&compared, args.output, |width| text::compared_schedules(&compared, width))?;
            args.svg.iter().try_for_each(|path| write_file(path, compared.svg(), environment))?;
        }
        ScheduleCommand::Refine(args) => refine(args, environment)?,
        ScheduleCommand::Branch(args) => branch(args, environment)?,
        ScheduleCommand::Export(args) => {
            let exported = schedules::export(&args.schedule, &size(&args.size), &args.trainer)?;
            print(&exported.keys)?;
            let write = |path| write_file(path, exported.expected_lr.clone(), environment);
            args.expected_lr.iter().try_for_each(|path| write(path))?;
        }
    }
    Ok(Outcome::Done)
}

fn refine(args: &RefineArgs, environment: &Environment) -> Result<()> {
    let request = RefineRequest {
        norms: args.norms.clone(),
        norm: match args.norm {
            NormArg::L1 => GradientNorm::L1,
            NormArg::L2 => GradientNorm::L2,
        },
        tau: args.tau,
        floor: args.floor,
        column: args.column.clone(),
        keep_edges: args.keep_edges,
    };
    let refined = schedules::refine(&request, environment)?;
    show(&refined, args.output, |_| text::refined_schedule(&refined))?;
    args.out.iter().try_for_each(|path| write_file(path, refined.csv(args.steps), environment))?;
    args.toml.iter().try_for_each(|path| write_file(path, refined.toml()?, environment))?;
    args.svg.iter().try_for_each(|path| write_file(path, refined.svg(), environment))?;
    Ok(())
}

fn branch(args: &BranchArgs, environment: &Environment) -> Result<()> {
    let options = BranchOptions { at_step: args.at_step, at_tokens: args.at_tokens, decay: args.decay.clone() };
    let branch = schedules::branch(&args.schedule, &size(&args.size), &options)?;
    show(&branch, args.output, |_| text::branch(&branch))?;
    args.toml.iter().try_for_each(|path| write_file(path, branch.toml()?, environment))?;
    args.svg.iter().try_for_each(|path| write_file(path, branch.svg(), environment))?;
    Ok(())
}

/// How long the run is, and how fast it learns.
const fn size(args: &RunSizeArgs) -> RunSize {
    RunSize { steps: args.steps, tokens: args.tokens, peak_lr: args.peak_lr }
}
