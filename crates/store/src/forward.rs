//! Reads a range forward, in pieces that are fetched ahead.
//!
//! Parquet is read in many small steps that follow each other; a request to a store costs tens of milliseconds whatever its size,
//! and a large one outlives its time limit on a slow line. So a range is fetched in pieces, which begin small and double while
//! reads follow one another, as an operating system reads ahead. No byte outside the range is ever fetched, and inside it none
//! twice, unless a reader goes back.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::{Bytes, BytesMut};

use crate::range::RangeReader;
use crate::runtime::spawn;
use crate::{Error, Result};

/// The first piece after the beginning or a jump.
const FIRST_PIECE_BYTES: u64 = 1 << 20;

/// Reads one range of a file forward. Memory is that of two pieces.
///
/// Any position of the range may be asked for; only rising ones are fast. Threads that share a reader wait for each other.
pub struct ForwardReader {
    file: RangeReader,
    within: Range<u64>,
    most_bytes: u64,
    pieces: Mutex<Pieces>,
}

/// The piece being read and the one after it.
#[derive(Default)]
struct Pieces {
    current: Option<Piece>,
    next: Option<Pending>,
    /// Length of the piece fetched last.
    step: u64,
}

/// Bytes at hand, and where they begin.
struct Piece {
    start: u64,
    bytes: Bytes,
}

/// Bytes on their way.
struct Pending {
    range: Range<u64>,
    slot: Arc<Slot>,
}

impl Piece {
    fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    /// At most `most` bytes from `position` on; `None` if it lies outside.
    fn from(&self, position: u64, most: usize) -> Option<Bytes> {
        let before = usize::try_from(position.checked_sub(self.start)?).ok()?;
        let left = self.bytes.len().checked_sub(before).filter(|left| *left > 0)?;
        Some(self.bytes.slice(before..before + left.min(most)))
    }
}

impl ForwardReader {
    /// Reads `within` of `file` in pieces of at most `most_bytes`; nothing is fetched yet.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if it is not inside the file.
    pub fn new(file: RangeReader, within: Range<u64>, most_bytes: u64) -> Result<Self> {
        file.check(&within)?;
        Ok(Self { file, within, most_bytes: most_bytes.max(1), pieces: Mutex::default() })
    }

    /// Size of the whole file.
    #[must_use]
    pub fn file_bytes(&self) -> u64 {
        self.file.len()
    }

    /// Starts to fetch the beginning of the range, without waiting for it; returns how many bytes are on their way.
    ///
    /// # Errors
    /// [`Error::Runtime`] if the I/O threads cannot be started.
    pub fn begin(&self) -> Result<u64> {
        let mut pieces = self.lock();
        if pieces.current.is_none() && pieces.next.is_none() && !self.within.is_empty() {
            pieces.step = self.first_step();
            pieces.next = self.fetch_ahead(self.within.start, pieces.step)?;
        }
        Ok(pieces.next.as_ref().map_or(0, |next| next.range.end - next.range.start))
    }

    /// Some bytes from `position` on: at least one and at most `most`, without copying.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] at the end of the range or outside; [`Error::Changed`] if the file is no longer the version that was
    /// listed; any failure of the disk or store.
    pub fn some(&self, position: u64, most: usize) -> Result<Bytes> {
        if !self.within.contains(&position) {
            let path = self.file.path().to_owned();
            return Err(Error::OutOfRange { path, start: position, end: position + 1, bytes: self.within.end });
        }
        let mut pieces = self.lock();
        let at_hand = pieces.current.as_ref().and_then(|piece| piece.from(position, most));
        let bytes = match at_hand {
            Some(bytes) => bytes,
            None => {
                let piece = self.turn(&mut pieces, position)?;
                let bytes = piece.from(position, most);
                pieces.current = Some(piece);
                bytes.ok_or_else(|| self.cut_short(position))?
            }
        };
        self.look_ahead(&mut pieces, position + bytes.len() as u64)?;
        Ok(bytes)
    }

