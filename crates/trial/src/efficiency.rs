//! How much compute the control takes for an arm's loss.
//!
//! Both arms train models of one size, so compute goes with tokens. The curves must be of the stable phase, at one constant rate: once a
//! rate decays, loss falls at once, and curves of runs that decay at other places cannot be read across. Nothing is extrapolated: the loss that is
//! asked of both is the higher of the two last ones, which both reach.

use serde::{Deserialize, Serialize};

use crate::Error;

/// A held-out loss during training.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// Tokens trained on; above 0.
    pub tokens: u64,
    /// Loss then, bits per byte.
    pub bits_per_byte: f64,
}

/// Compute at equal loss.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct EfficiencyGain {
    /// Tokens of the control by tokens of the arm, which is compute by compute; above 1 the arm learns faster.
    pub gain: f64,
    /// The loss that both reach, bits per byte.
    pub bits_per_byte: f64,
    /// Tokens by which the control reaches it.
    pub control_tokens: f64,
    /// Tokens by which the arm does.
    pub arm_tokens: f64,
}

/// Returns how much compute `control` takes by the arm's for equal loss. `None` if one of the curves starts below that loss, so that it is
/// not known when it was reached.
///
/// If the arm ends lower, it is the compute of the control's whole curve by what the arm takes to get there. If the arm ends higher, it is
/// what the control takes to get where the arm ends, by the arm's whole curve. Curves are made to fall before they are read.
///
/// # Shapes
/// `control`, `arm`: `(measurement,)`, in ascending order of tokens, from the stable phase of models of one size.
///
/// # Errors
/// [`Error::TooFew`] for a curve of fewer than two points, [`Error::Curve`] if tokens do not rise from above 0 or a loss is not finite.
///
/// # Source
/// Isotonic regression by adjacent violators (Ayer et al. 1955); between points, loss is a line in the logarithm of tokens.
pub fn efficiency_gain(control: &[CurvePoint], arm: &[CurvePoint]) -> Result<Option<EfficiencyGain>, Error> {
    let (control, arm) = (Falling::of(control)?, Falling::of(arm)?);
    let bits_per_byte = control.last().max(arm.last());
    let tokens = (control.reaches(bits_per_byte), arm.reaches(bits_per_byte));
    let (Some(control_tokens), Some(arm_tokens)) = tokens else { return Ok(None) };
    Ok(Some(EfficiencyGain { gain: control_tokens / arm_tokens, bits_per_byte, control_tokens, arm_tokens }))
}

/// A curve that never rises.
struct Falling {
    /// (logarithm of tokens, loss), at least two.
    points: Vec<(f64, f64)>,
}

impl Falling {
    /// Checks `curve` and makes it fall: of points that rise, all get their mean.
    fn of(curve: &[CurvePoint]) -> Result<Self, Error> {
        Error::unless_enough("points of a loss curve", 2, curve.len())?;
        let mut tokens_before = 0;
        let mut blocks: Vec<(f64, usize)> = Vec::new(); // (mean loss, points)
        for (at, point) in curve.iter().enumerate() {
            if point.tokens <= tokens_before {
                return Err(Error::Curve { at, rule: "tokens must rise, from above 0" });
            }
            if !point.bits_per_byte.is_finite() {
                return Err(Error::Curve { at, rule: "its loss must be finite" });
            }
            tokens_before = point.tokens;
            let mut block = (point.bits_per_byte, 1);
            while let Some((mean, points)) = blocks.pop_if(|(mean, _)| *mean < block.0) {
                let all = points + block.1;
                block = ((mean * points as f64 + block.0 * block.1 as f64) / all as f64, all);
            }
            blocks.push(block);
        }
        let losses = blocks.into_iter().flat_map(|(mean, points)| std::iter::repeat_n(mean, points));
        let tokens = curve.iter().map(|point| libm::log(point.tokens as f64));
        Ok(Self { points: tokens.zip(losses).collect() })
    }

    /// The loss at the end.
    fn last(&self) -> f64 {
        self.points[self.points.len() - 1].1
    }

