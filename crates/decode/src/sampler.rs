//! Draws a token from logits.

use rand::RngExt;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::Error;

/// How tokens are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sampling {
    /// 0 takes the most likely token, the lowest id of several.
    pub temperature: f64,
    /// The most likely tokens that together have this probability are drawn from.
    pub top_p: f64,
    /// Of the draws.
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self { temperature: 0.0, top_p: 1.0, seed: 0 }
    }
}

/// Draws tokens.
#[derive(Clone, Debug)]
pub struct Sampler {
    sampling: Sampling,
    random: ChaCha8Rng,
}

impl Sampler {
    /// A sampler at the beginning of a text.
    ///
    /// # Errors
    /// [`Error::Setting`] for a temperature below 0, or a probability outside (0, 1].
    pub fn new(sampling: Sampling) -> Result<Self, Error> {
        let Sampling { temperature, top_p, seed } = sampling;
        if !(temperature.is_finite() && temperature >= 0.0) {
            let expected = "0 for the most likely token, or a temperature above it, such as 0.6";
            return Err(Error::Setting { what: "the temperature", got: temperature.to_string(), expected });
        }
        if !(top_p > 0.0 && top_p <= 1.0) {
            let expected = "a probability above 0, at most 1, is needed";
            return Err(Error::Setting { what: "top-p", got: top_p.to_string(), expected });
        }
        Ok(Self { sampling, random: ChaCha8Rng::seed_from_u64(seed) })
    }

    /// The next token; `None` if no logit is a number.
    pub fn draw(&mut self, logits: &[f32]) -> Option<u32> {
        let best = most_likely(logits)?;
        if self.sampling.temperature == 0.0 {
            return Some(best);
        }
        let highest = f64::from(logits[best as usize]);
        let weight = |logit: &f32| ((f64::from(*logit) - highest) / self.sampling.temperature).exp();
        let mut weights: Vec<(u32, f64)> =
            (0..).zip(logits.iter().map(weight)).filter(|(_, weight)| *weight > 0.0).collect();
        // stable, so that equal ones stay in the order of their ids
        weights.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        let all: f64 = weights.iter().map(|(_, weight)| weight).sum();
        let mut kept = 0.0;
        let enough = weights.iter().position(|(_, weight)| {
            kept += weight;
            kept >= self.sampling.top_p * all
        });
        weights.truncate(enough.map_or(weights.len(), |last| last + 1));
        let mut left = self.random.random::<f64>() * weights.iter().map(|(_, weight)| weight).sum::<f64>();
        let drawn = weights.iter().find(|(_, weight)| {
            left -= weight;
            left < 0.0
        });
        drawn.or(weights.last()).map(|(id, _)| *id)
    }
}

/// The id of the greatest logit that is a number, the lowest of several.
pub(crate) fn most_likely(logits: &[f32]) -> Option<u32> {
    let mut best: Option<(u32, f32)> = None;
    for (id, logit) in (0..).zip(logits) {
        if !logit.is_nan() && *logit > f32::NEG_INFINITY && best.is_none_or(|(_, most)| *logit > most) {
            best = Some((id, *logit));
        }
    }
    best.map(|(id, _)| id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_temperature_the_first_of_the_most_likely_is_taken() -> Result<(), Error> {
        let mut sampler = Sampler::new(Sampling::default())?;
        assert_eq!(sampler.draw(&[0.0, 3.0, f32::NAN, 3.0, f32::NEG_INFINITY]), Some(1));
        assert_eq!(sampler.draw(&[f32::NAN, f32::NEG_INFINITY]), None);
        Ok(())
    }

    #[test]
    fn tokens_are_drawn_as_often_as_they_are_likely() -> Result<(), Error> {
        let logits: Vec<f32> = [0.5_f32, 0.3, 0.15, 0.05].iter().map(|share| share.ln()).collect();
        let shares = |sampling: Sampling| -> Result<[f64; 4], Error> {
            let mut sampler = Sampler::new(sampling)?;
            let mut counts = [0.0; 4];
            for _ in 0..20_000 {
                let drawn = sampler.draw(&logits).expect("a token");
                counts[drawn as usize] += 1.0 / 20_000.0;
            }
            Ok(counts)
        };
        let near = |got: [f64; 4], expected: [f64; 4]| {
            assert!(got.iter().zip(expected).all(|(got, expected)| (got - expected).abs() < 0.015), "{got:?}");
        };
        near(shares(Sampling { temperature: 1.0, ..Sampling::default() })?, [0.5, 0.3, 0.15, 0.05]);
        // squares of the shares
        near(shares(Sampling { temperature: 0.5, ..Sampling::default() })?, [0.6849, 0.2466, 0.0616, 0.0068]);
        near(shares(Sampling { temperature: 1.0, top_p: 0.8, seed: 1 })?, [0.625, 0.375, 0.0, 0.0]);
        let drawn = |seed| -> Result<Vec<Option<u32>>, Error> {
            let mut sampler = Sampler::new(Sampling { temperature: 1.0, top_p: 1.0, seed })?;
            Ok((0..50).map(|_| sampler.draw(&logits)).collect())
        };
        assert_eq!(drawn(7)?, drawn(7)?);
        assert_ne!(drawn(7)?, drawn(8)?);
        Ok(())
    }

    #[test]
    fn nonsense_is_refused() {
        for (temperature, top_p) in [(-1.0, 1.0), (f64::NAN, 1.0), (1.0, 0.0), (1.0, 1.5)] {
            assert!(Sampler::new(Sampling { temperature, top_p, seed: 0 }).is_err(), "{temperature} {top_p}");
        }
    }
}
