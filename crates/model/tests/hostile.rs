//! Files that are broken or lie about themselves: every one must end in an error that names it.

mod fixture;

use std::path::Path;

use fixture::{Outcome, load, paths, tiny};
use headwater_model::{EngineOptions, Error, HeadMask, Level, Model, ModelPaths, Precision};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize_to_file};

/// The error of loading `paths`, which must name `file`.
fn refused(paths: &ModelPaths, file: &Path) -> Error {
    let error = Model::load(paths, &EngineOptions::default()).expect_err(&format!("{} is broken", file.display()));
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(source) = cause {
        text = format!("{text}: {source}");
        cause = source.source();
    }
    assert!(text.contains(&*file.to_string_lossy()), "{} is not named: {text}", file.display());
    error
}

fn refused_at(path: &Path) -> Result<Error, Box<dyn std::error::Error>> {
    Ok(refused(&paths(path)?, path))
}

/// The tensors of the tiny llama, changed by `change`, in a folder of their own.
fn changed_llama(
    change: impl FnOnce(&mut Vec<(String, TensorView<'_>)>),
) -> Result<tempfile::TempDir, Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    for file in ["config.json", "tokenizer.json"] {
        fs_err::copy(tiny("llama").join(file), folder.path().join(file))?;
    }
    let bytes = fs_err::read(tiny("llama/model.safetensors"))?;
    let mut tensors = SafeTensors::deserialize(&bytes)?.tensors();
    change(&mut tensors);
    serialize_to_file(tensors, None, &folder.path().join("model.safetensors"))?;
    Ok(folder)
}

#[test]
fn every_hostile_file_is_refused_by_name() -> Outcome {
    let mut seen = 0;
    for entry in fs_err::read_dir(tiny("hostile"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "safetensors") {
            refused(&ModelPaths { weights: vec![path.clone()], ..paths(&tiny("llama"))? }, &path);
        } else {
            refused_at(&path)?;
        }
        seen += 1;
    }
    assert_eq!(seen, 14, "hostile files");
    Ok(())
}

#[test]
fn what_is_wrong_is_said() -> Outcome {
    let error = refused_at(&tiny("hostile/unknown_pre.gguf"))?;
    assert!(
        matches!(&error, Error::Unsupported { key, value, .. } if key == "tokenizer.ggml.pre" && value == "nonesuch")
    );
    let error = refused_at(&tiny("hostile/wrong_magic.gguf"))?;
    assert!(matches!(error, Error::Format { format: "GGUF", .. }), "{error}");
    let error = refused_at(&tiny("hostile/shape_mismatch"))?;
    assert!(
        matches!(&error, Error::TensorShape { tensor, expected, got, .. }
            if tensor == "model.layers.0.self_attn.q_proj.weight" && *expected == [16, 16] && *got == [12, 16]),
        "{error}"
    );
    let error = refused_at(&tiny("hostile/vocab_too_large"))?;
    assert!(matches!(error, Error::Vocabulary { highest: 303, rows: 100, .. }), "{error}");
    Ok(())
}

#[test]
fn an_alignment_of_zero_is_refused() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("alignment.gguf");
    for (kind, value) in [(4_u32, &[0_u8; 4][..]), (0, &[0]), (2, &[0, 0])] {
        for key in ["general.alignment", "general.alignment\0"] {
            let mut bytes = b"GGUF".to_vec();
            bytes.extend(3_u32.to_le_bytes());
            bytes.extend(0_u64.to_le_bytes());
            bytes.extend(1_u64.to_le_bytes());
            bytes.extend((key.len() as u64).to_le_bytes());
            bytes.extend(key.bytes());
            bytes.extend(kind.to_le_bytes());
            bytes.extend(value);
            bytes.extend([1; 64]);
            fs_err::write(&path, &bytes)?;
            let error = refused_at(&path)?;
            assert!(error.to_string().contains("`general.alignment` is 0"), "{error}");
        }
    }
    Ok(())
}

