//! The units of a plan in the order of document addresses.

use std::sync::Arc;

use headwater_record::RunFile;

use crate::{Error, Result, Unit};

/// Lists the units of a run's plan in the order of document addresses: source, path, first row.
///
/// # Errors
/// [`Error::Overlap`] if a row has two units.
pub fn units(run: &RunFile) -> Result<Vec<Unit>> {
    let mut units = Vec::new();
    for source in &run.sources {
        let name: Arc<str> = Arc::from(source.name.as_str());
        let labels = Arc::new(source.labels.clone());
        for shard in &source.shards {
            let path: Arc<str> = Arc::from(shard.path.as_str());
            units.extend(shard.units.iter().map(|key| Unit {
                source: name.clone(),
                path: path.clone(),
                key: key.clone(),
                fingerprint: source.fingerprint.clone(),
                labels: labels.clone(),
            }));
        }
    }
    units.sort_by(|a: &Unit, b: &Unit| {
        (&a.source, &a.path, a.key.first_row).cmp(&(&b.source, &b.path, b.key.first_row))
    });
    let shared = units.windows(2).find(|pair| {
        let same = pair[0].source == pair[1].source && pair[0].path == pair[1].path;
        same && pair[1].key.first_row < pair[0].key.first_row.saturating_add(pair[0].key.rows)
    });
    match shared {
        None => Ok(units),
        Some(pair) => Err(Error::Overlap {
            source_name: pair[1].source.to_string(),
            path: pair[1].path.to_string(),
            row: pair[1].key.first_row,
        }),
    }
}
