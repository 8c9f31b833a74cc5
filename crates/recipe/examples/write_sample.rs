//! Writes the recipes of small made-up runs into a folder, for `tests/trainers` to load with the trainers' own code.
//!
//!     cargo run -p headwater-recipe --example write_sample -- FOLDER
//!
//! Each run is a subfolder laid out as a run's output: see `runs`.

use std::error::Error;
use std::path::PathBuf;

use headwater_recipe::{
    CorpusSource, FOLDER, RecipeConfig, RecipeInputs, TokenFileCount, TokenPart, Trainer, write_recipes,
};
use headwater_record::selection::DomainSelection;
use headwater_record::tokens::{TextPart, TokenFormat};
use headwater_record::{ContentHash, SelectionFile, TokenCount};
use headwater_schedule::{Kind, Length, Periods, ScheduleConfig, Shape};
use headwater_select::{MixtureConfig, Mixtures, SelectedWeight};

/// Steps of every run but the shortest.
const STEPS: u64 = 20_000;

/// One run to write.
struct Run {
    name: &'static str,
    steps: u64,
    schedule: ScheduleConfig,
    decay: Option<SelectedWeight>,
}

/// Every shape of the decay and every corner of a schedule, two with a mixture of the decay's own, and what most trainers lack.
fn runs() -> Vec<Run> {
    let wsd = |warmup, decay, shape, floor| ScheduleConfig {
        warmup: Some(Length::Steps(warmup)),
        decay: Some(Length::Steps(decay)),
        shape: Some(shape),
        floor: Some(floor),
        ..ScheduleConfig::default()
    };
    let of = |kind, floor| ScheduleConfig {
        kind,
        warmup: Some(Length::Steps(200)),
        floor: Some(floor),
        ..ScheduleConfig::default()
    };
    let run = |name, schedule| Run { name, steps: STEPS, schedule, decay: None };
    let staged = |name, schedule| Run { decay: Some(SelectedWeight::Weight(0.6)), ..run(name, schedule) };
    let paper = ScheduleConfig { warmup: Some(Length::Fraction(0.02)), ..ScheduleConfig::default() };
    let half_life = Some(Length::Steps(500));
    vec![
        Run { steps: 400, ..run("paper", paper) },
        staged("sqrt", wsd(200, 4000, Shape::OneMinusSqrt, 0.0)),
        staged("linear", wsd(200, 4000, Shape::Linear, 0.0)),
        run("linear-floor", wsd(200, 4000, Shape::Linear, 0.1)),
        run("cosine-floor", wsd(200, 4000, Shape::Cosine, 0.1)),
        run("sqrt-floor", wsd(333, 6667, Shape::OneMinusSqrt, 0.25)),
        run("square", wsd(200, 4000, Shape::OneMinusSquare, 0.0)),
        run("mirror-cosine", wsd(200, 4000, Shape::MirrorCosine, 0.05)),
        run("exponential", ScheduleConfig { half_life, ..wsd(200, 4000, Shape::Exponential, 0.0) }),
        run("no-warmup", wsd(0, 4000, Shape::OneMinusSqrt, 0.0)),
        run("one-step-warmup", wsd(1, 1, Shape::Linear, 0.0)),
        run("only-decay", wsd(0, STEPS, Shape::Linear, 0.0)),
        run("no-decay", wsd(200, 0, Shape::Linear, 0.1)),
        run("only-warmup", wsd(STEPS, 0, Shape::Linear, 0.0)),
        run("no-plateau", wsd(7500, 12_500, Shape::Cosine, 0.0)),
        run("constant", wsd(0, 0, Shape::Linear, 0.0)),
        run("d2z", of(Kind::Linear, 0.0)),
        run("cosine", of(Kind::Cosine, 0.1)),
        run("polynomial", ScheduleConfig { exponent: Some(2.0), ..of(Kind::Polynomial, 0.0) }),
        run(
            "wsd-s",
            ScheduleConfig { periods: Some(Periods::Equal(4)), shape: Some(Shape::Linear), ..of(Kind::WsdS, 0.1) },
        ),
        run("multi-step", of(Kind::MultiStep, 0.0)),
        run("inverse-sqrt", ScheduleConfig { shape: Some(Shape::Linear), ..of(Kind::InverseSqrt, 0.0) }),
        run("power", of(Kind::Power, 0.0)),
        run("infinite", ScheduleConfig { shape: Some(Shape::Linear), ..of(Kind::Infinite, 0.0) }),
        run("slow-start", ScheduleConfig { kind: Kind::SlowStart, ..ScheduleConfig::default() }),
        run(
            "points",
            ScheduleConfig {
                kind: Kind::Points,
                points: Some(vec![(0.0, 0.0), (0.3, 1.0), (0.5, 0.4), (1.0, 0.0)]),
                ..ScheduleConfig::default()
            },
        ),
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
    // Names that a careless YAML writer would leave bare, for a reader to turn into a number, a time or nothing.
    let source = |name: &str, path: &str| CorpusSource {
        name: name.to_owned(),
        paths: vec![path.to_owned()],
        text: "text".to_owned(),
    };
    let corpus = [source("code", "12:30:00"), source("prose", "1e5")];
    let subset = format!("0x1f: #runs/'\"\n/selected/{}", selection.hash);
    let token_file = |path: &str, tokens| TokenFileCount { path: path.to_owned(), tokens: TokenCount(tokens) };
    let token_part = |part, files| TokenPart { part, format: TokenFormat::Megatron, files };
    let written = [
        token_part(TextPart::Corpus, vec![token_file("tokens/code-00000", 300_000), token_file("tokens/1e5", 700_000)]),
        token_part(TextPart::Selected, vec![token_file("tokens/no", 0), token_file("tokens/yes", 305_000)]),
    ];
    for Run { name, steps, schedule, decay } in runs() {
        let mixtures = Mixtures::new(&selection, MixtureConfig { decay, ..MixtureConfig::default() })?;
        let tokens = steps as f64 * 1024.0 * 8192.0;
        let config = RecipeConfig { tokens, trainers: Trainer::ALL.to_vec(), ..RecipeConfig::default() };
        // one run knows its token files
        let tokens = if name == "linear" { &written[..] } else { &[] };
        let inputs = RecipeInputs {
            config: &config,
            schedule: &schedule,
            mixtures: &mixtures,
            selection: &selection,
            folder: FOLDER,
            subset: &subset,
            corpus: &corpus,
            tokens,
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
