//! One domain in full: its distribution with the cut, kept against all documents, influence against its nuisances.

use headwater_record::profile::DomainProfile;
use headwater_record::selection::{Certainty, Correction, DomainSelection, Stratum};
use maud::{Markup, html};

use super::table::{facts, number, scrolled};
use super::{PageInputs, explorer};
use crate::escape::{name, named};
use crate::figure::{Cut, against_all, density, distribution};
use crate::numbers::{self, UNKNOWN, correlation as correlated, grouped, percent, share, short};

/// Domains that are open when the page is.
const OPEN: usize = 4;

/// Strata that a table lists.
const MOST_STRATA: usize = 50;

/// Every domain that the scores show in full; `None` without scores.
pub(super) fn details(inputs: &PageInputs<'_>) -> Option<Markup> {
    let profile = inputs.profile?;
    let selected = |domain: &str| inputs.selection?.domains.iter().find(|selected| selected.domain == domain);
    Some(html! {
        @if profile.left_out > 0 {
            p.about { "The " (profile.domains.len()) " domains with the most documents; " (grouped(profile.left_out)) " more are in the table above." }
        }
        (terms())
        (explorer::of_all(inputs, profile))
        @for (at, domain) in profile.domains.iter().enumerate() {
            details.domain open[at < OPEN] {
                summary {
                    h3 id={ "domain-" (at) } { (named(&domain.domain)) }
                    span.under {
                        (grouped(domain.kept_documents)) " of " (grouped(domain.documents)) " documents kept, "
                        (short(domain.kept_tokens.0 as f64)) " tokens"
                        @if let Some(cut) = domain.cut { ", cut " (numbers::cut(cut, stderr(domain.certainty))) }
                    }
                }
                (domain_figures(domain, selected(&domain.domain), &explorer::of_one(inputs, (at, domain), profile), &profile.rank))
            }
        }
    })
}

/// What the quantities and statistics of the section mean, a sentence each.
fn terms() -> Markup {
    let terms = [
        ("Base loss", "how badly the intact model predicts a document: mean cross-entropy, in nats per token"),
        ("Compression", "text bytes per byte that zstd makes of them: high where a text repeats itself"),
        (
            "Cut ± s.e.",
            "the value of the last document kept, and how far another sample of the domain would move it: one standard error",
        ),
        (
            "Within 1 s.e.",
            "kept documents whose own value lies within one of its standard errors of the cut: noise alone may have kept them",
        ),
        ("R²", "share of the variance of one quantity that a smooth curve of others explains: 0 is nothing, 1 is all"),
        (
            "Spearman",
            "how far two quantities order documents alike: 1 is the same order, −1 the opposite, 0 no relation",
        ),
    ];
    html! { div.terms { (facts(&terms.map(|(term, meaning)| (term, html! { (meaning) })))) } }
}

fn domain_figures(domain: &DomainProfile, selected: Option<&DomainSelection>, explorer: &Markup, rank: &str) -> Markup {
    let of = name(&domain.domain);
    let cut = domain.cut.map(|cut| Cut { value: cut, stderr: stderr(domain.certainty) });
    html! {
        div.figures {
            (distribution(&domain.value, cut, &of).markup())
            @if domain.cuts.is_empty() { div.beside.wide { div { (kept(domain, rank)) } div { (correction(domain.correction.as_ref())) } } }
            @else { (explorer) }
        }
        div.figures {
            @if !domain.cuts.is_empty() { div.beside.wide { div { (kept(domain, rank)) } div { (correction(domain.correction.as_ref())) } } }
            @for histogram in &domain.controls { (against_all(histogram, &of).markup()) }
        }
        @for (at, row) in domain.densities.iter().enumerate() {
            h4 { @if at == 0 { "Influence against what it should not follow" } @else { "The same, corrected" } }
            div.figures { @for plot in row { (density(plot, &of).markup()) } }
        }
        @if let Some(selected) = selected { (strata(&selected.strata)) }
    }
}

