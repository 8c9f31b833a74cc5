//! The last step before the network: every request of every client passes here, is counted, and its failure is given a type.
//!
//! `object_store` tells of a status in a sentence, after its retries. So an answer that refuses is turned into an error here, which
//! holds status and code ([`WireFailure`]) and comes out of `object_store` in the chain of causes; it is repeated as the answer would
//! be. Left as answers are those that `object_store` has to see: conflicts, which decide conditional writes, and the refusal
//! that makes an instance ask for its role in the older way.

mod failure;
mod listing;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Method, StatusCode};
use http_body_util::{BodyExt, Limited};
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpResponseBody, HttpService, ReqwestConnector,
};

pub(crate) use failure::{Sent, Trouble, WireFailure};

use crate::traffic::Counters;
use failure::Explanation;

/// The most that is read of what a server says about an error.
const MOST_DOCUMENT_BYTES: usize = 64 << 10;

/// Connects as `object_store` does, and counts.
#[derive(Debug)]
pub(crate) struct CountingConnector {
    inner: ReqwestConnector,
    counters: Arc<Counters>,
}

#[derive(Debug)]
struct Counting {
    client: HttpClient,
    counters: Arc<Counters>,
}

impl CountingConnector {
    pub(crate) fn new(counters: Arc<Counters>) -> Self {
        Self { inner: ReqwestConnector::default(), counters }
    }
}

impl HttpConnector for CountingConnector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        choose_tls_provider();
        let client = self.inner.connect(options)?;
        Ok(HttpClient::new(Counting { client, counters: Arc::clone(&self.counters) }))
    }
}

/// Makes *ring* the provider of TLS, unless the program chose one: reqwest takes the one that rustls keeps for the process.
fn choose_tls_provider() {
    // an error says that there is one already
    drop(rustls::crypto::ring::default_provider().install_default());
}

#[async_trait]
impl HttpService for Counting {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let sent = Sent::new(request.method(), request.uri());
        let ends_upload = ends_upload(&request);
        let lists_keys = request.method() == Method::GET && listing::asks_for_list(request.uri());
        let asks_for_role = request.method() == Method::PUT && request.uri().path() == "/latest/api/token";
        self.counters.requests.add(1);
        self.counters.sent_bytes.add(request.body().content_length() as u64);
        let response = self.client.execute(request).await.map_err(|error| {
            self.counters.lost.add(1);
            sent.clone().lost(error)
        })?;
        let (mut parts, body) = response.into_parts();
        self.count_status(parts.status);
        let body = self.counted(body, sent.clone());
        match parts.status {
            status if status.is_success() && ends_upload => {
                let document = body.bytes().await?;
                if is_error(&document) {
                    Err(sent.refused(status, &parts.headers, &document))
                } else {
                    Ok(HttpResponse::from_parts(parts, document.into()))
                }
            }
            status if status.is_success() && lists_keys => {
                let (document, keys) = listing::without_unusable_keys(&body.bytes().await?);
                self.counters.left_out.note(keys);
                parts.headers.remove(http::header::CONTENT_LENGTH);
                Ok(HttpResponse::from_parts(parts, document.into()))
            }
            StatusCode::CONFLICT | StatusCode::PRECONDITION_FAILED => {
                let Explanation { code, message } = Explanation::read(&parts.headers, &document(body).await);
                let said: Vec<String> = [code, message].into_iter().flatten().collect();
                parts.headers.remove(http::header::CONTENT_LENGTH);
                Ok(HttpResponse::from_parts(parts, said.join(": ").into()))
            }
            StatusCode::FORBIDDEN if asks_for_role => Ok(HttpResponse::from_parts(parts, body)),
            status if status.is_client_error() || status.is_server_error() => {
                Err(sent.refused(status, &parts.headers, &document(body).await))
            }
            _ => Ok(HttpResponse::from_parts(parts, body)),
        }
    }
}

impl Counting {
    fn count_status(&self, status: StatusCode) {
        match status.as_u16() {
            429 | 503 => self.counters.throttled.add(1),
            408 | 500..=599 => self.counters.server_errors.add(1),
            _ => {}
        }
    }

    /// The same body, whose bytes are counted as they come.
    fn counted(&self, body: HttpResponseBody, sent: Sent) -> HttpResponseBody {
        let counters = Arc::clone(&self.counters);
        let body = body.map_frame(move |frame| {
            counters.received_bytes.add(frame.data_ref().map_or(0, Bytes::len) as u64);
            frame
        });
        let counters = Arc::clone(&self.counters);
        HttpResponseBody::new(body.map_err(move |error| {
            counters.cut.add(1);
            sent.clone().cut(error)
        }))
    }
}

/// Whether `request` ends a multipart upload of S3, the answer to which may be an error under the status 200.
fn ends_upload(request: &HttpRequest) -> bool {
    let names_upload = |query: &str| query.split('&').any(|pair| pair.starts_with("uploadId="));
    request.method() == Method::POST && request.uri().query().is_some_and(names_upload)
}

