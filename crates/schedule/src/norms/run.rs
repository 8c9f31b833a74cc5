//! The order of norms, and the run that their steps tell of.

/// What a log says of its run.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Plan {
    /// Steps that the run was to have.
    pub(super) total: Option<f64>,
    /// Steps between two entries, for logs that number none.
    pub(super) interval: Option<f64>,
}

/// What is missing at either end of a run up to this share of it is not taken for another run's.
const MISSING: f64 = 0.1;

/// A log with more steps than this, and more than norms, counts something else, such as tokens.
const MOST_STEPS: u32 = 10_000_000;

/// A run as its log tells of it.
#[derive(Clone, Debug, PartialEq)]
pub struct LoggedRun {
    /// Steps of the run; absent if the log counts more than steps of an optimiser can be.
    pub steps: Option<u64>,
    /// Where in the run each norm was logged, from 0 for the first step to 1 for the last, ascending.
    pub places: Vec<f64>,
    /// Steps that the run was to have, if the log ends well before.
    pub planned: Option<u64>,
}

/// Norms in order.
#[derive(Debug)]
pub(super) struct Ordered {
    pub(super) norms: Vec<f64>,
    pub(super) run: Option<LoggedRun>,
}

/// Orders `norms`, of which there is one at least, by their steps; of a step that comes several times the last norm is kept.
pub(super) fn ordered(norms: Vec<f64>, steps: Option<Vec<f64>>, plan: Plan) -> Ordered {
    let plan = Plan { total: plan.total.filter(|total| *total >= 1.0), ..plan };
    let steps = steps.or_else(|| numbered(norms.len(), plan));
    let Some(steps) = steps else { return Ordered { norms, run: None } };
    let mut pairs: Vec<(f64, f64)> = steps.into_iter().zip(norms).collect();
    // stable: of a step the later lines stay later
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
    pairs.dedup_by(|later, kept| {
        let is_same = later.0.to_bits() == kept.0.to_bits();
        if is_same {
            kept.1 = later.1;
        }
        is_same
    });
    let (steps, norms): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
    let run = Some(logged_run(&steps, plan));
    Ordered { norms, run }
}

/// Steps of entries that have none, from the interval or the length of the run.
fn numbered(count: usize, plan: Plan) -> Option<Vec<f64>> {
    let interval = plan.interval.filter(|interval| *interval >= 1.0);
    let interval = interval.or_else(|| plan.total.map(|total| total / count as f64))?;
    Some((1..=count).map(|entry| (entry as f64 * interval).round()).collect())
}

/// The run of ascending `steps`, of which there is one at least.
fn logged_run(steps: &[f64], plan: Plan) -> LoggedRun {
    let (first, last) = (steps[0], steps[steps.len() - 1]);
    let mut gaps: Vec<f64> = steps.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let middle = gaps.len() / 2;
    let gap = if gaps.is_empty() { 1.0 } else { *gaps.select_nth_unstable_by(middle, f64::total_cmp).1 };
    // counted from 0, as 0, 10, 20 or as 49, 99, 149
    let from_zero = first == 0.0 || (gap > 1.0 && first > 1.0 && (first + 1.0) % gap == 0.0);
    let (shift, reach) = match (from_zero, first == 0.0) {
        (true, true) => (1.0, last + gap),
        (true, false) => (1.0, last + 1.0),
        _ => (0.0, last),
    };
    let before = if first <= gap.max(MISSING * last) { 0.0 } else { first + shift - gap };
    let near = plan.total.filter(|total| *total >= last && reach >= (1.0 - MISSING) * total);
    let end = near.unwrap_or(reach);
    let count = end - before;
    let place = |step: f64| ((step + shift - before - 1.0) / (count - 1.0).max(1.0)).clamp(0.0, 1.0);
    let is_count = count <= f64::from(MOST_STEPS) || count <= steps.len() as f64;
    LoggedRun {
        steps: is_count.then(|| whole(count)),
        places: steps.iter().copied().map(place).collect(),
        planned: plan.total.filter(|total| near.is_none() && *total > reach).map(whole),
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a whole number that is not negative")]
const fn whole(count: f64) -> u64 {
    count as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(steps: impl Iterator<Item = u32>, total: Option<f64>) -> (Option<u64>, Option<u64>) {
        let run = logged_run(&steps.map(f64::from).collect::<Vec<_>>(), Plan { total, interval: None });
        assert!(run.places.is_sorted() && run.places.iter().all(|place| (0.0..=1.0).contains(place)));
        (run.steps, run.planned)
    }

    #[test]
    fn steps_tell_how_long_a_run_is() {
        let every = |first: u32, gap: usize, last: u32| (first..=last).step_by(gap);
        assert_eq!(steps(every(1, 1, 2000), None), (Some(2000), None));
        assert_eq!(steps(every(0, 1, 1999), None), (Some(2000), None));
        assert_eq!(steps(every(10, 10, 2000), None), (Some(2000), None));
        assert_eq!(steps(every(0, 10, 1990), None), (Some(2000), None));
        assert_eq!(steps(every(49, 50, 1999), None), (Some(2000), None));
        assert_eq!(steps(std::iter::once(1).chain(every(10, 10, 2000)), None), (Some(2000), None));
        assert_eq!(steps(every(30, 30, 1980), Some(2000.0)), (Some(2000), None));
        assert_eq!(steps(every(10, 10, 1200), Some(2000.0)), (Some(1200), Some(2000)));
        assert_eq!(steps(every(1001, 1, 2000), None), (Some(1000), None));
        assert_eq!(steps(every(1010, 10, 2000), None), (Some(1000), None));
        assert_eq!(steps(every(4, 1, 2000), None), (Some(2000), None));
        assert_eq!(steps(every(1_000_000, 1_000_000, 2_000_000_000), None), (None, None));
    }

    #[test]
    fn places_are_those_of_the_steps() {
        let run = logged_run(&[10.0, 20.0, 40.0], Plan::default());
        assert_eq!((run.steps, run.places), (Some(40), vec![9.0 / 39.0, 19.0 / 39.0, 1.0]));
        let run = logged_run(&[0.0, 1.0, 2.0], Plan::default());
        assert_eq!((run.steps, run.places), (Some(3), vec![0.0, 0.5, 1.0]));
        assert_eq!(logged_run(&[7.0], Plan::default()).places.len(), 1);
    }
}
