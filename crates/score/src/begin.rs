//! What a run is made of, fixed in `run.json` by whoever begins it and compared by everyone after.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use headwater_record::run::{RunShard, RunSource, ScoringInputs, SkippedShard};
use headwater_record::{RunFile, ShardId, UnitKey};
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
    /// Accept the new settings and score what they affect.
    Rescore,
}

/// A run about to begin or to resume.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// `run.json` as this process would write it.
    pub file: RunFile,
    /// What to do about differences.
    pub on_change: OnChange,
}

/// Begins a run in `place`, or compares with the one that is there; returns its description.
///
/// A plan may grow: new sources, shards and units are added to `run.json`. Everything else that `candidate` says
/// otherwise without changing a score, such as the device's number, leaves the file as it is.
///
/// # Errors
/// [`Error::OtherSettings`], [`Error::ChangedShards`], [`Error::SmallerPlan`] or [`Error::OtherLabels`] if the run was begun
/// otherwise and `on_change` does not accept it.
pub fn begin(place: &Place, candidate: Candidate) -> Result<RunFile, Error> {
    let Candidate { file, on_change } = candidate;
    if place.create(RUN_FILE, &encode(&file)?)? == Created::New {
        return Ok(file);
    }
    change(place, |there| {
        if on_change == OnChange::Refuse {
            refuse_other_settings(&there.scoring, &file.scoring)?;
            refuse_changed_shards(&there, &file)?;
            refuse_smaller_plan(&there, &file)?;
            refuse_other_labels(&there, &file)?;
        }
        let same_units = units(&there).eq(units(&file));
        if on_change == OnChange::Refuse && same_units {
            return Ok(there);
        }
        Ok(RunFile { began: there.began, headwater: there.headwater, ..file.clone() })
    })
}

/// Changes the description of a run that has begun; returns it as it then is. Workers that change it at the same moment do not lose
/// each other's changes, so `change` may be called more than once.
///
/// # Errors
/// Those of `change`; [`Error::Damaged`] if the file cannot be understood; what the store says.
pub fn change(place: &Place, mut change: impl FnMut(RunFile) -> Result<RunFile, Error>) -> Result<RunFile, Error> {
    let mut changed = None;
    place.update(RUN_FILE, |json| {
        let there = decode(&json)?;
        let file = change(there.clone())?;
        let is_new = file != there;
        let json = is_new.then(|| encode(&file)).transpose()?;
        changed = Some(file);
        Ok::<_, Error>(json)
    })?;
    changed.ok_or_else(|| damaged("it was not read".to_owned()))
}

/// The units of a plan, each with its source's name, in plan order.
fn units(file: &RunFile) -> impl Iterator<Item = (&str, &UnitKey)> {
    file.sources
        .iter()
        .flat_map(|source| source.shards.iter().flat_map(|shard| &shard.units).map(|unit| (source.name.as_str(), unit)))
}

/// Takes a shard of `source` that turned out to be unreadable out of the run's plan and lists it with its reason; returns the
/// run as it now is. A resumed run plans the shard again, in case it was repaired.
///
/// # Errors
/// What the store says.
pub fn skip_shard(place: &Place, source: &str, shard: &SkippedShard) -> Result<RunFile, Error> {
    change(place, |mut file| {
        for source in file.sources.iter_mut().filter(|candidate| candidate.name == source) {
            source.shards.retain(|planned| planned.path != shard.path);
            source.skipped.retain(|skipped| skipped.path != shard.path);
            source.skipped.push(shard.clone());
            source.skipped.sort_by(|a, b| a.path.cmp(&b.path));
        }
        Ok(file)
    })
}

/// Reads the description of the run in `place`, if one was begun.
///
/// # Errors
/// [`Error::Damaged`] if the file cannot be understood.
pub fn read(place: &Place) -> Result<Option<RunFile>, Error> {
    place.read_if_exists(RUN_FILE)?.map(|json| decode(&json)).transpose()
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
        let known: BTreeMap<&str, &ShardId> =
            before.shards.iter().map(|shard| (shard.path.as_str(), &shard.id)).collect();
        let is_changed = |shard: &RunShard| known.get(shard.path.as_str()).is_some_and(|id| **id != shard.id);
        let changed = source.shards.iter().filter(|shard| is_changed(shard));
        shards.extend(changed.map(|shard| format!("{}/{}", source.name, shard.path)));
    }
    if !columns.is_empty() {
        return Err(Error::OtherSettings { differences: columns });
    }
    if shards.is_empty() { Ok(()) } else { Err(Error::ChangedShards { shards }) }
}

/// Refuses a plan that lacks units of the one that began the run, unless their shard is skipped.
fn refuse_smaller_plan(there: &RunFile, here: &RunFile) -> Result<(), Error> {
    let planned: BTreeSet<_> = units(here).collect();
    let mut lost = 0;
    let mut example = None;
    for source in &there.sources {
        let now = here.sources.iter().find(|now| now.name == source.name);
        let is_skipped = |path: &str| now.is_some_and(|now| now.skipped.iter().any(|skipped| skipped.path == path));
        for shard in source.shards.iter().filter(|shard| !is_skipped(&shard.path)) {
            let gone = shard.units.iter().filter(|unit| !planned.contains(&(source.name.as_str(), *unit))).count();
            if gone > 0 {
                lost += gone;
                example.get_or_insert_with(|| format!("{}/{}", source.name, shard.path));
            }
        }
    }
    example.map_or(Ok(()), |example| Err(Error::SmallerPlan { lost, example }))
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

fn decode(json: &[u8]) -> Result<RunFile, Error> {
    serde_json::from_slice(json).map_err(|error| damaged(error.to_string()))
}

fn encode(file: &RunFile) -> Result<Bytes, Error> {
    let mut json = serde_json::to_vec_pretty(file).map_err(|error| damaged(error.to_string()))?;
    json.push(b'\n');
    Ok(Bytes::from(json))
}

fn damaged(reason: String) -> Error {
    Error::Damaged { path: RUN_FILE.to_owned(), reason }
}
