//! How places are written: local paths and URLs.

use std::fmt;
use std::path::PathBuf;

use url::Url;

use crate::scheme::Scheme;
use crate::{Error, Result};

/// A parsed location.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Location {
    /// A folder or file on disk.
    Disk(PathBuf),
    /// A prefix or object in a bucket or on a server.
    Remote {
        /// Which client serves it.
        bucket: Bucket,
        /// Key prefix without slashes at either end.
        prefix: String,
    },
}

/// What is said of the address of a dataset that is none.
const DATASET_FORM: &str =
    "a dataset of the hub is written hf://datasets/OWNER/NAME/…, with @REVISION after the name for another than main";

/// Ends of the hosts of Azure accounts.
const AZURE_HOSTS: [&str; 4] =
    [".dfs.core.windows.net", ".blob.core.windows.net", ".dfs.fabric.microsoft.com", ".blob.fabric.microsoft.com"];

/// A bucket, container, web server or in-memory store: what one client serves.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Bucket {
    pub(crate) scheme: Scheme,
    /// Bucket or container; host and port for web servers.
    pub(crate) name: String,
    /// The host of the Azure account, if the URL names it.
    pub(crate) account: Option<String>,
}

impl Bucket {
    pub(crate) fn new(scheme: Scheme, name: &str) -> Self {
        Self { scheme, name: name.to_owned(), account: None }
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.account {
            Some(account) => write!(f, "abfss://{}@{account}", self.name),
            None => write!(f, "{}://{}", self.scheme, self.name),
        }
    }
}

impl Location {
    /// Parses `text` as a user writes it.
    ///
    /// # Errors
    /// [`Error::UnsupportedScheme`], or [`Error::InvalidLocation`] that says what is wrong.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let invalid = |reason: &str| Error::InvalidLocation { location: text.to_owned(), reason: reason.to_owned() };
        if text.is_empty() {
            return Err(invalid("it is empty"));
        }
        let Some((written, rest)) = text.split_once("://") else {
            return Ok(Self::Disk(PathBuf::from(text)));
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let user = authority.rsplit_once('@');
        // secrets are not repeated: they would be in logs
        let shown = || user.map_or_else(|| text.to_owned(), |(_, place)| format!("{written}://…@{place}"));
        let Some(scheme) = Scheme::parse(written) else {
            return Err(Error::UnsupportedScheme { location: shown(), scheme: written.to_owned() });
        };
        let bucket = match user {
            None => Bucket::new(scheme, authority),
            // the only part before an `@` that is no secret
            Some((container, host)) if scheme == Scheme::Azure && is_container(container) && is_azure(host) => {
                Bucket { account: Some(host.to_owned()), ..Bucket::new(scheme, container) }
            }
            Some(_) => {
                let reason = "it holds credentials; stores take them from the environment".to_owned();
                return Err(Error::InvalidLocation { location: shown(), reason });
            }
        };
        match scheme {
            Scheme::File if rest.starts_with('/') => {
                let url = Url::parse(text).map_err(|error| invalid(&error.to_string()))?;
                url.to_file_path().map(Self::Disk).map_err(|()| invalid("a file URL holds an absolute path"))
            }
            Scheme::File => {
                Err(invalid("a file URL has three slashes and an absolute path, as in file:///data/corpus"))
            }
            Scheme::Http | Scheme::Https => {
                let url = Url::parse(text).map_err(|error| invalid(&error.to_string()))?;
                if url.fragment().is_some() {
                    return Err(invalid("addresses with `#` are not supported"));
                }
                if url.host_str().is_none() {
                    return Err(invalid("it names no host"));
                }
                // sent as it was written
                Ok(Self::Remote { bucket, prefix: path.trim_matches('/').to_owned() })
            }
            Scheme::Hub => {
                let end = end_of_dataset(text).ok_or_else(|| invalid(DATASET_FORM))?;
                let start = start_of_path(text);
                let name = text[start..end].to_owned();
                let name = if name.contains('@') { name } else { format!("{name}@main") };
                let prefix = text[end..].trim_matches('/').to_owned();
                Ok(Self::Remote { bucket: Bucket { scheme, name, account: None }, prefix })
            }
            Scheme::S3 | Scheme::Google | Scheme::Azure | Scheme::Memory if bucket.name.is_empty() => {
                Err(invalid("it names no bucket"))
            }
            Scheme::S3 | Scheme::Google | Scheme::Azure | Scheme::Memory => {
                Ok(Self::Remote { bucket, prefix: path.trim_matches('/').to_owned() })
            }
        }
    }
}

