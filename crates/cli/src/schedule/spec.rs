//! A schedule as the command line names it: a TOML file, or a kind with keys.

use std::path::Path;

use anyhow::{Result, anyhow, ensure};
use headwater_recipe::{RunSize, TrainingRun, TrainingTables};
use headwater_schedule::Error;

use crate::args::RunSizeArgs;
use crate::explain::with_suggestion;
use crate::extends::Extended;

/// Reads a schedule and resolves it for a run of that size.
pub(super) fn resolved(name: &str, size: &RunSizeArgs) -> Result<TrainingRun> {
    let tables = if is_file(name) { from_file(name)? } else { name.parse().map_err(|error| explained(name, error))? };
    let RunSizeArgs { steps, tokens, peak_lr } = *size;
    Ok(tables.resolve(name, &RunSize { steps, tokens, peak_lr })?)
}

/// Whether `name` is that of a TOML file.
pub(super) fn is_file(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == "toml")
}

/// Reads the tables of a file, with what it extends.
fn from_file(name: &str) -> Result<TrainingTables> {
    let files = Extended::read(Path::new(name), "schedule")?;
    let explain = |error| files.explain(&error);
    let (read, tables) = (files.to().map_err(explain)?, files.to::<toml::Table>().map_err(explain)?);
    ensure!(
        ["schedule", "recipe", "corpus"].iter().any(|table| tables.contains_key(*table)),
        "{name} has neither a [schedule] nor a [recipe] table and is no pipeline, so it says nothing of a schedule"
    );
    Ok(read)
}

/// Adds the nearest known kind or key.
fn explained(name: &str, error: Error) -> anyhow::Error {
    let Error::Inline { source, .. } = &error else { return error.into() };
    let hint = if name.is_empty() || name.contains(':') { "" } else { "; a file must end in .toml" };
    anyhow!("`{name}` is no schedule: {}{hint}", with_suggestion(source.message()))
}

#[cfg(test)]
mod tests {
    use headwater_schedule::Kind;

    use super::*;

    #[test]
    fn a_file_takes_its_schedule_from_the_one_it_extends() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let path = |name: &str| folder.path().join(name).display().to_string();
        fs_err::write(path("base.toml"), "[schedule]\nkind = \"cosine\"\n[recipe]\ntokens = 3e9\n")?;
        fs_err::write(path("child.toml"), "extends = \"base.toml\"\n[recipe]\npeak_lr = 0.5\n")?;
        let tables = from_file(&path("child.toml"))?;
        assert_eq!((tables.schedule.kind, tables.recipe.tokens, tables.recipe.peak_lr), (Kind::Cosine, 3e9, 0.5));
        fs_err::write(path("base.toml"), "[schedule]\nknid = \"cosine\"\n")?;
        let error = from_file(&path("child.toml")).expect_err("the key is unknown").to_string();
        assert!(error.contains("base.toml:2: unknown key `knid`; did you mean `kind`?"), "{error}");
        Ok(())
    }

    #[test]
    fn mistakes_are_answered_with_what_is_near() {
        let error = |text: &str| resolved(text, &RunSizeArgs::default()).expect_err("wrong").to_string();
        let file = "; a file must end in .toml";
        assert!(
            error("cosin").contains("did you mean `cosine`?") && error("cosin").contains(file),
            "{}",
            error("cosin")
        );
        assert!(error("wsd:dcay=0.1").contains("did you mean `decay`?"), "{}", error("wsd:dcay=0.1"));
        assert!(error("wsd:decay").contains("KEY=VALUE"));
        assert!(error("wsd:decay=2000").contains("{ steps = n }"), "{}", error("wsd:decay=2000"));
    }
}
