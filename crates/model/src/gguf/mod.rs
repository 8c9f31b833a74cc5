//! Weights, shape and vocabulary in a GGUF file.
//!
//! Some architectures store the rows of Q and K permuted for interleaved rotary embeddings; [`crate::tensors`] puts them back into the order of
//! transformers. The file names a pre-tokenizer, which [`crate::pretokenizer`] honours or refuses. Numbers are decoded by `candle`, but for the
//! two formats that it lacks.

mod header;
mod iq4;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Cursor;
use std::path::{Path, PathBuf};

use candle_core::quantized::GgmlDType;
use candle_core::quantized::gguf_file::{TensorInfo, Value};
use candle_core::{Device, Shape, Tensor};
use header::{Header, Stored};
use headwater_kernels::FileMap;

use serde_json::{Map, Value as Json};

use crate::Error;
use crate::keys::Keys;
use crate::paths::open;
use crate::rope::{Rope, RopeScaling};
use crate::tensors::{Role, TensorFiles};

const ROPE_DIVISORS: &str = "rope_freqs.weight";
const ARCHITECTURE: &str = "general.architecture";

/// How many files a model was cut into.
const SPLIT: &str = "split.count";

/// The numbers of ggml for the formats that are decoded here.
const IQ4_NL: u32 = 20;
const IQ4_XS: u32 = 23;

/// Why a tensor cannot be read.
const DECODED: &str = "this version does not decode; quantise the model as Q8_0, Q6_K, Q5_K, Q4_K, IQ4_XS or Q4_0, or take it as safetensors";

/// What numbers are stored as: ggml's number and name, and candle's type for it.
const KINDS: [(u32, &str, Option<GgmlDType>); 28] = [
    (0, "F32", Some(GgmlDType::F32)),
    (1, "F16", Some(GgmlDType::F16)),
    (2, "Q4_0", Some(GgmlDType::Q4_0)),
    (3, "Q4_1", Some(GgmlDType::Q4_1)),
    (6, "Q5_0", Some(GgmlDType::Q5_0)),
    (7, "Q5_1", Some(GgmlDType::Q5_1)),
    (8, "Q8_0", Some(GgmlDType::Q8_0)),
    (9, "Q8_1", Some(GgmlDType::Q8_1)),
    (10, "Q2_K", Some(GgmlDType::Q2K)),
    (11, "Q3_K", Some(GgmlDType::Q3K)),
    (12, "Q4_K", Some(GgmlDType::Q4K)),
    (13, "Q5_K", Some(GgmlDType::Q5K)),
    (14, "Q6_K", Some(GgmlDType::Q6K)),
    (15, "Q8_K", Some(GgmlDType::Q8K)),
    (16, "IQ2_XXS", None),
    (17, "IQ2_XS", None),
    (18, "IQ3_XXS", None),
    (19, "IQ1_S", None),
    (IQ4_NL, "IQ4_NL", None),
    (21, "IQ3_S", None),
    (22, "IQ2_S", None),
    (IQ4_XS, "IQ4_XS", None),
    (28, "F64", None),
    (29, "IQ1_M", None),
    (30, "BF16", Some(GgmlDType::BF16)),
    (34, "TQ1_0", None),
    (35, "TQ2_0", None),
    (39, "MXFP4", None),
];

/// What the keys of rotary scaling begin with.
const SCALING: &str = "rope.scaling.";

/// The keys of `config.json` and what GGUF headers call them, after the name of the architecture.
const NAMES: [(&str, &str); 22] = [
    ("num_hidden_layers", "block_count"),
    ("hidden_size", "embedding_length"),
    ("intermediate_size", "feed_forward_length"),
    ("num_attention_heads", "attention.head_count"),
    ("num_key_value_heads", "attention.head_count_kv"),
    ("head_dim", "attention.key_length"),
    ("max_position_embeddings", "context_length"),
    ("rms_norm_eps", "attention.layer_norm_rms_epsilon"),
    ("layer_norm_eps", "attention.layer_norm_epsilon"),
    ("rope_theta", "rope.freq_base"),
    ("rope_local_base_freq", "rope.freq_base_swa"),
    ("rope_dimensions", "rope.dimension_count"),
    ("rope_scaling", "rope.scaling"),
    ("sliding_window", "attention.sliding_window"),
    ("attn_logit_softcapping", "attn_logit_softcapping"),
    ("final_logit_softcapping", "final_logit_softcapping"),
    ("embedding_multiplier", "embedding_scale"),
    ("residual_multiplier", "residual_scale"),
    ("attention_multiplier", "attention.scale"),
    ("logits_scaling", "logit_scale"),
    ("use_parallel_residual", "use_parallel_residual"),
    ("num_experts", "expert_count"),
];