    /// The tokens by which the curve first is at `loss`, which is no lower than its last. `None` if it starts below.
    fn reaches(&self, loss: f64) -> Option<f64> {
        let after = self.points.iter().position(|(_, lower)| *lower <= loss)?;
        let (tokens, lower) = self.points[after];
        if lower == loss {
            return Some(libm::exp(tokens));
        }
        let (tokens_before, higher) = self.points[after.checked_sub(1)?];
        let way = (higher - loss) / (higher - lower);
        Some(libm::exp(tokens_before + way * (tokens - tokens_before)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn curve(points: &[(u64, f64)]) -> Vec<CurvePoint> {
        points
            .iter()
            .map(|(tokens, bits_per_byte)| CurvePoint { tokens: *tokens, bits_per_byte: *bits_per_byte })
            .collect()
    }

    fn gain(control: &[(u64, f64)], arm: &[(u64, f64)]) -> Option<EfficiencyGain> {
        efficiency_gain(&curve(control), &curve(arm)).unwrap()
    }

    #[test]
    fn compute_at_equal_loss() {
        let control = [(100, 3.0), (1_000, 2.0), (10_000, 1.0)];
        // the arm gets to the control's end in a tenth of its tokens, and ends lower
        let better = gain(&control, &[(100, 2.0), (1_000, 1.0), (10_000, 0.5)]).unwrap();
        assert!((better.gain - 10.0).abs() < 1e-9 && better.bits_per_byte == 1.0, "{better:?}");
        // the arm ends at 1.5, half way between 1,000 and 10,000 tokens of the control by logarithm
        let worse = gain(&control, &[(100, 3.5), (10_000, 1.5)]).unwrap();
        assert!((worse.control_tokens - 1_000.0 * 10_f64.sqrt()).abs() < 1e-6, "{worse:?}");
        assert!((worse.gain - 1.0 / 10_f64.sqrt()).abs() < 1e-9);
        assert!((gain(&control, &control).unwrap().gain - 1.0).abs() < 1e-12);
    }

    #[test]
    fn nothing_is_extrapolated() {
        assert_eq!(gain(&[(100, 3.0), (1_000, 2.0)], &[(100, 1.5), (1_000, 1.0)]), None, "the arm starts below");
        assert_eq!(gain(&[(100, 1.5), (1_000, 1.0)], &[(100, 3.0), (1_000, 2.0)]), None, "the control starts below");
        let at_the_start = gain(&[(100, 3.0), (1_000, 2.0)], &[(100, 2.0), (1_000, 1.0)]).unwrap();
        assert!((at_the_start.gain - 10.0).abs() < 1e-9, "the first point counts");
    }

    #[test]
    fn a_curve_that_rises_is_levelled() {
        // by hand: 2.0 and 2.2 become 2.1 each, which 1,000 tokens reach first
        let noisy = [(100, 3.0), (1_000, 2.0), (2_000, 2.2), (10_000, 1.0)];
        let read = gain(&noisy, &[(100, 3.0), (4_000, 2.1)]).unwrap();
        assert!((read.control_tokens - 1_000.0).abs() < 1e-9, "{read:?}");
        // rising throughout, it is its mean from the start
        let rising = Falling::of(&curve(&[(1, 1.0), (2, 2.0), (4, 3.0)])).unwrap();
        assert!(rising.points.iter().all(|(_, loss)| *loss == 2.0));
    }

    #[test]
    fn what_is_no_curve_is_refused() {
        let refused = |points: &[(u64, f64)]| efficiency_gain(&curve(points), &curve(&[(1, 2.0), (2, 1.0)]));
        assert!(matches!(refused(&[(1, 2.0)]), Err(Error::TooFew { .. })));
        assert!(matches!(refused(&[(0, 2.0), (1, 1.0)]), Err(Error::Curve { at: 0, .. })));
        assert!(matches!(refused(&[(2, 2.0), (2, 1.0)]), Err(Error::Curve { at: 1, .. })));
        assert!(matches!(refused(&[(1, 2.0), (2, f64::NAN)]), Err(Error::Curve { at: 1, .. })));
    }

    proptest! {
        #[test]
        fn the_other_way_round_is_the_inverse(
            control in prop::collection::vec(0.5..3.0, 2..8), arm in prop::collection::vec(0.5..3.0, 2..8),
        ) {
            let points = |losses: Vec<f64>| (1..).map(|at| 100 * at).zip(losses).collect::<Vec<_>>();
            let (control, arm) = (points(control), points(arm));
            match (gain(&control, &arm), gain(&arm, &control)) {
                (Some(there), Some(back)) => prop_assert!((there.gain * back.gain - 1.0).abs() < 1e-9),
                (there, back) => prop_assert_eq!((there, back), (None, None)),
            }
        }
    }
}