#[test]
fn a_gguf_cut_anywhere_is_refused() -> Outcome {
    let whole = fs_err::read(tiny("llama-mixed.gguf"))?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("cut.gguf");
    for length in (0..whole.len()).step_by(whole.len() / 97) {
        fs_err::write(&path, &whole[..length])?;
        refused_at(&path)?;
    }
    Ok(())
}

#[test]
fn an_unchanged_copy_loads() -> Outcome {
    load(changed_llama(|_| ())?.path(), &EngineOptions::default())?;
    Ok(())
}

#[test]
fn a_tensor_that_the_architecture_does_not_have_is_refused() -> Outcome {
    for name in ["model.layers.0.self_attn.sinks", "model.layers.0.self_attn.q_norm.weight"] {
        let folder = changed_llama(|tensors| {
            let extra = TensorView::new(Dtype::F32, vec![2], &[0; 8]).expect("invariant: two floats are eight bytes");
            tensors.push((name.to_owned(), extra));
        })?;
        let error = refused(&paths(folder.path())?, &folder.path().join("model.safetensors"));
        assert!(matches!(&error, Error::UnusedTensor { tensor, .. } if tensor == name), "{error}");
    }
    Ok(())
}

#[test]
fn a_missing_tensor_is_named() -> Outcome {
    let name = "model.layers.2.mlp.up_proj.weight";
    let folder = changed_llama(|tensors| tensors.retain(|(tensor, _)| tensor != name))?;
    let error = refused(&paths(folder.path())?, &folder.path().join("model.safetensors"));
    assert!(matches!(&error, Error::MissingTensor { tensor, .. } if tensor == name), "{error}");
    Ok(())
}

#[test]
fn an_architecture_without_its_own_tensors_is_refused() -> Outcome {
    for (model_type, missing) in
        [("qwen2", "model.layers.0.self_attn.q_proj.bias"), ("qwen3", "model.layers.0.self_attn.q_norm.weight")]
    {
        let folder = changed_llama(|_| ())?;
        let config = folder.path().join("config.json");
        let text = fs_err::read_to_string(&config)?;
        fs_err::write(&config, text.replace(r#""model_type": "llama""#, &format!(r#""model_type": "{model_type}""#)))?;
        let error = refused(&paths(folder.path())?, &folder.path().join("model.safetensors"));
        assert!(matches!(&error, Error::MissingTensor { tensor, .. } if tensor == missing), "{error}");
    }
    Ok(())
}

#[test]
fn weights_that_are_not_there_are_named() -> Outcome {
    let path = tiny("no-such-model.gguf");
    assert!(matches!(refused_at(&path)?, Error::Map(_)));
    Ok(())
}

/// How many damaged headers are tried.
const DAMAGED: usize = 2_000;

/// Bytes of a header that are damaged: beyond them lie the numbers of tensors.
const HEADER_BYTES: usize = 16_000;

#[test]
fn a_damaged_header_is_refused_or_read_and_never_worse() -> Outcome {
    let files = ["llama-mixed.gguf", "gemma2.gguf", "gpt_neox.gguf", "phi3.gguf", "smollm3.gguf"];
    let files = files.into_iter().map(|file| fs_err::read(tiny(file))).collect::<Result<Vec<_>, _>>()?;
    let (folder, mut rng) = (tempfile::tempdir()?, ChaCha8Rng::seed_from_u64(5));
    let options =
        EngineOptions { precision: Precision::F32, instructions: Some(Level::Plain), ..EngineOptions::default() };
    let (path, mut loaded) = (folder.path().join("damaged.gguf"), 0);
    for index in 0..DAMAGED {
        let mut bytes = files[index % files.len()].clone();
        for _ in 0..rng.random_range(1..4) {
            let at = rng.random_range(0..HEADER_BYTES.min(bytes.len()));
            bytes[at] = rng.random();
        }
        fs_err::write(&path, &bytes)?;
        // what is left of a model runs, whatever its losses are
        if let Ok(model) = load(&path, &options) {
            model.engine().losses(&[5, 9, 3], &HeadMask::default())?;
            loaded += 1;
        }
    }
    assert!(loaded > 0 && loaded < DAMAGED, "{loaded} of {DAMAGED} were loaded");
    Ok(())
}
