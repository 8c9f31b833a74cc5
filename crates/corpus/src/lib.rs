//! The corpus: lists shards, plans units of work from footers alone, streams documents, writes subsets.
//!
//! - [`plan()`], [`plan_folders`]: sources as configured, or folders → shards with identities and units
//! - [`spread()`]: a plan → small pieces from all over it
//! - [`read_unit`]: one unit → its documents, one at a time
//! - [`read_texts`], [`read_numbers`]: the beginnings of a few texts; the numbers of another column
//! - [`write_subset`]: some rows of a shard → a new Parquet file with the same schema and footer
//!
//! Columns are read and copied as Parquet stores them (levels and values, page by page), not through Arrow arrays: a text column
//! never has to fit 32-bit offsets, bytes that claim to be UTF-8 are checked one document at a time, and a copied column keeps
//! its nesting, nulls and types to the letter. Memory is that of one page for each column read.
//!
//! What this crate is *not*: it neither scores nor chooses, and knows stores only through `headwater-store`.

mod chunks;
mod columns;
mod copy;
mod documents;
mod error;
mod footer;
mod footers;
mod foreign;
mod groups;
mod json_lines;
mod leaf;
mod listing;
mod number_file;
mod numbers;
mod offset_index;
mod old_writers;
mod partitions;
mod plan;
mod shard;
mod source;
mod spread;
mod subset;
mod subset_footer;
mod text;
mod text_hash;
mod texts;
#[cfg(test)]
mod traced;
mod units;

pub use columns::{Columns, Domain};
pub use documents::{Document, DocumentText, UnitDocuments, UnitStart, Wanted, read_unit};
pub use error::{Class, Error, Result};
pub use footer::guarded;
pub use json_lines::is_json_lines;
pub use number_file::NumberFile;
pub use numbers::read_numbers;
pub use plan::{Plan, PlannedSource, plan, plan_folders};
pub use shard::PlannedShard;
pub use source::{OnBadShard, PlanOptions, SourceConfig, SourceFolder};
pub use spread::{Piece, spread};
pub use subset::{KeptRows, Subset, SubsetOptions, write_subset};
pub use text::Text;
pub use text_hash::{TextCheck, text_hash};
pub use texts::{BeginningText, read_texts};
