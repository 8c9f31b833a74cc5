//! Weights, shape and vocabulary in a GGUF file.
//!
//! Two traps are handled here. Files of llama architecture store the rows of Q and K permuted for interleaved rotary
//! embeddings; they are put back into the order of transformers. And the file names a pre-tokenizer, which
//! [`crate::pretokenizer`] honours or refuses.
//!
//! The header itself is parsed by `candle`, which caps every count by the size of the file.

use std::collections::BTreeSet;
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use candle_core::quantized::gguf_file::{Content, Value};
use candle_core::{Device, Tensor};
use headwater_kernels::FileMap;

use crate::checkpoint::{Part, Role, TensorFiles};
use crate::shape::ARCHITECTURES;
use crate::{Architecture, Error, ModelShape, RopeScaling};

const ROPE_DIVISORS: &str = "rope_freqs.weight";

/// A mapped GGUF file.
pub(crate) struct GgufFile {
    path: PathBuf,
    map: FileMap,
    content: Content,
}

impl GgufFile {
    /// Maps the file and reads its header.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let map = FileMap::open(path)?;
        let wrong = |reason: String| Error::Format { path: path.to_owned(), format: "GGUF", reason };
        let mut header = HeaderReader { bytes: Cursor::new(&map[..]), reads_since_alignment: None };
        let content = Content::read(&mut header).map_err(|error| wrong(error.to_string()))?;
        Ok(Self { path: path.to_owned(), map, content })
    }

    /// The file.
    pub(crate) fn file(&self) -> &Path {
        &self.path
    }

    /// The value at `key`, if there is one.
    pub(crate) fn value(&self, key: &str) -> Option<&Value> {
        self.content.metadata.get(key)
    }

    /// The text at `key`.
    pub(crate) fn text(&self, key: &str) -> Result<&str, Error> {
        match self.value(key) {
            Some(Value::String(text)) => Ok(text),
            _ => Err(self.missing(key)),
        }
    }

    /// The texts in the array at `key`.
    pub(crate) fn texts(&self, key: &str) -> Result<Vec<&str>, Error> {
        let Some(Value::Array(values)) = self.value(key) else { return Err(self.missing(key)) };
        let text = values.iter().map(|value| if let Value::String(text) = value { Some(text.as_str()) } else { None });
        text.collect::<Option<Vec<_>>>().ok_or_else(|| self.missing(key))
    }

    /// The non-negative integer in `value`.
    pub(crate) fn integer(value: &Value) -> Option<u64> {
        match value {
            Value::U8(n) => Some(u64::from(*n)),
            Value::U16(n) => Some(u64::from(*n)),
            Value::U32(n) => Some(u64::from(*n)),
            Value::U64(n) => Some(*n),
            Value::I8(n) => u64::try_from(*n).ok(),
            Value::I16(n) => u64::try_from(*n).ok(),
            Value::I32(n) => u64::try_from(*n).ok(),
            Value::I64(n) => u64::try_from(*n).ok(),
            _ => None,
        }
    }

    fn size(&self, key: &str) -> Result<usize, Error> {
        let number = self.value(key).and_then(Self::integer).and_then(|n| usize::try_from(n).ok());
        number.ok_or_else(|| self.missing(key))
    }

    fn real(&self, key: &str) -> Result<f64, Error> {
        match self.value(key) {
            Some(Value::F32(x)) => Ok(f64::from(*x)),
            Some(Value::F64(x)) => Ok(*x),
            _ => Err(self.missing(key)),
        }
    }

    /// The error for a key that is missing or of another type.
    pub(crate) fn missing(&self, key: &str) -> Error {
        Error::MissingKey { path: self.path.clone(), key: key.to_owned() }
    }

    fn architecture(&self) -> Result<Architecture, Error> {
        let name = self.text("general.architecture")?;
        Architecture::named(name).ok_or_else(|| Error::Unsupported {
            path: self.path.clone(),
            key: "general.architecture".to_owned(),
            value: name.to_owned(),
            supported: ARCHITECTURES,
        })
    }

    /// Reads the shape from the header.
    pub(crate) fn shape(&self) -> Result<ModelShape, Error> {
        let architecture = self.architecture()?;
        let key = |name: &str| format!("{}.{name}", architecture.as_str());
        let size = |name: &str| self.size(&key(name));
        let (heads, hidden) = (size("attention.head_count")?, size("embedding_length")?);
        let embedding = self.content.tensor_infos.get(&Role::Embedding.gguf_name());
        let context = size("context_length")?;
        let head_dim = size("attention.key_length").unwrap_or(hidden.checked_div(heads).unwrap_or_default());
        if let Some(rotated) = size("rope.dimension_count").ok().filter(|rotated| *rotated != head_dim) {
            return Err(Error::Unsupported {
                path: self.path.clone(),
                key: key("rope.dimension_count"),
                value: rotated.to_string(),
                supported: "rotary embeddings over whole heads",
            });
        }
        ModelShape {
            architecture,
            layers: size("block_count")?,
            heads,
            kv_heads: size("attention.head_count_kv").unwrap_or(heads),
            head_dim,
            hidden,
            intermediate: size("feed_forward_length")?,
            vocab: embedding.and_then(|tensor| tensor.shape.dims().first().copied()).unwrap_or_default(),
            context_tokens: context.min(size("attention.sliding_window").unwrap_or(usize::MAX)),
            norm_eps: self.real(&key("attention.layer_norm_rms_epsilon"))?,
            rope_theta: self.real(&key("rope.freq_base")).unwrap_or(10_000.0),
            rope_scaling: self.rope_scaling(&key("rope.scaling"), head_dim / 2)?,
        }
        .validate(&self.path)
    }

    /// Reads the scaling of `frequencies` rotary frequencies from the keys that begin with `key`.
    fn rope_scaling(&self, key: &str, frequencies: usize) -> Result<RopeScaling, Error> {
        if let Some(got) = self.dims(ROPE_DIVISORS) {
            let expected = vec![frequencies];
            if got != expected {
                let tensor = ROPE_DIVISORS.to_owned();
                return Err(Error::TensorShape { path: self.path.clone(), tensor, expected, got });
            }
            let tensor = self.dequantised(ROPE_DIVISORS)?;
            return Ok(RopeScaling::Divisors(tensor.flatten_all()?.to_vec1()?));
        }
        match self.text(&format!("{key}.type")) {
            Err(_) | Ok("none") => Ok(RopeScaling::None),
            Ok("linear") => Ok(RopeScaling::Linear { factor: self.real(&format!("{key}.factor"))? }),
            Ok(other) => Err(Error::Unsupported {
                path: self.path.clone(),
                key: format!("{key}.type"),
                value: other.to_owned(),
                supported: "none, linear and stored divisors",
            }),
        }
    }

    fn dequantised(&self, name: &str) -> Result<Tensor, Error> {
        let wrong = |error: candle_core::Error| Error::Format {
            path: self.path.clone(),
            format: "GGUF",
            reason: format!("tensor `{name}`: {error}"),
        };
        let mut bytes = Cursor::new(&self.map[..]);
        let tensor = self.content.tensor(&mut bytes, name, &Device::Cpu).map_err(wrong)?;
        tensor.dequantize(&Device::Cpu).map_err(wrong)
    }
}

