//! Steps of training.

use headwater_kernels::{AdamWFactors, AdamWState, Instructions, RotaryTable, absolute_and_square_sums, adamw_update};
use headwater_schedule::Schedule;
use rayon::prelude::*;

use crate::gradient::{Batch, Pools};
use crate::layout::{Role, Tensor};
use crate::network::Network;
use crate::{Error, Parameters, Precision, Settings};

/// Numbers that are summed or updated at a time by one thread.
const PIECE: usize = 1 << 14;

/// What PyTorch's `clip_grad_norm_` adds to the norm before it divides by it.
const CLIP_EPS: f64 = 1e-6;

/// A model in training.
#[derive(Debug)]
pub struct Trainer {
    pub(crate) settings: Settings,
    pub(crate) schedule: Schedule,
    pub(crate) parameters: Parameters,
    /// Running mean of gradients, as the parameters lie.
    pub(crate) first: Vec<f32>,
    /// Running mean of their squares.
    pub(crate) second: Vec<f32>,
    /// Completed steps.
    pub(crate) step: u64,
    instructions: Instructions,
    table: RotaryTable,
    pools: Pools,
}

/// What one step did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepLog {
    /// The step, from 0.
    pub step: u64,
    /// Mean loss of its batch before the update, in nats a token.
    pub loss: f64,
    /// Its learning rate.
    pub rate: f64,
    /// Root of the sum of squares of the gradient, before it was clipped.
    pub l2: f64,
    /// Sum of the absolute values of the gradient, before it was clipped.
    pub l1: f64,
    /// Tokens that were predicted.
    pub tokens: u64,
}

impl Trainer {
    /// Begins with parameters drawn from the seed.
    ///
    /// # Errors
    /// [`Error::Setting`] that names the first value that cannot be used.
    pub fn new(settings: Settings, schedule: Schedule) -> Result<Self, Error> {
        let parameters = Parameters::draw(&settings.shape, settings.seed)?;
        Self::with_parameters(settings, schedule, parameters)
    }

    /// Begins with `parameters`, whatever the seed says.
    ///
    /// # Errors
    /// As [`Trainer::new`], and [`Error::Size`] if the parameters are of another shape.
    pub fn with_parameters(settings: Settings, schedule: Schedule, parameters: Parameters) -> Result<Self, Error> {
        settings.check()?;
        let numbers = parameters.values().len();
        let shape = &settings.shape;
        if numbers as u64 != shape.parameters() {
            return Err(Error::Size { what: "parameters", expected: shape.parameters().to_string(), got: numbers });
        }
        let table = RotaryTable::new(&shape.frequencies(), settings.length);
        Ok(Self {
            table,
            first: vec![0.0; numbers],
            second: vec![0.0; numbers],
            step: 0,
            instructions: Instructions::of_family(),
            pools: Pools::default(),
            settings,
            schedule,
            parameters,
        })
    }

    /// Trains on one batch, at the rate of the schedule.
    ///
    /// # Shapes
    /// - `tokens`: `(sequences, length + 1)` of the settings; in each sequence every token but the first is predicted
    ///
    /// # Errors
    /// [`Error::Size`] and [`Error::Token`] for tokens that do not fit, and [`Error::Diverged`]; nothing has changed then.
    ///
    /// # Determinism
    /// Bit-identical for any number of threads of the rayon pool that the calling thread is in.
    ///
    /// # Source
    /// Clipping as in Pascanu et al. (2013), On the difficulty of training recurrent neural networks (arXiv 1211.5063), algorithm 1; the norm
    /// is enlarged by 10⁻⁶ as in PyTorch.
    pub fn step(&mut self, tokens: &[u32]) -> Result<StepLog, Error> {
        let expected = self.settings.batch_tokens();
        if tokens.len() != expected {
            return Err(Error::Size { what: "tokens of a batch", expected: expected.to_string(), got: tokens.len() });
        }
        self.check(tokens)?;
        let predicted = self.settings.sequences * self.settings.length;
        let mut losses = vec![0.0; predicted];
        let batch = Batch { tokens, scale: mean_scale(predicted) };
        let network = self.network(self.settings.precision);
        let gradient = batch.gradient(&network, &self.pools, &mut losses);
        let (l1, l2) = norms(self.instructions, &gradient);
        let (step, rate) = (self.step, self.schedule.lr(self.step));
        let log = StepLog { step, loss: mean(&losses), rate, l2, l1, tokens: predicted as u64 };
        if !(log.loss.is_finite() && l2.is_finite() && l1.is_finite()) {
            self.pools.give_back(gradient);
            return Err(Error::Diverged { step });
        }
        self.update(&gradient, rate, l2);
        self.pools.give_back(gradient);
        self.step += 1;
        Ok(log)
    }

