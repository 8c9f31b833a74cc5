//! Made-up runs: every artefact that a page can show.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;

use headwater_record::audit::AuditFile;
use headwater_record::comparison::{Arm, Comparison, DomainComparison, DomainOverlap, Example, Kept, RunOverlap};
use headwater_record::heads::{HeadSearch, Health, Rule};
use headwater_record::profile::{CutPoint, DomainProfile, Histogram, Profile, Sample, SampleSet, Scale};
use headwater_record::run::{Labels, Numerics, RunShard, RunSource, SEMANTICS, ScoringInputs, SkippedShard};
use headwater_record::selection::{Bucket, Certainty, Correction, DomainSelection, Nuisance, RankedDocument, Stratum};
use headwater_record::stability::{Decision, Look, Stability, Until};
use headwater_record::{
    ContentHash, DocumentAddress, HeadId, HeadSet, HeadsFile, Metrics, RunFile, SelectionFile, ShardId, StudentFile,
    TokenCount, UnitKey,
};
use headwater_report::{
    ComparedRun, Mixture, MixturePart, MixtureStage, PageInputs, PlannedSchedule, ShownTrial, render_comparison,
};
use headwater_schedule::{Curve, Schedule, WsdSteps};
use serde_json::json;

use crate::a_trial;
use crate::by_student;
use crate::hostile::{PAYLOADS, SCRIPTS, endless};
use crate::scores::{Quantity, density};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Everything of one run.
pub(crate) struct MadeUp {
    pub(crate) run: RunFile,
    heads: HeadsFile,
    student: StudentFile,
    audit: AuditFile,
    profile: Profile,
    selection: SelectionFile,
    mixture: Mixture,
    schedule: Schedule,
    trial: ShownTrial,
    metrics: Metrics,
    warnings: Vec<String>,
}

impl MadeUp {
    /// All of it, as a page takes it.
    pub(crate) fn inputs(&self) -> PageInputs<'_> {
        PageInputs {
            pipeline: "pipelines/made-up.toml",
            run: Some(&self.run),
            heads: Some(&self.heads),
            student: Some(&self.student),
            audit: Some(&self.audit),
            profile: Some(&self.profile),
            selection: Some(&self.selection),
            mixture: Some(&self.mixture),
            schedule: Some(PlannedSchedule { schedule: &self.schedule, tokens_per_step: 8192 * 1024 }),
            trial: Some(&self.trial),
            metrics: Some(&self.metrics),
            warnings: &self.warnings,
        }
    }
}

impl MadeUp {
    /// A page of this run and another one.
    pub(crate) fn against(&self, other: &Self) -> String {
        let domain = |domain: &DomainProfile| DomainOverlap {
            domain: domain.domain.clone(),
            shared_documents: domain.kept_documents / 3,
            shared_tokens: TokenCount(domain.kept_tokens.0 / 3),
        };
        let overlap = RunOverlap {
            shards: [25, 30],
            common_shards: 20,
            domains: other.profile.domains.iter().map(domain).collect(),
        };
        render_comparison([self.compared(), other.compared()], &overlap)
    }

    fn compared(&self) -> ComparedRun<'_> {
        ComparedRun {
            pipeline: "pipelines/made-up.toml",
            config: &self.run.config,
            run: &self.run,
            heads: Some(&self.heads),
            profile: &self.profile,
        }
    }
}

/// What decides how large a run's artefacts are.
#[derive(Clone, Copy)]
struct Extent {
    rank: &'static str,
    ranks: &'static [&'static str],
    domains: usize,
    documents: u64,
    samples: usize,
    shape: (u16, u16),
    text: fn(usize) -> String,
}

/// Four domains cut by corrected influence, with hostile documents and names.
pub(crate) fn full() -> Result<MadeUp> {
    let ranks = &["corrected", "influence"];
    made_up(Extent {
        rank: "corrected",
        ranks,
        domains: 4,
        documents: 1_250_000,
        samples: 6,
        shape: (30, 9),
        text: document,
    })
}

