//! Failures of requests, where status and code are still numbers and names.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use http::{HeaderMap, Method, StatusCode, Uri};
use object_store::client::{HttpError, HttpErrorKind};
use serde::Deserialize;

/// Where instances of AWS, Google and Azure ask for the credentials of their role.
const INSTANCE_PATHS: [&str; 4] =
    ["/latest/api/token", "/latest/meta-data/", "/computeMetadata/", "/metadata/identity/"];

/// Codes of S3, STS and OAuth about credentials, which come with the status 400.
const CREDENTIAL_CODES: [&str; 8] = [
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidIdentityToken",
    "InvalidIdentityTokenException",
    "InvalidToken",
    "TokenRefreshRequired",
    "invalid_client",
    "invalid_grant",
];

/// Codes with which S3 ends an upload that is to be ended again, although the status is 200.
const PASSING_CODES: [&str; 3] = ["InternalError", "ServiceUnavailable", "SlowDown"];

/// Headers in which Azure and the model hub say what an answer without a body means.
const CODE_HEADER: &str = "x-ms-error-code";
const MESSAGE_HEADER: &str = "x-error-message";

/// A request that failed. [`HttpError`] carries it through `object_store`, and [`WireFailure::of`] finds it again.
#[derive(Debug)]
pub(crate) struct WireFailure {
    request: Sent,
    outcome: Outcome,
}

/// What is kept of a request.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    method: Method,
    /// Whether an instance asked for the credentials of its role.
    is_for_role: bool,
}

#[derive(Debug)]
enum Outcome {
    /// The server answered with an error.
    Refused { status: StatusCode, code: Option<String>, message: Option<String>, wait: Option<Duration> },
    /// No answer came.
    Lost(HttpError),
    /// The answer broke off.
    Cut(HttpError),
}

/// What a caller can do about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// No connection, a cut answer, or a server that says it is overloaded: trying again may help.
    Passing,
    /// Wrong, missing or expired credentials.
    Credentials,
    /// No such object, bucket or upload.
    Missing,
    /// Another version by now.
    Changed,
    /// Anything else.
    Final,
}

impl Sent {
    pub(crate) fn new(method: &Method, uri: &Uri) -> Self {
        let is_for_role = INSTANCE_PATHS.iter().any(|path| uri.path().contains(path));
        Self { method: method.clone(), is_for_role }
    }

    /// No answer came.
    pub(crate) fn lost(self, error: HttpError) -> HttpError {
        let kind = error.kind();
        HttpError::new(kind, WireFailure { request: self, outcome: Outcome::Lost(error) })
    }

    /// The answer broke off.
    pub(crate) fn cut(self, error: HttpError) -> HttpError {
        let kind = error.kind();
        HttpError::new(kind, WireFailure { request: self, outcome: Outcome::Cut(error) })
    }

    /// The server refused, or ended an upload with an error; `document` is what it sent with it.
    pub(crate) fn refused(self, status: StatusCode, headers: &HeaderMap, document: &[u8]) -> HttpError {
        let Explanation { code, message } = Explanation::read(headers, document);
        let failure =
            WireFailure { request: self, outcome: Outcome::Refused { status, code, message, wait: wait(headers) } };
        // `object_store` repeats the first kind, and never the other
        let is_repeated = status != StatusCode::BAD_REQUEST && failure.status_trouble() == Some(Trouble::Passing);
        HttpError::new(if is_repeated { HttpErrorKind::Request } else { HttpErrorKind::Unknown }, failure)
    }
}

impl WireFailure {
    /// The failure on the wire behind `error`, if there is one.
    pub(crate) fn of<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a Self> {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(failure) = error.downcast_ref() {
                return Some(failure);
            }
            cause = error.source();
        }
        None
    }

    /// What a caller can do about it.
    pub(crate) fn trouble(&self) -> Trouble {
        if self.request.is_for_role {
            // asked for because no others were given, and nobody is there
            return Trouble::Credentials;
        }
        self.status_trouble().unwrap_or(Trouble::Passing)
    }

    /// The same by the answer alone; `None` if there is none.
    fn status_trouble(&self) -> Option<Trouble> {
        let Outcome::Refused { status, code, .. } = &self.outcome else { return None };
        let says = |codes: &[&str]| code.as_deref().is_some_and(|code| codes.contains(&code));
        Some(match status.as_u16() {
            200 if says(&PASSING_CODES) => Trouble::Passing,
            408 | 429 | 500..=599 => Trouble::Passing,
            400 if says(&["RequestTimeout"]) => Trouble::Passing,
            400 if says(&CREDENTIAL_CODES) => Trouble::Credentials,
            401 | 403 => Trouble::Credentials,
            404 => Trouble::Missing,
            412 => Trouble::Changed,
            _ => Trouble::Final,
        })
    }

    /// How long the server asks to wait before the request is sent again.
    pub(crate) const fn wait(&self) -> Option<Duration> {
        if let Outcome::Refused { wait, .. } = &self.outcome { *wait } else { None }
    }

    /// Whether the answer broke off, so that `object_store` did not repeat the request.
    pub(crate) const fn is_cut(&self) -> bool {
        matches!(self.outcome, Outcome::Cut(_))
    }

    /// Whether it was a request to delete something, or to abort an upload.
    pub(crate) fn is_of_delete(&self) -> bool {
        self.request.method == Method::DELETE
    }
}