/// A mapped GGUF file.
pub(crate) struct GgufFile {
    path: PathBuf,
    map: FileMap,
    header: Header,
}

impl GgufFile {
    /// Maps the file and reads its header.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let map = open(path)?;
        let wrong = |reason: String| Error::Format { path: path.to_owned(), format: "GGUF", reason };
        let header = Header::parse(&map).map_err(wrong)?;
        if let Some(parts) = header.values.get(SPLIT).and_then(Self::integer).filter(|parts| *parts > 1) {
            let reason = format!("it is one of {parts} parts; put them together with `llama-gguf-split --merge`");
            return Err(wrong(reason));
        }
        Ok(Self { path: path.to_owned(), map, header })
    }

    /// The value at `key`, if there is one.
    pub(crate) fn value(&self, key: &str) -> Option<&Value> {
        self.header.values.get(key)
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

    /// The error for a key that is missing or of another type.
    pub(crate) fn missing(&self, key: &str) -> Error {
        Error::MissingKey { path: self.path.clone(), key: key.to_owned() }
    }

    /// The error for a file that cannot be understood.
    pub(crate) fn damaged(&self, reason: &dyn ToString) -> Error {
        Error::Format { path: self.path.clone(), format: "GGUF", reason: reason.to_string() }
    }

    /// The error for a value that this version cannot run.
    pub(crate) fn unsupported(&self, key: &str, value: &str, supported: &'static str) -> Error {
        Error::Unsupported { path: self.path.clone(), key: key.to_owned(), value: value.to_owned(), supported }
    }

    /// The configuration in the header, under the names of `config.json`.
    pub(crate) fn keys(&self) -> Result<Keys, Error> {
        let architecture = self.text(ARCHITECTURE)?;
        let prefix = format!("{architecture}.");
        let mut names: BTreeMap<&str, String> =
            NAMES.iter().map(|(key, name)| (*key, format!("{prefix}{name}"))).collect();
        names.insert("model_type", ARCHITECTURE.to_owned());
        names.insert("vocab_size", Role::EMBEDDING_IN_GGUF.to_owned());
        let known: BTreeMap<&str, &str> = NAMES.iter().map(|(key, name)| (*name, *key)).collect();
        let mut values = Map::new();
        for (name, value) in &self.header.values {
            if let Some(name) = name.strip_prefix(&prefix) {
                values.insert(known.get(name).copied().unwrap_or(name).to_owned(), json(value));
            }
        }
        values.insert("model_type".to_owned(), architecture.into());
        if let Some(rows) = self.dims(Role::EMBEDDING_IN_GGUF).and_then(|dims| dims.first().copied()) {
            values.insert("vocab_size".to_owned(), rows.into());
        }
        self.move_scaling(&mut values);
        Ok(Keys::of_header(&self.path, values, names, prefix))
    }

    /// Puts the keys of rotary scaling into a table of their own, as `config.json` has it.
    fn move_scaling(&self, values: &mut Map<String, Json>) {
        let mut table = Map::new();
        let moved: Vec<String> = values.keys().filter(|key| key.starts_with(SCALING)).cloned().collect();
        for key in moved {
            if let Some(value) = values.remove(&key) {
                table.insert(key[SCALING.len()..].to_owned(), value);
            }
        }
        // an older key for linear scaling; a factor without a type is linear, too
        let factor = values.remove("rope.scale_linear").or_else(|| table.get("factor").cloned());
        let is_stored = self.header.tensors.contains_key(ROPE_DIVISORS);
        match (table.get("type").and_then(Json::as_str), factor) {
            (Some("none"), _) => table.clear(),
            (None, Some(factor)) if factor != 1.0 && factor != 0.0 => {
                table.insert("type".to_owned(), "linear".into());
                table.insert("factor".to_owned(), factor);
            }
            (None, _) => table.clear(),
            (Some(_), _) => {}
        }
        // divisors say all that a factor would
        if is_stored {
            table.clear();
        }
        if !table.is_empty() {
            values.insert("rope_scaling".to_owned(), table.into());
        }
    }

    /// The divisors of a rotary embedding's frequencies, if the file stores any.
    pub(crate) fn rope_divisors(&self, rope: &Rope) -> Result<Option<RopeScaling>, Error> {
        let Some(got) = self.dims(ROPE_DIVISORS) else { return Ok(None) };
        let expected = vec![rope.rotated / 2];
        if got != expected {
            let tensor = ROPE_DIVISORS.to_owned();
            return Err(Error::TensorShape { path: self.path.clone(), tensor, expected, got });
        }
        let tensor = self.dequantised(ROPE_DIVISORS)?;
        Ok(Some(RopeScaling::Divisors(tensor.flatten_all()?.to_vec1()?)))
    }

    fn dequantised(&self, name: &str) -> Result<Tensor, Error> {
        let missing = || Error::MissingTensor { path: self.path.clone(), tensor: name.to_owned() };
        let Stored { dims, kind, start } = self.header.tensors.get(name).ok_or_else(missing)?;
        let wrong = |reason: String| Error::Format {
            path: self.path.clone(),
            format: "GGUF",
            reason: format!("tensor `{name}`: {reason}"),
        };
        let decoded = |(numbers, bytes): (usize, usize), decode: fn(&[u8]) -> Vec<f32>| {
            let count = dims.iter().try_fold(1_usize, |count, dim| count.checked_mul(*dim));
            let blocks = count.filter(|count| count.is_multiple_of(numbers)).map(|count| count / numbers);
            let length = blocks.and_then(|blocks| blocks.checked_mul(bytes));
            let first = usize::try_from(*start).unwrap_or(usize::MAX);
            let stored = length.and_then(|length| self.map.get(first..first.checked_add(length)?));
            let stored = stored.ok_or_else(|| wrong("it does not lie whole in the file".to_owned()))?;
            Ok(Tensor::from_vec(decode(stored), dims.as_slice(), &Device::Cpu)?)
        };
        match *kind {
            IQ4_NL => return decoded(iq4::NL, iq4::nl),
            IQ4_XS => return decoded(iq4::XS, iq4::xs),
            _ => {}
        }
        let known = KINDS.iter().find(|(number, ..)| number == kind);
        let ggml_dtype = match known {
            Some((_, _, Some(dtype))) => *dtype,
            Some((_, kind, None)) => return Err(wrong(format!("its numbers are {kind}, which {DECODED}"))),
            None => return Err(wrong(format!("its numbers are of type {kind}, which {DECODED}"))),
        };
        let info = TensorInfo { ggml_dtype, shape: Shape::from(dims.as_slice()), offset: *start };
        let tensor = info.read(&mut Cursor::new(&self.map[..]), 0, &Device::Cpu);
        let failed = |error: candle_core::Error| wrong(error.to_string());
        tensor.map_err(failed)?.dequantize(&Device::Cpu).map_err(failed)
    }
}

