//! How a rate falls: the shapes of decays, by name and resolved.

use std::f64::consts::PI;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Name of the shape of a decay, as configurations write it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// 1 − q, where q is the share of the decay that is done.
    Linear,
    /// 1 − √q.
    #[default]
    #[serde(rename = "1-sqrt")]
    OneMinusSqrt,
    /// (1 + cos πq) / 2.
    Cosine,
    /// 1 − q².
    #[serde(rename = "1-square")]
    OneMinusSquare,
    /// 2 (1 − q) − (1 + cos πq) / 2.
    MirrorCosine,
    /// The rate halves every `half_life`, down to the floor at most.
    Exponential,
    /// (1 − q)^`exponent`.
    Polynomial,
}

/// The shape of a decay, resolved: the share of (start − floor) that is left after the share *p* of the decay.
///
/// # Source
/// The shapes beside linear, cosine and 1-sqrt: Hägele et al. 2024 (arXiv 2405.18392) §4 for 1-sqrt, square and mirrored cosine;
/// `MiniCPM` (arXiv 2404.06395) §4 for the half-life.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Curve {
    /// 1 − p.
    Linear,
    /// 1 − √p.
    OneMinusSqrt,
    /// (1 + cos πp) / 2.
    Cosine,
    /// 1 − p².
    OneMinusSquare,
    /// 2 (1 − p) − (1 + cos πp) / 2, the cosine mirrored at the line.
    MirrorCosine,
    /// 0.5^(steps / half-life) of the start, but never below the floor; where the decay ends, it stays.
    Exponential {
        /// Steps in which the rate halves, above 0.
        half_life_steps: f64,
    },
    /// (1 − p)^exponent.
    Polynomial {
        /// Above 0; 1 is linear.
        exponent: f64,
    },
}

impl Curve {
    /// Returns the shape's name in configurations.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::OneMinusSqrt => "1-sqrt",
            Self::Cosine => "cosine",
            Self::OneMinusSquare => "1-square",
            Self::MirrorCosine => "mirror-cosine",
            Self::Exponential { .. } => "exponential",
            Self::Polynomial { .. } => "polynomial",
        }
    }

    /// The rate `step` steps into a decay of `steps` from `from` to `floor`; exact at both ends and never outside them.
    pub(crate) fn rate(self, step: u64, steps: u64, (from, floor): (f64, f64)) -> f64 {
        if step == 0 {
            return from;
        }
        let progress = step as f64 / steps as f64;
        let left = match self {
            Self::Exponential { half_life_steps } => {
                return (from * (-(step.min(steps) as f64) / half_life_steps).exp2()).max(floor);
            }
            _ if step >= steps => return floor,
            Self::Linear => 1.0 - progress,
            Self::OneMinusSqrt => 1.0 - progress.sqrt(),
            Self::Cosine => cosine(progress),
            Self::OneMinusSquare => 1.0 - progress * progress,
            Self::MirrorCosine => 2.0 * (1.0 - progress) - cosine(progress),
            Self::Polynomial { exponent } => (1.0 - progress).powf(exponent),
        };
        (floor + (from - floor) * left).clamp(floor, from)
    }
}

fn cosine(progress: f64) -> f64 {
    0.5 * (1.0 + (PI * progress).cos())
}
