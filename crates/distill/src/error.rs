//! Errors of this crate.

/// What keeps a student from being fitted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A value that cannot be used.
    #[error("{key} = {value}: {rule}")]
    Config {
        /// The key.
        key: &'static str,
        /// Its value.
        value: String,
        /// What it breaks.
        rule: &'static str,
    },
    /// No document was scored.
    #[error("the teacher scored no document, so there is nothing to fit a student to")]
    NoLabels,
    /// A domain has too few labels.
    #[error(
        "domain {domain:?} has {labels} labels, and a student needs {needed} in each: raise `[distill] tokens`, or leave the sources of this \
         domain out of `[distill] sources`"
    )]
    FewLabels {
        /// The domain.
        domain: String,
        /// Its labels.
        labels: usize,
        /// Labels that it needs.
        needed: usize,
    },
    /// A domain is from too few sources or files.
    #[error(
        "the labels of domain {domain:?} are from {groups} of the corpus's files, and {needed} are needed to test a student on others than \
         those it is fitted to: raise `[distill] tokens`, or split the files"
    )]
    FewGroups {
        /// The domain.
        domain: String,
        /// Groups that its labels are from.
        groups: usize,
        /// Groups that it needs.
        needed: usize,
    },
}
