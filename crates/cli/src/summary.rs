//! What a run ends with: what was kept, where everything lies, what to do next.

use std::fmt;
use std::io::Write;

use anyhow::Result;
use comfy_table::{Cell, CellAlignment, Table, presets};
use headwater_record::selection::{Bucket, Certainty, DomainSelection, RankedDocument};
use headwater_record::{SelectionFile, Status, TokenCount};
use headwater_store::Place;

use crate::text::shortened;

/// Longest id that the table shows, in characters.
const ID_WIDTH: usize = 36;

/// Domains that the table shows; `selection.json` has all.
const MOST_DOMAINS: usize = 50;

/// Rows that are unusable, as opposed to merely short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rejects {
    rejected: u64,
    rows: u64,
}

impl Rejects {
    /// Counts null, not-UTF-8 and non-finite rows.
    pub(crate) fn of(selection: &SelectionFile) -> Self {
        let count = |status: &Status| selection.statuses.get(status.as_str()).copied().unwrap_or_default();
        Self { rejected: Status::UNUSABLE.iter().map(count).sum(), rows: selection.statuses.values().sum() }
    }

    /// Share of all rows.
    #[expect(clippy::cast_precision_loss, reason = "a share")]
    pub(crate) fn share(self) -> f64 {
        self.rejected as f64 / self.rows.max(1) as f64
    }
}

impl fmt::Display for Rejects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (rejected, rows) = (TokenCount(self.rejected), TokenCount(self.rows));
        write!(f, "{rejected} of {rows} documents ({:.2} %) are null, not UTF-8 or non-finite", 100.0 * self.share())
    }
}

/// Prints the table of domains.
pub(crate) fn print_domains(selection: &SelectionFile) -> Result<()> {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    let rank = selection.rank.as_str();
    let (first, last) = match rank {
        "influence" => ("most influential".to_owned(), "least influential".to_owned()),
        _ => (format!("first by {rank}"), format!("last by {rank}")),
    };
    table.set_header([
        "domain".to_owned(),
        "documents".to_owned(),
        "kept".to_owned(),
        "tokens".to_owned(),
        "kept".to_owned(),
        format!("cut ({rank})"),
        "kept within\n1 · 2 errors".to_owned(),
        first,
        last,
    ]);
    for domain in selection.domains.iter().take(MOST_DOMAINS) {
        let numbers = [
            TokenCount(domain.documents).to_string(),
            TokenCount(domain.kept_documents).to_string(),
            domain.tokens.to_string(),
            domain.kept_tokens.to_string(),
            cut(domain, rank),
            domain.certainty.as_ref().map_or_else(|| "–".to_owned(), near),
        ];
        let mut row = vec![Cell::new(shortened(&domain.domain, ID_WIDTH))];
        row.extend(numbers.map(|number| Cell::new(number).set_alignment(CellAlignment::Right)));
        row.extend([&domain.highest, &domain.lowest].map(|document| Cell::new(named(document.as_ref()))));
        table.add_row(row);
    }
    let mut out = std::io::stdout().lock();
    writeln!(out, "{table}")?;
    if selection.domains.len() > MOST_DOMAINS {
        writeln!(out, "and {} more domains, in selection.json", selection.domains.len() - MOST_DOMAINS)?;
    }
    print_guarded(&mut out, selection)?;
    print_buckets(&mut out, selection)
}

/// The value of a cut and its standard error. Documents are ranked by what is greater, so what is kept from its low end stands in the
/// selection with its sign turned.
fn cut(domain: &DomainSelection, rank: &str) -> String {
    if !domain.strata.is_empty() {
        return format!("{} by length", domain.strata.len());
    }
    let Some(cut) = &domain.cut else { return "–".to_owned() };
    let turned = rank == "loss" || (rank.starts_with("column:") && rank.ends_with(":ascending"));
    let value = if turned { 0.0 - cut.value } else { cut.value };
    match domain.certainty.as_ref().and_then(|certainty| certainty.cut_stderr) {
        Some(stderr) => format!("{value:.4} ± {stderr:.4}"),
        None => format!("{value:.4}"),
    }
}

