//! Selections side by side, for people.

use headwater_record::TokenCount;
use headwater_record::comparison::{Comparison, DomainComparison, Example, Kept};

use super::format::{printable, shortened};
use super::table::{Column, drawn};

/// Domains that are shown; `--json` has all.
const MOST_DOMAINS: usize = 20;

/// Characters of names and ids.
const NAME_WIDTH: usize = 40;

/// Characters of a first line.
const LINE_WIDTH: usize = 70;

/// What each selection keeps, what they share, and the first of what each keeps alone, in tables of at most `width` characters.
#[must_use]
pub fn comparison(comparison: &Comparison, width: usize) -> String {
    let mut text = String::new();
    for domain in comparison.domains.iter().take(MOST_DOMAINS) {
        let (name, documents) = (shortened(&domain.domain, NAME_WIDTH), TokenCount(domain.documents));
        text.push_str(&format!("\n{name} · {documents} scored documents, {} tokens\n", domain.tokens));
        text.push_str(&drawn(columns(comparison, domain), width));
        text.push('\n');
        for (arm, alone) in comparison.arms.iter().zip(&domain.alone).filter(|(_, alone)| !alone.is_empty()) {
            let name = shortened(&arm.name, NAME_WIDTH);
            text.push_str(&format!("kept by {name} alone, the first by its rank:\n"));
            text.extend(alone.iter().map(|example| format!("  {}\n", example_line(example))));
        }
    }
    if comparison.domains.len() > MOST_DOMAINS {
        text.push_str(&format!("\nand {} more domains: see --json\n", comparison.domains.len() - MOST_DOMAINS));
    }
    text
}

/// What each selection keeps, and the shares of its documents and tokens that each other one keeps, too.
fn columns(comparison: &Comparison, domain: &DomainComparison) -> Vec<Column> {
    let arms = || comparison.arms.iter().enumerate();
    let names = arms().map(|(at, arm)| format!("{} {}", at + 1, arm.name)).collect();
    let ranks = arms().map(|(_, arm)| arm.rank.clone()).collect();
    let kept: Vec<[String; 7]> = domain.kept.iter().map(numbers_of).collect();
    let heads = ["kept", "tokens", "mean\nlength", "mean\nloss", "mean\ncompression", "mean\ninfluence", "alone"];
    let mut columns = vec![Column::names("", names), Column::names("rank", ranks)];
    columns.extend(
        (0..).zip(heads).map(|(at, head): (usize, _)| {
            Column::numbers(head, kept.iter().map(|numbers| numbers[at].clone()).collect())
        }),
    );
    columns.extend(arms().map(|(other, _)| {
        let cells = arms().map(|(at, _)| if at == other { "–".to_owned() } else { shares(domain, at, other) });
        Column::numbers(format!("also in {}\ndocs · tokens", other + 1), cells.collect())
    }));
    columns
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
