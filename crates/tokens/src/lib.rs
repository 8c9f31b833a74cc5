//! Documents to token files that trainers read.
//!
//! A [`PartPlan`] is a plan of documents: the corpus, the subset that a selection kept, or a bucket of it. [`TokenWork::begin`] cuts it into
//! *stretches*, consecutive units of one source that together hold about `file_bytes` of text, and fixes in each format's folder
//! what decides the bytes there. [`write_tokens`] reads every stretch once, tokenises its documents on the threads of the pool and
//! writes a file of each wanted format. When all stretches of a format are there, the manifest `tokens.json` is written.
//!
//! - `datatrove`: `.ds`, `.ds.index`, `.ds.metadata`
//! - `megatron`: `.bin`, `.idx`
//! - `mds`: packed samples, `index.json`
//! - `olmo`: raw arrays named `.npy`
//!
//! The cut depends on the plan alone and a file on its stretch alone, so that the bytes are the same for any number of threads and
//! machines and after any interruption. A stretch is the unit of resumption.
//!
//! What this crate is *not*: it shuffles nothing, and it adds no token but the one after every document.

mod config;
mod error;
mod folder;
mod formats;
mod lanes;
mod setup;
mod stretch;
mod texts;
mod watch;
mod work;

pub use config::{TokenBytes, TokensConfig};
pub use error::{Error, Result};
pub use folder::MANIFEST_FILE;
pub use headwater_record::tokens::{TextPart, TokenFormat};
pub use lanes::write_tokens;
pub use setup::TokenizerSetup;
pub use watch::Watch;
pub use work::{PartPlan, Progress, Share, TokenWork};
