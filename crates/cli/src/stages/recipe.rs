//! Pretraining configs and the schedule, from a finished selection.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use headwater_recipe::{
    CorpusSource, FOLDER, Preset, RecipeInputs, Recipes, TokenFileCount, TokenPart, write_recipes_for,
};
use headwater_record::selection::DomainSelection;
use headwater_record::tokens::{TokenFile, TokensFile};
use headwater_record::{ContentHash, SelectionFile, TokenCount};
use headwater_report::schedule_svg;
use headwater_run::RunFolder;
use headwater_select::Mixtures;
use headwater_tokens::{MANIFEST, TokenFormat};

use crate::failure::Outcome;
use crate::stages::Session;

const SCHEDULE_PICTURE: &str = "schedule.svg";

/// Folders and files of the output that are no place for recipes.
const TAKEN: [&str; 5] = ["scores", "selected", "tokens", "run.json", "selection.json"];

impl Session<'_> {
    /// Runs this stage alone; `folder` of the output gets everything if it is given.
    pub(crate) fn recipe_only(&self, folder: Option<&str>) -> Result<Outcome> {
        let folder = folder.map(|folder| folder.trim_end_matches('/'));
        if let Some(folder) = folder {
            let is_inside = !folder.is_empty() && folder.split('/').all(|part| !matches!(part, "" | "." | ".."));
            let is_taken = TAKEN.contains(&folder.split('/').next().unwrap_or_default());
            ensure!(
                is_inside && !is_taken && !folder.contains("://"),
                "--out `{folder}`: name a new folder inside the run's output, such as recipe-branch-1000"
            );
        }
        let selection = self.selection()?;
        let written = self.recipe(&selection, folder)?;
        written.iter().for_each(|path| self.console.say(&format!("{:>12} {}", "written", self.place.describe(path))));
        Ok(Outcome::Done)
    }

    /// Writes a config for each trainer, the schedule as a table and as a picture; returns their paths.
    pub(super) fn recipe(&self, selection: &SelectionFile, folder: Option<&str>) -> Result<Vec<String>> {
        let _timer = self.meters.stage("recipe");
        let preset = self.preset()?;
        let tokens = self.token_parts(selection, &preset)?;
        let recipes = self.recipes(selection, &preset, &tokens, folder)?;
        recipes.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        let picture = schedule_svg(&recipes.schedule, recipes.tokens_per_step);
        let picture_path =
            folder.map_or_else(|| SCHEDULE_PICTURE.to_owned(), |folder| format!("{folder}/{SCHEDULE_PICTURE}"));
        let files = recipes.files.into_iter().map(|file| (file.path, Bytes::from(file.bytes)));
        let mut paths = Vec::new();
        for (path, bytes) in std::iter::once((picture_path, Bytes::from(picture))).chain(files) {
            self.place.write(&path, bytes)?;
            paths.push(path);
        }
        Ok(paths)
    }

    /// Makes the recipes of a made-up selection, so that a setting that cannot work is found before hours of scoring.
    pub(super) fn rehearse_recipe(&self) -> Result<Recipes> {
        let domain = DomainSelection {
            domain: String::new(),
            documents: 2,
            tokens: TokenCount(2),
            ranked_documents: 2,
            ranked_tokens: TokenCount(2),
            fraction: 0.5,
            kept_documents: 1,
            kept_tokens: TokenCount(1),
            ..DomainSelection::default()
        };
        let selection = SelectionFile {
            hash: ContentHash::of(b""),
            rank: String::new(),
            by: String::new(),
            buckets: Vec::new(),
            domains: vec![domain],
            statuses: BTreeMap::new(),
            guarded: BTreeMap::new(),
        };
        self.recipes(&selection, &self.preset()?, &[], None)
    }

    /// The token files that are there, of every part in every format.
    fn token_parts(&self, selection: &SelectionFile, preset: &Preset) -> Result<Vec<TokenPart>> {
        let (mut there, mut unlike) = (Vec::new(), BTreeSet::new());
        for part in selection.parts() {
            for format in TokenFormat::ALL {
                let folder = format!("{}/{}", RunFolder::token_files(part, &selection.hash), format.name());
                let manifest = format!("{folder}/{MANIFEST}");
                let Some(json) = self.place.read_if_exists(&manifest)? else { continue };
                let place = self.place.describe(&manifest);
                let manifest: TokensFile =
                    serde_json::from_slice(&json).with_context(|| format!("{place} is damaged"))?;
                unlike.extend(check_tokenizer(&manifest, preset, &place)?);
                let file = |file: &TokenFile| TokenFileCount {
                    path: self.place.describe(&format!("{folder}/{}", file.path.trim_end_matches(".bin"))),
                    tokens: TokenCount(file.tokens),
                };
                let files = manifest.tally.files.iter().map(file).collect();
                there.push(TokenPart { part, format, files });
            }
        }
        unlike.iter().for_each(|warning| tracing::warn!("{warning}"));
        Ok(there)
    }

    fn recipes(
        &self,
        selection: &SelectionFile,
        preset: &Preset,
        tokens: &[TokenPart],
        folder: Option<&str>,
    ) -> Result<Recipes> {
        let mixtures = Mixtures::new(selection, self.pipeline.mixture)?;
        let corpus: Vec<_> = self
            .pipeline
            .corpus
            .iter()
            .map(|source| CorpusSource {
                name: source.name.clone(),
                paths: source.paths.clone(),
                text: source.text.clone(),
            })
            .collect();
        let inputs = RecipeInputs {
            config: &self.pipeline.recipe,
            schedule: &self.pipeline.schedule,
            mixtures: &mixtures,
            selection,
            folder: folder.unwrap_or(FOLDER),
            subset: &self.place.describe(&RunFolder::subset(&selection.hash)),
            corpus: &corpus,
            tokens,
            seed: self.pipeline.run.seed,
            is_sampled: self.is_sampled(),
        };
        Ok(write_recipes_for(&inputs, preset)?)
    }

    /// The preset of that name, or the one in a file.
    fn preset(&self) -> Result<Preset> {
        let name = &self.pipeline.recipe.preset;
        if Path::new(name).extension().is_none_or(|extension| extension != "toml") {
            return Ok(Preset::named(name)?);
        }
        let text = fs_err::read_to_string(name).context("cannot read [recipe] preset")?;
        Ok(Preset::parse(&text, name)?)
    }
}

/// Refuses token files that the model of `preset` cannot read; returns in what they are unlike what it expects.
fn check_tokenizer(manifest: &TokensFile, preset: &Preset, place: &str) -> Result<Vec<String>> {
    let (tokenizer, eos) = (&manifest.settings.tokenizer, &manifest.settings.eos);
    let (model, name) = (&preset.model, &preset.name);
    ensure!(
        tokenizer.vocab_size <= model.vocab_size,
        "{place} has a vocabulary of {} tokens ({}), but preset \"{name}\" has model.vocab_size {}: write token files with the \
         tokenizer of that model, or take another preset",
        tokenizer.vocab_size,
        tokenizer.name,
        model.vocab_size
    );
    let mut unlike = Vec::new();
    if u64::from(eos.id) != model.eos_token_id {
        unlike.push(format!(
            "token files end documents with token {} ({}), preset \"{name}\" says eos_token_id {}",
            eos.id, eos.text, model.eos_token_id
        ));
    }
    if tokenizer.name != preset.tokenizer.name {
        unlike.push(format!(
            "token files were made with the tokenizer {}, preset \"{name}\" names {}: see that they are the same one; nanotron \
             compares the names",
            tokenizer.name, preset.tokenizer.name
        ));
    }
    Ok(unlike)
}
