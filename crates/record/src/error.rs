//! Errors of the types in this crate.

/// A value that breaks the rules of its type.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A byte count that is neither a number nor a number with a unit.
    #[error(
        "`{text}` is not a size: write a number of bytes, such as 4096 or 1e9, or a whole number with KiB, MiB, GiB, KB, MB or GB"
    )]
    ByteCount {
        /// What was given.
        text: String,
    },
    /// A text that is not a whole number.
    #[error("`{text}` is not a whole number: write it as 1000, 1_000, 1e3, 20k, 1.5M, 2B or 1T")]
    WholeNumber {
        /// What was given.
        text: String,
    },
    /// A text that is not a number.
    #[error("`{text}` is not a number: write it as 0.25, 4e-4, 1000, 20k or 1T")]
    Number {
        /// What was given.
        text: String,
    },
    /// A part of a plan that does not exist, or is written in another way.
    #[error("`{text}` is not I/N with 0 ≤ I < N, such as 0/8")]
    Part {
        /// What was given.
        text: String,
    },
    /// A unit's name that does not parse.
    #[error("`{text}` is not a unit name (<shard>-g<row group>-r<first row>-n<rows>)")]
    UnitKey {
        /// What was given.
        text: String,
    },
    /// A hash or id that is not hexadecimal of the expected length.
    #[error("`{text}` is not {digits} hexadecimal digits")]
    Hex {
        /// What was given.
        text: String,
        /// Expected number of digits.
        digits: usize,
    },
    /// A status that no version of the sidecar knows.
    #[error("`{text}` is not a document status")]
    Status {
        /// What was given.
        text: String,
    },
    /// A head set that names the same head twice.
    #[error("head {head} of layer {layer} is named twice in the head set")]
    DuplicateHead {
        /// Layer, 0-based.
        layer: u16,
        /// Head inside the layer, 0-based.
        head: u16,
    },
    /// A head outside the model.
    #[error("the head set names layer {layer}, head {head}, but the model has {layers} layers of {heads} heads")]
    HeadOutOfRange {
        /// Layer, 0-based.
        layer: u16,
        /// Head inside the layer, 0-based.
        head: u16,
        /// Layers of the model.
        layers: usize,
        /// Query heads a layer.
        heads: usize,
    },
    /// Scoring inputs that have no JSON form to hash.
    #[error("the fingerprint of the scoring inputs cannot be computed")]
    Fingerprint(#[source] serde_json::Error),
}
