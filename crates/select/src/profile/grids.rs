//! Where the bins of one domain's histograms and densities lie.

use headwater_record::profile::{Axis, Density, Histogram, Scale};

use super::Sampled;
use crate::correction::{COPIED, Finding, NUISANCES, Observation, finding};
use crate::statistics::quantile;

/// Bins of a histogram.
const BINS: usize = 40;

/// Columns and rows of a density.
const COLUMNS: usize = 36;
const ROWS: usize = 24;

/// Shares of the sample that lie beyond the outermost edges, in the outermost bins.
const BEYOND: f64 = 0.002;

/// Equal steps from one value to another, over values or over their logarithms.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Grid {
    from: f64,
    to: f64,
    bins: usize,
}

impl Grid {
    /// Takes in nearly all of `values`.
    fn around(mut values: Vec<f64>, bins: usize) -> Self {
        values.sort_unstable_by(f64::total_cmp);
        let (from, to) = (quantile(&values, BEYOND), quantile(&values, 1.0 - BEYOND));
        let (from, to) = if from.is_finite() && to.is_finite() { (from, to) } else { (0.0, 1.0) };
        let least = 1e-6 * (1.0 + from.abs());
        if to - from > least { Self { from, to, bins } } else { Self { from: from - 0.5, to: from + 0.5, bins } }
    }

    /// The bin of a value.
    pub(super) fn bin(&self, value: f64) -> usize {
        let place = (value - self.from) / (self.to - self.from) * self.bins as f64;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates; NaN is 0")]
        let bin = place.max(0.0) as usize;
        bin.min(self.bins - 1)
    }

    pub(super) const fn bins(&self) -> usize {
        self.bins
    }

    /// The edges, on the scale of people.
    fn edges(&self, scale: Scale) -> Vec<f64> {
        let edge = |at: usize| {
            let edge = self.from + (self.to - self.from) * at as f64 / self.bins as f64;
            if scale == Scale::Log { libm::exp(edge) } else { edge }
        };
        (0..=self.bins).map(edge).collect()
    }
}

/// The grids of one domain, with what the sample says of its correlations.
#[derive(Clone, Debug)]
pub(super) struct Grids {
    rank: String,
    pub(super) value: Grid,
    /// Over the logarithms of tokens, base loss and compression.
    pub(super) controls: [Grid; 3],
    /// Over nuisances as observations have them; that of copying is left out where it is not known.
    pub(super) nuisances: Vec<Grid>,
    /// Over log(1 + influence), and over corrected influence.
    pub(super) influences: [Grid; 2],
    findings: [Vec<Finding>; 2],
}

impl Grids {
    /// Lays the grids around a sample.
    pub(super) fn of(rank: &str, sample: &[Sampled], corrected: impl Fn(&Observation) -> f64) -> Self {
        let of = |value: &dyn Fn(&Sampled) -> f64| sample.iter().map(value).collect::<Vec<f64>>();
        let mut nuisances: Vec<Vec<f64>> =
            (0..NUISANCES.len()).map(|at| of(&|sampled| sampled.observation.nuisances[at])).collect();
        if !nuisances[COPIED].iter().all(|value| value.is_finite()) {
            nuisances.truncate(COPIED);
        }
        let influences = [of(&|sampled| sampled.observation.influence), of(&|sampled| corrected(&sampled.observation))];
        let findings =
            [0, 1].map(|row: usize| nuisances.iter().map(|values| finding(&influences[row], values)).collect());
        let grid = |values: &Vec<f64>, bins| Grid::around(values.clone(), bins);
        Self {
            rank: rank.to_owned(),
            value: Grid::around(of(&|sampled| sampled.value), BINS),
            controls: [grid(&nuisances[2], BINS), grid(&nuisances[0], BINS), grid(&nuisances[1], BINS)],
            nuisances: nuisances.iter().map(|values| grid(values, COLUMNS)).collect(),
            influences: [0, 1].map(|row: usize| grid(&influences[row], ROWS)),
            findings,
        }
    }

    /// The histograms and densities that counts make of the grids; pairs are of all ranked documents and of the kept ones.
    pub(super) fn filled(
        &self,
        value: [Vec<u64>; 2],
        controls: [[Vec<u64>; 2]; 3],
        densities: [Vec<Vec<Vec<u64>>>; 2],
    ) -> (Histogram, Vec<Histogram>, Vec<Vec<Density>>) {
        let histogram = |grid: &Grid, axis: Axis, [all, kept]: [Vec<u64>; 2]| Histogram {
            edges: grid.edges(axis.scale),
            axis,
            all,
            kept,
        };
        let value = histogram(&self.value, value_axis(&self.rank), value);
        let axes = [axis("length", "tokens", Scale::Log), loss_axis(), compression_axis()];
        let controls = self.controls.iter().zip(axes).zip(controls);
        let controls = controls.map(|((grid, axis), counts)| histogram(grid, axis, counts)).collect();
        let density = |row: usize, at: usize, counts: Vec<Vec<u64>>| {
            let copied = axis("copied", "share of tokens", Scale::Linear);
            let x = [loss_axis(), compression_axis(), axis("scored tokens", "tokens", Scale::Log), copied][at].clone();
            let y = ["log(1 + influence)", "corrected influence"][row];
            let Finding { r2, spearman } = self.findings[row][at];
            Density {
                x_edges: self.nuisances[at].edges(x.scale),
                x,
                y: axis(y, "", Scale::Linear),
                y_edges: self.influences[row].edges(Scale::Linear),
                counts,
                r2,
                spearman,
            }
        };
        let densities = densities
            .into_iter()
            .enumerate()
            .map(|(row, cells)| cells.into_iter().enumerate().map(|(at, counts)| density(row, at, counts)).collect());
        (value, controls, densities.collect())
    }
}

fn axis(title: &str, unit: &str, scale: Scale) -> Axis {
    Axis { title: title.to_owned(), unit: unit.to_owned(), scale }
}

fn loss_axis() -> Axis {
    axis("base loss", "nats per token", Scale::Log)
}

fn compression_axis() -> Axis {
    axis("compression", "text bytes per compressed byte", Scale::Log)
}

fn value_axis(rank: &str) -> Axis {
    match rank {
        "corrected" => axis("corrected influence", "", Scale::Linear),
        "loss" => axis("base loss, negated", "nats per token", Scale::Linear),
        "compression" => compression_axis(),
        "copied" => axis("share of tokens copied", "", Scale::Linear),
        "random" => axis("random draw", "", Scale::Linear),
        "rank-sum" => axis("weighted sum of percentiles", "", Scale::Linear),
        other => axis(other, "", Scale::Linear),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_fall_into_their_bins_and_outliers_into_the_last() {
        let grid = Grid { from: 0.0, to: 1000.0, bins: 10 };
        assert_eq!([-50.0, 2.0, 499.0, 501.0, 5_000.0, f64::NAN].map(|value| grid.bin(value)), [0, 0, 4, 5, 9, 0]);
        let edges = grid.edges(Scale::Linear);
        assert_eq!((edges.len(), edges[5]), (11, 500.0));
        assert_eq!(Grid::around(vec![3.0; 9], 4).bin(3.0), 2);
        assert_eq!(Grid::around(Vec::new(), 4).edges(Scale::Linear), [0.0, 0.25, 0.5, 0.75, 1.0]);
    }
}
