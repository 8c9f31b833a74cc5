//! Columns of a sidecar's rows, by name and type.

use arrow::array::{Array, AsArray, DictionaryArray, PrimitiveArray, RecordBatch, StringArray};
use arrow::datatypes::{ArrowPrimitiveType, Int32Type};

use crate::{Error, Result, Unit};

/// Finds a column of numbers.
///
/// # Errors
/// [`Error::Sidecar`] if `batch` has no column of that name and type.
pub fn numbers<'a, T: ArrowPrimitiveType>(
    unit: &Unit,
    batch: &'a RecordBatch,
    name: &str,
) -> Result<&'a PrimitiveArray<T>> {
    let column = batch.column_by_name(name).ok_or_else(|| Error::sidecar(unit, name, &T::DATA_TYPE, &"missing"))?;
    column.as_primitive_opt::<T>().ok_or_else(|| Error::sidecar(unit, name, &T::DATA_TYPE, &column.data_type()))
}

/// Finds a dictionary column of words, of which none is null: its keys and its words.
///
/// # Errors
/// [`Error::Sidecar`] if `batch` has no column of that name and type.
pub fn words<'a>(
    unit: &Unit,
    batch: &'a RecordBatch,
    name: &str,
) -> Result<(&'a DictionaryArray<Int32Type>, &'a StringArray)> {
    let expected = "dictionary of words, none null";
    let column = batch.column_by_name(name).ok_or_else(|| Error::sidecar(unit, name, &expected, &"missing"))?;
    let found = column.as_dictionary_opt::<Int32Type>().filter(|words| words.null_count() == 0);
    found
        .and_then(|words| Some((words, words.values().as_string_opt::<i32>()?)))
        .ok_or_else(|| Error::sidecar(unit, name, &expected, &column.data_type()))
}

/// Gives for each row the index of its word in the words of a dictionary column.
pub fn word_indices<'a>(words: &'a DictionaryArray<Int32Type>) -> impl Iterator<Item = usize> + 'a {
    words.keys().values().iter().map(|&key| usize::try_from(key).unwrap_or_default())
}
