//! From the entries of `paths` to files with relative paths.

use std::collections::BTreeMap;

use globset::GlobBuilder;
use headwater_store::{Entry, Place};

use crate::{Error, Result, SourceConfig};

const WILDCARDS: [char; 4] = ['*', '?', '[', '{'];
const EXTENSION: &str = ".parquet";

/// A file of a source; its path relative to the fixed prefix of its `paths` entry is `entry.path`.
#[derive(Clone, Debug)]
pub(crate) struct Listed {
    pub(crate) place: Place,
    pub(crate) entry: Entry,
}

/// Lists a source's files, sorted by relative path.
pub(crate) fn list(source: &SourceConfig) -> Result<Vec<Listed>> {
    let mut found: BTreeMap<String, (&str, Listed)> = BTreeMap::new();
    for written in &source.paths {
        let listed = list_entry(&source.name, written)?;
        if listed.is_empty() {
            return Err(Error::NoShards { name: source.name.clone(), entry: written.clone() });
        }
        for file in listed {
            let path = file.entry.path.clone();
            if let Some((first, _)) = found.get(&path) {
                let (first, second) = ((*first).to_owned(), written.clone());
                return Err(Error::DuplicateShard { name: source.name.clone(), path, first, second });
            }
            found.insert(path, (written, file));
        }
    }
    Ok(found.into_values().map(|(_, file)| file).collect())
}

/// Lists the files of one entry of `paths`.
fn list_entry(name: &str, written: &str) -> Result<Vec<Listed>> {
    let (place, rest) = Place::open_fixed_prefix(written)?;
    if rest.contains(WILDCARDS) {
        let pattern = |source| Error::Pattern { name: name.to_owned(), entry: written.to_owned(), source };
        let glob = GlobBuilder::new(&rest).literal_separator(true).build().map_err(pattern)?.compile_matcher();
        return Ok(keep(&place, place.list("")?, |path| glob.is_match(path)));
    }
    if !rest.is_empty() {
        match place.entry(&rest) {
            Ok(entry) => return Ok(vec![Listed { place, entry }]),
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error.into()),
        }
    }
    let folder = if rest.is_empty() { place } else { place.child(&rest) };
    match folder.list("") {
        Ok(entries) => Ok(keep(&folder, entries, |path| path.ends_with(EXTENSION))),
        // A web server: only the file itself could have been there.
        Err(headwater_store::Error::ReadOnly { .. }) if !rest.is_empty() => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

fn keep(place: &Place, entries: Vec<Entry>, is_kept: impl Fn(&str) -> bool) -> Vec<Listed> {
    let kept = entries.into_iter().filter(|entry| is_kept(&entry.path));
    kept.map(|entry| Listed { place: place.clone(), entry }).collect()
}
