//! The handle through which places are opened.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use object_store::limit::LimitStore;

use crate::connect::connect;
use crate::location::{Bucket, Location, split_fixed_prefix, split_last};
use crate::pins::Pins;
use crate::place::Root;
use crate::remote::Client;
use crate::traffic::{Counters, Traffic};
use crate::variables::Variables;
use crate::wire::CountingConnector;
use crate::{Place, Result};

/// Requests that one bucket serves at the same time, all readers and writers together: as many as a selection reads sidecars at once.
const MAX_REQUESTS: usize = 128;

/// Opens places, and counts what is read from and sent to them.
///
/// It owns one client for each bucket, with its connections and credentials, and the stores in memory. Cloning is cheap, and
/// clones are the same handle. Nothing here reads the environment: credentials and endpoints come from the variables handed in.
#[derive(Clone, Default)]
pub struct Stores(Arc<Shared>);

#[derive(Default)]
struct Shared {
    variables: Variables,
    clients: Mutex<BTreeMap<Bucket, Client>>,
    counters: Arc<Counters>,
    pins: Arc<Pins>,
}

impl Stores {
    /// A handle that finds credentials and endpoints in `variables`, which are mostly those of the environment, as each store's
    /// own tools find them there. `Stores::default()` sees none.
    #[must_use]
    pub fn from_variables(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let variables = Variables::new(variables);
        Self(Arc::new(Shared { variables, ..Shared::default() }))
    }

    /// Opens a folder: a local path, `file:///abs`, `s3://bucket/prefix` (or `s3a`), `gs://`, `az://container/prefix` (or `abfs`),
    /// `abfss://container@account.dfs.core.windows.net/prefix`, `http(s)://` (read only, no listing), `hf://datasets/OWNER/NAME[@REVISION]/…`
    /// (read only) or `memory://name/prefix`, a store in memory that lives as long as this handle or a place of it.
    ///
    /// Nothing is read or made yet.
    ///
    /// # Errors
    /// [`Error::UnsupportedScheme`](crate::Error::UnsupportedScheme), [`Error::InvalidLocation`](crate::Error::InvalidLocation),
    /// or the store's refusal of the credentials' form.
    pub fn open(&self, location: &str) -> Result<Place> {
        let written = match location.trim_end_matches('/') {
            "" => location.to_owned(),
            trimmed => trimmed.to_owned(),
        };
        Ok(match Location::parse(location)? {
            Location::Disk(path) => Place::new(written, Root::Disk { path, counters: Arc::clone(&self.0.counters) }),
            Location::Remote { bucket, prefix } => {
                let client = self.client(&bucket)?;
                // one place has one name, whichever scheme it was opened with
                let shown = if bucket.scheme.is_web() { written } else { client.url(&prefix) };
                Place::new(shown, Root::Remote { client, prefix })
            }
        })
    }

    /// Splits a location that may hold wildcards (`*`, `?`, `[`, `{`) into the folder above the first of them and the rest,
    /// relative to that folder. Without wildcards the rest is the last part of the path, which may be a file or a folder.
    ///
    /// # Errors
    /// As [`Stores::open`].
    pub fn open_fixed_prefix(&self, location: &str) -> Result<(Place, String)> {
        let (folder, rest) = split_fixed_prefix(location);
        Ok((self.open(folder)?, rest.to_owned()))
    }

    /// Splits a location into the folder above its last part and that part, whatever characters it has.
    ///
    /// # Errors
    /// As [`Stores::open`].
    pub fn open_above(&self, location: &str) -> Result<(Place, String)> {
        let (folder, rest) = split_last(location);
        Ok((self.open(folder)?, rest.to_owned()))
    }

    /// Takes revisions of datasets of the hub to be the commits that `commits` gives, by the name of each as URLs write it
    /// (`datasets/OWNER/NAME@REVISION`). A revision that was asked for already stays what it was found to be.
    pub fn pin(&self, commits: &BTreeMap<String, String>) {
        for (name, commit) in commits {
            self.0.pins.settle(name, commit.clone());
        }
    }

    /// The commits of all revisions that were asked for or pinned, by their names.
    #[must_use]
    pub fn pins(&self) -> BTreeMap<String, String> {
        self.0.pins.all()
    }

    /// What was read from and sent to the places of this handle so far.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        self.0.counters.totals()
    }

    /// The variables handed in.
    /// Returns `path` with the user's home folder for a `~` that it begins with, as shells have it.
    #[must_use]
    pub fn expanded<'a>(&self, path: &'a str) -> Cow<'a, str> {
        self.variables().expanded(path)
    }

    pub(crate) fn variables(&self) -> &Variables {
        &self.0.variables
    }

    /// Makes HTTP clients that count into this handle.
    pub(crate) fn connector(&self) -> CountingConnector {
        CountingConnector::new(Arc::clone(&self.0.counters))
    }

    /// The client for `bucket`, made at the first call.
    fn client(&self, bucket: &Bucket) -> Result<Client> {
        let mut clients = self.0.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(bucket) {
            return Ok(client.clone());
        }
        let store = LimitStore::new(connect(bucket, &self.0.variables, &self.0.counters, &self.0.pins)?, MAX_REQUESTS);
        let client = Client::new(Arc::new(store), bucket, Arc::clone(&self.0.counters));
        clients.insert(bucket.clone(), client.clone());
        Ok(client)
    }
}

impl Place {
    /// Opens an empty store `memory://name` of its own [`Stores`]; for tests that open nothing else.
    ///
    /// # Errors
    /// [`Error::InvalidLocation`](crate::Error::InvalidLocation) if `name` is empty.
    pub fn in_memory(name: &str) -> Result<Self> {
        Stores::default().open(&format!("memory://{name}"))
    }
}

impl fmt::Debug for Stores {
    /// Leaves out the clients, which hold credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stores").field("traffic", &self.traffic()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn a_handle_counts_what_is_read_through_it_and_no_other() -> Result<()> {
        let (stores, other) = (Stores::default(), Stores::default());
        let folder = tempfile::tempdir().map_err(|error| crate::Error::reading("a temporary folder", error))?;
        for place in [stores.open("memory://counted")?, stores.open(&folder.path().display().to_string())?] {
            place.write("f", Bytes::from_static(b"abc"))?;
            let before = stores.traffic().read_bytes;
            place.reader(&place.entry("f")?)?.read_range(0..2)?;
            assert_eq!(stores.clone().traffic().read_bytes - before, 2, "{place}");
        }
        assert_eq!(other.traffic(), Traffic::default());
        assert_eq!(stores.open("memory://counted/")?.read("f")?, "abc");
        assert!(other.open("memory://counted")?.list("")?.is_empty());
        Ok(())
    }

    #[test]
    fn only_the_variables_handed_in_are_seen_and_never_shown() {
        let stores = Stores::from_variables([("AWS_PROFILE".to_owned(), "canary".to_owned())]);
        assert!(matches!(stores.open("s3://b"), Err(crate::Error::Profile { name, .. }) if name == "canary"));
        assert!(!format!("{stores:?}").contains("canary"));
        assert!(Stores::default().open("s3://b").is_ok());
    }
}
