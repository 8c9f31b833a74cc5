//! Step to learning rate: warm-up, stable, decay (WSD). Pure: no I/O, no clock, no random numbers.
//!
//! - [`config`]: the `[schedule]` table, with lengths as fractions, steps or tokens
//! - [`wsd`]: a schedule resolved to steps, and its learning rate at every step
//!
//! The learning rate of this crate is the canonical one: a function of completed steps, see [`Schedule::lr`].
//! Where a trainer counts otherwise, crate `recipe` says so and tabulates what that trainer does.

pub mod config;
mod error;
pub mod wsd;

pub use config::{Kind, Length, RunLength, ScheduleConfig};
pub use error::Error;
pub use wsd::{Phases, Schedule, Shape};