impl TensorFiles for GgufFile {
    fn path(&self, _name: &str) -> &Path {
        &self.path
    }

    fn name(&self, role: Role) -> String {
        role.gguf_name()
    }

    fn dims(&self, name: &str) -> Option<Vec<usize>> {
        self.content.tensor_infos.get(name).map(|tensor| tensor.shape.dims().to_vec())
    }

    fn read(&self, role: Role, name: &str) -> Result<Tensor, Error> {
        let tensor = self.dequantised(name)?;
        let (Role::Weight(_, part) | Role::Bias(_, part)) = role else { return Ok(tensor) };
        let shape = self.shape()?;
        match part {
            Part::Query if shape.architecture == Architecture::Llama => half_rotated(&tensor, shape.heads),
            Part::Key if shape.architecture == Architecture::Llama => half_rotated(&tensor, shape.kv_heads),
            _ => Ok(tensor),
        }
    }

    fn names(&self) -> BTreeSet<String> {
        self.content.tensor_infos.keys().cloned().collect()
    }

    fn is_derived(&self, name: &str) -> bool {
        name == ROPE_DIVISORS
    }
}

/// A reader of the header for candle's parser, which divides by `general.alignment` and would panic on a zero:
/// the key, four bytes of type and the value arrive in one read each, so the zero is refused as it passes.
struct HeaderReader<'a> {
    bytes: Cursor<&'a [u8]>,
    /// Reads since the one that brought the key; `None` before it and after the value.
    reads_since_alignment: Option<u8>,
}

impl Read for HeaderReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.bytes.read(buffer)?;
        let read = &buffer[..count];
        // candle drops the zeros at the end of a key
        let key = read.iter().rposition(|byte| *byte != 0).map_or(&[][..], |last| &read[..=last]);
        self.reads_since_alignment = match self.reads_since_alignment {
            _ if key == b"general.alignment" => Some(0),
            Some(0) => Some(1),
            Some(_) if !read.is_empty() && read.iter().all(|byte| *byte == 0) => {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "`general.alignment` is 0"));
            }
            _ => None,
        };
        Ok(count)
    }
}

impl Seek for HeaderReader<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.bytes.seek(to)
    }
}

/// Puts the rows of a permuted Q or K back: pairs (2i, 2i + 1) of each head become (i, i + half).
///
/// # Shapes
/// - `tensor`: `(heads · head_dim, …)`, returned in the same shape
fn half_rotated(tensor: &Tensor, heads: usize) -> Result<Tensor, Error> {
    let rows = tensor.dim(0)?;
    let half = rows / heads / 2;
    let rest = tensor.elem_count() / rows;
    let paired = tensor.reshape((heads, half, 2, rest))?; // (heads, half, 2, rest)
    let halves = paired.transpose(1, 2)?.contiguous()?; // (heads, 2, half, rest)
    Ok(halves.reshape(tensor.dims())?)
}
