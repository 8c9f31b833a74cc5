//! Step to learning rate. Opens no file, knows no clock and no random numbers.
//!
//! A [`ScheduleConfig`] is a `[schedule]` table, with lengths as fractions, steps or tokens. Resolved for a [`RunLength`] and a
//! peak it is a [`Schedule`]: a checked [`Form`], the warm-up-stable-decay family and its relatives, with one function,
//! [`Schedule::lr`].
//!
//! ```
//! use headwater_schedule::{Curve, WsdSteps, Schedule};
//!
//! let phases = WsdSteps { steps: 20_000, warmup_steps: 200, decay_steps: 4_000 };
//! let schedule = Schedule::wsd(phases, Curve::OneMinusSqrt, 4.0e-4, 0.0)?;
//! assert_eq!([100, 200, 16_000, 17_000, 20_000].map(|step| schedule.lr(step)), [2.0e-4, 4.0e-4, 4.0e-4, 2.0e-4, 0.0]);
//! # Ok::<(), headwater_schedule::Error>(())
//! ```
//!
//! - [`BranchParent::branch`]: a child run that decays early
//! - [`norms`] and [`refine`]: a schedule from the gradient norms that an earlier run logged (arXiv 2310.07831)
//! - [`ScheduleSummary`], [`ScheduleComparison`], [`Schedule::sparkline`]: what there is to show
//!
//! - [`Wave`]: not a learning rate, but a wave over the tokens of a text (arXiv 2506.11077)
//!
//! The learning rate of this crate is the canonical one: a function of completed steps, see [`Schedule::lr`]. Where a trainer counts
//! otherwise, crate `recipe` says so and tabulates what that trainer does.

mod branch;
pub mod config;
mod curve;
mod error;
mod form;
pub mod length;
pub mod norms;
mod periods;
mod phases;
pub mod refine;
mod schedule;
mod sparkline;
mod summary;
mod validate;
mod wave;

pub use branch::{Branch, BranchParent, BranchPoint, BranchRequest};
pub use config::{Kind, ScheduleConfig};
pub use curve::{Curve, Shape};
pub use error::Error;
pub use form::{Decay, Form, Frame, Period, Point};
pub use length::{Batch, Length, RunLength};
pub use periods::Periods;
pub use phases::Phase;
pub use schedule::{Schedule, WsdSteps};
pub use summary::{ComparedSchedule, ComparisonRow, NamedSchedule, ScheduleComparison, ScheduleRow, ScheduleSummary};
pub use wave::Wave;
