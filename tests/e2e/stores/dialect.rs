//! Google's XML API on a server that speaks S3: the same paths, listings and uploads, other names for conditions.
//!
//! No kept server speaks that API (fake-gcs-server lacks its writes), and all that `object_store` uses of it beyond S3 is what stands
//! here: <https://cloud.google.com/storage/docs/xml-api/reference-headers>.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{AUTHORIZATION, ETAG, HeaderName, HeaderValue, IF_MATCH, IF_NONE_MATCH};
use hyper::{Method, Request, Response, StatusCode, http};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;

use super::Failure;
use super::servers::SECRET_KEY;

const GENERATION: HeaderName = HeaderName::from_static("x-goog-generation");
const IF_GENERATION: HeaderName = HeaderName::from_static("x-goog-if-generation-match");

/// What the client speaks, where the server behind does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// The server's own.
    Same,
    /// Google's XML API; the server speaks S3.
    Google,
}

impl Dialect {
    /// Turns a request's conditions into the server's, or answers it at once.
    pub(crate) async fn translate(
        self,
        parts: &mut http::request::Parts,
        client: &Client<HttpConnector, Full<Bytes>>,
    ) -> Result<Option<Response<Bytes>>, Failure> {
        if self == Self::Same {
            return Ok(None);
        }
        if parts.headers.remove(AUTHORIZATION).is_none_or(|value| value != format!("Bearer {SECRET_KEY}")) {
            return Ok(Some(Response::builder().status(StatusCode::UNAUTHORIZED).body(Bytes::new())?));
        }
        let Some(wanted) = parts.headers.remove(IF_GENERATION) else { return Ok(None) };
        if wanted == "0" {
            parts.headers.insert(IF_NONE_MATCH, HeaderValue::from_static("*"));
            return Ok(None);
        }
        let head = Request::builder().method(Method::HEAD).uri(parts.uri.clone()).body(Full::default())?;
        let there = client.request(head).await?;
        match there.headers().get(ETAG) {
            Some(etag) if generation(etag) == wanted => {
                parts.headers.insert(IF_MATCH, etag.clone());
                Ok(None)
            }
            _ => Ok(Some(Response::builder().status(StatusCode::PRECONDITION_FAILED).body(Bytes::new())?)),
        }
    }

    /// Names the version of what is answered as the client expects it.
    pub(crate) fn answer(self, parts: &mut http::response::Parts) {
        if self == Self::Google
            && let Some(etag) = parts.headers.get(ETAG)
        {
            let generation = generation(etag);
            parts.headers.insert(GENERATION, generation);
        }
    }
}

/// A number that stands for a version: its tag's bytes, hashed (FNV-1a).
fn generation(etag: &HeaderValue) -> HeaderValue {
    let hash = etag
        .as_bytes()
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    HeaderValue::from(hash >> 1)
}
