//! The plan: sources → shards with identities and units, from listings and footers alone.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use headwater_record::run::SkippedShard;
use headwater_record::{ByteCount, ShardId, UnitKey};
use headwater_store::{Entry, Place};
use parquet::file::metadata::ParquetMetaData;

use crate::chunks::StoredShard;
use crate::columns::{self, Columns};
use crate::footer::{self, Footer};
use crate::listing::{self, Listed};
use crate::{Error, OnBadShard, PlanOptions, Result, SourceConfig, source, units};

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

/// One shard of a plan, with what reading it needs.
#[derive(Clone, Debug)]
pub struct PlannedShard {
    /// Path relative to the fixed prefix of its `paths` entry.
    pub path: String,
    /// Identity.
    pub id: ShardId,
    /// Size of the file in bytes.
    pub bytes: u64,
    /// What the store called this version of the file.
    pub etag: Option<String>,
    /// Rows of the shard.
    pub rows: u64,
    /// The planned units, in row order.
    pub units: Vec<UnitKey>,
    pub(crate) place: Place,
    pub(crate) metadata: Arc<ParquetMetaData>,
}

impl PlannedShard {
    /// The shard's path or URL, for messages.
    #[must_use]
    pub fn location(&self) -> String {
        self.place.describe(&self.path)
    }

    /// Text in `unit`, a unit of this shard or a part of one, as the footer lets estimate it.
    ///
    /// # Units
    /// Uncompressed bytes of the text column, as Parquet encodes it: four bytes a row more than the text, and less where texts repeat.
    #[must_use]
    pub fn text_bytes(&self, columns: &Columns, unit: &UnitKey) -> ByteCount {
        let leaf = columns::leaf(self.metadata.file_metadata().schema_descr(), &columns.text);
        ByteCount(leaf.map_or(0, |leaf| units::text_bytes(&self.metadata, leaf, unit)))
    }

    /// Bytes of the text, id and domain columns of `unit`, a unit of this shard or a part of one, as they are stored and so
    /// fetched; a share of its row group's, by rows.
    #[must_use]
    pub fn stored_bytes(&self, columns: &Columns, unit: &UnitKey) -> ByteCount {
        let schema = self.metadata.file_metadata().schema_descr();
        let domain = if let columns::Domain::Column(column) = &columns.domain { Some(column) } else { None };
        let names = [Some(&columns.text), columns.id.as_ref(), domain].into_iter().flatten();
        let leaves: Vec<usize> = names.filter_map(|name| columns::leaf(schema, name)).collect();
        ByteCount(units::stored_bytes(&self.metadata, &leaves, unit))
    }

    /// Opens the version of the file that was planned.
    pub(crate) fn open(&self) -> Result<StoredShard> {
        let entry = Entry { path: self.path.clone(), bytes: self.bytes, etag: self.etag.clone(), modified: None };
        StoredShard::open(&self.place, &entry)
    }
}

impl PlannedSource {
    /// The planned units, each with its shard, in the order of the plan.
    pub fn units(&self) -> impl Iterator<Item = (&PlannedShard, &UnitKey)> {
        self.shards.iter().flat_map(|shard| shard.units.iter().map(move |unit| (shard, unit)))
    }

    /// Text in the planned units, as the footers let estimate it; see [`PlannedShard::text_bytes`].
    #[must_use]
    pub fn text_bytes(&self) -> ByteCount {
        self.units().map(|(shard, unit)| shard.text_bytes(&self.columns, unit)).sum()
    }

    /// What scoring the planned units fetches beside footers; see [`PlannedShard::stored_bytes`].
    #[must_use]
    pub fn stored_bytes(&self) -> ByteCount {
        self.units().map(|(shard, unit)| shard.stored_bytes(&self.columns, unit)).sum()
    }
}

