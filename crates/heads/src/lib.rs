//! Finds a model's retrieval heads and measures how reliable the result is.
//!
//! [`find_heads`] builds [`Probe`]s (a JSON object of random keys to sentences, then a question about one of them), measures how
//! often each head copies the answer's tokens ([`retrieval_scores`]), takes the best heads ([`head_set`]), adds probes until that set is
//! stable, and checks that masking it removes the ability while masking other heads does not ([`health()`]). The result is `heads.json`.
//!
//! The crate neither reads files nor runs a model itself: it asks an [`Engine`](headwater_model::Engine), one probe at a time, so that the same
//! settings give the same bytes for any number of threads.
//!
//! Source: AttentionInfluence, arXiv 2505.07293, §3 and §4.1; needle-span rule: Wu et al., arXiv 2404.15574, §2.

mod config;
mod error;
#[cfg(test)]
mod fake;
mod health;
mod layout;
mod pinned;
mod placeholder;
mod probe;
mod ranking;
mod retrieval;
mod search;
mod sentences;
mod stability;
mod vocabulary;
mod watch;

pub use config::{HeadsConfig, Sentences};
pub use error::{Error, Weakness};
pub use health::{HEALTH_PROBES, HealthOptions, MASKS_PER_PROBE, health, weakness};
pub use pinned::validate_heads;
pub use placeholder::placeholder_heads;
pub use probe::{Probe, ProbeSettings, build_probes};
pub use ranking::head_set;
pub use retrieval::{RetrievalScores, retrieval_scores};
pub use search::{FindOptions, find_heads, forward_passes};
pub use sentences::{MAX_SENTENCE_TOKENS, bundled_sentences, extract_sentences};
pub use vocabulary::Vocabulary;
pub use watch::Watch;
