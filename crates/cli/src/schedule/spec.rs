//! A schedule as the command line names it: a TOML file, or a kind with keys.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use headwater_recipe::RecipeConfig;
use headwater_schedule::length::whole_number;
use headwater_schedule::{Batch, RunLength, Schedule, ScheduleConfig};
use headwater_select::MixtureConfig;
use serde::Deserialize;

use crate::args::RunSizeArgs;
use crate::explain::with_suggestion;
use crate::extends::Extended;
use crate::pipeline::value_of;

/// The tables that matter to a schedule; a pipeline has others.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Spec {
    /// The name that was given.
    #[serde(skip)]
    pub(super) name: String,
    pub(super) schedule: ScheduleConfig,
    pub(super) recipe: RecipeConfig,
    pub(super) mixture: MixtureConfig,
}

/// A schedule and the run it is for.
#[derive(Clone, Debug)]
pub(super) struct Resolved {
    pub(super) spec: Spec,
    pub(super) run: RunLength,
    pub(super) schedule: Schedule,
}

impl Spec {
    /// Reads a file that ends in `.toml`, with what it extends, else a kind with keys.
    pub(super) fn read(name: &str) -> Result<Self> {
        let spec = if Path::new(name).extension().is_some_and(|extension| extension == "toml") {
            let files = Extended::read(Path::new(name), "schedule")?;
            let explain = |error| files.explain(&error);
            let (spec, tables) = (files.to::<Self>().map_err(explain)?, files.to::<toml::Table>().map_err(explain)?);
            ensure!(
                ["schedule", "recipe", "corpus"].iter().any(|table| tables.contains_key(*table)),
                "{name} has neither a [schedule] nor a [recipe] table and is no pipeline, so it says nothing of a schedule"
            );
            spec
        } else {
            Self { schedule: inline(name)?, ..Self::default() }
        };
        Ok(Self { name: name.to_owned(), ..spec })
    }

    /// Resolves it for a run of that size.
    pub(super) fn resolve(mut self, size: &RunSizeArgs) -> Result<Resolved> {
        self.recipe.peak_lr = size.peak_lr.unwrap_or(self.recipe.peak_lr);
        self.recipe.tokens = size.tokens.unwrap_or(self.recipe.tokens);
        let batch = Batch { sequences: self.recipe.batch_sequences, sequence_tokens: self.recipe.sequence_tokens };
        ensure!(
            (1..=1 << 53).contains(&batch.tokens()),
            "`{}`: sequence_tokens × batch_sequences is {} × {}, but must lie between 1 and 2^53",
            self.name,
            batch.sequence_tokens,
            batch.sequences
        );
        let run = match size.steps {
            Some(steps) => RunLength { steps, batch },
            None => RunLength::of_tokens(whole_number(self.recipe.tokens, "tokens")?, batch)?,
        };
        let schedule = self.schedule.resolve(run, self.recipe.peak_lr);
        let schedule = schedule.with_context(|| format!("`{}` does not fit the run", self.name))?;
        self.recipe.tokens = run.steps as f64 * batch.tokens() as f64;
        Ok(Resolved { spec: self, run, schedule })
    }
}

/// Reads a schedule and resolves it.
pub(super) fn resolved(name: &str, size: &RunSizeArgs) -> Result<Resolved> {
    Spec::read(name)?.resolve(size)
}

/// Reads `KIND[:KEY=VALUE,...]`.
fn inline(text: &str) -> Result<ScheduleConfig> {
    let (kind, keys) = text.split_once(':').unwrap_or((text, ""));
    let mut table = toml::Table::new();
    table.insert("kind".to_owned(), toml::Value::String(kind.trim().to_owned()));
    for assignment in split(keys) {
        let Some((key, value)) = assignment.split_once('=') else {
            bail!("`{assignment}` in `{text}` is not KEY=VALUE: write it as in wsd:decay=0.2,shape=linear");
        };
        let key = key.trim();
        ensure!(table.insert(key.to_owned(), value_of(value.trim())).is_none(), "`{key}` stands twice in `{text}`");
    }
    ScheduleConfig::deserialize(toml::Value::Table(table)).map_err(|error| {
        let message = with_suggestion(error.message());
        let hint = if keys.is_empty() && !kind.is_empty() { "; a file must end in .toml" } else { "" };
        anyhow::anyhow!("`{text}` is no schedule: {message}{hint}")
    })
}

/// Splits at commas outside brackets.
fn split(keys: &str) -> Vec<&str> {
    let (mut depth, mut start, mut parts) = (0_i32, 0, Vec::new());
    for (at, character) in keys.char_indices() {
        match character {
            '[' | '{' => depth += 1,
            ']' | '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&keys[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&keys[start..]);
    parts.into_iter().filter(|part| !part.trim().is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use headwater_schedule::{Kind, Length, Shape};

    use super::*;

    #[test]
    fn a_kind_with_keys_is_a_schedule() -> Result<()> {
        let config = inline("wsd:decay={steps = 4000},shape=linear, floor=0.1")?;
        assert_eq!((config.kind, config.decay, config.floor), (Kind::Wsd, Some(Length::Steps(4000)), Some(0.1)));
        assert_eq!(config.shape, Some(Shape::Linear));
        assert_eq!(inline("cosine")?.kind, Kind::Cosine);
        assert_eq!(inline("points:points=[[0,0],[0.1,1],[1,0]]")?.points.map(|points| points.len()), Some(3));
        Ok(())
    }

    #[test]
    fn a_file_takes_its_schedule_from_the_one_it_extends() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let path = |name: &str| folder.path().join(name).display().to_string();
        fs_err::write(path("base.toml"), "[schedule]\nkind = \"cosine\"\n[recipe]\ntokens = 3e9\n")?;
        fs_err::write(path("child.toml"), "extends = \"base.toml\"\n[recipe]\npeak_lr = 0.5\n")?;
        let spec = Spec::read(&path("child.toml"))?;
        assert_eq!((spec.schedule.kind, spec.recipe.tokens, spec.recipe.peak_lr), (Kind::Cosine, 3e9, 0.5));
        fs_err::write(path("base.toml"), "[schedule]\nknid = \"cosine\"\n")?;
        let error = Spec::read(&path("child.toml")).expect_err("the key is unknown").to_string();
        assert!(error.contains("base.toml:2: unknown key `knid`; did you mean `kind`?"), "{error}");
        Ok(())
    }

    #[test]
    fn mistakes_are_answered_with_what_is_near() {
        let error = |text: &str| inline(text).expect_err("wrong").to_string();
        assert!(error("cosin").contains("did you mean `cosine`?"), "{}", error("cosin"));
        assert!(error("wsd:dcay=0.1").contains("did you mean `decay`?"), "{}", error("wsd:dcay=0.1"));
        assert!(error("wsd:decay").contains("KEY=VALUE"));
        assert!(error("wsd:decay=2000").contains("{ steps = n }"), "{}", error("wsd:decay=2000"));
    }
}
