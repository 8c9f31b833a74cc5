//! Trainers on disk: parameters, moments, step and settings in one file.

use std::path::{Path, PathBuf};

use fs_err as fs;
use headwater_schedule::Schedule;
use safetensors::SafeTensors;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use twox_hash::XxHash3_64;

use crate::layout::Layout;
use crate::{Error, Parameters, Settings, Trainer, files};

/// The file of a checkpoint in its folder.
const FILE: &str = "checkpoint.safetensors";

/// The entry of metadata that holds a [`State`].
const ENTRY: &str = "headwater-train";

/// What a checkpoint says beside its tensors.
#[derive(Debug, Serialize, Deserialize)]
struct State {
    settings: Value,
    schedule: String,
    /// Completed steps.
    step: u64,
    /// Of the bytes of parameters, first and second moments.
    checksum: String,
}

impl Trainer {
    /// Writes `checkpoint.safetensors` to `folder`, which is made if it is missing; a killed write leaves what was there.
    ///
    /// # Errors
    /// [`Error::Write`].
    pub fn save(&self, folder: &Path) -> Result<(), Error> {
        let slices = [("", self.parameters.values()), ("first.", &*self.first), ("second.", &*self.second)];
        let slices = slices.map(|(prefix, numbers)| (prefix, files::little_endian(numbers)));
        let state = State {
            settings: json(&self.settings),
            schedule: text(&self.schedule),
            step: self.step,
            checksum: checksum(slices.iter().map(|(_, bytes)| &**bytes)),
        };
        let state = json(&state).to_string();
        files::write(folder, FILE, &files::tensors_file(self.parameters.layout(), &slices, (ENTRY, state)))
    }

    /// Goes on from the checkpoint in `folder`, with the bytes of a run that was never stopped; `None` if there is none.
    ///
    /// # Errors
    /// [`Error::OtherSettings`] if it was made under other settings or another schedule, [`Error::Damaged`] and [`Error::Read`].
    pub fn resume(settings: &Settings, schedule: &Schedule, folder: &Path) -> Result<Option<Self>, Error> {
        settings.check()?;
        let path = folder.join(FILE);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(Error::Read { path, source }),
        };
        let file = CheckpointFile::new(path, &bytes)?;
        file.same("schedule", &Value::String(file.state.schedule.clone()), &Value::String(text(schedule)))?;
        // it is written only where it is not float32
        let stored: Settings = serde_json::from_value(file.state.settings.clone())
            .map_err(|error| file.damaged(format!("entry {ENTRY}: {error}")))?;
        file.same("precision", &json(&stored.precision), &json(&settings.precision))?;
        file.same("", &file.state.settings, &json(settings))?;
        let layout = Layout::new(&settings.shape);
        let parts = ["", "first.", "second."].map(|prefix| file.slice(&layout, prefix));
        let [values, first, second] = parts;
        let (values, first, second) = (values?, first?, second?);
        if checksum([&*values, &*first, &*second].into_iter()) != file.state.checksum {
            return Err(file.damaged("its numbers do not have its checksum".to_owned()));
        }
        let parameters = Parameters::from_values(&settings.shape, files::numbers(&values))?;
        let mut trainer = Self::with_parameters(settings.clone(), schedule.clone(), parameters)?;
        trainer.first = files::numbers(&first);
        trainer.second = files::numbers(&second);
        trainer.step = file.state.step;
        Ok(Some(trainer))
    }
}

/// A checkpoint that was read.
struct CheckpointFile<'a> {
    path: PathBuf,
    tensors: SafeTensors<'a>,
    state: State,
}

impl<'a> CheckpointFile<'a> {
    fn new(path: PathBuf, bytes: &'a [u8]) -> Result<Self, Error> {
        let damaged = |problem: String| Error::Damaged { path: path.clone(), problem };
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|error| damaged(error.to_string()))?;
        let tensors = SafeTensors::deserialize(bytes).map_err(|error| damaged(error.to_string()))?;
        let state = metadata.metadata().as_ref().and_then(|entries| entries.get(ENTRY));
        let state = state.ok_or_else(|| damaged(format!("its metadata has no entry {ENTRY}")))?;
        let state = serde_json::from_str(state).map_err(|error| damaged(format!("entry {ENTRY}: {error}")))?;
        Ok(Self { path, tensors, state })
    }

    fn damaged(&self, problem: String) -> Error {
        Error::Damaged { path: self.path.clone(), problem }
    }

    /// Makes sure that a setting is the same in the checkpoint and here; tables are compared entry by entry.
    fn same(&self, name: &str, checkpoint: &Value, here: &Value) -> Result<(), Error> {
        if let (Value::Object(checkpoint), Value::Object(here)) = (checkpoint, here) {
            for (key, value) in here {
                let name = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
                self.same(&name, checkpoint.get(key).unwrap_or(&Value::Null), value)?;
            }
            return Ok(());
        }
        if checkpoint == here {
            return Ok(());
        }
        let shown = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let (checkpoint, here) = (shown(checkpoint), shown(here));
        Err(Error::OtherSettings { path: self.path.clone(), name: name.to_owned(), checkpoint, here })
    }

    /// The bytes of all tensors with `prefix`, laid out as `layout`.
    fn slice(&self, layout: &Layout, prefix: &str) -> Result<Vec<u8>, Error> {
        files::slice(&self.tensors, layout, prefix).map_err(|problem| self.damaged(problem))
    }
}

/// XXH3 of each of the `parts`, as hexadecimal digits.
fn checksum<'a>(parts: impl Iterator<Item = &'a [u8]>) -> String {
    let hashes: Vec<_> = parts.map(|part| format!("{:016x}", XxHash3_64::oneshot(part))).collect();
    hashes.join(" ")
}

/// A schedule in words that differ wherever two schedules do.
fn text(schedule: &Schedule) -> String {
    format!("{:?}, {:?}", schedule.frame(), schedule.form())
}

fn json(value: &impl Serialize) -> Value {
    serde_json::to_value(value).expect("invariant: settings are names and finite numbers")
}

#[cfg(test)]
mod tests;
