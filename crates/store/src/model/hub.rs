//! Models of the Hugging Face hub, over the HTTP client that stores use.
//!
//! `/api/models/OWNER/NAME/revision/REVISION` lists the files of a repository, and `/OWNER/NAME/resolve/REVISION/FILE` redirects to
//! one of them (<https://huggingface.co/docs/hub/api>). Downloads go straight to where they are wanted; one that breaks off goes on
//! where it ended.

use std::io::Read;
use std::path::Path;
use std::time::Duration;

use object_store::ClientOptions;
use object_store::client::{HttpClient, HttpConnector};
use serde::Deserialize;
use url::Url;

use super::OnProgress;
use super::download::Download;
use super::files::{INDEX, Wanted, shard_names, single_weights, store, weights_among};
use crate::{Error, Result, Stores, disk, hub_access};

/// How long the hub may be silent in the middle of an answer.
const READ_PATIENCE: Duration = Duration::from_secs(30);

/// The most that the description of a repository may take; that of one with a hundred thousand files takes about 10 MB.
const MOST_DESCRIPTION_BYTES: u64 = 64 << 20;

/// A model hub, and the token that opens what is not public.
pub(super) struct Hub {
    client: HttpClient,
    endpoint: String,
    token: Option<String>,
}

/// What the hub says about a repository, as far as it is read.
#[derive(Deserialize)]
struct Description {
    /// The commit that the revision is now.
    sha: String,
    siblings: Vec<Sibling>,
}

/// A file of a repository.
#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
}

impl Hub {
    /// Prepares a connection to `endpoint`, or else to `HF_ENDPOINT`, or else to the usual hub.
    pub(super) fn connect(stores: &Stores, endpoint: Option<&str>) -> Result<Self> {
        let variables = stores.variables();
        if endpoint.is_none() && hub_access::is_offline(variables) {
            let source = "HF_HUB_OFFLINE is set, and the hub's cache does not have the model".into();
            return Err(Error::Hub { url: hub_access::endpoint(variables).to_owned(), passes: false, source });
        }
        let endpoint = endpoint.unwrap_or_else(|| hub_access::endpoint(variables));
        let options = ClientOptions::new()
            .with_allow_http(endpoint.starts_with("http://"))
            .with_timeout_disabled()
            .with_read_timeout(READ_PATIENCE);
        let client = stores.connector().connect(&options);
        let client =
            client.map_err(|source| Error::Hub { url: endpoint.to_owned(), passes: false, source: source.into() })?;
        Ok(Self { client, endpoint: endpoint.to_owned(), token: hub_access::token(variables) })
    }

    /// Downloads one file of a repository to where it is wanted, checked against its hash.
    pub(super) fn download_pinned(
        &self,
        repository: &str,
        revision: &str,
        file: &str,
        wanted: &Wanted<'_>,
    ) -> Result<()> {
        self.download(&self.file_url(repository, revision, file)?, wanted)
    }

    /// Downloads the model of a repository into `folder`: its weights, or the `file` of them, tokenizer and config, and what says more of the
    /// tokenizer.
    pub(super) fn download_model(
        &self,
        (repository, revision, file): (&str, &str, Option<&str>),
        folder: &Path,
        on_progress: OnProgress<'_>,
    ) -> Result<()> {
        let shown = format!("hf:{repository}@{revision}");
        let Description { sha, siblings } = self.describe(repository, revision)?;
        // only the top folder: other formats and checkpoints lie below it
        let names: Vec<String> =
            siblings.into_iter().map(|file| file.rfilename).filter(|name| !name.contains('/')).collect();
        // of the commit that was listed, so that all files are of one version
        let url = |name: &str| self.file_url(repository, &sha, name);
        let download = |name: &str| {
            let wanted = Wanted { target: &folder.join(name), expected: None, on_progress };
            self.download(&url(name)?, &wanted)
        };
        let is_gguf = file.unwrap_or_else(|| single_weights(&names, &shown).unwrap_or_default()).ends_with(".gguf");
        let is_there = |name: &&str| names.iter().any(|there| there == name);
        if let Some(missing) = ["config.json", "tokenizer.json"].iter().find(|name| !is_gguf && !is_there(name)) {
            // said before gigabytes of weights are fetched
            let source = format!("the repository has no {missing}, which weights in safetensors need").into();
            return Err(Error::Hub { url: shown, passes: false, source });
        }
        for name in
            ["config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json", "chat_template.jinja"]
        {
            if names.iter().any(|there| there == name) {
                download(name)?;
            }
        }
        if let Some(file) = file {
            return match names.iter().any(|name| name == file) {
                true => download(file),
                false => Err(Error::NoSingleModel { path: format!("{shown}/{file}"), found: weights_among(&names) }),
            };
        }
        if names.iter().any(|name| name == INDEX) {
            download(INDEX)?;
            let index = disk::read(&folder.join(INDEX))?;
            return shard_names(&index, url(INDEX)?.as_str())?.iter().try_for_each(|shard| download(shard));
        }
        download(single_weights(&names, &shown)?)
    }

    fn describe(&self, repository: &str, revision: &str) -> Result<Description> {
        let url = self.url(&["api", "models"], repository, &["revision", revision])?;
        let mut json = Vec::new();
        let read = self.open(&url)?.take(MOST_DESCRIPTION_BYTES).read_to_end(&mut json);
        let refused = |source| Error::Hub { url: url.to_string(), passes: false, source };
        read.map_err(|error| error.downcast().unwrap_or_else(|error| refused(error.into())))?;
        serde_json::from_slice(&json).map_err(|error| refused(error.into()))
    }

    fn download(&self, url: &Url, wanted: &Wanted<'_>) -> Result<()> {
        store(&mut self.open(url)?, url.as_str(), wanted)
    }

    fn open(&self, url: &Url) -> Result<Download> {
        Download::open(self.client.clone(), url.clone(), self.token.clone())
    }

    fn file_url(&self, repository: &str, revision: &str, file: &str) -> Result<Url> {
        let rest: Vec<&str> = ["resolve", revision].into_iter().chain(file.split('/')).collect();
        self.url(&[], repository, &rest)
    }

    /// The address whose path is `above`, `owner/name`, `below`; a `/` inside a part is escaped.
    fn url(&self, above: &[&str], repository: &str, below: &[&str]) -> Result<Url> {
        let unusable = |reason: String| Error::InvalidLocation { location: self.endpoint.clone(), reason };
        let endpoint = Url::parse(&self.endpoint).map_err(|error| unusable(error.to_string()))?;
        let parts = above.iter().copied().chain(repository.split('/')).chain(below.iter().copied());
        hub_access::address(&endpoint, parts).ok_or_else(|| unusable("it is not the address of a hub".to_owned()))
    }
}

#[cfg(test)]
mod tests;
