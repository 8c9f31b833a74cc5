//! Gradient norms from a log: CSV, JSON lines, what transformers leaves, or a column of Parquet.

use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use headwater_corpus::guarded;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;

/// The column that is taken if there are several and none is named.
const USUAL: &str = "grad_norm";

/// Norms as a log has them.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Norms {
    /// In order.
    pub(super) norms: Vec<f64>,
    /// Lines that have none, such as those of an evaluation.
    pub(super) skipped: u64,
}

/// Reads the norms of `path`, by its ending.
pub(super) fn read_norms(path: &Path, column: Option<&str>) -> Result<Norms> {
    let norms = match path.extension().and_then(|extension| extension.to_str()) {
        Some("csv") => from_csv(path, column),
        Some("json") => from_json(path, column),
        Some("jsonl" | "ndjson") => from_json_lines(path, column),
        Some("parquet") => from_parquet(path, column),
        _ => bail!("{}: gradient norms are read from .csv, .jsonl, .json and .parquet", path.display()),
    }?;
    ensure!(!norms.norms.is_empty(), "{}: has no gradient norms", path.display());
    Ok(norms)
}

/// A norm, or what is wrong with it and where.
fn checked(norm: f64, path: &Path, line: u64) -> Result<f64> {
    ensure!(norm >= 0.0, "{}:{line}: gradient norm {norm}: a norm is a number that is not negative", path.display());
    Ok(norm)
}

fn from_csv(path: &Path, column: Option<&str>) -> Result<Norms> {
    let file = fs_err::File::open(path)?;
    let mut reader = csv::ReaderBuilder::new().has_headers(false).trim(csv::Trim::All).from_reader(file);
    let mut records = reader.records();
    let Some(first) = records.next().transpose().with_context(|| path.display().to_string())? else {
        return Ok(Norms::default());
    };
    let is_header = first.iter().any(|field| field.parse::<f64>().is_err());
    let names: Vec<&str> = if is_header { first.iter().collect() } else { Vec::new() };
    let at = if is_header {
        position(&names, column, path)?
    } else {
        ensure!(column.is_none(), "{}: has no header line to find `{}` in", path.display(), column.unwrap_or_default());
        ensure!(first.len() == 1, "{}: has {} columns and no header line that names them", path.display(), first.len());
        0
    };
    let mut norms = Norms::default();
    for record in std::iter::once(Ok(first.clone())).filter(|_| !is_header).chain(records) {
        let record = record.with_context(|| path.display().to_string())?;
        let line = record.position().map_or(0, csv::Position::line);
        match record.get(at).unwrap_or_default() {
            "" => norms.skipped += 1,
            text => {
                let norm = text.parse().with_context(|| format!("{}:{line}: `{text}` is no number", path.display()))?;
                norms.norms.push(checked(norm, path, line)?);
            }
        }
    }
    Ok(norms)
}

/// The column that is meant among `names`.
fn position(names: &[&str], column: Option<&str>, path: &Path) -> Result<usize> {
    let find = |name: &str| names.iter().position(|known| *known == name);
    let list = || names.join(", ");
    match column {
        Some(name) => {
            find(name).with_context(|| format!("{}: has no column `{name}`; it has {}", path.display(), list()))
        }
        None if names.len() == 1 => Ok(0),
        None => find(USUAL).with_context(|| {
            format!("{}: has no column `{USUAL}`; name one of {} with --column", path.display(), list())
        }),
    }
}

/// A file of one JSON document: an array, or an object with `log_history`, as transformers leaves it; else JSON lines.
fn from_json(path: &Path, column: Option<&str>) -> Result<Norms> {
    let text = fs_err::read_to_string(path)?;
    let Ok(value) = serde_json::from_str::<Value>(&quoted(&text)) else { return from_json_lines(path, column) };
    let entries = match value {
        Value::Array(entries) => entries,
        Value::Object(mut object) => match object.remove("log_history") {
            Some(Value::Array(entries)) => entries,
            _ => return from_json_lines(path, column),
        },
        _ => return from_json_lines(path, column),
    };
    let mut norms = Norms::default();
    for (entry, value) in (1..).zip(entries) {
        norms.add(value, column, (path, entry))?;
    }
    norms.found(path, column)
}

fn from_json_lines(path: &Path, column: Option<&str>) -> Result<Norms> {
    let mut norms = Norms::default();
    for (line, text) in (1..).zip(BufReader::new(fs_err::File::open(path)?).lines()) {
        let text = quoted(&text.with_context(|| format!("{}:{line}", path.display()))?);
        if text.trim().is_empty() {
            continue;
        }
        let value = serde_json::from_str(&text).with_context(|| format!("{}:{line}: is no JSON", path.display()))?;
        norms.add(value, column, (path, line))?;
    }
    norms.found(path, column)
}

impl Norms {
    /// Adds the norm of an entry, which may have none.
    fn add(&mut self, value: Value, column: Option<&str>, (path, line): (&Path, u64)) -> Result<()> {
        let value = match value {
            Value::Object(mut object) => object.remove(column.unwrap_or(USUAL)).unwrap_or_default(),
            value => value,
        };
        let norm = match &value {
            Value::Null => {
                self.skipped += 1;
                return Ok(());
            }
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.parse().ok(),
            _ => None,
        };
        let norm = norm.with_context(|| format!("{}:{line}: `{value}` is no number", path.display()))?;
        self.norms.push(checked(norm, path, line)?);
        Ok(())
    }

    /// The norms, if there are any where there are lines.
    fn found(self, path: &Path, column: Option<&str>) -> Result<Self> {
        let key = column.unwrap_or(USUAL);
        let is_elsewhere = self.norms.is_empty() && self.skipped > 0;
        ensure!(!is_elsewhere, "{}: no entry has a key `{key}`; name the key with --column", path.display());
        Ok(self)
    }
}

