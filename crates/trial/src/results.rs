//! What a run left, and what a trial came to.

use headwater_record::ContentHash;
use serde::{Deserialize, Serialize};

use crate::plan::TrialPlan;
use crate::{Design, DocumentLosses, Error, Judgement, Outcomes, Resampled, times_below_known};

/// What one run came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// The hash of the plan.
    pub plan: ContentHash,
    /// The arm.
    pub arm: String,
    /// The seed.
    pub seed: u64,
    /// Bits per byte of each held-out document after the last step.
    pub after: Vec<f64>,
    /// The same at the end of the stable phase, before the decay of the rate; none under a schedule without a decay.
    pub before_decay: Option<Vec<f64>>,
    /// Mean loss of the training batches in each of at most 50 stretches of the run, of equal length but the last, nats a token.
    pub training_losses: Vec<f64>,
}

/// `trial.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrialFile {
    /// The hash of the plan.
    pub trial: ContentHash,
    /// The plan.
    pub plan: TrialPlan,
    /// Runs that are done, of all that are planned.
    pub runs: usize,
    /// Loss by arm and seed, after the last step.
    pub outcomes: Outcomes,
    /// The verdicts.
    pub judgement: Judgement,
    /// The same at the end of the stable phase, for the arms whose schedule has one; not part of the test.
    pub before_decay: Option<Judgement>,
    /// For each arm, the interval of its difference over other seeds and other held-out documents.
    pub resampled: Vec<(String, Resampled)>,
    /// For each arm, the mean over seeds of its runs' training losses, stretch by stretch of the run, nats a token.
    pub courses: Vec<(String, Vec<f64>)>,
    /// Loss of each arm by domain, after the last step, mean over seeds, bits per byte.
    pub domains: Vec<DomainLoss>,
    /// How many times smaller in operations a run is than the smallest whose decisions are known to carry over.
    pub times_below_known: f64,
}

/// What an arm's runs have come to in a domain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DomainLoss {
    /// The domain.
    pub domain: String,
    /// The arm.
    pub arm: String,
    /// Mean loss of its runs, bits per byte.
    pub loss: f64,
    /// Mean difference from the control, bits per byte.
    pub difference: f64,
}

/// A held-out document, as results need to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JudgedDocument {
    /// Its domain.
    pub domain: String,
    /// Bytes of its text.
    pub bytes: u64,
}

impl TrialFile {
    /// Judges the results of all runs of `plan`, on these held-out documents.
    ///
    /// # Errors
    /// [`Error::Unfinished`] if a run is missing; [`Error::Loss`] if one diverged.
    pub fn of(plan: &TrialPlan, documents: &[JudgedDocument], results: &[RunResult]) -> Result<Self, Error> {
        if results.len() < plan.runs() {
            return Err(Error::Unfinished { done: results.len(), of: plan.runs() });
        }
        let bytes = || documents.iter().map(|document| document.bytes).collect::<Vec<_>>();
        let mut losses = DocumentLosses::new(bytes())?;
        for result in results {
            losses.record(&result.arm, result.seed, result.after.clone())?;
        }
        let (design, outcomes) = (&plan.design, losses.outcomes());
        let seed = design.seeds.first().copied().unwrap_or_default();
        let resampled = design
            .arms
            .iter()
            .map(|arm| Ok((arm.clone(), losses.bootstrap(&design.control, arm, seed)?)))
            .collect::<Result<_, Error>>()?;
        Ok(Self {
            trial: plan.hash(),
            plan: plan.clone(),
            runs: results.len(),
            judgement: design.judge(&outcomes)?,
            before_decay: before_decay(design, bytes(), results)?,
            resampled,
            courses: plan.arms().map(|arm| (arm.to_owned(), course(arm, results))).collect(),
            domains: by_domain(plan, documents, results)?,
            outcomes,
            times_below_known: times_below_known(plan.run_flops()),
        })
    }
}

/// The mean training losses of an arm's runs.
fn course(arm: &str, results: &[RunResult]) -> Vec<f64> {
    let of_arm: Vec<&[f64]> =
        results.iter().filter(|result| result.arm == arm).map(|result| result.training_losses.as_slice()).collect();
    let stretches = of_arm.iter().map(|losses| losses.len()).min().unwrap_or_default();
    let mean = |at: usize| of_arm.iter().map(|losses| losses[at]).sum::<f64>() / of_arm.len() as f64;
    (0..stretches).map(mean).collect()
}

/// Judges the arms all of whose runs have losses before the decay; `None` if the control has none, or no arm has.
fn before_decay(design: &Design, bytes: Vec<u64>, results: &[RunResult]) -> Result<Option<Judgement>, Error> {
    let is_there =
        |arm: &&String| results.iter().filter(|result| result.arm == **arm).all(|result| result.before_decay.is_some());
    let arms: Vec<String> = design.arms.iter().filter(is_there).cloned().collect();
    if arms.is_empty() || !is_there(&&design.control) {
        return Ok(None);
    }
    let design = Design { arms, floor: design.floor.as_ref().filter(is_there).cloned(), ..design.clone() };
    let mut losses = DocumentLosses::new(bytes)?;
    for result in results {
        let is_judged =
            [&design.control].into_iter().chain(&design.floor).chain(&design.arms).any(|arm| *arm == result.arm);
        if let Some(before) = result.before_decay.as_ref().filter(|_| is_judged) {
            losses.record(&result.arm, result.seed, before.clone())?;
        }
    }
    Ok(Some(design.judge(&losses.outcomes())?))
}

fn by_domain(plan: &TrialPlan, documents: &[JudgedDocument], results: &[RunResult]) -> Result<Vec<DomainLoss>, Error> {
    let mut losses = Vec::new();
    for domain in &plan.domains {
        let of_domain: Vec<usize> = (0..documents.len()).filter(|at| documents[*at].domain == domain.domain).collect();
        if of_domain.is_empty() {
            continue;
        }
        let bytes = of_domain.iter().map(|at| documents[*at].bytes).collect::<Vec<_>>();
        let mut picked = DocumentLosses::new(bytes)?;
        for result in results {
            picked.record(&result.arm, result.seed, of_domain.iter().map(|at| result.after[*at]).collect())?;
        }
        let outcomes = picked.outcomes();
        let mean = |arm: &str| -> Result<f64, Error> {
            let runs = outcomes.arm(arm)?;
            Ok(runs.values().sum::<f64>() / runs.len() as f64)
        };
        let control = mean(&plan.design.control)?;
        for arm in plan.arms() {
            let loss = mean(arm)?;
            losses.push(DomainLoss {
                domain: domain.domain.clone(),
                arm: arm.to_owned(),
                loss,
                difference: loss - control,
            });
        }
    }
    Ok(losses)
}
