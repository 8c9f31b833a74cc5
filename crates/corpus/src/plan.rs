//! The plan: sources → shards with identities and units, from listings and footers alone.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use headwater_record::run::SkippedShard;
use headwater_record::{ByteCount, UnitKey};
use headwater_store::Stores;

use crate::chunks::StoredShard;
use crate::columns::{self, Columns, Label, Present};
use crate::footer::{self, Footer};
use crate::footers::Footers;
use crate::groups::Groups;
use crate::listing::{self, Listed};
use crate::partitions::Partitions;
use crate::shard::PlannedShard;
use crate::{Error, OnBadShard, PlanOptions, Result, SourceConfig, SourceFolder, json_lines, source, units};

/// Footers read at the same time; they wait for the store, not for the processor.
const READERS: usize = 16;

/// What a run works on.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The sources, in the order of the configuration.
    pub sources: Vec<PlannedSource>,
}

/// One source of a plan.
#[derive(Clone, Debug)]
pub struct PlannedSource {
    /// Name of the source.
    pub name: String,
    /// Where its documents' text, ids and domains are.
    pub columns: Columns,
    /// Its shards, ordered by path; a shard may have no units.
    pub shards: Vec<PlannedShard>,
    /// Files left out because they are no readable shards, ordered by path.
    pub skipped: Vec<SkippedShard>,
}

impl PlannedSource {
    /// The planned units, each with its shard, in the order of the plan.
    pub fn units(&self) -> impl Iterator<Item = (&PlannedShard, &UnitKey)> {
        self.shards.iter().flat_map(|shard| shard.units.iter().map(move |unit| (shard, unit)))
    }

    /// Text in the planned units, as the footers let estimate it; see [`PlannedShard::text_bytes`].
    #[must_use]
    pub fn text_bytes(&self) -> ByteCount {
        self.units().map(|(shard, unit)| shard.text_bytes(unit)).sum()
    }

    /// What scoring the planned units fetches beside footers; see [`PlannedShard::stored_bytes`].
    #[must_use]
    pub fn stored_bytes(&self) -> ByteCount {
        self.units().map(|(shard, unit)| shard.stored_bytes(unit)).sum()
    }
}

/// Plans `sources`: lists their files, opened through `stores`, reads every footer once and cuts row groups into units.
///
/// A unit is in the sample of its source if a hash of seed and unit falls below `sample`: the choice does not depend on other
/// units, a larger share contains a smaller one, and the share is met on average. A source never ends up empty: if no unit
/// falls below, the one with the smallest hash is planned. Shards without rows are planned without units.
///
/// `on_progress` is called with the number of footers newly read, from several threads; sixteen footers are read at a time.
///
/// # Errors
/// Settings that contradict themselves or the files, a file that is no readable shard (unless they are skipped), or a failure
/// of the disk or store, which is never skipped.
///
/// # Determinism
/// The same files give the same plan whatever the order in which footers arrive; of several errors the first by source and
/// path is reported.
pub fn plan(
    sources: &[SourceConfig],
    options: &PlanOptions,
    stores: &Stores,
    on_progress: &(dyn Fn(u64) + Sync),
) -> Result<Plan> {
    source::check(sources.iter(), options)?;
    if let Some(SourceConfig { name, .. }) = sources.iter().find(|source| source.paths.is_empty()) {
        return Err(Error::NoPaths { name: name.clone() });
    }
    let planner = Planner { options, footers: Arc::default(), on_progress };
    let planned =
        sources.iter().map(|source| planner.source(source, listing::list(source, stores, &options.excluded)?));
    Ok(Plan { sources: planned.collect::<Result<_>>()? })
}

/// Plans sources that are folders; see [`plan()`].
///
/// # Errors
/// As [`plan()`].
pub fn plan_folders(
    sources: &[SourceFolder],
    options: &PlanOptions,
    on_progress: &(dyn Fn(u64) + Sync),
) -> Result<Plan> {
    source::check(sources.iter().map(|source| &source.config), options)?;
    let planner = Planner { options, footers: Arc::default(), on_progress };
    let planned = sources.iter().map(|source| planner.source(&source.config, listing::list_folder(source)?));
    Ok(Plan { sources: planned.collect::<Result<_>>()? })
}

/// What the sources of a plan share.
struct Planner<'a> {
    options: &'a PlanOptions,
    footers: Arc<Footers>,
    on_progress: &'a (dyn Fn(u64) + Sync),
}

impl Planner<'_> {
    /// Plans the files that a source was found to have.
    fn source(&self, source: &SourceConfig, listed: Vec<Listed>) -> Result<PlannedSource> {
        let options = self.options;
        let planning = Planning { source, options, footers: &self.footers };
        let planned = planning.all(&listed, self.on_progress);
        let (mut shards, mut present, mut skipped) = (Vec::new(), Vec::new(), Vec::new());
        for (file, planned) in listed.into_iter().zip(planned) {
            let location = file.place.describe(&file.entry.path);
            match planned? {
                Ok((shard, found)) => {
                    if shard.rows == 0 {
                        tracing::warn!(shard = location, "shard has no rows");
                    }
                    shards.push(shard);
                    present.push(found);
                }
                Err(reason) if options.on_bad_shard == OnBadShard::Skip => {
                    tracing::warn!(shard = location, reason, "shard skipped");
                    skipped.push(SkippedShard { path: file.entry.path, reason });
                }
                Err(reason) => return Err(Error::BadShard { shard: location, reason }),
            }
        }
        let first = shards.first().map(|shard| Ok::<_, Error>((shard.location(), shard.footer(&shard.open()?)?)));
        let first = first.transpose()?;
        let example =
            first.as_ref().map(|(location, footer)| (location.as_str(), footer.file_metadata().schema_descr()));
        let columns = columns::settle(source, &present, example)?;
        sample(&mut shards, source.sample, options.seed);
        Ok(PlannedSource { name: source.name.clone(), columns, shards, skipped })
    }
}

