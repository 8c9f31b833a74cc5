//! Errors of loading and running a model.

use std::path::PathBuf;

/// Why a model could not be loaded or run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be mapped.
    #[error(transparent)]
    Map(#[from] headwater_kernels::MapError),
    /// A file that stands for another.
    #[error("{path} is a Git LFS pointer in place of the file; run `git lfs pull`")]
    Pointer {
        /// The file.
        path: PathBuf,
    },
    /// A file that is not what its name says.
    #[error("{path} is not a usable {format} file: {reason}")]
    Format {
        /// The file.
        path: PathBuf,
        /// `safetensors`, `GGUF`, `config.json`, `tokenizer.json`.
        format: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A value of the model's configuration that this version cannot run.
    #[error("{path}: `{key}` is {value}, which this version cannot run; it runs {supported}")]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// Its value.
        value: String,
        /// What would do.
        supported: &'static str,
    },
    /// A key of the configuration that changes what a model computes and that its architecture does not have.
    #[error(
        "{path}: `{key}` is {value}, which changes what a model computes, but this version does not know it of a {architecture} model; its losses \
         would be wrong. If it is a left-over, remove it; quantised weights must be saved as F32, F16 or BF16, or as GGUF"
    )]
    UnusedKey {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// Its value.
        value: String,
        /// The architecture.
        architecture: &'static str,
    },
    /// No vocabulary projection where the embedding is none.
    #[error(
        "{path} holds no tensor `{tensor}`, and `tie_word_embeddings` is not true in config.json; set it to true if the embedding is the projection"
    )]
    NoHead {
        /// The file of the weights.
        path: PathBuf,
        /// The projection.
        tensor: String,
    },
    /// A vocabulary projection beside an embedding that it is said to be.
    #[error(
        "{path}: `tie_word_embeddings` is true, but tensor `{tensor}` is not the embedding; set it to false if the projection is meant"
    )]
    NotTied {
        /// The file of the tensor.
        path: PathBuf,
        /// The projection.
        tensor: String,
    },
    /// A missing configuration value.
    #[error("{path} lacks `{key}`")]
    MissingKey {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
    },
    /// A missing tensor.
    #[error("{path} holds no tensor `{tensor}`")]
    MissingTensor {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
    },
    /// A tensor whose shape contradicts the configuration.
    #[error("{path}: tensor `{tensor}` has shape {got:?}, but the model's configuration needs {expected:?}")]
    TensorShape {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Shape that follows from the configuration.
        expected: Vec<usize>,
        /// Shape in the file.
        got: Vec<usize>,
    },
    /// Tensors that no part of the model uses: it is another architecture than its configuration says.
    #[error("{path} holds tensors that a {architecture} model does not have, such as `{tensor}`")]
    UnusedTensor {
        /// The file.
        path: PathBuf,
        /// The architecture named by the configuration.
        architecture: &'static str,
        /// The first such tensor.
        tensor: String,
    },
    /// A tokenizer that can produce ids beyond the embedding.
    #[error(
        "the tokenizer of {path} has ids up to {highest}, but the embedding has {rows} rows: they are not of the same model"
    )]
    Vocabulary {
        /// The file of the tokenizer.
        path: PathBuf,
        /// Highest token id.
        highest: u32,
        /// Rows of the embedding.
        rows: usize,
    },
    /// The tokenizer failed on a text.
    #[error("cannot tokenise a text of {bytes} bytes: {reason}")]
    Tokenise {
        /// Length of the text.
        bytes: usize,
        /// What the tokenizer says.
        reason: String,
    },
    /// No tokenizer could be made from texts.
    #[error("cannot make a tokenizer: {reason}")]
    Train {
        /// What the library says.
        reason: String,
    },
    /// A device that this build or machine does not have.
    #[error("device `{device}` cannot be used: {reason}")]
    Device {
        /// The device as configured.
        device: String,
        /// Why not.
        reason: String,
    },
    /// An instruction level for an engine that chooses its own instructions.
    #[error("instruction level {level} was asked for, but only the native engine, on the cpu, has levels")]
    InstructionsUnused {
        /// The level.
        level: headwater_kernels::Level,
    },
    /// A precision that the engine or processor does not have.
    #[error("precision {} cannot be used: {why}", .precision.as_str())]
    Precision {
        /// The precision.
        precision: crate::Precision,
        /// Why not.
        why: String,
    },
    /// Instructions that this processor does not have.
    #[error(transparent)]
    Instructions(#[from] headwater_kernels::LevelError),
    /// A token beyond the vocabulary.
    #[error("token {token} is outside the vocabulary of {vocabulary}")]
    TokenOutOfRange {
        /// The token.
        token: u32,
        /// Size of the vocabulary.
        vocabulary: usize,
    },
    /// A window that the model cannot take.
    #[error("a window of {tokens} tokens does not fit a context of {context} tokens")]
    WindowLength {
        /// Length of the window.
        tokens: usize,
        /// Context of the model.
        context: usize,
    },
    /// Rows outside the window.
    #[error("rows {start}..{end} lie outside a window of {tokens} tokens")]
    Rows {
        /// First row.
        start: usize,
        /// End of the rows.
        end: usize,
        /// Length of the window.
        tokens: usize,
    },
    /// Attention positions in the wrong number.
    #[error("{got} attention positions where {expected} were expected")]
    ArgmaxCount {
        /// layers × heads × rows.
        expected: usize,
        /// Number given.
        got: usize,
    },
    /// A mask for another model.
    #[error(transparent)]
    Mask(#[from] headwater_record::Error),
    /// An engine that scores alone.
    #[error("the {engine} engine scores texts and cannot write them; the candle engine does")]
    NoContinuation {
        /// The engine.
        engine: String,
    },
    /// PyTorch, or the model in it, cannot be used.
    #[error("the torch engine cannot be used: {reason}")]
    TorchUnusable {
        /// Why not, and what to do.
        reason: String,
    },
    /// A window does not fit a device of PyTorch.
    #[error("{reason}")]
    TorchMemory {
        /// The device and the window, and what to do.
        reason: String,
    },
    /// PyTorch failed on a window.
    #[error("PyTorch failed on device `{device}`: {reason}")]
    TorchFailed {
        /// The device.
        device: String,
        /// What it says.
        reason: String,
    },
    /// A process of PyTorch ended twice while it was asked the same.
    #[error(
        "the process of PyTorch for device `{device}` ended twice, last with {said}; is the memory of the machine too small?"
    )]
    TorchDied {
        /// The device.
        device: String,
        /// How it ended, and its last words.
        said: String,
    },
    /// The device failed.
    #[error("the computation failed on the device")]
    Compute(#[from] candle_core::Error),
}
