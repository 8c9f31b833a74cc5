//! How far a student can be trusted, for people.

use headwater_record::TokenCount;
use headwater_record::student::{CascadePoint, CurvePoint, DomainFidelity, SamplePoint, StudentFile};

use super::table::{Column, drawn};

/// Domains that the table shows; `student.json` has all.
const MOST_DOMAINS: usize = 50;

/// What a student reaches in each domain on held-out sources, beside what the teacher reaches against itself, as a table of at most `width`
/// characters.
#[must_use]
pub fn student(student: &StudentFile, width: usize) -> String {
    let StudentFile { labels, fidelity, .. } = student;
    let shown = || fidelity.domains.iter().take(MOST_DOMAINS);
    let numbers = |header: &str, number: &dyn Fn(&DomainFidelity) -> String| {
        Column::numbers(header, shown().map(number).collect())
    };
    let two = |value: f64| format!("{value:.2}");
    let columns = vec![
        Column::names("domain", shown().map(|domain| domain.domain.clone()).collect()),
        numbers("labels", &|domain| TokenCount(domain.documents).to_string()),
        numbers("rank correlation\nwith the teacher", &|domain| two(domain.correlation)),
        numbers("teacher\nwith itself", &|domain| two(domain.teacher_correlation)),
        numbers("freed of\nits noise", &|domain| two(domain.disattenuated)),
        numbers("compression\n+ length", &|domain| two(domain.baseline_correlation)),
        numbers("inside\nsources", &|domain| two(domain.within_correlation)),
        numbers("same above\nthe cut", &|domain| two(domain.overlap)),
        numbers("teacher\nwith itself", &|domain| two(domain.teacher_overlap)),
        numbers("chance", &|domain| two(domain.fraction)),
        numbers("slope", &|domain| two(domain.slope)),
    ];
    let held = match labels.folds_by.as_str() {
        "source" => "sources",
        _ => "files",
    };
    let mut text = format!(
        "{} labels, {} tokens; tested on {held} that it was not fitted to, of {}\n",
        TokenCount(labels.documents),
        TokenCount(labels.tokens),
        TokenCount(labels.groups)
    );
    text.push_str(&drawn(columns, width));
    text.push('\n');
    if fidelity.domains.len() > MOST_DOMAINS {
        text.push_str(&format!("and {} more domains, in student.json\n", fidelity.domains.len() - MOST_DOMAINS));
    }
    let point = |point: &CurvePoint| format!("{:.3} with {}", point.correlation, TokenCount(point.documents));
    let curve: Vec<String> = fidelity.curve.iter().map(point).collect();
    text.push_str(&format!("rank correlation by labels, mean of domains: {}\n", curve.join(", ")));
    text.push_str(&format!(
        "its interval holds {:.0} % of the teacher's values (68 % promised)\n",
        100.0 * fidelity.coverage
    ));
    let point = |point: &CascadePoint| format!("{:.2} with {:.0} %", point.overlap, 100.0 * point.share);
    let cascade: Vec<String> = fidelity.cascade.iter().map(point).collect();
    if !cascade.is_empty() {
        text.push_str(&format!(
            "same above the cut if the teacher scores a part of the tokens: {}\n",
            cascade.join(", ")
        ));
    }
    if !fidelity.samples.is_empty() {
        text.push_str(
            "scores of some windows of long documents against those of all windows (`[score] long_documents`)\n",
        );
        text.push_str(&drawn(samples(&fidelity.samples), width));
        text.push('\n');
    }
    text
}

/// What each number of windows gives.
fn samples(points: &[SamplePoint]) -> Vec<Column> {
    let numbers = |header: &str, number: &dyn Fn(&SamplePoint) -> String| {
        Column::numbers(header, points.iter().map(number).collect())
    };
    vec![
        numbers("windows\nat most", &|point| point.windows.to_string()),
        numbers("labels that\nhave more", &|point| TokenCount(point.documents).to_string()),
        numbers("tokens\nscored", &|point| format!("{:.0} %", 100.0 * point.token_share)),
        numbers("rank correlation\nof all labels", &|point| format!("{:.3}", point.correlation)),
        numbers("same above\nthe cut", &|point| format!("{:.2}", point.overlap)),
        numbers("off by, in\nstandard errors", &|point| format!("{:.2}", point.error)),
    ]
}
