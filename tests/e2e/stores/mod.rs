//! Runs whose corpus and output lie in object stores, on real servers behind a proxy that fails on purpose.

mod dialect;
mod faults;
mod kill;
mod places;
mod proxy;
mod reads;
mod servers;

use std::process::Stdio;

use sha2::{Digest, Sha256};

use crate::site::{Artefacts, Finished, OUTPUT, PIPELINE, Site, finish, is_timed};
use proxy::Proxy;
use servers::Store;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What a test returns.
type Outcome = Result<(), Failure>;

/// A site whose corpus and output are in a store.
struct Lake {
    site: Site,
    store: Store,
}

/// An error of the other modules, which need not cross threads.
fn said(error: impl std::fmt::Display) -> Failure {
    error.to_string().into()
}

impl Lake {
    /// The site of [`Site::new`], with its corpus in `store`.
    fn new(store: Store) -> Result<Self, Failure> {
        let site = Site::new().map_err(said)?;
        Self::of(site, store)
    }

    /// Moves the corpus of `site` to `store`.
    fn of(site: Site, store: Store) -> Result<Self, Failure> {
        store.upload(&site.path("corpus"), "corpus")?;
        fs_err::remove_dir_all(site.path("corpus"))?;
        let pipeline = site.read(PIPELINE)?;
        let url = &store.url;
        let moved = pipeline
            .replace("\"corpus/", &format!("\"{url}/corpus/"))
            .replace(&format!("output = \"{OUTPUT}\""), &format!("output = \"{url}/{OUTPUT}\""));
        assert_ne!(pipeline, moved);
        site.write(PIPELINE, &moved)?;
        Ok(Self { site, store })
    }

    fn proxy(&self) -> &Proxy {
        &self.store.proxy
    }

    fn command(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = self.site.command(arguments);
        self.store.enter(&mut command);
        command
    }

    /// Runs `subcommand` on the pipeline with more arguments.
    fn stage(&self, subcommand: &str, more: &[&str]) -> Result<Finished, Failure> {
        finish(&mut self.command(&[&[subcommand, PIPELINE], more].concat())).map_err(said)
    }

    /// Runs `subcommand` and requires that it is done with exit code 0.
    fn done(&self, subcommand: &str, more: &[&str]) -> Result<Finished, Failure> {
        let finished = self.stage(subcommand, more)?;
        assert_eq!(finished.code, Some(0), "{subcommand} {more:?}: {finished:#?}");
        Ok(finished)
    }

    /// Starts a run that the proxy may kill; returns whether it was.
    fn run_to_be_killed(&self) -> Result<bool, Failure> {
        let mut command = self.command(&["run", PIPELINE, "--quiet"]);
        let mut run = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        self.proxy().aim_at(run.id());
        Ok(run.wait()?.code().is_none())
    }

    /// All objects of the output.
    fn all_artefacts(&self) -> Result<Artefacts, Failure> {
        self.store.objects(OUTPUT)
    }

    /// The artefacts that must be the same however a run went, with the store's name taken out of those that name places.
    fn artefacts(&self) -> Result<Artefacts, Failure> {
        let mut artefacts = self.all_artefacts()?;
        artefacts.retain(|path, _| !is_timed(path));
        let prefix = format!("{}/", self.store.url);
        let mut renamed = Vec::new();
        for (_, bytes) in artefacts.iter_mut().filter(|(path, _)| path.starts_with("recipe/")) {
            let nameless = String::from_utf8_lossy(bytes).replace(&prefix, "").into_bytes();
            renamed.push((hex(bytes), hex(&nameless)));
            *bytes = nameless;
        }
        // the manifest has the hashes of files that name places
        if let Some(manifest) = artefacts.get_mut("recipe/manifest.json") {
            let mut text = String::from_utf8_lossy(manifest).into_owned();
            renamed.iter().for_each(|(before, after)| text = text.replace(before, after));
            *manifest = text.into_bytes();
        }
        Ok(artefacts)
    }

    fn metrics(&self) -> Result<serde_json::Value, Failure> {
        let artefacts = self.all_artefacts()?;
        Ok(serde_json::from_slice(artefacts.get("metrics.json").ok_or("no metrics.json")?)?)
    }
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a run on disk leaves.
fn local_artefacts() -> Result<Artefacts, Failure> {
    let site = Site::new().map_err(said)?;
    site.done("run", &[]).map_err(said)?;
    site.artefacts().map_err(said)
}
