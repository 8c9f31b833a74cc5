//! How artefacts are written in JSON.

use serde::Serialize;

/// Encodes an artefact: indented, with a final newline.
///
/// # Errors
/// What `serde_json` says of a value that has no JSON form, such as a map whose keys are not texts.
pub fn encode(artefact: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    let mut json = serde_json::to_vec_pretty(artefact)?;
    json.push(b'\n');
    Ok(json)
}
