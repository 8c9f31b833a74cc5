//! Artefacts in the hands of pandas, DuckDB and Hugging Face `datasets`, where they are installed.

use std::process::Command;

use crate::site::{OUTPUT, Outcome, PIPELINE, Site, finish, pipeline, repository, tiny};
use crate::skipped::skip;

const LIBRARIES: &str = "import pandas, duckdb, datasets, pyarrow";

/// A Python that has the libraries, or why there is none.
fn python() -> Result<&'static str, String> {
    let imported = finish(Command::new("python3").args(["-c", LIBRARIES])).map_err(|error| error.to_string())?;
    match imported.code {
        Some(0) => Ok("python3"),
        _ => Err(imported.stderr.lines().last().unwrap_or_default().to_owned()),
    }
}

#[test]
fn other_readers_open_sidecars_and_subset() -> Outcome {
    let python = match python() {
        Ok(python) => python,
        Err(reason) => {
            skip(&format!("python3 cannot `{LIBRARIES}`: {reason}"));
            return Ok(());
        }
    };
    let site = Site::empty()?;
    let script = |name: &str| repository("tests/readers").join(name);
    let made = finish(Command::new(python).arg(script("make_fixtures.py")).arg(site.path("corpus")))?;
    assert_eq!(made.code, Some(0), "{made:#?}");
    for column in ["false", "true"] {
        fs_err::create_dir_all(site.path(OUTPUT))?;
        fs_err::remove_dir_all(site.path(OUTPUT))?;
        site.write(PIPELINE, &pipeline("[[corpus]]\nname = \"fixtures\"\npaths = [\"corpus\"]\n", &tiny("llama")))?;
        site.done("run", &["--set", &format!("select.influence_column={column}"), "--set", "run.unit_bytes=16MiB"])?;
        let mut check = Command::new(python);
        check.arg(script("check_readers.py")).args([site.path(OUTPUT), site.path("corpus")]);
        let checked = finish(check.env("HF_HOME", site.path("hf")))?;
        assert_eq!(checked.code, Some(0), "influence column {column}: {checked:#?}");
        println!("influence column {column}: {}", checked.stdout.trim_end().replace('\n', "; "));
    }
    Ok(())
}
