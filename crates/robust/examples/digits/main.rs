//! Schedules of adversarial fine-tuning on handwritten digits: the runs behind a table.
//!
//!     digits CSV [--quick]       a line of CSV is 64 pixels from 0 to 1 and the digit; the runs go to standard output as JSON
//!
//! After the setting of Jeddi et al. 2020 (arXiv 2012.13628) at small size: a network trained as usual is fine-tuned on attacked images for ten epochs under
//! several schedules, beside adversarial training from scratch. Each arm runs at every peak rate of one grid and under every seed. The
//! runs hold accuracies on validation and on test images; `tests/bench/robust/digits.py`, which makes a table of them, chooses peaks by
//! validation. Runs do not depend on each other, so their numbers are the same for any number of threads.

#![expect(clippy::print_stdout, reason = "an example is a command")]

mod arms;
mod bench;
mod images;

use std::error::Error;
use std::path::PathBuf;

use clap::Parser;

use crate::bench::Bench;
use crate::images::Digits;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Trains networks on handwritten digits under several schedules and attacks them.
#[derive(Parser)]
struct Arguments {
    /// Lines of 64 pixels from 0 to 1 and the digit.
    csv: PathBuf,
    /// One seed, one radius and three peaks.
    #[arg(long)]
    quick: bool,
}

fn main() -> Outcome<()> {
    let arguments = Arguments::parse();
    let digits = Digits::read(&arguments.csv)?;
    let report = Bench::new(&digits, arguments.quick)?.run()?;
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}
