//! The Parquet files of scores: encoding, reading, relabelling.
//!
//! [`encode`](encode()) makes the bytes of a unit's sidecar of its rows. [`SidecarReader`] gives some of its columns, checked to be of the
//! unit; [`numbers`] and [`words`] find a column in them. [`Relabelling`] replaces ids and domains.

mod columns;
mod encode;
pub(crate) mod footer;
mod parts;
mod read;
mod relabel;

pub use columns::{numbers, word_indices, words};
pub use encode::{SidecarFooter, SidecarRow, encode};
pub use read::SidecarReader;
pub use relabel::Relabelling;
