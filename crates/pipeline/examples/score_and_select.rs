//! Scores a corpus and selects from it without the `headwater` command.
//!
//!     cargo run --release -p headwater-pipeline --example score_and_select -- pipelines/quickstart.toml corpus.sample=0.05
//!
//! The first argument is a pipeline, the others are overrides.

#![expect(clippy::disallowed_methods, clippy::print_stdout, reason = "a program, not a library")]

use std::env;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use headwater_pipeline::{
    Arm, CancelToken, Environment, Event, Events, HeadsRequest, Pipeline, Progress, ScoreRequest, Silent, Step, Stores,
};

/// Prints what happens, and nothing of how far it is.
struct Printer;

impl Events for Printer {
    fn event(&self, event: &Event) {
        println!("{}: {event}", event.subject());
    }

    fn begin(&self, _step: Step) -> Box<dyn Progress> {
        Box::new(Silent)
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = env::args().skip(1);
    let path = arguments.next().ok_or("name a pipeline, such as pipelines/quickstart.toml")?;
    let overrides: Vec<String> = arguments.collect();
    let cache = env::var_os("XDG_CACHE_HOME").map_or_else(|| env::temp_dir().join("cache"), Into::into);
    let environment = Environment {
        events: Arc::new(Printer),
        cancel: CancelToken::default(),
        ..Environment::new(Stores::from_variables(env::vars()), cache.join("headwater"), SystemTime::now)
    };
    let pipeline = Pipeline::load(Path::new(&path), &overrides, environment)?;
    pipeline.heads(HeadsRequest::default())?;
    let scored = pipeline.score(ScoreRequest::default())?;
    println!("{} documents scored now, {} unusable", scored.documents, scored.rejects);
    for domain in pipeline.select(Arm::Selection)?.selection.domains {
        println!("{}: {} of {} documents kept", domain.domain, domain.kept_documents, domain.documents);
    }
    Ok(())
}
