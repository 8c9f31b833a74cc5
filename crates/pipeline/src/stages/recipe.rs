//! Pretraining configs and the schedule, from a finished selection.

mod corpus;
mod files;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use bytes::Bytes;
use headwater_recipe::{
    CorpusSource, PartTokenFiles, Preset, RecipeInputs, Recipes, TokenFileCount, build_recipes_for, planned_schedule,
};
use headwater_record::selection::DomainSelection;
use headwater_record::tokens::{TokenFile, TokensFile};
use headwater_record::{ContentHash, SelectionFile, TokenCount};
use headwater_report::schedule_svg;
use headwater_run::RunFolder;
use headwater_schedule::Schedule;
use headwater_select::Mixtures;
use headwater_tokens::{MANIFEST_FILE, TokenFormat};

use crate::explain::explain_file;
use crate::{Arm, Error, Event, Pipeline, Result};

/// Tokens and documents of a made-up corpus that is large enough for any recipe.
const MUCH: u64 = 1 << 48;

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
    /// [`Error::RecipeFolder`], [`Error::NoSelection`], [`Error::Vocabulary`]; [`Error::Recipe`] for settings that fit no trainer or not the
    /// data; [`Error::ForeignRecipeFiles`] if files in the folder are not ours.
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
        let material = self.material(selection)?;
        let inputs = material.inputs(self, selection, folder);
        let preset = self.preset(&inputs)?;
        let tokens = self.token_parts(selection, &preset)?;
        let recipes = build_recipes_for(&RecipeInputs { tokens: &tokens, ..inputs }, &preset)?;
        for sentence in &recipes.settled {
            self.tell(&Event::RecipeSettled { sentence: sentence.clone() });
        }
        for part in &recipes.passes {
            self.tell(&Event::Passes { part: part.part.clone(), tokens: part.tokens, passes: part.passes });
        }
        recipes.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        let picture = schedule_svg(&recipes.schedule, recipes.tokens_per_step);
        let picture_path = folder.map_or_else(
            || RunFolder::SCHEDULE_PICTURE.to_owned(),
            |folder| format!("{folder}/{}", RunFolder::SCHEDULE_PICTURE),
        );
        let files = recipes.files.into_iter().map(|file| (file.path, Bytes::from(file.bytes)));
        let files: Vec<_> = std::iter::once((picture_path, Bytes::from(picture))).chain(files).collect();
        let manifest = files::write(&self.folder, inputs.folder, &files)?;
        Ok(files.into_iter().map(|(path, _)| path).chain([manifest]).collect())
    }

    /// The schedule of the run that recipes are for, and the tokens of a step: of a made-up selection where there is none yet.
    pub(crate) fn planned_schedule(&self, selection: Option<&SelectionFile>) -> Result<(Schedule, u64)> {
        let made_up = made_up_selection();
        let selection = selection.unwrap_or(&made_up);
        let material = self.material(selection)?;
        let inputs = material.inputs(self, selection, None);
        Ok(planned_schedule(&inputs, &self.preset(&inputs)?)?)
    }

    /// Makes the recipes of a made-up selection, so that a setting that cannot work is found before hours of scoring.
    pub(crate) fn rehearse_recipe(&self) -> Result<Recipes> {
        let selection = made_up_selection();
        let material = self.material(&selection)?;
        let inputs = material.inputs(self, &selection, None);
        Ok(build_recipes_for(&inputs, &self.preset(&inputs)?)?)
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
                let eos = manifest.settings.eos.text.clone();
                let documents_with_eos = manifest.tally.documents_with_eos;
                there.push(PartTokenFiles { part, format, files, eos, documents_with_eos });
            }
        }
        unlike.iter().for_each(|warning| tracing::warn!("{warning}"));
        Ok(there)
    }

    /// What recipes are made from beside the pipeline's own tables.
    fn material(&self, selection: &SelectionFile) -> Result<Material> {
        let mixtures = Mixtures::new(selection, self.config.mixture)?;
        let working_folder = self.environment.stores.open(".").map_err(Error::Output)?.canonical();
        let subset = self.place().describe(&RunFolder::subset(&selection.hash));
        Ok(Material { mixtures, corpus: self.corpus_sources()?, subset, working_folder })
    }

    /// The preset of that name, or the one in a file; where none is named, the one for the data.
    fn preset(&self, inputs: &RecipeInputs<'_>) -> Result<Preset> {
        let Some(name) = &self.config.recipe.preset else { return Ok(inputs.default_preset()?) };
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

/// What recipes are made from beside the pipeline's own tables.
struct Material {
    mixtures: Mixtures,
    corpus: Vec<CorpusSource>,
    subset: String,
    working_folder: String,
}

impl Material {
    fn inputs<'a>(
        &'a self,
        pipeline: &'a Pipeline,
        selection: &'a SelectionFile,
        folder: Option<&'a str>,
    ) -> RecipeInputs<'a> {
        RecipeInputs {
            config: &pipeline.config.recipe,
            schedule: &pipeline.config.schedule,
            mixtures: &self.mixtures,
            selection,
            folder: folder.unwrap_or(RunFolder::recipes(Arm::Selection)),
            subset: &self.subset,
            corpus: &self.corpus,
            tokens: &[],
            working_folder: &self.working_folder,
            seed: pipeline.config.run.seed,
            is_sampled: pipeline.config.is_sampled(),
        }
    }
}

/// A selection that settings can be tried with before there is one.
fn made_up_selection() -> SelectionFile {
    let domain = DomainSelection {
        domain: String::new(),
        documents: MUCH,
        tokens: TokenCount(MUCH),
        ranked_documents: MUCH,
        ranked_tokens: TokenCount(MUCH),
        fraction: 0.5,
        kept_documents: MUCH / 2,
        kept_tokens: TokenCount(MUCH / 2),
        ..DomainSelection::default()
    };
    SelectionFile {
        hash: ContentHash::of(b""),
        rank: String::new(),
        by: String::new(),
        buckets: Vec::new(),
        domains: vec![domain],
        statuses: BTreeMap::new(),
        guarded: BTreeMap::new(),
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