/// What planning any file of a source needs.
struct Planning<'a> {
    source: &'a SourceConfig,
    options: &'a PlanOptions,
    footers: &'a Arc<Footers>,
}

/// A shard and the columns it has, or the reason why the file is no shard.
type PlannedFile = Result<Result<(PlannedShard, Present), String>>;

impl Planning<'_> {
    /// Plans all files, in their order; several footers are read at a time, and each is let go unless there is room.
    fn all(&self, files: &[Listed], on_progress: &(dyn Fn(u64) + Sync)) -> Vec<PlannedFile> {
        let next = AtomicUsize::new(0);
        let planned = Mutex::new(Vec::with_capacity(files.len()));
        std::thread::scope(|scope| {
            for _ in 0..READERS.min(files.len()) {
                scope.spawn(|| {
                    while let Some((index, file)) = claim(files, &next) {
                        let shard = self.file(file);
                        planned.lock().unwrap_or_else(PoisonError::into_inner).push((index, shard));
                        on_progress(1);
                    }
                });
            }
        });
        let mut planned = planned.into_inner().unwrap_or_else(PoisonError::into_inner);
        planned.sort_unstable_by_key(|(index, _)| *index);
        planned.into_iter().map(|(_, shard)| shard).collect()
    }

    fn file(&self, file: &Listed) -> PlannedFile {
        let copy = if json_lines::is_json_lines(&file.entry.path) {
            let Some(copies) = &self.options.copies else {
                return Ok(Err("it is JSON Lines, which is read by way of a copy; write it as Parquet".to_owned()));
            };
            let copies = copies.child(&self.source.name);
            match json_lines::copy(&file.place, &file.entry, &copies)? {
                Ok(entry) => Some((copies, entry)),
                Err(reason) => return Ok(Err(reason)),
            }
        } else {
            None
        };
        let (place, entry) = copy.as_ref().map_or((&file.place, &file.entry), |(place, entry)| (place, entry));
        let (bytes, etag) = (entry.bytes, entry.etag.clone());
        let stored = StoredShard::open(place, entry)?;
        let read = footer::read(&file.entry.path, &stored);
        if let Some(failure) = stored.take_failure() {
            return Err(failure.into());
        }
        let Footer { id, metadata } = match read {
            Ok(footer) => footer,
            Err(reason) => return Ok(Err(reason)),
        };
        let schema = metadata.file_metadata().schema_descr();
        let location = file.place.describe(&file.entry.path);
        if let Some(added) = self.options.added_column.as_deref().filter(|added| columns::has_root(schema, added)) {
            return Err(Error::ColumnTaken { shard: location, column: added.to_owned() });
        }
        let mut present = columns::check(self.source, &location, schema)?;
        let labels = [(present.id, &self.source.id), (present.domain, &self.source.domain)];
        let labels = labels.into_iter().filter(|(label, _)| *label == Label::Present);
        let labels: Vec<usize> = labels.filter_map(|(_, name)| columns::leaf(schema, name)).collect();
        let partitions = Partitions::of(&location);
        for (label, name) in [(&mut present.id, &self.source.id), (&mut present.domain, &self.source.domain)] {
            if partitions.has(name) {
                *label = Label::Present;
            }
        }
        let groups = Groups::of(&metadata, present.text, &labels);
        self.footers.offer(&id, &metadata);
        let shard = PlannedShard {
            units: units::cut(&id, &groups, units::unit_bytes(self.options.unit_bytes, &groups)),
            rows: u64::try_from(metadata.file_metadata().num_rows()).unwrap_or(0),
            path: file.entry.path.clone(),
            bytes,
            etag,
            place: file.place.clone(),
            copy: copy.map(|(copies, entry)| (copies, entry.path)),
            partitions,
            id,
            groups,
            footers: Arc::clone(self.footers),
        };
        Ok(Ok((shard, present)))
    }
}

fn claim<'a>(files: &'a [Listed], next: &AtomicUsize) -> Option<(usize, &'a Listed)> {
    let index = next.fetch_add(1, Ordering::Relaxed);
    files.get(index).map(|file| (index, file))
}

/// Keeps the sampled units of a source.
fn sample(shards: &mut [PlannedShard], share: f64, seed: u64) {
    if share >= 1.0 {
        return;
    }
    let least = shards.iter().flat_map(|shard| &shard.units).map(|unit| units::draw(seed, unit)).min();
    for shard in shards {
        shard.units.retain(|unit| {
            let drawn = units::draw(seed, unit);
            units::is_sampled(drawn, share) || Some(drawn) == least
        });
    }
}
