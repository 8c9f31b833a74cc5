//! Training: minibatches, attacked or not, at the rates of a schedule.

use headwater_schedule::Schedule;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::seed::{Draws, generator};
use crate::sgd::Sgd;
use crate::{Error, Examples, Mlp, Pgd};

/// How a network is trained.
#[derive(Clone, Copy, Debug)]
pub struct Training<'a> {
    /// The rate of every update, and how many updates there are.
    pub schedule: &'a Schedule,
    /// Examples of an update; the last one of an epoch may have fewer.
    pub batch: usize,
    /// What is kept of the velocity, in \[0, 1): v ← momentum · v + gradient, weights ← weights − rate · v.
    pub momentum: f64,
    /// The attack whose examples alone are trained on, made anew against the network of every update; `None` for the examples as they are.
    pub attack: Option<Pgd>,
    /// Seed of the order of examples and of the starts of attacks.
    pub seed: u64,
}

/// What one update did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Update {
    /// Its learning rate.
    pub rate: f64,
    /// Mean loss of its batch before it, under the attack if there is one.
    pub loss: f32,
}

/// Returns the updates of one epoch, in which each example is used once; 0 for batches of 0.
#[must_use]
pub const fn updates_per_epoch(examples: usize, batch: usize) -> u64 {
    if batch == 0 { 0 } else { examples.div_ceil(batch) as u64 }
}

/// Trains `network` in place, and returns what each update did.
///
/// Update n, from 0, is a step of momentum at the rate [`Schedule::lr`]\(n\). Every epoch takes the examples in a new random order. Without
/// an attack this is training as usual; with one it is adversarial training (Madry et al. 2018, arXiv 1706.06083, §2, the saddle
/// point problem: the least expected loss of the worst inputs within the radius) or, from a trained network, adversarial fine-tuning (Jeddi
/// et al. 2020, arXiv 2012.13628).
///
/// # Errors
/// [`Error::Setting`] for a batch of 0 or a momentum outside \[0, 1), [`Error::Diverged`] if a loss is not finite, in which case the network
/// is of no use, and what [`Pgd::attack`] and [`Examples::losses`] return.
///
/// # Determinism
/// The same network, examples, schedule and seed give the same bits.
pub fn train(network: &mut Mlp, examples: &Examples, training: &Training<'_>) -> Result<Vec<Update>, Error> {
    let Training { schedule, batch, momentum, attack, seed } = *training;
    Error::unless(batch > 0, "batch", batch, "at least 1")?;
    Error::unless((0.0..1.0).contains(&momentum), "momentum", momentum, "at least 0 and below 1")?;
    let mut batches = Batches::new(examples.places()?, batch, seed);
    let mut starts = generator(seed, Draws::Attacks);
    let mut descent = Sgd::new(network, momentum)?;
    let mut updates = Vec::new();
    for update in 0..schedule.steps() {
        let mut batch = examples.at(batches.draw())?;
        if let Some(pgd) = attack {
            batch = pgd.attack_drawing(network, &batch, &mut starts)?;
        }
        let mean = batch.losses(network)?.mean_all()?;
        let (loss, rate) = (mean.to_scalar()?, schedule.lr(update));
        if !f32::is_finite(loss) {
            return Err(Error::Diverged { update });
        }
        descent.update(network, &mean.backward()?, rate)?;
        updates.push(Update { rate, loss });
    }
    Ok(updates)
}

/// Batches of examples, in a new order every epoch.
struct Batches {
    places: Vec<u32>,
    batch: usize,
    /// Places of this epoch that were drawn.
    drawn: usize,
    random: ChaCha8Rng,
}

impl Batches {
    fn new(places: Vec<u32>, batch: usize, seed: u64) -> Self {
        Self { drawn: places.len(), places, batch, random: generator(seed, Draws::Order) }
    }

    /// The places of the next batch.
    fn draw(&mut self) -> &[u32] {
        if self.drawn == self.places.len() {
            self.places.shuffle(&mut self.random);
            self.drawn = 0;
        }
        let start = self.drawn;
        self.drawn = (start + self.batch).min(self.places.len());
        &self.places[start..self.drawn]
    }
}

#[cfg(test)]
mod tests;
