//! The `headwater` command: arguments, environment, clock, printing. The work is in `headwater-pipeline`.

mod args;
mod failure;
mod interrupt;
mod show;
mod terminal;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Result, bail};
use clap::{CommandFactory, Parser};
use etcetera::{BaseStrategy, choose_base_strategy};
use headwater_pipeline::{
    Arm, DistillRequest, Environment, Event, HeadsRequest, Pipeline, RunOptions, ScoreRequest, Stores, Verdict,
    check_model, fetch_model, schema, serve_metrics, text, write_tokenizer,
};

use args::{
    Cli, Command, DistillArgs, HeadsArgs, ModelCommand, PipelineArgs, ReportArgs, RunArgs, ScoreArgs, SelectArgs,
    WorkerArgs,
};
use failure::{Chain, Outcome, classify};
use interrupt::Interrupts;
use show::{print, show};
use terminal::Console;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let outcome = if error.use_stderr() { Outcome::UserError } else { Outcome::Done };
            // nothing is left to do when the output is closed
            let _ = error.print();
            return outcome.into();
        }
    };
    let console = Console::new(cli.log_format, cli.quiet);
    console.trace();
    let interrupts = Interrupts::default();
    let give_up = {
        let (console, interrupts) = (console.clone(), interrupts.clone());
        move || {
            console.complain(&interrupts.explain(&headwater_pipeline::Error::Cancelled));
            interrupts.end(Outcome::Transient.code());
        }
    };
    if let Err(error) = interrupts.listen(give_up) {
        tracing::warn!(%error, "signals cannot be caught: SIGTERM will end scoring at once");
    }
    let outcome = catch_unwind(AssertUnwindSafe(|| run(&cli.command, &environment(&console, &interrupts))));
    match outcome {
        Ok(Ok(outcome)) => outcome.into(),
        // a reader such as `head` has seen enough
        Ok(Err(error)) if is_closed_output(&error) => Outcome::Done.into(),
        Ok(Err(error)) => {
            let outcome = classify(&error);
            let message = match error.downcast_ref() {
                Some(cancelled @ headwater_pipeline::Error::Cancelled) => interrupts.explain(cancelled),
                _ => Chain(&error).to_string(),
            };
            console.complain(&message);
            if outcome == Outcome::Transient {
                console.complain("nothing that was computed is lost: run the same command again to go on");
            }
            if interrupts.is_asked() {
                interrupts.end(outcome.code());
            }
            outcome.into()
        }
        Err(_) => {
            console.complain("this is a bug in headwater; please report it with the lines above");
            Outcome::Bug.into()
        }
    }
}

/// What the process gives to pipelines: variables, clock, cache, terminal and signals.
fn environment(console: &Console, interrupts: &Interrupts) -> Environment {
    #[expect(clippy::disallowed_methods, reason = "environment and clock enter here")]
    let (variables, now, named) =
        (std::env::vars_os(), SystemTime::now as fn() -> SystemTime, std::env::var_os("HEADWATER_PYTHON"));
    let variables = variables.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    Environment {
        stores: Stores::from_variables(variables),
        cache: choose_base_strategy().ok().map(|strategy| strategy.cache_dir().join("headwater")),
        now,
        events: Arc::new(console.clone()),
        cancel: interrupts.token(),
        python: Environment::python(named, std::env::current_exe().ok()),
    }
}

fn run(command: &Command, environment: &Environment) -> Result<Outcome> {
    let open = |args: &PipelineArgs| Pipeline::load(&args.pipeline, &args.overrides, environment.clone());
    Ok(match command {
        Command::Run(args) => run_all(args, environment)?,
        Command::Plan(args) => {
            let pipeline = open(&args.pipeline)?;
            let summary = pipeline.plan_summary()?;
            show(&summary, args.output, |width| text::plan(&summary, pipeline.command_line(), width))?;
            summary.verdict().into()
        }
        Command::Bench(args) => {
            let report = open_worker(&args.pipeline, &args.worker, environment)?.bench(args.seconds)?;
            show(&report, args.output, |_| text::bench(&report))?;
            Outcome::Done
        }
        Command::Heads(args) => find_heads(args, environment)?,
        Command::Distill(args) => distill(args, environment)?,
        Command::Features(args) => {
            open_worker(&args.pipeline, &args.worker, environment)?.features(args.part.unwrap_or_default())?;
            Outcome::Done
        }
        Command::Audit(args) => {
            let summary = open_worker(&args.pipeline, &args.worker, environment)?.audit(args.documents.get())?;
            show(&summary, args.output, |width| text::audit(&summary, width))?;
            Outcome::Done
        }
        Command::Trial(args) => {
            let pipeline = open_worker(&args.pipeline, &args.worker, environment)?;
            if args.dry_run {
                let forecast = pipeline.trial_forecast()?;
                show(&forecast, args.output, |_| text::trial_forecast(&forecast))?;
            } else {
                let collected = args.collect.then(|| pipeline.collect_trial());
                let summary = collected.unwrap_or_else(|| pipeline.trial(args.part.unwrap_or_default()))?;
                show(&summary, args.output, |width| text::trial(&summary, width))?;
            }
            Outcome::Done
        }
        Command::Score(args) => score(args, environment)?,
        Command::Select(args) => select(args, environment)?,
        Command::Tokens(args) => {
            open(&args.pipeline)?.tokens(arm(args.control), args.part.unwrap_or_default())?.verdict.into()
        }
        Command::Recipe(args) => {
            open(&args.pipeline)?.recipe(arm(args.control), args.out.as_deref())?;
            Outcome::Done
        }
        Command::Report(args) => report(args, environment)?,
        Command::Status(args) => {
            let (pipeline, output) = (open(&args.shown.pipeline)?, args.shown.output);
            if args.files {
                let scores = pipeline.score_files()?;
                show(&scores, output, |_| text::score_files(&scores))?;
                return Ok(Outcome::Done);
            }
            let report = pipeline.status()?;
            show(&report, output, |_| text::status(&report))?;
            Outcome::Done
        }
        Command::Schedule(command) => show::schedule::run(command, environment)?,
        Command::Model(ModelCommand::Fetch { name }) => {
            let paths = fetch_model(name, environment)?;
            print(&paths.iter().map(|path| format!("{}\n", path.display())).collect::<String>())?;
            Outcome::Done
        }
        Command::Model(ModelCommand::Check { name, against, output }) => {
            let check = check_model(name, against.is_some(), environment)?;
            show(&check, *output, |_| text::model_check(&check))?;
            Outcome::Done
        }
        Command::Model(ModelCommand::Tokenizer { name, out, eos }) => {
            write_tokenizer(name, eos.as_deref(), out, environment)?;
            environment.events.event(&Event::Written { path: out.display().to_string() });
            Outcome::Done
        }
        Command::Generate(args) => show::generate::run(args, environment)?,
        Command::Schema { markdown } => {
            print(&if *markdown { schema::reference() } else { schema::json() })?;
            Outcome::Done
        }
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "headwater", &mut script);
            print(&String::from_utf8(script)?)?;
            Outcome::Done
        }
    })
}

