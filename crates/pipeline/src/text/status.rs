//! How far a run is.

use headwater_record::{Status, TokenCount};

use super::format::{counted, duration, printable};
use crate::{Rate, ScoreFiles, ScoringStatus, StatusCounts, StatusReport};

/// What a bucket needs so that killed uploads do not cost money for ever.
const LIFECYCLE: &str = "uploads of killed processes stay hidden in the bucket and cost money: a lifecycle rule that aborts unfinished \
                         multipart uploads after a few days (S3 AbortIncompleteMultipartUpload, GCS the same; Azure drops them after \
                         a week) clears them";

/// Units done and left by source, the rate, and rejects.
#[must_use]
pub fn status(report: &StatusReport) -> String {
    let Some(scoring) = &report.scoring else {
        let found = if report.has_heads { "heads are found, nothing is scored yet" } else { "nothing is there yet" };
        return format!("{}: {found}\n", report.output);
    };
    let ScoringStatus { began, headwater, sources, .. } = scoring;
    let mut lines = vec![format!("{}: begun {began} by headwater {headwater}", report.output)];
    for source in sources {
        let left = TokenCount(source.documents - source.documents_done);
        let (name, done, units) = (&source.name, source.units_done, source.units);
        lines.push(format!("  {name}: {done} of {units} units scored, {left} documents left"));
        let skipped = source.skipped.iter();
        lines.extend(skipped.map(|shard| printable(&format!("  {name}: skipped {}: {}", shard.path, shard.reason))));
    }
    lines.extend(scoring.rate.as_ref().map(rate));
    lines.extend(scoring.statuses.as_ref().map(not_scored));
    lines.push(format!("  selection: {}", if report.has_selection { "written" } else { "not made yet" }));
    if report.is_remote {
        lines.push(format!("  note: {LIFECYCLE}"));
    }
    lines.join("\n") + "\n"
}

/// The files of scores, one a line.
#[must_use]
pub fn score_files(scores: &ScoreFiles) -> String {
    scores.files.iter().map(|file| format!("{file}\n")).collect()
}

fn rate(rate: &Rate) -> String {
    let Rate { documents_per_second: speed, last_unit, hours_left } = rate;
    let speed = if *speed < 10.0 { format!("{speed:.2}") } else { counted(*speed) };
    let left = duration(*hours_left);
    format!(
        "  rate: {speed} documents/s by all workers, over the hour up to the last finished unit ({last_unit}); {left} left at that rate"
    )
}

fn not_scored(counts: &StatusCounts) -> String {
    let rows = |status: &Status| counts.rows.get(status.as_str()).copied().unwrap_or(0);
    let others = Status::ALL.iter().filter(|status| **status != Status::Scored && rows(status) > 0);
    let parts: Vec<String> = others.map(|status| format!("{} {status}", TokenCount(rows(status)))).collect();
    let rejects = if parts.is_empty() { "none".to_owned() } else { parts.join(", ") };
    let all = TokenCount(counts.rows.values().copied().fold(0, u64::saturating_add));
    let of = match counts.is_sample {
        false => String::new(),
        true => format!(" in {} units from all over", counts.sidecars_counted),
    };
    format!("  not scored: {rejects} of {all} documents{of}")
}