/// How many kept documents lie within one and two standard errors of their score from the cut.
fn near(certainty: &Certainty) -> String {
    if certainty.judged == 0 {
        return "–".to_owned();
    }
    #[expect(clippy::cast_precision_loss, reason = "a share")]
    let share = |count: u64| 100.0 * count as f64 / certainty.judged as f64;
    format!("{:.0} · {:.0} %", share(certainty.within_one), share(certainty.within_two))
}

fn print_guarded(out: &mut impl Write, selection: &SelectionFile) -> Result<()> {
    if !selection.guarded.is_empty() {
        let each = selection.guarded.iter().map(|(guard, count)| format!("{guard} {}", TokenCount(*count)));
        writeln!(out, "guards kept out: {}", each.collect::<Vec<_>>().join(", "))?;
    }
    Ok(())
}

/// Prints how often each bucket is read, if documents are repeated.
fn print_buckets(out: &mut impl Write, selection: &SelectionFile) -> Result<()> {
    if selection.buckets.is_empty() {
        return Ok(());
    }
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    table.set_header(["bucket", "of each domain's tokens", "documents", "tokens", "read", "tokens read"]);
    for (at, bucket) in selection.buckets.iter().enumerate() {
        let numbers = [
            format!("{:.1} – {:.1} %", 100.0 * bucket.from, 100.0 * bucket.to),
            TokenCount(bucket.documents).to_string(),
            bucket.tokens.to_string(),
            format!("{:.3} ×", bucket.repeat),
            TokenCount::nearest(bucket.trained_tokens()).to_string(),
        ];
        let cells = numbers.map(|number| Cell::new(number).set_alignment(CellAlignment::Right));
        table.add_row(std::iter::once(Cell::new(Bucket::name(at))).chain(cells));
    }
    writeln!(out, "{table}")?;
    Ok(())
}

fn named(document: Option<&RankedDocument>) -> String {
    let Some(document) = document else { return "–".to_owned() };
    shortened(&document.id.clone().unwrap_or_else(|| document.address.to_string()), ID_WIDTH)
}

/// What the end of a run tells beside its table.
#[derive(Debug)]
pub(crate) struct Ending<'a> {
    /// The run's output.
    pub(crate) place: &'a Place,
    /// The pipeline as the command line names it, with its overrides.
    pub(crate) pipeline: &'a str,
    /// Artefacts that are there, relative to the output.
    pub(crate) artefacts: Vec<(&'static str, String)>,
    /// Sources of which only a sample was planned.
    pub(crate) sampled: bool,
}

/// Prints the whole summary.
pub(crate) fn print(selection: &SelectionFile, ending: &Ending<'_>) -> Result<()> {
    print_domains(selection)?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "\nEverything is in {}:", ending.place)?;
    for (what, path) in &ending.artefacts {
        writeln!(out, "  {what:<10} {}", ending.place.describe(path))?;
    }
    if ending.sampled {
        writeln!(
            out,
            "\nOnly a sample of the corpus was scored ([[corpus]] sample): cuts, mixture and recipes are those of the sample."
        )?;
    }
    #[expect(clippy::disallowed_methods, reason = "the hint repeats how the program was called")]
    let program = std::env::args().next().unwrap_or_else(|| "headwater".to_owned());
    writeln!(out, "\nNext: another cut of the same scores, without the model, takes seconds:")?;
    let by_share = ["documents", "tokens"].contains(&selection.by.as_str());
    let other = if by_share { "select.fraction=0.1" } else { "select.rank=corrected" };
    writeln!(out, "  {program} select {} --set {other}", ending.pipeline)?;
    writeln!(out, "  {program} recipe {}", ending.pipeline)?;
    Ok(())
}
