//! `schedule export`: a schedule in the keys of a trainer.

use std::io::Write as _;

use anyhow::Result;
use headwater_recipe::{Trainer, export_schedule};

use super::spec::resolved;
use super::write_file;
use crate::args::ExportArgs;
use crate::progress::Console;

pub(super) fn run(args: &ExportArgs, console: &Console) -> Result<()> {
    let trainer = Trainer::named(&args.trainer)?;
    let exported = export_schedule(&resolved(&args.schedule, &args.size)?.schedule, trainer)?;
    if let Some(warning) = &exported.warning {
        tracing::warn!("{warning}");
    }
    std::io::stdout().lock().write_all(exported.keys.as_bytes())?;
    write_file(args.expected_lr.as_ref(), || exported.expected_lr, console)
}
