//! `run.json`: what a run is made of, fixed by the process that begins it and compared by all others.

use std::collections::{BTreeMap, BTreeSet};

use headwater_record::run::{Labels, RunShard, ScoringInputs, SkippedShard};
use headwater_record::{RunFile, ShardId, UnitKey};
use headwater_store::Created;

use crate::json::{decode, encode};
use crate::{Error, Result, RunFolder};

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

impl RunFolder {
    /// Begins the run, or compares with the one that is there; returns its description.
    ///
    /// A plan may grow: new sources, shards and units are added to `run.json`. Everything else that `candidate` says
    /// otherwise without changing a score, such as the device's number, leaves the file as it is.
    ///
    /// # Errors
    /// [`Error::OtherSettings`], [`Error::ChangedShards`], [`Error::SmallerPlan`] or [`Error::OtherLabels`] if the run was begun
    /// otherwise and `on_change` does not accept it.
    pub fn begin(&self, candidate: Candidate) -> Result<RunFile> {
        let Candidate { file, on_change } = candidate;
        if self.create_json(Self::RUN, &file)? == Created::New {
            return Ok(file);
        }
        self.change(|there| {
            if on_change == OnChange::Refuse {
                refuse_other_settings(&there.scoring, &file.scoring)?;
                refuse_changed_shards(&there, &file)?;
                refuse_smaller_plan(&there, &file)?;
                refuse_other_labels(&there, file.sources.iter().map(|now| (&*now.name, now.labels.clone())))?;
            }
            let same_units = units(&there).eq(units(&file));
            if on_change == OnChange::Refuse && same_units {
                return Ok(there);
            }
            Ok(RunFile { began: there.began, headwater: there.headwater, ..file.clone() })
        })
    }

    /// Changes the description of a run that has begun; returns it as it then is. Workers that change it at the same moment do not
    /// lose each other's changes, so `change` may be called more than once.
    ///
    /// # Errors
    /// Those of `change`; [`Error::Damaged`] if the file cannot be understood; what the store says.
    pub fn change(&self, mut change: impl FnMut(RunFile) -> Result<RunFile>) -> Result<RunFile> {
        let mut changed = None;
        self.place().update(Self::RUN, |json| {
            let there: RunFile = decode(Self::RUN, &json)?;
            let file = change(there.clone())?;
            let is_new = file != there;
            let json = is_new.then(|| encode(Self::RUN, &file)).transpose()?;
            changed = Some(file);
            Ok::<_, Error>(json)
        })?;
        changed.ok_or_else(|| Error::Damaged { path: Self::RUN.to_owned(), reason: "it was not read".to_owned() })
    }

    /// Takes a shard of `source` that turned out to be unreadable out of the run's plan and lists it with its reason; returns the
    /// run as it now is. A resumed run plans the shard again, in case it was repaired.
    ///
    /// # Errors
    /// What the store says.
    pub fn skip_shard(&self, source: &str, shard: &SkippedShard) -> Result<RunFile> {
        self.change(|mut file| {
            for source in file.sources.iter_mut().filter(|candidate| candidate.name == source) {
                source.shards.retain(|planned| planned.path != shard.path);
                source.skipped.retain(|skipped| skipped.path != shard.path);
                source.skipped.push(shard.clone());
                source.skipped.sort_by(|a, b| a.path.cmp(&b.path));
            }
            Ok(file)
        })
    }

    /// The description of the run, if it was begun.
    ///
    /// # Errors
    /// [`Error::Damaged`] if the file cannot be understood; what the store says.
    pub fn run_file(&self) -> Result<Option<RunFile>> {
        self.read_json(Self::RUN)
    }
}

/// The units of a plan, each with its source's name, in plan order.
fn units(file: &RunFile) -> impl Iterator<Item = (&str, &UnitKey)> {
    file.sources
        .iter()
        .flat_map(|source| source.shards.iter().flat_map(|shard| &shard.units).map(|unit| (source.name.as_str(), unit)))
}

fn refuse_other_settings(there: &ScoringInputs, here: &ScoringInputs) -> Result<()> {
    let differences = there.differences(here);
    if differences.is_empty() { Ok(()) } else { Err(Error::OtherSettings { differences }) }
}

fn refuse_changed_shards(there: &RunFile, here: &RunFile) -> Result<()> {
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
fn refuse_smaller_plan(there: &RunFile, here: &RunFile) -> Result<()> {
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

/// Refuses labels that other columns give than those of the sidecars of the run; `now` holds those of each source by its name.
///
/// # Errors
/// [`Error::OtherLabels`] naming the sources that differ.
pub fn refuse_other_labels<'a>(there: &RunFile, now: impl IntoIterator<Item = (&'a str, Labels)>) -> Result<()> {
    let difference = |(name, labels): (&str, Labels)| {
        let before = &there.sources.iter().find(|before| before.name == name)?.labels;
        (*before != labels).then(|| format!("{name}: {before} → {labels}"))
    };
    let differences: Vec<String> = now.into_iter().filter_map(difference).collect();
    if differences.is_empty() { Ok(()) } else { Err(Error::OtherLabels { differences }) }
}

