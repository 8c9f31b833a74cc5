//! From the entries of `paths` to files with relative paths.

use std::collections::{BTreeMap, BTreeSet};

use globset::{GlobBuilder, GlobMatcher};
use headwater_store::{Entry, Place, Stores};

use crate::{Error, Result, SourceConfig, SourceFolder, json_lines};

const WILDCARDS: [char; 4] = ['*', '?', '[', '{'];

/// Ends of the names of shards, in any case.
const EXTENSIONS: [&str; 3] = [".parquet", ".parq", ".pq"];

/// The folder of the log of a Delta table.
const DELTA_LOG: &str = "_delta_log";

/// A file of a source; its path relative to the fixed prefix of its `paths` entry is `entry.path`.
#[derive(Clone, Debug)]
pub(crate) struct Listed {
    pub(crate) place: Place,
    pub(crate) entry: Entry,
}

/// What was left out of a source, to be told once.
#[derive(Debug, Default)]
struct LeftOut {
    hidden: usize,
    /// JSON Lines files beside Parquet files.
    beside: usize,
    repeated: usize,
    own: usize,
}

/// Lists a source's files, sorted by relative path. Files in the folders and of the names `excluded` are no part of it.
pub(crate) fn list(source: &SourceConfig, stores: &Stores, excluded: &[Place]) -> Result<Vec<Listed>> {
    let excluded: Vec<String> = excluded.iter().map(Place::canonical).collect();
    let (mut found, mut seen) = (BTreeMap::<String, (&str, Listed)>::new(), BTreeSet::new());
    let mut left_out = LeftOut::default();
    for written in &source.paths {
        let listed = list_entry(&source.name, written, stores, &mut left_out)?;
        let (mut is_empty, mut folder) = (true, (String::new(), String::new()));
        for file in listed {
            // files of one listing have one place
            if folder.0 != file.place.describe("") {
                folder = (file.place.describe(""), file.place.canonical());
            }
            let path = file.entry.path.clone();
            let identity = format!("{}/{path}", folder.1);
            if excluded.iter().any(|own| {
                identity.strip_prefix(own.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }) {
                left_out.own += 1;
                continue;
            }
            is_empty = false;
            if !seen.insert(identity) {
                left_out.repeated += 1;
                continue;
            }
            if let Some((first, _)) = found.get(&path) {
                let (first, second) = ((*first).to_owned(), written.clone());
                return Err(Error::DuplicateShard { name: source.name.clone(), path, first, second });
            }
            found.insert(path, (written, file));
        }
        if is_empty {
            return Err(Error::NoShards { name: source.name.clone(), entry: written.clone() });
        }
    }
    left_out.tell(&source.name);
    Ok(found.into_values().map(|(_, file)| file).collect())
}

/// Lists the files of a source that is one folder, sorted by relative path. What lies there was put there on purpose, so nothing is hidden.
pub(crate) fn list_folder(source: &SourceFolder) -> Result<Vec<Listed>> {
    let entries = source.place.list("")?.into_iter().filter(|entry| has_extension(&entry.path));
    let listed: Vec<Listed> = entries.map(|entry| Listed { place: source.place.clone(), entry }).collect();
    if listed.is_empty() {
        return Err(Error::NoShards { name: source.config.name.clone(), entry: source.place.to_string() });
    }
    Ok(listed)
}

/// Lists the files of one entry of `paths`: a file whatever its name, all shards below a folder, or what a pattern meets.
fn list_entry(name: &str, written: &str, stores: &Stores, left_out: &mut LeftOut) -> Result<Vec<Listed>> {
    let (place, rest) = stores.open_fixed_prefix(written)?;
    let nothing = || Error::NoShards { name: name.to_owned(), entry: written.to_owned() };
    if !place.can_list() {
        if let Some(file) = file(&place, &rest)? {
            return Ok(vec![file]);
        }
        // what looks like a pattern is answered by why there are none
        return if rest.contains('*') {
            Err(place.list("").err().map_or_else(nothing, Error::from))
        } else {
            Ok(Vec::new())
        };
    }
    if rest.contains(WILDCARDS) {
        // a bracket may be a part of a name
        if let Some(file) = literal(written, stores)? {
            return Ok(vec![file]);
        }
        let pattern = |source| Error::Pattern { name: name.to_owned(), entry: written.to_owned(), source };
        let glob = GlobBuilder::new(&rest).literal_separator(true).build().map_err(pattern)?.compile_matcher();
        let pattern = Pattern::Glob { glob, written: &rest };
        return Ok(keep(&place, place.list("")?, &pattern, left_out));
    }
    let is_dots = matches!(rest.as_str(), "." | "..");
    let may_be_file = !rest.is_empty() && !is_dots && !written.ends_with('/');
    // a store is not asked for an object of the name of a folder: some fail then
    let is_likely_file = place.local_path().is_some() || has_extension(&rest) || json_lines::is_json_lines(&rest);
    if may_be_file
        && is_likely_file
        && let Some(file) = file(&place, &rest)?
    {
        return Ok(vec![file]);
    }
    let folder = match rest.as_str() {
        "" => place.clone(),
        "." | ".." => stores.open(written)?,
        rest => place.child(rest),
    };
    let listed = match folder.list("") {
        Ok(entries) => keep(&folder, entries, &Pattern::Everything, left_out),
        Err(error) => return Err(error.into()),
    };
    if listed.is_empty() && may_be_file && !is_likely_file {
        return Ok(file(&place, &rest)?.into_iter().collect());
    }
    Ok(listed)
}

/// The file whose name is `written`, wildcards and all, if there is one.
fn literal(written: &str, stores: &Stores) -> Result<Option<Listed>> {
    let (place, rest) = stores.open_above(written)?;
    // no store is asked for a name that nobody gives
    if rest.is_empty() || (place.local_path().is_none() && rest.contains('*')) { Ok(None) } else { file(&place, &rest) }
}

/// The file at `path`, if there is one. An empty object without the name of a shard marks a folder.
fn file(place: &Place, path: &str) -> Result<Option<Listed>> {
    match place.entry(path) {
        Ok(entry) if entry.bytes == 0 && !has_extension(path) && !json_lines::is_json_lines(path) => Ok(None),
        Ok(entry) => Ok(Some(Listed { place: place.clone(), entry })),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Which files of a listing are wanted.
enum Pattern<'a> {
    Everything,
    Glob { glob: GlobMatcher, written: &'a str },
}

impl Pattern<'_> {
    /// Whether the file at `path` is a shard that is wanted.
    fn meets(&self, path: &str) -> bool {
        let has_extension = |path| has_extension(path) || json_lines::has_extension(path);
        let Self::Glob { glob, .. } = self else { return has_extension(path) };
        if glob.is_match(path) {
            // what names an extension is taken at its word
            return self.names_extension() || has_extension(path);
        }
        let folders = path.match_indices('/').map(|(at, _)| &path[..at]);
        has_extension(path) && folders.into_iter().any(|folder| glob.is_match(folder))
    }

    /// Whether the names of files are written with what they end in.
    fn names_extension(&self) -> bool {
        matches!(self, Self::Glob { written, .. } if written.rsplit('/').next().is_some_and(|last| last.contains('.')))
    }

    /// Whether hidden files are asked for.
    fn names_hidden(&self) -> bool {
        matches!(self, Self::Glob { written, .. } if written.split('/').any(is_hidden))
    }
}

fn keep(place: &Place, entries: Vec<Entry>, pattern: &Pattern<'_>, left_out: &mut LeftOut) -> Vec<Listed> {
    if let Some(log) = entries.iter().find(|entry| entry.path.split('/').any(|part| part == DELTA_LOG)) {
        tracing::warn!(
            path = place.describe(&log.path),
            "a Delta table: files that its log has removed are read too; export it to Parquet first"
        );
    }
    let takes_hidden = pattern.names_hidden();
    let mut kept = Vec::new();
    for entry in entries.into_iter().filter(|entry| pattern.meets(&entry.path)) {
        if !takes_hidden && entry.path.split('/').any(is_hidden) {
            left_out.hidden += 1;
        } else {
            kept.push(Listed { place: place.clone(), entry });
        }
    }
    // a folder of Parquet files may have notes or samples in JSON Lines
    if !pattern.names_extension() && kept.iter().any(|file| has_extension(&file.entry.path)) {
        let before = kept.len();
        kept.retain(|file| !json_lines::has_extension(&file.entry.path));
        left_out.beside += before - kept.len();
    }
    kept
}

/// Whether Spark, Hive and Arrow pass over a file or folder of that name.
fn is_hidden(name: &str) -> bool {
    name.starts_with(['_', '.']) && !name.contains('=') && name != "." && name != ".."
}

/// Whether the path ends like that of a shard.
pub(crate) fn has_extension(path: &str) -> bool {
    json_lines::ends_with_any(path, &EXTENSIONS)
}

impl LeftOut {
    fn tell(&self, source: &str) {
        let Self { hidden, beside, repeated, own } = self;
        if *hidden > 0 {
            tracing::warn!(
                source,
                files = hidden,
                "hidden or temporary files left out: a part of their path begins with `_` or `.`"
            );
        }
        if *beside > 0 {
            tracing::warn!(
                source,
                files = beside,
                "JSON Lines files beside Parquet files left out: name them in `paths` to read them"
            );
        }
        if *repeated > 0 {
            tracing::warn!(source, files = repeated, "files that `paths` names twice are read once");
        }
        if *own > 0 {
            tracing::warn!(source, files = own, "files of this run's own output left out");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_files_are_those_that_spark_passes_over() {
        assert!(["_SUCCESS", "._a.parquet", "_temporary", ".tmp"].into_iter().all(is_hidden));
        assert!(!["a_", "_year=2024", ".", "..", "a.parquet"].into_iter().any(is_hidden));
    }

    #[test]
    fn shards_are_known_by_their_names_in_any_case() {
        assert!(["a.parquet", "A.PARQUET", "b/x.parq", "x.pq"].into_iter().all(has_extension));
        assert!(!["parquet", "a.parquet.crc", "é", "README.md"].into_iter().any(has_extension));
    }

    #[test]
    fn a_pattern_goes_into_folders_that_it_meets() {
        let meets = |written: &str, path: &str| {
            let glob =
                GlobBuilder::new(written).literal_separator(true).build().expect("it is sound").compile_matcher();
            Pattern::Glob { glob, written }.meets(path)
        };
        assert!(meets("*.parquet", "a.parquet") && meets("*.parquet", "a.parquet/part-0.parquet"));
        assert!(meets("*", "x/y/z.parquet") && !meets("*", "README.md") && !meets("*.parquet", "a.parquet/_SUCCESS"));
        assert!(meets("*.data", "x.data") && !meets("a/*.parquet", "b/c.parquet"));
    }
}
