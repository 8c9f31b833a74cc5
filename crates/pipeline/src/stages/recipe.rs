//! Pretraining configs and the schedule, from a finished selection.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use bytes::Bytes;
use headwater_recipe::{
    CorpusSource, PartTokenFiles, Preset, RecipeInputs, Recipes, TokenFileCount, build_recipes_for,
};
use headwater_record::selection::DomainSelection;
use headwater_record::tokens::{TokenFile, TokensFile};
use headwater_record::{ContentHash, SelectionFile, TokenCount};
use headwater_report::schedule_svg;
use headwater_run::RunFolder;
use headwater_select::Mixtures;
use headwater_tokens::{MANIFEST_FILE, TokenFormat};

use crate::explain::explain_file;
use crate::{Arm, Error, Pipeline, Result};

/// Folders and files of the output that are no place for recipes.
const TAKEN: [&str; 5] = [
    RunFolder::SCORES,
    RunFolder::SUBSETS,
    RunFolder::TOKENS,
    RunFolder::RUN,
    RunFolder::selection_file(Arm::Selection),
];

impl Pipeline {
    /// Writes a config for each trainer, the schedule as a table and as a picture, from the selection that an arm made; returns their
    /// paths, relative to the run's output. `folder` of the output gets all of it, if one is given.
    ///
    /// # Errors
    /// [`Error::RecipeFolder`], [`Error::NoSelection`], [`Error::Vocabulary`]; [`Error::Recipe`] for settings that fit no trainer.
    pub fn recipe(&self, arm: Arm, folder: Option<&str>) -> Result<Vec<String>> {
        let folder = folder.map(|folder| folder.trim_end_matches('/'));
        if let Some(folder) = folder {
            let is_inside = !folder.is_empty() && folder.split('/').all(|part| !matches!(part, "" | "." | ".."));
            let is_taken = TAKEN.contains(&folder.split('/').next().unwrap_or_default());
            if !is_inside || is_taken || folder.contains("://") {
                return Err(Error::RecipeFolder { folder: folder.to_owned() });
            }
        }
        let folder = folder.or((arm == Arm::Control).then_some(RunFolder::recipes(arm)));
        let written = self.write_recipes(&self.selection(arm)?, folder)?;
        written.iter().for_each(|path| self.tell_written(path));
        Ok(written)
    }

    /// Writes a config for each trainer, the schedule as a table and as a picture; returns their paths.
    pub(crate) fn write_recipes(&self, selection: &SelectionFile, folder: Option<&str>) -> Result<Vec<String>> {
        let _timer = self.meters.stage("recipe");
        let preset = self.preset()?;
        let tokens = self.token_parts(selection, &preset)?;
        let recipes = self.recipes(selection, &preset, &tokens, folder)?;
        recipes.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        let picture = schedule_svg(&recipes.schedule, recipes.tokens_per_step);
        let picture_path = folder.map_or_else(
            || RunFolder::SCHEDULE_PICTURE.to_owned(),
            |folder| format!("{folder}/{}", RunFolder::SCHEDULE_PICTURE),
        );
        let files = recipes.files.into_iter().map(|file| (file.path, Bytes::from(file.bytes)));
        let mut paths = Vec::new();
        for (path, bytes) in std::iter::once((picture_path, Bytes::from(picture))).chain(files) {
            self.place().write(&path, bytes)?;
            paths.push(path);
        }
        Ok(paths)
    }

    /// Makes the recipes of a made-up selection, so that a setting that cannot work is found before hours of scoring.
    pub(crate) fn rehearse_recipe(&self) -> Result<Recipes> {
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
    fn token_parts(&self, selection: &SelectionFile, preset: &Preset) -> Result<Vec<PartTokenFiles>> {
        let (mut there, mut unlike) = (Vec::new(), BTreeSet::new());
        for part in selection.parts() {
            for format in TokenFormat::ALL {
                let folder = format!("{}/{}", RunFolder::token_files(part, &selection.hash), format.name());
                let manifest = format!("{folder}/{MANIFEST_FILE}");
                let place = self.place().describe(&manifest);
                let Some(manifest) = self.folder.read_json::<TokensFile>(&manifest)? else { continue };
                unlike.extend(check_tokenizer(&manifest, preset, &place)?);
                let file = |file: &TokenFile| TokenFileCount {
                    path: self.place().describe(&format!("{folder}/{}", file.path.trim_end_matches(".bin"))),
                    tokens: TokenCount(file.tokens),
                };
                let files = manifest.tally.files.iter().map(file).collect();
                there.push(PartTokenFiles { part, format, files });
            }
        }
        unlike.iter().for_each(|warning| tracing::warn!("{warning}"));
        Ok(there)
    }

    fn recipes(
        &self,
        selection: &SelectionFile,
        preset: &Preset,
        tokens: &[PartTokenFiles],
        folder: Option<&str>,
    ) -> Result<Recipes> {
        let mixtures = Mixtures::new(selection, self.config.mixture)?;
        let corpus: Vec<_> = self
            .config
            .corpus
            .iter()
            .map(|source| CorpusSource {
                name: source.name.clone(),
                paths: source.paths.clone(),
                text: source.text.clone(),
            })
            .collect();
        let inputs = RecipeInputs {
            config: &self.config.recipe,
            schedule: &self.config.schedule,
            mixtures: &mixtures,
            selection,
            folder: folder.unwrap_or(RunFolder::recipes(Arm::Selection)),
            subset: &self.place().describe(&RunFolder::subset(&selection.hash)),
            corpus: &corpus,
            tokens,
            seed: self.config.run.seed,
            is_sampled: self.config.is_sampled(),
        };
        Ok(build_recipes_for(&inputs, preset)?)
    }

    /// The preset of that name, or the one in a file.
    fn preset(&self) -> Result<Preset> {
        let name = &self.config.recipe.preset;
        if Path::new(name).extension().is_none_or(|extension| extension != "toml") {
            return Ok(Preset::named(name)?);
        }
        let text = fs_err::read_to_string(name).map_err(Error::ReadPreset)?;
        Preset::parse(&text, name).map_err(|error| match error {
            headwater_recipe::Error::PresetSyntax { source, .. } => {
                explain_file(Path::new(name), &text, source.span().map(|span| span.start), source.message())
            }
            other => other.into(),
        })
    }
}

/// Refuses token files that the model of `preset` cannot read; returns in what they are unlike what it expects.
fn check_tokenizer(manifest: &TokensFile, preset: &Preset, place: &str) -> Result<Vec<String>> {
    let (tokenizer, eos) = (&manifest.settings.tokenizer, &manifest.settings.eos);
    let (model, name) = (&preset.model, &preset.name);
    if tokenizer.vocab_size > model.vocab_size {
        return Err(Error::Vocabulary {
            path: place.to_owned(),
            tokens: tokenizer.vocab_size,
            tokenizer: tokenizer.name.clone(),
            preset: name.clone(),
            preset_tokens: model.vocab_size,
        });
    }
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