/// Opens a pipeline for a command that computes.
fn open_worker(args: &PipelineArgs, worker: &WorkerArgs, environment: &Environment) -> Result<Pipeline> {
    let mut overrides = args.overrides.clone();
    overrides.extend(worker.numerics.iter().map(|level| format!("model.instructions={level}")));
    let pipeline = Pipeline::load(&args.pipeline, &overrides, environment.clone())?;
    if let Some(address) = worker.metrics_addr {
        let address = serve_metrics(address, Arc::clone(pipeline.meters()))?;
        environment.events.event(&Event::MetricsServed { url: format!("http://{address}/metrics") });
    }
    Ok(pipeline)
}

fn run_all(args: &RunArgs, environment: &Environment) -> Result<Outcome> {
    let pipeline = open_worker(&args.pipeline, &args.worker, environment)?;
    let options = RunOptions { on_change: args.change.on_change(), allow_weak_heads: args.weak.allow_weak_heads };
    let summary = pipeline.run(options)?;
    #[expect(clippy::disallowed_methods, reason = "arguments enter here")]
    let program = std::env::args().next().unwrap_or_else(|| "headwater".to_owned());
    show(&summary, args.output, |width| text::run(&summary, &pipeline, &program, width))?;
    Ok(summary.verdict.into())
}

fn find_heads(args: &HeadsArgs, environment: &Environment) -> Result<Outcome> {
    let request = HeadsRequest { allow_weak: args.weak.allow_weak_heads, find_again: args.rescore };
    open_worker(&args.pipeline, &args.worker, environment)?.heads(request)?;
    Ok(Outcome::Done)
}

fn distill(args: &DistillArgs, environment: &Environment) -> Result<Outcome> {
    let request =
        DistillRequest { allow_weak_heads: args.weak.allow_weak_heads, allow_weak_student: args.allow_weak_student };
    let summary = open_worker(&args.pipeline, &args.worker, environment)?.distill(request)?;
    show(&summary, args.output, |width| text::student(&summary.student, width))?;
    Ok(Outcome::Done)
}

fn score(args: &ScoreArgs, environment: &Environment) -> Result<Outcome> {
    let pipeline = open_worker(&args.pipeline, &args.worker, environment)?;
    if args.relabel {
        pipeline.relabel()?;
        return Ok(Outcome::Done);
    }
    let request = ScoreRequest { part: args.part.unwrap_or_default(), on_change: args.change.on_change() };
    Ok(pipeline.score(request)?.verdict.into())
}

fn report(args: &ReportArgs, environment: &Environment) -> Result<Outcome> {
    let open = |path| Pipeline::load(path, &args.overrides, environment.clone());
    let mut pipelines = args.pipelines.iter().map(|path| open(path)).collect::<Result<Vec<_>, _>>()?;
    if args.compare {
        Pipeline::compare_runs(&pipelines)?;
        return Ok(Outcome::Done);
    }
    let (Some(pipeline), None) = (pipelines.pop(), pipelines.pop()) else {
        bail!("report shows one run; add --compare to put two on one page")
    };
    pipeline.report()?;
    Ok(Outcome::Done)
}

fn select(args: &SelectArgs, environment: &Environment) -> Result<Outcome> {
    let open = |path| Pipeline::load(path, &args.overrides, environment.clone());
    let mut pipelines = args.pipelines.iter().map(|path| open(path)).collect::<Result<Vec<_>, _>>()?;
    if args.compare {
        let comparison = Pipeline::compare(&pipelines)?;
        show(&comparison, args.output, |width| text::comparison(&comparison, width))?;
        return Ok(Outcome::Done);
    }
    let (Some(pipeline), None) = (pipelines.pop(), pipelines.pop()) else {
        bail!("select cuts by one pipeline; add --compare to see what several would keep")
    };
    let summary = pipeline.select(arm(args.control))?;
    show(&summary, args.output, |width| text::selection(&summary.selection, width))?;
    Ok(summary.verdict.into())
}

impl From<Verdict> for Outcome {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Complete => Self::Done,
            Verdict::Partial => Self::Partial,
        }
    }
}

/// What a command is to work on.
const fn arm(is_control: bool) -> Arm {
    if is_control { Arm::Control } else { Arm::Selection }
}

/// Whether printing failed because nobody reads any more.
fn is_closed_output(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}
