//! The last step before the network: every request of every client passes here and is counted.

use std::sync::Arc;

use async_trait::async_trait;
use http_body_util::BodyExt;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpResponseBody, HttpService, ReqwestConnector,
};

use crate::traffic::Counters;

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
        let counters = Arc::clone(&self.counters);
        counters.requests.add(1);
        counters.sent_bytes.add(request.body().content_length() as u64);
        let response = self.client.execute(request).await.inspect_err(|_| counters.lost.add(1))?;
        match response.status().as_u16() {
            429 | 503 => counters.throttled.add(1),
            408 | 500..=599 => counters.server_errors.add(1),
            _ => {}
        }
        let (parts, body) = response.into_parts();
        let received = Arc::clone(&counters);
        let body = body.map_frame(move |frame| {
            received.received_bytes.add(frame.data_ref().map_or(0, bytes::Bytes::len) as u64);
            frame
        });
        let body = body.map_err(move |error: HttpError| {
            counters.cut.add(1);
            error
        });
        Ok(HttpResponse::from_parts(parts, HttpResponseBody::new(body)))
    }
}
