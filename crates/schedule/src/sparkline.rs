//! A schedule in one line of text.

use crate::Schedule;
use crate::length::truncated;

/// Heights of a bar, lowest first.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Bars of a sparkline.
const WIDTH: u64 = 60;

/// Rates that make a bar.
const SAMPLES: u32 = 32;

/// The fractional part of the golden ratio.
const GOLDEN: f64 = 0.618_033_988_749_894_9;

impl Schedule {
    /// Draws the rate over the run as at most 60 bars; each is the mean of its stretch, relative to the rate `highest`.
    #[must_use]
    pub fn sparkline(&self, highest: f64) -> String {
        let width = WIDTH.min(self.steps());
        let bar = |column: u64| {
            // places without pattern, so that cycles do not beat with them
            let at = |sample: u32| {
                let part = (f64::from(sample) * GOLDEN + column as f64 * GOLDEN).fract();
                truncated((self.steps() as f64 * (column as f64 + part) / width as f64).floor())
            };
            let sum: f64 = (0..SAMPLES).map(|sample| self.lr(at(sample))).sum();
            let height = sum / f64::from(SAMPLES) / highest * BARS.len() as f64;
            BARS[usize::try_from(truncated(height)).unwrap_or(0).min(BARS.len() - 1)]
        };
        (0..width).map(bar).collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::{Curve, Error, Schedule, WsdSteps};

    #[test]
    fn bars_follow_the_rate() -> Result<(), Error> {
        let of =
            |steps| Schedule::wsd(WsdSteps { steps, warmup_steps: 0, decay_steps: steps / 2 }, Curve::Linear, 1.0, 0.0);
        let line = of(1000)?.sparkline(1.0);
        assert_eq!(line.chars().count(), 60);
        assert!(line.starts_with(&"█".repeat(30)) && line.ends_with('▁'), "{line}");
        assert_eq!(of(4)?.sparkline(2.0).chars().count(), 4);
        assert!(of(1000)?.sparkline(2.0).starts_with('▅'));
        Ok(())
    }
}