/// Whether `text` can be the name of an Azure container: a secret before an `@` mostly cannot.
fn is_container(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-$".contains(&byte))
}

/// Whether `host` is that of an Azure account.
fn is_azure(host: &str) -> bool {
    let account = AZURE_HOSTS.iter().find_map(|end| host.strip_suffix(end));
    account.is_some_and(|account| !account.is_empty() && !account.contains(['.', ':', '@']))
}

/// Splits `text` into the folder that surely holds everything it can match and the rest, which may hold wildcards.
///
/// The cut is at the last `/` before the first of `*`, `?`, `[` and `{`, or at the last `/` of all; it never falls inside
/// `scheme://bucket`. The folder is `.` where there is no slash.
pub(crate) fn split_fixed_prefix(text: &str) -> (&str, &str) {
    let start = start_of_path(text);
    // a web server has no wildcards, and a `?` begins a query there
    if text.starts_with("http://") || text.starts_with("https://") {
        return split_before(text, text.find('?').unwrap_or(text.len()));
    }
    split_before(text, text[start..].find(['*', '?', '[', '{']).map_or(text.len(), |at| start + at))
}

/// Splits `text` into the folder above its last part and that part; see [`split_fixed_prefix`].
pub(crate) fn split_last(text: &str) -> (&str, &str) {
    split_before(text, text.len())
}

fn start_of_path(text: &str) -> usize {
    text.find("://").map_or(0, |at| at + 3)
}

/// Where the name of a dataset ends, with its revision, in `hf://datasets/OWNER/NAME[@REVISION]/...`.
fn end_of_dataset(text: &str) -> Option<usize> {
    let start = start_of_path(text);
    // the end of the part that begins at `from`
    let part = |from: usize| {
        let rest = text.get(from..).filter(|rest| !rest.is_empty())?;
        let end = rest.find('/').map_or(text.len(), |at| from + at);
        (end > from).then_some(end)
    };
    let kind = part(start).filter(|end| &text[start..*end] == "datasets")?;
    let owner = part(kind + 1)?;
    let name = part(owner + 1)?;
    // these two kinds of revisions have slashes
    let revision = text[owner..name].find('@').map(|at| owner + at + 1);
    if revision.is_some_and(|revision| &text[revision..name] == "refs") {
        return part(part(name + 1)? + 1);
    }
    Some(name)
}

