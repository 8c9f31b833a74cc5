//! Writes the recipes of small made-up runs into a folder, for `tests/trainers` to load with the trainers' own code.
//!
//!     cargo run -p headwater-recipe --example write_sample -- FOLDER
//!
//! Each run is a subfolder laid out as a run's output: see `runs`. Beside its recipes it has the selection and the `[mixture]` table
//! that they are made from, `selection.json` and `mixture.json`.

use std::error::Error;
use std::path::{Path, PathBuf};

use headwater_recipe::{
    CorpusSource, PartTokenFiles, RecipeConfig, RecipeInputs, TokenFileCount, Trainer, build_recipes,
};
use headwater_record::selection::{Bucket, DomainBucket, DomainSelection};
use headwater_record::tokens::{TextPart, TokenFormat};
use headwater_record::{ContentHash, SelectionFile, TokenCount};
use headwater_run::{Arm, RunFolder};
use headwater_schedule::{Kind, Length, Periods, ScheduleConfig, Shape};
use headwater_select::{MixtureConfig, Mixtures, SelectedWeight};

/// Steps of every run but the shortest.
const STEPS: u64 = 20_000;

/// One run to write.
struct Run {
    name: &'static str,
    steps: u64,
    schedule: ScheduleConfig,
    mixture: MixtureConfig,
    kept: Kept,
}

/// What the selection of a run keeps.
#[derive(Clone, Copy, PartialEq)]
enum Kept {
    /// A subset.
    Whole,
    /// The same in buckets that are read more or less often.
    Buckets,
}

/// Every shape of the decay and every corner of a schedule, three with a mixture of the decay's own, what most trainers lack, and
/// buckets beside the corpus and alone.
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
    let run =
        |name, schedule| Run { name, steps: STEPS, schedule, mixture: MixtureConfig::default(), kept: Kept::Whole };
    let then = MixtureConfig { decay: Some(SelectedWeight::Weight(0.6)), ..MixtureConfig::default() };
    let staged = |name, schedule| Run { mixture: then, ..run(name, schedule) };
    let short = |run| Run { steps: 2000, kept: Kept::Buckets, ..run };
    let alone = MixtureConfig { selected: SelectedWeight::Weight(1.0), decay: None };
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
        short(staged("buckets", wsd(200, 400, Shape::Linear, 0.0))),
        short(Run { mixture: alone, ..run("buckets-alone", wsd(200, 400, Shape::Cosine, 0.0)) }),
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
        ..DomainSelection::default()
    }
}

fn selection(kept: Kept) -> SelectionFile {
    let mut selection = SelectionFile {
        hash: ContentHash::of(b"a made-up selection"),
        rank: "influence".to_owned(),
        by: "documents".to_owned(),
        buckets: Vec::new(),
        domains: vec![domain("code", 400, 300_000, 80, 120_000), domain("prose", 600, 700_000, 120, 185_000)],
        statuses: [("scored".to_owned(), 1000)].into(),
        guarded: [].into(),
    };
    if kept == Kept::Whole {
        return selection;
    }
    // ends, repetitions, and documents and tokens of each domain
    let buckets = [
        (0.0, 0.08, 4.2, [(20, 30_000), (30, 50_000)]),
        (0.08, 0.18, 1.7, [(25, 40_000), (40, 60_000)]),
        (0.18, 0.305, 0.6, [(35, 50_000), (50, 75_000)]),
    ];
    for (from, to, repeat, own) in buckets {
        let documents = own.iter().map(|(documents, _)| documents).sum();
        let tokens = TokenCount(own.iter().map(|(_, tokens)| tokens).sum());
        selection.buckets.push(Bucket { from, to, repeat, documents, tokens });
        for (domain, (documents, tokens)) in selection.domains.iter_mut().zip(own) {
            domain.buckets.push(DomainBucket { documents, tokens: TokenCount(tokens), cut: None });
        }
    }
    selection
}

/// Files of tokens that a run knows, for Megatron-LM: in folders of their own, or where a run with buckets has them.
fn token_files(run: &str, hash: &ContentHash) -> Vec<PartTokenFiles> {
    let file = |path: String, tokens| TokenFileCount { path, tokens: TokenCount(tokens) };
    let written = |part, files: &[(&str, u64)]| PartTokenFiles {
        part,
        format: TokenFormat::Megatron,
        files: files.iter().map(|(path, tokens)| file(format!("tokens/{path}"), *tokens)).collect(),
        eos: String::new(),
        documents_with_eos: 0,
    };
    let in_place = |part: TextPart, files: &[(&str, u64)]| {
        let place =
            |(name, tokens): &(&str, u64)| file(format!("{}/megatron/{name}", part.token_folder(hash)), *tokens);
        PartTokenFiles {
            part,
            format: TokenFormat::Megatron,
            files: files.iter().map(place).collect(),
            eos: String::new(),
            documents_with_eos: 0,
        }
    };
    match run {
        "linear" => vec![
            written(TextPart::Corpus, &[("code-00000", 300_000), ("1e5", 700_000)]),
            written(TextPart::Selected, &[("no", 0), ("yes", 305_000)]),
        ],
        // but for one bucket
        "buckets" => vec![
            in_place(TextPart::Corpus, &[("code-00000", 300_000), ("prose-00000", 700_000)]),
            in_place(TextPart::Bucket(0), &[("code-00000", 30_000), ("prose-00000", 50_000)]),
            in_place(TextPart::Bucket(2), &[("prose-00000", 125_000)]),
        ],
        _ => Vec::new(),
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Box<dyn Error>> {
    std::fs::create_dir_all(path.parent().ok_or("a file has a folder")?)?;
    #[expect(
        clippy::disallowed_methods,
        reason = "an example for a test; artefacts of runs are written by the store crate"
    )]
    std::fs::write(path, bytes)?;
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "an example is told where to write")]
fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(std::env::args_os().nth(1).ok_or("usage: write_sample FOLDER")?);
    // Names that a careless YAML writer would leave bare, for a reader to turn into a number, a time or nothing.
    let source = |name: &str, path: &str| CorpusSource {
        name: name.to_owned(),
        paths: vec![path.to_owned()],
        text: "text".to_owned(),
    };
    let corpus = [source("code", "12:30:00"), source("prose", "1e5")];
    for Run { name, steps, schedule, mixture, kept } in runs() {
        let selection = selection(kept);
        let mixtures = Mixtures::new(&selection, mixture)?;
        let tokens = steps as f64 * 1024.0 * 8192.0;
        let config = RecipeConfig {
            tokens,
            trainers: Trainer::ALL.to_vec(),
            preset: Some("llama-7b".to_owned()),
            batch_sequences: Some(1024),
            ..RecipeConfig::default()
        };
        let inputs = RecipeInputs {
            config: &config,
            schedule: &schedule,
            mixtures: &mixtures,
            selection: &selection,
            folder: RunFolder::recipes(Arm::Selection),
            subset: &format!("0x1f: #runs/'\"\n/selected/{}", selection.hash),
            corpus: &corpus,
            tokens: &token_files(name, &selection.hash),
            working_folder: "",
            seed: (1 << 32) + 7,
            is_sampled: false,
        };
        let run = folder.join(name);
        write(&run.join("selection.json"), &serde_json::to_vec_pretty(&selection)?)?;
        write(&run.join("mixture.json"), &serde_json::to_vec_pretty(&mixture)?)?;
        for file in build_recipes(&inputs)?.files {
            write(&run.join(file.path), &file.bytes)?;
        }
    }
    Ok(())
}
