//! Panics that are meant to become errors.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind, set_hook};
use std::sync::{Mutex, PoisonError};

/// What the last panic said.
static LAST: Mutex<String> = Mutex::new(String::new());

/// Replaces libFuzzer's hook, which ends the process at any panic, by one that only takes a note.
///
/// The decoder of `headwater-corpus` catches panics and makes errors of them. What is not caught still ends the process, since
/// `escaping` lets it pass and libFuzzer aborts when a target unwinds.
pub fn keep_quiet() {
    set_hook(Box::new(|panic| *LAST.lock().unwrap_or_else(PoisonError::into_inner) = panic.to_string()));
}

/// Runs `target` and says what a panic that leaves it was about.
#[expect(clippy::print_stderr, reason = "it stands in the log of the fuzzer, beside what that prints")]
pub(crate) fn escaping(target: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(target)) {
        eprintln!("{}", LAST.lock().unwrap_or_else(PoisonError::into_inner));
        resume_unwind(panic);
    }
}
