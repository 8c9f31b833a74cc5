//! A made-up student and a made-up audit.

use headwater_record::audit::{AuditFile, Crossings};
use headwater_record::run::ScoringInputs;
use headwater_record::student::{
    CascadePoint, CurvePoint, DomainFidelity, HeldOut, SamplePoint, SplineRidge, StudentFidelity, StudentLabels,
};
use headwater_record::{ContentHash, ScoreOf, StudentFile};

/// A student of `teacher`, which ranks each of `domains` a little worse than the one before.
pub(crate) fn student(teacher: &ScoringInputs, domains: &[String]) -> StudentFile {
    let regression = || SplineRidge {
        knots: Vec::new(),
        means: Vec::new(),
        deviations: Vec::new(),
        weights: Vec::new(),
        intercepts: Vec::new(),
        penalty: 1.0,
    };
    let fidelity = |(at, domain): (usize, &String)| {
        let correlation = 0.94 - 0.04 * at as f64;
        DomainFidelity {
            domain: domain.clone(),
            documents: 180,
            groups: 26,
            fraction: 0.2,
            correlation,
            disattenuated: correlation + 0.04,
            teacher_correlation: 0.93,
            overlap: 0.84,
            teacher_overlap: 0.82,
            baseline_correlation: 0.62,
            baseline_overlap: 0.55,
            source_correlation: 0.6,
            within_correlation: correlation - 0.03,
            slope: 1.02,
            drift_by_length: [0.1, 0.0, -0.1],
            drift_by_source: 0.2,
        }
    };
    let held_out = |at: usize| {
        let predicted = (at % 60) as f32 / 100.0;
        let teacher = predicted + ((at * 37 % 41) as f32 - 20.0) / 250.0;
        HeldOut { domain: domains[at % domains.len()].clone(), student: predicted, teacher }
    };
    let curve = [(90, 0.861), (180, 0.893), (360, 0.908), (720, 0.914)];
    let cascade = [(0.0, 0.84), (0.05, 0.89), (0.1, 0.93), (0.2, 0.97), (0.3, 0.99)];
    let samples = [(1, 0.91, 0.4), (2, 0.95, 0.6), (4, 0.98, 0.8)];
    let sample = |(windows, correlation, token_share)| SamplePoint {
        windows,
        documents: 80,
        token_share,
        correlation,
        overlap: correlation - 0.05,
        error: 2.0 / windows as f64,
    };
    StudentFile {
        headwater: "0.1.0".to_owned(),
        features_version: 1,
        features: Vec::new(),
        teacher: teacher.clone(),
        labels: StudentLabels {
            documents: 720,
            tokens: 1_300_000,
            window_tokens: 4096,
            folds_by: "source".to_owned(),
            groups: 104,
        },
        influence: regression(),
        loss: regression(),
        intervals: Vec::new(),
        fidelity: StudentFidelity {
            domains: domains.iter().enumerate().map(fidelity).collect(),
            curve: curve.map(|(documents, correlation)| CurvePoint { documents, correlation }).to_vec(),
            coverage: 0.69,
            cascade: cascade.map(|(share, overlap)| CascadePoint { share, overlap }).to_vec(),
            samples: samples.map(sample).to_vec(),
            held_out: (0..720).map(held_out).collect(),
        },
    }
}

/// An audit of `domains` under `ranks`.
pub(crate) fn audit(domains: &[String], ranks: &[&str]) -> AuditFile {
    let changes = ["identity", "wiki", "wrap", "padding"];
    let mut crossings = Vec::new();
    for (at, change) in changes.into_iter().enumerate() {
        for rank in ranks {
            crossings.extend(domains.iter().map(|domain| Crossings {
                perturbation: change.to_owned(),
                rank: (*rank).to_owned(),
                domain: domain.clone(),
                kept: 16,
                fell: at as u64,
                dropped: 16,
                rose: at as u64 / 2,
                shift: -0.01 * at as f64,
                spread: 0.02 * at as f64,
            }));
        }
    }
    AuditFile { selection: ContentHash::of(b"another cut"), by: ScoreOf::Student, seed: 0, documents: 128, crossings }
}
