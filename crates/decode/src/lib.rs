//! Texts by a language model, with scheduled reflection: some tokens, such as `Wait`, become more or less likely while a model thinks.
//!
//! [`generate()`] samples a text. A [`Reflection`] changes the logits of each token before it is drawn: by a wave (CyclicReflex, arXiv
//! 2506.11077), by a penalty (TIP, arXiv 2501.18585), or by a budget of thinking (S1, arXiv 2501.19393).
//!
//! ```
//! use headwater_decode::{Reflection, ReflectionTokens, Schedule, Span};
//! use headwater_schedule::Wave;
//!
//! let tokens = ReflectionTokens { reflection: vec![2], wait: None, end: Some(4) };
//! let schedule = Schedule::Cyclic { wave: Wave::new(5.0, 4.0, 0.25)?, span: Span::default() };
//! let mut reflection = Reflection::new(schedule, tokens)?;
//! let mut logits = [0.0; 5];
//! reflection.process(&[], &mut logits);
//! assert_eq!(logits, [0.0, 0.0, 5.0, 0.0, 0.0]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod error;
mod generate;
mod reflection;
mod sampler;
mod statistics;
mod tokens;

pub use error::Error;
pub use generate::{Generated, Limits, generate};
pub use reflection::{Kind, Reflection, Schedule, ScheduleSettings, Span, TipFrom};
pub use sampler::{Sampler, Sampling};
pub use statistics::Statistics;
pub use tokens::{PAPER_WORDS, ReflectionTokens, WORDS, Words};
