//! The features of texts and of what they become under each change of an audit, as lines of JSON.
//!
//!     describe TOKENIZER_JSON < TEXTS > FEATURES
//!
//! A line of TEXTS is a text as a JSON string. A line of FEATURES is an object: `text`, its features in the order of
//! `headwater_distill::features::names`, and beside it those of the changed text by the name of the change, where it changes anything.
//! `tests/bench/robust/student.py` reads them.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{BufRead, Write, stdin, stdout};
use std::path::PathBuf;

use clap::Parser;
use headwater_distill::audit::Perturbation;
use headwater_distill::features::{DocumentTokens, Extractors, Features};
use headwater_model::Tokenizer;
use rayon::prelude::*;

/// Of a window, as in the pipeline's default.
const WINDOW_TOKENS: usize = 4_096;
/// zstd's, as scoring takes it.
const LEVEL: i32 = 3;
/// Of the changes.
const SEED: u64 = 1;

/// Describes texts, a JSON string a line, and what they become under each change.
#[derive(Parser)]
struct Arguments {
    /// The tokenizer of the model that scores.
    tokenizer: PathBuf,
}

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Outcome<()> {
    let tokenizer = Tokenizer::open(&Arguments::parse().tokenizer)?;
    let extractors = Extractors::new(WINDOW_TOKENS, usize::try_from(tokenizer.vocab_size())?);
    let lines = stdin().lock().lines().collect::<Result<Vec<String>, _>>()?;
    let described = lines.par_iter().map(|line| {
        let text: String = serde_json::from_str(line)?;
        let mut described = BTreeMap::from([("text", features(&tokenizer, &extractors, &text)?)]);
        for change in Perturbation::ALL {
            if let Some(changed) = change.apply(&text, SEED) {
                described.insert(change.as_str(), features(&tokenizer, &extractors, &changed)?);
            }
        }
        Ok(serde_json::to_string(&described)?)
    });
    let mut out = stdout().lock();
    for line in described.collect::<Outcome<Vec<String>>>()? {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

#[expect(clippy::cast_possible_truncation, reason = "features are float32")]
fn features(tokenizer: &Tokenizer, extractors: &Extractors, text: &str) -> Outcome<Features> {
    let compressed = zstd::bulk::compress(text.as_bytes(), LEVEL)?.len();
    let compression = (text.len() as f64 / compressed as f64) as f32;
    let tokens = tokenizer.encode(text)?;
    Ok(extractors.features(DocumentTokens { text, tokens: &tokens, compression }))
}
