//! How complete a result is.

use headwater_record::{RunFile, SelectionFile, Status, TokenCount};
use serde::Serialize;

use crate::Pipeline;

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

    /// That of two results together.
    pub(crate) fn and(self, other: Self) -> Self {
        Self::of([self, other].contains(&Self::Partial))
    }
}

impl Pipeline {
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
