//! The `[schedule]` table of a pipeline, before it is resolved to steps.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::form::{Decay, Form, Frame, Period, Point};
use crate::length::rounded;
use crate::{Curve, Error, Length, Periods, RunLength, Schedule, Shape};

/// Most periods of a schedule.
const MOST_PERIODS: u64 = 10_000;

/// Family of the schedule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Warm-up, constant at the peak, decay at the end (warmup-stable-decay).
    #[default]
    Wsd,
    /// Several periods of `wsd` without a new warm-up.
    WsdS,
    /// Falls linearly to the floor (D2Z with floor 0).
    Linear,
    /// Falls to the floor along half a cosine.
    Cosine,
    /// Falls to the floor as (1 − p)^`exponent`.
    Polynomial,
    /// The peak to the end.
    Constant,
    /// Multiplied by `factor` at every milestone.
    MultiStep,
    /// Inverse square root of the step, then a decay.
    InverseSqrt,
    /// A power of the tokens seen, then a decay.
    Power,
    /// Falls to a rate that is held, then a decay.
    Infinite,
    /// By epochs: rises, then falls by a factor.
    SlowStart,
    /// Cycles that rise and fall linearly.
    Triangular,
    /// Straight lines between given points.
    Points,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 13] = [
        Self::Wsd,
        Self::WsdS,
        Self::Linear,
        Self::Cosine,
        Self::Polynomial,
        Self::Constant,
        Self::MultiStep,
        Self::InverseSqrt,
        Self::Power,
        Self::Infinite,
        Self::SlowStart,
        Self::Triangular,
        Self::Points,
    ];

    /// Returns the kind's name in configurations.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Wsd => "wsd",
            Self::WsdS => "wsd-s",
            Self::Linear => "linear",
            Self::Cosine => "cosine",
            Self::Polynomial => "polynomial",
            Self::Constant => "constant",
            Self::MultiStep => "multi-step",
            Self::InverseSqrt => "inverse-sqrt",
            Self::Power => "power",
            Self::Infinite => "infinite",
            Self::SlowStart => "slow-start",
            Self::Triangular => "triangular",
            Self::Points => "points",
        }
    }

    /// Returns the keys that the kind takes, besides `kind`.
    #[must_use]
    pub const fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Wsd => &["warmup", "decay", "shape", "half_life", "exponent", "floor"],
            Self::WsdS => &["warmup", "periods", "decay", "shape", "half_life", "exponent", "floor"],
            Self::Linear | Self::Cosine => &["warmup", "floor"],
            Self::Polynomial => &["warmup", "exponent", "floor"],
            Self::Constant => &["warmup"],
            Self::MultiStep => &["warmup", "milestones", "factor", "floor"],
            Self::InverseSqrt => &["warmup", "timescale", "decay", "shape", "half_life", "floor"],
            Self::Power => &["warmup", "coefficient", "exponent", "decay", "shape", "half_life", "floor"],
            Self::Infinite => &["warmup", "cooldown", "cooldown_shape", "hold", "decay", "shape", "half_life", "floor"],
            Self::SlowStart => &["base", "ramp", "factor", "epochs", "floor"],
            Self::Triangular => &["cycle", "rise", "damping", "floor"],
            Self::Points => &["points"],
        }
    }
}

