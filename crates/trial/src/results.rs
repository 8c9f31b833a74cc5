//! What a run left, and what a trial came to.

use headwater_record::ContentHash;
use serde::{Deserialize, Serialize};

use crate::plan::TrialPlan;
use crate::{DocumentLosses, Error, Judgement, Outcomes, Resampled, times_below_known};

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
    /// Mean loss of the training batches of the last tenth of the steps, nats a token.
    pub training_loss: f64,
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
    /// The same at the end of the stable phase; not part of the test.
    pub before_decay: Option<Judgement>,
    /// For each arm, the interval of its difference over other seeds and other held-out documents.
    pub resampled: Vec<(String, Resampled)>,
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
        let losses = recorded(bytes(), results, |result| Some(&result.after))?
            .ok_or(Error::Unfinished { done: 0, of: plan.runs() })?;
        let before = recorded(bytes(), results, |result| result.before_decay.as_ref())?;
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
            before_decay: before.map(|before| design.judge(&before.outcomes())).transpose()?,
            resampled,
            domains: by_domain(plan, documents, results)?,
            outcomes,
            times_below_known: times_below_known(plan.run_flops()),
        })
    }
}

/// Losses of all runs; `None` if a run has none of these.
fn recorded(
    bytes: Vec<u64>,
    results: &[RunResult],
    of: impl Fn(&RunResult) -> Option<&Vec<f64>>,
) -> Result<Option<DocumentLosses>, Error> {
    let mut losses = DocumentLosses::new(bytes)?;
    for result in results {
        let Some(of_run) = of(result) else { return Ok(None) };
        losses.record(&result.arm, result.seed, of_run.clone())?;
    }
    Ok(Some(losses))
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
