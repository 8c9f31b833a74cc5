//! Exit codes, and what to print when something fails.

use std::fmt;
use std::process::ExitCode;

use crate::interrupt::Interrupted;
use crate::text::printable;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// All done.
    Done,
    /// Finished, but with rejects above `max_rejects` or with shards skipped.
    Partial,
    /// The user has to change something.
    UserError,
    /// A bug.
    Bug,
    /// Trying again may help.
    Transient,
}

impl Outcome {
    /// The exit code.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::UserError => 1,
            Self::Partial => 2,
            Self::Bug => 70,
            Self::Transient => 75,
        }
    }
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        Self::from(outcome.code())
    }
}

/// Classifies an error by the crates' own errors inside it.
pub(crate) fn classify(error: &anyhow::Error) -> Outcome {
    let transient = error.chain().any(|cause| {
        let store = cause.downcast_ref::<headwater_store::Error>().is_some_and(headwater_store::Error::is_transient);
        let run = cause.downcast_ref::<headwater_run::Error>().is_some_and(headwater_run::Error::is_transient);
        let corpus = cause.downcast_ref::<headwater_corpus::Error>().is_some_and(headwater_corpus::Error::is_transient);
        let score = cause.downcast_ref::<headwater_score::Error>().is_some_and(headwater_score::Error::is_transient);
        let select = cause.downcast_ref::<headwater_select::Error>().is_some_and(headwater_select::Error::is_transient);
        let tokens = cause.downcast_ref::<headwater_tokens::Error>().is_some_and(headwater_tokens::Error::is_transient);
        store || run || corpus || score || select || tokens || cause.is::<Interrupted>()
    });
    let bug = error.chain().any(|cause| {
        let boxed = cause.downcast_ref::<Box<headwater_model::Error>>().map(AsRef::as_ref);
        let model = cause.downcast_ref::<headwater_model::Error>().or(boxed);
        matches!(model, Some(headwater_model::Error::Compute(_)))
    });
    match (transient, bug) {
        (true, _) => Outcome::Transient,
        (false, true) => Outcome::Bug,
        (false, false) => Outcome::UserError,
    }
}

/// An error and its causes, each once.
pub(crate) struct Chain<'a>(pub(crate) &'a anyhow::Error);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last = String::new();
        for (depth, cause) in self.0.chain().enumerate() {
            let text = cause.to_string();
            // transparent errors repeat their source
            if depth > 0 && last.contains(&text) {
                continue;
            }
            if depth > 0 {
                write!(f, "\n  because: ")?;
            }
            write!(f, "{}", printable(&text))?;
            last = text;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn causes_are_printed_once() {
        let error =
            Err::<(), _>(std::io::Error::other("disk on fire")).context("cannot write x").expect_err("an error");
        assert_eq!(Chain(&error).to_string(), "cannot write x\n  because: disk on fire");
        let error = anyhow::anyhow!("the same").context("the same");
        assert_eq!(Chain(&error).to_string(), "the same");
    }
}
