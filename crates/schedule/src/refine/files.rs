//! A refined schedule as a table, as configuration, and in numbers.

use std::fmt::Write as _;

use serde::Serialize;

use super::{Approximation, GradientNorm, Refined};
use crate::norms::NormLog;
use crate::{Error, Kind, ScheduleConfig};

/// How a schedule was refined and what it is near to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RefineSummary {
    /// The column that the norms stand in.
    pub column: String,
    /// Norms read, a step once, with infinite ones.
    pub read: usize,
    /// Entries of the log without a number.
    pub skipped: u64,
    /// Norms that a later one of the same step replaced.
    pub repeated: u64,
    /// The last line of the log, if it is cut and was passed over.
    pub passed_over: Option<u64>,
    /// Steps of the schedule: those of the run if the log tells, or else as many as there are norms.
    pub steps: usize,
    /// Steps that the run was to have, if its log ends well before.
    pub planned: Option<u64>,
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
    /// Points that a `points` table has.
    pub points: usize,
    /// Largest difference between that table and the schedule, as a fraction of the peak.
    pub points_worst: f64,
    /// The nearest warm-up and polynomial decay.
    pub nearest: Approximation,
    /// See [`Refined::collapse`].
    pub collapse: Option<f64>,
    /// See [`Refined::early_peak`].
    pub early_peak: Option<f64>,
}

impl Refined {
    /// Summarises the refinement of `log`.
    #[must_use]
    pub fn summary(&self, log: &NormLog) -> RefineSummary {
        let points = self.points();
        let infinite = usize::try_from(log.infinite).unwrap_or(usize::MAX);
        RefineSummary {
            column: log.column.clone(),
            read: self.read.saturating_add(infinite),
            skipped: log.skipped,
            repeated: log.repeated,
            passed_over: log.passed_over,
            steps: self.steps.map_or(self.norms.len(), |steps| usize::try_from(steps).unwrap_or(usize::MAX)),
            planned: log.run.as_ref().and_then(|run| run.planned),
            edges: self.edges,
            infinite: self.infinite.saturating_add(infinite),
            window: self.window,
            floored: self.floored,
            floor: self.options.floor,
            points: points.points.len(),
            points_worst: points.worst,
            nearest: self.approximation(),
            collapse: self.collapse,
            early_peak: self.early_peak,
        }
    }

    /// Returns the table `step,lr_multiplier` for a run of `steps`; by default as [`Refined::logged`].
    #[must_use]
    pub fn csv(&self, steps: Option<usize>) -> String {
        let multipliers = steps.map_or_else(|| self.logged(), |steps| self.resampled(steps));
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
        let points = self.points();
        let (count, worst) = (points.points.len(), points.worst);
        let points = Some(points.points);
        let exact = of(ScheduleConfig { kind: Kind::Points, points, ..ScheduleConfig::default() })?;
        let norm = match self.options.norm {
            GradientNorm::L1 => "l1",
            GradientNorm::L2 => "l2",
        };
        let near = self.approximation();
        let nearest = of(near.config())?;
        let nearest: String = nearest.lines().map(|line| format!("# {line}\n")).collect();
        Ok(format!(
            "# A schedule refined from {norm} gradient norms (arXiv 2310.07831), as kind `points`: straight lines between {count} places.\n\
             # They differ from the refined schedule by at most {worst:.4} of the peak.\n{exact}\n\
             # The nearest that most trainers have, as kind `polynomial`. It differs by at most {:.4} of the peak:\n{nearest}",
            near.worst
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{RefineOptions, refine};
    use super::*;

    #[test]
    fn the_outputs_of_a_refinement() -> Result<(), Error> {
        let norms = [9.0, 9.0, 1.0, 1.0, 1.0, f64::INFINITY, 9.0, 9.0];
        let refined = refine(&norms, &RefineOptions { edges: 2, tau: 0.0, ..RefineOptions::new(GradientNorm::L1) })?;
        let summary = refined.summary(&NormLog { skipped: 7, ..NormLog::default() });
        assert_eq!((summary.read, summary.skipped, summary.edges, summary.infinite), (8, 7, 2, 1));
        assert_eq!(refined.csv(None), "step,lr_multiplier\n0,1.0\n1,0.5\n2,0.0\n");
        assert_eq!(refined.csv(Some(5)).lines().count(), 6);
        let table = refined.toml()?;
        assert!(table.contains("# [schedule]\n# kind = \"polynomial\""), "{table}");
        let read: toml::Table = toml::from_str(&table).expect("comments and one table");
        assert_eq!(read["schedule"]["points"].as_array().map(Vec::len), Some(summary.points));
        assert!(
            table.starts_with(
                "# A schedule refined from l1 gradient norms (arXiv 2310.07831), as kind `points`: straight lines"
            ),
            "{table}"
        );
        let stated = format!("by at most {:.4} of the peak.", summary.points_worst);
        assert!(table.contains(&stated), "{table}");
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
