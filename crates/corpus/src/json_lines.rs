//! JSON Lines as shards: each file is copied once as Parquet, from which all else goes on.
//!
//! A scored row must be found again, for the subset, the report and token files; JSON Lines, mostly compressed, can only be read from the
//! beginning. So a file is read twice from end to end, once for the types of its columns and once for the rows, and its copy is kept beside
//! the run's other artefacts. The copy of one version of a file is the same whoever makes it.

use std::io::{BufRead, BufReader, Read};
use std::sync::Arc;

use arrow_json::ReaderBuilder;
use arrow_json::reader::infer_json_schema;
use arrow_schema::{ArrowError, DataType, Field, FieldRef, Fields, Schema, SchemaRef};
use flate2::bufread::MultiGzDecoder;
use headwater_record::ContentHash;
use headwater_store::{Entry, Place};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::ChunkReader;

use crate::Result;
use crate::chunks::{Chunks, PIECE_BYTES, StoredShard};

/// Ends of the names of JSON Lines files that a folder is searched for, in any case.
const EXTENSIONS: [&str; 8] =
    [".jsonl", ".jsonl.gz", ".jsonl.zst", ".ndjson", ".ndjson.gz", ".ndjson.zst", ".json.gz", ".json.zst"];

/// A file that is named directly may end so, too.
const PLAIN_JSON: &str = ".json";

/// Encoded bytes after which a row group of the copy ends.
const ROW_GROUP_BYTES: usize = 16 << 20;

/// Rows that are decoded together.
const BATCH_ROWS: usize = 256;

/// Bytes of text that are read together.
const BUFFER_BYTES: usize = 1 << 20;

/// zstd level of the copy.
const ZSTD_LEVEL: i32 = 3;

/// Digits of the hash in the name of a copy.
const DIGITS: usize = 16;

/// Whether a folder's file at `path` is taken for JSON Lines.
pub(crate) fn has_extension(path: &str) -> bool {
    ends_with_any(path, &EXTENSIONS)
}

/// Returns whether a file that is a part of the corpus is JSON Lines, by its path.
#[must_use]
pub fn is_json_lines(path: &str) -> bool {
    has_extension(path) || ends_with_any(path, &[PLAIN_JSON])
}

/// Whether the path ends in one of `extensions`, which are written small, in any case.
pub(crate) fn ends_with_any(path: &str, extensions: &[&str]) -> bool {
    let path = path.to_ascii_lowercase();
    extensions.iter().any(|extension| path.ends_with(extension))
}

/// Why a file cannot be copied.
enum Problem {
    /// The disk or store that the copy goes to.
    Store(headwater_store::Error),
    /// The file itself, or the disk or store that it is read from, which is found in its reader.
    File(String),
}

impl From<headwater_store::Error> for Problem {
    fn from(error: headwater_store::Error) -> Self {
        Self::Store(error)
    }
}

impl From<ArrowError> for Problem {
    fn from(error: ArrowError) -> Self {
        Self::File(match error {
            ArrowError::JsonError(reason) => reason,
            error => error.to_string(),
        })
    }
}

impl From<ParquetError> for Problem {
    fn from(error: ParquetError) -> Self {
        Self::File(error.to_string())
    }
}

impl From<std::io::Error> for Problem {
    fn from(error: std::io::Error) -> Self {
        Self::File(error.to_string())
    }
}

/// The copy in `copies` of the file `entry` of `place`, which is made if it is not there; or why the file cannot be copied.
///
/// # Errors
/// A failure of a disk or store.
pub(crate) fn copy(place: &Place, file: &Entry, copies: &Place) -> Result<std::result::Result<Entry, String>> {
    let etag = file.etag.as_deref().unwrap_or_default();
    let version = ContentHash::of_fields([&file.bytes.to_le_bytes()[..], etag.as_bytes()]);
    let path = format!("{}-{}.parquet", file.path, version.short(DIGITS));
    match copies.entry(&path) {
        Err(error) if error.is_not_found() => {}
        there => return Ok(Ok(there?)),
    }
    let stored = StoredShard::open(place, file)?;
    let written = schema(&stored, &file.path).and_then(|schema| write(&stored, &file.path, schema, (copies, &path)));
    match (written, stored.take_failure()) {
        (Err(_), Some(failure)) => Err(failure.into()),
        (Err(Problem::Store(error)), None) => Err(error.into()),
        (Err(Problem::File(reason)), None) => Ok(Err(format!("it cannot be read as JSON Lines: {reason}"))),
        (Ok(()), _) => {
            tracing::info!(shard = place.describe(&file.path), "JSON Lines copied as Parquet");
            Ok(Ok(copies.entry(&path)?))
        }
    }
}

