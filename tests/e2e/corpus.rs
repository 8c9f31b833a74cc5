//! Corpora made in code: shards with several row groups, whose texts follow from a seed alone.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, LargeStringArray, ListArray, RecordBatch, StringArray, StructArray};
use arrow::datatypes::{Field, Int32Type};
use parquet::arrow::ArrowWriter;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const WORDS: [&str; 24] = [
    "river", "stone", "valley", "of", "the", "and", "winter", "harvest", "lantern", "bridge", "in", "a", "orchard",
    "weather", "to", "shadow", "letter", "kettle", "window", "candle", "market", "ferry", "éclair", "42",
];

/// The domains of the source `books`; a null among them is `(none)`.
const DOMAINS: [Option<&str>; 4] = [Some("fiction"), Some("trade"), Some("fiction"), None];

/// Rows of the corpus of [`write`].
pub(crate) const ROWS: usize = 3 * 18 + 2 * 14;

/// The `[[corpus]]` tables of [`write`], relative to its site.
pub(crate) fn tables() -> String {
    "[[corpus]]\nname = \"books\"\npaths = [\"corpus/books/**/*.parquet\"]\n\n\
     [[corpus]]\nname = \"web\"\npaths = [\"corpus/web\"]\ntext = \"content\"\ndomain_value = \"web\"\n"
        .to_owned()
}

/// Writes two sources: `books`, three shards of 18 rows with ids, domains and nested columns, and `web`, two shards of 14
/// rows with neither.
pub(crate) fn write(folder: &Path) -> Result<(), Box<dyn Error>> {
    for (number, name) in ["books/a.parquet", "books/b.parquet", "books/old/c.parquet"].into_iter().enumerate() {
        shard(&folder.join(name), &book_rows(number as u64, 18)?, 7)?;
    }
    for (number, name) in ["web/0.parquet", "web/1.parquet"].into_iter().enumerate() {
        shard(&folder.join(name), &web_rows(100 + number as u64, 14)?, 9)?;
    }
    Ok(())
}

/// Rows as the source `books` has them; the last is of one word and too short to be scored.
pub(crate) fn book_rows(seed: u64, rows: usize) -> Result<RecordBatch, Box<dyn Error>> {
    let texts = texts(seed, rows);
    let ids: Vec<String> = (0..rows).map(|row| format!("book-{seed}-{row}")).collect();
    let domains: Vec<Option<&str>> = (0..rows).map(|row| DOMAINS[row % DOMAINS.len()]).collect();
    let pages: ArrayRef = Arc::new(Int64Array::from_iter_values((0..).take(rows)));
    let shelf: ArrayRef = Arc::new(StringArray::from_iter_values(ids.iter().map(|id| &id[5..])));
    let origin = StructArray::from(vec![
        (Arc::new(Field::new("page", pages.data_type().clone(), true)), pages),
        (Arc::new(Field::new("shelf", shelf.data_type().clone(), true)), shelf),
    ]);
    let tags = (0..rows).map(|row| Some((0..row % 3).map(|tag| i32::try_from(tag).ok())));
    Ok(RecordBatch::try_from_iter_with_nullable([
        ("id", Arc::new(StringArray::from(ids)) as ArrayRef, false),
        ("text", Arc::new(StringArray::from(texts)), true),
        ("domain", Arc::new(StringArray::from(domains)), true),
        ("origin", Arc::new(origin), true),
        ("tags", Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(tags)), true),
    ])?)
}

fn web_rows(seed: u64, rows: usize) -> Result<RecordBatch, Box<dyn Error>> {
    let texts = LargeStringArray::from(texts(seed, rows));
    Ok(RecordBatch::try_from_iter([("content", Arc::new(texts) as ArrayRef)])?)
}

/// Texts of 10 to 120 words, but the last of one word.
pub(crate) fn texts(seed: u64, rows: usize) -> Vec<String> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut texts: Vec<String> = (0..rows)
        .map(|_| {
            let words = random.random_range(10..120);
            text(&mut random, words)
        })
        .collect();
    if let Some(last) = texts.last_mut() {
        "ox".clone_into(last);
    }
    texts
}

/// A text of `words` words.
pub(crate) fn text(random: &mut impl Rng, words: usize) -> String {
    let mut text = String::new();
    for place in 1..=words {
        text.push_str(WORDS[random.random_range(0..WORDS.len())]);
        text.push_str(if place % 12 == 0 { ".\n" } else { " " });
    }
    text
}

/// Writes `rows` as a Parquet file with row groups of at most `group` rows.
pub(crate) fn shard(path: &Path, rows: &RecordBatch, group: usize) -> Result<(), Box<dyn Error>> {
    fs_err::write(path_with_folder(path)?, bytes(rows, group)?)?;
    Ok(())
}

/// Encodes `rows` as Parquet with row groups of at most `group` rows.
pub(crate) fn bytes(rows: &RecordBatch, group: usize) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, rows.schema(), None)?;
    for first in (0..rows.num_rows()).step_by(group) {
        writer.write(&rows.slice(first, group.min(rows.num_rows() - first)))?;
        writer.flush()?;
    }
    writer.close()?;
    Ok(bytes)
}

/// Makes the folder of `path`.
pub(crate) fn path_with_folder(path: &Path) -> Result<&Path, Box<dyn Error>> {
    if let Some(folder) = path.parent() {
        fs_err::create_dir_all(folder)?;
    }
    Ok(path)
}