    /// All bytes of `range`, copied only where they lie in two pieces.
    ///
    /// # Errors
    /// As [`ForwardReader::some`].
    pub fn all(&self, range: Range<u64>) -> Result<Bytes> {
        let length = usize::try_from(range.end.saturating_sub(range.start)).map_err(|_| self.cut_short(range.end))?;
        if length == 0 {
            return Ok(Bytes::new());
        }
        let head = self.some(range.start, length)?;
        if head.len() == length {
            return Ok(head);
        }
        // the sizes of pages are foreign numbers: memory is taken only for what is there
        let mut joined = BytesMut::from(head.as_ref());
        while joined.len() < length {
            joined.extend_from_slice(&self.some(range.start + joined.len() as u64, length - joined.len())?);
        }
        Ok(joined.freeze())
    }

    /// The piece that holds `position`: the one on its way, or a new one.
    fn turn(&self, pieces: &mut Pieces, position: u64) -> Result<Piece> {
        if let Some(Pending { range, slot }) = pieces.next.take_if(|next| next.range.contains(&position)) {
            let began = Instant::now();
            let arrived = slot.wait();
            self.file.counters().note_waited(began.elapsed());
            let bytes = match arrived {
                Some(bytes) => bytes,
                // fetched again, so that the error is first hand, or gone
                None => self.file.read_range(range.clone())?,
            };
            return Ok(Piece { start: range.start, bytes });
        }
        let follows = pieces.current.as_ref().is_some_and(|piece| piece.end() == position);
        pieces.step = if follows { self.next_step(pieces.step) } else { self.first_step() };
        pieces.next = None;
        let end = self.within.end.min(position + pieces.step);
        Ok(Piece { start: position, bytes: self.file.read_range(position..end)? })
    }

    /// Fetches the next piece ahead once reads have come to the second half of the current one.
    fn look_ahead(&self, pieces: &mut Pieces, position: u64) -> Result<()> {
        let Some(current) = &pieces.current else { return Ok(()) };
        let (middle, end) = (current.start + current.bytes.len() as u64 / 2, current.end());
        if pieces.next.is_none() && position >= middle && end < self.within.end {
            pieces.step = self.next_step(pieces.step);
            pieces.next = self.fetch_ahead(end, pieces.step)?;
        }
        Ok(())
    }

    fn fetch_ahead(&self, start: u64, step: u64) -> Result<Option<Pending>> {
        let range = start..self.within.end.min(start + step);
        let slot = Arc::<Slot>::default();
        let (file, guard, wanted) = (self.file.clone(), SettleOnDrop(Arc::clone(&slot)), range.clone());
        spawn(async move {
            if let Ok(bytes) = file.fetch(wanted).await {
                guard.0.settle(State::Ready(bytes));
            }
        })?;
        Ok(Some(Pending { range, slot }))
    }

    fn first_step(&self) -> u64 {
        // what fits one piece is one request
        if self.within.end - self.within.start <= self.most_bytes {
            self.most_bytes
        } else {
            self.most_bytes.min(FIRST_PIECE_BYTES)
        }
    }

    fn next_step(&self, step: u64) -> u64 {
        step.saturating_mul(2).min(self.most_bytes)
    }

    fn cut_short(&self, position: u64) -> Error {
        let path = self.file.path().to_owned();
        Error::OutOfRange { path, start: position, end: position, bytes: self.within.end }
    }

    fn lock(&self) -> MutexGuard<'_, Pieces> {
        self.pieces.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for ForwardReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForwardReader")
            .field("file", &self.file)
            .field("within", &self.within)
            .field("most_bytes", &self.most_bytes)
            .finish_non_exhaustive()
    }
}

/// Where the bytes of a piece arrive.
#[derive(Default)]
struct Slot {
    state: Mutex<State>,
    settled: Condvar,
}

#[derive(Default)]
enum State {
    #[default]
    Pending,
    Ready(Bytes),
    /// Whoever needs them fetches them again and gets the error first hand.
    Failed,
}

impl Slot {
    fn settle(&self, state: State) {
        let mut current = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*current, State::Pending) {
            *current = state;
            self.settled.notify_all();
        }
    }

    /// Waits until the bytes arrived; `None` if they did not.
    fn wait(&self) -> Option<Bytes> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match &*state {
                State::Ready(bytes) => return Some(bytes.clone()),
                State::Failed => return None,
                State::Pending => state = self.settled.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}

/// Marks a piece as failed if its fetch ends in any way but success.
struct SettleOnDrop(Arc<Slot>);

impl Drop for SettleOnDrop {
    fn drop(&mut self) {
        self.0.settle(State::Failed);
    }
}

#[cfg(test)]
mod tests;
