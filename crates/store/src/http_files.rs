//! Files that are read over HTTP from where nothing can be written: web servers, and datasets of the Hugging Face hub.
//!
//! Addresses of web servers are sent as they were written. A dataset is listed by the hub's tree API, page by page, and read through
//! `/resolve/`, which may redirect to another host (<https://huggingface.co/docs/hub/api>). A revision is settled to a commit at the first
//! request, so that all that follows is of one version. The token goes to the hub alone: what redirects to another host is followed without
//! it, and the address of a next page must be the hub's own.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt, TryFutureExt};
use http::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, ETAG, IF_MATCH, LINK, RANGE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use object_store::client::{HttpClient, HttpRequest, HttpRequestBody};
use object_store::path::Path;
use object_store::{
    Attributes, CopyOptions, Error, GetOptions, GetRange, GetResult, GetResultPayload, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::Url;

use crate::hub_access;
use crate::pins::Pins;
use crate::wire::{Trouble, WireFailure};

/// What the errors of this client begin with.
const STORE: &str = "HTTP";

/// Tries of one request, the first included.
const TRIES: u32 = 8;

/// The pause after a failure that passes; each later one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// Entries of one page of a listing.
const PAGE_ENTRIES: &str = "1000";

/// What is read, and how it is addressed.
#[derive(Debug)]
pub(crate) enum Source {
    /// A web server; its address up to the first slash of the path.
    Web { server: String },
    /// A revision of a dataset.
    Dataset(Dataset),
}

/// A revision of a dataset of the hub.
#[derive(Clone)]
pub(crate) struct Dataset {
    pub(crate) endpoint: Url,
    pub(crate) token: Option<HeaderValue>,
    /// The dataset as URLs name it, `datasets/OWNER/NAME@REVISION`.
    pub(crate) name: String,
    pub(crate) pins: Arc<Pins>,
}

/// Files that are read over HTTP.
#[derive(Debug)]
pub(crate) struct HttpFiles {
    client: HttpClient,
    source: Source,
}

/// A request that may be sent again.
#[derive(Clone, Debug)]
struct Ask {
    method: Method,
    url: Url,
    headers: HeaderMap,
}

/// An answer with its whole body.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

/// What the hub says of a revision.
#[derive(Deserialize)]
struct Revision {
    sha: String,
}

/// A file or folder of a dataset.
#[derive(Deserialize)]
struct TreeEntry {
    #[serde(rename = "type")]
    kind: String,
    path: String,
    #[serde(default)]
    size: u64,
    oid: String,
    lfs: Option<Lfs>,
}

/// Where a large file is kept.
#[derive(Deserialize)]
struct Lfs {
    oid: String,
    size: u64,
}

impl HttpFiles {
    pub(crate) const fn new(client: HttpClient, source: Source) -> Self {
        Self { client, source }
    }

    /// The address of a file, and the headers that open it.
    async fn address(&self, location: &Path) -> Result<(Url, HeaderMap, Option<String>)> {
        match &self.source {
            Source::Web { server } => {
                let url = Url::parse(&format!("{server}/{location}")).map_err(failed)?;
                Ok((url, HeaderMap::new(), None))
            }
            Source::Dataset(dataset) => {
                let commit = self.commit(dataset).await?;
                let (repository, _) = dataset.parts();
                let url = dataset.url(&[], repository, &["resolve", &commit], location.as_ref())?;
                Ok((url, dataset.headers(), Some(commit)))
            }
        }
    }

    /// The commit that a dataset's revision was when it was first asked for.
    async fn commit(&self, dataset: &Dataset) -> Result<String> {
        if let Some(commit) = dataset.pins.get(&dataset.name) {
            return Ok(commit);
        }
        let (repository, revision) = dataset.parts();
        let url = dataset.url(&["api"], repository, &["revision", revision], "")?;
        let Revision { sha } = self.json(Ask { method: Method::GET, url, headers: dataset.headers() }).await?.0;
        Ok(dataset.pins.settle(&dataset.name, sha))
    }

    /// All files below a folder of a dataset.
    async fn tree(&self, dataset: &Dataset, folder: &str) -> Result<Vec<ObjectMeta>> {
        let commit = self.commit(dataset).await?;
        let (repository, _) = dataset.parts();
        let mut next = Some(dataset.url(&["api"], repository, &["tree", &commit], folder)?);
        if let Some(url) = &mut next {
            url.query_pairs_mut().append_pair("recursive", "true").append_pair("limit", PAGE_ENTRIES);
        }
        let mut found = Vec::new();
        while let Some(url) = next {
            let page = self.json::<Vec<TreeEntry>>(Ask { method: Method::GET, url, headers: dataset.headers() }).await;
            let (entries, headers) = match page {
                // a folder that is not there
                Err(Error::NotFound { .. }) => break,
                page => page?,
            };
            for TreeEntry { path, size, oid, lfs, .. } in entries.into_iter().filter(|entry| entry.kind == "file") {
                let (size, oid) = lfs.map_or((size, oid), |lfs| (lfs.size, lfs.oid));
                found.push(described(Path::parse(path)?, size, Some(oid)));
            }
            next = next_page(&headers).map(|url| dataset.own(&url)).transpose()?;
        }
        Ok(found)
    }

    async fn json<T: DeserializeOwned>(&self, ask: Ask) -> Result<(T, HeaderMap)> {
        let answer = self.send(&ask).await?;
        Ok((serde_json::from_slice(&answer.body).map_err(failed)?, answer.headers))
    }

    /// Sends a request until it is answered, as long as failures are such that pass. A server that says how long to wait is obeyed.
    async fn send(&self, ask: &Ask) -> Result<Answer> {
        let (mut pause, mut tries) = (FIRST_PAUSE, 0);
        loop {
            tries += 1;
            let error = match self.send_once(ask).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let failure = WireFailure::of(&error);
            match failure.map(WireFailure::trouble) {
                Some(Trouble::Missing) => {
                    return Err(Error::NotFound { path: ask.url.path().to_owned(), source: error.into() });
                }
                Some(Trouble::Changed) => {
                    return Err(Error::Precondition { path: ask.url.path().to_owned(), source: error.into() });
                }
                Some(Trouble::Passing) if tries < TRIES => {}
                _ => return Err(failed(error)),
            }
            tokio::time::sleep(failure.and_then(WireFailure::wait).unwrap_or(pause)).await;
            pause *= 2;
        }
    }

    async fn send_once(&self, ask: &Ask) -> std::result::Result<Answer, object_store::client::HttpError> {
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.method_mut() = ask.method.clone();
        *request.uri_mut() = ask.url.as_str().parse().map_err(|error| {
            object_store::client::HttpError::new(object_store::client::HttpErrorKind::Request, Unaddressable(error))
        })?;
        *request.headers_mut() = ask.headers.clone();
        let (parts, body) = self.client.execute(request).await?.into_parts();
        Ok(Answer { status: parts.status, headers: parts.headers, body: body.bytes().await? })
    }
}

/// An address that HTTP cannot carry.
#[derive(Debug)]
struct Unaddressable(http::uri::InvalidUri);

impl fmt::Display for Unaddressable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the address cannot be sent: {}", self.0)
    }
}

