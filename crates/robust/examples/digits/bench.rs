//! The runs: each arm at each peak and radius under each seed, judged with and without an attack.

use headwater_robust::{Bounds, Mlp, Pgd, Start, accuracy, robust_accuracy};
use rayon::prelude::*;
use serde::Serialize;

use crate::Outcome;
use crate::arms::{ARMS, Arm, Course, MOMENTUM, NATURAL};
use crate::images::{CLASSES, Digits, PIXELS, Parts};

/// Units of the hidden layer.
const HIDDEN: usize = 64;
/// Images of an update.
const BATCH: usize = 50;
/// How far the attack may move a pixel, of a range of 1.
const RADII: [f32; 3] = [0.10, 0.15, 0.20];
/// A step of the attack, as a share of its radius: 2/255 of 8/255.
const STEP_SHARE: f32 = 0.25;
/// Steps of the attack that is trained on.
const TRAINING_STEPS: usize = 7;
/// Steps of the attack that networks are judged by.
const JUDGING_STEPS: usize = 20;
/// Peak rates that every arm is tried at.
const PEAKS: [f64; 6] = [0.025, 0.05, 0.1, 0.2, 0.4, 0.8];
const SEEDS: u64 = 10;
/// What is added to a run's seed for the attacks that judge it.
const JUDGING_SEED: u64 = 1_000;

/// What a table is made of.
#[derive(Serialize)]
pub(crate) struct Report {
    /// Those that ran at once, which change no number.
    threads: usize,
    setting: Setting,
    arms: Vec<ArmOfReport>,
    runs: Vec<Run>,
}

#[derive(Serialize)]
struct Setting {
    radii: Vec<f32>,
    peaks: Vec<f64>,
    seeds: usize,
    training_images: usize,
    validation_images: usize,
    test_images: usize,
    sizes: [usize; 3],
    batch: usize,
    momentum: f64,
    training_steps: usize,
    judging_steps: usize,
    step_share: f32,
    /// Of the networks that are fine-tuned.
    natural_peak: f64,
}

#[derive(Serialize)]
struct ArmOfReport {
    name: &'static str,
    epochs: u64,
    /// Forward and backward passes over the training images, with those of the network that it starts from.
    passes: u64,
    fine_tuned: bool,
}

/// A network judged under one radius.
#[derive(Serialize)]
struct Run {
    radius: f32,
    arm: &'static str,
    peak: f64,
    seed: u64,
    #[serde(flatten)]
    marks: Marks,
}

/// Shares of images that are right; 0 of a run that diverged.
#[derive(Default, Serialize)]
struct Marks {
    diverged: bool,
    validation_clean: f64,
    validation_robust: f64,
    test_clean: f64,
    test_robust: f64,
}

/// What is run.
pub(crate) struct Bench {
    radii: Vec<f32>,
    peaks: Vec<f64>,
    seeds: Vec<Seed>,
}

/// A seed and its images.
struct Seed {
    seed: u64,
    parts: Parts,
}

/// A network; none if its training diverged.
type Trained = Option<Mlp>;

impl Bench {
    pub(crate) fn new(digits: &Digits, quick: bool) -> Outcome<Self> {
        let (radii, peaks, seeds) =
            if quick { (&RADII[..1], &PEAKS[1..4], 1) } else { (&RADII[..], &PEAKS[..], SEEDS) };
        let seeds = (0..seeds).map(|seed| Ok(Seed { seed, parts: digits.parts(seed)? })).collect::<Outcome<_>>()?;
        Ok(Self { radii: radii.to_vec(), peaks: peaks.to_vec(), seeds })
    }

    /// Runs all of it.
    pub(crate) fn run(&self) -> Outcome<Report> {
        let natural = self.train_natural()?;
        let best = self.best_natural(&natural)?;
        let mut runs = self.judge_natural(&natural)?;
        runs.extend(self.run_arms(&natural[best])?);
        let arm = |arm: &Arm| ArmOfReport {
            name: arm.name,
            epochs: arm.epochs,
            passes: arm.passes(TRAINING_STEPS as u64),
            fine_tuned: arm.is_fine_tuned(),
        };
        let arms = std::iter::once(&NATURAL).chain(&ARMS).map(arm).collect();
        Ok(Report { threads: rayon::current_num_threads(), setting: self.setting(best), arms, runs })
    }

    /// Networks trained as usual: of each peak, of each seed.
    fn train_natural(&self) -> Outcome<Vec<Vec<Trained>>> {
        let of_seed = |peak: f64, seed: &Seed| seed.train(&NATURAL, peak, None, seed.random_network()?);
        let of_peak = |peak: &f64| self.seeds.par_iter().map(|seed| of_seed(*peak, seed)).collect();
        self.peaks.par_iter().map(of_peak).collect()
    }