/// The same without hostile text, repeated by quality: buckets and strata instead of a single cut.
pub(crate) fn upsampled() -> Result<MadeUp> {
    let ranks = &["influence", "corrected"];
    let extent =
        Extent { rank: "influence", ranks, domains: 2, documents: 40_000, samples: 4, shape: (30, 9), text: prose };
    let mut made = made_up(extent)?;
    made.profile.scored_units -= 7;
    let bucket = |at: u32| Bucket {
        from: f64::from(at) * 0.1,
        to: f64::from(at + 1) * 0.1,
        repeat: 7.0 / f64::from(at + 1).powf(1.3),
        documents: 5_000,
        tokens: TokenCount(6_100_000),
    };
    made.selection.by = "upsample".to_owned();
    made.profile.by = made.selection.by.clone();
    made.selection.buckets = (0..7).map(bucket).collect();
    for (domain, profiled) in made.selection.domains.iter_mut().zip(&mut made.profile.domains) {
        (domain.certainty, profiled.cut, profiled.certainty) = (None, None, None);
        profiled.cuts = Vec::new();
        for set in &mut profiled.samples {
            (set.above, set.below, set.spread) = (Vec::new(), Vec::new(), Vec::new());
        }
        let stratum = |at: u32| Stratum {
            from_tokens: 32 << (2 * at),
            to_tokens: (at < 4).then(|| (128 << (2 * at)) - 1),
            ranked_documents: 8_000,
            ranked_tokens: TokenCount(8_000 * (64 << (2 * at))),
            kept_documents: 1_600,
            kept_tokens: TokenCount(1_700 * (64 << (2 * at))),
            cut: domain.cut.clone(),
        };
        domain.strata = (0..5).map(stratum).collect();
    }
    Ok(made)
}

/// Twelve domains of a hundred million documents, all samples as long and as hostile as they get, a thousand domains in the table.
pub(crate) fn maximal() -> Result<MadeUp> {
    let ranks = &["column:quality_score", "influence", "corrected"];
    let text = |at: usize| format!("{at}{}", "\"<&\u{e0041}大".repeat(1_000));
    let extent =
        Extent { rank: ranks[0], ranks, domains: 12, documents: 100_000_000, samples: 10, shape: (48, 48), text };
    let mut made = made_up(extent)?;
    let sample = made.selection.domains.clone();
    made.selection.domains = (0..1000)
        .map(|at| DomainSelection {
            domain: format!("domain {at:04} {}", PAYLOADS[at % 10]),
            ..sample[at % 12].clone()
        })
        .collect();
    Ok(made)
}

fn made_up(extent: Extent) -> Result<MadeUp> {
    let domains: Vec<DomainProfile> = (0..extent.domains).map(|at| profiled(at, &extent)).collect();
    let heads = heads(extent.shape)?;
    let mixture = mixture(&domains);
    let statuses: BTreeMap<String, u64> = [
        ("scored".to_owned(), extent.documents * 4 / 5),
        ("short".to_owned(), extent.documents / 6),
        ("null-text".to_owned(), extent.documents / 60),
        ("not-utf8".to_owned(), extent.documents / 900),
        ("non-finite".to_owned(), 3),
    ]
    .into();
    let run = run(&heads, extent.rank)?;
    let names: Vec<String> = domains.iter().map(|domain| domain.domain.clone()).collect();
    Ok(MadeUp {
        selection: selection(&domains, &statuses, extent.rank),
        trial: a_trial::trial(&names, PAYLOADS[1]),
        student: by_student::student(&run.scoring, &names),
        audit: by_student::audit(&names, extent.ranks),
        run,
        profile: Profile {
            selection: ContentHash::of(b"selection"),
            planned_units: 412,
            scored_units: 412,
            statuses,
            rank: extent.rank.to_owned(),
            by: "documents".to_owned(),
            left_out: 0,
            comparison: comparison(&domains, extent.rank),
            domains,
        },
        heads,
        mixture,
        schedule: Schedule::wsd(
            WsdSteps { steps: 119_209, warmup_steps: 119, decay_steps: 29_802 },
            Curve::OneMinusSqrt,
            4.0e-4,
            0.0,
        )?,
        metrics: serde_json::from_value(json!({
            "seconds": {"plan": 3.1, "heads": 48.2, "score": 9_431.7, "select": 22.4, "recipe": 0.2, "tokens": 612.9},
            "phase_seconds": {"read": 210.4, "tokenise": 803.1, "forward": 17_604.0, "write": 41.9},
            "fetch_wait_seconds": 88.1, "units": 412, "documents": 1_000_000, "tokens": 1_183_000_000_u64,
            "traffic": {"read_bytes": 5_210_000_000_u64, "requests": 3_112, "received_bytes": 5_198_000_000_u64, "sent_bytes": 96_000_000, "retries": 4},
            "peak_memory_bytes": 1_932_735_283_u64
        }))?,
        warnings: vec!["Two workers ran with another clock.".to_owned()],
    })
}

