//! What a run is made of, fixed in `run.json` by whoever begins it and compared by everyone after.

use std::collections::BTreeSet;

use bytes::Bytes;
use headwater_record::run::{RunShard, RunSource, ScoringInputs, SkippedShard};
use headwater_record::{RunFile, UnitKey};
use headwater_store::{Created, Place};

use crate::Error;

/// The run's description, relative to its output.
const RUN_FILE: &str = "run.json";

/// What to do when a run was begun with other settings or other shards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnChange {
    /// Name the difference and stop.
    #[default]
    Refuse,
    /// Score again what is affected.
    Rescore,
    /// Accept other id and domain columns, whose sidecars are about to be rewritten.
    Relabel,
}

/// A run about to begin or to resume.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// `run.json` as this process would write it.
    pub file: RunFile,
    /// What to do about differences.
    pub on_change: OnChange,
}

/// How a run came to be.
#[derive(Clone, Debug, PartialEq)]
pub enum Begun {
    /// This process began it.
    New(RunFile),
    /// It was there; the file holds the plan as it is now.
    Resumed(RunFile),
}

impl Begun {
    /// The run's description.
    #[must_use]
    pub fn into_file(self) -> RunFile {
        match self {
            Self::New(file) | Self::Resumed(file) => file,
        }
    }
}

/// Begins a run in `place`, or compares with the one that is there.
///
/// New shards are accepted and added to the plan; shards that the pipeline no longer names leave it.
///
/// # Errors
/// [`Error::OtherSettings`], [`Error::ChangedShards`] or [`Error::OtherLabels`] if the run was begun otherwise and `on_change`
/// does not accept it.
pub fn begin(place: &Place, candidate: Candidate) -> Result<Begun, Error> {
    let Candidate { file, on_change } = candidate;
    let json = encode(&file)?;
    if place.create(RUN_FILE, json.clone())? == Created::New {
        return Ok(Begun::New(file));
    }
    let there = read(place)?.ok_or_else(|| damaged("it vanished".to_owned()))?;
    if on_change != OnChange::Rescore {
        refuse_other_settings(&there.scoring, &file.scoring)?;
        refuse_changed_shards(&there, &file)?;
    }
    if on_change == OnChange::Refuse {
        refuse_other_labels(&there, &file)?;
    }
    let file = RunFile { began: there.began.clone(), headwater: there.headwater.clone(), ..file };
    if file != there {
        place.write(RUN_FILE, encode(&file)?)?;
    }
    Ok(Begun::Resumed(file))
}

/// Takes a shard of `source` that turned out to be unreadable out of the run's plan and lists it with its reason; returns the
/// run as it now is. A resumed run plans the shard again, in case it was repaired.
///
/// # Errors
/// What the store says.
pub fn skip_shard(place: &Place, file: RunFile, source: &str, shard: &SkippedShard) -> Result<RunFile, Error> {
    let mut file = read(place)?.unwrap_or(file);
    for source in file.sources.iter_mut().filter(|candidate| candidate.name == source) {
        source.shards.retain(|planned| planned.path != shard.path);
        source.skipped.retain(|skipped| skipped.path != shard.path);
        source.skipped.push(shard.clone());
        source.skipped.sort_by(|a, b| a.path.cmp(&b.path));
    }
    place.write(RUN_FILE, encode(&file)?)?;
    Ok(file)
}

/// Reads the description of the run in `place`, if one was begun.
///
/// # Errors
/// [`Error::Damaged`] if the file cannot be understood.
pub fn read(place: &Place) -> Result<Option<RunFile>, Error> {
    let Some(json) = place.read_if_exists(RUN_FILE)? else { return Ok(None) };
    serde_json::from_slice(&json).map(Some).map_err(|error| damaged(error.to_string()))
}

/// The units of `source` that have a sidecar, found by one listing.
///
/// # Errors
/// What the store says.
pub fn done_units(place: &Place, source: &RunSource) -> Result<BTreeSet<UnitKey>, Error> {
    let entries = place.list(&source.sidecar_folder())?;
    let unit = |path: &str| path.rsplit('/').next()?.strip_suffix(".parquet")?.parse().ok();
    Ok(entries.iter().filter_map(|entry| unit(&entry.path)).collect())
}

/// The shards and units of `source` that have no sidecar yet, in plan order.
///
/// # Errors
/// What the store says.
pub fn pending<'a>(place: &Place, source: &'a RunSource) -> Result<Vec<(&'a RunShard, &'a UnitKey)>, Error> {
    let done = done_units(place, source)?;
    let units = source.shards.iter().flat_map(|shard| shard.units.iter().map(move |unit| (shard, unit)));
    Ok(units.filter(|(_, unit)| !done.contains(*unit)).collect())
}

fn refuse_other_settings(there: &ScoringInputs, here: &ScoringInputs) -> Result<(), Error> {
    let differences = there.differences(here);
    if differences.is_empty() { Ok(()) } else { Err(Error::OtherSettings { differences }) }
}

fn refuse_changed_shards(there: &RunFile, here: &RunFile) -> Result<(), Error> {
    let mut shards = Vec::new();
    let mut columns = Vec::new();
    for source in &here.sources {
        let Some(before) = there.sources.iter().find(|before| before.name == source.name) else { continue };
        if before.text != source.text {
            columns.push(format!("text column of {}: {} → {}", source.name, before.text, source.text));
        }
        let changed = source
            .shards
            .iter()
            .filter(|shard| before.shards.iter().any(|before| before.path == shard.path && before.id != shard.id));
        shards.extend(changed.map(|shard| format!("{}/{}", source.name, shard.path)));
    }
    if !columns.is_empty() {
        return Err(Error::OtherSettings { differences: columns });
    }
    if shards.is_empty() { Ok(()) } else { Err(Error::ChangedShards { shards }) }
}

fn refuse_other_labels(there: &RunFile, here: &RunFile) -> Result<(), Error> {
    let difference = |source: &RunSource| {
        let before = there.sources.iter().find(|before| before.name == source.name)?;
        let same = before.labels == source.labels;
        (!same).then(|| format!("{}: {} → {}", source.name, before.labels, source.labels))
    };
    let differences: Vec<String> = here.sources.iter().filter_map(difference).collect();
    if differences.is_empty() { Ok(()) } else { Err(Error::OtherLabels { differences }) }
}

fn encode(file: &RunFile) -> Result<Bytes, Error> {
    let mut json = serde_json::to_vec_pretty(file).map_err(|error| damaged(error.to_string()))?;
    json.push(b'\n');
    Ok(Bytes::from(json))
}

fn damaged(reason: String) -> Error {
    Error::Damaged { path: RUN_FILE.to_owned(), reason }
}
