//! A small HTTP server in front of a store's server that fails on purpose, as a script says, and notes every request.

use std::fmt;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{CONTENT_LENGTH, RANGE};
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use super::Failure;
use super::dialect::Dialect;
use crate::site::send_signal;

type Body = BoxBody<Bytes, Failure>;
type Upstream = Client<HttpConnector, Full<Bytes>>;

/// A request as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) method: Method,
    /// The key below the bucket, as written in the URL.
    pub(crate) key: String,
    pub(crate) query: String,
    pub(crate) range: Option<Range<u64>>,
}

impl Call {
    /// Whether it changes what is stored.
    pub(crate) fn writes(&self) -> bool {
        self.method == Method::PUT || self.method == Method::POST
    }

    /// Whether it reads a part of a shard.
    pub(crate) fn reads_shard(&self) -> bool {
        self.method == Method::GET && self.key.ends_with(".parquet") && self.range.is_some()
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let step = match (self.query.split(['=', '&']).next(), self.query.split_once("partNumber=")) {
            (_, Some((_, part))) => format!("?part={}", part.split('&').next().unwrap_or_default()),
            (Some("uploads"), _) => "?uploads".to_owned(),
            (Some("uploadId"), _) => "?complete".to_owned(),
            _ => String::new(),
        };
        write!(f, "{} {}{step}", self.method, self.key)
    }
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Pass,
    /// It is answered here, with this status and the code of the store's error.
    Refuse(u16, &'static str),
    /// The answer's body ends halfway.
    CutBody,
    /// The connection is closed without an answer, before the store sees the request, or after it answered.
    Lose,
    LoseAfter,
    Delay(Duration),
    /// The process under test is killed before the store sees the request, or after it answered.
    KillBefore,
    KillAfter,
}

/// Decides about a request by what it is and its number among all.
pub(crate) type Script = Box<dyn Fn(&Call, usize) -> Verdict + Send + Sync>;

struct State {
    upstream: String,
    dialect: Dialect,
    script: Mutex<Script>,
    calls: Mutex<Vec<(Call, Verdict)>>,
    victim: AtomicU32,
}

impl State {
    fn calls(&self) -> MutexGuard<'_, Vec<(Call, Verdict)>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a request and decides about it.
    fn judge(&self, call: Call) -> Verdict {
        let mut calls = self.calls();
        let verdict = self.script.lock().unwrap_or_else(PoisonError::into_inner)(&call, calls.len());
        calls.push((call, verdict));
        verdict
    }

    /// Kills the process under test. A signal that comes too late finds it gone.
    fn kill(&self) {
        let victim = self.victim.swap(0, Ordering::SeqCst);
        if victim > 0 {
            let killed = send_signal("KILL", victim);
            assert!(killed.is_ok_and(|killed| killed), "the process was gone before it was killed");
        }
    }
}

/// The proxy; it ends with the value.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
    _runtime: Runtime,
}

impl Proxy {
    /// Starts before the server at `upstream`, as `host:port`, passing everything on.
    pub(crate) fn start(upstream: &str, dialect: Dialect) -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let address = listener.local_addr()?;
        let state = Arc::new(State {
            upstream: upstream.to_owned(),
            dialect,
            script: Mutex::new(Box::new(|_, _| Verdict::Pass)),
            calls: Mutex::default(),
            victim: AtomicU32::new(0),
        });
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new()).build(connector);
        let serving = Arc::clone(&state);
        runtime.spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                // small answers are not held back
                let _ = socket.set_nodelay(true);
                let (state, client) = (Arc::clone(&serving), client.clone());
                tokio::spawn(async move {
                    let service = service_fn(|request| answer(request, Arc::clone(&state), client.clone()));
                    // an error is a connection that the script closes
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(socket), service)
                        .await;
                });
            }
        });
        Ok(Self { address, state, _runtime: runtime })
    }

    /// Forgets the requests so far and follows `script`.
    pub(crate) fn follow(&self, script: impl Fn(&Call, usize) -> Verdict + Send + Sync + 'static) {
        *self.state.script.lock().unwrap_or_else(PoisonError::into_inner) = Box::new(script);
        self.state.calls().clear();
    }

    /// The requests since the last call of [`Proxy::follow`], and what became of them.
    pub(crate) fn calls(&self) -> Vec<(Call, Verdict)> {
        self.state.calls().clone()
    }

    /// Names the process that [`Verdict::KillBefore`] and [`Verdict::KillAfter`] mean.
    pub(crate) fn aim_at(&self, process: u32) {
        self.state.victim.store(process, Ordering::SeqCst);
    }
}

async fn answer(request: Request<Incoming>, state: Arc<State>, client: Upstream) -> Result<Response<Body>, Failure> {
    let call = call(&request);
    let verdict = state.judge(call.clone());
    match verdict {
        Verdict::Pass | Verdict::CutBody | Verdict::LoseAfter | Verdict::KillAfter => {}
        Verdict::Lose => return Err("lost on purpose".into()),
        Verdict::Delay(time) => tokio::time::sleep(time).await,
        Verdict::KillBefore => {
            state.kill();
            return Err("killed before".into());
        }
        Verdict::Refuse(status, code) => {
            let body =
                format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>on purpose</Message></Error>");
            return Ok(Response::builder().status(status).body(whole(Bytes::from(body)))?);
        }
    }
    let response = forward(request, &state, &client).await?;
    match verdict {
        Verdict::KillAfter => {
            state.kill();
            Err("killed after".into())
        }
        Verdict::LoseAfter => Err("lost on purpose".into()),
        Verdict::CutBody => cut(response),
        _ => Ok(response.map(whole)),
    }
}

fn call(request: &Request<Incoming>) -> Call {
    let path = request.uri().path().trim_start_matches('/');
    let range = request.headers().get(RANGE).and_then(|range| range.to_str().ok()?.strip_prefix("bytes="));
    let range = range.and_then(|range| {
        let (first, last) = range.split_once('-')?;
        Some(first.parse().ok()?..last.parse::<u64>().ok()? + 1)
    });
    Call {
        method: request.method().clone(),
        // bucket and key, or account, container and key
        key: path.trim_start_matches("devstoreaccount1/").split_once('/').map_or("", |(_, key)| key).to_owned(),
        query: request.uri().query().unwrap_or_default().to_owned(),
        range,
    }
}

async fn forward(request: Request<Incoming>, state: &State, client: &Upstream) -> Result<Response<Bytes>, Failure> {
    let (mut parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    parts.uri = format!("http://{}{path}", state.upstream).parse()?;
    let dialect = state.dialect;
    if let Some(refused) = dialect.translate(&mut parts, client).await? {
        return Ok(refused);
    }
    let response = client.request(Request::from_parts(parts, Full::new(body))).await?;
    let (mut parts, body) = response.into_parts();
    let body = body.collect().await?.to_bytes();
    dialect.answer(&mut parts);
    Ok(Response::from_parts(parts, body))
}

fn whole(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never| match never {}).boxed()
}

/// The answer with half of its body: its length is announced, but the connection ends before.
fn cut(response: Response<Bytes>) -> Result<Response<Body>, Failure> {
    let (mut parts, body) = response.into_parts();
    if body.len() < 2 || !parts.status.is_success() {
        return Ok(Response::from_parts(parts, whole(body)));
    }
    parts.headers.insert(CONTENT_LENGTH, body.len().into());
    let half = body.slice(..body.len() / 2);
    let frames = [Ok(Frame::data(half)), Err(Failure::from("cut on purpose"))];
    let body = StreamBody::new(futures::stream::iter(frames));
    Ok(Response::from_parts(parts, BodyExt::boxed(body)))
}
