//! What needs `unsafe`, and nothing else: a read-only map of weight files today, CPU kernels next.
//!
//! Every other crate forbids unsafe code. [`FileMap`] hands out plain byte slices.

mod file_map;

pub use file_map::{FileMap, MapError};
