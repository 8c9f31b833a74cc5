//! The schemes of URLs that places understand.

use std::fmt;

/// What serves a location.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Scheme {
    File,
    S3,
    Google,
    Azure,
    Http,
    Https,
    /// A dataset of the Hugging Face hub.
    Hub,
    Memory,
}

/// Names of schemes as `object_store::ObjectStoreScheme` has them, the usual one of each first.
const SCHEMES: [(&str, Scheme); 13] = [
    ("file", Scheme::File),
    ("s3", Scheme::S3),
    ("s3a", Scheme::S3),
    ("gs", Scheme::Google),
    ("az", Scheme::Azure),
    ("abfs", Scheme::Azure),
    ("abfss", Scheme::Azure),
    ("azure", Scheme::Azure),
    ("adl", Scheme::Azure),
    ("http", Scheme::Http),
    ("https", Scheme::Https),
    ("hf", Scheme::Hub),
    ("memory", Scheme::Memory),
];

impl Scheme {
    /// Names of all schemes, for messages.
    pub(crate) fn names() -> Vec<&'static str> {
        SCHEMES.iter().map(|(name, _)| *name).collect()
    }

    /// Whether it is a web server's.
    pub(crate) const fn is_web(self) -> bool {
        matches!(self, Self::Http | Self::Https)
    }

    /// Whether nothing can be written there.
    pub(crate) const fn is_read_only(self) -> bool {
        self.is_web() || matches!(self, Self::Hub)
    }

    /// The scheme of that name.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        SCHEMES.iter().find(|(name, _)| *name == text).map(|(_, scheme)| *scheme)
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SCHEMES.iter().find(|(_, scheme)| scheme == self).map_or("", |(name, _)| name))
    }
}
