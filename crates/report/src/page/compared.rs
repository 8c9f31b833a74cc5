//! Two runs on one page: what differs in their settings, what each keeps, what they share, how values are spread, which heads they mask.

use std::collections::{BTreeMap, BTreeSet};

use headwater_record::comparison::{DomainOverlap, RunOverlap};
use headwater_record::profile::{DomainProfile, Profile};
use headwater_record::statistics::spearman;
use headwater_record::{HeadId, HeadsFile, RunFile};
use maud::{Markup, PreEscaped, html};
use serde_json::Value;

use super::heads::is_drawn;
use super::provenance::flatten;
use super::summary::run_name;
use super::table::{facts, number, scrolled};
use super::{Frame, Section, whole};
use crate::escape::{Lines, excerpt, name, named};
use crate::figure::{Cut, distribution};
use crate::heads::heads_picture;
use crate::numbers::{self, UNKNOWN, correlation, grouped, share};

/// Settings that are listed.
const MOST_SETTINGS: usize = 300;

/// Characters and bytes of a setting.
const SETTING: (usize, usize) = (240, 960);

/// What the two runs are called.
const LETTERS: [&str; 2] = ["A", "B"];

/// One of two runs that are compared.
#[derive(Clone, Copy, Debug)]
pub struct ComparedRun<'a> {
    /// The pipeline as it is given on the command line, options included.
    pub pipeline: &'a str,
    /// The pipeline, resolved.
    pub config: &'a Value,
    /// `run.json`.
    pub run: &'a RunFile,
    /// `heads.json`.
    pub heads: Option<&'a HeadsFile>,
    /// The scores on grids.
    pub profile: &'a Profile,
}

impl ComparedRun<'_> {
    fn output(&self) -> &str {
        self.config.pointer("/run/output").and_then(Value::as_str).unwrap_or_default()
    }

    fn domain(&self, name: &str) -> Option<&DomainProfile> {
        self.profile.domains.iter().find(|domain| domain.domain == name)
    }

    fn kept(&self, of: fn(&DomainProfile) -> u64) -> u64 {
        self.profile.domains.iter().map(of).sum()
    }
}

