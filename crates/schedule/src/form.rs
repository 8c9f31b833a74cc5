//! What a schedule is made of: its frame, and what the rate does inside it.

use crate::Curve;

/// A decay: where it starts, how long it lasts, and how the rate falls.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decay {
    /// The last step at the rate that it falls from, S.
    pub start: u64,
    /// Steps, D; 0 for none.
    pub steps: u64,
    /// Its shape.
    pub curve: Curve,
}

impl Decay {
    /// Returns the first step at the rate that it falls to.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.start + self.steps
    }

    /// The rate at `step`, of (before, after) the decay.
    pub(crate) fn rate(&self, step: u64, ends: (f64, f64)) -> f64 {
        self.curve.rate(step.saturating_sub(self.start), self.steps, ends)
    }
}

/// One period of a [`Form::WsdS`]: stable, then a decay that ends with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    /// Steps from the start of the run to the end of the period.
    pub end: u64,
    /// Steps of decay.
    pub decay_steps: u64,
}

/// A corner of a [`Form::Points`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Where, in steps; need not be whole.
    pub step: f64,
    /// The rate there, as a fraction of the peak.
    pub multiplier: f64,
}

/// What the rate does after warm-up, resolved to steps. N is the steps of the run, W those of warm-up.
#[derive(Clone, Debug, PartialEq)]
pub enum Form {
    /// Stable at the peak, then a decay to the floor that ends with the run: warm-up-stable-decay (`MiniCPM`, arXiv 2404.06395). A
    /// decay of N − W steps makes a plain linear (D2Z, arXiv 2502.15938), cosine or polynomial schedule; one of 0, a constant one.
    Wsd(Decay),
    /// Several periods of WSD, each again at the peak from the decayed weights of the one before (WSD-S, arXiv 2410.05192).
    WsdS {
        /// The periods, ascending; the last ends with the run.
        periods: Vec<Period>,
        /// Shape of every decay.
        curve: Curve,
    },
    /// The rate is multiplied by `factor` at each milestone (`DeepSeek`, arXiv 2401.02954).
    MultiStep {
        /// The first steps at the lower rates, ascending.
        milestones: Vec<u64>,
        /// In (0, 1].
        factor: f64,
    },
    /// peak · √(T / (t − W + T)), then a decay (Zhai et al. 2021, arXiv 2106.04560). T = W makes peak · √(W / t).
    InverseSqrt {
        /// T.
        timescale_steps: f64,
        /// The cooldown.
        decay: Decay,
    },
    /// min(peak, c · n^b) after n tokens, then a decay (Power, arXiv 2408.13359).
    Power {
        /// c: the paper's a, 4.6, times the sequences of a batch.
        coefficient: f64,
        /// b, below 0; the paper's is −0.51.
        exponent: f64,
        /// Tokens a step.
        tokens_per_step: u64,
        /// The cooldown.
        decay: Decay,
    },
    /// A cooldown to a constant rate, that rate for as long as data come, and a short decay at the end (arXiv 2403.08763).
    Infinite {
        /// From the peak to the rate that is held; starts when warm-up ends.
        cooldown: Decay,
        /// The rate that is held, as a fraction of the peak.
        hold: f64,
        /// From the held rate to the floor.
        decay: Decay,
    },
    /// Slow start, fast decay (arXiv 2012.13628): in epoch e, from 1, the rate is peak · e / ramp up to epoch `ramp`, then
    /// multiplied by `factor` every epoch. The shape follows public reconstructions; the paper's own numbers are unconfirmed.
    SlowStart {
        /// Epochs of the ramp.
        ramp: u64,
        /// In (0, 1]; a half by default.
        factor: f64,
        /// Equal stretches of the run.
        epochs: u64,
    },
    /// Cycles of a linear rise from the floor and a linear fall back to it (Smith 2017, arXiv 1506.01186).
    Triangular {
        /// Steps of a cycle.
        cycle_steps: u64,
        /// Of those, steps of the rise.
        rise_steps: u64,
        /// What each cycle's height is multiplied by after it; 1 keeps it.
        damping: f64,
    },
    /// Straight lines between points, the first at 0 and the last at N.
    Points(Vec<Point>),
}

impl Form {
    /// Returns the decay that ends with the run, whose steps may be 0; `None` for forms without one.
    #[must_use]
    pub const fn decay(&self) -> Option<&Decay> {
        match self {
            Self::Wsd(decay)
            | Self::InverseSqrt { decay, .. }
            | Self::Power { decay, .. }
            | Self::Infinite { decay, .. } => Some(decay),
            _ => None,
        }
    }
}

/// What every form of schedule has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Frame {
    /// Steps of the run, N.
    pub steps: u64,
    /// Steps of linear warm-up from 0, W.
    pub warmup_steps: u64,
    /// The highest learning rate.
    pub peak_lr: f64,
    /// The lowest after warm-up, as a fraction of the peak.
    pub floor: f64,
}