/// Names of domains; the last of four is hostile.
fn domain_name(at: usize) -> String {
    match at {
        0 => "fineweb-edu-dedup".to_owned(),
        1 => "cosmopedia-v2".to_owned(),
        2 => "python-edu".to_owned(),
        3 => format!("open-web-math {}", PAYLOADS[1]),
        _ => format!("domain {at} {}", "of a long name ".repeat(12)),
    }
}

fn profiled(at: usize, extent: &Extent) -> DomainProfile {
    let documents = extent.documents / (at as u64 + 2);
    let ranked = documents / 10 * 9;
    let kept = ranked / 5;
    let quantity =
        |title, unit, scale, (from, to), (mean, deviation)| Quantity { title, unit, scale, from, to, mean, deviation };
    let shift = 0.1 * at as f64;
    let influence = quantity("influence", "", Scale::Log, (0.004, 2.0), (-2.6 + shift, 0.62));
    let corrected = quantity("corrected influence", "", Scale::Linear, (-0.35, 0.45), (0.0, 0.08));
    let loss = quantity("base loss", "nats per token", Scale::Linear, (0.8, 4.8), (2.7 - shift, 0.52));
    let compression = quantity("compression", "text bytes per compressed byte", Scale::Linear, (1.0, 5.0), (2.3, 0.42));
    let length = quantity("length", "tokens", Scale::Log, (32.0, 60_000.0), (6.6, 1.1));
    let scored = Quantity { title: "scored tokens", ..length };
    let ranked_by = if extent.rank == "corrected" { corrected } else { influence };
    let along = 0.8416_f64.mul_add(ranked_by.deviation, ranked_by.mean);
    let cut = if ranked_by.scale == Scale::Log { along.exp() } else { along };
    let nuisances = [(loss, -0.84 + shift), (compression, 0.55), (scored, -0.31)];
    let row = |y: &Quantity, weaker: f64| nuisances.iter().map(|(x, r)| density(y, x, r * weaker, ranked)).collect();
    DomainProfile {
        domain: domain_name(at),
        documents,
        tokens: TokenCount(documents * 1180),
        ranked_documents: ranked,
        fraction: 0.2,
        kept_documents: kept,
        kept_tokens: TokenCount(kept * 1440),
        cut: Some(cut),
        certainty: Some(certainty(kept, cut)),
        cuts: cuts(&ranked_by.cut_at(cut, ranked), ranked),
        value: ranked_by.cut_at(cut, ranked),
        controls: vec![
            length.histogram((ranked, kept), length.mean + 0.15),
            loss.histogram((ranked, kept), loss.mean - 0.2),
            compression.histogram((ranked, kept), compression.mean + 0.06),
        ],
        densities: vec![row(&influence, 1.0), row(&corrected, 0.04)],
        correction: Some(correction(ranked, shift)),
        samples: extent
            .ranks
            .iter()
            .enumerate()
            .map(|(set, rank)| samples(rank, 100 * set + 1000 * at, cut, extent))
            .collect(),
    }
}

