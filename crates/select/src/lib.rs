//! From sidecars to exact cuts, the kept rows and the mixture.
//!
//! [`select`] reads the sidecars of a run's plan and gives a [`SelectionFile`](headwater_record::SelectionFile): for each domain
//! the last document kept. [`write_subset`] copies the kept rows, [`write_rejects`] lists what could not be scored, and
//! [`Mixture`] says how much of a training run the subset makes up.
//!
//! The middle is [`cut()`]: pure over anything that hands out sidecar rows again and again ([`Sidecars`]). It ranks by 32-bit keys
//! and finds each domain's boundary by reading the rows a few times, each time counting one more digit of the key (see
//! `search.rs`), so that memory does not grow with the number of documents: at most 4 KiB for each domain in the first reading
//! and 256 MiB in all later ones, besides a few words a unit.
//!
//! **Who is ranked.** Documents with a finite influence that no guard keeps out, whatever the rank, so that `loss` and `random` are
//! controls on the same population; of them a column of the source ranks those that have a value in it. "The domain's tokens" are the tokens of its ranked documents: fraction 1 keeps exactly what can be ranked, and a
//! token budget is met as nearly as whole documents allow.
//!
//! What this crate is *not*: it knows no model, never scores, and reads no text.

mod boundaries;
mod census;
mod certainty;
mod compare;
mod config;
mod control;
mod correction;
mod cut;
mod draws;
mod error;
mod filter;
mod fraction;
mod goals;
mod guards;
mod membership;
mod mixture;
mod population;
mod profile;
mod rank;
mod rejects;
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

pub use compare::compare;
pub use config::{By, DomainOverride, ImportedColumn, Order, RankBy, SelectConfig};
pub use control::control;
pub use cut::{Selection, cut};
pub use error::{Error, Result};
pub use filter::{Filter, FilterProblem};
pub use guards::Guards;
pub use membership::Membership;
pub use mixture::{DomainMixture, Mixture, MixtureConfig, Mixtures, SelectedWeight};
pub use profile::profile;
pub use rejects::write_rejects;
pub use sidecars::Sidecars;
pub use stored::{StoredSidecars, select};
pub use subset::{SubsetSummary, write_subset};
pub use upsample::UpsampleConfig;

#[cfg(test)]
mod tests;
