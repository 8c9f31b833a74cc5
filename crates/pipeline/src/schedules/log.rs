//! The log that gradient norms are read from, and what there is to warn of.

use std::io::BufReader;
use std::path::Path;

use headwater_corpus::NumberFile;
use headwater_record::TokenCount;
use headwater_schedule::Error::{NormColumn, SeveralNorms};
use headwater_schedule::norms::{LogFormat, NormLog, NormSource};
use headwater_schedule::refine::RefineSummary;
use headwater_store::Place;

use crate::{Environment, Error, Result};

/// Reads the log at `path`; `column` names the one with the norms.
///
/// # Errors
/// [`Error::Schedule`] for a log that says too little, with file and line; [`Error::ScheduleName`] if a column is to be named;
/// [`Error::Read`] and failures of the store for one that cannot be opened.
pub(super) fn read(path: &Path, column: Option<&str>, environment: &Environment) -> Result<NormLog> {
    let file = path.display().to_string();
    let source = NormSource { file: &file, column };
    let open = || fs_err::File::open(path).map(BufReader::new);
    let unreadable = |source| Error::Read { what: "gradient norms", source };
    let log = match LogFormat::of(path)? {
        LogFormat::Csv => source.read_csv(open().map_err(unreadable)?),
        LogFormat::Json => source.read_json(open().map_err(unreadable)?),
        LogFormat::JsonLines => source.read_json_lines(open().map_err(unreadable)?),
        LogFormat::Text => source.read_text(open().map_err(unreadable)?),
        LogFormat::Parquet => {
            let (place, name) = folder_and_name(path, environment)?;
            read_parquet(&source, &NumberFile::open(&place, &name)?)?
        }
    };
    log.map_err(|error| match error {
        NormColumn { .. } | SeveralNorms { .. } => Error::ScheduleName { message: format!("{error} with --column") },
        _ => error.into(),
    })
}

fn read_parquet(
    source: &NormSource<'_>,
    file: &NumberFile,
) -> Result<std::result::Result<NormLog, headwater_schedule::Error>> {
    let mut names = file.number_columns();
    let numbers = names.len();
    let is_inside = |name: &str, root: &str| name.strip_prefix(root).is_some_and(|rest| rest.starts_with('.'));
    let others =
        file.columns().into_iter().filter(|root| !names.iter().any(|name| name == root || is_inside(name, root)));
    let others: Vec<String> = others.map(str::to_owned).collect();
    if let Some(asked) = source.column.filter(|asked| others.iter().any(|other| other == asked)) {
        // says what it holds instead of numbers
        file.read(asked)?;
    }
    names.extend(others);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let wanted = source.columns_among(&names);
    let mut columns: Vec<(&str, Vec<Option<f64>>)> = names.iter().map(|name| (*name, Vec::new())).collect();
    for at in wanted.into_iter().filter(|at| *at < numbers) {
        columns[at].1 = file.read(names[at])?;
    }
    Ok(source.read_columns(&columns))
}

/// Warns where the norms say little, or where the log tells of less than it seems.
pub(crate) fn warn_of_norms(summary: &RefineSummary) {
    if summary.window == 1 {
        tracing::warn!("the filter is one norm wide, so nothing is filtered: more norms or a wider --tau smooth noise");
    }
    if let Some(ratio) = summary.collapse {
        tracing::warn!(
            "the norms fall to {ratio:.2} of their median in the last tenth: the schedule follows that fall, which overfitting \
             causes too. Look at the picture, raise --floor, or take linear decay"
        );
    }
    if let Some(after) = summary.early_peak {
        tracing::warn!(
            "the schedule peaks at its very start and falls to {after:.2} of that half a filter's width later: there the filter \
             repeats the first norm, which decides the peak. If that norm is noise, leave it out"
        );
    }
    if let Some(line) = summary.passed_over {
        tracing::warn!("line {line}, the last, is cut and was passed over");
    }
    if let Some(planned) = summary.planned {
        let (steps, planned) = (TokenCount(summary.steps as u64), TokenCount(planned));
        tracing::warn!(
            "the log ends at {steps} of {planned} steps: the schedule is for the {steps}; --steps sets another length"
        );
    }
    if summary.repeated > summary.read as u64 {
        tracing::warn!(
            "most norms repeat a step, of which the last counts. If steps begin anew every epoch, leave the column of steps out"
        );
    }
}

/// Opens the folder that a file lies in.
pub(super) fn folder_and_name(path: &Path, environment: &Environment) -> Result<(Place, String)> {
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| Error::NoFileName { path: path.to_owned() })?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok((environment.stores.open(&folder.display().to_string())?, name.to_owned()))
}
