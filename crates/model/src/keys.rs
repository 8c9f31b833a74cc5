//! The configuration of a model, as `config.json` or a GGUF header has it, and a guard on what is not understood.
//!
//! Keys have the names of `config.json`; a GGUF header is translated into them. Every key that a description of an architecture reads is noted.
//! What is left at the end and by its name changes what a model computes is refused, unless its value changes nothing.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::{Error, key_types};

/// Parts of the names of keys that change what a model computes, in the configurations of transformers and of GGUF files.
const COMPUTING: [&str; 23] = [
    "alibi",
    "attention_window",
    "clamp",
    "clip",
    "cross_attention",
    "expert",
    "layer_types",
    "moe",
    "multiplier",
    "mup",
    "no_rope",
    "norm_topk",
    "parallel_residual",
    "qk_layernorm",
    "qk_norm",
    "rope_parameters",
    "quantization_config",
    "rotary",
    "scale",
    "scaling",
    "sliding_window",
    "softcap",
    "bidirectional",
];

/// Names that have such a part but change nothing.
const HARMLESS: [&str; 6] = [
    "router_aux_loss_coef",
    "output_router_logits",
    "initializer_scale",
    "rope_scaling_finetuned",
    "max_window_layers",
    "original_max_position_embeddings",
];

/// The keys of a model's configuration.
#[derive(Debug)]
pub(crate) struct Keys {
    path: PathBuf,
    values: Map<String, Value>,
    /// What the file calls a key, where that is another name.
    names: BTreeMap<&'static str, String>,
    /// What stands before the names of keys.
    prefix: String,
    read: RefCell<BTreeSet<String>>,
    is_header: bool,
}

impl Keys {
    /// Takes the keys of the `config.json` at `path`.
    pub(crate) fn of_json(path: &Path, text: &[u8]) -> Result<Self, Error> {
        let values = serde_json::from_slice(text).map_err(|error| Error::Format {
            path: path.to_owned(),
            format: "config.json",
            reason: error.to_string(),
        })?;
        let (path, names) = (path.to_owned(), BTreeMap::new());
        Ok(Self { path, values, names, prefix: String::new(), read: RefCell::default(), is_header: false })
    }

    /// Takes the keys of the GGUF header at `path`, which calls them by `names`.
    pub(crate) fn of_header(
        path: &Path,
        values: Map<String, Value>,
        names: BTreeMap<&'static str, String>,
        prefix: String,
    ) -> Self {
        Self { path: path.to_owned(), values, names, prefix, read: RefCell::default(), is_header: true }
    }

    /// Whether the keys are those of a GGUF header, which says less: biases and a vocabulary projection are there if they are stored.
    pub(crate) fn is_header(&self) -> bool {
        self.is_header
    }

