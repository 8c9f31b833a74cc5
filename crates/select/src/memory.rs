//! Sidecar rows that are kept in memory, so that what was read once is not fetched again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;

/// Columns that are not known to be read again may take one part in this many of the room.
const UNASKED_PART: usize = 8;

/// Columns that were read, by unit, as far as there is room.
#[derive(Debug)]
pub(crate) struct Memory {
    kept: Mutex<Kept>,
    room_bytes: usize,
}

#[derive(Debug, Default)]
struct Kept {
    bytes: usize,
    /// What further readings ask for.
    wanted: Vec<&'static str>,
    units: BTreeMap<usize, Vec<RecordBatch>>,
}

/// What is to be fetched for one reading of a unit.
#[derive(Debug)]
pub(crate) struct Missing {
    /// Columns that were asked for and are not at hand.
    pub(crate) columns: Vec<&'static str>,
    /// Batches of those that are.
    pub(crate) at_hand: Vec<RecordBatch>,
}

impl Memory {
    /// Keeps no more than `room_bytes`.
    pub(crate) fn new(room_bytes: usize) -> Self {
        Self { kept: Mutex::default(), room_bytes }
    }

    /// Notes which columns further readings ask for.
    pub(crate) fn will_read(&self, columns: &[&'static str]) {
        let mut kept = self.kept();
        add(&mut kept.wanted, columns);
    }

    /// What must be fetched so that a reading of a unit has `columns`. With it, while there is room, come those that further readings ask
    /// for.
    pub(crate) fn missing(&self, unit: usize, columns: &[&'static str]) -> Missing {
        let kept = self.kept();
        let at_hand = kept.units.get(&unit).cloned().unwrap_or_default();
        let lacks = |name: &&&str| at_hand.first().is_none_or(|batch| batch.column_by_name(name).is_none());
        let mut missing: Vec<&'static str> = columns.iter().filter(lacks).copied().collect();
        if !missing.is_empty() && kept.bytes < self.room_bytes {
            let along: Vec<&'static str> = kept.wanted.iter().filter(lacks).copied().collect();
            add(&mut missing, &along);
        }
        Missing { columns: missing, at_hand }
    }

    /// Keeps what was fetched of a unit beside what is at hand; columns that are not known to be read again take
    /// little of the room.
    pub(crate) fn keep(&self, unit: usize, fetched: &[RecordBatch]) {
        let mut kept = self.kept();
        let columns = |batch: &RecordBatch, room: usize, held: usize| -> Option<RecordBatch> {
            let schema = batch.schema();
            let is_worth = |name: &str| kept.wanted.contains(&name) || held < room / UNASKED_PART;
            let chosen: Vec<usize> = schema
                .fields()
                .iter()
                .enumerate()
                .filter(|(_, field)| is_worth(field.name()))
                .map(|(at, _)| at)
                .collect();
            batch.project(&chosen).ok()
        };
        let chosen: Option<Vec<RecordBatch>> =
            fetched.iter().map(|batch| columns(batch, self.room_bytes, kept.bytes)).collect();
        let Some(chosen) = chosen else { return };
        let bytes: usize = chosen.iter().map(RecordBatch::get_array_memory_size).sum();
        if kept.bytes + bytes > self.room_bytes {
            return;
        }
        let before = kept.units.get(&unit).cloned().unwrap_or_default();
        if let Some(joined) = joined(&before, &chosen) {
            kept.bytes += bytes;
            kept.units.insert(unit, joined);
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Adds those of `more` that are not there.
fn add(columns: &mut Vec<&'static str>, more: &[&'static str]) {
    for name in more {
        if !columns.contains(name) {
            columns.push(name);
        }
    }
}

/// The columns of both, batch by batch; `None` if their rows differ.
pub(crate) fn joined(one: &[RecordBatch], other: &[RecordBatch]) -> Option<Vec<RecordBatch>> {
    if one.is_empty() || other.is_empty() {
        return Some([one, other].concat());
    }
    let join = |(one, other): (&RecordBatch, &RecordBatch)| {
        let (left, right) = (one.schema(), other.schema());
        let news = right.fields().iter().zip(other.columns());
        let news = news.filter(|(field, _)| left.field_with_name(field.name()).is_err());
        let (fields, columns): (Vec<_>, Vec<_>) = left
            .fields()
            .iter()
            .zip(one.columns())
            .chain(news)
            .map(|(field, column)| (field.clone(), column.clone()))
            .unzip();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).ok()
    };
    let same = one.len() == other.len();
    same.then(|| one.iter().zip(other).map(join).collect::<Option<Vec<_>>>()).flatten()
}
