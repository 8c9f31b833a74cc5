//! Axes: values to pixels, and ticks.

use headwater_record::profile::Scale;

use crate::numbers;

/// Ticks that fit along an axis.
const MOST_TICKS: usize = 7;

/// A stretch of values laid along a stretch of pixels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ruler {
    values: (f64, f64),
    pixels: (f64, f64),
    scale: Scale,
}

/// A mark on an axis.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tick {
    /// Where it is, in pixels.
    pub(crate) at: f64,
    /// What stands beside it.
    pub(crate) label: String,
}

impl Ruler {
    /// Lays values along pixels. A range that cannot be drawn is widened; a logarithmic one that reaches zero is made linear.
    pub(crate) fn new(values: (f64, f64), scale: Scale, pixels: (f64, f64)) -> Self {
        let (low, high) = if values.0.is_finite() && values.1.is_finite() { values } else { (0.0, 1.0) };
        let scale = if low > 0.0 { scale } else { Scale::Linear };
        let high = if high > low { high } else { low + low.abs().max(1.0) };
        Self { values: (low, high), pixels, scale }
    }

    /// Where a value is, in pixels; values beyond the ends are at the ends.
    pub(crate) fn at(&self, value: f64) -> f64 {
        let (low, high) = (self.along(self.values.0), self.along(self.values.1));
        let share = ((self.along(value) - low) / (high - low)).clamp(0.0, 1.0);
        self.pixels.0 + (self.pixels.1 - self.pixels.0) * if share.is_finite() { share } else { 0.0 }
    }

    /// Whether a value is between the ends.
    pub(crate) fn holds(&self, value: f64) -> bool {
        (self.values.0..=self.values.1).contains(&value)
    }

    /// The ticks, rising.
    pub(crate) fn ticks(&self) -> Vec<Tick> {
        let (low, high) = self.values;
        let found = match self.scale {
            Scale::Log if high / low > 4.0 => decades(low, high),
            _ => equal_steps(low, high),
        };
        found.into_iter().map(|(value, step)| Tick { at: self.at(value), label: numbers::tick(value, step) }).collect()
    }

    fn along(&self, value: f64) -> f64 {
        match self.scale {
            Scale::Linear => value,
            Scale::Log => value.max(f64::MIN_POSITIVE).ln(),
        }
    }
}

/// Round values between the ends, each with the distance to the next.
fn equal_steps(low: f64, high: f64) -> Vec<(f64, f64)> {
    let rough = (high - low) / 5.0;
    let decade = 10.0_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|part| part * decade).into_iter().find(|step| *step >= rough * 0.999);
    let step = step.unwrap_or(rough);
    let first = (low / step - 1e-9).ceil();
    let values = (0..=MOST_TICKS).map(|at| (first + at as f64) * step);
    values.take_while(|value| *value <= high + step * 1e-9).map(|value| (value, step)).collect()
}

/// Powers of ten between the ends, with 2 and 5 between them or with some left out, as fits.
fn decades(low: f64, high: f64) -> Vec<(f64, f64)> {
    let (first, last) = (low.log10().floor(), high.log10().ceil());
    let mut powers = vec![first];
    while let Some(power) = powers.last().filter(|power| **power < last) {
        powers.push(power + 1.0);
    }
    let between = |parts: &[f64]| -> Vec<(f64, f64)> {
        let of_power = |power: &f64| {
            let decade = 10.0_f64.powf(*power);
            parts.iter().map(move |part| (part * decade, decade)).collect::<Vec<_>>()
        };
        let all = powers.iter().flat_map(of_power);
        all.filter(|(value, _)| (low * 0.999_999..=high * 1.000_001).contains(value)).collect()
    };
    let fitting = [&[1.0, 2.0, 5.0][..], &[1.0, 3.0], &[1.0]].into_iter().map(between);
    let Some(found) = fitting.into_iter().find(|found| found.len() <= MOST_TICKS) else {
        let all = between(&[1.0]);
        let every = all.len().div_ceil(MOST_TICKS);
        return all.into_iter().step_by(every).collect();
    };
    if found.len() < 2 { equal_steps(low, high) } else { found }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(low: f64, high: f64, scale: Scale) -> Vec<String> {
        Ruler::new((low, high), scale, (0.0, 100.0)).ticks().into_iter().map(|tick| tick.label).collect()
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!(labels(0.0, 1.0, Scale::Linear), ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(labels(-0.13, 0.31, Scale::Linear), ["−0.1", "0", "0.1", "0.2", "0.3"]);
        assert_eq!(labels(30.0, 40_000.0, Scale::Log), ["30", "100", "300", "1k", "3k", "10k", "30k"]);
        assert_eq!(labels(1.0, 1e12, Scale::Log), ["1", "100", "10k", "1M", "100M", "10B", "1T"]);
        assert_eq!(labels(2.0, 3.0, Scale::Log), ["2.0", "2.2", "2.4", "2.6", "2.8", "3.0"]);
    }

    #[test]
    fn ranges_that_cannot_be_drawn_are_mended() {
        for range in [(1.0, 1.0), (f64::NAN, 2.0), (0.0, f64::INFINITY), (-3.0, -5.0), (1e-300, 1e300)] {
            for scale in [Scale::Linear, Scale::Log] {
                let ruler = Ruler::new(range, scale, (10.0, 90.0));
                let ticks = ruler.ticks();
                assert!((1..=MOST_TICKS + 1).contains(&ticks.len()), "{range:?}: {ticks:?}");
                assert!([f64::NAN, 0.0, 1e308].iter().all(|value| (10.0..=90.0).contains(&ruler.at(*value))));
            }
        }
    }
}
