//! Hive partition keys: folders named `key=value`, each a column of one value for the shards below.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;

/// The value that stands for null.
const NULL: &str = "__HIVE_DEFAULT_PARTITION__";

/// The partition keys on the way to one shard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Partitions(BTreeMap<String, Option<String>>);

impl Partitions {
    /// Reads the folders of the path or URL `location`; of a key that comes twice, the inner one counts.
    pub(crate) fn of(location: &str) -> Self {
        let folders = location.rsplit_once('/').map_or("", |(folders, _)| folders);
        let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let keys = folders.split('/').filter_map(|folder| folder.split_once('=')).filter(|(key, _)| !key.is_empty());
        Self(keys.map(|(key, value)| (decoded(key), (value != NULL).then(|| decoded(value)))).collect())
    }

    /// Whether there is such a key.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// The value of a key; `None` for null, or if there is no such key.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_columns_and_files_are_not() {
        let found = Partitions::of("s3://lake/c/lang=zh%2FTW/__x=1/domain=__HIVE_DEFAULT_PARTITION__/a=b.parquet");
        assert_eq!(found.get("lang"), Some("zh/TW"));
        assert_eq!(found.get("__x"), Some("1"));
        assert!(found.has("domain") && found.get("domain").is_none());
        assert!(!found.has("a"));
        assert_eq!(Partitions::of("a=1/a=2/x").get("a"), Some("2"));
        assert_eq!(Partitions::of("x.parquet"), Partitions::default());
    }
}
