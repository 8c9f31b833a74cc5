//! Pretraining configs and the schedule, from a finished selection.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use bytes::Bytes;
use headwater_recipe::{Preset, RecipeInputs, Recipes, write_recipes_for};
use headwater_record::selection::DomainSelection;
use headwater_record::{ContentHash, SelectionFile, TokenCount};
use headwater_report::schedule_svg;
use headwater_select::{Mixture, SELECTION_PATH, subset_folder};

use crate::failure::Outcome;
use crate::stages::Session;

const SCHEDULE_PICTURE: &str = "schedule.svg";

impl Session<'_> {
    /// Runs this stage alone.
    pub(crate) fn recipe_only(&self) -> Result<Outcome> {
        let json = self.place.read_if_exists(SELECTION_PATH)?.with_context(|| {
            format!("{} has no {SELECTION_PATH} yet: run `headwater select {}` first", self.place, self.file)
        })?;
        let selection = serde_json::from_slice(&json)
            .with_context(|| format!("{} is damaged", self.place.describe(SELECTION_PATH)))?;
        let written = self.recipe(&selection)?;
        written.iter().for_each(|path| self.console.say(&format!("{:>12} {}", "written", self.place.describe(path))));
        Ok(Outcome::Done)
    }

    /// Writes a config for each trainer, the schedule as a table and as a picture; returns their paths.
    pub(super) fn recipe(&self, selection: &SelectionFile) -> Result<Vec<String>> {
        let _timer = self.meters.stage("recipe");
        let recipes = self.recipes(selection)?;
        let picture = schedule_svg(&recipes.schedule, recipes.tokens_per_step);
        self.place.write(SCHEDULE_PICTURE, Bytes::from(picture))?;
        let mut paths = vec![SCHEDULE_PICTURE.to_owned()];
        for file in recipes.files {
            self.place.write(&file.path, Bytes::from(file.bytes))?;
            paths.push(file.path);
        }
        Ok(paths)
    }

    /// Makes the recipes of a made-up selection, so that a setting that cannot work is found before hours of scoring.
    pub(super) fn rehearse_recipe(&self) -> Result<()> {
        let domain = DomainSelection {
            domain: String::new(),
            documents: 2,
            tokens: TokenCount(2),
            ranked_documents: 2,
            ranked_tokens: TokenCount(2),
            fraction: 0.5,
            kept_documents: 1,
            kept_tokens: TokenCount(1),
            cut: None,
            highest: None,
            lowest: None,
        };
        let selection = SelectionFile {
            hash: ContentHash::of(b""),
            rank: String::new(),
            by: String::new(),
            domains: vec![domain],
            statuses: BTreeMap::new(),
        };
        self.recipes(&selection).map(drop)
    }

    fn recipes(&self, selection: &SelectionFile) -> Result<Recipes> {
        let mixture = Mixture::new(selection, self.pipeline.mixture)?;
        let corpus: Vec<_> =
            self.pipeline.corpus.iter().map(|source| (source.name.clone(), source.paths.clone())).collect();
        let inputs = RecipeInputs {
            config: &self.pipeline.recipe,
            schedule: &self.pipeline.schedule,
            mixture: &mixture,
            selection,
            subset: &self.place.describe(&subset_folder(selection)),
            corpus: &corpus,
            seed: self.pipeline.run.seed,
            is_sampled: self.is_sampled(),
        };
        Ok(write_recipes_for(&inputs, &self.preset()?)?)
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
