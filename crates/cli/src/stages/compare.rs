//! What several rules would keep of the same scores; nothing is written to the run.

use anyhow::{Context, Result, ensure};
use headwater_corpus::Plan;
use headwater_select::{SelectConfig, StoredSidecars, compare};

use crate::args::SelectArgs;
use crate::comparison::print_comparison;
use crate::failure::Outcome;
use crate::progress::Console;
use crate::stages::{Session, json_bytes};

/// Compares what pipelines over the same run would keep.
pub(crate) fn compare_only(args: &SelectArgs, console: &Console) -> Result<Outcome> {
    let sessions = args.each().map(|pipeline| Session::open(&pipeline, console)).collect::<Result<Vec<_>>>()?;
    let [first, others @ ..] = sessions.as_slice() else { return Ok(Outcome::Done) };
    ensure!(!others.is_empty(), "--compare needs two pipelines or more over the same scores");
    for other in others {
        ensure!(
            other.place.to_string() == first.place.to_string() && other.pipeline.run.seed == first.pipeline.run.seed,
            "{} has [run] output {} and seed {}, but {} has {} and seed {}: only cuts of the same scores can be compared; let one extend the \
             other",
            other.file,
            other.place,
            other.pipeline.run.seed,
            first.file,
            first.place,
            first.pipeline.run.seed
        );
    }
    let run = first.begun_run()?;
    let plan = first.shards_at_hand();
    let sidecars = StoredSidecars::open(&first.folder(), &run)?;
    let sidecars = match &plan {
        Some(plan) => {
            first.refuse_other_labels(&run, plan)?;
            sidecars.with_shards(plan)
        }
        None => sidecars,
    };
    let arms: Vec<(String, SelectConfig)> =
        sessions.iter().map(|session| (session.file.clone(), session.pipeline.select.clone())).collect();
    let step = console.step("cut", "sidecars read", 0);
    let comparison = compare(&sidecars, &arms, first.pipeline.run.seed, &|read| step.advance(read))?;
    step.discard();
    print_comparison(&comparison)?;
    if let Some(path) = &args.json {
        fs_err::write(path, json_bytes(&comparison)?).context("cannot write the comparison")?;
        console.say(&format!("{:>12} {}", "written", path.display()));
    }
    Ok(Outcome::Done)
}

impl Session<'_> {
    /// The plan, or a warning and nothing where the corpus cannot be read: scores can be looked at without it.
    pub(super) fn shards_at_hand(&self) -> Option<Plan> {
        self.plan()
            .inspect_err(|error| tracing::warn!("the corpus cannot be read, so no texts are shown: {error:#}"))
            .ok()
    }
}
