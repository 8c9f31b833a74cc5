//! What a pipeline tells of its work while it runs.

use std::fmt;

use headwater_record::fidelity::FidelityFile;
use headwater_record::run::Numerics;
use headwater_record::stability::ProbesUsed;
use headwater_record::{ByteCount, TokenCount};
use serde::Serialize;

use crate::text::format::duration;

/// Receives what a pipeline tells of its work, from any thread.
///
/// Warnings do not pass here: they are [`tracing`] events of level `WARN`.
pub trait Events: Send + Sync {
    /// Takes note of an event.
    fn event(&self, event: &Event);

    /// Begins to show a step; the returned value is told of its progress and dropped when the step ends or fails.
    fn begin(&self, step: Step) -> Box<dyn Progress>;
}

/// A piece of work long enough to show how far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Its name, such as `score`.
    pub name: &'static str,
    /// What is counted, in the plural, such as `documents`.
    pub unit: &'static str,
    /// How many there are.
    pub total: Total,
}

/// How many pieces a step has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Total {
    /// Nobody knows beforehand.
    Unknown,
    /// So many.
    Exactly(u64),
    /// So many, unless the step finds that fewer will do: see [`Progress::spare`].
    AtMost(u64),
}

/// Shows how far a step is.
pub trait Progress: Send + Sync {
    /// Notes that `pieces` more of the step's units are done.
    fn advance(&self, pieces: u64);

    /// Notes that `pieces` of the most, [`Total::AtMost`], need not be done.
    fn spare(&self, _pieces: u64) {}

    /// Notes that `tokens` more went through the model or the tokenizer.
    fn advance_tokens(&self, _tokens: u64) {}

    /// Ends the step: its result is there and worth a line.
    fn finish(&self) {}
}

/// Ignores everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Events for Silent {
    fn event(&self, _event: &Event) {}

    fn begin(&self, _step: Step) -> Box<dyn Progress> {
        Box::new(Self)
    }
}

impl Progress for Silent {
    fn advance(&self, _pieces: u64) {}
}

/// Something that a user may want to know. [`fmt::Display`] gives it as a sentence, serde as an object.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Event {
    /// The corpus is planned.
    Planned {
        /// Units to score.
        units: u64,
        /// Shards that they are of.
        shards: u64,
    },
    /// The model is in memory.
    ModelLoaded {
        /// Its name.
        name: String,
        /// Its layers.
        layers: usize,
        /// Attention heads of a layer.
        heads: usize,
        /// What it computes with.
        numerics: Numerics,
    },
    /// The head set is known.
    HeadsKnown {
        /// How many heads are masked.
        heads: usize,
        /// How many probes it took to find them; absent for a head set that was pinned, or found by a version that did not tell.
        #[serde(flatten)]
        search: Option<ProbesUsed>,
        /// Accuracy on the probes; absent for a head set that was pinned.
        #[serde(flatten)]
        accuracy: Option<ProbeAccuracy>,
    },
    /// The numerics class was compared with float32 on documents of the corpus.
    Fidelity(FidelityFile),
    /// About how long the run takes on this machine.
    Forecast {
        /// Fewest forward passes over probes, to find the head set; 0 if it is known.
        least_probe_passes: u64,
        /// Most of them; as many if their number is fixed.
        most_probe_passes: u64,
        /// Tokens to score, estimated.
        tokens: TokenCount,
        /// Time for both with the fewest passes.
        least_seconds: u64,
        /// Time for both with the most.
        most_seconds: u64,
    },
    /// An earlier search for heads was stopped and left measurements.
    ProbesFound {
        /// How many.
        measurements: u64,
    },
    /// Some of the work was done by an earlier start.
    Resumed {
        /// Units that have a sidecar.
        units: u64,
    },
    /// The student leaves open on which side of the cut some documents are.
    Contested {
        /// Those that the teacher scores.
        documents: u64,
        /// Their tokens.
        tokens: TokenCount,
    },
    /// What scoring fetched.
    Fetched {
        /// Bytes of shards that were read.
        read_bytes: ByteCount,
        /// Stored bytes of the text, id and domain columns.
        needed_bytes: ByteCount,
        /// Requests to stores.
        requests: u64,
        /// Requests that failed in a way that passes, and were repeated.
        retries: u64,
    },
    /// Sidecars have other id and domain columns now.
    Relabelled {
        /// How many were rewritten.
        sidecars: u64,
    },
    /// Sidecars of an earlier version have all columns now.
    Described {
        /// How many were rewritten.
        sidecars: u64,
    },
    /// The tokenizer of token files is in memory.
    TokenizerLoaded {
        /// Its name.
        name: String,
        /// Size of its vocabulary.
        vocabulary: u64,
        /// The token that ends every document.
        eos: String,
        /// Its id.
        eos_id: u32,
    },
    /// A size that the pipeline leaves open and the data settled.
    RecipeSettled {
        /// What it is and why.
        sentence: String,
    },
    /// How often a training run goes through a part of the data.
    Passes {
        /// `corpus`, `selected` or a bucket.
        part: String,
        /// Tokens of one pass.
        tokens: TokenCount,
        /// Passes of the whole run.
        passes: f64,
    },
    /// Token files are left to the workers of other parts.
    FilesLeft {
        /// How many.
        files: u64,
        /// What they hold: `the corpus`, `the subset` or a bucket.
        part: String,
    },
    /// A run of a trial is done.
    TrialRun {
        /// Its arm.
        arm: String,
        /// Its seed.
        seed: u64,
        /// Its loss on the held-out text.
        bits_per_byte: f64,
    },
    /// Metrics are served over HTTP.
    MetricsServed {
        /// Where.
        url: String,
    },
    /// A file was written that the user asked for.
    Written {
        /// Its path or URL.
        path: String,
    },
}