/// What every whole per cent keeps, with the value found in the histogram.
fn cuts(value: &Histogram, ranked: u64) -> Vec<CutPoint> {
    let above = |documents: u64| {
        let mut left = documents;
        let bins = value.edges.windows(2).zip(&value.all).rev();
        bins.into_iter().find_map(|(edges, count)| {
            let is_here = left <= *count;
            left = left.saturating_sub(*count);
            is_here.then_some(edges[0])
        })
    };
    let point = |step: u64| CutPoint {
        fraction: step as f64 / 100.0,
        documents: ranked * step / 100,
        tokens: TokenCount(ranked * step / 100 * (1_500 - 3 * step)),
        value: (step > 0).then(|| above(ranked * step / 100).unwrap_or(value.edges[0])),
        stderr: (1..100).contains(&step).then_some(0.002),
    };
    (0..=100).map(point).collect()
}

fn certainty(kept: u64, cut: f64) -> Certainty {
    Certainty { judged: kept / 10 * 9, within_one: kept / 8, within_two: kept / 4, cut_stderr: Some(cut.abs() * 0.013) }
}

fn correction(documents: u64, shift: f64) -> Correction {
    let nuisance = |name: &str, before, after| Nuisance {
        name: name.to_owned(),
        knots: vec![0.1, 0.5, 0.9],
        spearman_before: before,
        spearman_after: after,
    };
    Correction {
        documents,
        terms: "splines".to_owned(),
        nuisances: vec![
            nuisance("loss_base", -0.83 + shift, -0.02),
            nuisance("compression", 0.54, 0.01),
            nuisance("scored_tokens", -0.3, 0.0),
        ],
        coefficients: vec![0.2; 10],
        signal_variance: 0.004,
        noise_per_target: 1.3,
        r2_before: 0.83 - shift,
        r2_after: 0.004,
    }
}

fn samples(rank: &str, seed: usize, cut: f64, extent: &Extent) -> SampleSet {
    let place = |first: usize, value: f64, (from, each): (usize, usize), count: usize| -> Vec<Sample> {
        (0..count)
            .map(|at| Sample {
                is_kept: from + each * at <= 20,
                kept_from: Some(from + each * at),
                ..sample(seed + first + at, value * (1.0 - 0.02 * at as f64), extent.text)
            })
            .collect()
    };
    let own = if rank == extent.rank { 19 } else { 0 };
    SampleSet {
        rank: rank.to_owned(),
        top: place(0, cut.mul_add(5.0, 0.3), (1, 0), extent.samples),
        above: place(20, cut * 1.02, (20, 0), extent.samples),
        below: place(40, cut * 0.98, (21, 0), extent.samples),
        bottom: place(60, cut * 0.05, (100, 0), extent.samples),
        spread: place(80, cut * 1.5, (5, 5), own),
    }
}

fn sample(at: usize, value: f64, text: fn(usize) -> String) -> Sample {
    let spread = (at * 37 % 101) as f32;
    let single = value.to_string().parse().unwrap_or(0.0_f32);
    let text = text(at);
    Sample {
        address: address(at, if at.is_multiple_of(9) { PAYLOADS[at % 10] } else { "train-00017-of-00104.parquet" }),
        id: (!at.is_multiple_of(7)).then(|| {
            if at.is_multiple_of(5) { format!("{at} {}", PAYLOADS[at / 5 % 10]) } else { format!("doc-{at:06}") }
        }),
        value,
        influence: single * (1.0 + spread / 300.0),
        influence_stderr: (!at.is_multiple_of(11)).then_some(single.abs() * 0.06),
        corrected: Some(single * (0.4 + spread / 200.0) - 0.05),
        loss_base: 1.4 + spread / 60.0,
        compression: 1.6 + spread / 70.0,
        tokens: 40 + u32::try_from(at * 7919 % 4000).unwrap_or(0),
        is_kept: false,
        kept_from: None,
        is_cut_off: text.len() > 4000,
        text: (!at.is_multiple_of(13)).then_some(text),
    }
}

