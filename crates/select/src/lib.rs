//! From sidecars to exact cuts, the kept rows and the mixture.
//!
//! [`cut()`] gives a [`SelectionFile`](headwater_record::SelectionFile): for each domain the last document kept. [`write_subset`]
//! copies the kept rows, [`cut_with_rejects`] also lists what could not be scored, and [`Mixture`] says how much of a training run
//! the subset makes up.
//!
//! Cutting is pure over anything that hands out sidecar rows again and again ([`Sidecars`]). It ranks by 32-bit keys and finds each
//! domain's boundary by reading the rows a few times (see `search.rs`), so that memory does not grow with the number of documents:
//! at most 64 MiB for the first reading and 256 MiB for all later ones, besides a few words a unit. [`StoredSidecars`] reads them where
//! the run keeps them, by ranges of the columns that are wanted, and keeps rows in memory while there is room, so that what is read
//! again is mostly not fetched again.
//!
//! **What is ranked.** Documents with a finite influence that no guard keeps out, whatever the rank, so that `loss` and `random` are
//! controls on the same population; of them a column of the source ranks those that have a value in it. "The domain's tokens" are the tokens of its ranked documents: fraction 1 keeps exactly what can be ranked, and a
//! token budget is met as nearly as whole documents allow.
//!
//! What this crate is *not*: it knows no model, never scores, and reads no text.

mod arms;
mod audit;
mod boundaries;
mod census;
mod certainty;
mod compare;
mod config;
mod contest;
mod control;
mod correction;
mod cut;
mod draws;
mod error;
mod explore;
mod filter;
mod fraction;
mod goals;
mod guards;
mod influence_column;
mod membership;
mod memory;
mod mixture;
mod overlap;
mod population;
mod profile;
mod rank;
mod reservoir;
mod rows;
mod scan;
mod search;
mod shown;
mod sidecars;
mod statistics;
mod stored;
mod strata;
mod subset;
mod upsample;

pub use arms::{ArmDocument, ArmRule, Arms};
pub use audit::{Audit, AuditedDocument};
pub use compare::{NamedRule, compare};
pub use config::{By, DomainOverride, ImportedColumn, Order, RankBy, SelectConfig};
pub use contest::{Contest, MostTokens};
pub use control::control;
pub use correction::Nuisance;
pub use cut::{Rule, Selection, cut, cut_with_rejects};
pub use error::{Error, Result, ShardError};
pub use filter::{Filter, FilterProblem};
pub use guards::Guards;
pub use influence_column::InfluenceColumn;
pub use membership::Membership;
pub use mixture::{DomainMixture, Mixture, MixtureConfig, Mixtures, SelectedWeight};
pub use overlap::overlap;
pub use profile::profile;
pub use sidecars::Sidecars;
pub use stored::StoredSidecars;
pub use subset::{SubsetSummary, write_subset};
pub use upsample::UpsampleConfig;

#[cfg(test)]
mod tests;
