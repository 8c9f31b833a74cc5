//! The built `headwater` command on tiny models and corpora, from the pipeline to the artefacts.

mod corpus;
mod kill;
mod run;
mod scores;
mod site;