#[cfg(test)]
mod tests {
    use headwater_record::run::{Numerics, RunSource, SEMANTICS};
    use headwater_record::{ContentHash, HeadSet};
    use headwater_store::Stores;

    use super::*;

    fn scoring() -> ScoringInputs {
        let text = |text: &str| text.to_owned();
        ScoringInputs {
            weights: ContentHash::of(b"weights"),
            model_config: None,
            tokenizer: ContentHash::of(b"tokenizer"),
            heads: HeadSet::default(),
            mask: text("causal-uniform"),
            window_tokens: 4096,
            long_documents: text("all"),
            min_tokens: 32,
            numerics: Numerics {
                engine: text("native"),
                device: text("cpu"),
                precision: text("bf16"),
                instructions: String::new(),
            },
            semantics: SEMANTICS,
            student: None,
            cascade: None,
        }
    }

    fn shard(path: &str, footer: &[u8]) -> RunShard {
        let id = ShardId::new(path, 10, footer);
        let unit = UnitKey { shard: id.clone(), row_group: 0, first_row: 0, rows: 5 };
        RunShard { path: path.to_owned(), id, bytes: 10, etag: None, units: vec![unit] }
    }

    fn run_file(shards: Vec<RunShard>) -> RunFile {
        let source = RunSource {
            name: "web".to_owned(),
            text: "text".to_owned(),
            labels: Labels::default(),
            fingerprint: scoring().fingerprint("text").expect("a fingerprint"),
            shards,
            skipped: Vec::new(),
        };
        RunFile {
            headwater: "0.1.0".to_owned(),
            began: "then".to_owned(),
            config: serde_json::Value::Null,
            scoring: scoring(),
            revisions: std::collections::BTreeMap::new(),
            sources: vec![source],
        }
    }

    fn begun(name: &str) -> (RunFolder, RunFile) {
        let folder = RunFolder::new(Stores::default().open(&format!("memory://{name}")).unwrap());
        let file = run_file(vec![shard("a.parquet", b"a")]);
        assert_eq!(folder.run_file().unwrap(), None);
        assert_eq!(begin(&folder, file.clone(), OnChange::Refuse).unwrap(), file);
        (folder, file)
    }

    fn begin(folder: &RunFolder, file: RunFile, on_change: OnChange) -> Result<RunFile> {
        folder.begin(Candidate { file, on_change })
    }

    #[test]
    fn a_run_resumes_and_its_plan_may_grow() {
        let (folder, file) = begun("grow");
        let later = RunFile { began: "later".to_owned(), ..file.clone() };
        assert_eq!(begin(&folder, later, OnChange::Refuse).unwrap(), file, "the same plan changes nothing");
        let grown = run_file(vec![shard("a.parquet", b"a"), shard("b.parquet", b"b")]);
        let grown = RunFile { began: "later".to_owned(), ..grown };
        let there = begin(&folder, grown, OnChange::Refuse).unwrap();
        assert_eq!((there.sources[0].shards.len(), there.began.as_str()), (2, "then"));
        assert_eq!(folder.run_file().unwrap(), Some(there));
    }

    #[test]
    fn every_difference_is_refused_unless_it_is_accepted() {
        let (folder, file) = begun("refuse");
        let other_window = ScoringInputs { window_tokens: 1024, ..scoring() };
        let mut other_labels = file.clone();
        other_labels.sources[0].labels.id_column = Some("url".to_owned());
        let refused = |file: RunFile| begin(&folder, file, OnChange::Refuse).unwrap_err();
        assert!(matches!(refused(RunFile { scoring: other_window, ..file.clone() }), Error::OtherSettings { .. }));
        assert!(matches!(refused(run_file(vec![shard("a.parquet", b"other")])), Error::ChangedShards { .. }));
        assert!(matches!(refused(run_file(Vec::new())), Error::SmallerPlan { lost: 1, .. }));
        assert!(matches!(refused(other_labels.clone()), Error::OtherLabels { .. }));
        assert_eq!(folder.run_file().unwrap(), Some(file));
        assert_eq!(begin(&folder, other_labels.clone(), OnChange::Rescore).unwrap(), other_labels);
    }

    #[test]
    fn a_skipped_shard_leaves_the_plan_with_its_reason() {
        let (folder, _) = begun("skip");
        let skipped = SkippedShard { path: "a.parquet".to_owned(), reason: "cut short".to_owned() };
        let there = folder.skip_shard("web", &skipped).unwrap();
        assert_eq!((there.sources[0].shards.len(), &there.sources[0].skipped[..]), (0, &[skipped][..]));
        assert_eq!(begin(&folder, there.clone(), OnChange::Refuse).unwrap(), there);
    }

    #[test]
    fn a_damaged_file_is_named() {
        let folder = RunFolder::new(Stores::default().open("memory://damaged").unwrap());
        folder.place().write(RunFolder::RUN, "{".into()).unwrap();
        let error = folder.run_file().unwrap_err();
        assert!(matches!(&error, Error::Damaged { path, .. } if path == RunFolder::RUN), "{error}");
    }
}