/// Makes a page of two runs. Equal inputs give equal bytes.
#[must_use]
pub fn render_comparison(runs: [ComparedRun<'_>; 2], overlap: &RunOverlap) -> String {
    let sections = [
        Section::of("settings", "Settings that differ", Some(settings(runs))),
        Section::of("domains", "What each keeps", Some(domains(runs, overlap))),
        Section::of("distributions", "Distributions and cuts", Some(distributions(runs))),
        Section::of("heads", "Retrieval heads", heads(runs)),
    ];
    let sections: Vec<Section> = sections.into_iter().flatten().collect();
    let title = format!("{} and {}", name(run_name(runs[0].output())), name(run_name(runs[1].output())));
    let frame = Frame { title: &title, counts: html! {}, top: top(runs, overlap) };
    whole(&frame, &sections).into_string()
}

fn top(runs: [ComparedRun<'_>; 2], overlap: &RunOverlap) -> Markup {
    let row = |title: &str, of: &dyn Fn(&ComparedRun<'_>) -> Markup| {
        html! { tr { th scope="row" { (title) } @for run in &runs { td { (of(run)) } } } }
    };
    let count = |count: u64| html! { (grouped(count)) };
    let table = html! {
        table {
            thead { tr { th scope="col" { "" } @for letter in LETTERS { th scope="col" { (letter) } } } }
            tbody {
                (row("pipeline", &|run| html! { code { (named(run.pipeline)) } }))
                (row("output", &|run| html! { code { (named(run.output())) } }))
                (row("begun", &|run| named(&run.run.began)))
                (row("units scored", &|run| html! { (grouped(run.profile.scored_units)) " of " (grouped(run.profile.planned_units)) }))
                (row("ranked by", &|run| html! { (named(&run.profile.rank)) ", by " (named(&run.profile.by)) }))
                (row("documents kept, of domains shown", &|run| count(run.kept(|domain| domain.kept_documents))))
                (row("tokens kept, of domains shown", &|run| count(run.kept(|domain| domain.kept_tokens.0))))
            }
        }
    };
    html! {
        header.top id="top" {
            p.kicker { "Headwater report" }
            h1 { "Two runs compared" }
            p.path { @for (letter, run) in LETTERS.iter().zip(&runs) { b { (letter) } " is " code { (named(run.output())) } ". " } }
            (scrolled("The two runs", &table))
            p.about { (corpora(overlap)) }
        }
    }
}

/// How far the two runs are about the same documents.
fn corpora(overlap: &RunOverlap) -> String {
    let [one, other] = overlap.shards;
    match overlap.common_shards {
        0 => "The runs have no shard in common, so the page does not say what both keep: settings, counts and heads can be compared, documents cannot.".to_owned(),
        common if common == one && common == other => "Both runs read the same shards. Each is cut as its pipeline would select now.".to_owned(),
        common => format!(
            "{} shards are in both runs, of {} of A and {} of B: what both keep can only be among those. Each is cut as its pipeline would select now.",
            grouped(common),
            grouped(one),
            grouped(other)
        ),
    }
}

fn settings(runs: [ComparedRun<'_>; 2]) -> Markup {
    let leaves = runs.map(|run| {
        let mut leaves = Vec::new();
        flatten("", run.config, &mut leaves);
        leaves.into_iter().collect::<BTreeMap<String, String>>()
    });
    let keys: BTreeSet<&String> = leaves.iter().flat_map(BTreeMap::keys).collect();
    let differing: Vec<&String> = keys.into_iter().filter(|key| leaves[0].get(*key) != leaves[1].get(*key)).collect();
    let value = |of: &BTreeMap<String, String>, key: &String| {
        html! {
            td { @match of.get(key) { Some(value) => code { bdi { (excerpt(value, Lines::Shown, SETTING).text) } }, None => span.under { "not set" } } }
        }
    };
    if differing.is_empty() {
        return html! { p { "None: both pipelines say the same." } };
    }
    let table = html! {
        table.sortable {
            thead { tr { th scope="col" { "setting" } @for letter in LETTERS { th scope="col" { (letter) } } } }
            tbody { @for key in differing.iter().take(MOST_SETTINGS) { tr { th scope="row" { bdi { (excerpt(key, Lines::Shown, SETTING).text) } } (value(&leaves[0], key)) (value(&leaves[1], key)) } } }
            @if differing.len() > MOST_SETTINGS { tfoot { tr { td colspan="3" { "and " (differing.len() - MOST_SETTINGS) " more, in run.json" } } } }
        }
    };
    scrolled("Settings that differ", &table)
}

/// The names of the domains that either run shows in full.
fn names(runs: [ComparedRun<'_>; 2]) -> BTreeSet<&str> {
    let [one, other] = runs.map(|run| run.profile.domains.iter().map(|domain| domain.domain.as_str()));
    one.chain(other).collect()
}

fn domains(runs: [ComparedRun<'_>; 2], overlap: &RunOverlap) -> Markup {
    let is_comparable = overlap.common_shards > 0;
    let shared: BTreeMap<&str, &DomainOverlap> =
        overlap.domains.iter().map(|domain| (domain.domain.as_str(), domain)).collect();
    let columns = [
        "documents kept, A",
        "documents kept, B",
        "tokens kept, A",
        "tokens kept, B",
        "cut ± s.e., A",
        "cut ± s.e., B",
    ];
    let of_shared = ["kept by both", "of A's", "of B's", "by chance, of A's"];
    let table = html! {
        table.sortable {
            thead { tr {
                th scope="col" { "domain" }
                @for name in columns { th.num scope="col" { (name) } }
                @if is_comparable { @for name in of_shared { th.num scope="col" { (name) } } }
            } }
            tbody {
                @for name in names(runs) {
                    tr {
                        th scope="row" { (named(name)) }
                        (domain_row(runs.each_ref().map(|run| run.domain(name)), shared.get(name).copied(), is_comparable))
                    }
                }
            }
        }
    };
    let left_out = runs.map(|run| run.profile.left_out);
    html! {
        p.about {
            "Cuts are values of each run's own rank. "
            @if is_comparable {
                "“Kept by both” counts documents by shard and row; “by chance” is what would be shared if the two ranks had nothing to do with each other. "
            }
            @if left_out != [0, 0] { "The largest domains are shown; A has " (grouped(left_out[0])) " more and B " (grouped(left_out[1])) "." }
        }
        (scrolled("What each run keeps", &table))
    }
}

fn domain_row(sides: [Option<&DomainProfile>; 2], shared: Option<&DomainOverlap>, is_comparable: bool) -> Markup {
    let count =
        |of: Option<u64>| number(of.map_or(-1.0, |count| count as f64), of.map_or_else(|| UNKNOWN.to_owned(), grouped));
    let cut = |domain: &DomainProfile| {
        let stderr = domain.certainty.and_then(|certainty| certainty.cut_stderr);
        domain.cut.map(|cut| (cut, numbers::cut(cut, stderr)))
    };
    let both = shared.map_or(0, |shared| shared.shared_documents);
    let kept = sides.map(|side| side.map_or(0, |domain| domain.kept_documents));
    let part = |part: u64, of: u64| number(part as f64 / of.max(1) as f64, share(part, of));
    let chance = sides[1].map_or((0, 0), |domain| (domain.kept_documents, domain.ranked_documents));
    html! {
        @for side in sides { (count(side.map(|domain| domain.kept_documents))) }
        @for side in sides { (count(side.map(|domain| domain.kept_tokens.0))) }
        @for side in sides {
            @match side.and_then(cut) { Some((cut, shown)) => (number(cut, shown)), None => (number(f64::MIN, UNKNOWN)) }
        }
        @if is_comparable {
            (count(Some(both))) (part(both, kept[0])) (part(both, kept[1])) (part(chance.0, chance.1))
        }
    }
}

fn distributions(runs: [ComparedRun<'_>; 2]) -> Markup {
    let figure = |letter: &str, run: &ComparedRun<'_>, domain: &DomainProfile| {
        let stderr = domain.certainty.and_then(|certainty| certainty.cut_stderr);
        let cut = domain.cut.map(|value| Cut { value, stderr });
        let mut figure = distribution(&domain.value, cut, &name(&domain.domain));
        figure.title = format!("{letter}: {}", figure.title);
        figure.caption = Some(
            html! { "ranked by " (named(&run.profile.rank)) ", " (grouped(domain.kept_documents)) " of " (grouped(domain.ranked_documents)) " kept" },
        );
        figure.markup()
    };
    html! {
        @for domain in names(runs) {
            h3 { (named(domain)) }
            div.pair {
                @for (letter, run) in LETTERS.iter().zip(&runs) {
                    @match run.domain(domain) {
                        Some(profile) => (figure(letter, run, profile)),
                        None => div.nothing { b { (letter) } p.about { "has no such domain among those that are shown." } },
                    }
                }
            }
        }
    }
}

/// The head sets side by side; `None` unless a run has one.
fn heads(runs: [ComparedRun<'_>; 2]) -> Option<Markup> {
    if runs.iter().all(|run| run.heads.is_none()) {
        return None;
    }
    let both = runs[0].heads.zip(runs[1].heads).map(|(one, other)| shared_heads(one, other));
    Some(html! {
        @if let Some(both) = both { (both) }
        div.pair {
            @for (letter, run) in LETTERS.iter().zip(&runs) {
                @match run.heads {
                    Some(file) if is_drawn(file, runs.len()) => figure.picture {
                        figcaption { b { (letter) ": retrieval score of every head" } span.under { b { (letter) } " – share of a probe's answer tokens that a head copies; the masked heads are outlined." } }
                        div.scroll role="region" tabindex="0" aria-label={ (letter) ": retrieval score of every head" } { (PreEscaped(heads_picture(file).to_string())) }
                    },
                    Some(_) => p.about { (letter) ": the model has too many heads to be drawn here; heads.svg shows them." },
                    None => p.about { (letter) " has no heads.json." },
                }
            }
        }
    })
}

fn shared_heads(one: &HeadsFile, other: &HeadsFile) -> Markup {
    let sets = [one, other].map(|file| file.heads.as_slice().iter().copied().collect::<BTreeSet<HeadId>>());
    let shared = sets[0].intersection(&sets[1]).count();
    if one.weights != other.weights {
        return html! { p.about { "The runs have different models, so a head of one is no head of the other." } };
    }
    let scores = [one, other].map(|file| {
        file.search.iter().flat_map(|search| search.scores.iter().flatten().copied()).collect::<Vec<f64>>()
    });
    let mut rows = vec![(
        "heads masked by both",
        html! { (grouped(shared as u64)) " of " (grouped(sets[0].len() as u64)) " of A and " (grouped(sets[1].len() as u64)) " of B" },
    )];
    if scores[0].len() == scores[1].len() && !scores[0].is_empty() {
        rows.push((
            "retrieval scores alike",
            html! { (correlation(spearman(&scores[0], &scores[1]))) " (Spearman: 1 is the same order of all heads, 0 no relation)" },
        ));
    }
    facts(&rows)
}