    /// Returns the loss of each token, in nats, `(sequence, length)`, in float32 whatever is trained in.
    ///
    /// # Shapes
    /// - `tokens`: `(sequence, length + 1)`, as many sequences as there are
    ///
    /// # Errors
    /// [`Error::Size`] for a part of a sequence, [`Error::Token`] for a token outside of the vocabulary.
    ///
    /// # Determinism
    /// As [`Trainer::step`]; the losses of a sequence do not depend on the others.
    pub fn losses(&self, tokens: &[u32]) -> Result<Vec<f32>, Error> {
        let length = self.settings.length;
        if !tokens.len().is_multiple_of(length + 1) {
            let expected = format!("a multiple of {}", length + 1);
            return Err(Error::Size { what: "tokens", expected, got: tokens.len() });
        }
        self.check(tokens)?;
        let mut losses = vec![0.0; tokens.len() / (length + 1) * length];
        Batch { tokens, scale: 1.0 }.losses(&self.network(Precision::F32), &self.pools, &mut losses);
        Ok(losses)
    }

    /// Returns the completed steps.
    #[must_use]
    pub const fn completed(&self) -> u64 {
        self.step
    }

    /// Returns the parameters as they are now.
    #[must_use]
    pub const fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Returns the settings.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Returns the schedule.
    #[must_use]
    pub const fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    fn network(&self, precision: Precision) -> Network<'_> {
        Network {
            shape: &self.settings.shape,
            layout: self.parameters.layout(),
            table: &self.table,
            instructions: self.instructions,
            arithmetic: precision.arithmetic(self.instructions),
            parameters: self.parameters.values(),
            length: self.settings.length,
        }
    }

    /// Makes sure that all tokens are in the vocabulary.
    fn check(&self, tokens: &[u32]) -> Result<(), Error> {
        let vocabulary = self.settings.shape.vocabulary;
        match tokens.iter().position(|token| *token as usize >= vocabulary) {
            Some(place) => Err(Error::Token { token: tokens[place], place, vocabulary }),
            None => Ok(()),
        }
    }

    /// Moves the parameters by a gradient of norm `l2`.
    fn update(&mut self, gradient: &[f32], rate: f64, l2: f64) {
        let instructions = self.instructions;
        let kept = |beta: f64| libm::pow(beta, as_real(self.step + 1));
        let factors = |role| {
            let optimiser = self.settings.optimiser;
            let decay = if role == Role::Norm { 0.0 } else { optimiser.weight_decay };
            AdamWFactors {
                gradient: narrow(self.settings.clip.map_or(1.0, |most| (most / (l2 + CLIP_EPS)).min(1.0))),
                beta1: narrow(optimiser.beta1),
                beta2: narrow(optimiser.beta2),
                keep: narrow(1.0 - rate * decay),
                rate: narrow(rate / (1.0 - kept(optimiser.beta1))),
                spread: narrow((1.0 - kept(optimiser.beta2)).sqrt().recip()),
                eps: narrow(optimiser.eps),
            }
        };
        let factors = [Role::Matrix, Role::Norm].map(factors);
        let tensors = self.parameters.layout().tensors().to_vec();
        for Tensor { place, role, .. } in tensors {
            let factors = factors[usize::from(role == Role::Norm)];
            let parameters = self.parameters.values_mut()[place.clone()].par_chunks_mut(PIECE);
            let moments = self.first[place.clone()].par_chunks_mut(PIECE);
            let moments = moments.zip(self.second[place.clone()].par_chunks_mut(PIECE));
            let pieces = parameters.zip(moments).zip(gradient[place].par_chunks(PIECE));
            pieces.for_each(|((parameters, (first, second)), gradient)| {
                adamw_update(instructions, factors, gradient, AdamWState { parameters, first, second });
            });
        }
    }
}

/// The sum of absolute values and the root of the sum of squares, pieces added from the first to the last.
fn norms(instructions: Instructions, gradient: &[f32]) -> (f64, f64) {
    let pieces = gradient.par_chunks(PIECE).map(|piece| absolute_and_square_sums(instructions, piece));
    let pieces: Vec<_> = pieces.collect();
    let (absolutes, squares) = pieces.iter().fold((0.0, 0.0), |(a, s), piece| (a + piece.0, s + piece.1));
    (absolutes, squares.sqrt())
}

/// The mean, summed in float64 from the first to the last.
#[expect(clippy::cast_precision_loss, reason = "there are fewer than 2⁵³ losses")]
fn mean(losses: &[f32]) -> f64 {
    losses.iter().map(|loss| f64::from(*loss)).sum::<f64>() / losses.len() as f64
}

#[expect(clippy::cast_precision_loss, reason = "there are fewer than 2⁵³ steps")]
fn as_real(steps: u64) -> f64 {
    steps as f64
}

#[expect(clippy::cast_precision_loss, reason = "there are at most 2²⁶ losses")]
fn mean_scale(predicted: usize) -> f32 {
    narrow(1.0 / predicted as f64)
}

#[expect(clippy::cast_possible_truncation, reason = "factors are computed in float64 and used in float32")]
fn narrow(x: f64) -> f32 {
    x as f32
}

#[cfg(test)]
mod tests;
