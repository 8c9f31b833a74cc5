//! The files of the corpus that trainers read: Parquet, also where the corpus is JSON Lines.

use headwater_corpus::is_json_lines;
use headwater_recipe::CorpusSource;
use headwater_record::run::RunSource;
use headwater_run::RunFolder;

use crate::{Pipeline, Result};

impl Pipeline {
    /// The sources of the corpus as trainers read them. Files in JSON Lines are read by way of their copies.
    pub(super) fn corpus_sources(&self) -> Result<Vec<CorpusSource>> {
        let run = self.folder.run_file()?;
        let begun = |name: &str| run.as_ref().and_then(|run| run.sources.iter().find(|source| source.name == name));
        let sources = self.config.corpus.iter().map(|source| {
            let mut paths = source.paths.clone();
            if let Some(begun) = begun(&source.name).filter(|begun| begun.shards.iter().any(is_copied)) {
                let is_all = begun.shards.iter().all(is_copied);
                paths = if is_all { Vec::new() } else { paths.iter().filter_map(|path| parquet_only(path)).collect() };
                paths.extend(self.copies(begun)?);
            }
            Ok(CorpusSource { name: source.name.clone(), paths, text: source.text.clone() })
        });
        sources.collect()
    }

    /// The copies of the source's files: a pattern, or each by name where the folder holds copies of other versions, too.
    fn copies(&self, source: &RunSource) -> Result<Vec<String>> {
        let folder = format!("{}/{}", RunFolder::COPIES, source.name);
        let there = self.place().child(&folder).list("")?;
        let of_run = there.iter().filter(|copy| {
            source.shards.iter().filter(|shard| is_copied(shard)).any(|shard| {
                let is_of = copy.path.strip_prefix(&shard.path).is_some_and(|rest| rest.starts_with('-'));
                is_of && copy.bytes == shard.bytes && may_be_one_tag(copy.etag.as_deref(), shard.etag.as_deref())
            })
        });
        let of_run: Vec<_> = of_run.map(|copy| self.place().describe(&format!("{folder}/{}", copy.path))).collect();
        let are_all = of_run.len() == there.len();
        Ok(if are_all { vec![self.place().describe(&format!("{folder}/**/*.parquet"))] } else { of_run })
    }
}

/// Whether two entity tags may be of one version: listings of some stores leave tags or their quotes out.
fn may_be_one_tag(one: Option<&str>, other: Option<&str>) -> bool {
    let opaque = |tag: &str| tag.trim_start_matches("W/").trim_matches('"').to_owned();
    one.zip(other).is_none_or(|(one, other)| opaque(one) == opaque(other))
}

fn is_copied(shard: &headwater_record::run::RunShard) -> bool {
    is_json_lines(&shard.path)
}

/// The path or pattern for its Parquet files alone; `None` if it names JSON Lines.
fn parquet_only(path: &str) -> Option<String> {
    match path.strip_suffix("**") {
        _ if is_json_lines(path) => None,
        Some(_) => Some(format!("{path}/*.parquet")),
        None if path.ends_with('*') => Some(format!("{path}.parquet")),
        None => Some(path.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_compared_without_what_servers_put_around_them() {
        for (one, other) in [(Some("\"a\""), Some("a")), (Some("W/\"a\""), Some("\"a\"")), (None, Some("a"))] {
            assert!(may_be_one_tag(one, other) && may_be_one_tag(other, one), "{one:?} {other:?}");
        }
        assert!(!may_be_one_tag(Some("\"a\""), Some("\"b\"")));
    }

    #[test]
    fn patterns_are_narrowed_to_parquet() {
        for (path, narrowed) in [
            ("data/a.jsonl.gz", None),
            ("data/*.jsonl", None),
            ("data/*", Some("data/*.parquet")),
            ("data/**", Some("data/**/*.parquet")),
            ("data/", Some("data/")),
            ("s3://bucket/a-*.parquet", Some("s3://bucket/a-*.parquet")),
        ] {
            assert_eq!(parquet_only(path).as_deref(), narrowed, "{path}");
        }
    }
}
