//! Files that are no Parquet files, known by how they begin.

/// How many bytes of the beginning are looked at.
pub(crate) const HEAD_BYTES: usize = 64;

/// Beginnings of files and what they are.
const BEGINNINGS: [(&[u8], &str); 12] = [
    (b"version https://git-lfs.github.com/spec/", "it is a Git LFS pointer in place of the file; run `git lfs pull`"),
    (b"PARE", "its footer is encrypted"),
    (b"ARROW1", "it is an Arrow IPC (Feather) file; write it as Parquet"),
    (b"ORC", "it is an ORC file; write it as Parquet"),
    (b"Obj\x01", "it is an Avro file; write it as Parquet"),
    (b"\x1f\x8b", "it is compressed with gzip as a whole; Parquet compresses its pages itself, so unpack it"),
    (b"\x28\xb5\x2f\xfd", "it is compressed with zstd as a whole; Parquet compresses its pages itself, so unpack it"),
    (b"BZh", "it is compressed with bzip2 as a whole; Parquet compresses its pages itself, so unpack it"),
    (b"PK\x03\x04", "it is a zip archive; unpack it"),
    (b"\x89HDF", "it is an HDF5 file; write it as Parquet"),
    (b"SQLite format 3", "it is a SQLite database; write it as Parquet"),
    (b"{", "it looks like JSON; name JSON Lines `*.jsonl`, `*.jsonl.gz` or `*.jsonl.zst`, or write it as Parquet"),
];

/// What a file that begins with `head` is, and what to do; `None` if that is not known.
pub(crate) fn describe(head: &[u8]) -> Option<&'static str> {
    let found = BEGINNINGS.iter().find(|(beginning, _)| head.starts_with(beginning)).map(|(_, what)| *what);
    let is_page = || {
        let text = String::from_utf8_lossy(head).trim_start().to_lowercase();
        ["<!doctype", "<html", "<?xml"].iter().any(|beginning| text.starts_with(beginning))
    };
    found.or_else(|| is_page().then_some("it is a web page, perhaps an error or log-in page; download it again"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_files_are_named() {
        assert!(
            describe(b"version https://git-lfs.github.com/spec/v1\noid")
                .is_some_and(|what| what.contains("git lfs pull"))
        );
        assert!(describe(b"\n <!DOCTYPE html>").is_some_and(|what| what.contains("web page")));
        assert_eq!(describe(b"PAR1\x15\x04"), None);
        assert_eq!(describe(b""), None);
    }
}
