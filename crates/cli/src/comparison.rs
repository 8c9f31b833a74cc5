//! Selections side by side, for people.

use std::io::Write;

use anyhow::Result;
use comfy_table::{Cell, CellAlignment, Table, presets};
use headwater_record::TokenCount;
use headwater_record::comparison::{Comparison, DomainComparison, Example, Kept};

use crate::text::{printable, shortened};

/// Domains that are shown; the JSON has all.
const MOST_DOMAINS: usize = 20;

/// Characters of names and ids.
const NAME_WIDTH: usize = 40;

/// Characters of a first line.
const LINE_WIDTH: usize = 70;

/// Prints what each selection keeps, what they share, and the first of what each keeps alone.
pub(crate) fn print_comparison(comparison: &Comparison) -> Result<()> {
    let mut out = std::io::stdout().lock();
    for domain in comparison.domains.iter().take(MOST_DOMAINS) {
        writeln!(
            out,
            "\n{} · {} scored documents, {} tokens",
            shortened(&domain.domain, NAME_WIDTH),
            TokenCount(domain.documents),
            domain.tokens
        )?;
        writeln!(out, "{}", kept_table(comparison, domain))?;
        for (arm, alone) in comparison.arms.iter().zip(&domain.alone).filter(|(_, alone)| !alone.is_empty()) {
            writeln!(out, "kept by {} alone, the first by its rank:", name(&arm.name))?;
            alone.iter().try_for_each(|example| writeln!(out, "  {}", example_line(example)))?;
        }
    }
    if comparison.domains.len() > MOST_DOMAINS {
        writeln!(out, "\nand {} more domains: see --json FILE", comparison.domains.len() - MOST_DOMAINS)?;
    }
    Ok(())
}

/// What each selection keeps, and the shares of its documents and tokens that each other one keeps, too.
fn kept_table(comparison: &Comparison, domain: &DomainComparison) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    let numbers = (1..=comparison.arms.len()).map(|number| format!("also in {number}\ndocs · tokens"));
    let heads =
        ["", "rank", "kept", "tokens", "mean\nlength", "mean\nloss", "mean\ncompression", "mean\ninfluence", "alone"];
    table.set_header(heads.map(str::to_owned).into_iter().chain(numbers));
    for (at, (arm, kept)) in comparison.arms.iter().zip(&domain.kept).enumerate() {
        let mut row = vec![Cell::new(format!("{} {}", at + 1, name(&arm.name))), Cell::new(name(&arm.rank))];
        let shares = (0..comparison.arms.len()).map(|other| match other == at {
            true => "–".to_owned(),
            false => shares(domain, at, other),
        });
        let cells = numbers_of(kept).into_iter().chain(shares);
        row.extend(cells.map(|cell| Cell::new(cell).set_alignment(CellAlignment::Right)));
        table.add_row(row);
    }
    table
}

fn numbers_of(kept: &Kept) -> [String; 7] {
    let mean =
        |mean: Option<f64>, digits: usize| mean.map_or_else(|| "–".to_owned(), |mean| format!("{mean:.digits$}"));
    [
        TokenCount(kept.documents).to_string(),
        kept.tokens.to_string(),
        mean(kept.mean_tokens, 0),
        mean(kept.mean_loss, 3),
        mean(kept.mean_compression, 2),
        mean(kept.mean_influence, 4),
        TokenCount(kept.alone).to_string(),
    ]
}

fn shares(domain: &DomainComparison, at: usize, other: usize) -> String {
    let share = |shared: &[Vec<u64>]| match shared[at][at] {
        0 => "–".to_owned(),
        #[expect(clippy::cast_precision_loss, reason = "a share")]
        whole => format!("{:.0} %", 100.0 * shared[at][other] as f64 / whole as f64),
    };
    format!("{} · {}", share(&domain.shared_documents), share(&domain.shared_tokens))
}

fn example_line(example: &Example) -> String {
    let id = example.id.clone().unwrap_or_else(|| example.address.to_string());
    let line = example.first_line.as_deref().map_or("", |line| line);
    let line: String = printable(line).chars().take(LINE_WIDTH).collect();
    format!("{:<NAME_WIDTH$}  {line}", shortened(&id, NAME_WIDTH)).trim_end().to_owned()
}

fn name(text: &str) -> String {
    shortened(text, NAME_WIDTH)
}
