//! What the columns of a log hold, told by their names.

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Gradient norms.
    Norm,
    /// Steps; of several columns of steps the one with the lowest rank is preferred.
    Step {
        /// 0 for steps of the optimiser, more for what may count otherwise.
        rank: u8,
    },
    /// Times and epochs.
    Time,
    /// Values of something that the name does not tell, as in exports of TensorBoard.
    Value,
    /// Anything else.
    Other,
}

/// Words that speak of gradients.
const GRADIENT: [&str; 4] = ["grad", "grads", "gradient", "gradients"];

/// Words that speak of norms.
const NORM: [&str; 2] = ["norm", "norms"];

/// Words that speak of both.
const BOTH: [&str; 4] = ["gnorm", "gradnorm", "gradientnorm", "gradnorms"];

/// Words of settings and summaries beside the norms, such as `max_grad_norm`.
const BESIDE: [&str; 9] = ["max", "min", "std", "var", "clip", "clipping", "threshold", "limit", "coef"];

/// Last parts of names of steps, the surest first.
const STEPS: [&[&str]; 2] = [
    &["global_step", "global_steps", "optimizer_step", "optimizer_steps", "optim_step", "trainer_step", "num_updates"],
    &["step", "steps", "iteration", "iterations", "iter", "iters", "update", "updates", "train_step", "training_step"],
];

/// First parts of names of steps that say nothing more.
const STEP_GROUPS: [&str; 9] =
    ["train", "training", "trainer", "global", "log", "logs", "metrics", "progress", "state"];

const TIMES: [&str; 10] = [
    "wall_time",
    "walltime",
    "time",
    "timestamp",
    "runtime",
    "relative_time",
    "relative_time_process",
    "relative_time_wall",
    "epoch",
    "elapsed",
];

impl Meaning {
    /// Tells what a column called `name` holds.
    pub(super) fn of(name: &str) -> Self {
        let bare = without_run(name);
        if bare.ends_with("__MIN") || bare.ends_with("__MAX") {
            return Self::Other;
        }
        let lower = bare.to_lowercase();
        let words: Vec<&str> = lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
        let has = |list: &[&str]| words.iter().any(|word| list.contains(word));
        if has(&BOTH) || (has(&GRADIENT) && has(&NORM)) {
            return if has(&BESIDE) { Self::Other } else { Self::Norm };
        }
        if let Some(rank) = step_rank(&lower) {
            return Self::Step { rank };
        }
        match words.join("_") {
            word if word == "value" => Self::Value,
            word if TIMES.contains(&word.as_str()) => Self::Time,
            _ => Self::Other,
        }
    }
}

fn step_rank(name: &str) -> Option<u8> {
    let mut parts: Vec<&str> = name.split(['/', '.']).collect();
    let last = parts.pop().unwrap_or_default();
    let word = last.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect::<Vec<_>>().join("_");
    let rank = (0..).zip(STEPS).find(|(_, names)| names.contains(&word.as_str())).map(|(rank, _)| rank)?;
    // W&B counts its own calls in `_step`
    let rank = if last.starts_with('_') { 2 } else { rank };
    // such as `sec/step`
    Some(if parts.iter().all(|part| STEP_GROUPS.contains(part)) { rank } else { rank + 3 })
}

/// A name without the run that W&B puts before it.
pub(super) fn without_run(name: &str) -> &str {
    name.rsplit_once(" - ").map_or(name, |(_, bare)| bare)
}

/// How well `name` is what was asked for: 0 exactly, 1 but for dots and slashes, 2 but for the run before it.
pub(super) fn match_of(name: &str, asked: &str) -> Option<u8> {
    let same = |name: &str| name.replace('/', ".") == asked.replace('/', ".");
    [name == asked, same(name), same(without_run(name))].iter().position(|is_match| *is_match).map(|at| [0, 1, 2][at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_trackers_and_trainers() {
        for name in [
            "grad_norm",
            "train/grad_norm",
            "calm-sun-3 - train/grad_norm",
            "a - b - grad_norm",
            "grad norm",
            "grad-norm",
            "gnorm",
            "optim/total_grad_norm",
            "l2_norm/grad/global",
            "grad_2.0_norm_total",
            "GradNorm",
            "metrics.gradient_norm",
        ] {
            assert_eq!(Meaning::of(name), Meaning::Norm, "{name}");
        }
        for name in
            ["r - grad_norm__MIN", "r - grad_norm__MAX", "max_grad_norm", "clip_grad_norm", "params norm", "loss"]
        {
            assert_eq!(Meaning::of(name), Meaning::Other, "{name}");
        }
        for (name, rank) in [
            ("train/global_step", 0),
            ("trainer/global_step", 0),
            ("Step", 1),
            ("iteration", 1),
            ("_step", 2),
            ("run - _step", 2),
            ("sec/step", 4),
        ] {
            assert_eq!(Meaning::of(name), Meaning::Step { rank }, "{name}");
        }
        assert_eq!(["Wall time", "Value"].map(Meaning::of), [Meaning::Time, Meaning::Value]);
    }

    #[test]
    fn what_is_asked_for_may_stand_after_a_run() {
        let of = |name| match_of(name, "train/grad_norm");
        assert_eq!(
            ["train/grad_norm", "train.grad_norm", "r - train/grad_norm", "grad_norm"].map(of),
            [Some(0), Some(1), Some(2), None]
        );
    }
}
