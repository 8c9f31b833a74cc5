//! The torch engine, with a worker that needs no PyTorch; real ones are tested by `tests/python`.

#[path = "fixture/mod.rs"]
mod fixture;

use std::path::{Path, PathBuf};

use headwater_model::{Concurrency, EngineChoice, EngineOptions, Error, HeadMask, MaskKind, Precision, WindowLosses};
use headwater_record::HeadSet;

use fixture::{Outcome, load, tiny};

/// A folder with the files of the tiny Llama, named `name`, and an interpreter that runs the fake worker.
fn site(name: &str) -> Result<(tempfile::TempDir, PathBuf, EngineOptions), Box<dyn std::error::Error>> {
    let scratch = tempfile::tempdir()?;
    let folder = scratch.path().join(name);
    fs_err::create_dir(&folder)?;
    for file in ["config.json", "model.safetensors", "tokenizer.json"] {
        fs_err::copy(tiny("llama").join(file), folder.join(file))?;
    }
    let python = scratch.path().join("python");
    let fake = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixture/fake_worker.py");
    fs_err::write(&python, format!("#!/bin/sh\nexec python3 {}\n", fake.display()))?;
    let mut permissions = fs_err::metadata(&python)?.permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o755);
    fs_err::set_permissions(&python, permissions)?;
    let options = EngineOptions { engine: EngineChoice::Torch, python, ..EngineOptions::default() };
    Ok((scratch, folder, options))
}

/// The losses that the fake worker gives.
#[expect(clippy::cast_precision_loss, reason = "small tokens")]
fn expected(window: &[u32]) -> WindowLosses {
    let base: Vec<f32> = window[1..].iter().map(|token| *token as f32).collect();
    let masked = base.iter().map(|loss| loss / 2.0).collect();
    WindowLosses { base, masked }
}

fn mask() -> Result<HeadMask, Error> {
    Ok(HeadMask { set: HeadSet::new(vec![(1, 0).into()])?, kind: MaskKind::CausalUniform })
}

const WINDOWS: [&[u32]; 4] = [&[1, 2, 3], &[4, 5, 6, 7, 10], &[11], &[12, 13]];

#[test]
fn windows_come_back_in_their_order_from_every_device() -> Outcome {
    for devices in ["cpu", "cuda:0,cuda:1", "a, b, c, d, e"] {
        let (scratch, folder, options) = site("model")?;
        let model = load(&folder, &EngineOptions { device: devices.to_owned(), ..options })?;
        let engine = model.engine();
        let losses = engine.batch_losses(&WINDOWS, &mask()?)?;
        assert_eq!(losses, WINDOWS.map(expected), "{devices}");
        assert_eq!(engine.losses(&[3, 4], &HeadMask::default())?.masked, [4.0]);
        let starts = fs_err::read_to_string(scratch.path().join("model/starts"))?;
        assert_eq!(starts.lines().count(), devices.split(',').count());
        let numerics = model.numerics();
        assert_eq!(numerics.engine, "torch");
        assert!(numerics.instructions.contains("torch 0, transformers 0"), "{numerics:?}");
        assert!(matches!(engine.concurrency(), Concurrency::Batch { tokens } if tokens > 1), "{devices}");
        assert!(model.spec().is_none() && model.shape().vocab == 512);
        let argmax = engine.attention_argmax(&[1, 2, 3], 1..3)?;
        assert_eq!((argmax.position(0, 0, 0), argmax.position(1, 1, 1)), (0, 7));
        assert_eq!(engine.predictions(&[1, 2, 3], 1..3, &[mask()?, HeadMask::default()])?.concat().len(), 4);
        assert!(matches!(engine.losses(&[512], &mask()?), Err(Error::TokenOutOfRange { .. })));
    }
    Ok(())
}

#[test]
fn a_worker_that_dies_is_started_again_once() -> Outcome {
    let (scratch, folder, options) = site("model")?;
    let model = load(&folder, &options)?;
    let window: &[u32] = &[1, 9, 2];
    assert_eq!(model.engine().batch_losses(&[window], &mask()?)?, [expected(window)]);
    assert_eq!(fs_err::read_to_string(scratch.path().join("model/starts"))?.lines().count(), 2);
    let (_scratch, folder, options) = site("forever")?;
    let model = load(&folder, &options)?;
    let died = model.engine().losses(window, &mask()?).expect_err("it dies twice");
    assert!(matches!(died, Error::TorchDied { .. }) && died.to_string().contains("exit status: 3"), "{died}");
    // and goes on with what it can do
    assert_eq!(model.engine().losses(&[1, 2], &mask()?)?, expected(&[1, 2]));
    Ok(())
}

#[test]
fn what_goes_wrong_is_told_in_the_workers_words() -> Outcome {
    let (_scratch, folder, options) = site("model")?;
    let with = |device: &str| EngineOptions { device: device.to_owned(), ..options.clone() };
    let said = |options: &EngineOptions| load(&folder, options).expect_err("no engine").to_string();
    assert!(said(&with("none")).contains("torch 0 cannot use device none"));
    let mute = said(&with("mute"));
    assert!(mute.contains("ended at its start") && mute.contains("no module named torch"), "{mute}");
    let missing = EngineOptions { python: "no/python".into(), ..options.clone() };
    assert!(said(&missing).contains("HEADWATER_PYTHON"));
    assert!(said(&EngineOptions { precision: Precision::Int8, ..options.clone() }).contains("bf16 and f32"));
    // where the engine is chosen, candle is next, and both say why they cannot
    let chosen = said(&EngineOptions { engine: EngineChoice::Auto, ..with("mute") });
    assert!(chosen.contains("there are cpu, cuda:N and metal") && chosen.contains("no module named torch"), "{chosen}");
    let model = load(&folder, &options)?;
    let memory = model.engine().losses(&[1, 8], &mask()?).expect_err("too much");
    assert!(matches!(memory, Error::TorchMemory { .. }), "{memory}");
    Ok(())
}
