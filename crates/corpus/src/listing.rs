//! From the entries of `paths` to files with relative paths.

use std::collections::BTreeMap;

use globset::GlobBuilder;
use headwater_store::{Entry, Place, Stores};

use crate::{Error, Result, SourceConfig, SourceFolder};

const WILDCARDS: [char; 4] = ['*', '?', '[', '{'];
const EXTENSION: &str = ".parquet";

/// A file of a source; its path relative to the fixed prefix of its `paths` entry is `entry.path`.
#[derive(Clone, Debug)]
pub(crate) struct Listed {
    pub(crate) place: Place,
    pub(crate) entry: Entry,
}

/// Lists a source's files, sorted by relative path.
pub(crate) fn list(source: &SourceConfig, stores: &Stores) -> Result<Vec<Listed>> {
    let mut found: BTreeMap<String, (&str, Listed)> = BTreeMap::new();
    for written in &source.paths {
        let listed = list_entry(&source.name, written, stores)?;
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

/// Lists the files of a source that is one folder, sorted by relative path.
pub(crate) fn list_folder(source: &SourceFolder) -> Result<Vec<Listed>> {
    let listed = shards_below(&source.place, source.place.list("")?);
    if listed.is_empty() {
        return Err(Error::NoShards { name: source.config.name.clone(), entry: source.place.to_string() });
    }
    Ok(listed)
}

/// Lists the files of one entry of `paths`.
fn list_entry(name: &str, written: &str, stores: &Stores) -> Result<Vec<Listed>> {
    let (place, rest) = stores.open_fixed_prefix(written)?;
    if rest.contains(WILDCARDS) {
        let pattern = |source| Error::Pattern { name: name.to_owned(), entry: written.to_owned(), source };
        let glob = GlobBuilder::new(&rest).literal_separator(true).build().map_err(pattern)?.compile_matcher();
        return Ok(keep(&place, place.list("")?, |path| glob.is_match(path)));
    }
    // what looks like a file is asked for as one first
    let is_likely_file = rest.ends_with(EXTENSION);
    if is_likely_file && let Some(file) = file(&place, &rest)? {
        return Ok(vec![file]);
    }
    let folder = if rest.is_empty() { place.clone() } else { place.child(&rest) };
    let listed = match folder.list("") {
        Ok(entries) => shards_below(&folder, entries),
        // a web server has files alone
        Err(headwater_store::Error::ReadOnly { .. }) if !rest.is_empty() => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    if listed.is_empty() && !rest.is_empty() && !is_likely_file {
        return Ok(file(&place, &rest)?.into_iter().collect());
    }
    Ok(listed)
}

/// The file at `path`, if there is one.
fn file(place: &Place, path: &str) -> Result<Option<Listed>> {
    match place.entry(path) {
        Ok(entry) => Ok(Some(Listed { place: place.clone(), entry })),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn shards_below(folder: &Place, entries: Vec<Entry>) -> Vec<Listed> {
    keep(folder, entries, |path| path.ends_with(EXTENSION))
}

fn keep(place: &Place, entries: Vec<Entry>, is_kept: impl Fn(&str) -> bool) -> Vec<Listed> {
    let kept = entries.into_iter().filter(|entry| is_kept(&entry.path));
    kept.map(|entry| Listed { place: place.clone(), entry }).collect()
}