impl std::error::Error for Unaddressable {}

impl Dataset {
    /// The dataset without its revision, and the revision.
    fn parts(&self) -> (&str, &str) {
        self.name.split_once('@').unwrap_or((&self.name, "main"))
    }

    /// The address whose path is `above`, the repository, `below` and `path`; a `/` inside a part of `below` is escaped.
    fn url(&self, above: &[&str], repository: &str, below: &[&str], path: &str) -> Result<Url> {
        let inside = path.split('/').filter(|part| !part.is_empty());
        let parts = above.iter().copied().chain(repository.split('/')).chain(below.iter().copied()).chain(inside);
        hub_access::address(&self.endpoint, parts).ok_or_else(|| failed("it is not the address of a hub"))
    }

    fn headers(&self) -> HeaderMap {
        self.token.iter().map(|token| (AUTHORIZATION, token.clone())).collect()
    }

    /// An address that the hub named, if it is the hub's own.
    fn own(&self, named: &str) -> Result<Url> {
        let url = self.endpoint.join(named).map_err(failed)?;
        if url.origin() == self.endpoint.origin() {
            Ok(url)
        } else {
            Err(failed(format!("its next page is said to be on another host, {}", url.host_str().unwrap_or_default())))
        }
    }
}

/// The address of the next page (RFC 8288).
fn next_page(headers: &HeaderMap) -> Option<String> {
    let links = headers.get_all(LINK).iter().filter_map(|link| link.to_str().ok()).flat_map(|links| links.split(','));
    let next = links.map(str::trim).find(|link| link.contains("rel=\"next\""))?;
    Some(next.split_once('<')?.1.split_once('>')?.0.to_owned())
}

fn described(location: Path, size: u64, e_tag: Option<String>) -> ObjectMeta {
    ObjectMeta { location, last_modified: DateTime::<Utc>::UNIX_EPOCH, size, e_tag, version: None }
}

fn failed(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Generic { store: STORE, source: error.into() }
}

fn read_only<T>(operation: &str) -> Result<T> {
    Err(Error::NotImplemented { operation: operation.to_owned(), implementer: STORE.to_owned() })
}

