//! Where random numbers come from: one stream of ChaCha8 for each use, so that one seed may serve all of them.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// What is drawn; its number is the stream.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Draws {
    /// The weights that a network starts from.
    Weights = 0,
    /// The order of examples.
    Order = 1,
    /// Where attacks start.
    Attacks = 2,
}

/// The generator of `draws` under `seed`.
pub(crate) fn generator(seed: u64, draws: Draws) -> ChaCha8Rng {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(draws as u64);
    random
}

#[cfg(test)]
mod tests {
    use rand::Rng;

    use super::*;

    #[test]
    fn draws_differ_between_uses_and_seeds_and_not_otherwise() {
        let draw = |seed, draws| generator(seed, draws).next_u64();
        assert_eq!(draw(1, Draws::Order), draw(1, Draws::Order));
        assert_ne!(draw(1, Draws::Order), draw(2, Draws::Order));
        assert_ne!(draw(1, Draws::Order), draw(1, Draws::Weights));
        assert_ne!(draw(1, Draws::Order), draw(1, Draws::Attacks));
    }
}
