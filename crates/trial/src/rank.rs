//! Where an arm stands among random draws.
//!
//! It asks less than a t test: were the arm a random draw like the others, each place would be as likely. It also says less: with R draws no
//! probability is below 1 / (R + 1).

use serde::{Deserialize, Serialize};

use crate::Error;

/// The place of an arm among random draws.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rank {
    /// Its place from the best, from 1. Where losses are equal the arm comes last.
    pub rank: usize,
    /// Random draws, R; there are R + 1 places.
    pub draws: usize,
    /// The probability of this place or a better one for one more random draw, rank / (R + 1), in (0, 1].
    pub probability: f64,
}

/// Ranks the loss `arm` among those of random `draws`, `(draw,)`.
///
/// Each draw must be measured as the arm is: a mean over the same seeds, or one run each. A mean over seeds varies less than a run, and the
/// probability would be wrong.
///
/// # Units
/// Bits per byte; only the order counts.
///
/// # Errors
/// [`Error::TooFew`] without draws, [`Error::Setting`] for a loss that is not finite.
///
/// # Source
/// Exchangeability: Barnard (1963), discussion of Bartlett's "The spectral analysis of point processes", the Monte Carlo test.
pub fn rank_among_random(draws: &[f64], arm: f64) -> Result<Rank, Error> {
    Error::unless_enough("random draws", 1, draws.len())?;
    if let Some(wrong) = draws.iter().chain([&arm]).find(|loss| !loss.is_finite()) {
        return Err(Error::Setting { name: "loss", value: wrong.to_string(), rule: "must be finite" });
    }
    let rank = 1 + draws.iter().filter(|draw| **draw <= arm).count();
    Ok(Rank { rank, draws: draws.len(), probability: rank as f64 / (draws.len() + 1) as f64 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_and_their_probabilities() {
        let draws = [1.3, 1.1, 1.2, 1.4];
        let place = |arm| {
            let rank = rank_among_random(&draws, arm).unwrap();
            (rank.rank, rank.probability)
        };
        assert_eq!(place(1.0), (1, 0.2));
        assert_eq!(place(1.25), (3, 0.6));
        assert_eq!(place(9.0), (5, 1.0));
        assert_eq!(place(1.1), (2, 0.4), "equal losses count against the arm");
    }

    #[test]
    fn what_cannot_be_ranked_is_refused() {
        assert!(matches!(rank_among_random(&[], 1.0), Err(Error::TooFew { .. })));
        assert!(matches!(rank_among_random(&[1.0, f64::NAN], 1.0), Err(Error::Setting { .. })));
        assert!(matches!(rank_among_random(&[1.0], f64::INFINITY), Err(Error::Setting { .. })));
    }
}