/// Plans `sources`: lists their files, reads every footer once and cuts row groups into units.
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
pub fn plan(sources: &[SourceConfig], options: &PlanOptions, on_progress: &(dyn Fn(u64) + Sync)) -> Result<Plan> {
    source::check(sources, options)?;
    let sources = sources.iter().map(|source| plan_source(source, options, on_progress)).collect::<Result<_>>()?;
    Ok(Plan { sources })
}

fn plan_source(
    source: &SourceConfig,
    options: &PlanOptions,
    on_progress: &(dyn Fn(u64) + Sync),
) -> Result<PlannedSource> {
    let listed = listing::list(source)?;
    let footers = read_footers(&listed, on_progress);
    let (mut shards, mut present, mut skipped) = (Vec::new(), Vec::new(), Vec::new());
    for (file, footer) in listed.into_iter().zip(footers) {
        let location = file.place.describe(&file.entry.path);
        let footer = match footer? {
            Ok(footer) => footer,
            Err(reason) if options.on_bad_shard == OnBadShard::Skip => {
                tracing::warn!(shard = location, reason, "shard skipped");
                skipped.push(SkippedShard { path: file.entry.path, reason });
                continue;
            }
            Err(reason) => return Err(Error::BadShard { shard: location, reason }),
        };
        let found = columns::check(source, &location, footer.metadata.file_metadata().schema_descr())?;
        let shard = plan_shard(file, footer, found.text, options.unit_bytes.0);
        if shard.rows == 0 {
            tracing::warn!(shard = location, "shard has no rows");
        }
        shards.push(shard);
        present.push(found);
    }
    let first = shards.first().map(|shard| (shard.location(), shard.metadata.file_metadata().schema_descr()));
    let example = first.as_ref().map(|(location, schema)| (location.as_str(), *schema));
    let columns = columns::settle(source, &present, example)?;
    sample(&mut shards, source.sample, options.seed);
    Ok(PlannedSource { name: source.name.clone(), columns, shards, skipped })
}

fn plan_shard(file: Listed, footer: Footer, text: usize, unit_bytes: u64) -> PlannedShard {
    let Footer { id, metadata } = footer;
    PlannedShard {
        units: units::cut(&id, &metadata, text, unit_bytes),
        rows: u64::try_from(metadata.file_metadata().num_rows()).unwrap_or(0),
        path: file.entry.path,
        bytes: file.entry.bytes,
        etag: file.entry.etag,
        place: file.place,
        id,
        metadata,
    }
}

/// Reads the footers of all files, in the order of the files. The inner error is the reason why a file is no shard.
fn read_footers(files: &[Listed], on_progress: &(dyn Fn(u64) + Sync)) -> Vec<Result<Result<Footer, String>>> {
    let next = AtomicUsize::new(0);
    let read = Mutex::new(Vec::with_capacity(files.len()));
    std::thread::scope(|scope| {
        for _ in 0..READERS.min(files.len()) {
            scope.spawn(|| {
                while let Some((index, file)) = claim(files, &next) {
                    let footer = read_footer(file);
                    read.lock().unwrap_or_else(PoisonError::into_inner).push((index, footer));
                    on_progress(1);
                }
            });
        }
    });
    let mut read = read.into_inner().unwrap_or_else(PoisonError::into_inner);
    read.sort_unstable_by_key(|(index, _)| *index);
    read.into_iter().map(|(_, footer)| footer).collect()
}

fn claim<'a>(files: &'a [Listed], next: &AtomicUsize) -> Option<(usize, &'a Listed)> {
    let index = next.fetch_add(1, Ordering::Relaxed);
    files.get(index).map(|file| (index, file))
}

fn read_footer(file: &Listed) -> Result<Result<Footer, String>> {
    let shard = StoredShard::open(&file.place, &file.entry)?;
    let footer = footer::read(&file.entry.path, &shard);
    match shard.take_failure() {
        Some(failure) => Err(failure.into()),
        None => Ok(footer),
    }
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
