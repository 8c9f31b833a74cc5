//! A triangular wave over tokens.

use serde::{Deserialize, Serialize};

use crate::Error;

/// A triangular wave over the tokens of a text: from 0 up to the amplitude, down to its negative, and back to 0.
///
/// # Source
/// CyclicReflex, arXiv 2506.11077, whose public code adds it to the logits of reflection tokens.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Wave {
    amplitude: f64,
    period: f64,
    shift: f64,
}

impl Wave {
    /// A wave of `amplitude` that repeats every `period` tokens and begins `shift` periods late in it.
    ///
    /// # Errors
    /// [`Error::Wave`] for an amplitude or shift that is no finite number, or a period below one token.
    pub fn new(amplitude: f64, period: f64, shift: f64) -> Result<Self, Error> {
        let wrong = |what: &'static str, got: f64| Err(Error::Wave { what, got });
        if !amplitude.is_finite() {
            return wrong("amplitude", amplitude);
        }
        if !(period.is_finite() && period >= 1.0) {
            return wrong("period", period);
        }
        if !shift.is_finite() {
            return wrong("shift", shift);
        }
        Ok(Self { amplitude, period, shift })
    }

    /// The value after `tokens` tokens.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "texts are shorter than 2⁵³ tokens")]
    pub fn at(&self, tokens: u64) -> f64 {
        let Self { amplitude, period, shift } = *self;
        let phase = (tokens as f64 + shift * period).rem_euclid(period) / period;
        if phase <= 0.25 {
            4.0 * phase * amplitude
        } else if phase <= 0.75 {
            amplitude - 4.0 * amplitude * (phase - 0.25)
        } else {
            4.0 * amplitude * (phase - 0.75) - amplitude
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_up_down_and_back() -> Result<(), Error> {
        let wave = Wave::new(5.0, 1200.0, 0.0)?;
        let at = [0, 150, 300, 600, 750, 900, 1050, 1200, 1500];
        assert_eq!(at.map(|token| wave.at(token)), [0.0, 2.5, 5.0, 0.0, -2.5, -5.0, -2.5, 0.0, 5.0]);
        let shifted = Wave::new(5.0, 1200.0, 0.25)?;
        assert!((0..2_400).all(|token| (shifted.at(token) - wave.at(token + 300)).abs() < 1e-12));
        let early = Wave::new(2.0, 4.0, -0.25)?;
        assert_eq!([0, 1, 2, 3].map(|token| early.at(token)), [-2.0, 0.0, 2.0, 0.0]);
        Ok(())
    }

    #[test]
    fn what_is_no_wave_is_refused() {
        for (amplitude, period, shift, said) in [
            (f64::NAN, 10.0, 0.0, "amplitude"),
            (1.0, 0.5, 0.0, "period"),
            (1.0, f64::INFINITY, 0.0, "period"),
            (1.0, 9.0, f64::INFINITY, "shift"),
        ] {
            let error = Wave::new(amplitude, period, shift).expect_err(said).to_string();
            assert!(error.contains(said), "{error}");
        }
    }
}