    /// The keys of the table at `key`, for what is described by a table of its own; `None` if there is none, or an empty one.
    pub(crate) fn table(&self, key: &str) -> Result<Option<Self>, Error> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::Object(values)) if values.is_empty() => Ok(None),
            Some(Value::Object(values)) => {
                let (path, values, prefix) = (self.path.clone(), values.clone(), format!("{}.", self.name(key)));
                let (names, read) = (BTreeMap::new(), RefCell::default());
                Ok(Some(Self { path, values, names, prefix, read, is_header: self.is_header }))
            }
            Some(other) => Err(self.unsupported(key, &other.to_string(), "a table, or null")),
        }
    }

    /// The value at `key`; null counts as none.
    pub(crate) fn value(&self, key: &str) -> Option<&Value> {
        self.read.borrow_mut().insert(key.to_owned());
        self.values.get(key).filter(|value| !value.is_null())
    }

    /// Whether `key` is there and null.
    pub(crate) fn is_null(&self, key: &str) -> bool {
        self.values.get(key).is_some_and(Value::is_null)
    }

    /// Refuses null at each of `keys`: only one that is not there has a default.
    pub(crate) fn refuse_null(&self, keys: &[&str]) -> Result<(), Error> {
        match keys.iter().find(|key| self.is_null(key)) {
            Some(key) => Err(self.unsupported(key, "null", "a value, or no such key for the default")),
            None => Ok(()),
        }
    }

    /// Notes that `keys` need no look.
    pub(crate) fn pass_over(&self, keys: &[&str]) {
        self.read.borrow_mut().extend(keys.iter().map(|key| (*key).to_owned()));
    }

    /// The whole number at `key`; `None` if there is none.
    pub(crate) fn size_if_there(&self, key: &str) -> Result<Option<usize>, Error> {
        let Some(value) = self.value(key) else { return Ok(None) };
        let number = value.as_u64().and_then(|number| usize::try_from(number).ok());
        number.map(Some).ok_or_else(|| self.unsupported(key, &value.to_string(), "a whole number"))
    }

    /// The whole number at `key`.
    pub(crate) fn size(&self, key: &str) -> Result<usize, Error> {
        self.size_if_there(key)?.ok_or_else(|| self.missing(key))
    }

    /// The whole number at `key`, `default` if the key is not there, `null` if it is null.
    pub(crate) fn size_or(&self, key: &str, default: usize, null: usize) -> Result<usize, Error> {
        let absent = if self.values.contains_key(key) { null } else { default };
        Ok(self.size_if_there(key)?.unwrap_or(absent))
    }

    /// The whole number at `key`, which must be above 0 and may not be null; `None` if the key is not there.
    pub(crate) fn size_above_0(&self, key: &str) -> Result<Option<usize>, Error> {
        self.refuse_null(&[key])?;
        match self.size_if_there(key)? {
            Some(0) => Err(self.unsupported(key, "0", "whole numbers above 0")),
            size => Ok(size),
        }
    }

    /// The number at `key`; `None` if there is none.
    pub(crate) fn real_if_there(&self, key: &str) -> Result<Option<f64>, Error> {
        let Some(value) = self.value(key) else { return Ok(None) };
        let number = value.as_f64().filter(|number| number.is_finite());
        number.map(Some).ok_or_else(|| self.unsupported(key, &value.to_string(), "a number"))
    }

    /// The number at `key`; `default` if there is none.
    pub(crate) fn real_or(&self, key: &str, default: f64) -> Result<f64, Error> {
        Ok(self.real_if_there(key)?.unwrap_or(default))
    }

    /// The number at `key`, which must be above 0; `default` if there is none.
    pub(crate) fn positive_or(&self, key: &str, default: f64) -> Result<f64, Error> {
        let number = self.real_or(key, default)?;
        if number > 0.0 { Ok(number) } else { Err(self.unsupported(key, &number.to_string(), "numbers above 0")) }
    }

    /// The number at `key`, which must be above 0; `None` if the key is null, `default` if it is not there.
    pub(crate) fn cap_or(&self, key: &str, default: Option<f64>) -> Result<Option<f64>, Error> {
        if !self.values.contains_key(key) {
            return Ok(default);
        }
        self.real_if_there(key)?.map(|_| self.positive_or(key, 0.0)).transpose()
    }

    /// Whether `key` is true; `default` if it is not there.
    pub(crate) fn flag_or(&self, key: &str, default: bool) -> Result<bool, Error> {
        match self.value(key) {
            None => Ok(default),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(other) => Err(self.unsupported(key, &other.to_string(), "true and false")),
        }
    }

    /// The text at `key`; `None` if there is none.
    pub(crate) fn text(&self, key: &str) -> Result<Option<&str>, Error> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.unsupported(key, &other.to_string(), "a text")),
        }
    }

    /// The list at `key`; `None` if there is none.
    pub(crate) fn list(&self, key: &str) -> Result<Option<&[Value]>, Error> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::Array(values)) => Ok(Some(values)),
            Some(other) => Err(self.unsupported(key, &other.to_string(), "a list")),
        }
    }

    /// Refuses keys beside `known`.
    pub(crate) fn refuse_others(&self, known: &[&str]) -> Result<(), Error> {
        match self.values.iter().find(|(key, _)| !known.contains(&key.as_str())) {
            Some((key, value)) => Err(self.unsupported(key, &value.to_string(), "a table for each kind of layers")),
            None => Ok(()),
        }
    }

    /// Refuses values that are tables themselves.
    pub(crate) fn refuse_tables(&self) -> Result<(), Error> {
        match self.values.iter().find(|(_, value)| value.is_object()) {
            Some((key, value)) => Err(self.unsupported(key, &value.to_string(), "one table for all layers")),
            None => Ok(()),
        }
    }

    /// The error for a value that this version cannot run.
    pub(crate) fn unsupported(&self, key: &str, value: &str, supported: &'static str) -> Error {
        let (path, key) = (self.path.clone(), self.name(key));
        Error::Unsupported { path, key, value: shortened(value), supported }
    }

    /// The error for a key that is not there.
    pub(crate) fn missing(&self, key: &str) -> Error {
        Error::MissingKey { path: self.path.clone(), key: self.name(key) }
    }

    /// The file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What the file calls `key`.
    fn name(&self, key: &str) -> String {
        self.names.get(key).cloned().unwrap_or_else(|| format!("{}{key}", self.prefix))
    }

    /// Refuses values of types that a configuration of `model_type` does not have.
    ///
    /// # Errors
    /// [`Error::Unsupported`] naming the first such key.
    pub(crate) fn validate_types(&self, model_type: &str) -> Result<(), Error> {
        if self.is_header {
            return Ok(());
        }
        match key_types::mismatch(model_type, self.values.iter()) {
            Some((key, value, supported)) => Err(self.unsupported(key, &value.to_string(), supported)),
            None => Ok(()),
        }
    }

    /// Refuses what changes the computation and was not read.
    ///
    /// # Errors
    /// [`Error::UnusedKey`] naming the first such key.
    pub(crate) fn finish(&self, architecture: &'static str) -> Result<(), Error> {
        let read = self.read.borrow();
        let is_unread = |(key, value): &(&String, &Value)| !read.contains(*key) && changes(key, value);
        match self.values.iter().find(is_unread) {
            None => Ok(()),
            Some((key, value)) => Err(Error::UnusedKey {
                path: self.path.clone(),
                key: self.name(key),
                value: shortened(&value.to_string()),
                architecture,
            }),
        }
    }
}

/// Whether `key` by its name changes what a model computes, and `value` is not one that changes nothing.
fn changes(key: &str, value: &Value) -> bool {
    if HARMLESS.contains(&key) || !COMPUTING.iter().any(|part| key.contains(part)) {
        return false;
    }
    match value {
        Value::Null => false,
        // without a method it is damaged, and with one the weights are in another format; a list of no layers is damaged, too
        _ if ["quantization_config", "layer_types"].contains(&key) => true,
        Value::Bool(false) => false,
        // a factor of 1 and a number of 0 change nothing; so does `scale_attn_weights`, if it is read
        Value::Number(number) => number.as_f64().is_none_or(|number| number != 0.0 && number != 1.0),
        Value::Array(values) => !values.is_empty(),
        Value::Object(values) => !values.is_empty(),
        Value::Bool(true) | Value::String(_) => true,
    }
}

/// The beginning of a value, for a line of an error.
fn shortened(value: &str) -> String {
    const MOST: usize = 80;
    let end = value.floor_char_boundary(MOST);
    if end < value.len() { format!("{} …", &value[..end]) } else { value.to_owned() }
}
