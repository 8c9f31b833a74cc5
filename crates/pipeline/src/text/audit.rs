//! What changes of texts do to a cut, for people.

use std::collections::BTreeMap;

use headwater_record::TokenCount;
use headwater_record::audit::Crossings;

use super::table::{Column, drawn};
use crate::stages::audit::AuditSummary;

/// Domains that the table shows; `audit.json` has all.
const MOST_DOMAINS: usize = 12;

/// The share of documents that cross the cut: by rank over all domains, and by domain under the pipeline's own rank.
#[must_use]
pub fn audit(summary: &AuditSummary, width: usize) -> String {
    let AuditSummary { audit, rank, .. } = summary;
    let mut perturbations: Vec<&str> = Vec::new();
    let mut ranks: Vec<&str> = Vec::new();
    let mut domains: Vec<&str> = Vec::new();
    for of in &audit.crossings {
        for (names, name) in
            [(&mut perturbations, &of.perturbation), (&mut ranks, &of.rank), (&mut domains, &of.domain)]
        {
            if !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
    }
    let mut by_perturbation: BTreeMap<&str, Vec<&Crossings>> = BTreeMap::new();
    audit.crossings.iter().for_each(|of| by_perturbation.entry(&of.perturbation).or_default().push(of));
    let cells = |is_counted: &dyn Fn(&Crossings) -> bool| -> Vec<String> {
        let counted = |perturbation: &&str| {
            let of = by_perturbation[*perturbation].iter().filter(|of| is_counted(of));
            let (crossed, all) =
                of.fold((0, 0), |(crossed, all), of| (crossed + of.fell + of.rose, all + of.kept + of.dropped));
            if all == 0 { "–".to_owned() } else { format!("{:.1} %", 100.0 * crossed as f64 / all as f64) }
        };
        perturbations.iter().map(counted).collect()
    };
    let names = || Column::names("change", perturbations.iter().map(|name| (*name).to_owned()).collect());
    let texts = perturbations.iter().map(|name| {
        let of = by_perturbation[name].iter().filter(|of| of.rank == *rank);
        of.map(|of| of.kept + of.dropped).sum::<u64>().to_string()
    });
    let mut columns = vec![names(), Column::numbers("texts", texts.collect())];
    columns.extend(ranks.iter().map(|of| Column::numbers(*of, cells(&|crossings| crossings.rank == *of))));
    let mut text = format!(
        "{} documents, scored by the {}; share that crosses the cut of each rank:\n{}\n",
        TokenCount(audit.documents),
        audit.by.as_str(),
        drawn(columns, width)
    );
    if domains.len() > 1 {
        let mut columns = vec![names()];
        columns.extend(domains.iter().take(MOST_DOMAINS).map(|of| {
            Column::numbers(
                super::printable(of),
                cells(&|crossings| crossings.rank == *rank && crossings.domain == *of),
            )
        }));
        text.push_str(&format!("by domain, under {rank}:\n{}\n", drawn(columns, width)));
    }
    text.push_str(&format!("{} has the counts of both sides and how influence shifts\n", summary.path));
    text
}