fn kept(domain: &DomainProfile, rank: &str) -> Markup {
    let part = |part: u64, all: u64| html! { (grouped(part)) " of " (grouped(all)) " (" (share(part, all)) ")" };
    let mut rows = vec![
        ("ranked by", named(rank)),
        ("ranked", part(domain.ranked_documents, domain.documents)),
        ("kept", part(domain.kept_documents, domain.ranked_documents)),
        ("kept tokens", part(domain.kept_tokens.0, domain.tokens.0)),
    ];
    match domain.cut {
        Some(cut) => rows.push(("cut ± s.e.", html! { (numbers::cut(cut, stderr(domain.certainty))) })),
        None => rows.push(("cut", html! { "no single one" })),
    }
    if let Some(certainty) = domain.certainty {
        rows.push(("within 1 s.e. of the cut", part(certainty.within_one, certainty.judged)));
        rows.push(("within 2 s.e. of the cut", part(certainty.within_two, certainty.judged)));
    }
    html! { h4 { "What is kept" } (facts(&rows)) }
}

fn correction(correction: Option<&Correction>) -> Markup {
    let Some(fit) = correction else {
        return html! { h4 { "Correction" } p.about { "Too few documents for a fit of influence." } };
    };
    let nuisance = |name: &str| match name {
        "loss_base" => "base loss".to_owned(),
        "scored_tokens" => "scored tokens".to_owned(),
        other => crate::escape::name(other),
    };
    let table = html! {
        table {
            thead { tr { th scope="col" { "Spearman with" } th.num scope="col" { "influence" } th.num scope="col" { "corrected" } } }
            tbody {
                @for of in &fit.nuisances {
                    tr { th scope="row" { (nuisance(&of.name)) } (number(of.spearman_before, correlated(of.spearman_before))) (number(of.spearman_after, correlated(of.spearman_after))) }
                }
            }
        }
    };
    html! {
        h4 { "Correction" }
        (facts(&[
            ("R² of nuisances, influence", html! { (correlated(fit.r2_before)) }),
            ("R² of nuisances, corrected", html! { (correlated(fit.r2_after)) }),
            ("terms of the fit", html! { (named(&fit.terms)) ", over " (grouped(fit.documents)) " documents" }),
        ]))
        (scrolled("Rank correlations with nuisances", &table))
    }
}

fn strata(strata: &[Stratum]) -> Markup {
    if strata.is_empty() {
        return html! {};
    }
    let table = html! {
        table {
            thead { tr {
                th scope="col" { "length (tokens)" }
                @for name in ["ranked", "kept", "kept, % of ranked", "kept tokens", "kept tokens, % of ranked", "cut ± s.e."] { th.num scope="col" { (name) } }
            } }
            tbody { @for stratum in strata.iter().take(MOST_STRATA) { (stratum_row(stratum)) } }
        }
    };
    html! {
        h4 { "Strata of length" }
        p.about { "Documents of each length are ranked among themselves, so that length decides nothing. The errors of these cuts are not known." }
        (scrolled("Strata of length", &table))
    }
}

fn stratum_row(stratum: &Stratum) -> Markup {
    let from = grouped(u64::from(stratum.from_tokens));
    let to = stratum.to_tokens.map_or_else(|| "or more".to_owned(), |to| format!("to {}", grouped(u64::from(to))));
    let cut = stratum.cut.as_ref().map_or_else(|| UNKNOWN.to_owned(), |cut| numbers::cut(cut.value, None));
    let part = |part: u64, whole: u64| percent(part as f64 / whole as f64);
    html! {
        tr {
            th scope="row" { (from) " " (to) }
            td.num { (grouped(stratum.ranked_documents)) } td.num { (grouped(stratum.kept_documents)) }
            td.num { (part(stratum.kept_documents, stratum.ranked_documents)) }
            td.num { (grouped(stratum.kept_tokens.0)) } td.num { (part(stratum.kept_tokens.0, stratum.ranked_tokens.0)) }
            td.num { (cut) }
        }
    }
}

fn stderr(certainty: Option<Certainty>) -> Option<f64> {
    certainty.and_then(|certainty| certainty.cut_stderr)
}