impl fmt::Display for WireFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.outcome {
            Outcome::Refused { status, code, message, .. } => {
                write!(f, "{status}")?;
                [code, message].into_iter().flatten().try_for_each(|part| write!(f, ": {part}"))
            }
            Outcome::Lost(error) | Outcome::Cut(error) => match error.source() {
                Some(inner) => write!(f, "{inner}"),
                None => write!(f, "{error}"),
            },
        }
    }
}

impl StdError for WireFailure {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.outcome {
            Outcome::Refused { .. } => None,
            // the first cause is what the text above says
            Outcome::Lost(error) | Outcome::Cut(error) => error.source()?.source(),
        }
    }
}

/// What a server says about an error. All else in the document is left out: some repeat the request, with the name of the key that
/// signed it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Explanation {
    pub(crate) code: Option<String>,
    pub(crate) message: Option<String>,
}

/// An error of OAuth (RFC 6749, §5.2).
#[derive(Deserialize)]
struct OauthError {
    error: String,
    error_description: Option<String>,
}

/// The longest that a server is waited for: the model hub counts requests in windows of five minutes.
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// How long a server asks to wait: by `RateLimit` (its item `t` is seconds until requests are free again), or by `Retry-After` in seconds.
fn wait(headers: &HeaderMap) -> Option<Duration> {
    let header = |name: &str| headers.get(name)?.to_str().ok();
    let seconds = |text: &str| text.trim().parse::<u64>().ok();
    let limit = header("ratelimit")
        .and_then(|limit| limit.split([';', ',']).find_map(|item| seconds(item.trim().strip_prefix("t=")?)));
    let seconds = limit.or_else(|| header("retry-after").and_then(seconds))?;
    // a second more, as the server rounds
    Some(Duration::from_secs(seconds.saturating_add(1)).min(LONGEST_WAIT))
}

