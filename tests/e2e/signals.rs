//! SIGTERM and `--metrics-addr`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

use crate::corpus;
use crate::run::searching_site;
use crate::site::{OUTPUT, Outcome, PIPELINE, Site, assert_same, pipeline, send_signal, tiny};

/// A site with so much to score that a signal finds it scoring.
fn long_site() -> Result<Site, Box<dyn std::error::Error>> {
    let site = Site::empty()?;
    for shard in 0..6 {
        corpus::shard(&site.path(&format!("corpus/{shard}.parquet")), &corpus::book_rows(shard, 600)?, 100)?;
    }
    site.write(PIPELINE, &pipeline("[[corpus]]\nname = \"books\"\npaths = [\"corpus\"]\n", &tiny("llama")))?;
    Ok(site)
}

/// Starts to score with metrics; returns the process, its standard error, and where the metrics are.
fn scoring(site: &Site) -> Result<(Child, BufReader<ChildStderr>, String), Box<dyn std::error::Error>> {
    site.done("heads", &[])?;
    let mut command = site.command(&["score", PIPELINE, "--metrics-addr", "127.0.0.1:0"]);
    let mut child = command.env("RAYON_NUM_THREADS", "1").stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let mut stderr = BufReader::new(child.stderr.take().ok_or("no standard error")?);
    let mut line = String::new();
    while !line.contains("/metrics") {
        line.clear();
        assert!(stderr.read_line(&mut line)? > 0, "it ended without telling where the metrics are");
    }
    let address = line.trim().split("http://").nth(1).and_then(|rest| rest.strip_suffix("/metrics"));
    Ok((child, stderr, address.ok_or("no address")?.to_owned()))
}

