//! Runs that are stopped and killed leave the bytes of a run that never was.

use std::path::PathBuf;

use fs_err as fs;
use headwater_schedule::{Curve, WsdSteps};

use super::*;
use crate::{AdamW, Precision, Shape};

fn settings() -> Settings {
    let shape = Shape {
        vocabulary: 13,
        width: 8,
        layers: 2,
        heads: 2,
        kv_heads: 1,
        head_width: 4,
        hidden: 6,
        ..Shape::default()
    };
    Settings {
        shape,
        sequences: 5,
        length: 6,
        optimiser: AdamW::default(),
        clip: Some(0.5),
        seed: 2,
        precision: Precision::F32,
    }
}

fn schedule() -> Schedule {
    let phases = WsdSteps { steps: 20, warmup_steps: 2, decay_steps: 6 };
    Schedule::wsd(phases, Curve::OneMinusSqrt, 0.01, 0.0).expect("a sound schedule")
}

/// What ends a run early.
#[derive(Clone, Copy)]
enum End {
    /// The caller stops it after a step.
    Stop(u64),
    /// It is gone before a step, whatever was saved.
    Kill(u64),
    Never,
}

fn run(folder: &Path, end: End) -> Result<Vec<StepLog>, Error> {
    let mut logs = Vec::new();
    let folder = RunFolder { path: folder, every_steps: 3 };
    let next = |step: u64, tokens: &mut [u32]| {
        if matches!(end, End::Kill(at) if at == step) {
            return Err(Error::Diverged { step });
        }
        let places = tokens.iter_mut().zip(0_u64..);
        places.for_each(|(token, at)| *token = u32::try_from((at * 5 + step * 7) % 13).expect("a small token"));
        Ok(())
    };
    pretrain(&settings(), &schedule(), folder, next, |progress| {
        assert!(progress.tokens_per_second > 0.0);
        logs.push(progress.log);
        let stops = matches!(end, End::Stop(at) if at == progress.log.step);
        Ok(if stops { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    Ok(logs)
}

/// The bytes that a finished run leaves.
fn left(folder: &Path) -> [Vec<u8>; 2] {
    ["stable", "final"].map(|name| {
        let path: PathBuf = folder.join(name).join("checkpoint.safetensors");
        fs::read(path).expect("a checkpoint")
    })
}

#[test]
fn runs_have_the_same_bytes_wherever_they_ended() {
    let whole = tempfile::tempdir().expect("a folder");
    let logs = run(whole.path(), End::Never).expect("a run");
    assert_eq!(logs.iter().map(|log| log.step).collect::<Vec<_>>(), (0..20).collect::<Vec<_>>());
    assert_eq!(run(whole.path(), End::Never).expect("a finished run"), [], "nothing is left to do");
    let expected = left(whole.path());
    assert_ne!(expected[0], expected[1]);
    for end in [0, 1, 2, 5, 12, 13, 14, 15, 18, 19].into_iter().flat_map(|at| [End::Stop(at), End::Kill(at)]) {
        let folder = tempfile::tempdir().expect("a folder");
        let first = run(folder.path(), end);
        assert_eq!(first.is_err(), matches!(end, End::Kill(_)));
        let rest = run(folder.path(), End::Never).expect("the rest");
        assert_eq!(rest[..], logs[20 - rest.len()..]);
        assert!(left(folder.path()) == expected);
    }
}

#[test]
fn the_stable_checkpoint_is_where_the_decay_begins() {
    let folder = tempfile::tempdir().expect("a folder");
    run(folder.path(), End::Never).expect("a run");
    let stable = Trainer::resume(&settings(), &schedule(), &folder.path().join("stable")).expect("a checkpoint");
    assert_eq!(stable.expect("one is there").completed(), 14);
}
