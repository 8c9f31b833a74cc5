//! Head sets that were found elsewhere and are pinned by a file.

use headwater_model::ModelShape;
use headwater_record::{ContentHash, HeadsFile};

use crate::Error;

/// Checks that a head set read from a file can be masked in a model of `shape` with the weights `weights`.
///
/// A file that names no weights fits any weights.
///
/// # Errors
/// [`Error::OtherModel`] if the file names other weights, [`Error::HeadSet`] if a head lies outside the model.
pub fn validate_heads(file: &HeadsFile, shape: &ModelShape, weights: &ContentHash) -> Result<(), Error> {
    match file.weights {
        Some(expected) if expected != *weights => Err(Error::OtherModel { expected, got: *weights }),
        _ => Ok(file.heads.validate(shape.layers, shape.heads)?),
    }
}
