//! What is saved comes back, and what is not ours is refused.

use std::path::Path;

use fs_err as fs;
use headwater_schedule::{Curve, WsdSteps};

use super::*;
use crate::{AdamW, Precision, Shape};

fn settings() -> Settings {
    let shape = Shape {
        vocabulary: 13,
        width: 8,
        layers: 1,
        heads: 2,
        kv_heads: 1,
        head_width: 4,
        hidden: 6,
        ..Shape::default()
    };
    Settings {
        shape,
        sequences: 3,
        length: 5,
        optimiser: AdamW::default(),
        clip: Some(0.5),
        seed: 2,
        precision: Precision::F32,
    }
}

fn schedule(peak: f64) -> Schedule {
    let phases = WsdSteps { steps: 20, warmup_steps: 2, decay_steps: 5 };
    Schedule::wsd(phases, Curve::OneMinusSqrt, peak, 0.0).expect("a sound schedule")
}

fn batch(step: u32) -> Vec<u32> {
    (0..18).map(|at| (at * 5 + step * 7) % 13).collect()
}

/// A trainer after `steps`.
fn trained(steps: u32) -> Trainer {
    let mut trainer = Trainer::new(settings(), schedule(0.01)).expect("sound settings");
    for step in 0..steps {
        trainer.step(&batch(step)).expect("a step");
    }
    trainer
}

fn resume(folder: &Path) -> Result<Option<Trainer>, Error> {
    Trainer::resume(&settings(), &schedule(0.01), folder)
}

#[test]
fn a_trainer_comes_back_as_it_was() {
    let folder = tempfile::tempdir().expect("a folder");
    assert!(resume(folder.path()).expect("nothing to resume").is_none());
    let path = folder.path().join("deeper/still");
    trained(4).save(&path).expect("a checkpoint");
    let mut resumed = resume(&path).expect("a checkpoint").expect("one is there");
    assert_eq!(resumed.completed(), 4);
    resumed.step(&batch(4)).expect("a step");
    resumed.save(&path).expect("a checkpoint");
    let again = folder.path().join("never stopped");
    trained(5).save(&again).expect("a checkpoint");
    assert!(fs::read(path.join(FILE)).expect("a file") == fs::read(again.join(FILE)).expect("a file"));
    // nothing but the checkpoint is left
    assert_eq!(fs::read_dir(&path).expect("a folder").count(), 1);
}

#[test]
fn another_setting_is_named_with_both_values() {
    let folder = tempfile::tempdir().expect("a folder");
    trained(1).save(folder.path()).expect("a checkpoint");
    let path = folder.path().join(FILE);
    let path = path.display();
    let refused = |settings: &Settings, schedule: &Schedule| {
        Trainer::resume(settings, schedule, folder.path()).expect_err("another run's").to_string()
    };
    let other = Settings { sequences: 4, ..settings() };
    assert_eq!(refused(&other, &schedule(0.01)), format!("{path} was made with sequences = 3, not 4"));
    let other = Settings { shape: Shape { hidden: 7, ..settings().shape }, ..settings() };
    assert_eq!(refused(&other, &schedule(0.01)), format!("{path} was made with shape.hidden = 6, not 7"));
    let other = Settings { clip: None, ..settings() };
    assert_eq!(refused(&other, &schedule(0.01)), format!("{path} was made with clip = 0.5, not null"));
    let other = Settings { precision: Precision::Bf16, ..settings() };
    assert_eq!(refused(&other, &schedule(0.01)), format!("{path} was made with precision = f32, not bf16"));
    let folder = tempfile::tempdir().expect("a folder");
    let mut rounded = trained(1);
    rounded.settings.precision = Precision::Bf16;
    rounded.save(folder.path()).expect("a checkpoint");
    let error = resume(folder.path()).expect_err("another precision").to_string();
    assert!(error.ends_with("was made with precision = bf16, not f32"), "{error}");
    let error = refused(&settings(), &schedule(0.02));
    assert!(error.contains("peak_lr: 0.01") && error.contains("peak_lr: 0.02"), "{error}");
}

/// Plans and checkpoints in float32 are what they were before there was another precision.
#[test]
fn float32_is_what_a_precision_is_that_is_not_written() {
    let written = json(&settings());
    assert!(written.get("precision").is_none());
    assert_eq!(serde_json::from_value::<Settings>(written).expect("settings"), settings());
    let rounded = Settings { precision: Precision::Bf16, ..settings() };
    assert_eq!(json(&rounded)["precision"], "bf16");
    assert_eq!(serde_json::from_value::<Settings>(json(&rounded)).expect("settings"), rounded);
}

#[test]
fn damaged_files_are_refused_in_one_line() {
    let folder = tempfile::tempdir().expect("a folder");
    trained(1).save(folder.path()).expect("a checkpoint");
    let path = folder.path().join(FILE);
    let whole = fs::read(&path).expect("a file");
    let mut flipped = whole.clone();
    *flipped.last_mut().expect("bytes") ^= 1;
    let foreign = safetensors::serialize(std::iter::empty::<(String, safetensors::tensor::TensorView<'_>)>(), None);
    let foreign = foreign.expect("an empty file");
    for damaged in [&[][..], &whole[..40], &whole[..whole.len() - 1], &flipped, &foreign, b"no such format, and long"] {
        fs::write(&path, damaged).expect("a file");
        let error = resume(folder.path()).expect_err("it is damaged");
        let shown = error.to_string();
        assert!(matches!(error, Error::Damaged { .. }), "{shown}");
        assert!(shown.contains(FILE) && !shown.contains('\n'), "{shown}");
    }
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    fs::write(&file, "a file, not a folder").expect("a file");
    assert!(matches!(trained(0).save(&file), Err(Error::Write { .. })));
    assert!(matches!(resume(&file), Err(Error::Read { .. })));
}
