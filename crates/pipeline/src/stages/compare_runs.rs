//! `comparison.html`: two runs on one page.

use std::collections::BTreeSet;

use bytes::Bytes;
use headwater_corpus::Plan;
use headwater_record::comparison::RunOverlap;
use headwater_record::profile::Profile;
use headwater_record::{HeadsFile, RunFile, ShardId};
use headwater_report::{ComparedRun, render_comparison};
use headwater_run::RunFolder;
use headwater_select::{Rule, overlap};
use serde_json::Value;

use crate::{Error, Pipeline, Result, Total};

/// One of the runs, as far as the page shows it.
struct Run<'a> {
    pipeline: &'a Pipeline,
    config: Value,
    file: RunFile,
    plan: Option<Plan>,
    heads: Option<HeadsFile>,
    profile: Profile,
}

impl Pipeline {
    /// Writes `comparison.html` to the output of the first of two pipelines: their settings, what each would keep of its own scores, what
    /// they share if they read the same shards, their heads; returns its path, relative to that output.
    ///
    /// # Errors
    /// [`Error::NotTwoRuns`] unless there are two; [`Error::NotBegun`]; [`Error::NotScored`]; [`Error::Select`].
    pub fn compare_runs(pipelines: &[Self]) -> Result<String> {
        let [one, other] = pipelines else { return Err(Error::NotTwoRuns { pipelines: pipelines.len() }) };
        one.place().ensure_writable()?;
        let runs = [one.shown_run()?, other.shown_run()?];
        let overlap = shared(&runs)?;
        let html = render_comparison(runs.each_ref().map(Run::compared), &overlap);
        one.place().write(RunFolder::COMPARISON, Bytes::from(html))?;
        one.tell_written(RunFolder::COMPARISON);
        Ok(RunFolder::COMPARISON.to_owned())
    }

    fn shown_run(&self) -> Result<Run<'_>> {
        let file = self.begun_run()?;
        let plan = self.shards_at_hand();
        let not_scored = || Error::NotScored { output: self.place().to_string(), pipeline: self.name.clone() };
        let profile = self.profile(&file, plan.as_ref())?.ok_or_else(not_scored)?;
        let config =
            serde_json::to_value(&self.config).map_err(|source| Error::Json { what: "the pipeline", source })?;
        Ok(Run { pipeline: self, config, heads: self.folder.heads()?, file, plan, profile })
    }
}

impl Run<'_> {
    fn compared(&self) -> ComparedRun<'_> {
        ComparedRun {
            pipeline: &self.pipeline.command_line,
            config: &self.config,
            run: &self.file,
            heads: self.heads.as_ref(),
            profile: &self.profile,
        }
    }

    fn rule(&self) -> Rule<'_> {
        Rule { config: &self.pipeline.config.select, seed: self.pipeline.config.run.seed }
    }

    fn shards(&self) -> BTreeSet<&ShardId> {
        self.file.sources.iter().flat_map(|source| &source.shards).map(|shard| &shard.id).collect()
    }
}

/// What both runs have, and keep.
fn shared(runs: &[Run<'_>; 2]) -> Result<RunOverlap> {
    let [one, other] = runs;
    let shards = runs.each_ref().map(Run::shards);
    let common_shards = shards[0].intersection(&shards[1]).count() as u64;
    let domains = if common_shards > 0 {
        let (own, _) = one.pipeline.scored_sidecars(&one.file, one.plan.as_ref())?;
        let (others, _) = other.pipeline.scored_sidecars(&other.file, other.plan.as_ref())?;
        let step = one.pipeline.step("compare", "sidecars read", Total::Unknown);
        overlap([(&own, one.rule()), (&others, other.rule())], &|read| step.advance(read))?
    } else {
        Vec::new()
    };
    Ok(RunOverlap { shards: shards.map(|shards| shards.len() as u64), common_shards, domains })
}
