//! Adversarial training and fine-tuning of small networks, under a learning rate of crate `schedule`.
//!
//! A network that is right on its training examples may be wrong a small step beside them. Trained on the worst examples within
//! that step instead, it holds; started from a network that was trained as usual, this is adversarial fine-tuning, for which
//! Jeddi et al. 2020 (arXiv 2012.13628) propose a slow start and a fast decay of the learning rate. What there is:
//!
//! - [`Mlp`]: a multilayer perceptron
//! - [`Pgd`]: the attack, which moves inputs to where the network's [`Loss`] is higher
//! - [`train()`]: updates of the network, on the [`Examples`] themselves or on attacked ones, at the rates of a [`Schedule`]
//!
//! ```
//! use headwater_robust::{Examples, Loss, Mlp, Pgd, Start, Training, robust_accuracy, train};
//! use headwater_schedule::{Form, Frame, Schedule};
//!
//! let inputs: Vec<f32> = (0..40).map(|at| if at % 2 == 0 { 0.2 } else { 0.8 }).collect();
//! let labels = (0..40).map(|at| at % 2).collect();
//! let examples = Examples::new(inputs, 1, Loss::cross_entropy(labels, 2)?)?;
//!
//! let attack = Pgd { radius: 0.1, step: 0.025, steps: 7, start: Start::Random, bounds: None };
//! let frame = Frame { steps: 100, warmup_steps: 0, peak_lr: 0.5, floor: 0.0 };
//! let schedule = Schedule::new(frame, Form::SlowStart { ramp: 5, factor: 0.5, epochs: 10 })?;
//! let training = Training { schedule: &schedule, batch: 4, momentum: 0.9, attack: Some(attack), seed: 1 };
//!
//! let mut network = Mlp::new(&[1, 8, 2], 1)?;
//! train(&mut network, &examples, &training)?;
//! assert_eq!(robust_accuracy(&network, &examples, &attack, 2)?, 1.0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Tensors are f32 on the CPU. All draws come from ChaCha8 under the caller's seeds, never from candle's global generator: the same seeds
//! give the same bits on one kind of processor. The crate opens no file and has no schedule of its own.
//!
//! [`Schedule`]: headwater_schedule::Schedule

mod accuracy;
mod error;
mod examples;
mod loss;
mod mlp;
mod pgd;
mod seed;
mod sgd;
mod train;
#[cfg(test)]
mod twin;

pub use accuracy::{accuracy, robust_accuracy};
pub use error::Error;
pub use examples::Examples;
pub use loss::Loss;
pub use mlp::Mlp;
pub use pgd::{Bounds, Pgd, Start};
pub use train::{Training, Update, train, updates_per_epoch};