fn address(at: usize, path: &str) -> DocumentAddress {
    DocumentAddress { source: Arc::from("smollm-corpus"), path: Arc::from(path), row: at as u64 * 31 }
}

/// Documents as a corpus has them, and some that attack.
fn document(at: usize) -> String {
    match at % 12 {
        1 => PAYLOADS[at / 3 % 10].to_owned(),
        4 => PAYLOADS.join("\n"),
        6 => SCRIPTS.repeat(3),
        9 => endless(),
        _ => prose(at),
    }
}

const SENTENCES: [&str; 8] = [
    "The water of the upper valley reaches the mill through three sluices, of which only the lowest is still in use.",
    "Let f be continuous on [a, b]; then for every value between f(a) and f(b) there is a point where f takes it.",
    "Photosynthesis turns light into chemical energy, and nearly all life on land depends on it.",
    "She set the ledger down, turned to the first page, and read the entry of the third of March once more.",
    "A hash map gives constant time on average, but the order of its keys is not defined.",
    "In 1887 the two experimenters expected a shift of four tenths of a fringe and found less than a hundredth.",
    "Bring the stock to a simmer, add the barley, and stir until it is tender, about forty minutes.",
    "The committee found that the bridge had been inspected, though not by anyone who could have seen the crack.",
];

fn prose(at: usize) -> String {
    match at % 5 {
        0 => {
            let row =
                |n: usize| format!("{:>4}  {:>10.6}  {:>12}\n", n + at, ((n + at) as f64).sqrt(), (n + at).pow(3));
            (0..24).map(row).collect()
        }
        1 => {
            let body = "    total = 0\n    for row in rows:\n        if row[\"kept\"]:\n            total += row[\"tokens\"]\n    return total\n\n\n";
            format!("def tokens_kept_{at}(rows):\n{body}").repeat(3)
        }
        _ => (0..4 + at % 9).map(|n| SENTENCES[(at + 3 * n) % SENTENCES.len()]).collect::<Vec<_>>().join(" "),
    }
}

fn heads((layers, heads): (u16, u16)) -> Result<HeadsFile> {
    let score = |layer: u16, head: u16| {
        let place = f64::from(layer) / f64::from(layers);
        let spread = f64::from((layer * 31 + head * 17) % 97) / 97.0;
        spread.powi(6) * (1.0 - (place - 0.65).abs()).powi(2)
    };
    let scores: Vec<Vec<f64>> = (0..layers).map(|layer| (0..heads).map(|head| score(layer, head)).collect()).collect();
    let mut ranked: Vec<HeadId> =
        (0..layers).flat_map(|layer| (0..heads).map(move |head| HeadId { layer, head })).collect();
    ranked.sort_by(|one, other| score(other.layer, other.head).total_cmp(&score(one.layer, one.head)));
    ranked.truncate(usize::from(layers) * usize::from(heads) / 20);
    let set = HeadSet::new(ranked)?;
    Ok(HeadsFile {
        heads: set.clone(),
        weights: Some(ContentHash::of(b"weights")),
        search: Some(HeadSearch {
            probes: 24,
            shots: 3,
            context_tokens: 1024,
            fraction: 0.05,
            rule: Rule::NeedleSpan,
            sentences: "bundled".to_owned(),
            seed: 4,
            reachable: 0.957,
            stability: Some(Stability {
                until: Until::Stable,
                most_probes: 64,
                least_probes: 16,
                least_shared: 0.75,
                doubt_stderrs: 2.0,
                most_doubt: 0.2,
                looks: vec![
                    Look { probes: 16, shared: 0.643, heads_in_doubt: 4, doubt: 0.131, distance: Some(0.62) },
                    Look { probes: 24, shared: 0.786, heads_in_doubt: 3, doubt: 0.092, distance: Some(1.18) },
                ],
                decision: Decision::Stable,
            }),
            scores,
        }),
        health: Some(Health {
            probes: 16,
            intact_accuracy: 0.913,
            masked_accuracy: 0.274,
            control_accuracies: vec![0.902, 0.911, 0.887],
            controls: vec![set.clone(), set.clone(), set],
            split_half_correlation: 0.9712,
            healthy: true,
            decision: None,
        }),
    })
}

