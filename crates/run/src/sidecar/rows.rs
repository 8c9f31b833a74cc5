//! The rows of a sidecar as they were encoded.

use arrow::array::{Array, AsArray, ListArray, PrimitiveArray, RecordBatch};
use arrow::datatypes::{ArrowPrimitiveType, Float32Type, UInt32Type, UInt64Type};
use headwater_record::sidecar::{WindowScore, column, schema, window};
use headwater_record::{ScoreOf, Status};
use headwater_store::Entry;

use super::{SidecarReader, SidecarRow, numbers, word_indices, words};
use crate::{Error, Result, Unit};

/// Reads all of the sidecar of `unit`, which the listing found as `file`. Rows of an earlier version are the teacher's.
///
/// # Errors
/// As [`SidecarReader::read`]; [`Error::Sidecar`] if a column has another type than [`encode`](super::encode()) gives it.
pub fn rows(reader: &SidecarReader, unit: &Unit, file: &Entry) -> Result<Vec<SidecarRow>> {
    let schema = schema();
    let columns: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    let mut rows = Vec::new();
    for batch in reader.read(unit, file, &columns)? {
        rows.extend(Columns::of(unit, &batch)?.rows());
    }
    Ok(rows)
}

/// The columns of a batch that make rows, but for words.
struct Columns<'a> {
    batch: &'a RecordBatch,
    row: &'a PrimitiveArray<UInt64Type>,
    bytes: &'a PrimitiveArray<UInt64Type>,
    text_hash: Option<&'a PrimitiveArray<UInt64Type>>,
    tokens: &'a PrimitiveArray<UInt32Type>,
    scored_tokens: &'a PrimitiveArray<UInt32Type>,
    compression: &'a PrimitiveArray<Float32Type>,
    /// Base loss, masked loss, influence, its standard error.
    losses: [&'a PrimitiveArray<Float32Type>; 4],
    copied: Option<&'a PrimitiveArray<Float32Type>>,
    domains: Vec<&'a str>,
    statuses: Vec<Status>,
    by: Vec<ScoreOf>,
    windows: Option<Windows<'a>>,
}

/// The column of windows.
struct Windows<'a> {
    lists: &'a ListArray,
    first_token: &'a PrimitiveArray<UInt32Type>,
    targets: &'a PrimitiveArray<UInt32Type>,
    loss_base: &'a PrimitiveArray<Float32Type>,
    loss_masked: &'a PrimitiveArray<Float32Type>,
}

impl<'a> Windows<'a> {
    /// That of `batch`; `None` in a sidecar of an earlier version.
    fn of(unit: &Unit, batch: &'a RecordBatch) -> Result<Option<Self>> {
        let Some(column) = batch.column_by_name(column::WINDOWS) else { return Ok(None) };
        let of_lists = || {
            let lists = column.as_list_opt::<i32>()?;
            let values = lists.values().as_struct_opt()?;
            Some(Self {
                lists,
                first_token: values.column_by_name(window::FIRST_TOKEN)?.as_primitive_opt()?,
                targets: values.column_by_name(window::TARGETS)?.as_primitive_opt()?,
                loss_base: values.column_by_name(window::LOSS_BASE)?.as_primitive_opt()?,
                loss_masked: values.column_by_name(window::LOSS_MASKED)?.as_primitive_opt()?,
            })
        };
        let wrong = || Error::sidecar(unit, column::WINDOWS, &"a list of windows", &column.data_type());
        of_lists().map(Some).ok_or_else(wrong)
    }

    fn of_row(&self, at: usize) -> Vec<WindowScore> {
        let offsets = self.lists.value_offsets();
        let [from, to] = [offsets[at], offsets[at + 1]].map(|offset| usize::try_from(offset).unwrap_or_default());
        let window = |at: usize| WindowScore {
            first_token: self.first_token.value(at),
            targets: self.targets.value(at),
            loss_base: self.loss_base.value(at),
            loss_masked: self.loss_masked.value(at),
        };
        (from..to).map(window).collect()
    }
}

/// The value of a row, if it is not null.
fn value<T: ArrowPrimitiveType>(column: &PrimitiveArray<T>, at: usize) -> Option<T::Native> {
    column.is_valid(at).then(|| column.value(at))
}

