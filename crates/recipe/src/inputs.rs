//! The inputs of a recipe.

use headwater_record::tokens::{TextPart, TokenFormat};
use headwater_record::{SelectionFile, TokenCount};
use headwater_schedule::ScheduleConfig;
use headwater_select::Mixtures;

use crate::RecipeConfig;

/// A source of the corpus, as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorpusSource {
    /// Its name, which is also that of its folder in the subset.
    pub name: String,
    /// Files, globs, prefixes or URLs.
    pub paths: Vec<String>,
    /// The column with the text.
    pub text: String,
}

/// The token files of a part of the data in one format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartTokenFiles {
    /// The part.
    pub part: TextPart,
    /// The format.
    pub format: TokenFormat,
    /// Its files.
    pub files: Vec<TokenFileCount>,
    /// The text of the token that ends documents.
    pub eos: String,
    /// Documents whose text spells it.
    pub documents_with_eos: u64,
}

/// One token file and what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenFileCount {
    /// Its path as a config names it; for Megatron without the extension.
    pub path: String,
    /// Its tokens.
    pub tokens: TokenCount,
}

/// What a recipe is made from.
#[derive(Clone, Copy, Debug)]
pub struct RecipeInputs<'a> {
    /// The `[recipe]` table.
    pub config: &'a RecipeConfig,
    /// The `[schedule]` table.
    pub schedule: &'a ScheduleConfig,
    /// Shares of corpus and selected subset.
    pub mixtures: &'a Mixtures,
    /// What was selected.
    pub selection: &'a SelectionFile,
    /// The folder of the recipes in the run's output, [`headwater_run::RunFolder::recipes`] unless another is asked for, which then holds `schedule.csv` too.
    pub folder: &'a str,
    /// Path or URL of the subset's folder.
    pub subset: &'a str,
    /// Sources of the corpus.
    pub corpus: &'a [CorpusSource],
    /// The token files that are there; none before they are written.
    pub tokens: &'a [PartTokenFiles],
    /// The folder that the pipeline runs in, as an absolute path, for trainers that look for relative paths elsewhere.
    pub working_folder: &'a str,
    /// Seed of the run.
    pub seed: u64,
    /// Whether only a sample of the corpus was scored, so that numbers and weights are those of the sample.
    pub is_sampled: bool,
}
