//! Models that are broken, lie about themselves or give no numbers.

use std::error::Error;
use std::path::{Path, PathBuf};

use crate::corpus;
use crate::scores::{documents, rows_below};
use crate::site::{Outcome, PIPELINE, Site, pipeline, tiny};

#[test]
fn hostile_models_are_refused_by_name() -> Outcome {
    let site = Site::new()?;
    let cases: [(&str, &[&str]); 9] = [
        ("hostile/tensor_count.gguf", &["not a usable GGUF file"]),
        ("hostile/kv_count.gguf", &["not a usable GGUF file"]),
        ("hostile/string_length.gguf", &["not a usable GGUF file"]),
        ("hostile/huge_dims.gguf", &["huge_dims.gguf"]),
        ("hostile/truncated.gguf", &["not a usable GGUF file"]),
        ("hostile/empty.gguf", &["empty.gguf"]),
        ("hostile/unknown_pre.gguf", &["`tokenizer.ggml.pre` is nonesuch"]),
        ("hostile/shape_mismatch", &["q_proj.weight", "[12, 16]", "configuration needs [16, 16]"]),
        ("hostile/vocab_too_large", &["ids up to 303", "100 rows"]),
    ];
    for (name, parts) in cases {
        let path = tiny(name);
        let file = path.to_string_lossy();
        site.stage("run", &["--set", &format!("model.name={file}")])?.says(1, &[&[&*file], parts].concat());
    }
    site.stage("run", &["--set", "model.name=corpus"])?.says(1, &["corpus", "model.safetensors"]);
    Ok(())
}

/// A copy of the tiny untied model in which `change` edits the bytes of one tensor.
fn changed(site: &Site, tensor: &str, change: impl FnOnce(&mut [u8])) -> Result<PathBuf, Box<dyn Error>> {
    let (from, to) = (tiny("llama3_rope"), site.path("model"));
    fs_err::create_dir(&to)?;
    for file in ["config.json", "tokenizer.json"] {
        fs_err::copy(from.join(file), to.join(file))?;
    }
    let mut weights = fs_err::read(from.join("model.safetensors"))?;
    let header = usize::try_from(u64::from_le_bytes(weights[..8].try_into()?))?;
    let tensors: serde_json::Value = serde_json::from_slice(&weights[8..8 + header])?;
    let offset = |end: usize| tensors[tensor]["data_offsets"][end].as_u64().ok_or("no such tensor");
    let (start, end) = (usize::try_from(offset(0)?)?, usize::try_from(offset(1)?)?);
    change(&mut weights[8 + header..][start..end]);
    fs_err::write(to.join("model.safetensors"), weights)?;
    Ok(to)
}

/// The id of the token `token` in the tokenizer of `model`.
fn token_id(model: &Path, token: &str) -> Result<usize, Box<dyn Error>> {
    let tokenizer: serde_json::Value = serde_json::from_slice(&fs_err::read(model.join("tokenizer.json"))?)?;
    Ok(usize::try_from(tokenizer["model"]["vocab"][token].as_u64().ok_or("no such token")?)?)
}

fn with_nan(bytes: &mut [u8]) {
    for value in bytes.as_chunks_mut::<4>().0 {
        *value = f32::NAN.to_le_bytes();
    }
}

#[test]
fn documents_without_finite_losses_are_never_ranked() -> Outcome {
    let site = Site::new()?;
    let z = token_id(&tiny("llama3_rope"), "Z")?;
    let width = 4 * 32;
    let model = changed(&site, "model.embed_tokens.weight", |bytes| with_nan(&mut bytes[z * width..][..width]))?;
    let mut texts = corpus::texts(1, 11);
    texts[2].insert(40, 'Z');
    texts[7].insert(20, 'Z');
    let text: arrow::array::ArrayRef = std::sync::Arc::new(arrow::array::StringArray::from(texts));
    let batch = arrow::array::RecordBatch::try_from_iter([("text", text)])?;
    corpus::shard(&site.path("corpus/some/a.parquet"), &batch, 4)?;
    site.write(PIPELINE, &pipeline("[[corpus]]\nname = \"a\"\npaths = [\"corpus/some\"]\n", &model))?;
    let finished = site.stage("run", &["--set", "select.fraction=1.0"])?;
    finished.says(2, &["2 of 11 documents", "non-finite"]);
    for ((_, _, row), document) in documents(&site)? {
        let expected = if row == 2 || row == 7 {
            "non-finite"
        } else if row == 10 {
            "short"
        } else {
            "scored"
        };
        assert_eq!(document["status"], expected, "row {row}");
    }
    assert_eq!(rows_below(&site, "selected/")?.len(), 8);
    Ok(())
}

#[test]
fn a_model_that_gives_no_number_at_all_ends_in_exit_code_2() -> Outcome {
    let site = Site::new()?;
    let model = changed(&site, "model.norm.weight", with_nan)?;
    site.write(PIPELINE, &pipeline(&corpus::tables(), &model))?;
    site.stage("run", &[])?.says(2, &["non-finite", "max_rejects"]);
    assert!(documents(&site)?.values().all(|row| row["status"] != "scored"));
    assert_eq!(rows_below(&site, "selected/")?.len(), 0);
    Ok(())
}
