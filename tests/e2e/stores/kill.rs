//! SIGKILL before and after every request that changes the store: the next start ends as if nothing had happened.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::{ArrayRef, BinaryArray, RecordBatch, StringArray};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::corpus;
use crate::site::{Artefacts, OUTPUT, PIPELINE, Site, assert_same, pipeline, tiny};

use super::proxy::{Call, Verdict};
use super::servers::Store;
use super::{Lake, Outcome, said};

/// Kills a run at every write of `points`, resumes it, and compares with `whole`.
fn matrix(lake: &Lake, points: &BTreeSet<String>, whole: &Artefacts) -> Outcome {
    for point in points {
        for verdict in [Verdict::KillBefore, Verdict::KillAfter] {
            lake.store.clear(OUTPUT)?;
            let wanted = point.clone();
            lake.proxy().follow(
                move |call, _| if call.writes() && call.to_string() == wanted { verdict } else { Verdict::Pass },
            );
            assert!(lake.run_to_be_killed()?, "{point}: the run was not killed");
            // the recipes' manifest names both versions of files that are being replaced
            for (path, bytes) in lake.artefacts()?.into_iter().filter(|(path, _)| path != "recipe/manifest.json") {
                assert!(whole.get(&path) == Some(&bytes), "{verdict:?} {point}: {path} is not as in a whole run");
            }
            lake.proxy().follow(|_, _| Verdict::Pass);
            lake.done("run", &[])?;
            assert_same(whole, &lake.artefacts()?, &format!("{verdict:?} {point}"));
        }
    }
    Ok(())
}

/// The names of all writes of a whole run, and what it leaves.
fn points(lake: &Lake) -> Result<(BTreeSet<String>, Artefacts), super::Failure> {
    lake.proxy().follow(|_, _| Verdict::Pass);
    lake.done("run", &[])?;
    let writes = |(call, _): (Call, Verdict)| call.writes().then(|| call.to_string());
    Ok((lake.proxy().calls().into_iter().filter_map(writes).collect(), lake.artefacts()?))
}

#[test]
fn killed_at_any_write_a_run_resumes_to_the_same_bytes() -> Outcome {
    let lake = Lake::new(Store::s3()?)?;
    let (points, whole) = points(&lake)?;
    let stages = [
        "run.json",
        "heads.json",
        "/scores/",
        "/selected/",
        "rejects.parquet",
        "selection.json",
        "schedule.svg",
        "/recipe/",
    ];
    for stage in stages {
        assert!(points.iter().any(|point| point.contains(stage)), "no write of {stage} among {points:?}");
    }
    matrix(&lake, &points, &whole)
}

/// A lake whose subset is 20 MiB, which cannot be compressed, and so takes an upload of three parts.
fn big_lake() -> Result<Lake, super::Failure> {
    let site = Site::empty().map_err(said)?;
    let mut random = ChaCha8Rng::seed_from_u64(9);
    let texts: Vec<String> = (0..20).map(|_| corpus::text(&mut random, 40)).collect();
    let payloads: Vec<Vec<u8>> = (0..20).map(|_| (0..1 << 20).map(|_| random.random()).collect()).collect();
    let columns: [(&str, ArrayRef); 2] =
        [("text", Arc::new(StringArray::from(texts))), ("payload", Arc::new(BinaryArray::from_iter_values(&payloads)))];
    let rows = RecordBatch::try_from_iter(columns)?;
    corpus::shard(&site.path("corpus/big.parquet"), &rows, 20).map_err(said)?;
    let table = "[[corpus]]\nname = \"big\"\npaths = [\"corpus/*.parquet\"]\n";
    site.write(PIPELINE, &pipeline(table, &tiny("llama")).replace("fraction = 0.25", "fraction = 1.0"))?;
    Lake::of(site, Store::s3()?)
}

/// The steps of the upload of a subset among `points`.
fn upload_steps(points: &mut BTreeSet<String>) {
    points.retain(|point| point.contains("/selected/"));
    let steps: Vec<&str> = points.iter().filter_map(|point| point.split('?').nth(1)).collect();
    for step in ["uploads", "part=1", "part=2", "part=3", "complete"] {
        assert!(steps.contains(&step), "{points:?}");
    }
}

#[test]
fn killed_in_a_multipart_upload_a_run_resumes_and_shows_no_part() -> Outcome {
    let lake = big_lake()?;
    let (mut points, whole) = points(&lake)?;
    upload_steps(&mut points);
    matrix(&lake, &points, &whole)
}

#[test]
fn a_multipart_upload_whose_answers_are_lost_ends_or_is_worth_another_try() -> Outcome {
    let lake = big_lake()?;
    let (mut points, whole) = points(&lake)?;
    upload_steps(&mut points);
    for point in &points {
        for verdict in [Verdict::Lose, Verdict::LoseAfter, Verdict::CutBody] {
            lake.store.clear(OUTPUT)?;
            let (wanted, done) = (point.clone(), AtomicBool::new(false));
            lake.proxy().follow(move |call, _| {
                let is_it = call.writes() && call.to_string() == wanted && !done.swap(true, Ordering::SeqCst);
                if is_it { verdict } else { Verdict::Pass }
            });
            let ended = lake.stage("run", &[])?;
            assert!(matches!(ended.code, Some(0 | 75)), "{verdict:?} {point}: {ended:#?}");
            if ended.code == Some(75) {
                let aborted = lake.proxy().calls().iter().any(|(call, _)| call.method == hyper::Method::DELETE);
                assert!(aborted || point.ends_with("?uploads"), "{verdict:?} {point}: the upload was not aborted");
                lake.done("run", &[])?;
            }
            assert_same(&whole, &lake.artefacts()?, &format!("{verdict:?} {point}"));
        }
    }
    Ok(())
}