/// Splits `text` at the last `/` before `end`.
fn split_before(text: &str, end: usize) -> (&str, &str) {
    let start = start_of_path(text);
    // a dataset is not cut
    if let Some(dataset) = end_of_dataset(text).filter(|_| text.starts_with("hf://")) {
        let last = text[dataset.min(end)..end].rfind('/').map(|at| dataset + at);
        return last.map_or((text, ""), |at| (&text[..at.max(dataset)], text[at..].trim_start_matches('/')));
    }
    match text[start..end].rfind('/') {
        Some(0) if start == 0 => ("/", &text[1..]),
        Some(at) => (&text[..start + at], &text[start + at + 1..]),
        None if start > 0 => (text, ""),
        None => (".", text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_end_before_wildcards_and_keep_the_bucket() {
        let cases = [
            ("data/*.parquet", ("data", "*.parquet")),
            ("*.parquet", (".", "*.parquet")),
            ("/*.parquet", ("/", "*.parquet")),
            ("/a/b/c.parquet", ("/a/b", "c.parquet")),
            ("a/{x,y}/z*.parquet", ("a", "{x,y}/z*.parquet")),
            ("s3://bucket/a/b/*.parquet", ("s3://bucket/a/b", "*.parquet")),
            ("s3://bucket/*/b.parquet", ("s3://bucket", "*/b.parquet")),
            ("s3://bucket", ("s3://bucket", "")),
            ("data/", ("data", "")),
            ("https://host/a/b.parquet", ("https://host/a", "b.parquet")),
            ("https://host/a/b.parquet?x=/y", ("https://host/a", "b.parquet?x=/y")),
            ("hf://datasets/o/n", ("hf://datasets/o/n", "")),
            ("hf://datasets/o/n@v1/*.parquet", ("hf://datasets/o/n@v1", "*.parquet")),
            ("hf://datasets/o/n/data/*/x.parquet", ("hf://datasets/o/n/data", "*/x.parquet")),
            (
                "hf://datasets/o/n@refs/convert/parquet/d/x.parquet",
                ("hf://datasets/o/n@refs/convert/parquet/d", "x.parquet"),
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(split_fixed_prefix(text), expected, "{text}");
        }
    }

    #[test]
    fn locations_parse_or_say_why_not() {
        let remote = |scheme, name: &str, prefix: &str| Location::Remote {
            bucket: Bucket::new(scheme, name),
            prefix: prefix.to_owned(),
        };
        let account = |name: &str, host: &str| Location::Remote {
            bucket: Bucket { account: Some(host.to_owned()), ..Bucket::new(Scheme::Azure, name) },
            prefix: "x/y".to_owned(),
        };
        let cases = [
            ("runs/x", Location::Disk("runs/x".into())),
            ("file:///abs/a%20b", Location::Disk("/abs/a b".into())),
            ("s3://b/p/q/", remote(Scheme::S3, "b", "p/q")),
            ("s3a://b/p/q/", remote(Scheme::S3, "b", "p/q")),
            ("gs://b", remote(Scheme::Google, "b", "")),
            ("az://container/p", remote(Scheme::Azure, "container", "p")),
            ("abfs://container/p", remote(Scheme::Azure, "container", "p")),
            ("abfss://box@lake.dfs.core.windows.net/x/y/", account("box", "lake.dfs.core.windows.net")),
            ("abfss://box@lake.dfs.fabric.microsoft.com/x/y", account("box", "lake.dfs.fabric.microsoft.com")),
            ("https://host:8443/d/f.parquet", remote(Scheme::Https, "host:8443", "d/f.parquet")),
            ("https://h/r%2Fp/a%20b?download=true", remote(Scheme::Https, "h", "r%2Fp/a%20b?download=true")),
            ("hf://datasets/o/n/d", remote(Scheme::Hub, "datasets/o/n@main", "d")),
            ("hf://datasets/o/n@refs/pr/3", remote(Scheme::Hub, "datasets/o/n@refs/pr/3", "")),
        ];
        for (text, expected) in cases {
            assert_eq!(Location::parse(text).ok(), Some(expected), "{text}");
        }
        for text in ["", "file://relative", "s3:///p", "az:///p", "https://h/f#x", "hf://o/n/x", "hf://datasets/o"] {
            assert!(matches!(Location::parse(text), Err(Error::InvalidLocation { .. })), "{text}");
        }
        let unknown = Location::parse("hdfs://n/p").map_err(|error| error.to_string());
        let names = "file, s3, s3a, gs, az, abfs, abfss, azure, adl, http, https, hf, memory";
        assert_eq!(unknown, Err(format!("hdfs://n/p: unknown scheme `hdfs`; known are {names}")));
    }

    #[test]
    fn what_stands_before_an_at_sign_is_a_secret_unless_it_is_a_container() {
        for text in [
            "s3://canary@b/p",
            "https://user:canary@h/f",
            "az://key:canary@box/p",
            "abfss://key:canary@lake.dfs.core.windows.net/p",
            "abfss://canary@lake.dfs.core.windows.net.evil.org/p",
            "abfss://Canary@lake.dfs.core.windows.net/p",
            "hdfs://canary@n/p",
        ] {
            let error = Location::parse(text).map_err(|error| error.to_string());
            assert!(error.is_err_and(|error| !error.to_lowercase().contains("canary")), "{text}");
        }
    }

    #[test]
    fn buckets_are_shown_as_they_can_be_written() {
        for (text, shown) in [
            ("s3a://b/p", "s3://b"),
            ("abfs://box/p", "az://box"),
            ("abfs://box@lake.dfs.core.windows.net/p", "abfss://box@lake.dfs.core.windows.net"),
        ] {
            let Ok(Location::Remote { bucket, .. }) = Location::parse(text) else { panic!("{text} is remote") };
            assert_eq!(bucket.to_string(), shown);
        }
    }
}
