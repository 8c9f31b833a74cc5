//! The pipeline file with overrides.

use std::cell::RefCell;

use crate::scratch::Scratch;
use pipeline::Pipeline;

#[path = "../../../crates/cli/src/pipeline.rs"]
#[allow(dead_code, reason = "the command uses more of it")]
#[expect(clippy::module_inception, reason = "it is named as in the command")]
mod pipeline;

/// Lines that begin so are overrides and no part of the file.
const SET: &str = "--set ";

/// Reads a pipeline whose overrides are the lines that begin with `--set`; what can be read can be written into `run.json`, and
/// its tables can be checked.
pub fn pipeline(bytes: &[u8]) {
    thread_local!(static FILE: RefCell<Scratch> = RefCell::new(Scratch::new("pipeline.toml")));
    let (mut text, mut overrides) = (Vec::new(), Vec::new());
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        match line.strip_prefix(SET.as_bytes()) {
            Some(assignment) => overrides.push(String::from_utf8_lossy(assignment.trim_ascii_end()).into_owned()),
            None => text.extend_from_slice(line),
        }
    }
    let read = FILE.with_borrow_mut(|file| Pipeline::load(file.holding(&text), &overrides));
    match read {
        Ok(pipeline) => use_tables(&pipeline),
        Err(error) => assert!(!format!("{error:#}").is_empty()),
    }
}

/// What stages do with their tables before they begin.
fn use_tables(pipeline: &Pipeline) {
    serde_json::to_vec(pipeline).expect("what was read can be written");
    let _ = pipeline.plan_options();
    let _ = (pipeline.heads.check(), pipeline.score.check(), pipeline.select.check(), pipeline.mixture.check());
}
