//! The output of a run, and where each artefact lies in it.

use headwater_record::tokens::{self, TextPart};
use headwater_record::{ContentHash, Fingerprint, UnitKey};
use headwater_store::Place;

/// Digits of the hash that names a trial.
const TRIAL_DIGITS: usize = 16;

/// What a training run is made from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Arm {
    /// The selection.
    #[default]
    Selection,
    /// As much text, drawn at random.
    Control,
}

/// The output of a run: a folder or an object store's prefix.
///
/// Paths are relative to it. Those of single artefacts are constants, the others functions.
#[derive(Clone, Debug)]
pub struct RunFolder {
    place: Place,
}

impl RunFolder {
    /// The description of the run.
    pub const RUN: &'static str = "run.json";
    /// The head set.
    pub const HEADS: &'static str = "heads.json";
    /// A head set that was found and refused.
    pub const WEAK_HEADS: &'static str = "heads-weak.json";
    /// What an unfinished search for heads has measured.
    pub const PARTIAL_HEADS: &'static str = "heads-partial.json";
    /// How alike the run's numerics class and float32 rank documents.
    pub const FIDELITY: &'static str = "fidelity.json";
    /// The picture of the head set.
    pub const HEADS_PICTURE: &'static str = "heads.svg";
    /// The student of the scores.
    pub const STUDENT: &'static str = "student.json";
    /// A student that was fitted and refused.
    pub const WEAK_STUDENT: &'static str = "student-weak.json";
    /// The folder of the run that scores the labels of the student.
    pub const LABELS: &'static str = "labels";
    /// Whether the cut cares about the form of a text.
    pub const AUDIT: &'static str = "audit.json";
    /// The folder of the lists of documents that the teacher scores in a cascade.
    pub const CASCADE: &'static str = "cascade";
    /// The folder of all sidecars.
    pub const SCORES: &'static str = "scores";
    /// The folder of Parquet copies of a corpus in JSON Lines.
    pub const COPIES: &'static str = "copies";
    /// What could not be scored.
    pub const REJECTS: &'static str = "rejects.parquet";
    /// The folder of all subsets.
    pub const SUBSETS: &'static str = "selected";
    /// The folder of all token files.
    pub const TOKENS: &'static str = "tokens";
    /// The folder of the token files of the corpus, whatever is selected of it.
    pub const CORPUS_TOKENS: &'static str = tokens::CORPUS_TOKENS;
    /// The learning rate of every step.
    pub const SCHEDULE: &'static str = "schedule.csv";
    /// The picture of the learning rate.
    pub const SCHEDULE_PICTURE: &'static str = "schedule.svg";
    /// The page that shows the run.
    pub const REPORT: &'static str = "report.html";
    /// The page that compares the run with another one.
    pub const COMPARISON: &'static str = "comparison.html";
    /// What the trial that ran last came to.
    pub const TRIAL: &'static str = "trial.json";
    /// Where the time of the process that ran last went.
    pub const METRICS: &'static str = "metrics.json";

    /// The run in `place`.
    #[must_use]
    pub const fn new(place: Place) -> Self {
        Self { place }
    }

    /// Where the run is.
    #[must_use]
    pub const fn place(&self) -> &Place {
        &self.place
    }

    /// The folder of the sidecars of one source.
    #[must_use]
    pub fn sidecars(fingerprint: &Fingerprint, source: &str) -> String {
        format!("{}/{fingerprint}/{source}", Self::SCORES)
    }

    /// The sidecar of one unit.
    #[must_use]
    pub fn sidecar(fingerprint: &Fingerprint, source: &str, unit: &UnitKey) -> String {
        format!("{}/{unit}.parquet", Self::sidecars(fingerprint, source))
    }

    /// The cuts of an arm.
    #[must_use]
    pub const fn selection_file(arm: Arm) -> &'static str {
        match arm {
            Arm::Selection => "selection.json",
            Arm::Control => "selection-control.json",
        }
    }

    /// The folder of a selection's kept rows.
    #[must_use]
    pub fn subset(selection: &ContentHash) -> String {
        format!("{}/{selection}", Self::SUBSETS)
    }

    /// The folder of the token files of a part of the data, of the selection of this hash.
    #[must_use]
    pub fn token_files(part: TextPart, selection: &ContentHash) -> String {
        part.token_folder(selection)
    }

    /// The folder of an arm's recipes.
    #[must_use]
    pub const fn recipes(arm: Arm) -> &'static str {
        match arm {
            Arm::Selection => "recipe",
            Arm::Control => "recipe-control",
        }
    }

    /// The folder of the trial whose plan has this hash.
    #[must_use]
    pub fn trial(plan: &ContentHash) -> String {
        format!("trial/{}", plan.short(TRIAL_DIGITS))
    }

    /// Where the time of the process went that scored the part `index` of `of`.
    #[must_use]
    pub fn part_metrics(index: usize, of: usize) -> String {
        format!("metrics/score-{index}-of-{of}.json")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_files_lie_as_the_subset_does() {
        let hash = ContentHash::of(b"selection");
        let folder = |part: TextPart| RunFolder::token_files(part, &hash);
        assert_eq!(folder(TextPart::Corpus), "tokens/corpus");
        assert_eq!(folder(TextPart::Selected), format!("tokens/{}", RunFolder::subset(&hash)));
        assert_eq!(folder(TextPart::Bucket(3)), format!("tokens/selected/{hash}/bucket-03"));
    }
}
