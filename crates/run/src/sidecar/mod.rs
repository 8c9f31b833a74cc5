//! The Parquet files of scores: encoding, reading, relabelling.
//!
//! [`encode`](encode()) makes the bytes of a unit's sidecar of its rows. [`SidecarReader`] gives some of its columns, checked to be of the
//! unit; [`numbers`] and [`words`] find a column in them, [`rows`](rows()) makes rows of all of them again. [`Relabelling`] replaces ids and domains.

mod columns;
mod encode;
pub(crate) mod footer;
mod parts;
mod read;
mod relabel;
mod rows;

pub use columns::{numbers, word_indices, words};
pub use encode::{SidecarFooter, SidecarRow, batch, encode};
pub(crate) use encode::{dictionary, encode_batch};
pub use read::SidecarReader;
pub use relabel::Relabelling;
pub use rows::rows;
