//! Small training runs that test a selection: plan, texts, statistics, verdicts.
//!
//! A trial trains small models on competing selections of one corpus, the *arms*, each under several seeds, and asks of every arm whether it is
//! better than the *control*, a random selection. This crate has what decides a trial and what it says; it reads no corpus and trains nothing:
//!
//! - [`TrialConfig`]: the `[trial]` table; [`TrialPlan`]: what is fixed before anything is trained
//! - [`NearDuplicates`], [`ArmText`], [`Mixture`]: what is held out, what an arm trains on, and in which order
//! - [`RunResult`], [`TrialFile`]: what a run and what all of them came to
//! - [`Design`] and its [`Sensitivity`]: what a trial can see, before it is run; [`Power`] behind it
//! - [`Outcomes`], [`DocumentLosses`]: what the runs measured
//! - [`Design::judge`]: better, worse or not distinguishable, by the [`sign_flip`] test and [`holm()`]; [`compare`] for one arm alone
//! - [`DocumentLosses::bootstrap`]: an interval over other seeds and other documents
//! - [`rank_among_random`], [`efficiency_gain`], [`ladder()`]: other views of the same runs
//! - [`reach()`]: how far below known scales a trial lies
//!
//! ```
//! use headwater_trial::{Design, Outcomes, Verdict};
//!
//! let design = Design {
//!     control: "random".to_owned(),
//!     floor: Some("random-2".to_owned()),
//!     arms: vec!["influence".to_owned(), "loss".to_owned()],
//!     seeds: (1..=8).collect(),
//! };
//! // before anything is trained: an effect of two standard deviations is found, one of half a standard deviation is not
//! let detectable = design.sensitivity()?.detectable_sd.ok_or("too few seeds for a verdict")?;
//! assert!(0.5 < detectable && detectable < 2.0);
//!
//! // made up: bits per byte of runs that share what the seed decides
//! let mut outcomes = Outcomes::new();
//! for seed in 1..=8_u32 {
//!     let shared = 1.5 + 0.01 * f64::from(seed % 3);
//!     let noise = 0.001 * f64::from(seed % 2);
//!     for (arm, loss) in [("random", 0.0), ("random-2", noise), ("influence", -0.02 + noise), ("loss", 0.0005 - noise)] {
//!         outcomes.record(arm, seed.into(), shared + loss)?;
//!     }
//! }
//! let judgement = design.judge(&outcomes)?;
//! assert_eq!(judgement.arms[0].verdict, Verdict::Better);
//! assert_eq!(judgement.arms[1].verdict, Verdict::NotDistinguishable);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Losses are in bits per byte of held-out text; lower is better. All draws come from ChaCha8. Results are values that serde writes; the
//! crate opens no file, reads no clock and prints nothing. `docs/trials.md` says what the numbers mean, and what no trial can show.

mod arm;
mod bootstrap;
mod comparison;
mod config;
mod distribution;
mod efficiency;
mod error;
mod flips;
mod held_out;
mod holm;
mod ladder;
mod outcomes;
mod plan;
mod power;
mod random;
mod rank;
mod reach;
mod results;
mod text;
mod verdict;

pub use arm::TriedArm;
pub use bootstrap::Resampled;
pub use comparison::{Comparison, Interval, compare};
pub use config::{ModelSize, TOKEN_BYTES, TrialConfig, TrialTrainer, TriedSchedule};
pub use efficiency::{CurvePoint, EfficiencyGain, efficiency_gain};
pub use error::Error;
pub use flips::{FAMILY_LEVEL, FlipMethod, MOST_ENUMERATED, SignFlip, least_p, seeds_needed, sign_flip};
pub use held_out::{HeldOutDocument, HeldOutSummary, NearDuplicates, is_held_out};
pub use holm::holm;
pub use ladder::{Certainty, Crossing, Ladder, OrderedPair, RankedArm, Rung, RungOrder, ladder};
pub use outcomes::{DocumentLosses, Losses, Outcomes};
pub use plan::{ArmSelections, CONTROL, FLOOR, PRIMARY_METRIC, PlannedDomain, ScheduleArm, TEST, TrialPlan};
pub use power::{Power, PowerMethod, Sensitivity, TARGET_POWER};
pub use rank::{Rank, rank_among_random};
pub use reach::{LEAST_KNOWN_FLOP, reach, times_below_known};
pub use results::{DomainLoss, JudgedDocument, RunResult, TrialFile};
pub use text::{ArmText, DomainText, Mixture, equalise};
pub use verdict::{Design, JudgedArm, Judgement, Verdict};
