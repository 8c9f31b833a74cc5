//! Token files, from the corpus and a finished selection.

use anyhow::{Result, bail};
use headwater_corpus::{Plan, PlanOptions, SourceConfig, SourceFolder, plan_folders};
use headwater_record::tokens::CORPUS_TOKENS;
use headwater_record::{RunFile, SelectionFile, TokenCount};
use headwater_select::subset_folder;
use headwater_tokens::{
    MANIFEST, PartPlan, Setup, Share, TextPart, TokenFormat, TokenWork, TokensConfig, Watch, write_tokens,
};

use crate::args::{Part, TokensArgs};
use crate::failure::Outcome;
use crate::interrupt::{self, Interrupted, Listening};
use crate::progress::Step;
use crate::stages::Session;

/// Follows the tokenising: shows progress, tells when to stop.
struct Progress(Step);

impl Watch for Progress {
    fn advance(&self, documents: u64, tokens: u64) {
        self.0.advance_tokens(tokens);
        self.0.advance(documents);
    }

    fn is_over(&self) -> bool {
        interrupt::is_asked()
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

impl Session<'_> {
    /// Runs this stage alone.
    pub(crate) fn tokens_only(&self, args: &TokensArgs) -> Result<Outcome> {
        if self.config().formats.is_empty() {
            bail!(
                "[tokens] formats is empty, so there is nothing to write; name some, such as --set 'tokens.formats=[\"datatrove\"]'"
            );
        }
        self.place.ensure_writable()?;
        self.rehearse_tokens()?;
        let part = args.shard.unwrap_or(Part::WHOLE);
        self.wait_for_turn(part);
        let selection = self.wants(TextPart::Selected).then(|| self.selection()).transpose()?;
        let corpus = self.wants(TextPart::Corpus).then(|| self.plan()).transpose()?;
        let run = headwater_score::read(&self.place)?;
        let corpus = corpus.map(|corpus| without_skipped(corpus, run.as_ref()));
        let selected = selection.as_ref().map(|selection| self.selected(selection)).transpose()?.unwrap_or_default();
        let texts = Texts { corpus: corpus.as_ref(), selected };
        self.tokens(&texts, part)?;
        Ok(Outcome::Done)
    }

    /// Writes what the pipeline asks for, which may be nothing; returns where it lies.
    pub(super) fn write_wanted_tokens(
        &self,
        corpus: &Plan,
        run: &RunFile,
        selection: &SelectionFile,
    ) -> Result<Vec<String>> {
        if self.config().formats.is_empty() {
            return Ok(Vec::new());
        }
        let selected = self.wants(TextPart::Selected).then(|| self.selected(selection)).transpose()?;
        let corpus = self.wants(TextPart::Corpus).then(|| without_skipped(corpus.clone(), Some(run)));
        let texts = Texts { corpus: corpus.as_ref(), selected: selected.unwrap_or_default() };
        self.tokens(&texts, Part::WHOLE)
    }

    /// Checks the settings with the tokenizer, so that one that cannot work is found before hours of scoring.
    pub(super) fn rehearse_tokens(&self) -> Result<()> {
        if !self.config().formats.is_empty() {
            let (tokenizer, name) = self.load_tokenizer()?;
            Setup::new(self.config(), (&tokenizer, &name), self.pipeline.recipe.sequence_tokens)?;
        }
        Ok(())
    }

    fn config(&self) -> &TokensConfig {
        &self.pipeline.tokens
    }

    fn wants(&self, part: TextPart) -> bool {
        self.config().parts.contains(&part)
    }

    /// The documents of every part of what is selected.
    fn selected(&self, selection: &SelectionFile) -> Result<Vec<SelectedText>> {
        let subset = subset_folder(selection);
        let folders = selection.parts().into_iter().filter_map(|part| Some((part, part.folder_in(&subset)?)));
        let texts = folders.map(|(part, folder)| {
            Ok(SelectedText { part, plan: self.subset(&folder)?, folder: part.token_folder(&selection.hash) })
        });
        texts.collect()
    }

    /// The plan of the subset's files in `folder`, which are shards like others.
    fn subset(&self, folder: &str) -> Result<Plan> {
        let files = self.place.list(folder)?;
        let is_of = |path: &str, source: &str| {
            path.strip_prefix(folder).is_some_and(|path| path.starts_with(&format!("/{source}/")))
        };
        // a source of which nothing is kept has no files
        let kept =
            self.pipeline.corpus.iter().filter(|source| files.iter().any(|file| is_of(&file.path, &source.name)));
        let sources: Vec<SourceFolder> = kept
            .map(|source| SourceFolder {
                place: self.place.child(&format!("{folder}/{}", source.name)),
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
        let options = PlanOptions { unit_bytes: self.pipeline.run.unit_bytes, ..PlanOptions::default() };
        let step = self.console.step("plan", "footers of the subset", 0);
        let plan = plan_folders(&sources, &options, &|footers| step.advance(footers))?;
        step.discard();
        Ok(plan)
    }

    /// Writes the token files of `texts` that are missing; returns where they lie.
    fn tokens(&self, texts: &Texts<'_>, shard: Part) -> Result<Vec<String>> {
        let _timer = self.meters.stage("tokens");
        let (tokenizer, name) = self.load_tokenizer()?;
        let setup = Setup::new(self.config(), (&tokenizer, &name), self.pipeline.recipe.sequence_tokens)?;
        let eos = setup.eos();
        self.console.say(&format!(
            "{:>12} {name}: {} in the vocabulary, {} ({}) after every document",
            "tokenizer",
            TokenCount(tokenizer.vocab_size()),
            eos.text,
            eos.id
        ));
        let part = |part, folder: &str, plan| PartPlan { part, folder: folder.to_owned(), plan };
        let corpus = texts.corpus.map(|plan| part(TextPart::Corpus, CORPUS_TOKENS, plan));
        let selected = texts.selected.iter().map(|text| part(text.part, &text.folder, &text.plan));
        let mut written = Vec::new();
        for part in corpus.into_iter().chain(selected) {
            written.extend(self.part(&setup, &part, shard)?);
        }
        Ok(written)
    }

    /// Writes the missing files of one part; returns the folders that are complete.
    fn part(&self, setup: &Setup<'_>, part: &PartPlan<'_>, shard: Part) -> Result<Vec<String>> {
        let share = Share { index: shard.index, of: shard.of };
        let work = TokenWork::begin(&self.place, setup, part, share)?;
        let name = match part.part {
            TextPart::Corpus => "the corpus".to_owned(),
            TextPart::Selected => "the subset".to_owned(),
            TextPart::Bucket(_) => part.part.name(),
        };
        let watch = Progress(self.console.step("tokens", "documents", work.pending_rows()));
        let listening = Listening::begin();
        let progress = write_tokens(&work, &watch);
        drop(listening);
        let progress = progress?;
        if interrupt::is_asked() {
            return Err(Interrupted.into());
        }
        watch.0.finish();
        if progress.missing > 0 {
            let missing = progress.missing;
            self.console.say(&format!("{:>12} {missing} files of {name} are left to other shards", "tokens"));
        }
        let folder = |format: TokenFormat| format!("{}/{}", part.folder, format.name());
        let folders: Vec<String> = progress.complete.into_iter().map(folder).collect();
        for folder in &folders {
            self.console.say(&format!("{:>12} {}", "written", self.place.describe(&format!("{folder}/{MANIFEST}"))));
        }
        Ok(folders)
    }
}

/// Takes shards out of a plan that turned out unreadable while they were scored.
fn without_skipped(mut plan: Plan, run: Option<&RunFile>) -> Plan {
    for source in &mut plan.sources {
        let of_run = run.and_then(|run| run.sources.iter().find(|there| there.name == source.name));
        let skipped = of_run.map(|there| there.skipped.as_slice()).unwrap_or_default();
        source.shards.retain(|shard| skipped.iter().all(|skipped| skipped.path != shard.path));
    }
    plan
}