impl<'a> Columns<'a> {
    fn of(unit: &Unit, batch: &'a RecordBatch) -> Result<Self> {
        let named = |name| words_of(unit, batch, name);
        let unknown = |name: &str, word: &str| Error::sidecar(unit, name, &"a known word", &word);
        let statuses = named(column::STATUS)?.into_iter();
        let statuses = statuses.map(|word| word.parse().map_err(|_| unknown(column::STATUS, word)));
        let by = if batch.column_by_name(column::BY).is_some() { named(column::BY)? } else { Vec::new() };
        let by = by.into_iter().map(|word| {
            let known = ScoreOf::ALL.into_iter().find(|by| by.as_str() == word);
            known.ok_or_else(|| unknown(column::BY, word))
        });
        let floats = |name| numbers::<Float32Type>(unit, batch, name);
        Ok(Self {
            batch,
            row: numbers(unit, batch, column::ROW)?,
            bytes: numbers(unit, batch, column::BYTES)?,
            text_hash: later(batch, column::TEXT_HASH),
            tokens: numbers(unit, batch, column::TOKENS)?,
            scored_tokens: numbers(unit, batch, column::SCORED_TOKENS)?,
            compression: floats(column::COMPRESSION)?,
            losses: [
                floats(column::LOSS_BASE)?,
                floats(column::LOSS_MASKED)?,
                floats(column::INFLUENCE)?,
                floats(column::INFLUENCE_STDERR)?,
            ],
            copied: later(batch, column::COPIED),
            domains: named(column::DOMAIN)?,
            statuses: statuses.collect::<Result<_>>()?,
            by: by.collect::<Result<_>>()?,
            windows: Windows::of(unit, batch)?,
        })
    }

    fn rows(&self) -> impl Iterator<Item = SidecarRow> {
        let ids = self.batch.column_by_name(column::ID).and_then(|ids| ids.as_string_opt::<i32>());
        (0..self.batch.num_rows()).map(move |at| {
            let [loss_base, loss_masked, influence, influence_stderr] = self.losses.map(|column| value(column, at));
            SidecarRow {
                row: self.row.value(at),
                id: ids.filter(|ids| ids.is_valid(at)).map(|ids| ids.value(at).to_owned()),
                domain: self.domains[at].to_owned(),
                status: self.statuses[at],
                bytes: self.bytes.value(at),
                text_hash: self.text_hash.and_then(|column| value(column, at)),
                compression: self.compression.value(at),
                tokens: self.tokens.value(at),
                scored_tokens: self.scored_tokens.value(at),
                loss_base,
                loss_masked,
                influence,
                influence_stderr,
                copied: self.copied.and_then(|column| value(column, at)),
                by: self.by.get(at).copied().unwrap_or(ScoreOf::Teacher),
                windows: self.windows.as_ref().map(|windows| windows.of_row(at)).unwrap_or_default(),
            }
        })
    }
}

/// A column of numbers that sidecars of earlier versions lack.
fn later<'a, T: ArrowPrimitiveType>(batch: &'a RecordBatch, name: &str) -> Option<&'a PrimitiveArray<T>> {
    batch.column_by_name(name)?.as_primitive_opt()
}

/// The word of each row.
fn words_of<'a>(unit: &Unit, batch: &'a RecordBatch, name: &str) -> Result<Vec<&'a str>> {
    let (keys, words) = words(unit, batch, name)?;
    Ok(word_indices(keys).map(|word| words.value(word)).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use headwater_record::run::Labels;
    use headwater_record::{ContentHash, Fingerprint, ShardId, UnitKey};
    use headwater_store::Stores;

    use super::*;
    use crate::sidecar::{SidecarFooter, encode};

    #[test]
    fn rows_come_back_as_they_were_written() {
        let place = Stores::default().open("memory://rows").unwrap();
        let fingerprint: Fingerprint = serde_json::from_str("\"f\"").unwrap();
        let key = UnitKey { shard: ShardId::new("a", 1, b"a"), row_group: 0, first_row: 5, rows: 3 };
        let window = |first_token, targets| WindowScore { first_token, targets, loss_base: 1.5, loss_masked: 2.5 };
        let scored = SidecarRow {
            id: Some("x".to_owned()),
            text_hash: Some(ContentHash::of(b"x").to_string().len() as u64),
            bytes: 9,
            compression: 1.5,
            tokens: 40,
            scored_tokens: 39,
            loss_base: Some(2.0),
            loss_masked: Some(3.0),
            influence: Some(0.5),
            influence_stderr: None,
            copied: Some(0.25),
            windows: vec![window(0, 30), window(31, 9)],
            ..SidecarRow::new(5, "web".to_owned(), ScoreOf::Student)
        };
        let null = SidecarRow { status: Status::NullText, ..SidecarRow::new(6, "code".to_owned(), ScoreOf::Student) };
        let taught = SidecarRow {
            row: 7,
            by: ScoreOf::Teacher,
            influence_stderr: Some(0.1),
            windows: vec![window(12, 3)],
            ..scored.clone()
        };
        let written = [scored, null, taught];
        let footer = SidecarFooter {
            unit: key.clone(),
            source: "s".to_owned(),
            shard: "a".to_owned(),
            fingerprint: fingerprint.clone(),
            labels: Labels::default(),
        };
        let unit = Unit { source: "s".into(), path: "a".into(), key, fingerprint, labels: Arc::new(Labels::default()) };
        place.write(&unit.sidecar_path(), encode(&footer, &written).unwrap().into()).unwrap();
        let entry = place.list("scores").unwrap().remove(0);
        let read = rows(&SidecarReader::new(place), &unit, &entry).unwrap();
        assert_eq!(read, written);
    }
}