impl Explanation {
    /// Reads headers and a document in the form of S3 and Azure (XML) or OAuth (JSON).
    pub(crate) fn read(headers: &HeaderMap, document: &[u8]) -> Self {
        let header = |name: &str| Some(headers.get(name)?.to_str().ok()?.to_owned());
        let text = String::from_utf8_lossy(document);
        let element = |name: &str| {
            let (_, rest) = text.split_once(&format!("<{name}>"))?;
            Some(rest.split_once("</")?.0.to_owned())
        };
        let oauth: Option<OauthError> = serde_json::from_slice(document).ok();
        let (error, description) = oauth.map(|oauth| (oauth.error, oauth.error_description)).unzip();
        Self {
            code: element("Code").or_else(|| header(CODE_HEADER)).or(error),
            message: element("Message").or_else(|| header(MESSAGE_HEADER)).or(description.flatten()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    /// What becomes of an answer to a request to `uri` by the time that it has gone through `object_store`.
    fn sorted(uri: &str, status: u16, document: &str) -> Error {
        let uri = uri.parse().expect("an address");
        let status = StatusCode::from_u16(status).expect("a status");
        let error = Sent::new(&Method::GET, &uri).refused(status, &HeaderMap::new(), document.as_bytes());
        Error::store("s3://b", object_store::Error::Generic { store: "S3", source: error.into() })
    }

    fn code(code: &str) -> String {
        format!("<Error><Code>{code}</Code></Error>")
    }

    #[test]
    fn status_and_code_decide_what_kind_of_failure_it_is() {
        let answer = |status, document: &str| sorted("http://h/b", status, document);
        for status in [408, 429, 500, 503, 599] {
            assert!(answer(status, "").is_transient(), "{status}");
        }
        assert!(answer(400, &code("RequestTimeout")).is_transient());
        assert!(answer(200, &code("SlowDown")).is_transient());
        for (status, code) in [(401, ""), (403, "x"), (400, "ExpiredToken"), (400, "InvalidIdentityTokenException")] {
            assert!(matches!(answer(status, &self::code(code)), Error::PermissionDenied { .. }), "{status} {code}");
        }
        let oauth = r#"{"error": "invalid_grant", "error_description": "Token has been expired or revoked."}"#;
        assert!(matches!(answer(400, oauth), Error::PermissionDenied { .. }));
        assert!(answer(404, &code("NoSuchBucket")).is_not_found());
        assert!(matches!(answer(412, ""), Error::Changed { .. }));
        for (status, code) in [(400, "InvalidRange"), (416, ""), (200, "AccessDenied"), (405, "SlowDown")] {
            assert!(matches!(answer(status, &self::code(code)), Error::Refused { .. }), "{status} {code}");
        }
        // the words of a message decide nothing
        let worded = answer(400, "<Error><Code>X</Code><Message>SlowDown: 503, ExpiredToken</Message></Error>");
        assert!(matches!(worded, Error::Refused { .. }));
    }

    #[test]
    fn a_server_says_how_long_to_wait() {
        let waits = |name: &'static str, value: &'static str| {
            wait(&HeaderMap::from_iter([(http::HeaderName::from_static(name), http::HeaderValue::from_static(value))]))
        };
        assert_eq!(waits("ratelimit", "\"api\";r=0;t=55"), Some(Duration::from_secs(56)));
        assert_eq!(waits("retry-after", "3"), Some(Duration::from_secs(4)));
        assert_eq!(waits("retry-after", "99999"), Some(LONGEST_WAIT));
        assert_eq!(waits("retry-after", "Wed, 21 Oct 2026 07:28:00 GMT"), None);
    }

    #[test]
    fn nobody_who_gives_an_instance_its_role_is_missing_credentials() {
        for uri in
            ["http://169.254.169.254/latest/api/token", "http://g/computeMetadata/v1/x", "http://a/metadata/identity/o"]
        {
            assert!(matches!(sorted(uri, 503, ""), Error::PermissionDenied { .. }), "{uri}");
            let sent = Sent::new(&Method::PUT, &uri.parse().expect("an address"));
            let lost = sent.lost(HttpError::new(HttpErrorKind::Connect, std::io::Error::other("refused")));
            let lost = object_store::Error::Generic { store: "S3", source: lost.into() };
            assert!(matches!(Error::store("s3://b", lost), Error::PermissionDenied { .. }), "{uri}");
        }
    }

    #[test]
    fn lost_and_cut_answers_pass_and_say_why() {
        let sent = Sent::new(&Method::DELETE, &Uri::from_static("http://h/b"));
        let broken = || HttpError::new(HttpErrorKind::Interrupted, std::io::Error::other("the line is down"));
        for (error, is_cut) in [(sent.clone().lost(broken()), false), (sent.cut(broken()), true)] {
            assert_eq!(
                (error.kind(), error.to_string().as_str()),
                (HttpErrorKind::Interrupted, "HTTP error: the line is down")
            );
            let failure = WireFailure::of(&error).expect("it is one");
            assert_eq!((failure.trouble(), failure.is_cut(), failure.is_of_delete()), (Trouble::Passing, is_cut, true));
        }
        assert!(WireFailure::of(&std::io::Error::other("no connection")).is_none());
    }

    #[test]
    fn what_a_server_repeats_of_a_request_is_left_out() {
        let document = "<?xml version=\"1.0\"?><Error><Code>SignatureDoesNotMatch</Code><Message>It does not match.</Message>\
                        <AWSAccessKeyId>AKIDX</AWSAccessKeyId><StringToSign>AWS4-HMAC x</StringToSign></Error>";
        let error = Sent::new(&Method::GET, &Uri::from_static("http://h/b")).refused(
            StatusCode::FORBIDDEN,
            &HeaderMap::new(),
            document.as_bytes(),
        );
        assert_eq!(error.to_string(), "HTTP error: 403 Forbidden: SignatureDoesNotMatch: It does not match.");
        let mut headers = HeaderMap::new();
        headers.insert(CODE_HEADER, http::HeaderValue::from_static("AuthenticationFailed"));
        let read = Explanation::read(&headers, b"<html>");
        assert_eq!((read.code.as_deref(), read.message), (Some("AuthenticationFailed"), None));
    }
}
