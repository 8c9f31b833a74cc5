//! Divides a plan into stretches, one for each file.

use headwater_corpus::{Columns, Domain, Plan, PlannedShard, PlannedSource};
use headwater_record::{ContentHash, UnitKey};

/// Rows of a stretch, at most: the lengths of its documents are held in memory until its file is done.
const MOST_ROWS: u64 = 1 << 24;

/// Hexadecimal digits of the hash of a plan.
const HASH_DIGITS: usize = 16;

/// Consecutive units of one source, whose documents go into one file of each format.
#[derive(Debug)]
pub(crate) struct Stretch<'a> {
    /// Source and number, which name its files: `web-00000`.
    pub(crate) name: String,
    /// Name of the source.
    pub(crate) source: &'a str,
    /// The column to read.
    pub(crate) columns: Columns,
    /// The units, in the order of the plan.
    pub(crate) units: Vec<(&'a PlannedShard, &'a UnitKey)>,
}

impl Stretch<'_> {
    /// Rows of its units.
    pub(crate) fn rows(&self) -> u64 {
        self.units.iter().map(|(_, unit)| unit.rows).sum()
    }
}

/// Cuts `plan` into stretches of at most `file_bytes` of text, or of one unit that has more.
///
/// # Determinism
/// Depends on the plan and `file_bytes` alone.
pub(crate) fn stretches(plan: &Plan, file_bytes: u64) -> Vec<Stretch<'_>> {
    plan.sources.iter().flat_map(|source| of_source(source, file_bytes)).collect()
}

fn of_source(source: &PlannedSource, file_bytes: u64) -> Vec<Stretch<'_>> {
    // ids and domains are not read
    let columns = Columns { text: source.columns.text.clone(), id: None, domain: Domain::Constant(String::new()) };
    let mut stretches: Vec<Stretch<'_>> = Vec::new();
    let (mut bytes, mut rows) = (0_u64, 0_u64);
    for (shard, unit) in source.units() {
        let unit_bytes = shard.text_bytes(unit).0;
        let fits = bytes.saturating_add(unit_bytes) <= file_bytes && rows.saturating_add(unit.rows) <= MOST_ROWS;
        match stretches.last_mut().filter(|_| fits) {
            Some(stretch) => {
                stretch.units.push((shard, unit));
                (bytes, rows) = (bytes + unit_bytes, rows + unit.rows);
            }
            None => {
                let name = format!("{}-{:05}", source.name, stretches.len());
                let units = vec![(shard, unit)];
                stretches.push(Stretch { name, source: &source.name, columns: columns.clone(), units });
                (bytes, rows) = (unit_bytes, unit.rows);
            }
        }
    }
    stretches
}

/// Describes the text of `stretches`, so that another cut or other shards are told apart.
pub(crate) fn describe(stretches: &[Stretch<'_>]) -> String {
    let units: usize = stretches.iter().map(|stretch| stretch.units.len()).sum();
    let names: Vec<String> = stretches
        .iter()
        .flat_map(|stretch| {
            let units = stretch.units.iter().map(|(_, unit)| unit.to_string());
            [stretch.name.clone(), stretch.columns.text.clone()].into_iter().chain(units)
        })
        .collect();
    let hash = ContentHash::of_fields(names.iter().map(String::as_bytes));
    format!("{units} units in {} files, {}", stretches.len(), hash.short(HASH_DIGITS))
}
