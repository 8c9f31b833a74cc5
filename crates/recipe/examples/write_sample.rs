//! Writes the recipes of small made-up runs into a folder, for `tests/trainers` to load with the trainers' own code.
//!
//!     cargo run -p headwater-recipe --example write_sample -- FOLDER
//!
//! Each run is a subfolder laid out as a run's output: one for every shape of the decay and for every corner of the schedule.

use std::error::Error;
use std::path::PathBuf;

use headwater_recipe::{RecipeConfig, RecipeInputs, write_recipes};
use headwater_record::selection::DomainSelection;
use headwater_record::{ContentHash, SelectionFile, TokenCount};
use headwater_schedule::{Length, ScheduleConfig, Shape};
use headwater_select::{Mixture, MixtureConfig};

/// A run's name and its schedule.
fn runs() -> Vec<(&'static str, ScheduleConfig)> {
    let run = |warmup, decay, shape, floor| ScheduleConfig {
        warmup: Length::Steps(warmup),
        decay: Length::Steps(decay),
        shape,
        floor,
        ..ScheduleConfig::default()
    };
    vec![
        ("paper", ScheduleConfig { warmup: Length::Fraction(0.02), ..ScheduleConfig::default() }),
        ("linear", run(20, 100, Shape::Linear, 0.0)),
        ("cosine-floor", run(20, 100, Shape::Cosine, 0.1)),
        ("sqrt-floor", run(7, 133, Shape::OneMinusSqrt, 0.25)),
        ("no-warmup", run(0, 100, Shape::OneMinusSqrt, 0.0)),
        ("only-decay", run(0, 400, Shape::Linear, 0.0)),
        ("no-decay", run(10, 0, Shape::Linear, 0.1)),
        ("only-warmup", run(400, 0, Shape::Linear, 0.0)),
        ("no-plateau", run(150, 250, Shape::Cosine, 0.0)),
        ("constant", run(0, 0, Shape::Linear, 0.0)),
    ]
}

fn domain(name: &str, documents: u64, tokens: u64, kept_documents: u64, kept_tokens: u64) -> DomainSelection {
    DomainSelection {
        domain: name.to_owned(),
        documents,
        tokens: TokenCount(tokens),
        ranked_documents: documents,
        ranked_tokens: TokenCount(tokens),
        fraction: 0.2,
        kept_documents,
        kept_tokens: TokenCount(kept_tokens),
        cut: None,
        highest: None,
        lowest: None,
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(std::env::args_os().nth(1).ok_or("usage: write_sample FOLDER")?);
    let selection = SelectionFile {
        hash: ContentHash::of(b"a made-up selection"),
        rank: "influence".to_owned(),
        by: "documents".to_owned(),
        domains: vec![domain("code", 400, 300_000, 80, 120_000), domain("prose", 600, 700_000, 120, 185_000)],
        statuses: [("scored".to_owned(), 1000)].into(),
    };
    let mixture = Mixture::new(&selection, MixtureConfig::default())?;
    let config = RecipeConfig { tokens: 400.0 * 1024.0 * 8192.0, ..RecipeConfig::default() };
    // Names that a careless YAML writer would leave bare, for a reader to turn into a number, a time or nothing.
    let corpus = [("code".to_owned(), vec!["12:30:00".to_owned()]), ("prose".to_owned(), vec!["1e5".to_owned()])];
    let subset = format!("0x1f: #runs/'\"\n/selected/{}", selection.hash);
    for (name, schedule) in runs() {
        let inputs = RecipeInputs {
            config: &config,
            schedule: &schedule,
            mixture: &mixture,
            selection: &selection,
            subset: &subset,
            corpus: &corpus,
            seed: (1 << 32) + 7,
            is_sampled: false,
        };
        for file in write_recipes(&inputs)?.files {
            let path = folder.join(name).join(file.path);
            std::fs::create_dir_all(path.parent().ok_or("a file has a folder")?)?;
            #[expect(
                clippy::disallowed_methods,
                reason = "an example for a test; artefacts of runs are written by the store crate"
            )]
            std::fs::write(path, file.bytes)?;
        }
    }
    Ok(())
}