/// JSON with the infinities and NaNs that Python writes bare turned into texts.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut rest, mut is_text) = (text, false);
    while let Some(first) = rest.chars().next() {
        let bare = ["-Infinity", "Infinity", "NaN"].into_iter().find(|word| !is_text && rest.starts_with(word));
        let taken = match (bare, first) {
            (Some(word), _) => {
                out.push('"');
                out.push_str(word);
                out.push('"');
                word.len()
            }
            (None, '\\') if is_text => {
                let escaped = 1 + rest[1..].chars().next().map_or(0, char::len_utf8);
                out.push_str(&rest[..escaped]);
                escaped
            }
            (None, _) => {
                is_text ^= first == '"';
                out.push(first);
                first.len_utf8()
            }
        };
        rest = &rest[taken..];
    }
    out
}

fn from_parquet(path: &Path, column: Option<&str>) -> Result<Norms> {
    let wrong = || path.display().to_string();
    let file = fs_err::File::open(path)?.into_file();
    let builder = guarded(|| ParquetRecordBatchReaderBuilder::try_new(file)).with_context(wrong)?;
    let schema = builder.schema().clone();
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    let mask = ProjectionMask::roots(builder.parquet_schema(), [position(&names, column, path)?]);
    let batches = guarded(|| Ok(builder.with_projection(mask).build()?.collect::<Result<Vec<_>, _>>()?));
    let batches = batches.with_context(wrong)?;
    let mut norms = Norms::default();
    let mut row = 0;
    for batch in batches {
        let values = cast(batch.column(0), &DataType::Float64).with_context(wrong)?;
        let values = values.as_primitive::<Float64Type>();
        for at in 0..values.len() {
            row += 1;
            if values.is_null(at) {
                norms.skipped += 1;
            } else {
                norms.norms.push(checked(values.value(at), path, row)?);
            }
        }
    }
    Ok(norms)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Float32Array, RecordBatch};
    use arrow::datatypes::{Field, Schema};
    use parquet::arrow::ArrowWriter;

    use super::*;

    fn read(name: &str, text: &str, column: Option<&str>) -> Result<Norms> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join(name);
        fs_err::write(&path, text)?;
        read_norms(&path, column)
    }

    #[test]
    fn logs_of_three_kinds() -> Result<()> {
        let norms = |norms: &[f64], skipped| Norms { norms: norms.to_vec(), skipped };
        assert_eq!(read("a.csv", "1\ninf\n2.5\n", None)?, norms(&[1.0, f64::INFINITY, 2.5], 0));
        assert_eq!(read("a.csv", "step,grad_norm\n1, 0.5\n2,\n3,1e-3\n", None)?, norms(&[0.5, 1e-3], 1));
        assert_eq!(read("a.csv", "step,l1,l2\n1,2,3\n", Some("l1"))?, norms(&[2.0], 0));
        let log = "{\"grad_norm\": 2.0, \"loss\": 1}\n{\"eval_loss\": 3}\n\n{\"grad_norm\": Infinity}\n";
        assert_eq!(read("a.jsonl", log, None)?, norms(&[2.0, f64::INFINITY], 1));
        let compact = "{\"note\":\"an Infinity\",\"grad_norm\":Infinity}\n{\"grad_norm\":null}\n";
        assert_eq!(read("a.jsonl", compact, None)?, norms(&[f64::INFINITY], 1));
        let state = "{\"epoch\": 1,\n \"log_history\": [{\"grad_norm\": 0.5, \"step\": 1},\n {\"eval_loss\": NaN}]}";
        assert_eq!(read("trainer_state.json", state, None)?, norms(&[0.5], 1));
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("a.parquet");
        let schema = Arc::new(Schema::new(vec![Field::new("norm", DataType::Float32, true)]));
        let batch = RecordBatch::try_new(
            Arc::clone(&schema),
            vec![Arc::new(Float32Array::from(vec![Some(0.5), None, Some(4.0)]))],
        )?;
        let mut writer = ArrowWriter::try_new(fs_err::File::create(&path)?, schema, None)?;
        writer.write(&batch)?;
        writer.close()?;
        assert_eq!(read_norms(&path, None)?, norms(&[0.5, 4.0], 1));
        Ok(())
    }

    #[test]
    fn mistakes_name_the_file_the_line_and_the_columns() {
        let error = |name: &str, text: &str, column| format!("{:#}", read(name, text, column).expect_err("wrong"));
        for (name, text, column, expected) in [
            ("a.csv", "", None, "has no gradient norms"),
            ("a.csv", "grad_norm\n1\n-2\n", None, "a.csv:3: gradient norm -2"),
            ("a.csv", "grad_norm\n1\nNaN\n", None, "a.csv:3: gradient norm NaN"),
            ("a.csv", "grad_norm\n1\nmany\n", None, "a.csv:3: `many` is no number"),
            ("a.csv", "step,norm\n1,2\n", None, "name one of step, norm with --column"),
            ("a.csv", "step,norm\n1,2\n", Some("l1"), "has no column `l1`; it has step, norm"),
            ("a.csv", "1,2\n", None, "2 columns and no header"),
            ("a.jsonl", "{\"loss\": 1}\n", None, "no entry has a key `grad_norm`"),
            ("a.jsonl", "{\"grad_norm\": NaN}\n", None, "a.jsonl:1: gradient norm NaN"),
            ("a.jsonl", "{\n", None, "a.jsonl:1: is no JSON"),
            ("a.parquet", "PAR1", None, "a.parquet"),
            ("a.txt", "1", None, ".csv, .jsonl, .json and .parquet"),
        ] {
            let error = error(name, text, column);
            assert!(error.contains(expected), "{error}");
        }
    }
}
