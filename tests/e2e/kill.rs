//! A run that is killed at any moment and started again leaves what an uninterrupted run leaves.

use std::error::Error;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::site::{Artefacts, Outcome, PIPELINE, Site, assert_same};

const MOMENTS: usize = 10;

/// How long a whole run takes, and what it leaves.
fn uninterrupted() -> Result<(Duration, Artefacts), Box<dyn Error>> {
    let site = Site::new()?;
    let began = Instant::now();
    site.done("run", &[])?;
    Ok((began.elapsed(), site.artefacts()?))
}

/// Starts a run and sends it SIGKILL after `delay`; false if it was done before.
fn killed_after(site: &Site, delay: Duration) -> Result<bool, Box<dyn Error>> {
    let mut command = site.command(&["run", PIPELINE, "--quiet"]);
    let mut run = command.stdout(Stdio::null()).spawn()?;
    // the moment is what this test is about
    std::thread::sleep(delay);
    run.kill()?;
    Ok(run.wait()?.code().is_none())
}

/// Requires that no artefact of an unfinished run is half written: each is as in a whole run.
fn assert_whole(site: &Site, whole: &Artefacts) -> Outcome {
    if !site.path(crate::site::OUTPUT).exists() {
        return Ok(());
    }
    // what a search for heads has measured, and both versions of recipes that are being replaced
    const PARTIAL: [&str; 2] = ["heads-partial.json", "recipe/manifest.json"];
    for (path, bytes) in site.artefacts()?.into_iter().filter(|(path, _)| !PARTIAL.contains(&path.as_str())) {
        assert!(whole.get(&path) == Some(&bytes), "{path} is not as in a whole run");
    }
    Ok(())
}

#[test]
fn killed_at_random_moments_a_run_resumes_to_the_same_bytes() -> Outcome {
    let (took, whole) = uninterrupted()?;
    let mut random = ChaCha8Rng::seed_from_u64(5);
    for moment in 0..MOMENTS {
        // one moment in each tenth of a run's time
        let mut delay = took.mul_f64((moment as f64 + random.random_range(0.0..1.0)) / MOMENTS as f64);
        let mut site = Site::new()?;
        while !killed_after(&site, delay)? {
            delay = delay.mul_f64(0.8);
            site = Site::new()?;
        }
        assert_whole(&site, &whole)?;
        site.done("run", &[])?;
        assert_same(&whole, &site.artefacts()?, &format!("killed after {delay:?}"));
    }
    Ok(())
}

#[test]
fn killed_again_and_again_a_run_still_ends() -> Outcome {
    let (took, whole) = uninterrupted()?;
    let mut random = ChaCha8Rng::seed_from_u64(6);
    let site = Site::new()?;
    for _ in 0..MOMENTS {
        killed_after(&site, took.mul_f64(random.random_range(0.1..0.9)))?;
        assert_whole(&site, &whole)?;
    }
    site.done("run", &[])?;
    assert_same(&whole, &site.artefacts()?, "killed ten times");
    Ok(())
}