/// Whether an answer is the document of an error.
fn is_error(document: &[u8]) -> bool {
    const ERROR: &[u8] = b"<Error>";
    document.windows(ERROR.len()).any(|window| window == ERROR)
}

/// What a server says about an error; nothing if it is too long, or does not come.
async fn document(body: HttpResponseBody) -> Bytes {
    let collected = Limited::new(body, MOST_DOCUMENT_BYTES).collect().await;
    collected.map(http_body_util::Collected::to_bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, Uri};
    use object_store::client::{HttpErrorKind, HttpRequestBody};

    use super::*;

    const ROLE: &str = "http://169.254.169.254/latest/api/token";
    const SLOW_DOWN: &str = "<Error><Code>SlowDown</Code><Message>Slow.</Message><Key>k</Key></Error>";

    /// A server with one answer.
    #[derive(Debug)]
    struct Canned(u16, &'static str);

    #[async_trait]
    impl HttpService for Canned {
        async fn call(&self, _: HttpRequest) -> Result<HttpResponse, HttpError> {
            let (mut parts, body) = HttpResponse::new(self.1.to_owned().into()).into_parts();
            parts.status = StatusCode::from_u16(self.0).expect("a status");
            parts.headers = HeaderMap::new();
            Ok(HttpResponse::from_parts(parts, body))
        }
    }

    /// What becomes of `answer`: its status and body, or the error, and its kind.
    async fn outcome(
        method: Method,
        uri: &'static str,
        answer: Canned,
    ) -> Result<(u16, String), (HttpErrorKind, String)> {
        let counting = Counting { client: HttpClient::new(answer), counters: Arc::default() };
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        (*request.method_mut(), *request.uri_mut()) = (method, Uri::from_static(uri));
        let response = counting.call(request).await.map_err(|error| (error.kind(), error.to_string()))?;
        let status = response.status().as_u16();
        let body = response.into_body().bytes().await.map_err(|error| (error.kind(), error.to_string()))?;
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }

    #[tokio::test]
    async fn what_object_store_decides_by_stays_an_answer_and_the_rest_is_an_error() {
        let sent = |status, document| outcome(Method::PUT, "http://h/b/k", Canned(status, document));
        assert_eq!(sent(200, "bytes").await, Ok((200, "bytes".to_owned())));
        assert_eq!(sent(301, "").await, Ok((301, String::new())));
        for status in [409, 412] {
            assert_eq!(
                sent(status, SLOW_DOWN).await,
                Ok((status, "SlowDown: Slow.".to_owned())),
                "the key is left out"
            );
        }
        let repeated = (HttpErrorKind::Request, "HTTP error: 503 Service Unavailable: SlowDown: Slow.".to_owned());
        assert_eq!(sent(503, SLOW_DOWN).await, Err(repeated));
        for status in [400, 401, 403, 404, 416] {
            assert_eq!(sent(status, "").await.map_err(|(kind, _)| kind), Err(HttpErrorKind::Unknown), "{status}");
        }
        assert_eq!(outcome(Method::PUT, ROLE, Canned(403, "")).await, Ok((403, String::new())));
        assert!(outcome(Method::PUT, ROLE, Canned(404, "")).await.is_err());
    }

    #[tokio::test]
    async fn an_upload_may_end_with_an_error_under_the_status_of_success() {
        let ended = |document| outcome(Method::POST, "http://h/b/k?uploadId=u", Canned(200, document));
        let whole = "<CompleteMultipartUploadResult><ETag>e</ETag></CompleteMultipartUploadResult>";
        assert_eq!(ended(whole).await, Ok((200, whole.to_owned())));
        assert_eq!(ended(SLOW_DOWN).await.map_err(|(kind, _)| kind), Err(HttpErrorKind::Request));
        let denied = "<Error><Code>AccessDenied</Code></Error>";
        assert_eq!(ended(denied).await.map_err(|(kind, _)| kind), Err(HttpErrorKind::Unknown));
        // an object may hold what an error looks like
        let read = outcome(Method::GET, "http://h/b/k", Canned(200, SLOW_DOWN)).await;
        assert_eq!(read, Ok((200, SLOW_DOWN.to_owned())));
    }

    #[tokio::test]
    async fn requests_and_bodies_are_counted() {
        let counters = Arc::<Counters>::default();
        for answer in [Canned(200, "four"), Canned(503, ""), Canned(500, "")] {
            let counting = Counting { client: HttpClient::new(answer), counters: Arc::clone(&counters) };
            if let Ok(response) = counting.call(HttpRequest::new(Bytes::from_static(b"ask").into())).await {
                response.into_body().bytes().await.expect("it is whole");
            }
        }
        let traffic = counters.totals();
        let counted = (traffic.requests, traffic.sent_bytes, traffic.received_bytes, traffic.retries());
        assert_eq!(counted, (3, 9, 4, 2));
    }
}
