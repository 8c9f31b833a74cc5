//! What is to be scored, and what is told of it.

use std::collections::BTreeMap;
use std::time::Duration;

use headwater_corpus::{Columns, Piece, PlannedShard, Wanted};
use headwater_record::UnitKey;
use headwater_run::SidecarRow;

use crate::{Advance, Error, UnitReport};

/// The documents of a unit, to score.
#[derive(Clone, Copy, Debug)]
pub struct UnitRows<'a> {
    /// Its shard.
    pub shard: &'a PlannedShard,
    /// The columns to read.
    pub columns: &'a Columns,
    /// The unit, or a part of one.
    pub unit: &'a UnitKey,
    /// How they are read.
    pub wanted: Wanted,
}

/// Follows the scoring and says when it ends.
pub trait Watch: Sync {
    /// Whether the unit at `index` need not be scored after all. Asked before it is read.
    fn skips(&self, index: usize) -> bool;

    /// The rows of the unit at `index` that are known and need not be scored, by their numbers. Asked before it is read; of a unit of which
    /// all rows are known no document is read.
    ///
    /// # Errors
    /// An error is what the unit comes to.
    fn known(&self, _index: usize) -> Result<BTreeMap<u64, SidecarRow>, Error> {
        Ok(BTreeMap::new())
    }

    /// Whether no more need be scored: what is in hand is dropped, without a word on its units. Asked often, from any thread;
    /// once true, always true.
    fn is_over(&self) -> bool {
        false
    }

    /// Is told of a document that was tokenised, as far as its row is known without the model, from any thread.
    fn tokenised(&self, _row: &SidecarRow) {}

    /// Is told of work newly done, from any thread.
    fn advance(&self, advance: Advance);

    /// Is told of time that a thread spent, from any thread.
    fn spent(&self, _phase: Phase, _time: Duration) {}

    /// Is told what the unit at `index` came to: its rows are taken, or it failed.
    ///
    /// # Errors
    /// An error ends the scoring.
    fn unit(&self, index: usize, outcome: Result<UnitReport, Error>) -> Result<(), Error>;
}

/// What a thread spends its time on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Waiting for the corpus's bytes and decoding them.
    Read,
    /// Turning text into tokens.
    Tokenise,
    /// The model's two passes.
    Forward,
    /// Encoding sidecars and waiting until they are written.
    Write,
}

impl<'a> From<&'a Piece<'a>> for UnitRows<'a> {
    fn from(piece: &'a Piece<'a>) -> Self {
        Self { shard: piece.shard, columns: &piece.source.columns, unit: &piece.unit, wanted: Wanted::Sample }
    }
}

/// Takes the rows of the unit at an index, in the order of the shard; called from a few threads at once.
pub type Sink<'a> = &'a (dyn Fn(usize, &[SidecarRow]) -> Result<(), Error> + Sync);
