//! Token files, from the corpus and a finished selection.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use headwater_corpus::{Plan, PlanOptions, PlannedShard, SourceConfig, SourceFolder, plan_folders};
use headwater_record::{RunFile, SelectionFile, TokenCount};
use headwater_run::RunFolder;
use headwater_score::without_skipped;
use headwater_tokens::{
    MANIFEST_FILE, PartPlan, Share, TextPart, TokenFormat, TokenWork, TokenizerSetup, TokensConfig, Watch, write_tokens,
};

use serde::Serialize;

use crate::{Arm, Error, Event, Part, Pipeline, Progress, Result, Total, Verdict};

/// Follows the tokenising: shows progress, tells when to stop.
struct Follower<'a> {
    pipeline: &'a Pipeline,
    step: Box<dyn Progress>,
    /// Shards that were skipped, which are told once.
    skipped: Mutex<BTreeSet<String>>,
}

/// Where token files are, and whether they are complete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TokensSummary {
    /// The folders that are complete, relative to the run's output.
    pub folders: Vec<String>,
    /// Whether shards were skipped.
    pub verdict: Verdict,
}

impl Watch for Follower<'_> {
    fn advance(&self, documents: u64, tokens: u64) {
        self.step.advance_tokens(tokens);
        self.step.advance(documents);
    }

    fn is_over(&self) -> bool {
        self.pipeline.is_cancelled()
    }

    fn may_skip(&self, shard: &PlannedShard, error: &headwater_corpus::Error) -> bool {
        let may_skip = self.pipeline.may_skip_shard(error);
        let location = shard.location();
        let mut skipped = self.skipped.lock().unwrap_or_else(PoisonError::into_inner);
        if may_skip && !skipped.contains(&location) {
            let reason = crate::error::chain(error);
            tracing::warn!(shard = location, reason, "the rest of the shard is left out of the token files");
            skipped.insert(location);
        }
        may_skip
    }
}

/// The documents of each part that is wanted.
struct Texts<'a> {
    corpus: Option<&'a Plan>,
    /// What is selected, as a whole or bucket by bucket.
    selected: Vec<SelectedText>,
}

/// The documents of a part of what is selected.
struct SelectedText {
    part: TextPart,
    plan: Plan,
    /// The folder of its token files, relative to the run.
    folder: String,
}

impl Pipeline {
    /// Writes the token files of the corpus and of what an arm keeps, as `[tokens]` asks for them: those of `part` that are missing.
    /// # Errors
    /// [`Error::NoTokenFormats`], [`Error::NoSelection`], [`Error::Tokens`]; [`Error::Cancelled`]. Finished files are kept.
    pub fn tokens(&self, arm: Arm, part: Part) -> Result<TokensSummary> {
        if self.tokens_config().formats.is_empty() {
            return Err(Error::NoTokenFormats);
        }
        self.place().ensure_writable()?;
        self.rehearse_tokens()?;
        self.wait_for_turn(part);
        let selection = self.wants(TextPart::Selected).then(|| self.selection(arm)).transpose()?;
        let corpus = self.wants(TextPart::Corpus).then(|| self.plan()).transpose()?;
        let run = self.folder.run_file()?;
        let corpus = corpus.map(|corpus| match &run {
            Some(run) => without_skipped(corpus, run),
            None => corpus,
        });
        let selected = selection.as_ref().map(|selection| self.selected(selection)).transpose()?.unwrap_or_default();
        self.write_tokens(&Texts { corpus: corpus.as_ref(), selected }, part)
    }

    /// Writes what the pipeline asks for, which may be nothing; returns where it lies.
    pub(crate) fn write_wanted_tokens(
        &self,
        corpus: &Plan,
        run: &RunFile,
        selection: &SelectionFile,
    ) -> Result<TokensSummary> {
        if self.tokens_config().formats.is_empty() {
            return Ok(TokensSummary { folders: Vec::new(), verdict: Verdict::Complete });
        }
        let selected = self.wants(TextPart::Selected).then(|| self.selected(selection)).transpose()?;
        let corpus = self.wants(TextPart::Corpus).then(|| without_skipped(corpus.clone(), run));
        let texts = Texts { corpus: corpus.as_ref(), selected: selected.unwrap_or_default() };
        self.write_tokens(&texts, Part::WHOLE)
    }

    /// Checks the settings with the tokenizer, so that one that cannot work is found before hours of scoring.
    pub(crate) fn rehearse_tokens(&self) -> Result<()> {
        if !self.tokens_config().formats.is_empty() {
            let (tokenizer, name) = self.load_tokenizer()?;
            TokenizerSetup::new(self.tokens_config(), &tokenizer, &name, self.config.recipe.sequence_tokens)?;
        }
        Ok(())
    }

    fn tokens_config(&self) -> &TokensConfig {
        &self.config.tokens
    }

    fn wants(&self, part: TextPart) -> bool {
        self.tokens_config().parts.contains(&part)
    }

