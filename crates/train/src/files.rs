//! Files that appear whole or not at all, and tensors in them.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::Path;

use fs_err as fs;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

use crate::Error;
use crate::layout::Layout;

/// Writes `bytes` under a temporary name, flushes them to the device, and gives them their name in `folder`, which is made if it is missing.
pub(crate) fn write(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), Error> {
    let path = folder.join(name);
    let failed = |source| Error::Write { path: path.clone(), source };
    fs::create_dir_all(folder).map_err(failed)?;
    let mut file = tempfile::Builder::new().prefix(&format!(".{name}.")).tempfile_in(folder).map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist(&path).map_err(|error| failed(error.error))?;
    flush_folder(folder).map_err(failed)
}

/// Flushes the names in `folder` to the device; file systems that cannot are taken at their word.
fn flush_folder(folder: &Path) -> io::Result<()> {
    match fs::OpenOptions::new().read(true).open(folder)?.sync_all() {
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => Ok(()),
        outcome => outcome,
    }
}

/// Numbers in the order of memory that safetensors asks for.
pub(crate) fn little_endian(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|x| x.to_le_bytes()).collect()
}

/// Reads numbers in that order.
pub(crate) fn numbers(bytes: &[u8]) -> Vec<f32> {
    let (words, _) = bytes.as_chunks();
    words.iter().map(|word| f32::from_le_bytes(*word)).collect()
}

/// Returns the bytes of all tensors of a file with `prefix`, laid out as `layout`, or what is wrong with one of them.
pub(crate) fn slice(tensors: &SafeTensors<'_>, layout: &Layout, prefix: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(layout.numbers() * 4);
    for tensor in layout.tensors() {
        let name = format!("{prefix}{}", tensor.name);
        let view = tensors.tensor(&name).map_err(|error| error.to_string())?;
        if view.dtype() != Dtype::F32 || view.shape() != tensor.shape {
            let (dtype, got, expected) = (view.dtype(), view.shape(), &tensor.shape);
            return Err(format!("{name} is {got:?} of {dtype:?}, not {expected:?} of F32"));
        }
        bytes.extend_from_slice(view.data());
    }
    Ok(bytes)
}

/// Puts slices that are laid out as `layout`, as [`little_endian`] numbers, into one file: each tensor under the prefix of its slice and its
/// own name, and one entry of metadata. More than one would have no fixed order.
pub(crate) fn tensors_file(layout: &Layout, slices: &[(&str, Vec<u8>)], (key, value): (&str, String)) -> Vec<u8> {
    let of_slice = |(prefix, bytes): &'_ (&str, Vec<u8>)| -> Vec<(String, Vec<usize>, std::ops::Range<usize>)> {
        assert_eq!(bytes.len(), layout.numbers() * 4, "a number for each parameter");
        let tensors = layout.tensors().iter();
        tensors
            .map(|tensor| {
                (format!("{prefix}{}", tensor.name), tensor.shape.clone(), tensor.place.start * 4..tensor.place.end * 4)
            })
            .collect()
    };
    let views = slices.iter().flat_map(|slice| {
        of_slice(slice).into_iter().map(|(name, shape, place)| {
            let view = TensorView::new(Dtype::F32, shape, &slice.1[place]);
            (name, view.expect("invariant: a tensor has four bytes for each number"))
        })
    });
    let metadata = HashMap::from([(key.to_owned(), value)]);
    safetensors::serialize(views, Some(metadata)).expect("invariant: names differ and sizes are those of the shapes")
}
