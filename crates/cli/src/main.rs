//! The `headwater` command: arguments, environment, clock, printing. Every stage's work is in the other crates.

mod args;
mod comparison;
mod estimate;
mod explain;
mod exposition;
mod extends;
mod failure;
mod interrupt;
mod measurement;
mod meters;
mod pipeline;
mod progress;
mod schedule;
mod stages;
mod summary;
mod text;

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use args::{Cli, Command, LogFormat, ModelCommand};
use failure::{Chain, Outcome, classify};
use progress::Console;
use stages::{CONTROL_RECIPES, Session};

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
    trace(&cli, &console);
    let format = cli.log_format;
    let give_up = move || {
        complain(format, &interrupt::Interrupted.to_string());
        interrupt::end(Outcome::Transient.code());
    };
    if let Err(error) = interrupt::listen(give_up) {
        tracing::warn!(%error, "signals cannot be caught: SIGTERM will end scoring at once");
    }
    let outcome = catch_unwind(AssertUnwindSafe(|| run(&cli.command, &console)));
    match outcome {
        Ok(Ok(outcome)) => outcome.into(),
        // whoever read the output, such as `head`, has seen enough
        Ok(Err(error)) if is_closed_output(&error) => Outcome::Done.into(),
        Ok(Err(error)) => {
            let outcome = classify(&error);
            complain(format, &Chain(&error).to_string());
            if outcome == Outcome::Transient {
                complain(format, "nothing that was computed is lost: run the same command again to go on");
            }
            if interrupt::is_asked() {
                interrupt::end(outcome.code());
            }
            outcome.into()
        }
        Err(_) => {
            complain(format, "this is a bug in headwater; please report it with the lines above");
            Outcome::Bug.into()
        }
    }
}

fn run(command: &Command, console: &Console) -> anyhow::Result<Outcome> {
    match command {
        Command::Run(args) => Session::open_worker(&args.pipeline, &args.worker, console)?.run(args),
        Command::Plan(args) => Session::open(args, console)?.show_plan(),
        Command::Bench(args) => Session::open_worker(&args.pipeline, &args.worker, console)?.bench(args),
        Command::Heads(args) => Session::open_worker(&args.pipeline, &args.worker, console)?.find_heads(args),
        Command::Score(args) => Session::open_worker(&args.pipeline, &args.worker, console)?.score_only(args),
        Command::Select(args) if args.compare => stages::compare::compare_only(args, console),
        Command::Select(args) => stages::select::select_only(args, console),
        Command::Tokens(args) => Session::open(&args.pipeline, console)?.of_arm(args.control).tokens_only(args),
        Command::Recipe(args) => {
            let control = args.control.then_some(CONTROL_RECIPES);
            Session::open(&args.pipeline, console)?.of_arm(args.control).recipe_only(args.out.as_deref().or(control))
        }
        Command::Report(args) => Session::open(args, console)?.report_only(),
        Command::Status(args) => Session::open(args, console)?.status(),
        Command::Schedule(command) => schedule::run(command, console),
        Command::Model(ModelCommand::Fetch { name }) => stages::model::fetch_only(name, console),
        Command::Model(ModelCommand::Tokenizer { name, out, eos }) => {
            stages::model::write_tokenizer(name, eos.as_deref(), out, console)
        }
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "headwater", &mut script);
            std::io::stdout().write_all(&script)?;
            Ok(Outcome::Done)
        }
    }
}

/// Whether printing failed because nobody reads any more.
fn is_closed_output(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

/// Sends warnings, or what `HEADWATER_LOG` asks for, to the console.
fn trace(cli: &Cli, console: &Console) {
    let level = match cli.log_format {
        LogFormat::Json if !cli.quiet => "headwater=info,warn",
        _ => "warn",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_env("HEADWATER_LOG").unwrap_or_else(|_| level.into());
    let console = console.clone();
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(move || console.writer());
    match cli.log_format {
        LogFormat::Json => builder.json().flatten_event(true).init(),
        LogFormat::Text => builder.without_time().with_target(false).init(),
    }
}

/// Prints an error.
fn complain(format: LogFormat, message: &str) {
    match format {
        LogFormat::Json => tracing::error!(message),
        // nothing is left to do when standard error is closed
        LogFormat::Text => drop(writeln!(std::io::stderr(), "error: {message}")),
    }
}
