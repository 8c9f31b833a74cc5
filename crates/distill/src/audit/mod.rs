//! Changes of a text that keep its meaning: a cut should not care.
//!
//! Reformatting flips some of a quality classifier's decisions (arXiv 2605.23721). Here each change is made to documents that were kept and
//! to documents that were dropped, and counted is how many cross the cut.

mod perturbation;

pub use perturbation::Perturbation;
