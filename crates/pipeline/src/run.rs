//! Every stage in turn.

use headwater_record::{RunFile, SelectionFile, Status, TokenCount};
use headwater_select::{REJECTS_PATH, SELECTION_PATH, subset_folder};
use serde::Serialize;

use crate::pipeline::METRICS_FILE;
use crate::stages::heads::{HEADS_PICTURE, HeadsRequest};
use crate::stages::score::ScoreRequest;
use crate::{Arm, OnChange, Pipeline, Result};

/// What to do about what earlier starts left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunOptions {
    /// What to do if the run was begun with other settings or shards.
    pub on_change: OnChange,
    /// Goes on with heads whose masking barely hurts retrieval.
    pub allow_weak_heads: bool,
}

/// What a run came to.
#[derive(Clone, Debug, Serialize)]
pub struct RunSummary {
    /// What is kept of each domain.
    pub selection: SelectionFile,
    /// What lies where, relative to the run's output: a short word for what it is, and its path.
    pub artefacts: Vec<(&'static str, String)>,
    /// Whether the run is complete.
    pub verdict: Verdict,
}

/// How complete a result is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Nothing is missing.
    Complete,
    /// More rows are unusable than `[score] max_rejects` allows, or shards were skipped; warnings have said which.
    Partial,
}

impl Verdict {
    /// [`Verdict::Partial`] if something is missing.
    pub(crate) const fn of(is_partial: bool) -> Self {
        if is_partial { Self::Partial } else { Self::Complete }
    }
}

impl Pipeline {
    /// Runs every stage: plan, heads, scores, selection with its subset, token files and recipes as the pipeline asks for them, and
    /// the report.
    ///
    /// Settings that cannot work, of the last stage too, are found before anything is scored.
    ///
    /// # Errors
    /// Those of the stages. What was finished stays, and another call goes on from there.
    pub fn run(&self, options: RunOptions) -> Result<RunSummary> {
        self.place.ensure_writable()?;
        self.rehearse_recipe()?;
        self.rehearse_tokens()?;
        let plan = self.plan()?;
        let model = self.load_model()?;
        let request =
            HeadsRequest { allow_weak: options.allow_weak_heads, find_again: options.on_change == OnChange::Rescore };
        let heads = self.heads_of(&model, &plan, request)?;
        let request = ScoreRequest { on_change: options.on_change, ..ScoreRequest::default() };
        let scored = self.score_units(&plan, &model, &heads, &request)?;
        let selection = self.select_from(&scored.run, &plan, Arm::Selection)?;
        let tokens = self.write_wanted_tokens(&plan, &scored.run, &selection)?;
        let recipes = self.write_recipes(&selection, None)?;
        self.write_json(METRICS_FILE, &self.meters.metrics())?;
        // the page shows the times up to here; it takes time itself
        let report = self.write_report(Some(&scored.run), Some(&plan))?;
        self.write_json(METRICS_FILE, &self.meters.metrics())?;
        let mut artefacts = vec![
            ("subset", subset_folder(&selection)),
            ("cuts", SELECTION_PATH.to_owned()),
            ("scores", "scores".to_owned()),
            ("rejects", REJECTS_PATH.to_owned()),
        ];
        if heads.search.is_some() {
            artefacts.push(("heads", HEADS_PICTURE.to_owned()));
        }
        artefacts.extend(tokens.into_iter().chain(recipes).chain([report]).map(|path| {
            let what = ["schedule", "tokens", "report"].into_iter().find(|what| path.starts_with(what));
            (what.unwrap_or("recipe"), path)
        }));
        let verdict = self.verdict(&selection, &scored.run);
        Ok(RunSummary { selection, artefacts, verdict })
    }

    /// Whether too much was rejected or left out; warns of both.
    pub(crate) fn verdict(&self, selection: &SelectionFile, run: &RunFile) -> Verdict {
        let skipped = warn_skipped(run);
        let count = |status: &Status| selection.statuses.get(status.as_str()).copied().unwrap_or_default();
        let unusable: u64 = Status::UNUSABLE.iter().map(count).sum();
        let rows = selection.statuses.values().sum();
        let is_above = self.is_above_rejects(unusable, rows);
        if is_above {
            tracing::warn!(
                "{}, above [score] max_rejects = {}; rejects.parquet lists them",
                rejects(unusable, rows),
                self.config.score.max_rejects
            );
        }
        Verdict::of(is_above || skipped > 0)
    }

    /// Whether more of `rows` are unusable than the pipeline allows.
    pub(crate) fn is_above_rejects(&self, unusable: u64, rows: u64) -> bool {
        share(unusable, rows) > self.config.score.max_rejects
    }
}

/// How many rows are unusable, as opposed to merely short.
pub(crate) fn rejects(unusable: u64, rows: u64) -> String {
    format!(
        "{} of {} documents ({:.2} %) are null, not UTF-8 or non-finite",
        TokenCount(unusable),
        TokenCount(rows),
        100.0 * share(unusable, rows)
    )
}

#[expect(clippy::cast_precision_loss, reason = "a share")]
fn share(unusable: u64, rows: u64) -> f64 {
    unusable as f64 / rows.max(1) as f64
}

/// Warns of shards that were left out of the run, and returns their number.
pub(crate) fn warn_skipped(run: &RunFile) -> usize {
    let skipped = run.sources.iter().map(|source| source.skipped.len()).sum();
    if skipped > 0 {
        tracing::warn!("{skipped} shards were skipped; run.json lists them");
    }
    skipped
}
