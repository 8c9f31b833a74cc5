//! What reads files of others, as functions of bytes: each takes any bytes and must neither panic nor hang nor need much memory.
//!
//! The fuzz targets call them with bytes that libFuzzer makes up; the test below calls them with every file in `corpus`.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod gguf;
mod heads_file;
mod panics;
mod pipeline;
mod rows;
mod scratch;
mod shard;
mod sidecar;
mod unit_name;

pub use gguf::gguf;
pub use heads_file::heads_file;
pub use panics::keep_quiet;
pub use pipeline::pipeline;
pub use rows::rows;
pub use shard::shard;
pub use sidecar::sidecar;
pub use unit_name::unit_name;

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::Path;

    /// Calls `target` with every file kept for it.
    fn replay(name: &str, target: fn(&[u8])) -> io::Result<()> {
        let mut files = 0;
        for entry in fs_err::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name))? {
            let path = entry?.path();
            let bytes = fs_err::read(&path)?;
            println!("{}", path.display()); // shown if the target panics
            target(&bytes);
            files += 1;
        }
        assert!(files > 0, "there is no corpus of {name}");
        Ok(())
    }

    #[test]
    fn unit_name() -> io::Result<()> {
        replay("unit_name", super::unit_name)
    }

    #[test]
    fn heads_file() -> io::Result<()> {
        replay("heads_file", super::heads_file)
    }

    #[test]
    fn sidecar() -> io::Result<()> {
        replay("sidecar", super::sidecar)
    }

    #[test]
    fn pipeline() -> io::Result<()> {
        replay("pipeline", super::pipeline)
    }

    #[test]
    fn gguf() -> io::Result<()> {
        replay("gguf", super::gguf)
    }

    #[test]
    fn rows() -> io::Result<()> {
        replay("rows", super::rows)
    }

    #[test]
    fn shard() -> io::Result<()> {
        replay("shard", super::shard)
    }
}