fn run(heads: &HeadsFile, rank: &str) -> Result<RunFile> {
    let scoring = ScoringInputs {
        weights: ContentHash::of(b"weights"),
        model_config: None,
        tokenizer: ContentHash::of(b"tokenizer"),
        heads: heads.heads.clone(),
        mask: "causal-uniform".to_owned(),
        window_tokens: 4096,
        long_documents: "all".to_owned(),
        min_tokens: 32,
        numerics: Numerics {
            engine: "native".to_owned(),
            device: "cpu".to_owned(),
            precision: "bf16".to_owned(),
            instructions: "avx512-bf16".to_owned(),
        },
        semantics: SEMANTICS,
        student: None,
        cascade: None,
    };
    let shard = |at: usize| {
        let path = format!("train-{at:05}-of-00104.parquet");
        let id = ShardId::new(&path, 1 << 28, b"footer");
        let unit = |unit: u64| UnitKey { shard: id.clone(), row_group: 0, first_row: unit * 4096, rows: 4096 };
        RunShard { units: (0..8).map(unit).collect(), id: id.clone(), path, bytes: 1 << 28, etag: None }
    };
    let fingerprint = scoring.fingerprint("text")?;
    let source = |name: &str, skipped: Vec<SkippedShard>| RunSource {
        name: name.to_owned(),
        text: "text".to_owned(),
        labels: Labels {
            id_column: Some("id".to_owned()),
            domain_column: Some("domain".to_owned()),
            domain_value: None,
        },
        fingerprint: fingerprint.clone(),
        shards: (0..25).map(shard).collect(),
        skipped,
    };
    let skipped = SkippedShard { path: PAYLOADS[2].to_owned(), reason: format!("no Parquet footer: {}", PAYLOADS[0]) };
    Ok(RunFile {
        headwater: "0.1.0".to_owned(),
        began: "2026-11-24T08:15:30Z".to_owned(),
        config: json!({
            "run": {"output": "runs/made-up", "seed": 4, "unit_bytes": "16MiB", "on_bad_shard": "skip"},
            "corpus": [{"name": "smollm-corpus", "paths": ["s3://made-up/smollm/*.parquet"], "text": "text"}, {"name": PAYLOADS[0], "paths": [PAYLOADS[1]]}],
            "model": {"name": "smollm2-135m-instruct-q4", "engine": "auto", "note": PAYLOADS[9]},
            "score": {"window_tokens": 4096, "max_rejects": 0.01},
            "select": {"rank": rank, "by": "documents", "fraction": 0.2},
        }),
        revisions: std::collections::BTreeMap::new(),
        sources: vec![source("smollm-corpus", vec![skipped]), source(PAYLOADS[0], Vec::new())],
        scoring,
    })
}

fn selection(domains: &[DomainProfile], statuses: &BTreeMap<String, u64>, rank: &str) -> SelectionFile {
    let ranked = |value| Some(RankedDocument { value, address: address(7, "a.parquet"), id: None });
    let selected = |domain: &DomainProfile| DomainSelection {
        domain: domain.domain.clone(),
        documents: domain.documents,
        tokens: domain.tokens,
        ranked_documents: domain.ranked_documents,
        ranked_tokens: domain.tokens,
        fraction: 0.2,
        kept_documents: domain.kept_documents,
        kept_tokens: domain.kept_tokens,
        cut: domain.cut.and_then(ranked),
        highest: ranked(1.9),
        lowest: ranked(0.001),
        certainty: domain.certainty,
        correction: domain.correction.clone(),
        ..DomainSelection::default()
    };
    SelectionFile {
        hash: ContentHash::of(b"selection"),
        rank: rank.to_owned(),
        by: "documents".to_owned(),
        buckets: Vec::new(),
        domains: domains.iter().map(selected).collect(),
        statuses: statuses.clone(),
        guarded: [("max_compression".to_owned(), 4_811), ("repeated-lines".to_owned(), 12_090)].into(),
    }
}

