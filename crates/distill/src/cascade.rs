//! What a cascade keeps: the student on everything, the teacher near the cuts.

use headwater_record::statistics::top_overlap;
use headwater_record::student::{CascadePoint, urgency};

use crate::fidelity::Held;
use crate::noise::kept;

/// Shares of the tokens that the teacher scores.
const SHARES: [f64; 6] = [0.0, 0.05, 0.1, 0.2, 0.3, 0.5];

/// A document that the student leaves open.
struct Contested {
    domain: usize,
    at: usize,
    tokens: u32,
    urgency: f64,
}

/// What a cascade has in common with the teacher alone, from held-out predictions of each domain and the fraction that its cut keeps.
///
/// As a run does it: of all domains together the documents of greatest [`urgency`] are scored again first.
pub(crate) fn curve(domains: &[(Held<'_>, f64)]) -> Vec<CascadePoint> {
    let mut contested: Vec<Contested> =
        domains.iter().enumerate().flat_map(|(at, domain)| contested(at, domain)).collect();
    contested.sort_by(|one, other| other.urgency.total_cmp(&one.urgency));
    let all: u64 = domains.iter().flat_map(|(held, _)| &held.labels).map(|label| u64::from(label.tokens)).sum();
    SHARES.map(|share| CascadePoint { share, overlap: overlap(domains, &contested, share * all as f64) }).to_vec()
}

fn contested<'h>(domain: usize, (held, fraction): &'h (Held<'_>, f64)) -> impl Iterator<Item = Contested> + 'h {
    let cut = cut(&held.student, *fraction);
    (0..held.labels.len()).filter_map(move |at| {
        let (distance, tokens) = (held.student[at] - cut, held.labels[at].tokens);
        let urgency = urgency(distance, held.half_widths[at], tokens)?;
        Some(Contested { domain, at, tokens, urgency })
    })
}

/// The lowest value that is kept.
fn cut(values: &[f64], fraction: f64) -> f64 {
    let mut falling = values.to_vec();
    falling.sort_unstable_by(|one, other| other.total_cmp(one));
    falling.get(kept(values.len(), fraction) - 1).copied().unwrap_or(f64::NAN)
}

/// The share of what is above the cuts that the teacher alone keeps, too, if it scores the first of `contested` of up to `most` tokens.
fn overlap(domains: &[(Held<'_>, f64)], contested: &[Contested], most: f64) -> f64 {
    let mut values: Vec<Vec<f64>> = domains.iter().map(|(held, _)| held.student.clone()).collect();
    let mut tokens: u64 = 0;
    for document in contested {
        tokens += u64::from(document.tokens);
        if tokens as f64 > most {
            break;
        }
        values[document.domain][document.at] = domains[document.domain].0.teacher[document.at];
    }
    let (mut common, mut all) = (0.0, 0.0);
    for ((held, fraction), values) in domains.iter().zip(&values) {
        let count = kept(values.len(), *fraction);
        common += top_overlap(values, &held.teacher, count) * count as f64;
        all += count as f64;
    }
    if all > 0.0 { common / all } else { 0.0 }
}
