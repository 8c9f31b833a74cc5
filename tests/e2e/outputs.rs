//! Outputs that cannot be written, and disks that fill up: one clear error, nothing lost.

use std::process::Command;

use crate::site::{OUTPUT, Outcome, PIPELINE, Site, assert_same, finish};
use crate::skipped::skip;

#[test]
fn an_output_that_cannot_be_written_is_refused_before_any_work() -> Outcome {
    let site = Site::new()?;
    site.write("file", "")?;
    for output in ["file", "file/below", "/proc/headwater", "/sys/headwater"] {
        let finished = site.stage("run", &["--set", &format!("run.output={output}")])?;
        finished.says(1, &[output, "cannot write here; make the folder writable or choose another"]);
        assert!(!finished.stderr.contains("model "), "the model was loaded first: {}", finished.stderr);
    }
    Ok(())
}

#[test]
fn a_full_disk_loses_nothing() -> Outcome {
    let whole = Site::new()?;
    whole.done("run", &[])?;
    let site = Site::new()?;
    let mounted = finish(Command::new("unshare").args(["-rm", "true"]));
    if !mounted.is_ok_and(|finished| finished.code == Some(0)) {
        skip("a small disk cannot be mounted here");
        return Ok(());
    }
    // a disk of 64 KiB holds some of the sidecars; what is on it is copied out, as it vanishes with the mount
    let script = r#"set -e; mkdir disk "$2"; mount -t tmpfs -o size=64k none disk
        code=0; "$0" run "$1" --set "run.output=disk" || code=$?; cp -a disk/. "$2"; exit $code"#;
    let mut command = Command::new("unshare");
    command.args(["-rm", "bash", "-c", script, env!("CARGO_BIN_EXE_headwater"), PIPELINE, OUTPUT]);
    let finished = finish(command.current_dir(site.path(".")))?;
    if finished.stderr.contains("mount:") {
        skip(&format!("a small disk cannot be mounted here: {}", finished.stderr.trim_end()));
        return Ok(());
    }
    finished.says(1, &["no space left; free some and start again, finished files are kept"]);
    let kept = site.artefacts()?;
    let done = kept.keys().filter(|path| path.starts_with("scores/")).count();
    assert!(done > 0, "the disk holds some sidecars: {finished:#?}");
    site.done("run", &[])?;
    let scored = site.json("metrics.json")?["documents"].as_u64().ok_or("documents")?;
    assert!(scored < crate::corpus::ROWS as u64, "finished sidecars are kept");
    assert_same(&whole.artefacts()?, &site.artefacts()?, "after a full disk");
    Ok(())
}

#[test]
fn a_file_that_may_not_grow_is_an_error_like_any_other() -> Outcome {
    let site = Site::new()?;
    let mut command = Command::new("bash");
    let script = r#"trap '' XFSZ; ulimit -f 1; exec "$0" run "$1""#;
    command.args(["-c", script, env!("CARGO_BIN_EXE_headwater"), PIPELINE]).current_dir(site.path("."));
    let finished = finish(&mut command)?;
    finished.says(1, &["File too large", OUTPUT]);
    site.done("run", &[])?;
    Ok(())
}
