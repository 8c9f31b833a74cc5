//! The pipeline file with overrides.

use std::cell::RefCell;

use headwater_pipeline::PipelineConfig;

use crate::scratch::Scratch;

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
    let read = FILE.with_borrow_mut(|file| PipelineConfig::load(file.holding(&text), &overrides));
    match read {
        Ok(config) => check(&config),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// Checks what was read, as a pipeline does before it begins.
fn check(config: &PipelineConfig) {
    serde_json::to_vec(config).expect("what was read can be written");
    let _ = config.plan_options();
    if let Err(error) = config.validate() {
        assert!(!error.to_string().is_empty());
    }
}
