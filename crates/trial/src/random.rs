//! Where random numbers come from: one stream of ChaCha8 for each use, so that one seed may serve all of them.

use headwater_record::statistics::box_muller;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What is drawn; its number is the stream.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Draws {
    /// Signs, where there are too many to try all.
    Signs = 0,
    /// Seeds and documents, with replacement.
    Resamples = 1,
    /// Differences of simulated trials.
    Trials = 2,
}

/// The generator of `draws` under `seed`.
pub(crate) fn generator(seed: u64, draws: Draws) -> ChaCha8Rng {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(draws as u64);
    random
}

/// A standard normal number.
pub(crate) fn normal(random: &mut ChaCha8Rng) -> f64 {
    box_muller(random.random(), random.random())
}

#[cfg(test)]
mod tests {
    use rand::Rng;

    use super::*;

    #[test]
    fn draws_differ_between_uses_and_seeds_and_not_otherwise() {
        let draw = |seed, draws| generator(seed, draws).next_u64();
        assert_eq!(draw(1, Draws::Signs), draw(1, Draws::Signs));
        assert_ne!(draw(1, Draws::Signs), draw(2, Draws::Signs));
        assert_ne!(draw(1, Draws::Signs), draw(1, Draws::Resamples));
        assert_ne!(draw(1, Draws::Signs), draw(1, Draws::Trials));
    }
}