    /// The place of the peak whose networks are right on most validation images, without an attack; of equal ones the lowest.
    fn best_natural(&self, natural: &[Vec<Trained>]) -> Outcome<usize> {
        let mut best = (0, f64::NEG_INFINITY);
        for (place, networks) in natural.iter().enumerate() {
            let clean = |(network, seed): (&Trained, &Seed)| {
                network.as_ref().map_or(Ok(0.0), |network| accuracy(network, &seed.parts.validation))
            };
            let sum: f64 = networks.iter().zip(&self.seeds).map(clean).sum::<Result<_, _>>()?;
            if sum > best.1 {
                best = (place, sum);
            }
        }
        Ok(best.0)
    }

    fn judge_natural(&self, natural: &[Vec<Trained>]) -> Outcome<Vec<Run>> {
        self.each(&NATURAL, |radius, peak, at| self.seeds[at].judge(natural[peak][at].as_ref(), radius))
    }

    /// Every arm, fine-tuned from the `natural` network of the seed, or from scratch.
    fn run_arms(&self, natural: &[Trained]) -> Outcome<Vec<Run>> {
        let of_arm = |arm: &Arm| {
            self.each(arm, |radius, peak, at| {
                let seed = &self.seeds[at];
                let start = if arm.is_fine_tuned() {
                    natural[at].as_ref().map(Mlp::deep_copy).transpose()?
                } else {
                    Some(seed.random_network()?)
                };
                let attack = Some(attack(radius, TRAINING_STEPS));
                let network = match start {
                    Some(start) => seed.train(arm, self.peaks[peak], attack, start)?,
                    None => None,
                };
                seed.judge(network.as_ref(), radius)
            })
        };
        let runs: Vec<Vec<Run>> = ARMS.par_iter().map(of_arm).collect::<Outcome<_>>()?;
        Ok(runs.into_iter().flatten().collect())
    }

    /// The runs of `arm`, in order, from what `marks` returns for a radius and the places of a peak and a seed.
    fn each(&self, arm: &Arm, marks: impl Fn(f32, usize, usize) -> Outcome<Marks> + Send + Sync) -> Outcome<Vec<Run>> {
        let run = |place: usize| {
            let (rest, seed) = (place / self.seeds.len(), place % self.seeds.len());
            let (radius, peak) = (self.radii[rest / self.peaks.len()], rest % self.peaks.len());
            let marks = marks(radius, peak, seed)?;
            Ok(Run { radius, arm: arm.name, peak: self.peaks[peak], seed: self.seeds[seed].seed, marks })
        };
        (0..self.radii.len() * self.peaks.len() * self.seeds.len()).into_par_iter().map(run).collect()
    }

    fn setting(&self, natural: usize) -> Setting {
        let [training_images, validation_images, test_images] = self.seeds[0].parts.sizes();
        Setting {
            radii: self.radii.clone(),
            peaks: self.peaks.clone(),
            seeds: self.seeds.len(),
            training_images,
            validation_images,
            test_images,
            sizes: [PIXELS, HIDDEN, CLASSES],
            batch: BATCH,
            momentum: MOMENTUM,
            training_steps: TRAINING_STEPS,
            judging_steps: JUDGING_STEPS,
            step_share: STEP_SHARE,
            natural_peak: self.peaks[natural],
        }
    }
}

impl Seed {
    fn random_network(&self) -> Outcome<Mlp> {
        Ok(Mlp::new(&[PIXELS, HIDDEN, CLASSES], self.seed)?)
    }

    fn train(&self, arm: &Arm, peak_lr: f64, attack: Option<Pgd>, network: Mlp) -> Outcome<Trained> {
        arm.train(network, &self.parts.training, Course { peak_lr, batch: BATCH, attack, seed: self.seed })
    }

    fn judge(&self, network: Option<&Mlp>, radius: f32) -> Outcome<Marks> {
        let Some(network) = network else { return Ok(Marks { diverged: true, ..Marks::default() }) };
        let (attack, seed) = (attack(radius, JUDGING_STEPS), JUDGING_SEED + self.seed);
        let Parts { validation, test, .. } = &self.parts;
        Ok(Marks {
            diverged: false,
            validation_clean: accuracy(network, validation)?,
            validation_robust: robust_accuracy(network, validation, &attack, seed)?,
            test_clean: accuracy(network, test)?,
            test_robust: robust_accuracy(network, test, &attack, seed)?,
        })
    }
}

const fn attack(radius: f32, steps: usize) -> Pgd {
    let bounds = Some(Bounds { low: 0.0, high: 1.0 });
    Pgd { radius, step: STEP_SHARE * radius, steps, start: Start::Random, bounds }
}