impl TensorFiles for GgufFile {
    fn path(&self, _name: &str) -> &Path {
        &self.path
    }

    fn is_gguf(&self) -> bool {
        true
    }

    fn dims(&self, name: &str) -> Option<Vec<usize>> {
        self.header.tensors.get(name).map(|tensor| tensor.dims.clone())
    }

    fn read(&self, name: &str) -> Result<Tensor, Error> {
        self.dequantised(name)
    }

    fn format(&self, name: &str) -> Option<String> {
        let kind = self.header.tensors.get(name)?.kind;
        let known = KINDS.iter().find(|(number, ..)| *number == kind);
        Some(known.map_or_else(|| format!("type {kind}"), |(_, name, _)| (*name).to_owned()))
    }

    fn names(&self) -> BTreeSet<String> {
        self.header.tensors.keys().cloned().collect()
    }

    fn is_derived(&self, name: &str) -> bool {
        name == ROPE_DIVISORS
    }
}

/// A value of a header as one of `config.json`. What is no finite number is left as a text.
fn json(value: &Value) -> Json {
    match value {
        Value::Bool(flag) => (*flag).into(),
        Value::F32(x) => f64::from(*x).into(),
        Value::F64(x) => (*x).into(),
        Value::String(text) => text.as_str().into(),
        Value::Array(values) => Json::Array(values.iter().map(json).collect()),
        other => GgufFile::integer(other).map_or_else(|| format!("{other:?}").into(), Json::from),
    }
}
