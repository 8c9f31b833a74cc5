//! Results as text, for a terminal of a given width. Foreign text in them cannot drive the terminal.

mod audit;
mod bench;
mod comparison;
pub(crate) mod format;
mod generate;
mod model;
mod plan;
mod schedule;
mod selection;
mod status;
mod student;
mod table;
mod trial;

pub use audit::audit;
pub use bench::bench;
pub use comparison::comparison;
pub use format::printable;
pub use generate::written_text;
pub use model::model_check;
pub use plan::plan;
pub use schedule::{branch, compared_schedules, refined_schedule, shown_schedule};
pub use selection::{run, selection};
pub use status::{score_files, status};
pub use student::student;
pub use trial::{trial, trial_forecast};
