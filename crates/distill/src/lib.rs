//! A cheap student of the teacher's scores.
//!
//! Influence of a small model is, to first order, copying: where the last tokens stood before in the document, and whether what followed then
//! follows now. [`features`] counts that without any model, thousands of times faster than the teacher reads. [`fit`] predicts influence and
//! base loss from the counts, tests itself on sources that it was not fitted to, and says beside each number what the teacher reaches against
//! itself. [`predict`] gives the score of a document with an interval.

pub mod audit;
mod cascade;
mod config;
mod error;
pub mod features;
mod fidelity;
mod folds;
mod interval;
mod labels;
mod noise;
mod ridge;
mod sampling;
mod student;

pub use config::DistillConfig;
pub use error::Error;
pub use labels::Label;
pub use sampling::sample;
pub use student::{FitOptions, PROMISED_COVERAGE, Prediction, fit, predict};