/// A range as a request writes it.
fn range_header(range: &GetRange) -> Result<HeaderValue> {
    let text = match range {
        GetRange::Bounded(Range { start, end }) => format!("bytes={start}-{}", end.saturating_sub(1)),
        GetRange::Offset(start) => format!("bytes={start}-"),
        GetRange::Suffix(length) => format!("bytes=-{length}"),
    };
    HeaderValue::from_str(&text).map_err(failed)
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

#[async_trait]
impl ObjectStore for HttpFiles {
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let (url, mut headers, commit) = self.address(location).await?;
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let Some(range) = &options.range {
            headers.insert(RANGE, range_header(range)?);
        }
        // a commit does not change, and the host that is redirected to has tags of its own
        if let (Some(tag), None) = (&options.if_match, &commit) {
            headers.insert(IF_MATCH, HeaderValue::from_str(tag).map_err(failed)?);
        }
        let method = if options.head { Method::HEAD } else { Method::GET };
        let Answer { status, headers, body } = self.send(&Ask { method, url, headers }).await?;
        let tag = match commit {
            Some(commit) => options.head.then_some(commit),
            None => text(&headers, &ETAG).map(str::to_owned),
        };
        let length = || text(&headers, &CONTENT_LENGTH).and_then(|length| length.parse().ok());
        let unsaid = || failed("the server does not say how large the file is");
        let (range, size) = match text(&headers, &CONTENT_RANGE).filter(|_| status == StatusCode::PARTIAL_CONTENT) {
            Some(range) => parse_range(range).ok_or_else(unsaid)?,
            None if options.head => {
                let size = length().ok_or_else(unsaid)?;
                (0..size, size)
            }
            None => (0..body.len() as u64, body.len() as u64),
        };
        Ok(GetResult {
            payload: GetResultPayload::Stream(stream::once(async move { Ok(body) }).boxed()),
            meta: described(location.clone(), size, tag),
            range,
            attributes: Attributes::default(),
            extensions: http::Extensions::default(),
        })
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let Source::Dataset(dataset) = &self.source else {
            return stream::once(async { read_only("listing") }).boxed();
        };
        let files = Self { client: self.client.clone(), source: Source::Dataset(dataset.clone()) };
        let folder = prefix.map(ToString::to_string).unwrap_or_default();
        let all = async move {
            let Source::Dataset(dataset) = &files.source else { return Ok(Vec::new()) };
            files.tree(dataset, &folder).await
        };
        all.map_ok(|found| stream::iter(found.into_iter().map(Ok))).try_flatten_stream().boxed()
    }

    async fn list_with_delimiter(&self, _: Option<&Path>) -> Result<ListResult> {
        read_only("listing one level")
    }

    async fn put_opts(&self, _: &Path, _: PutPayload, _: PutOptions) -> Result<PutResult> {
        read_only("writing")
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        read_only("writing")
    }

    fn delete_stream(&self, _: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        async { read_only("deleting") }.into_stream().boxed()
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        read_only("copying")
    }
}

/// The range and the size of the file in `bytes A-B/SIZE`.
fn parse_range(text: &str) -> Option<(Range<u64>, u64)> {
    let (range, size) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    Some((first.parse().ok()?..last.parse::<u64>().ok()?.checked_add(1)?, size.parse().ok()?))
}

impl fmt::Debug for Dataset {
    /// Leaves out the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dataset").field("name", &self.name).finish_non_exhaustive()
    }
}

impl fmt::Display for HttpFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Source::Web { server } => f.write_str(server),
            Source::Dataset(dataset) => write!(f, "hf://{}", dataset.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_the_one_that_is_named_so() {
        let headers = |link: &'static str| HeaderMap::from_iter([(LINK, HeaderValue::from_static(link))]);
        let both = headers("<https://h/a?cursor=1>; rel=\"prev\", <https://h/a?cursor=3>; rel=\"next\"");
        assert_eq!(next_page(&both).as_deref(), Some("https://h/a?cursor=3"));
        assert_eq!(next_page(&headers("<https://h/a>; rel=\"last\"")), None);
        assert_eq!(next_page(&HeaderMap::new()), None);
    }

    #[test]
    fn addresses_are_the_hubs_own_and_parts_are_escaped() {
        let dataset = Dataset {
            endpoint: Url::parse("http://hub:1/base/").expect("an address"),
            token: None,
            name: "datasets/o/n@refs/convert/parquet".to_owned(),
            pins: Arc::default(),
        };
        let (repository, revision) = dataset.parts();
        let url = dataset.url(&["api"], repository, &["revision", revision], "a b/c").expect("an address");
        assert_eq!(url.as_str(), "http://hub:1/base/api/datasets/o/n/revision/refs%2Fconvert%2Fparquet/a%20b/c");
        assert!(dataset.own("http://hub:1/api?cursor=2").is_ok() && dataset.own("/api?cursor=2").is_ok());
        assert!(dataset.own("http://hub:2/api").is_err() && dataset.own("https://evil/api").is_err());
    }

    #[test]
    fn ranges_are_written_and_read() {
        assert_eq!(range_header(&GetRange::Bounded(5..10)).expect("plain"), "bytes=5-9");
        assert_eq!(range_header(&GetRange::Suffix(3)).expect("plain"), "bytes=-3");
        assert_eq!(parse_range("bytes 5-9/20"), Some((5..10, 20)));
        assert_eq!(parse_range("bytes */20"), None);
    }
}
