//! Weights in safetensors files, one or several with an index.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use headwater_kernels::FileMap;
use safetensors::tensor::{Metadata, SafeTensors};
use safetensors::{Dtype, SafeTensorError};

use crate::Error;
use crate::paths::open;
use crate::tensors::TensorFiles;

/// One mapped file and where its tensors lie.
#[derive(Debug)]
struct MappedFile {
    path: PathBuf,
    map: FileMap,
    metadata: Metadata,
    first_byte: usize,
}

/// A checkpoint in the layout of transformers.
#[derive(Debug)]
pub(crate) struct SafetensorsFiles {
    files: Vec<MappedFile>,
    /// Tensor name to index in `files`.
    holders: BTreeMap<String, usize>,
}

impl SafetensorsFiles {
    /// Maps `paths` and reads their headers.
    pub(crate) fn open(paths: &[PathBuf]) -> Result<Self, Error> {
        let mut files = Vec::with_capacity(paths.len());
        let mut holders = BTreeMap::new();
        for (index, path) in paths.iter().enumerate() {
            let map = open(path)?;
            let (header_bytes, metadata) = SafeTensors::read_metadata(&map).map_err(|error| wrong(path, &error))?;
            for name in metadata.offset_keys() {
                holders.insert(name, index);
            }
            // the header is preceded by its own length, a u64
            files.push(MappedFile { path: path.clone(), map, metadata, first_byte: header_bytes + 8 });
        }
        Ok(Self { files, holders })
    }
}

fn wrong(path: &Path, error: &SafeTensorError) -> Error {
    Error::Format { path: path.to_owned(), format: "safetensors", reason: error.to_string() }
}

impl TensorFiles for SafetensorsFiles {
    fn path(&self, name: &str) -> &Path {
        let file = self.holders.get(name).and_then(|index| self.files.get(*index)).or(self.files.first());
        file.map_or(Path::new("(no weight file)"), |file| &file.path)
    }

    fn is_gguf(&self) -> bool {
        false
    }

    fn dims(&self, name: &str) -> Option<Vec<usize>> {
        let file = &self.files[*self.holders.get(name)?];
        file.metadata.info(name).map(|tensor| tensor.shape.clone())
    }

    fn read(&self, name: &str) -> Result<Tensor, Error> {
        let missing = || Error::MissingTensor { path: self.path(name).to_owned(), tensor: name.to_owned() };
        let file = &self.files[*self.holders.get(name).ok_or_else(missing)?];
        let tensor = file.metadata.info(name).ok_or_else(missing)?;
        let dtype = match tensor.dtype {
            Dtype::F32 => DType::F32,
            Dtype::F16 => DType::F16,
            Dtype::BF16 => DType::BF16,
            other => {
                return Err(Error::Unsupported {
                    path: file.path.clone(),
                    key: name.to_owned(),
                    value: format!("{other:?}"),
                    supported: "weights in F32, F16 and BF16",
                });
            }
        };
        let (start, end) = tensor.data_offsets;
        let bytes = file.map.get(file.first_byte + start..file.first_byte + end).ok_or_else(missing)?;
        let tensor = Tensor::from_raw_buffer(bytes, dtype, &tensor.shape, &Device::Cpu)?;
        Ok(tensor.to_dtype(DType::F32)?)
    }

    fn format(&self, name: &str) -> Option<String> {
        let file = &self.files[*self.holders.get(name)?];
        file.metadata.info(name).map(|tensor| format!("{:?}", tensor.dtype))
    }

    fn names(&self) -> BTreeSet<String> {
        self.holders.keys().cloned().collect()
    }

    fn is_derived(&self, name: &str) -> bool {
        // frequencies, and the causal masks of GPT-2 and GPT-NeoX
        [".rotary_emb.inv_freq", ".attn.bias", ".attn.masked_bias", ".attention.bias", ".attention.masked_bias"]
            .iter()
            .any(|end| name.ends_with(end))
    }
}
