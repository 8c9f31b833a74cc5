//! Tests that cannot run because something is missing: they say so, are counted, and fail in CI, where nothing may be missing.
//!
//! Each crate that needs it names this file as a module.

use std::io::Write;

/// Names the file that gets a line for each skipped test; `.ci/run_tests.py` counts them.
const COUNTED_IN: &str = "HEADWATER_SKIPPED";

/// Records that the test that calls it is skipped because of `reason`.
///
/// # Panics
/// Panics in CI, which is where `CI` is set, and if the file that counts cannot be written.
#[expect(clippy::disallowed_methods, reason = "tests are told by the environment where they run")]
pub(crate) fn skip(reason: &str) {
    assert!(std::env::var("CI").is_err(), "a test that is skipped fails in CI: {reason}");
    let name = std::thread::current().name().unwrap_or("a test").to_owned();
    let line = format!("skipped: {name}: {reason}\n");
    // past the test harness, which shows what a test prints only if it fails
    std::io::stderr().write_all(line.as_bytes()).expect("standard error is open");
    if let Ok(path) = std::env::var(COUNTED_IN) {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
        file.and_then(|mut file| file.write_all(line.as_bytes())).expect("the file that counts can be written");
    }
}
