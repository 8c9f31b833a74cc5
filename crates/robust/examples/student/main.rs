//! Schedules of adversarial fine-tuning on a student of the score: what networks say of texts, of changed texts and under attack.
//!
//!     student SPLITS.json        the runs go to standard output as JSON
//!
//! `tests/bench/robust/student.py` makes the splits, one a seed, and a table of the runs. The arms and their schedules are those of the digits.

#![expect(clippy::print_stdout, reason = "an example is a command")]

#[path = "../digits/arms.rs"]
mod arms;

use std::error::Error;
use std::path::PathBuf;

use arms::{ARMS, Arm, Course, NATURAL};
use candle_core::{Device, Tensor};
use clap::Parser;
use headwater_robust::{Examples, Loss, Mlp, Pgd, Start};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Units of the hidden layers.
const HIDDEN: [usize; 2] = [64, 32];
/// Examples of an update.
const BATCH: usize = 32;
/// A step of the attack, as a share of its radius.
const STEP_SHARE: f32 = 0.25;
/// Steps of the attack that is trained on.
const TRAINING_STEPS: usize = 7;
/// Steps of the attack that networks are judged by.
const JUDGING_STEPS: usize = 20;
/// What is added to a seed for the attacks that judge.
const JUDGING_SEED: u64 = 1_000;
/// Peak rates that every arm is tried at.
const PEAKS: [f64; 5] = [0.001, 0.003, 0.01, 0.03, 0.1];

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

#[derive(Parser)]
struct Arguments {
    /// One object a seed, in a list.
    splits: PathBuf,
}

/// The texts of one seed: standardised features, `(text, feature)`.
#[derive(Deserialize)]
struct Split {
    seed: u64,
    radius: f32,
    training: Part,
    validation: Part,
    test: Part,
    /// Changed texts.
    changed: Vec<Vec<f32>>,
}

#[derive(Deserialize)]
struct Part {
    features: Vec<Vec<f32>>,
    targets: Vec<f32>,
    weights: Vec<f32>,
}

impl Part {
    fn examples(&self) -> Outcome<Examples> {
        let loss = Loss::squared_error(self.targets.clone(), self.weights.clone())?;
        Ok(Examples::new(self.features.concat(), self.features.first().map_or(0, Vec::len), loss)?)
    }
}

/// What one network says.
#[derive(Serialize)]
struct Run {
    seed: u64,
    arm: &'static str,
    /// Forward and backward passes over the training texts, with those of the network that it starts from.
    passes: u64,
    peak: f64,
    /// `None` of a network that diverged, in training or at last.
    said: Option<Said>,
}

#[derive(Serialize)]
struct Said {
    /// Mean weighted squared errors.
    validation: f32,
    validation_attacked: f32,
    test_attacked: f32,
    /// Of each text.
    test: Vec<f32>,
    changed: Vec<f32>,
}

fn main() -> Outcome<()> {
    let splits: Vec<Split> = serde_json::from_str(&fs_err::read_to_string(Arguments::parse().splits)?)?;
    let runs = splits.par_iter().map(runs_of).collect::<Outcome<Vec<_>>>()?;
    println!("{}", serde_json::to_string(&runs.into_iter().flatten().collect::<Vec<Run>>())?);
    Ok(())
}

/// Every arm at every peak; fine-tuning starts from the natural network that is best on the validation texts as they are.
fn runs_of(split: &Split) -> Outcome<Vec<Run>> {
    let mut natural: Option<(Mlp, f32)> = None;
    let mut runs = Vec::new();
    for peak in PEAKS {
        let network = trained(split, &NATURAL, peak, split.random_network()?)?;
        let said = network.as_ref().map(|network| said(split, network)).transpose()?.flatten();
        if let (Some(network), Some(said)) = (network, &said)
            && natural.as_ref().is_none_or(|(_, best)| said.validation < *best)
        {
            natural = Some((network, said.validation));
        }
        runs.push(Run { seed: split.seed, arm: NATURAL.name, passes: NATURAL.epochs, peak, said });
    }
    let (natural, _) = natural.ok_or("every natural network diverged")?;
    for arm in &ARMS {
        for peak in PEAKS {
            let start = if arm.is_fine_tuned() { natural.deep_copy()? } else { split.random_network()? };
            let network = trained(split, arm, peak, start)?;
            let said = network.as_ref().map(|network| said(split, network)).transpose()?.flatten();
            runs.push(Run { seed: split.seed, arm: arm.name, passes: arm.passes(TRAINING_STEPS as u64), peak, said });
        }
    }
    Ok(runs)
}

impl Split {
    fn random_network(&self) -> Outcome<Mlp> {
        let features = self.test.features.first().map_or(0, Vec::len);
        Ok(Mlp::new(&[features, HIDDEN[0], HIDDEN[1], 1], self.seed)?)
    }

    fn attack(&self, steps: usize) -> Pgd {
        Pgd { radius: self.radius, step: STEP_SHARE * self.radius, steps, start: Start::Random, bounds: None }
    }
}

/// Trains `network`; `None` if it diverges. All but the natural arm train on attacked texts alone.
fn trained(split: &Split, arm: &Arm, peak_lr: f64, network: Mlp) -> Outcome<Option<Mlp>> {
    let attack = (arm.name != NATURAL.name).then(|| split.attack(TRAINING_STEPS));
    arm.train(network, &split.training.examples()?, Course { peak_lr, batch: BATCH, attack, seed: split.seed })
}

/// What `network` says of the texts; `None` if some of it is no number.
fn said(split: &Split, network: &Mlp) -> Outcome<Option<Said>> {
    let mean = |examples: &Examples| -> Outcome<f32> { Ok(examples.losses(network)?.mean_all()?.to_scalar()?) };
    let attacked = |part: &Part| -> Outcome<f32> {
        mean(&split.attack(JUDGING_STEPS).attack(network, &part.examples()?, JUDGING_SEED + split.seed)?)
    };
    let outputs = |features: &[Vec<f32>]| -> Outcome<Vec<f32>> {
        let width = features.first().map_or(0, Vec::len);
        let inputs = Tensor::from_vec(features.concat(), (features.len(), width), &Device::Cpu)?;
        Ok(network.forward(&inputs)?.squeeze(1)?.to_vec1()?)
    };
    let said = Said {
        validation: mean(&split.validation.examples()?)?,
        validation_attacked: attacked(&split.validation)?,
        test_attacked: attacked(&split.test)?,
        test: outputs(&split.test.features)?,
        changed: outputs(&split.changed)?,
    };
    let means = [said.validation, said.validation_attacked, said.test_attacked];
    let is_finite = means.iter().chain(&said.test).chain(&said.changed).all(|number| number.is_finite());
    Ok(is_finite.then_some(said))
}
