//! What a trial came to, as the page shows it.

use headwater_report::{ShownArm, ShownTrial};
use headwater_trial::{Comparison, JudgedArm, TrialFile, reach};

/// What is said of the noise floor instead of a verdict.
pub(crate) const FLOOR_VERDICT: &str = "the floor";

/// The trial of a file, whose runs are in `folder`.
pub(crate) fn shown_trial(file: &TrialFile, folder: String) -> ShownTrial {
    let TrialFile { plan, judgement, before_decay, courses, .. } = file;
    let floor_name = plan.design.floor.as_deref();
    let floor = judgement.floor.as_ref().zip(floor_name);
    let before = |arm: &str| before_decay.as_ref()?.comparison_of(arm, floor_name);
    let arms: Vec<ShownArm> = floor
        .map(|(comparison, name)| arm(name, FLOOR_VERDICT, comparison, before(name)))
        .into_iter()
        .chain(judgement.arms.iter().map(|of| judged(of, before(&of.arm))))
        .collect();
    let difference = |domain: &str, arm: &ShownArm| {
        let loss = file.domains.iter().find(|loss| loss.domain == domain && loss.arm == arm.name);
        loss.map(|loss| loss.difference)
    };
    let domains =
        plan.domains.iter().map(|of| (of.domain.clone(), arms.iter().map(|arm| difference(&of.domain, arm)).collect()));
    ShownTrial {
        control: (
            judgement.control.clone(),
            judgement.arms.first().map_or(f64::NAN, |arm| arm.comparison.control_mean),
        ),
        seeds: plan.design.seeds.len(),
        held_out: (plan.held_out.documents, plan.held_out.bytes),
        parameters: plan.training.shape.parameters(),
        run_tokens: plan.run_tokens(),
        reach: reach(plan.run_flops()),
        // the floor is one more random selection
        courses: courses
            .iter()
            .filter(|(arm, losses)| !losses.is_empty() && Some(arm) != plan.design.floor.as_ref())
            .cloned()
            .collect(),
        schedule_arms: plan.schedules.len(),
        decay_from: plan.decay_from.map(|step| step as f64 / plan.steps as f64),
        floor: floor.map(|(floor, _)| floor.sd_difference),
        domains: domains.collect(),
        folder,
        arms,
    }
}

fn judged(of: &JudgedArm, before_decay: Option<&Comparison>) -> ShownArm {
    ShownArm {
        p: Some(of.holm_p),
        smallest: of.smallest_detectable,
        ..arm(&of.arm, of.verdict.as_str(), &of.comparison, before_decay)
    }
}

fn arm(name: &str, verdict: &str, comparison: &Comparison, before_decay: Option<&Comparison>) -> ShownArm {
    ShownArm {
        name: name.to_owned(),
        verdict: verdict.to_owned(),
        difference: (comparison.mean_difference, [comparison.t_interval.low, comparison.t_interval.high]),
        before_decay: before_decay.map(|comparison| comparison.mean_difference),
        p: None,
        smallest: None,
    }
}