/// How well the model answers probes, from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ProbeAccuracy {
    /// Probes it was measured on.
    pub health_probes: usize,
    /// Intact.
    pub intact: f64,
    /// With the head set masked.
    pub masked: f64,
    /// With as many other heads masked, the mean of several such sets.
    pub control: f64,
}

impl Event {
    /// The stage or thing that the event is about, as a short word.
    #[must_use]
    pub const fn subject(&self) -> &'static str {
        match self {
            Self::Planned { .. } => "plan",
            Self::ModelLoaded { .. } => "model",
            Self::HeadsKnown { .. } | Self::ProbesFound { .. } => "heads",
            Self::Forecast { .. } => "run",
            Self::Fidelity(_) => "fidelity",
            Self::Resumed { .. } | Self::Contested { .. } | Self::Fetched { .. } => "score",
            Self::Relabelled { .. } => "relabel",
            Self::Described { .. } => "features",
            Self::TokenizerLoaded { .. } => "tokenizer",
            Self::RecipeSettled { .. } | Self::Passes { .. } => "recipe",
            Self::FilesLeft { .. } => "tokens",
            Self::TrialRun { .. } => "trial",
            Self::MetricsServed { .. } => "metrics",
            Self::Written { .. } => "written",
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Planned { units, shards } => write!(f, "{units} units in {shards} shards"),
            Self::ModelLoaded { name, layers, heads, numerics } => {
                let Numerics { engine, device, precision, instructions } = numerics;
                let separator = if instructions.is_empty() { "" } else { ", " };
                write!(f, "{name}: {layers} layers × {heads} heads, {precision} on {device} ")?;
                write!(f, "({engine}{separator}{instructions})")
            }
            Self::HeadsKnown { heads, search, accuracy } => {
                write!(f, "{heads} retrieval heads")?;
                if let Some(search) = search {
                    write!(f, ", {search}")?;
                }
                let Some(ProbeAccuracy { health_probes, intact, masked, control }) = accuracy else { return Ok(()) };
                write!(f, ": accuracy on {health_probes} probes {intact:.2} intact, {masked:.2} with them masked, ")?;
                write!(f, "{control:.2} with as many others masked")
            }
            Self::Fidelity(fidelity) => {
                let FidelityFile { numerics, documents, correlation, overlap, difference, stderr, .. } = fidelity;
                write!(f, "{} ranks {documents} documents of this corpus as float32 does, with ", numerics.precision)?;
                write!(f, "Spearman's correlation {correlation:.4} and {:.0} % of the top fifth; ", overlap * 100.0)?;
                write!(f, "influence differs by {difference:.4}")?;
                match stderr {
                    Some(stderr) => write!(f, ", its standard error is {stderr:.4}"),
                    None => Ok(()),
                }
            }
            Self::Forecast { least_probe_passes, most_probe_passes, tokens, least_seconds, most_seconds } => {
                let [least, most] = [least_seconds, most_seconds].map(|seconds| duration(*seconds as f64 / 3600.0));
                match most_seconds {
                    0 => f.write_str("less than a second")?,
                    _ if least == most => write!(f, "about {most}")?,
                    _ => write!(f, "about {least} to {most}")?,
                }
                f.write_str(" on this machine: ")?;
                if least_probe_passes < most_probe_passes {
                    write!(f, "{least_probe_passes} to ")?;
                }
                if *most_probe_passes > 0 {
                    write!(f, "{most_probe_passes} forward passes to find the heads, then ")?;
                }
                write!(f, "about {tokens} tokens to score; `headwater bench` measures it better")
            }
            Self::ProbesFound { measurements } => {
                write!(f, "goes on with an earlier search: {measurements} probes need not be measured again")
            }
            Self::Resumed { units } => write!(f, "{units} units were done before"),
            Self::Contested { documents, tokens } => {
                write!(f, "the teacher scores {documents} documents of {tokens} tokens that the student leaves open")
            }
            Self::Fetched { read_bytes, needed_bytes, requests, retries } => {
                write!(f, "{read_bytes} read for {needed_bytes} of text, id and domain columns")?;
                if *requests > 0 {
                    write!(f, ", {requests} requests, {retries} of them again")?;
                }
                Ok(())
            }
            Self::Relabelled { sidecars } | Self::Described { sidecars } => write!(f, "{sidecars} sidecars rewritten"),
            Self::TokenizerLoaded { name, vocabulary, eos, eos_id } => {
                write!(
                    f,
                    "{name}: {} in the vocabulary, {eos} ({eos_id}) after every document",
                    TokenCount(*vocabulary)
                )
            }
            Self::Passes { part, tokens, passes } => write!(f, "{passes:.2} passes over {part}, {tokens} tokens"),
            Self::FilesLeft { files, part } => write!(f, "{files} files of {part} are left to other parts"),
            Self::TrialRun { arm, seed, bits_per_byte } => {
                write!(f, "{arm}, seed {seed}: {bits_per_byte:.4} bits per byte of held-out text")
            }
            Self::MetricsServed { url: text }
            | Self::Written { path: text }
            | Self::RecipeSettled { sentence: text } => f.write_str(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use headwater_record::stability::Decision;

    use super::*;

    #[test]
    fn a_forecast_is_a_range_where_the_search_may_stop_early() {
        let forecast = |passes: [u64; 2], seconds: [u64; 2]| {
            let [least_probe_passes, most_probe_passes] = passes;
            let [least_seconds, most_seconds] = seconds;
            let tokens = TokenCount(1234);
            Event::Forecast { least_probe_passes, most_probe_passes, tokens, least_seconds, most_seconds }.to_string()
        };
        let scored = "about 1,234 tokens to score; `headwater bench` measures it better";
        assert_eq!(
            forecast([46, 144], [40, 130]),
            format!("about 40 s to 2 min on this machine: 46 to 144 forward passes to find the heads, then {scored}")
        );
        assert_eq!(
            forecast([144, 144], [130, 130]),
            format!("about 2 min on this machine: 144 forward passes to find the heads, then {scored}")
        );
        assert_eq!(forecast([0, 0], [0, 0]), format!("less than a second on this machine: {scored}"));
    }

    #[test]
    fn known_heads_say_how_many_probes_they_took() {
        let search = Some(ProbesUsed { probes: 24, most_probes: 64, decision: Decision::Stable });
        let accuracy = Some(ProbeAccuracy { health_probes: 8, intact: 0.94, masked: 0.28, control: 0.77 });
        let known = Event::HeadsKnown { heads: 14, search, accuracy };
        assert_eq!(
            known.to_string(),
            "14 retrieval heads, stable after 24 of at most 64 probes: accuracy on 8 probes 0.94 intact, 0.28 with them masked, 0.77 with as many \
             others masked"
        );
        let json = serde_json::to_value(&known).unwrap_or_default();
        assert_eq!((&json["decision"], &json["health_probes"]), (&"stable".into(), &8.into()));
        let pinned = Event::HeadsKnown { heads: 2, search: None, accuracy: None };
        assert_eq!(pinned.to_string(), "2 retrieval heads");
    }
}
