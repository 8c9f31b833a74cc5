//! The table of `docs/trials.md` is what the code computes.

#![expect(clippy::unwrap_used, reason = "a helper of tests is outside of #[test] functions")]

use headwater_trial::{LEAST_KNOWN_FLOP, Power, TARGET_POWER, least_p, seeds_needed};

const ARMS: [usize; 5] = [1, 2, 3, 4, 8];
const SEEDS: [usize; 8] = [5, 6, 7, 8, 9, 10, 12, 16];

/// The smallest detectable effects of so many seeds, by arms.
fn row(seeds: usize) -> String {
    let effect = |arms| match Power::new(seeds, arms).unwrap().detectable(TARGET_POWER) {
        Some(effect) => format!("{effect:.1}"),
        None => "–".to_owned(),
    };
    format!("| {seeds} | {:.5} | {} |", least_p(seeds), ARMS.map(effect).join(" | "))
}

#[test]
fn the_table_of_the_page_is_computed() {
    let page = fs_err::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/trials.md")).unwrap();
    let needed = ARMS.map(|arms| seeds_needed(arms).map_or("–".to_owned(), |seeds| seeds.to_string()));
    let mut lines = vec![format!("| *needed* | | {} |", needed.join(" | "))];
    lines.extend(SEEDS.map(row));
    let missing: Vec<&String> =
        lines.iter().filter(|line| !page.lines().any(|of_page| of_page == line.as_str())).collect();
    assert!(missing.is_empty(), "docs/trials.md lacks {missing:#?}");
    assert!(page.contains("7·10¹⁶") && LEAST_KNOWN_FLOP == 7e16);
}
