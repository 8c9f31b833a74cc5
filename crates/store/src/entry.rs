//! Files as listings tell of them, and what became of conditional writes.

use std::time::SystemTime;

/// A file in a [`Place`](crate::Place), as it was when listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Path relative to the place.
    pub path: String,
    /// Size of the file.
    pub bytes: u64,
    /// The store's name for this version of the file; on disk made of inode, modification time and size.
    pub etag: Option<String>,
    /// When this version was written, by the clock of the store.
    pub modified: Option<SystemTime>,
}

/// What a conditional write did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    /// The file is new and holds the bytes given.
    New,
    /// A file of that name exists and was left as it is.
    AlreadyThere,
}
