//! A refined schedule as a table, as configuration, and in numbers.

use std::fmt::Write as _;

use serde::Serialize;

use super::{Approximation, Refined};
use crate::{Error, Kind, ScheduleConfig};

/// Points of a refined schedule in a `[schedule]` table.
const POINTS: usize = 65;

/// How a schedule was refined and what it is near to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct RefineSummary {
    /// Norms read.
    pub read: usize,
    /// Entries of the log without a norm.
    pub skipped: u64,
    /// Norms left out at each end.
    pub edges: usize,
    /// Infinite norms left out.
    pub infinite: usize,
    /// Width of the median filter, in norms.
    pub window: usize,
    /// Norms that were raised to the floor.
    pub floored: usize,
    /// The floor, as a share of the median norm.
    pub floor: f64,
    /// The nearest warm-up and polynomial decay.
    pub nearest: Approximation,
    /// See [`Refined::collapse`].
    pub collapse: Option<f64>,
    /// See [`Refined::early_peak`].
    pub early_peak: Option<f64>,
}

impl Refined {
    /// Summarises the refinement of a log with `skipped` entries without a norm.
    #[must_use]
    pub fn summary(&self, skipped: u64) -> RefineSummary {
        RefineSummary {
            read: self.read,
            skipped,
            edges: self.edges,
            infinite: self.infinite,
            window: self.window,
            floored: self.floored,
            floor: self.options.floor,
            nearest: self.approximation(),
            collapse: self.collapse,
            early_peak: self.early_peak,
        }
    }

    /// Returns the table `step,lr_multiplier` for a run of `steps`; by default of as many as there were norms.
    #[must_use]
    pub fn csv(&self, steps: Option<usize>) -> String {
        let multipliers = steps.map_or_else(|| self.multipliers(), |steps| self.resampled(steps));
        let mut table = "step,lr_multiplier\n".to_owned();
        for (step, multiplier) in multipliers.iter().enumerate() {
            // writing to a string does not fail
            let _ = writeln!(table, "{step},{multiplier:?}");
        }
        table
    }

    /// Returns the `[schedule]` table of kind `points`, with the nearest that most trainers have in comments below it.
    ///
    /// # Errors
    /// [`Error::Toml`].
    pub fn toml(&self) -> Result<String, Error> {
        #[derive(Serialize)]
        struct Table {
            schedule: ScheduleConfig,
        }
        let of = |schedule| toml::to_string(&Table { schedule }).map_err(|source| Error::Toml { source });
        let points = Some(self.points(POINTS));
        let exact = of(ScheduleConfig { kind: Kind::Points, points, ..ScheduleConfig::default() })?;
        let nearest = of(self.approximation().config())?;
        let nearest: String = nearest.lines().map(|line| format!("# {line}\n")).collect();
        Ok(format!(
            "# The refined schedule at {POINTS} places.\n{exact}\n# The nearest that most trainers have:\n{nearest}"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{GradientNorm, RefineOptions, refine};
    use super::*;

    #[test]
    fn the_outputs_of_a_refinement() -> Result<(), Error> {
        let norms = [9.0, 9.0, 1.0, 1.0, 1.0, f64::INFINITY, 9.0, 9.0];
        let refined = refine(&norms, &RefineOptions { edges: 2, tau: 0.0, ..RefineOptions::new(GradientNorm::L1) })?;
        let summary = refined.summary(7);
        assert_eq!((summary.read, summary.skipped, summary.edges, summary.infinite), (8, 7, 2, 1));
        assert_eq!(refined.csv(None), "step,lr_multiplier\n0,1.0\n1,0.5\n2,0.0\n");
        assert_eq!(refined.csv(Some(5)).lines().count(), 6);
        let table = refined.toml()?;
        assert!(table.contains("# [schedule]\n# kind = \"polynomial\""), "{table}");
        let read: toml::Table = toml::from_str(&table).expect("comments and one table");
        assert_eq!(read["schedule"]["points"].as_array().map(Vec::len), Some(POINTS));
        Ok(())
    }

    #[test]
    fn a_wrong_norm_is_counted_from_the_start_of_the_log() {
        let options = RefineOptions { edges: 2, ..RefineOptions::new(GradientNorm::L2) };
        let refined = refine(&[1.0, 1.0, 1.0, -1.0, 1.0, 1.0, 1.0], &options);
        assert!(matches!(refined, Err(Error::Norm { index: 3, .. })), "{refined:?}");
        assert!(matches!(refine(&[1.0; 6], &options), Err(Error::FewNorms { got: 2, .. })));
    }
}
