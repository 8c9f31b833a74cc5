//! The student: how well it ranks what it was not fitted to, and what labels and a cascade give.

use headwater_record::StudentFile;
use headwater_record::profile::{Axis, Scale};
use headwater_record::student::{DomainFidelity, SamplePoint};
use maud::{Markup, html};

use super::PageInputs;
use super::table::{facts, number, scrolled};
use crate::escape::name;
use crate::figure::{Figure, line, scatter};
use crate::numbers::{correlation, grouped, percent};

/// Domains whose labels are drawn.
const MOST_DOMAINS: usize = 12;

/// Fidelity, teacher against student, learning curve; `None` without a student.
pub(super) fn student(inputs: &PageInputs<'_>) -> Option<Markup> {
    let student = inputs.student?;
    let StudentFile { labels, fidelity, .. } = student;
    let axis = |title: &str, unit: &str| Axis { title: title.to_owned(), unit: unit.to_owned(), scale: Scale::Linear };
    let (predicted, said) = (axis("student", "log(1 + influence)"), axis("teacher", "log(1 + influence)"));
    let against = |domain: &DomainFidelity| {
        let of_domain = fidelity.held_out.iter().filter(|held| held.domain == domain.domain);
        let points: Vec<_> = of_domain.map(|held| (f64::from(held.student), f64::from(held.teacher))).collect();
        let drawn =
            scatter(&format!("Teacher against student, {}", name(&domain.domain)), (&predicted, &said), &points);
        let caption =
            html! { "Spearman " b { (correlation(domain.correlation)) } ", slope " b { (correlation(domain.slope)) } };
        Figure { caption: Some(caption), ..drawn }
    };
    let curve: Vec<_> = fidelity.curve.iter().map(|point| (point.documents as f64, point.correlation)).collect();
    let by_labels =
        line("Rank correlation by labels", (&axis("labels", ""), &axis("Spearman, mean of domains", "")), &curve);
    let cascade: Vec<_> = fidelity.cascade.iter().map(|point| (100.0 * point.share, 100.0 * point.overlap)).collect();
    let by_teacher = line(
        "What a cascade keeps as the teacher alone does",
        (&axis("tokens that the teacher scores", "%"), &axis("same above the cut", "%")),
        &cascade,
    );
    let held = if labels.folds_by == "source" { "sources" } else { "files" };
    Some(html! {
        p.about { "Of documents of " (held) " that the student was not fitted to. “Teacher with itself” is what a second measurement by the teacher would reach, simulated from its standard errors. "
            "Scores of a student follow what is copied by construction: figures of influence against it say something of the teacher only where the teacher scored." }
        (facts(&[
            ("labels", html! { (grouped(labels.documents)) " documents, " (grouped(labels.tokens)) " tokens, " (grouped(labels.groups)) " " (held) }),
            ("its interval holds", html! { (percent(fidelity.coverage)) " of the teacher’s values; 68 % are promised" }),
        ]))
        (scrolled("Fidelity of the student", &table(&fidelity.domains)))
        div.figures {
            @if !fidelity.held_out.is_empty() { @for domain in fidelity.domains.iter().take(MOST_DOMAINS) { (against(domain).markup()) } }
        }
        div.figures { (by_labels.markup()) @if !cascade.is_empty() { (by_teacher.markup()) } }
        @if !fidelity.samples.is_empty() {
            p.about { "What the teacher’s scores become if it reads some windows of a long document instead of all (" code { "long_documents" } "). “Off by” is of the documents that have more windows, "
                "in standard errors of the score of all their windows: well below 1, the sample adds little to the noise that is there." }
            (scrolled("Samples of windows", &samples(&fidelity.samples)))
        }
    })
}

fn samples(points: &[SamplePoint]) -> Markup {
    html! {
        table {
            thead { tr {
                @for title in ["windows at most", "labels that have more", "tokens scored", "rank correlation of all labels", "same above the cut", "off by"] {
                    th.num scope="col" { (title) }
                }
            } }
            tbody {
                @for of in points {
                    tr {
                        (number(of.windows as f64, grouped(of.windows))) (number(of.documents as f64, grouped(of.documents)))
                        (number(of.token_share, percent(of.token_share))) (number(of.correlation, correlation(of.correlation)))
                        (number(of.overlap, correlation(of.overlap))) (number(of.error, correlation(of.error)))
                    }
                }
            }
        }
    }
}

fn table(domains: &[DomainFidelity]) -> Markup {
    let cell = |value: f64| number(value, correlation(value));
    html! {
        table {
            thead { tr {
                th scope="col" { "domain" }
                @for title in ["labels", "rank correlation", "teacher with itself", "freed of its noise", "compression + length", "inside sources", "same above the cut", "teacher with itself"] {
                    th.num scope="col" { (title) }
                }
            } }
            tbody {
                @for of in domains.iter().take(MOST_DOMAINS) {
                    tr {
                        th scope="row" { bdi { (name(&of.domain)) } }
                        (number(of.documents as f64, grouped(of.documents)))
                        (cell(of.correlation)) (cell(of.teacher_correlation)) (cell(of.disattenuated)) (cell(of.baseline_correlation))
                        (cell(of.within_correlation)) (cell(of.overlap)) (cell(of.teacher_overlap))
                    }
                }
            }
        }
        @if domains.len() > MOST_DOMAINS { p.about { "and " (domains.len() - MOST_DOMAINS) " more, in student.json" } }
    }
}
