//! How places are written: local paths and URLs.

use std::path::PathBuf;

use url::Url;

use crate::{Error, Result};

/// Schemes that [`crate::Stores::open`] understands, besides local paths.
pub(crate) const KNOWN_SCHEMES: [&str; 7] = ["file", "s3", "gs", "az", "http", "https", "memory"];

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

/// A bucket, container, web server or in-memory store: what one client serves.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Bucket {
    /// `s3`, `gs`, `az`, `http`, `https` or `memory`.
    pub(crate) scheme: String,
    /// Bucket name; host and port for web servers.
    pub(crate) name: String,
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
        let Some((scheme, rest)) = text.split_once("://") else {
            return Ok(Self::Disk(PathBuf::from(text)));
        };
        let secret = rest.split('/').next().unwrap_or_default().rsplit_once('@');
        // secrets are not repeated: they would be in logs
        let shown = secret.map_or_else(|| text.to_owned(), |(_, place)| format!("{scheme}://…@{place}"));
        if !KNOWN_SCHEMES.contains(&scheme) {
            return Err(Error::UnsupportedScheme { location: shown, scheme: scheme.to_owned() });
        }
        if secret.is_some() {
            let reason = "it holds credentials; stores take them from the environment".to_owned();
            return Err(Error::InvalidLocation { location: shown, reason });
        }
        match scheme {
            "file" if rest.starts_with('/') => {
                let url = Url::parse(text).map_err(|error| invalid(&error.to_string()))?;
                url.to_file_path().map(Self::Disk).map_err(|()| invalid("a file URL holds an absolute path"))
            }
            "file" => Err(invalid("a file URL has three slashes and an absolute path, as in file:///data/corpus")),
            "http" | "https" => {
                let url = Url::parse(text).map_err(|error| invalid(&error.to_string()))?;
                if url.query().is_some() || url.fragment().is_some() {
                    return Err(invalid("addresses with `?` or `#` are not supported"));
                }
                let host = url.host_str().ok_or_else(|| invalid("it names no host"))?;
                let name = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
                let path = object_store::path::Path::from_url_path(url.path()).map_err(|e| invalid(&e.to_string()))?;
                Ok(Self::Remote { bucket: Bucket { scheme: scheme.to_owned(), name }, prefix: path.to_string() })
            }
            "s3" | "gs" | "az" | "memory" => {
                let (name, prefix) = rest.split_once('/').unwrap_or((rest, ""));
                if name.is_empty() {
                    return Err(invalid("it names no bucket"));
                }
                let bucket = Bucket { scheme: scheme.to_owned(), name: name.to_owned() };
                Ok(Self::Remote { bucket, prefix: prefix.trim_matches('/').to_owned() })
            }
            _ => Err(invalid("nothing serves it")),
        }
    }
}

/// Splits `text` into the folder that surely holds everything it can match and the rest, which may hold wildcards.
///
/// The cut is at the last `/` before the first of `*`, `?`, `[` and `{`, or at the last `/` of all; it never falls inside
/// `scheme://bucket`. The folder is `.` where there is no slash.
pub(crate) fn split_fixed_prefix(text: &str) -> (&str, &str) {
    let start = text.find("://").map_or(0, |at| at + 3);
    let wildcard = text[start..].find(['*', '?', '[', '{']).map_or(text.len(), |at| start + at);
    match text[start..wildcard].rfind('/') {
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
        ];
        for (text, expected) in cases {
            assert_eq!(split_fixed_prefix(text), expected, "{text}");
        }
    }

    #[test]
    fn locations_parse_or_say_why_not() {
        let remote = |scheme: &str, name: &str, prefix: &str| Location::Remote {
            bucket: Bucket { scheme: scheme.into(), name: name.into() },
            prefix: prefix.into(),
        };
        let cases = [
            ("runs/x", Location::Disk("runs/x".into())),
            ("file:///abs/a%20b", Location::Disk("/abs/a b".into())),
            ("s3://b/p/q/", remote("s3", "b", "p/q")),
            ("gs://b", remote("gs", "b", "")),
            ("az://container/p", remote("az", "container", "p")),
            ("https://host:8443/d/f.parquet", remote("https", "host:8443", "d/f.parquet")),
        ];
        for (text, expected) in cases {
            assert_eq!(Location::parse(text).ok(), Some(expected), "{text}");
        }
        for text in ["", "file://relative", "s3:///p", "https://h/f?download=true"] {
            assert!(matches!(Location::parse(text), Err(Error::InvalidLocation { .. })), "{text}");
        }
        let unknown = Location::parse("hdfs://n/p").map_err(|error| error.to_string());
        assert_eq!(
            unknown,
            Err("hdfs://n/p: unknown scheme `hdfs`; known are file, s3, gs, az, http, https, memory (s3a is s3, and \
                 abfss://container@account… is az://container with the account in the environment)"
                .to_owned())
        );
        let spark = Location::parse("abfss://box@account.dfs.core.windows.net/x").map_err(|error| error.to_string());
        assert!(spark.is_err_and(|text| text.contains("az://container")));
    }
}
