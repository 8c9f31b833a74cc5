//! What is wrong with a TOML file, for people: the place, and the nearest known key.

use std::path::Path;

use crate::Error;

/// Names the place, which is byte `at` of `text`, and the nearest known key.
pub(crate) fn explain_file(path: &Path, text: &str, at: Option<usize>, message: &str) -> Error {
    let (line, quoted) = match at {
        Some(at) => {
            let line = text[..at.min(text.len())].matches('\n').count() + 1;
            (line, text.lines().nth(line - 1).unwrap_or_default().trim().to_owned())
        }
        None => (0, String::new()),
    };
    Error::Config { path: path.to_owned(), line, message: with_suggestion(message), text: quoted }
}
/// Adds "did you mean" to serde's "unknown field `x`, expected one of `a`, `b`".
pub(crate) fn with_suggestion(message: &str) -> String {
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let (Some((unknown, known)), true) = (quoted.split_first(), message.starts_with("unknown ")) else {
        return message.to_owned();
    };
    let nearest = known.iter().map(|known| (strsim::jaro_winkler(unknown, known), *known));
    match nearest.max_by(|a, b| a.0.total_cmp(&b.0)) {
        Some((near, known)) if near > 0.7 => {
            let kind = if message.starts_with("unknown field") { "key" } else { "value" };
            format!("unknown {kind} `{unknown}`; did you mean `{known}`?")
        }
        _ => message.to_owned(),
    }
}