fn comparison(domains: &[DomainProfile], rank: &str) -> Comparison {
    let others = ["influence", "corrected", "loss", "random"].into_iter().filter(|other| *other != rank);
    let arm = |rank: &str| Arm { name: rank.to_owned(), rank: rank.to_owned(), by: "documents".to_owned() };
    let arms: Vec<Arm> = std::iter::once(rank).chain(others).map(arm).collect();
    let overlap = |row: usize, column: usize| [100_u64, 47, 20, 8, 3][row.abs_diff(column)];
    let of_domain = |domain: &DomainProfile| {
        let table = |total: u64| -> Vec<Vec<u64>> {
            (0..arms.len())
                .map(|row| (0..arms.len()).map(|column| total / 100 * overlap(row, column)).collect())
                .collect()
        };
        let kept = |at: usize| Kept {
            documents: domain.kept_documents,
            tokens: TokenCount(domain.kept_tokens.0 * (10 + at as u64) / 10),
            mean_tokens: Some(1320.0 + 90.0 * at as f64),
            mean_loss: Some(2.3 + 0.2 * at as f64),
            mean_compression: (at != 3).then_some(2.4 - 0.1 * at as f64),
            mean_influence: Some(0.21 / (1.0 + at as f64)),
            alone: domain.kept_documents / (3 + at as u64),
        };
        let example = |at: usize| Example {
            address: address(at, "train-00003-of-00104.parquet"),
            id: Some(format!("doc-{at:06}")),
            value: 0.3 - 0.01 * at as f64,
            first_line: Some(if at.is_multiple_of(3) {
                PAYLOADS[at % 10].to_owned()
            } else {
                SENTENCES[at % 8].to_owned()
            }),
        };
        DomainComparison {
            domain: domain.domain.clone(),
            documents: domain.ranked_documents,
            tokens: domain.tokens,
            kept: (0..arms.len()).map(kept).collect(),
            shared_documents: table(domain.kept_documents),
            shared_tokens: table(domain.kept_tokens.0),
            alone: (0..arms.len()).map(|arm| (0..4).map(|at| example(10 * arm + at)).collect()).collect(),
        }
    };
    Comparison { domains: domains.iter().map(of_domain).collect(), arms }
}

fn mixture(domains: &[DomainProfile]) -> Mixture {
    let sum = |of: fn(&DomainProfile) -> TokenCount| domains.iter().map(|domain| of(domain).0).sum::<u64>();
    let (corpus, kept) = (sum(|domain| domain.tokens), sum(|domain| domain.kept_tokens));
    let weight = kept as f64 / (corpus + kept) as f64;
    let stage = |name: &str, tokens: f64, selected: f64, arithmetic: &str| MixtureStage {
        name: name.to_owned(),
        parts: [("corpus", 1.0 - selected, corpus), ("selected", selected, kept)]
            .map(|(name, weight, tokens)| MixturePart { name: name.to_owned(), weight, tokens })
            .into(),
        tokens: Some(tokens),
        selected_weight: (selected > 0.5).then_some(selected),
        arithmetic: arithmetic.to_owned(),
    };
    let concatenated = format!("selected / (corpus + selected) = {kept} / ({corpus} + {kept}) = {weight:.4}");
    Mixture {
        stages: vec![
            stage("until the decay", 3.0e9, weight, &concatenated),
            stage("while the rate decays", 2.5e9, 0.6, "mixture.decay = 0.6"),
        ],
    }
}