/// The lines of the file at `path`, unpacked.
fn lines(stored: &StoredShard, path: &str) -> std::result::Result<Box<dyn BufRead>, Problem> {
    let bytes = stored.file_bytes();
    let packed = stored.chunk(0..bytes, PIECE_BYTES)?.get_read(0)?.take(bytes);
    let packed = BufReader::with_capacity(BUFFER_BYTES, packed);
    let path = path.to_ascii_lowercase();
    let unpacked: Box<dyn Read> = if path.ends_with(".gz") {
        Box::new(MultiGzDecoder::new(packed))
    } else if path.ends_with(".zst") {
        Box::new(zstd::stream::read::Decoder::with_buffer(packed)?)
    } else {
        return Ok(Box::new(packed));
    };
    Ok(Box::new(BufReader::with_capacity(BUFFER_BYTES, unpacked)))
}

/// The columns of all lines.
fn schema(stored: &StoredShard, path: &str) -> std::result::Result<SchemaRef, Problem> {
    let (found, rows) = infer_json_schema(lines(stored, path)?, None)?;
    if rows == 0 {
        return Err(Problem::File("it has no lines".to_owned()));
    }
    Ok(Arc::new(Schema::new(columns(found.fields()))))
}

/// The columns as Parquet can hold them, in the order of their names: structs without members are left out, and texts may be of any length.
fn columns(found: &Fields) -> Vec<FieldRef> {
    let mut columns: Vec<FieldRef> = found.iter().filter_map(|field| column(field)).collect();
    columns.sort_by(|a, b| a.name().cmp(b.name()));
    columns
}

fn column(field: &Field) -> Option<FieldRef> {
    let data_type = match field.data_type() {
        DataType::Utf8 => DataType::LargeUtf8,
        DataType::Struct(members) => {
            let members = columns(members);
            if members.is_empty() {
                return None;
            }
            DataType::Struct(members.into())
        }
        DataType::List(item) => DataType::List(column(item)?),
        other => other.clone(),
    };
    Some(Arc::new(field.clone().with_data_type(data_type)))
}

/// Writes the copy.
fn write(
    stored: &StoredShard,
    path: &str,
    schema: SchemaRef,
    (copies, target): (&Place, &str),
) -> std::result::Result<(), Problem> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?))
        .set_created_by(concat!("headwater ", env!("CARGO_PKG_VERSION")).to_owned())
        .build();
    let mut output = copies.writer(target)?;
    let mut writer = ArrowWriter::try_new(&mut output, Arc::clone(&schema), Some(properties))?;
    let mut decoder =
        ReaderBuilder::new(schema).with_batch_size(BATCH_ROWS).with_coerce_primitive(true).build_decoder()?;
    let mut lines = lines(stored, path)?;
    let mut rows = 0;
    loop {
        let is_over = loop {
            let text = lines.fill_buf()?;
            if text.is_empty() {
                break true;
            }
            let length = text.len();
            let decoded = decoder.decode(text).map_err(|error| after(rows, error))?;
            lines.consume(decoded);
            if decoded < length {
                break false;
            }
        };
        if let Some(batch) = decoder.flush().map_err(|error| after(rows, error))? {
            rows += batch.num_rows();
            writer.write(&batch)?;
            if writer.in_progress_size() >= ROW_GROUP_BYTES {
                writer.flush()?;
            }
        }
        if is_over {
            break;
        }
    }
    writer.close()?;
    Ok(output.finish()?)
}

/// What went wrong behind the row `rows`.
fn after(rows: usize, error: ArrowError) -> Problem {
    match Problem::from(error) {
        Problem::File(reason) => Problem::File(format!("after row {rows}: {reason}")),
        problem => problem,
    }
}
