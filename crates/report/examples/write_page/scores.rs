//! Made-up scores of a domain: normal distributions on grids, so that equal calls give equal numbers.

use headwater_record::profile::{Axis, Density, Histogram, Scale};

/// Bins of a histogram.
const BINS: usize = 60;

/// Cells along each direction of a density.
const CELLS: usize = 48;

/// A quantity whose logarithm, or which itself, is normally distributed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quantity {
    pub(crate) title: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) scale: Scale,
    pub(crate) from: f64,
    pub(crate) to: f64,
    /// Mean, on the axis: a logarithm where the scale is logarithmic.
    pub(crate) mean: f64,
    pub(crate) deviation: f64,
}

impl Quantity {
    pub(crate) fn axis(&self) -> Axis {
        Axis { title: self.title.to_owned(), unit: self.unit.to_owned(), scale: self.scale }
    }

    /// From a value to its place on the axis.
    pub(crate) fn along(&self, value: f64) -> f64 {
        if self.scale == Scale::Log { value.ln() } else { value }
    }

    /// Edges of `count` bins that are equally wide on the axis.
    fn edges(&self, count: usize) -> Vec<f64> {
        let (low, high) = (self.along(self.from), self.along(self.to));
        let edge = |at: usize| {
            let along = low + (high - low) * at as f64 / count as f64;
            if self.scale == Scale::Log { along.exp() } else { along }
        };
        (0..=count).map(edge).collect()
    }

    /// Standard deviations from the mean.
    fn standard(&self, value: f64) -> f64 {
        (self.along(value) - self.mean) / self.deviation
    }

    /// All documents, of which the kept ones have a mean of their own.
    pub(crate) fn histogram(&self, (all, kept): (u64, u64), kept_mean: f64) -> Histogram {
        let edges = self.edges(BINS);
        let shifted = Self { mean: kept_mean, ..*self };
        let kept: Vec<u64> = edges.windows(2).map(|edge| shifted.between(edge, kept)).collect();
        let all = edges.windows(2).zip(&kept).map(|(edge, kept)| self.between(edge, all).max(*kept)).collect();
        Histogram { axis: self.axis(), edges, all, kept }
    }

    /// All documents, of which those above the cut are kept.
    pub(crate) fn cut_at(&self, cut: f64, all: u64) -> Histogram {
        let edges = self.edges(BINS);
        let all: Vec<u64> = edges.windows(2).map(|edge| self.between(edge, all)).collect();
        let kept = edges.windows(2).zip(&all).map(|(edge, count)| {
            let share = ((edge[1] - cut) / (edge[1] - edge[0])).clamp(0.0, 1.0);
            whole(*count as f64 * share)
        });
        Histogram { axis: self.axis(), kept: kept.collect(), edges, all }
    }

    fn between(&self, edge: &[f64], documents: u64) -> u64 {
        let (low, high) = (self.standard(edge[0]), self.standard(edge[1]));
        whole(documents as f64 * bell(f64::midpoint(low, high)) * (high - low))
    }
}

/// Documents over two quantities with a correlation.
pub(crate) fn density(y: &Quantity, x: &Quantity, correlation: f64, documents: u64) -> Density {
    let (x_edges, y_edges) = (x.edges(CELLS), y.edges(CELLS));
    let spread = (1.0 - correlation * correlation).sqrt();
    let cell = |up: &[f64], right: &[f64]| {
        let (left, end) = (x.standard(right[0]), x.standard(right[1]));
        let (low, high) = (y.standard(up[0]), y.standard(up[1]));
        let (across, upward) = (f64::midpoint(left, end), f64::midpoint(low, high));
        let bent = correlation * (across + 0.12 * (across * across - 1.0));
        let share = bell(across) * bell((upward - bent) / spread) / spread * (end - left) * (high - low);
        whole(documents as f64 * share)
    };
    let row = |up: &[f64]| x_edges.windows(2).map(|right| cell(up, right)).collect();
    Density {
        x: x.axis(),
        y: y.axis(),
        counts: y_edges.windows(2).map(row).collect(),
        x_edges: x_edges.clone(),
        y_edges: y_edges.clone(),
        r2: correlation * correlation,
        spearman: correlation * 0.98,
    }
}

fn bell(standard: f64) -> f64 {
    (-0.5 * standard * standard).exp() / std::f64::consts::TAU.sqrt()
}

/// The nearest whole number.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "made-up counts are small and not negative"
)]
fn whole(number: f64) -> u64 {
    number.max(0.0).round() as u64
}