    /// The documents of every part of what is selected.
    fn selected(&self, selection: &SelectionFile) -> Result<Vec<SelectedText>> {
        let subset = RunFolder::subset(&selection.hash);
        let folders = selection.parts().into_iter().filter_map(|part| Some((part, part.folder_in(&subset)?)));
        let texts = folders.map(|(part, folder)| {
            Ok(SelectedText {
                part,
                plan: self.subset(&folder)?,
                folder: RunFolder::token_files(part, &selection.hash),
            })
        });
        texts.collect()
    }

    /// The plan of the subset's files in `folder`, which are shards like others.
    fn subset(&self, folder: &str) -> Result<Plan> {
        let files = self.place().list(folder)?;
        let is_of = |path: &str, source: &str| {
            path.strip_prefix(folder).is_some_and(|path| path.starts_with(&format!("/{source}/")))
        };
        // a source of which nothing is kept has no files
        let kept = self.config.corpus.iter().filter(|source| files.iter().any(|file| is_of(&file.path, &source.name)));
        let sources: Vec<SourceFolder> = kept
            .map(|source| SourceFolder {
                place: self.place().child(&format!("{folder}/{}", source.name)),
                config: SourceConfig {
                    name: source.name.clone(),
                    paths: Vec::new(),
                    text: source.text.clone(),
                    id: String::new(),
                    domain: String::new(),
                    domain_value: None,
                    sample: 1.0,
                },
            })
            .collect();
        let options = PlanOptions { unit_bytes: self.config.run.unit_bytes, ..PlanOptions::default() };
        let step = self.step("plan", "footers of the subset", Total::Unknown);
        Ok(plan_folders(&sources, &options, &|footers| step.advance(footers))?)
    }

    /// Writes the token files of `texts` that are missing.
    fn write_tokens(&self, texts: &Texts<'_>, shard: Part) -> Result<TokensSummary> {
        let _timer = self.meters.stage("tokens");
        let (tokenizer, name) = self.load_tokenizer()?;
        let setup = TokenizerSetup::new(self.tokens_config(), &tokenizer, &name, self.config.recipe.sequence_tokens)?;
        let eos = setup.eos();
        self.tell(&Event::TokenizerLoaded {
            name,
            vocabulary: tokenizer.vocab_size(),
            eos: eos.text.clone(),
            eos_id: eos.id,
        });
        let part = |part, folder: &str, plan| PartPlan { part, folder: folder.to_owned(), plan };
        let corpus = texts.corpus.map(|plan| part(TextPart::Corpus, RunFolder::CORPUS_TOKENS, plan));
        let selected = texts.selected.iter().map(|text| part(text.part, &text.folder, &text.plan));
        let (mut folders, mut unreadable) = (Vec::new(), 0);
        for part in corpus.into_iter().chain(selected) {
            let (complete, left_out) = self.part(&setup, &part, shard)?;
            folders.extend(complete);
            unreadable += left_out;
        }
        if unreadable > 0 {
            tracing::warn!("token files lack {} documents of shards that cannot be read", TokenCount(unreadable));
        }
        Ok(TokensSummary { folders, verdict: Verdict::of(unreadable > 0) })
    }

    /// Writes the missing files of one part; returns the folders that are complete, and how many rows they lack.
    fn part(&self, setup: &TokenizerSetup<'_>, part: &PartPlan<'_>, shard: Part) -> Result<(Vec<String>, u64)> {
        let share = Share { index: shard.index(), of: shard.of() };
        let work = TokenWork::begin(self.place(), setup, part, share)?;
        let name = match part.part {
            TextPart::Corpus => "the corpus".to_owned(),
            TextPart::Selected => "the subset".to_owned(),
            TextPart::Bucket(_) => part.part.name(),
        };
        let step = self.step("tokens", "documents", Total::Exactly(work.pending_rows()));
        let watch = Follower { pipeline: self, step, skipped: Mutex::default() };
        let watched = self.environment.cancel.watch();
        let progress = write_tokens(&work, &watch);
        drop(watched);
        let progress = progress?;
        self.heed_cancel()?;
        watch.step.finish();
        if progress.missing > 0 {
            self.tell(&Event::FilesLeft { files: progress.missing as u64, part: name.clone() });
        }
        if progress.documents_with_eos > 0 {
            tracing::warn!(
                "{} documents of {name} spell {} in their text, which the tokenizer takes for the end of a document; keep them out with a \
                 filter, or set another `tokens.eos`",
                progress.documents_with_eos,
                setup.eos().text,
            );
        }
        let folder = |format: TokenFormat| format!("{}/{}", part.folder, format.name());
        let folders: Vec<String> = progress.complete.into_iter().map(folder).collect();
        folders.iter().for_each(|folder| self.tell_written(&format!("{folder}/{MANIFEST_FILE}")));
        Ok((folders, progress.unreadable))
    }
}
