//! A folder with a corpus, a pipeline, a head set and the runs made there.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::corpus;

/// What a test returns.
pub(crate) type Outcome = Result<(), Box<dyn Error>>;

/// Files by relative path.
pub(crate) type Artefacts = BTreeMap<String, Vec<u8>>;

/// Where the pipeline puts its artefacts, relative to the site.
pub(crate) const OUTPUT: &str = "out";

/// The pipeline's file, relative to the site.
pub(crate) const PIPELINE: &str = "pipeline.toml";

/// Whether an artefact holds times and may differ between equal runs.
pub(crate) fn is_timed(path: &str) -> bool {
    ["run.json", "labels/run.json", "metrics.json", "report.html"].contains(&path) || path.starts_with("metrics/")
}

/// A folder that commands run in, with all that a run needs.
pub(crate) struct Site {
    folder: TempDir,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Finished {
    /// The exit code; `None` if a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Site {
    /// A site with the two-source corpus of [`corpus::write`], the tiny llama and a pinned head set.
    pub(crate) fn new() -> Result<Self, Box<dyn Error>> {
        let site = Self::empty()?;
        corpus::write(&site.path("corpus"))?;
        site.write(PIPELINE, &pipeline(&corpus::tables(), &tiny("llama")))?;
        Ok(site)
    }

    /// A site without a corpus and a pipeline.
    pub(crate) fn empty() -> Result<Self, Box<dyn Error>> {
        let site = Self { folder: tempfile::tempdir()? };
        site.write("head-set.json", r#"{"heads": [[1, 0], [2, 3]]}"#)?;
        Ok(site)
    }

    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.folder.path().join(relative)
    }

    /// Writes a text file.
    pub(crate) fn write(&self, relative: &str, text: &str) -> std::io::Result<()> {
        fs_err::write(self.path(relative), text)
    }

    pub(crate) fn read(&self, relative: &str) -> std::io::Result<String> {
        fs_err::read_to_string(self.path(relative))
    }

    /// Reads a JSON artefact of the run.
    pub(crate) fn json(&self, artefact: &str) -> Result<serde_json::Value, Box<dyn Error>> {
        Ok(serde_json::from_slice(&fs_err::read(self.path(OUTPUT).join(artefact))?)?)
    }

    /// The command with `arguments`, run in this site away from the user's own cache and settings.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_headwater"));
        command.args(arguments).current_dir(self.folder.path()).stdin(Stdio::null());
        command.env("XDG_CACHE_HOME", self.path("cache")).env_remove("HEADWATER_LOG").env_remove("RUST_BACKTRACE");
        command
    }

    /// Runs the command with `arguments` to its end.
    pub(crate) fn headwater(&self, arguments: &[&str]) -> Result<Finished, Box<dyn Error>> {
        finish(&mut self.command(arguments))
    }

    /// Runs `subcommand` on the pipeline with more arguments.
    pub(crate) fn stage(&self, subcommand: &str, more: &[&str]) -> Result<Finished, Box<dyn Error>> {
        self.headwater(&[&[subcommand, PIPELINE], more].concat())
    }

    /// Runs `subcommand` and requires that it is done with exit code 0.
    pub(crate) fn done(&self, subcommand: &str, more: &[&str]) -> Result<Finished, Box<dyn Error>> {
        let finished = self.stage(subcommand, more)?;
        assert_eq!(finished.code, Some(0), "{subcommand} {more:?}: {finished:#?}");
        Ok(finished)
    }

    /// The paths of all artefacts of the run with their bytes.
    pub(crate) fn all_artefacts(&self) -> Result<Artefacts, Box<dyn Error>> {
        files_below(&self.path(OUTPUT))
    }

    /// The artefacts that must be the same however a run went. What a killed process was writing stays behind under a hidden
    /// name, which no listing shows.
    pub(crate) fn artefacts(&self) -> Result<Artefacts, Box<dyn Error>> {
        let mut artefacts = self.all_artefacts()?;
        let hidden = |path: &str| path.rsplit('/').next().is_some_and(|name| name.starts_with('.'));
        artefacts.retain(|path, _| !is_timed(path) && !hidden(path));
        Ok(artefacts)
    }
}

impl Finished {
    /// Requires the exit code `code` and that standard error holds every one of `parts`.
    pub(crate) fn says(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:#?}");
        for part in parts {
            assert!(self.stderr.contains(part), "`{part}` is not said: {}", self.stderr);
        }
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
    }

    /// Requires success and that standard output holds every one of `parts`.
    pub(crate) fn prints(&self, parts: &[&str]) {
        assert_eq!(self.code, Some(0), "{self:#?}");
        for part in parts {
            assert!(self.stdout.contains(part), "`{part}` is not printed: {}", self.stdout);
        }
    }
}

/// Runs `command` to its end.
pub(crate) fn finish(command: &mut Command) -> Result<Finished, Box<dyn Error>> {
    let output = command.output()?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok(Finished { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) })
}

/// Sends the signal named `signal`, such as `TERM`, to a process; false if it is gone. The shell's own `kill` is on every machine.
pub(crate) fn send_signal(signal: &str, process: u32) -> std::io::Result<bool> {
    Ok(Command::new("sh").args(["-c", &format!("kill -{signal} {process}")]).status()?.success())
}

/// All files below `folder`, by relative path.
pub(crate) fn files_below(folder: &Path) -> Result<Artefacts, Box<dyn Error>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs_err::read_dir(next)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let relative = path.strip_prefix(folder)?.to_string_lossy().into_owned();
                files.insert(relative, fs_err::read(path)?);
            }
        }
    }
    Ok(files)
}

/// Requires that two runs left the same artefacts, and names those that differ.
pub(crate) fn assert_same(ours: &Artefacts, theirs: &Artefacts, what: &str) {
    let mut differences = String::new();
    for (path, bytes) in ours {
        match theirs.get(path) {
            None => differences.push_str(&format!("{path}: only in the first\n")),
            Some(other) if other != bytes => differences.push_str(&format!("{path}: other bytes\n")),
            Some(_) => {}
        }
    }
    for path in theirs.keys().filter(|path| !ours.contains_key(*path)) {
        differences.push_str(&format!("{path}: only in the second\n"));
    }
    assert!(differences.is_empty(), "{what}:\n{differences}");
}

/// The repository's file or folder `relative`.
pub(crate) fn repository(relative: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(relative)
}

/// A tiny model of the `model` crate's tests.
pub(crate) fn tiny(name: &str) -> PathBuf {
    repository("crates/model/tests/tiny").join(name)
}

/// A pipeline over `corpus` tables with a tiny model, whose windows are short enough that documents need several.
pub(crate) fn pipeline(corpus: &str, model: &Path) -> String {
    format!(
        r#"[run]
output = "{OUTPUT}"
unit_bytes = "2KiB"

{corpus}
[model]
name = "{}"
precision = "f32"

[heads]
file = "head-set.json"

[score]
window_tokens = 64
min_tokens = 16

[select]
fraction = 0.25
"#,
        model.display()
    )
}
