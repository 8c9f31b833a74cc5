//! The last step before the network: every request of every client passes here and is counted.

use async_trait::async_trait;
use http_body_util::BodyExt;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpResponseBody, HttpService, ReqwestConnector,
};

use crate::traffic::{CUT, LOST, RECEIVED_BYTES, REQUESTS, SENT_BYTES, SERVER_ERRORS, THROTTLED};

/// Connects as `object_store` does, and counts.
#[derive(Debug, Default)]
pub(crate) struct CountingConnector(ReqwestConnector);

#[derive(Debug)]
struct Counting(HttpClient);

impl HttpConnector for CountingConnector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Counting(self.0.connect(options)?)))
    }
}

#[async_trait]
impl HttpService for Counting {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        REQUESTS.add(1);
        SENT_BYTES.add(request.body().content_length() as u64);
        let response = self.0.execute(request).await.inspect_err(|_| LOST.add(1))?;
        match response.status().as_u16() {
            429 | 503 => THROTTLED.add(1),
            408 | 500..=599 => SERVER_ERRORS.add(1),
            _ => {}
        }
        let (parts, body) = response.into_parts();
        let body = body.map_frame(|frame| {
            RECEIVED_BYTES.add(frame.data_ref().map_or(0, bytes::Bytes::len) as u64);
            frame
        });
        let body = body.map_err(|error: HttpError| {
            CUT.add(1);
            error
        });
        Ok(HttpResponse::from_parts(parts, HttpResponseBody::new(body)))
    }
}