/// The `[schedule]` table: `kind`, and the keys of that kind; the others must be absent.
///
/// # Source
/// Defaults: AttentionInfluence (arXiv 2505.07293) §4 for the 0.1 % warm-up and the 25 % decay; the paper is silent on
/// shape and floor, which follow the `SmolLM` configuration that it refers to (1-sqrt to 0). Milestones and factor: `DeepSeek`
/// (arXiv 2401.02954) §3.1; coefficient and exponent: Power (arXiv 2408.13359); hold and cooldown: a quarter and a cosine are
/// our choice.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ScheduleConfig {
    /// The family of the schedule.
    pub kind: Kind,
    /// Length of the linear warm-up from 0; 0 for none. Default 0.001.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warmup: Option<Length>,
    /// Length of the decay at the end of the run; under `wsd-s` at the end of each period, where a fraction is one of the period. Default
    /// 0.25.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decay: Option<Length>,
    /// How the decay falls. Default `1-sqrt`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shape: Option<Shape>,
    /// Length in which the rate halves, for shape `exponential`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub half_life: Option<Length>,
    /// Exponent of kind or shape `polynomial` (default 1), or of kind `power` (default −0.51).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exponent: Option<f64>,
    /// Lowest rate after warm-up, as a fraction of the peak. Default 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub floor: Option<f64>,
    /// `wsd-s`: the number of equal periods, or a list with the length of each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub periods: Option<Periods>,
    /// `multi-step`: where the rate is multiplied by `factor`. Default 0.8 and 0.9.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub milestones: Option<Vec<Length>>,
    /// Multiplier, above 0 and at most 1, of `multi-step` (default √0.1 = 0.316) and `slow-start` (default 0.5).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub factor: Option<f64>,
    /// `inverse-sqrt`: T in √(T / (T + steps after warm-up)). Default: the length of the warm-up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timescale: Option<Length>,
    /// `power`: factor a in a · sequences in a batch · tokens^`exponent`. Default 4.6.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub coefficient: Option<f64>,
    /// `infinite`: length of the first fall, from the peak to `hold`. Default 0.25.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cooldown: Option<Length>,
    /// `infinite`: how that falls. Default `cosine`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cooldown_shape: Option<Shape>,
    /// `infinite`: the rate that is held, as a fraction of the peak. Default 0.25.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold: Option<f64>,
    /// `slow-start`: learning rate of the first epoch; the peak is then `base` × `ramp`, and `[recipe] peak_lr` is not used. Default:
    /// peak / `ramp`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<f64>,
    /// `slow-start`: epochs in which the rate rises. Default 5.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ramp: Option<u64>,
    /// `slow-start`: epochs of the run, all equally long. Default 10.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epochs: Option<u64>,
    /// `triangular`: length of a cycle.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cycle: Option<Length>,
    /// `triangular`: share of a cycle in which the rate rises. Default 0.5.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rise: Option<f64>,
    /// `triangular`: height of a cycle relative to the one before. Default 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub damping: Option<f64>,
    /// `points`: pairs `[fraction of the run, fraction of the peak]`, with straight lines between.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub points: Option<Vec<(f64, f64)>>,
}

impl ScheduleConfig {
    /// Resolves the table for one run.
    ///
    /// # Errors
    /// [`Error::ForeignKey`] and [`Error::MissingKey`] for keys that do not go with the kind, and as [`Schedule::new`].
    pub fn resolve(&self, run: RunLength, peak_lr: f64) -> Result<Schedule, Error> {
        self.validate_keys()?;
        if let Some(base) = self.base.filter(|base| !(base.is_finite() && *base > 0.0)) {
            return Err(Error::Value { key: "base", got: base.to_string(), expected: "positive and finite" });
        }
        let frame = Frame {
            steps: run.steps,
            warmup_steps: if self.kind.keys().contains(&"warmup") { self.warmup().steps(run) } else { 0 },
            peak_lr: self.base.map_or(peak_lr, |base| base * self.ramp() as f64),
            floor: self.floor.unwrap_or(0.0),
        };
        Schedule::new(frame, self.form(run, &frame)?)
    }

    fn validate_keys(&self) -> Result<(), Error> {
        let (kind, keys) = (self.kind.name(), self.kind.keys());
        let foreign = self.given().into_iter().find(|key| !keys.contains(key));
        foreign.map_or(Ok(()), |key| Err(Error::ForeignKey { key, kind, keys: keys.join(", ") }))
    }

