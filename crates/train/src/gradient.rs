//! The gradient of a batch: sequences in parallel, their gradients added pairwise.
//!
//! The tree of additions follows from the number of sequences alone, so that every sum has one order with any number of threads.

use std::sync::Mutex;

use crate::network::{Network, Workspace};

/// Sequences whose gradients one thread adds to the same sums.
const LEAF: usize = 2;

/// Memory that one batch leaves for the next.
#[derive(Debug, Default)]
pub(crate) struct Pools {
    workspaces: Mutex<Vec<Workspace>>,
    sums: Mutex<Vec<Vec<f32>>>,
}

impl Pools {
    /// Gives memory for the gradient of a model back.
    pub(crate) fn give_back(&self, sums: Vec<f32>) {
        put(&self.sums, sums);
    }

    fn workspace(&self, network: &Network<'_>) -> Workspace {
        take(&self.workspaces).unwrap_or_else(|| Workspace::new(network.shape, network.length))
    }
}

fn take<T>(pool: &Mutex<Vec<T>>) -> Option<T> {
    pool.lock().unwrap_or_else(std::sync::PoisonError::into_inner).pop()
}

fn put<T>(pool: &Mutex<Vec<T>>, value: T) {
    pool.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(value);
}

/// A batch of sequences.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Batch<'a> {
    /// `(sequence, length + 1)`, with the length of the network.
    pub(crate) tokens: &'a [u32],
    /// What each loss is multiplied by.
    pub(crate) scale: f32,
}

impl Batch<'_> {
    /// Computes the gradient of `scale` · Σ losses by every parameter, and the losses, `(sequence, length)`.
    ///
    /// On the threads of the rayon pool that the calling thread is in.
    pub(crate) fn gradient(self, network: &Network<'_>, pools: &Pools, losses: &mut [f32]) -> Vec<f32> {
        let sequences = losses.len() / network.length;
        if sequences <= LEAF {
            return self.leaf(network, pools, losses);
        }
        // the left half is made of whole leaves
        let left = sequences.div_ceil(LEAF).div_ceil(2) * LEAF;
        let (tokens, more_tokens) = self.tokens.split_at(left * (network.length + 1));
        let (losses, more_losses) = losses.split_at_mut(left * network.length);
        let (mut sums, others) = rayon::join(
            || Batch { tokens, ..self }.gradient(network, pools, losses),
            || Batch { tokens: more_tokens, ..self }.gradient(network, pools, more_losses),
        );
        sums.iter_mut().zip(&others).for_each(|(sum, other)| *sum += other);
        pools.give_back(others);
        sums
    }

    /// A few sequences, one after the other.
    fn leaf(self, network: &Network<'_>, pools: &Pools, losses: &mut [f32]) -> Vec<f32> {
        let mut sums = match take(&pools.sums) {
            Some(mut sums) => {
                sums.fill(0.0);
                sums
            }
            None => vec![0.0; network.parameters.len()],
        };
        let mut work = pools.workspace(network);
        for (tokens, losses) in
            self.tokens.chunks_exact(network.length + 1).zip(losses.chunks_exact_mut(network.length))
        {
            network.add_gradient(tokens, self.scale, &mut work, (losses, &mut sums));
        }
        put(&pools.workspaces, work);
        sums
    }

    /// Computes the losses alone, with the same bits.
    pub(crate) fn losses(self, network: &Network<'_>, pools: &Pools, losses: &mut [f32]) {
        use rayon::prelude::*;
        let sequences =
            self.tokens.par_chunks_exact(network.length + 1).zip(losses.par_chunks_exact_mut(network.length));
        sequences.for_each(|(tokens, losses)| {
            let mut work = pools.workspace(network);
            network.losses(tokens, &mut work, losses);
            put(&pools.workspaces, work);
        });
    }
}
