//! What a run ends with: what was kept, where everything lies, what to do next.

use std::fmt;
use std::io::Write;

use anyhow::Result;
use comfy_table::{Cell, CellAlignment, Table, presets};
use headwater_record::selection::RankedDocument;
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
    // documents are ranked by what is greater, so a lower loss stands in the selection as a greater −loss
    let shown = |value: f64| if rank == "loss" { -value } else { value };
    table.set_header([
        "domain".to_owned(),
        "documents".to_owned(),
        "kept".to_owned(),
        "tokens".to_owned(),
        "kept".to_owned(),
        format!("cut ({rank})"),
        first,
        last,
    ]);
    for domain in selection.domains.iter().take(MOST_DOMAINS) {
        let numbers = [
            TokenCount(domain.documents).to_string(),
            TokenCount(domain.kept_documents).to_string(),
            domain.tokens.to_string(),
            domain.kept_tokens.to_string(),
            domain.cut.as_ref().map_or_else(|| "–".to_owned(), |cut| format!("{:.4}", shown(cut.value))),
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
    let program = std::env::args().next().unwrap_or_else(|| "headwater".to_owned());
    writeln!(out, "\nNext: another cut of the same scores, without the model, takes seconds:")?;
    writeln!(out, "  {program} select {} --set select.fraction=0.1", ending.pipeline)?;
    writeln!(out, "  {program} recipe {}", ending.pipeline)?;
    Ok(())
}