    /// The keys that are written, besides `kind`.
    fn given(&self) -> Vec<&'static str> {
        let keys = [
            ("warmup", self.warmup.is_some()),
            ("decay", self.decay.is_some()),
            ("shape", self.shape.is_some()),
            ("half_life", self.half_life.is_some()),
            ("exponent", self.exponent.is_some()),
            ("floor", self.floor.is_some()),
            ("periods", self.periods.is_some()),
            ("milestones", self.milestones.is_some()),
            ("factor", self.factor.is_some()),
            ("timescale", self.timescale.is_some()),
            ("coefficient", self.coefficient.is_some()),
            ("cooldown", self.cooldown.is_some()),
            ("cooldown_shape", self.cooldown_shape.is_some()),
            ("hold", self.hold.is_some()),
            ("base", self.base.is_some()),
            ("ramp", self.ramp.is_some()),
            ("epochs", self.epochs.is_some()),
            ("cycle", self.cycle.is_some()),
            ("rise", self.rise.is_some()),
            ("damping", self.damping.is_some()),
            ("points", self.points.is_some()),
        ];
        keys.into_iter().filter(|(_, is_given)| *is_given).map(|(key, _)| key).collect()
    }

    /// Length of the warm-up, as written or by default.
    #[must_use]
    pub fn warmup(&self) -> Length {
        self.warmup.unwrap_or(Length::Fraction(0.001))
    }

    /// Length of the decay, as written or by default.
    #[must_use]
    pub fn decay(&self) -> Length {
        self.decay.unwrap_or(Length::Fraction(0.25))
    }

    fn ramp(&self) -> u64 {
        self.ramp.unwrap_or(5)
    }

    fn form(&self, run: RunLength, frame: &Frame) -> Result<Form, Error> {
        Ok(match self.kind {
            Kind::Wsd => Form::Wsd(self.final_decay(run)?),
            Kind::Linear => whole_run(frame, Curve::Linear),
            Kind::Cosine => whole_run(frame, Curve::Cosine),
            Kind::Polynomial => whole_run(frame, Curve::Polynomial { exponent: self.exponent.unwrap_or(1.0) }),
            Kind::Constant => Form::Wsd(Decay { start: run.steps, steps: 0, curve: Curve::Linear }),
            Kind::WsdS => Form::WsdS { periods: self.periods(run)?, curve: self.curve(run)? },
            Kind::MultiStep => {
                let default = || vec![Length::Fraction(0.8), Length::Fraction(0.9)];
                let milestones = self.milestones.clone().unwrap_or_else(default);
                let milestones = milestones.iter().map(|length| length.steps(run)).collect();
                Form::MultiStep { milestones, factor: self.factor.unwrap_or(0.1_f64.sqrt()) }
            }
            Kind::InverseSqrt => {
                let timescale_steps = self.timescale.map_or(frame.warmup_steps, |length| length.steps(run)) as f64;
                Form::InverseSqrt { timescale_steps, decay: self.final_decay(run)? }
            }
            Kind::Power => Form::Power {
                coefficient: self.coefficient.unwrap_or(4.6) * run.batch.sequences as f64,
                exponent: self.exponent.unwrap_or(-0.51),
                tokens_per_step: run.batch.tokens(),
                decay: self.final_decay(run)?,
            },
            Kind::Infinite => Form::Infinite {
                cooldown: Decay {
                    start: frame.warmup_steps,
                    steps: self.cooldown.unwrap_or(Length::Fraction(0.25)).steps(run),
                    curve: self.curve_of(self.cooldown_shape.unwrap_or(Shape::Cosine), run)?,
                },
                hold: self.hold.unwrap_or(0.25),
                decay: self.final_decay(run)?,
            },
            Kind::SlowStart => Form::SlowStart {
                ramp: self.ramp(),
                factor: self.factor.unwrap_or(0.5),
                epochs: self.epochs.unwrap_or(10),
            },
            Kind::Triangular => {
                let cycle_steps = self.needed(self.cycle, "cycle", "such as { steps = 2000 }")?.steps(run);
                let rise = self.rise.unwrap_or(0.5);
                if !(0.0..=1.0).contains(&rise) {
                    let expected = "a fraction of the cycle in [0, 1]";
                    return Err(Error::Value { key: "rise", got: rise.to_string(), expected });
                }
                Form::Triangular {
                    cycle_steps,
                    rise_steps: rounded(rise * cycle_steps as f64),
                    damping: self.damping.unwrap_or(1.0),
                }
            }
            Kind::Points => {
                let points = self.needed(self.points.as_ref(), "points", "such as [[0, 0], [0.01, 1], [1, 0]]")?;
                let steps = run.steps as f64;
                Form::Points(
                    points.iter().map(|(at, multiplier)| Point { step: at * steps, multiplier: *multiplier }).collect(),
                )
            }
        })
    }

    fn needed<T>(&self, value: Option<T>, key: &'static str, example: &'static str) -> Result<T, Error> {
        value.ok_or_else(|| Error::MissingKey { key, kind: self.kind.name(), example })
    }

    fn final_decay(&self, run: RunLength) -> Result<Decay, Error> {
        let steps = self.decay().steps(run);
        Ok(Decay { start: run.steps.saturating_sub(steps), steps, curve: self.curve(run)? })
    }

    fn curve(&self, run: RunLength) -> Result<Curve, Error> {
        let shape = self.shape.unwrap_or_default();
        if shape != Shape::Exponential && self.half_life.is_some() && self.cooldown_shape != Some(Shape::Exponential) {
            let (key, kind) = ("half_life", self.kind.name());
            return Err(Error::ForeignKey { key, kind, keys: "it only with shape = \"exponential\"".to_owned() });
        }
        let is_polynomial = shape == Shape::Polynomial || self.cooldown_shape == Some(Shape::Polynomial);
        if self.exponent.is_some() && !is_polynomial && matches!(self.kind, Kind::Wsd | Kind::WsdS) {
            let (key, kind) = ("exponent", self.kind.name());
            return Err(Error::ForeignKey { key, kind, keys: "it only with shape = \"polynomial\"".to_owned() });
        }
        self.curve_of(shape, run)
    }

    fn curve_of(&self, shape: Shape, run: RunLength) -> Result<Curve, Error> {
        Ok(match shape {
            Shape::Linear => Curve::Linear,
            Shape::OneMinusSqrt => Curve::OneMinusSqrt,
            Shape::Cosine => Curve::Cosine,
            Shape::OneMinusSquare => Curve::OneMinusSquare,
            Shape::MirrorCosine => Curve::MirrorCosine,
            Shape::Exponential => {
                let example =
                    "the length in which the rate halves, such as { steps = 5000 }, for shape \"exponential\"";
                let half_life = self.needed(self.half_life, "half_life", example)?;
                Curve::Exponential { half_life_steps: half_life.steps(run) as f64 }
            }
            // a power's exponent is that of its tokens
            Shape::Polynomial if self.kind == Kind::Power => Curve::Polynomial { exponent: 1.0 },
            Shape::Polynomial => Curve::Polynomial { exponent: self.exponent.unwrap_or(1.0) },
        })
    }

    fn periods(&self, run: RunLength) -> Result<Vec<Period>, Error> {
        let periods = self.needed(self.periods.as_ref(), "periods", "such as 4, or [0.25, 0.25, 0.5]")?;
        let ends: Vec<u64> = match periods {
            Periods::Equal(0) => return Err(Error::Value { key: "periods", got: "0".to_owned(), expected: "above 0" }),
            Periods::Equal(count) if *count > MOST_PERIODS.min(run.steps) => {
                let expected = "at most 10,000, and at most the steps of the run";
                return Err(Error::Value { key: "periods", got: count.to_string(), expected });
            }
            Periods::Equal(count) => {
                (1..=*count).map(|end| rounded(run.steps as f64 * (end as f64 / *count as f64))).collect()
            }
            // fractions of the whole are rounded where they end, so that they fill it
            Periods::Lengths(lengths) if fills(lengths) => lengths
                .iter()
                .scan(0.0, |end, length| {
                    *end += if let Length::Fraction(fraction) = length { *fraction } else { 0.0 };
                    Some(rounded(run.steps as f64 * end.min(1.0)))
                })
                .collect(),
            Periods::Lengths(lengths) => lengths
                .iter()
                .scan(0_u64, |end, length| {
                    *end = end.saturating_add(length.steps(run));
                    Some(*end)
                })
                .collect(),
        };
        let starts = std::iter::once(0).chain(ends.iter().copied());
        let decays = starts
            .zip(&ends)
            .map(|(start, end)| self.decay().steps(RunLength { steps: end.saturating_sub(start), batch: run.batch }));
        let decays: Vec<u64> = decays.collect();
        Ok(ends.iter().zip(decays).map(|(end, decay_steps)| Period { end: *end, decay_steps }).collect())
    }
}

/// Whether lengths are fractions that make a whole.
fn fills(lengths: &[Length]) -> bool {
    let fraction = |length: &Length| if let Length::Fraction(fraction) = length { *fraction } else { f64::NAN };
    (lengths.iter().map(fraction).sum::<f64>() - 1.0).abs() < 1e-9
}

fn whole_run(frame: &Frame, curve: Curve) -> Form {
    let start = frame.warmup_steps.min(frame.steps);
    Form::Wsd(Decay { start, steps: frame.steps - start, curve })
}

#[cfg(test)]
mod tests;