/// Asks for `what` and returns the whole answer.
fn ask(address: &str, what: &str) -> Result<String, Box<dyn std::error::Error>> {
    let mut connection = TcpStream::connect(address)?;
    connection.write_all(what.as_bytes())?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Waits until some units are scored; returns the metrics then.
fn under_way(address: &str) -> Result<String, Box<dyn std::error::Error>> {
    let began = Instant::now();
    loop {
        assert!(began.elapsed() < Duration::from_secs(120), "nothing is scored");
        std::thread::sleep(Duration::from_millis(5));
        let answer = ask(address, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")?;
        let units = answer.lines().find_map(|line| line.strip_prefix("headwater_units_total "));
        if units.is_some_and(|units| units.parse::<u64>().is_ok_and(|units| units > 3)) {
            return Ok(answer);
        }
    }
}

#[test]
fn a_search_for_heads_that_is_stopped_goes_on_where_it_was() -> Outcome {
    let (site, whole) = (searching_site()?, searching_site()?);
    let many = ["--allow-weak-heads", "--set", "heads.probes=600", "--set", "heads.until=all"];
    // later and later, until some probes are measured
    for seconds in [1, 2, 4, 8, 16] {
        let mut command = site.command(&[&["heads", PIPELINE], &many[..]].concat());
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        std::thread::sleep(Duration::from_secs(seconds));
        assert!(send_signal("TERM", child.id())?);
        let mut said = String::new();
        child.stderr.take().ok_or("no standard error")?.read_to_string(&mut said)?;
        assert_ne!(child.wait()?.code(), Some(0), "it is done too soon: {said}");
        if said.contains("stopped by SIGTERM") && site.path(OUTPUT).join("heads-partial.json").exists() {
            break;
        }
    }
    assert!(!site.path(OUTPUT).join("heads.json").exists());
    let again = site.done("heads", &many)?;
    assert!(again.stderr.contains("goes on with an earlier search"), "{}", again.stderr);
    whole.done("heads", &many)?;
    assert_same(&whole.artefacts()?, &site.artefacts()?, "a search in two parts");
    Ok(())
}

#[test]
fn sigterm_keeps_finished_units_and_asks_for_another_try() -> Outcome {
    let (site, whole) = (long_site()?, long_site()?);
    let (mut child, mut stderr, address) = scoring(&site)?;
    under_way(&address)?;
    assert!(send_signal("TERM", child.id())?);
    let code = child.wait()?.code();
    let mut said = String::new();
    stderr.read_to_string(&mut said)?;
    assert_eq!(code, Some(75), "{said}");
    for part in ["stopped by SIGTERM", "run the same command again"] {
        assert!(said.contains(part), "{said}");
    }
    let sidecars = |site: &Site| -> Result<usize, Box<dyn std::error::Error>> {
        Ok(site.artefacts()?.keys().filter(|path| path.starts_with("scores/")).count())
    };
    let kept = sidecars(&site)?;
    site.done("run", &[])?;
    whole.done("run", &[])?;
    assert!(kept > 3 && kept < sidecars(&whole)?, "{kept} units were finished");
    assert_same(&whole.artefacts()?, &site.artefacts()?, "stopped by SIGTERM");
    Ok(())
}

#[test]
fn sigterm_keeps_finished_token_files() -> Outcome {
    let options =
        ["tokens.formats=[\"olmo\"]", "tokens.parts=[\"corpus\"]", "tokens.file_bytes=4KiB"].map(|set| ["--set", set]);
    let (site, whole, options) = (long_site()?, long_site()?, options.concat());
    let arguments = [["tokens", PIPELINE].as_slice(), &options].concat();
    let mut child = site.command(&arguments).stderr(Stdio::piped()).spawn()?;
    let done = |site: &Site| fs_err::read_dir(site.path("out/tokens/corpus/olmo/done")).map_or(0, Iterator::count);
    while done(&site) < 4 {
        assert!(child.try_wait()?.is_none(), "it ended before there were files");
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(send_signal("TERM", child.id())?);
    let ended = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(75), "{said}");
    assert!(said.contains("stopped by SIGTERM") && said.contains("run the same command again"), "{said}");
    let kept = done(&site);
    whole.done("tokens", &options)?;
    assert!(kept >= 4 && kept < done(&whole), "{kept} of {} files", done(&whole));
    site.done("tokens", &options)?;
    assert_same(&whole.artefacts()?, &site.artefacts()?, "stopped by SIGTERM");
    Ok(())
}

#[test]
fn sigterm_outside_of_scoring_ends_at_once() -> Outcome {
    let site = Site::new()?;
    // a pipe that nothing is written to: reading the pipeline waits for ever
    assert!(Command::new("mkfifo").arg(site.path("pipe.toml")).status()?.success());
    let mut child = site.command(&["plan", "pipe.toml"]).stderr(Stdio::piped()).spawn()?;
    // opens once the command reads, which is after it began to listen for signals
    let _pipe = fs_err::OpenOptions::new().write(true).open(site.path("pipe.toml"))?;
    assert!(send_signal("TERM", child.id())?);
    assert_eq!(child.wait()?.code(), Some(75));
    Ok(())
}

#[test]
fn metrics_are_served_while_scoring() -> Outcome {
    let site = long_site()?;
    let (mut child, _stderr, address) = scoring(&site)?;
    let answer = under_way(&address)?;
    let wanted = [
        "HTTP/1.1 200 OK",
        "# TYPE headwater_documents counter",
        "headwater_tokens_total ",
        "headwater_probe_passes_total 0",
        "headwater_spared_probe_passes_total 0",
        "headwater_rejects_total 0",
        "headwater_units_wanted ",
        "headwater_needed_bytes ",
        "headwater_read_bytes_total ",
        "headwater_store_retries_total{reason=\"throttled\"} 0",
        "headwater_stage{stage=\"score\"} 1",
        "headwater_stage_seconds_total{stage=\"model\"} ",
        "headwater_phase_seconds_total{phase=\"forward\"} ",
        "headwater_fetch_wait_seconds_total ",
        "# EOF",
    ];
    for part in wanted {
        assert!(answer.contains(part), "`{part}` is missing: {answer}");
    }
    assert!(ask(&address, "GET /other HTTP/1.1\r\n\r\n")?.starts_with("HTTP/1.1 404"));
    assert!(ask(&address, "POST /metrics HTTP/1.1\r\n\r\n")?.starts_with("HTTP/1.1 405"));
    assert!(ask(&address, "\0\r\n\r\n")?.starts_with("HTTP/1.1 405"));
    drop(TcpStream::connect(&address)?);
    under_way(&address)?;
    let taken = site.stage("score", &["--metrics-addr", &address])?;
    taken.says(1, &["--metrics-addr", &address, "choose another"]);
    child.kill()?;
    child.wait()?;
    Ok(())
}
