//! A refined schedule as few points with straight lines between them.

use serde::Serialize;

/// Most points.
const MOST: usize = 257;

/// Largest difference from the schedule that needs no further point, as a fraction of the peak.
const NEAR: f64 = 0.005;

/// Points of a schedule.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Points {
    /// `[fraction of the run, multiplier]`, ascending, the first at 0 and the last at 1.
    pub points: Vec<(f64, f64)>,
    /// The largest difference between the lines and the schedule, as a fraction of the peak: at the shares of the run that the
    /// multipliers stand for, and at the steps of a run of as many steps.
    pub worst: f64,
}

/// A stretch between two neighbouring points, and where in it the line is furthest off.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    from: usize,
    to: usize,
    worst_at: usize,
    worst: f64,
}

impl Stretch {
    fn new(multipliers: &[f64], from: usize, to: usize) -> Self {
        let (start, rise) = (multipliers[from], multipliers[to] - multipliers[from]);
        let length = (to - from).max(1) as f64;
        let mut stretch = Self { from, to, worst_at: from, worst: 0.0 };
        for (at, multiplier) in multipliers.iter().enumerate().take(to).skip(from + 1) {
            let gap = (multiplier - (start + rise * (at - from) as f64 / length)).abs();
            if gap > stretch.worst {
                (stretch.worst_at, stretch.worst) = (at, gap);
            }
        }
        stretch
    }
}

/// Chooses points of evenly spaced `multipliers`: always the place where the lines so far are furthest off, until all are near.
pub(super) fn fit(multipliers: &[f64]) -> Points {
    let last = multipliers.len().saturating_sub(1);
    if last == 0 {
        let only = multipliers.first().copied().unwrap_or(0.0);
        return Points { points: vec![(0.0, only), (1.0, only)], worst: 0.0 };
    }
    let mut stretches = vec![Stretch::new(multipliers, 0, last)];
    let worst = |stretches: &[Stretch]| {
        let furthest = stretches.iter().enumerate().max_by(|a, b| a.1.worst.total_cmp(&b.1.worst));
        furthest.map(|(at, stretch)| (at, *stretch))
    };
    while let Some((at, Stretch { from, to, worst_at, worst })) = worst(&stretches)
        && worst > NEAR
        && stretches.len() + 1 < MOST
    {
        stretches[at] = Stretch::new(multipliers, from, worst_at);
        stretches.push(Stretch::new(multipliers, worst_at, to));
    }
    let mut places: Vec<usize> = stretches.iter().map(|stretch| stretch.from).chain([last]).collect();
    places.sort_unstable();
    let points = places.into_iter().map(|at| (at as f64 / last as f64, multipliers[at])).collect::<Vec<_>>();
    let at_shares = worst(&stretches).map_or(0.0, |(_, stretch)| stretch.worst);
    let worst = at_shares.max(worst_at_steps(multipliers, &points));
    Points { points, worst }
}

/// The largest difference in a run of as many steps as there are multipliers; its step 1 is at a share of 1/N, not 1/(N − 1).
fn worst_at_steps(multipliers: &[f64], points: &[(f64, f64)]) -> f64 {
    let (count, mut right, mut worst) = (multipliers.len() as f64, 1, 0.0_f64);
    for (step, multiplier) in multipliers.iter().enumerate() {
        let share = step as f64 / count;
        while points[right].0 < share {
            right += 1;
        }
        let ((from, start), (to, end)) = (points[right - 1], points[right]);
        worst = worst.max((multiplier - (start + (end - start) * (share - from) / (to - from))).abs());
    }
    worst
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_lie_where_the_schedule_turns() {
        let triangle: Vec<f64> = (0..=1000).map(|at| f64::from(at.min(1000 - at)) / 500.0).collect();
        let fitted = fit(&triangle);
        assert_eq!(fitted.points, [(0.0, 0.0), (0.5, 1.0), (1.0, 0.0)]);
        assert!(fitted.worst < 0.0021, "a step is 0.002 high: {}", fitted.worst);
    }

    #[test]
    fn a_narrow_peak_is_not_missed_and_the_error_is_true() {
        let at = |share: f64| (1.0 - share) * 0.3 + 0.7 * (-((share - 0.0137) / 0.002).powi(2)).exp();
        let peaked: Vec<f64> = (0..=20_000_u32).map(|step| at(f64::from(step) / 20_000.0)).collect();
        let fitted = fit(&peaked);
        let line = |share: f64| {
            let right = fitted.points.partition_point(|point| point.0 < share).clamp(1, fitted.points.len() - 1);
            let (a, b) = (fitted.points[right - 1], fitted.points[right]);
            a.1 + (b.1 - a.1) * (share - a.0) / (b.0 - a.0)
        };
        let off = (0..=20_000_u32).map(|step| f64::from(step) / 20_000.0).map(|share| (line(share) - at(share)).abs());
        let worst = off.fold(0.0, f64::max);
        assert!(worst <= NEAR && worst <= fitted.worst && fitted.worst < 0.02, "{worst} {}", fitted.worst);
        assert!(fitted.points.len() < 60, "{}", fitted.points.len());
    }

    #[test]
    fn noise_is_cut_off_at_the_most_points() {
        let noise: Vec<f64> =
            (0..5000_u32).map(|at| f64::from(at.wrapping_mul(2_654_435_761) % 1000) / 1000.0).collect();
        let fitted = fit(&noise);
        assert_eq!(fitted.points.len(), MOST);
        assert!(fitted.worst > 0.1 && fitted.points.is_sorted_by(|a, b| a.0 < b.0));
        assert_eq!(fit(&[0.5]).points.len(), 2);
    }
}
