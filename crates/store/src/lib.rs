//! Where Headwater reads from and writes to: local folders and object stores behind one synchronous face.
//!
//! [`Stores`] opens places. A [`Place`] is a folder, on disk or in a store. Its files appear whole or not at all ([`Place::write`], [`Place::writer`]) and
//! can be claimed exactly once ([`Place::create`]). [`RangeReader`] reads parts of a listed file and notices when it changed;
//! [`ForwardReader`] reads one part forward, fetching ahead.
//!
//! [`model`] brings a language model's files to disk, checked against their hash.
//!
//! `object_store` and `tokio` stop here: no caller sees a future.

mod connect;
mod disk;
mod entry;
mod error;
#[cfg(test)]
mod faults;
mod forward;
mod guard;
mod http_files;
mod hub_access;
mod location;
pub mod model;
mod pins;
mod place;
mod profile;
mod range;
mod remote;
mod runtime;
mod scheme;
mod stores;
mod traffic;
mod variables;
mod wire;
mod writer;

pub use entry::{Created, Entry};
pub use error::{Cause, Error, Result};
pub use forward::ForwardReader;
pub use guard::guarded;
pub use place::Place;
pub use range::RangeReader;
pub use stores::Stores;
pub use traffic::Traffic;
pub use writer::PlaceWriter;
