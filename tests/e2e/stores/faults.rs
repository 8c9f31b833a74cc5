//! A store that throttles, fails, cuts bodies, takes credentials away and changes under a run.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::corpus;
use crate::site::assert_same;

use super::proxy::{Call, Verdict};
use super::servers::Store;
use super::{Lake, Outcome, local_artefacts, said};

/// A number from `seed` and `number`, below 1,000 (SplitMix64).
fn draw(seed: u64, number: usize) -> u64 {
    let mut mixed = seed.wrapping_add((number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ (mixed >> 31)) % 1000
}

/// 1 % of requests fail, 5 % are throttled, every tenth body is cut, some take longer.
fn troubled(seed: u64) -> impl Fn(&Call, usize) -> Verdict + Send + Sync {
    move |call, number| match draw(seed, number) {
        0..5 => Verdict::Refuse(500, "InternalError"),
        5..8 => Verdict::Lose,
        8..10 => Verdict::LoseAfter,
        10..60 => Verdict::Refuse(503, "SlowDown"),
        60..160 if call.method == hyper::Method::GET => Verdict::CutBody,
        160..200 => Verdict::Delay(Duration::from_millis(20)),
        _ => Verdict::Pass,
    }
}

fn ends_right(store: Store, seed: u64) -> Outcome {
    let lake = Lake::new(store)?;
    lake.proxy().follow(troubled(seed));
    let ended = lake.done("run", &[])?;
    let calls = lake.proxy().calls();
    assert_same(&local_artefacts()?, &lake.artefacts()?, "a troubled store");
    let failed = |verdict: &Verdict| {
        matches!(verdict, Verdict::Refuse(..) | Verdict::Lose | Verdict::LoseAfter | Verdict::CutBody)
    };
    let failures = calls.iter().filter(|(_, verdict)| failed(verdict)).count() as u64;
    let retries = lake.metrics()?["traffic"]["retries"].as_u64().ok_or("retries")?;
    // a body of less than two bytes cannot be cut, and a request may be lost before it is counted as sent twice by the client
    assert!(failures > 10, "the script did too little: {failures} of {}", calls.len());
    assert!(retries <= failures && retries * 10 >= failures * 7, "{retries} retries of {failures} failures");
    assert!(ended.stderr.contains("of them again"), "{}", ended.stderr);
    Ok(())
}

#[test]
fn a_run_on_a_troubled_store_ends_right() -> Outcome {
    (0..3).try_for_each(|seed| ends_right(Store::s3()?, seed))
}

#[test]
fn a_run_on_a_troubled_google_ends_right() -> Outcome {
    ends_right(Store::google()?, 7)
}

#[test]
fn a_run_on_a_troubled_azure_ends_right() -> Outcome {
    Store::azurite()?.map_or(Ok(()), |store| ends_right(store, 8))
}

#[test]
fn refusals_are_not_tried_again() -> Outcome {
    for (status, code) in [(403, "AccessDenied"), (400, "ExpiredToken"), (404, "NoSuchBucket")] {
        let lake = Lake::new(Store::s3()?)?;
        lake.proxy().follow(move |call, _| match call.query.contains("list-type=2") {
            true => Verdict::Refuse(status, code),
            false => Verdict::Pass,
        });
        let ended = lake.stage("plan", &[])?;
        ended.says(1, &["s3://lake/corpus", code]);
        let tries = lake.proxy().calls().iter().filter(|(_, verdict)| *verdict != Verdict::Pass).count();
        assert_eq!(tries, 1, "{status}");
    }
    Ok(())
}

#[test]
fn no_credentials_at_all_is_something_to_change() -> Outcome {
    let lake = Lake::new(Store::s3()?)?;
    let mut command = lake.site.command(&["plan", crate::site::PIPELINE]);
    // where an instance would ask for its role, nobody answers
    command.env("AWS_METADATA_ENDPOINT", "http://127.0.0.1:9").env("HOME", lake.site.path("home"));
    let ended = crate::site::finish(&mut command).map_err(said)?;
    ended.says(1, &["s3://lake/corpus/books", "credentials in the environment", "127.0.0.1:9"]);
    Ok(())
}

#[test]
fn an_output_that_cannot_be_used_is_told_of_before_any_work() -> Outcome {
    let lake = Lake::new(Store::s3()?)?;
    for (output, parts) in
        [("s3://nowhere/out", ["s3://nowhere", "NoSuchBucket"]), ("http://127.0.0.1:1/out", ["web servers", "read"])]
    {
        let ended = lake.stage("run", &["--set", &format!("run.output={output}")])?;
        ended.says(1, &parts);
        assert!(!ended.stderr.contains("plan") && !ended.stderr.contains("model"), "{}", ended.stderr);
    }
    Ok(())
}

#[test]
fn credentials_that_expire_are_one_error_and_the_run_goes_on_with_new_ones() -> Outcome {
    let lake = Lake::new(Store::s3()?)?;
    let sidecars = |call: &Call| call.writes() && call.key.contains("/scores/");
    lake.proxy().follow(move |call, _| match sidecars(call) && call.key.contains("/web/") {
        true => Verdict::Refuse(403, "ExpiredToken"),
        false => Verdict::Pass,
    });
    let ended = lake.stage("run", &[])?;
    ended.says(1, &["permission denied", "ExpiredToken"]);
    let errors = ended.stderr.lines().filter(|line| line.starts_with("error:"));
    assert_eq!(errors.count(), 1, "{}", ended.stderr);
    assert!(lake.all_artefacts()?.keys().any(|path| path.starts_with("scores/")), "what was done is kept");
    lake.proxy().follow(|_, _| Verdict::Pass);
    lake.done("run", &[])?;
    assert_same(&local_artefacts()?, &lake.artefacts()?, "new credentials");
    Ok(())
}

#[test]
fn a_store_that_stays_away_is_worth_another_try() -> Outcome {
    let lake = Lake::new(Store::s3()?)?;
    // bodies that are always cut: the client gives up sooner than with an answer of 503
    lake.proxy().follow(|call, _| match call.reads_shard() {
        true => Verdict::CutBody,
        false => Verdict::Pass,
    });
    let ended = lake.stage("plan", &[])?;
    ended.says(75, &["no answer from the store after retries", "run the same command again"]);
    Ok(())
}

#[test]
fn a_shard_that_is_replaced_meanwhile_is_caught() -> Outcome {
    let lake = Lake::new(Store::s3()?)?;
    lake.done("heads", &[])?;
    let others = corpus::bytes(&corpus::book_rows(77, 18).map_err(said)?, 7).map_err(said)?;
    // the last shard is replaced when the first column is read, after its footer was
    let (hit, replaced) = (std::sync::mpsc::channel(), AtomicBool::new(false));
    let (sender, receiver) = hit;
    lake.proxy().follow(move |call, _| {
        let is_column = call.reads_shard() && call.range.as_ref().is_some_and(|range| range.start == 4);
        if is_column && !replaced.swap(true, Ordering::SeqCst) {
            let (done, wait) = std::sync::mpsc::channel();
            if sender.send(done).is_ok() {
                // until the object is replaced
                let _ = wait.recv_timeout(Duration::from_secs(10));
            }
        }
        Verdict::Pass
    });
    let mut command = lake.command(&["score", crate::site::PIPELINE, "--set", "run.unit_bytes=64KiB"]);
    let ended = std::thread::scope(|scope| {
        let run = scope.spawn(|| crate::site::finish(&mut command).map_err(said));
        let done = receiver.recv_timeout(Duration::from_secs(60))?;
        lake.store.put("corpus/books/old/c.parquet", others)?;
        done.send(())?;
        run.join().map_err(|_| "the run panicked")?
    })?;
    ended.says(1, &["s3://lake/corpus/books/old/c.parquet", "changed since it was listed"]);
    // what was scored of other shards is kept, and nothing was scored of the new one
    let again = lake.stage("score", &["--set", "run.unit_bytes=64KiB"])?;
    again.says(1, &["shards changed since the run began", "books/old/c.parquet"]);
    lake.done("score", &["--set", "run.unit_bytes=64KiB", "--rescore"])?;
    Ok(())
}

#[test]
fn a_worker_of_another_class_stops_and_a_fleet_can_agree() -> Outcome {
    let lake = Lake::new(Store::s3()?)?;
    lake.done("run", &["--numerics", "plain"])?;
    let refused = lake.stage("score", &["--numerics", if cfg!(target_arch = "x86_64") { "avx2" } else { "neon" }])?;
    refused.says(1, &["other settings", "numerics", "plain"]);
    lake.done("score", &["--numerics", "plain"])?;
    lake.stage("score", &["--numerics", "mmx"])?.says(1, &["mmx"]);
    Ok(())
}
