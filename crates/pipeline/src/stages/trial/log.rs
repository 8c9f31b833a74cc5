//! The steps of a run as they are logged.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, UInt64Array};
use bytes::Bytes;
use fs_err as fs;
use headwater_train::StepLog;
use parquet::arrow::ArrowWriter;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Stretches of a run that its training loss is told of.
const STRETCHES: usize = 50;

/// A logged step, as the file of a run that is not done has it.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Logged {
    step: u64,
    loss: f64,
    rate: f64,
    l2: f64,
    l1: f64,
}

impl From<StepLog> for Logged {
    fn from(log: StepLog) -> Self {
        Self { step: log.step, loss: log.loss, rate: log.rate, l2: log.l2, l1: log.l1 }
    }
}

/// The steps of a run.
#[derive(Default)]
pub(super) struct Steps(Vec<Logged>);

impl Steps {
    /// Reads lines of JSON, up to one that is none: a killed run may have left half a line.
    pub(super) fn read(text: &str) -> Self {
        Self(text.lines().map_while(|line| serde_json::from_str(line).ok()).collect())
    }

    /// Steps that were logged.
    pub(super) const fn count(&self) -> usize {
        self.0.len()
    }

    /// Mean loss of each stretch of the run.
    pub(super) fn stretches(&self) -> Vec<f64> {
        let step = self.0.len().div_ceil(STRETCHES).max(1);
        self.0.chunks(step).map(|rows| rows.iter().map(|row| row.loss).sum::<f64>() / rows.len() as f64).collect()
    }

    /// The log as a file that trackers and `schedule refine` read.
    pub(super) fn parquet(&self) -> Result<Bytes> {
        let steps: ArrayRef = Arc::new(UInt64Array::from_iter_values(self.0.iter().map(|row| row.step)));
        let column =
            |of: fn(&Logged) -> f64| -> ArrayRef { Arc::new(Float64Array::from_iter_values(self.0.iter().map(of))) };
        let columns = [
            ("step", steps),
            ("loss", column(|row| row.loss)),
            ("lr", column(|row| row.rate)),
            ("grad_norm", column(|row| row.l2)),
            ("grad_norm_l1", column(|row| row.l1)),
        ];
        let encode = || -> Result<Vec<u8>, parquet::errors::ParquetError> {
            let rows = RecordBatch::try_from_iter(columns)?;
            let mut bytes = Vec::new();
            let mut writer = ArrowWriter::try_new(&mut bytes, rows.schema(), None)?;
            writer.write(&rows)?;
            writer.close()?;
            Ok(bytes)
        };
        encode().map(Bytes::from).map_err(|source| Error::TrialLog { source })
    }
}

/// What was logged of a run, kept beside its checkpoints, so that a run that goes on has it all.
pub(super) struct RunLog {
    path: PathBuf,
    pub(super) steps: Steps,
    file: Option<fs::File>,
}

impl RunLog {
    pub(super) fn open(work: &Path) -> Result<Self> {
        let path = work.join("log.jsonl");
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(source) => return Err(Error::Work { source }),
        };
        Ok(Self { path, steps: Steps::read(&text), file: None })
    }

    /// Adds a step; what an earlier start logged from it on was done after its last checkpoint.
    pub(super) fn add(&mut self, step: StepLog) -> Result<()> {
        let row = Logged::from(step);
        let failed = |source| Error::Work { source };
        let line = |row: &Logged| serde_json::to_string(row).map(|line| line + "\n").unwrap_or_default();
        let rows = &mut self.steps.0;
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                rows.retain(|before| before.step < row.step);
                let kept: String = rows.iter().map(line).collect();
                let whole = self.path.with_extension("new");
                fs::write(&whole, kept).map_err(failed)?;
                fs::rename(&whole, &self.path).map_err(failed)?;
                none.insert(fs::OpenOptions::new().append(true).open(&self.path).map_err(failed)?)
            }
        };
        file.write_all(line(&row).as_bytes()).map_err(failed)?;
        rows.push(row);
        Ok(())
    }
}
