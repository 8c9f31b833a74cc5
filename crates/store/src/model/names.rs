//! What `hf:` and `pip:` names look like.

use std::path::Path;

use super::files::is_weights;

/// Splits `owner/name[@revision][/file]`, where a file is named like weights.
pub(super) fn split_hub(text: &str) -> Result<(String, String, Option<String>), String> {
    let (rest, file) = match text.rsplit_once('/') {
        Some((rest, file)) if rest.contains('/') && is_weights(Path::new(file)) => (rest, Some(file.to_owned())),
        _ => (text, None),
    };
    let (repository, revision) = split_revision(rest)?;
    Ok((repository, revision, file))
}

/// Splits `owner/name[@revision]`.
pub(super) fn split_revision(text: &str) -> Result<(String, String), String> {
    let (repository, revision) = text.split_once('@').unwrap_or((text, "main"));
    let is_word = |word: &str| {
        !word.is_empty()
            && !word.starts_with('.')
            && word.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    };
    let parts: Vec<&str> = repository.split('/').collect();
    if parts.len() == 2 && parts.iter().all(|part| is_word(part)) && revision.split('/').all(is_word) {
        return Ok((repository.to_owned(), revision.to_owned()));
    }
    Err(format!("`{text}` is not owner/name, owner/name@revision or either with the name of a weight file after it"))
}

/// Checks that `text` is `package==version` and nothing that pip would read as an option or another source.
pub(super) fn check_requirement(text: &str) -> Result<(), String> {
    let is_word = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_alphanumeric())
            && word.chars().all(|c| c.is_ascii_alphanumeric() || "-_.+!".contains(c))
    };
    match text.split_once("==") {
        Some((package, version)) if is_word(package) && is_word(version) => Ok(()),
        _ => Err(format!("`{text}` is not package==version")),
    }
}
