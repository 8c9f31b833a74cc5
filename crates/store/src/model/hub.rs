//! Models of the Hugging Face hub, through `hf-hub`.

use std::path::{Path, PathBuf};

use fs_err as fs;
use hf_hub::api::Progress;
use hf_hub::api::sync::{Api, ApiBuilder, ApiError, ApiRepo};
use hf_hub::{Cache, Repo, RepoType};
use tempfile::TempDir;

use super::OnProgress;
use super::files::{INDEX, Wanted, shard_names, single_weights, store, temporary_folder};
use crate::variables::Variables;
use crate::{Error, Result, disk};

/// Tries of a download that broke off, each resuming where the last ended.
const RETRIES: usize = 3;

/// A connection to the hub whose downloads lie in a temporary folder.
pub(super) struct Hub {
    api: Api,
    _downloads: TempDir,
}

/// Downloads the model of `repository` into `folder`: weights, tokenizer and config.
pub(super) fn download_model(
    hub: &Hub,
    repository: &str,
    revision: &str,
    folder: &Path,
    on_progress: OnProgress<'_>,
) -> Result<()> {
    let (shown, repo) = (format!("hf:{repository}@{revision}"), hub.repository(repository, revision));
    let info = repo.info().map_err(|error| refused(&shown, error))?;
    // Only the top folder: other formats and checkpoints lie below it.
    let names: Vec<String> =
        info.siblings.into_iter().map(|file| file.rfilename).filter(|name| !name.contains('/')).collect();
    // The commit that was listed, so that all files are of one version.
    let repo = hub.repository(repository, &info.sha);
    let download = |name: &str| {
        let path = download(&repo, name, on_progress)?;
        adopt_file(&path, &folder.join(name))
    };
    for name in ["config.json", "tokenizer.json"] {
        if names.iter().any(|there| there == name) {
            download(name)?;
        }
    }
    if names.iter().any(|name| name == INDEX) {
        download(INDEX)?;
        let index = disk::read(&folder.join(INDEX))?;
        return shard_names(&index, &repo.url(INDEX))?.iter().try_for_each(|shard| download(shard));
    }
    download(single_weights(&names, &shown)?)
}

impl Hub {
    /// Prepares a connection to `endpoint`, or else to the usual one; downloads pass through `cache`.
    pub(super) fn connect(endpoint: Option<&str>, variables: &Variables, cache: &Path) -> Result<Self> {
        let downloads = temporary_folder(cache)?;
        let mut builder = ApiBuilder::from_cache(Cache::new(downloads.path().to_owned()))
            .with_token(token(variables))
            .with_progress(false)
            .with_retries(RETRIES);
        if let Some(endpoint) = endpoint {
            builder = builder.with_endpoint(endpoint.to_owned());
        }
        let api = builder.build().map_err(|error| refused(endpoint.unwrap_or("hf:"), error))?;
        Ok(Self { api, _downloads: downloads })
    }

    fn repository(&self, repository: &str, revision: &str) -> ApiRepo {
        self.api.repo(Repo::with_revision(repository.to_owned(), RepoType::Model, revision.to_owned()))
    }

    /// Downloads one file of a repository to where it is wanted, checked against its hash.
    pub(super) fn download_pinned(
        &self,
        repository: &str,
        revision: &str,
        file: &str,
        wanted: &Wanted<'_>,
    ) -> Result<()> {
        let repo = self.repository(repository, revision);
        let path = download(&repo, file, wanted.on_progress)?;
        let mut reader = fs::File::open(&path).map_err(|error| Error::reading(repo.url(file), error))?;
        // The bytes were counted on their way in.
        let wanted = Wanted { on_progress: &|_| {}, ..*wanted };
        store(&mut reader, &repo.url(file), &wanted)
    }
}

/// The token of the user, where the hub's own tools keep it: `HF_TOKEN`, else a file in `HF_HOME`, else one below the home folder.
fn token(variables: &Variables) -> Option<String> {
    if let Some(token) = variables.get("HF_TOKEN") {
        return Some(token.to_owned());
    }
    let of_user = || Some(Path::new(variables.get("HOME")?).join(".cache/huggingface"));
    let folder = variables.get("HF_HOME").map(PathBuf::from).or_else(of_user)?;
    // a file that is not there says nothing
    let token = fs::read_to_string(folder.join("token")).ok()?;
    Some(token.trim().to_owned()).filter(|token| !token.is_empty())
}

/// Downloads one file and returns where it lies.
fn download(repo: &ApiRepo, file: &str, on_progress: OnProgress<'_>) -> Result<PathBuf> {
    let counter = Counter { counted: 0, read: 0, on_progress };
    repo.download_with_progress(file, counter).map_err(|error| refused(&repo.url(file), error))
}

/// Moves a download, which `hf-hub` reaches through a link, to `target`.
fn adopt_file(path: &Path, target: &Path) -> Result<()> {
    let failed = |error| Error::writing(target.display().to_string(), target.display().to_string(), error);
    let file = fs::canonicalize(path).map_err(failed)?;
    fs::File::open(&file).and_then(|file| file.sync_all()).map_err(failed)?;
    fs::rename(&file, target).map_err(failed)
}

fn refused(url: &str, error: ApiError) -> Error {
    Error::Hub { url: url.to_owned(), source: Box::new(error) }
}

/// Passes `hf-hub`'s progress on; what a resumed download reports again is left out.
struct Counter<'a> {
    counted: u64,
    read: u64,
    on_progress: OnProgress<'a>,
}

impl Progress for Counter<'_> {
    fn init(&mut self, _size: usize, _filename: &str) {
        self.read = 0;
    }

    fn update(&mut self, size: usize) {
        self.read += size as u64;
        if self.read > self.counted {
            (self.on_progress)(self.read - self.counted);
            self.counted = self.read;
        }
    }

    fn finish(&mut self) {}
}
