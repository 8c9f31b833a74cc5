//! One file of a web server, read from beginning to end however often the connection breaks.

use std::io::{self, Read};
use std::time::Duration;

use bytes::{Buf, Bytes};
use futures::StreamExt;
use futures::stream::BoxStream;
use http::HeaderValue;
use object_store::client::{HttpClient, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody, HttpResponse};
use url::Url;

use crate::runtime::wait;
use crate::wire::{Trouble, WireFailure};
use crate::{Cause, Error};

/// Tries after the first, each going on where the last ended.
const RETRIES: u32 = 3;

/// The pause before the first of them; each later one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(300);

/// What to do about an answer that refuses; the hub also refuses what is not there.
const TOKEN_HINT: &str = "set HF_TOKEN to a token that opens it, if there is such a repository";

/// Reads a file; its errors hold an [`Error::Hub`], or an [`Error::Runtime`].
pub(super) struct Download {
    client: HttpClient,
    url: Url,
    token: Option<String>,
    /// Bytes that came so far, those in `chunk` included.
    received: u64,
    /// Size of the file, once the server said it.
    size: Option<u64>,
    /// Bytes at the beginning of the answer that came before.
    known: u64,
    body: Option<Body>,
    chunk: Bytes,
    retries: u32,
}

type Body = BoxStream<'static, Result<Bytes, HttpError>>;

/// Why a try failed.
enum Failure {
    /// In a way that passes.
    Passing(Cause),
    /// For good.
    Final(Cause),
    /// Not the server's.
    Own(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Own(error)
    }
}

impl Download {
    /// Asks for the file at `url`, and waits for its first bytes.
    pub(super) fn open(client: HttpClient, url: Url, token: Option<String>) -> Result<Self, Error> {
        let (received, size, known, body, retries) = (0, None, 0, None, RETRIES);
        let mut download = Self { client, url, token, received, size, known, body, chunk: Bytes::new(), retries };
        download.chunk = download.next()?;
        Ok(download)
    }

    /// The next bytes of the file; none at its end.
    fn next(&mut self) -> Result<Bytes, Error> {
        loop {
            match self.advance() {
                Ok(bytes) => return Ok(bytes),
                Err(Failure::Passing(_)) if self.retries > 0 => {
                    std::thread::sleep(FIRST_PAUSE * (1 << (RETRIES - self.retries)));
                    self.retries -= 1;
                }
                Err(Failure::Passing(source)) => return Err(self.failed(source, true)),
                Err(Failure::Final(source)) => return Err(self.failed(source, false)),
                Err(Failure::Own(error)) => return Err(error),
            }
        }
    }

    fn failed(&self, source: Cause, passes: bool) -> Error {
        Error::Hub { url: self.url.to_string(), passes, source }
    }

    /// The next bytes of this try.
    fn advance(&mut self) -> Result<Bytes, Failure> {
        let mut body = match self.body.take() {
            Some(body) => body,
            // all came before the line broke
            None if self.received > 0 && self.size == Some(self.received) => return Ok(Bytes::new()),
            None => self.begin()?,
        };
        loop {
            let (rest, item) = wait(async move {
                let item = body.next().await;
                (body, item)
            })?;
            body = rest;
            let mut bytes = match item {
                Some(item) => item.map_err(|error| Failure::Passing(error.into()))?,
                None if self.size.is_none_or(|size| self.received == size) => {
                    self.body = Some(body);
                    return Ok(Bytes::new());
                }
                None => return Err(Failure::Passing(format!("it ended after {} bytes", self.received).into())),
            };
            let known = usize::try_from(self.known).map_or(bytes.len(), |known| known.min(bytes.len()));
            bytes.advance(known);
            self.known -= known as u64;
            if !bytes.is_empty() {
                self.received += bytes.len() as u64;
                self.body = Some(body);
                return Ok(bytes);
            }
        }
    }

    /// Asks for what is missing.
    fn begin(&mut self) -> Result<Body, Failure> {
        let request = self.request().map_err(Failure::Final)?;
        let client = self.client.clone();
        let response = wait(async move { client.execute(request).await })?;
        let response = response.map_err(|error| {
            let trouble = WireFailure::of(&error).map(WireFailure::trouble);
            match trouble {
                // a machine without network is told at once
                _ if error.kind() == HttpErrorKind::Connect && self.received == 0 => Failure::Final(error.into()),
                Some(Trouble::Credentials) => Failure::Final(format!("{error} ({TOKEN_HINT})").into()),
                Some(Trouble::Passing) => Failure::Passing(error.into()),
                _ => Failure::Final(error.into()),
            }
        })?;
        self.accept(response)
    }

    fn request(&self) -> Result<HttpRequest, Cause> {
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.uri_mut() = self.url.as_str().parse()?;
        if let Some(token) = &self.token {
            let mut value = HeaderValue::try_from(format!("Bearer {token}"))?;
            // it shows up in no log
            value.set_sensitive(true);
            request.headers_mut().insert("authorization", value);
        }
        if self.received > 0 {
            request.headers_mut().insert("range", format!("bytes={}-", self.received).parse()?);
        }
        Ok(request)
    }

    /// The body of an answer that holds what was asked for.
    fn accept(&mut self, response: HttpResponse) -> Result<Body, Failure> {
        let header = |name: &str| response.headers().get(name)?.to_str().ok();
        // a server that knows no ranges sends everything again
        let (size, known) = match response.status().as_u16() {
            200 => (header("content-length").and_then(|length| length.parse().ok()), self.received),
            206 => {
                let range = header("content-range").and_then(|range| range.strip_prefix("bytes "));
                let (bytes, size) = range.and_then(|range| range.split_once('/')).unwrap_or_default();
                if bytes.split('-').next() != Some(&self.received.to_string()) {
                    return Err(Failure::Final("it sent another part of the file than was asked for".into()));
                }
                (size.parse().ok(), 0)
            }
            status => return Err(Failure::Final(format!("it answered with the status {status}").into())),
        };
        if self.size.is_some_and(|before| size.is_some_and(|now| now != before)) {
            return Err(Failure::Final("the file changed while it was fetched".into()));
        }
        (self.size, self.known) = (size.or(self.size), known);
        Ok(response.into_body().bytes_stream())
    }
}

impl Read for Download {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.chunk.is_empty() && !out.is_empty() {
            self.chunk = self.next().map_err(io::Error::other)?;
        }
        let taken = self.chunk.split_to(out.len().min(self.chunk.len()));
        out[..taken.len()].copy_from_slice(&taken);
        Ok(taken.len())
    }
}
