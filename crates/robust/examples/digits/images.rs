//! The images, and how they are parted.

use std::path::Path;

use headwater_robust::{Examples, Loss};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::Outcome;

/// Of an image.
pub(crate) const PIXELS: usize = 64;
pub(crate) const CLASSES: usize = 10;
const TRAINING: usize = 1_000;
const VALIDATION: usize = 300;
/// Seed of the order that test images are taken from; all runs have the same ones.
const TEST_SEED: u64 = 0;

/// All images, in an order of their own: those for training and validation first.
pub(crate) struct Digits(Vec<(Vec<f32>, u32)>);

/// The images of one seed.
pub(crate) struct Parts {
    pub(crate) training: Examples,
    pub(crate) validation: Examples,
    pub(crate) test: Examples,
}

impl Digits {
    /// Reads lines of pixels and a digit.
    pub(crate) fn read(path: &Path) -> Outcome<Self> {
        let parse = |line: &str| -> Outcome<(Vec<f32>, u32)> {
            let (pixels, digit) = line.rsplit_once(',').ok_or("a line without a comma")?;
            let pixels: Vec<f32> = pixels.split(',').map(str::parse).collect::<Result<_, _>>()?;
            if pixels.len() != PIXELS {
                return Err(format!("{} pixels, not {PIXELS}", pixels.len()).into());
            }
            Ok((pixels, digit.parse()?))
        };
        let mut images = fs_err::read_to_string(path)?.lines().map(parse).collect::<Outcome<Vec<_>>>()?;
        if images.len() <= TRAINING + VALIDATION {
            return Err(
                format!("{} images, of which {} are not for the test", images.len(), TRAINING + VALIDATION).into()
            );
        }
        images.shuffle(&mut ChaCha8Rng::seed_from_u64(TEST_SEED));
        Ok(Self(images))
    }

    /// Parts the images that are not for the test under `seed`. No seed's validation images are another's test images.
    pub(crate) fn parts(&self, seed: u64) -> Outcome<Parts> {
        let (others, test) = self.0.split_at(TRAINING + VALIDATION);
        let mut others = others.to_vec();
        others.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
        let (training, validation) = others.split_at(TRAINING);
        Ok(Parts { training: examples(training)?, validation: examples(validation)?, test: examples(test)? })
    }
}

impl Parts {
    /// How many images are for training, validation and the test.
    pub(crate) fn sizes(&self) -> [usize; 3] {
        [&self.training, &self.validation, &self.test].map(|part| part.loss().examples())
    }
}

fn examples(images: &[(Vec<f32>, u32)]) -> Outcome<Examples> {
    let inputs = images.iter().flat_map(|(pixels, _)| pixels).copied().collect();
    let labels = images.iter().map(|(_, digit)| *digit).collect();
    Ok(Examples::new(inputs, PIXELS, Loss::cross_entropy(labels, CLASSES)?)?)
}
