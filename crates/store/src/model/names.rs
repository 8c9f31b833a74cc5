//! What `hf:` and `pip:` names look like.

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
    Err(format!("`{text}` is not owner/name or owner/name@revision"))
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
