//! Datasets of the model hub, read from a fake one: pages, redirects to another host, limits of requests, a revision that moves.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::corpus;
use crate::scores::documents;
use crate::site::{Finished, Outcome, PIPELINE, Site, finish, pipeline, tiny};

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Answer = Result<Response<Full<Bytes>>, Failure>;

const TOKEN: &str = "hf_canary";

/// Files of one commit.
type Files = BTreeMap<String, Bytes>;

#[derive(Default)]
struct State {
    /// Files by commit.
    commits: BTreeMap<String, Files>,
    /// What `main` is.
    main: String,
    /// Answers still to be refused with 429.
    refusals: usize,
    /// Method, path and query of each request to the hub, and whether it held the token.
    asked: Vec<(String, bool)>,
    /// Whether a request to the other host held a token.
    leaked: bool,
    cdn: Option<SocketAddr>,
    address: Option<SocketAddr>,
}

/// A hub and the host that its large files come from.
struct Hub {
    state: Arc<Mutex<State>>,
    address: SocketAddr,
    _runtime: Runtime,
}

impl Hub {
    fn start(files: Files) -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let state = Arc::new(Mutex::new(State {
            commits: BTreeMap::from([("c1".to_owned(), files)]),
            main: "c1".to_owned(),
            ..State::default()
        }));
        let serve = |answer: fn(&Request<Incoming>, &mut State) -> Answer| -> Result<SocketAddr, Failure> {
            let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
            let (address, state) = (listener.local_addr()?, Arc::clone(&state));
            runtime.spawn(async move {
                while let Ok((socket, _)) = listener.accept().await {
                    let state = Arc::clone(&state);
                    tokio::spawn(async move {
                        let service = service_fn(move |request: Request<Incoming>| {
                            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
                            let answer =
                                answer(&request, &mut state).map_err(|error| std::io::Error::other(error.to_string()));
                            async move { answer }
                        });
                        // an error is a client that has gone
                        let _ = hyper::server::conn::http1::Builder::new()
                            .serve_connection(TokioIo::new(socket), service)
                            .await;
                    });
                }
            });
            Ok(address)
        };
        let (address, cdn) = (serve(hub)?, serve(cdn)?);
        let mut held = state.lock().unwrap_or_else(PoisonError::into_inner);
        (held.address, held.cdn) = (Some(address), Some(cdn));
        drop(held);
        Ok(Self { state, address, _runtime: runtime })
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn run(&self, site: &Site, arguments: &[&str]) -> Result<Finished, Box<dyn std::error::Error>> {
        let mut command = site.command(arguments);
        command.env("HF_ENDPOINT", format!("http://{}", self.address)).env("HF_TOKEN", TOKEN);
        finish(&mut command)
    }
}

fn has_token(request: &Request<Incoming>) -> bool {
    request.headers().get("authorization").is_some_and(|value| value.as_bytes() == format!("Bearer {TOKEN}").as_bytes())
}

fn reply(status: u16, body: impl Into<Bytes>) -> Answer {
    Ok(Response::builder().status(status).body(Full::new(body.into()))?)
}

fn hub(request: &Request<Incoming>, state: &mut State) -> Answer {
    let uri = request.uri();
    state.asked.push((format!("{} {uri}", request.method()), has_token(request)));
    if !has_token(request) {
        return reply(401, "");
    }
    if state.refusals > 0 {
        state.refusals -= 1;
        return Ok(Response::builder().status(429).header("RateLimit", "\"api\";r=0;t=1").body(Full::default())?);
    }
    let path = uri.path();
    if let Some(revision) = path.strip_prefix("/api/datasets/o/n/revision/") {
        let sha = if revision == "main" { state.main.clone() } else { revision.to_owned() };
        return reply(200, json!({"sha": sha}).to_string());
    }
    if let Some(rest) = path.strip_prefix("/api/datasets/o/n/tree/") {
        let (commit, folder) = rest.split_once('/').unwrap_or((rest, ""));
        let Some(files) = state.commits.get(commit) else { return reply(404, "") };
        let below: Vec<_> =
            files.iter().filter(|(path, _)| folder.is_empty() || path.starts_with(&format!("{folder}/"))).collect();
        // pages of two entries
        let cursor = uri.query().and_then(|query| query.split('&').find_map(|pair| pair.strip_prefix("cursor=")));
        let first: usize = cursor.map_or(Ok(0), str::parse)?;
        let page = below.iter().skip(first).take(2).map(|(path, bytes)| {
            json!({"type": "file", "path": path, "size": 130, "oid": format!("blob-{commit}"),
                   "lfs": {"oid": format!("sha-{commit}-{path}"), "size": bytes.len(), "pointerSize": 130}})
        });
        let mut entries: Vec<_> = page.collect();
        if first == 0 {
            entries.push(json!({"type": "directory", "path": "data", "size": 0, "oid": "tree"}));
        }
        let mut response = Response::builder().status(200);
        if first + 2 < below.len() {
            let next =
                format!("http://{}{path}?recursive=true&cursor={}", state.address.ok_or("an address")?, first + 2);
            response = response.header("Link", format!("<{next}>; rel=\"next\""));
        }
        return Ok(response.body(Full::new(json!(entries).to_string().into()))?);
    }
    if let Some(rest) = path.strip_prefix("/datasets/o/n/resolve/") {
        let location = format!("http://{}/{rest}", state.cdn.ok_or("an address")?);
        return Ok(Response::builder().status(302).header("Location", location).body(Full::default())?);
    }
    reply(404, "")
}

fn cdn(request: &Request<Incoming>, state: &mut State) -> Answer {
    state.leaked |= request.headers().contains_key("authorization");
    let path = request.uri().path().trim_start_matches('/');
    let found = path.split_once('/').and_then(|(commit, path)| state.commits.get(commit)?.get(path));
    let Some(bytes) = found else { return reply(404, "") };
    let size = bytes.len();
    if request.method() == Method::HEAD {
        return Ok(Response::builder().status(200).header("Content-Length", size).body(Full::default())?);
    }
    let range =
        request.headers().get("range").and_then(|range| range.to_str().ok()?.strip_prefix("bytes=")?.split_once('-'));
    let Some((first, last)) = range else { return reply(200, bytes.clone()) };
    let (first, last): (usize, usize) = (first.parse()?, last.parse::<usize>()?.min(size - 1));
    Ok(Response::builder()
        .status(206)
        .header("Content-Range", format!("bytes {first}-{last}/{size}"))
        .header("ETag", "\"of the other host\"")
        .body(Full::new(bytes.slice(first..=last)))?)
}

fn shard(seed: u64) -> Result<Bytes, Box<dyn std::error::Error>> {
    Ok(corpus::bytes(&corpus::book_rows(seed, 6)?, 100)?.into())
}

fn files(seed: u64) -> Result<Files, Box<dyn std::error::Error>> {
    let names =
        ["README.md", "data/train-0.parquet", "data/train-1.parquet", "data/train-2.parquet", "other/x.parquet"];
    (0..).zip(names).map(|(number, name)| Ok((name.to_owned(), shard(seed + number)?))).collect()
}

fn site_of(paths: &str) -> Result<Site, Box<dyn std::error::Error>> {
    let site = Site::empty()?;
    site.write(PIPELINE, &pipeline(&format!("[[corpus]]\nname = \"c\"\npaths = [\"{paths}\"]\n"), &tiny("llama")))?;
    Ok(site)
}

#[test]
fn a_dataset_is_read_at_the_commit_that_the_run_began_with() -> Outcome {
    let hub = Hub::start(files(1)?).map_err(|error| error.to_string())?;
    hub.change(|state| state.refusals = 2);
    let site = site_of("hf://datasets/o/n/data/train-*.parquet")?;
    hub.run(&site, &["run", PIPELINE])?.says(0, &[]);
    let first = documents(&site)?;
    assert_eq!(first.len(), 18);
    assert_eq!(site.json("run.json")?["revisions"], json!({"datasets/o/n@main": "c1"}));
    // another commit, with other texts, is not looked at by the same run
    let moved = files(50)?;
    hub.change(|state| {
        state.commits.insert("c2".to_owned(), moved);
        state.main = "c2".to_owned();
        state.asked.clear();
    });
    hub.run(&site, &["run", PIPELINE])?.says(0, &[]);
    assert!(first == documents(&site)?);
    hub.change(|state| assert!(state.asked.iter().all(|(asked, _)| !asked.contains("c2")), "{:?}", state.asked));
    hub.run(&site, &["run", PIPELINE, "--rescore"])?.says(0, &[]);
    assert_eq!(site.json("run.json")?["revisions"], json!({"datasets/o/n@main": "c2"}));
    // the token went to the hub and nowhere else
    hub.change(|state| assert!(!state.leaked && state.asked.iter().all(|(_, has_token)| *has_token)));
    for (path, bytes) in site.all_artefacts()? {
        assert!(!bytes.windows(TOKEN.len()).any(|window| window == TOKEN.as_bytes()), "{path}");
    }
    Ok(())
}

#[test]
fn files_and_folders_of_a_dataset_are_named_like_others() -> Outcome {
    let hub = Hub::start(files(1)?).map_err(|error| error.to_string())?;
    for (paths, count) in [
        ("hf://datasets/o/n", 24),
        ("hf://datasets/o/n@c1/data", 18),
        ("hf://datasets/o/n@main/other/x.parquet", 6),
        ("hf://datasets/o/n/*/*.parquet", 24),
    ] {
        let site = site_of(paths)?;
        hub.run(&site, &["score", PIPELINE])?.says(0, &[]);
        assert_eq!(documents(&site)?.len(), count, "{paths}");
    }
    Ok(())
}

#[test]
fn what_a_hub_refuses_is_said_without_the_token() -> Outcome {
    let hub = Hub::start(files(1)?).map_err(|error| error.to_string())?;
    let told = |paths: &str, code: i32, parts: &[&str]| -> Outcome {
        let finished = hub.run(&site_of(paths)?, &["plan", PIPELINE])?;
        finished.says(code, parts);
        assert!(!finished.stderr.contains(TOKEN) && !finished.stdout.contains(TOKEN));
        Ok(())
    };
    told("hf://datasets/o/n/nothing/*.parquet", 1, &["matches no Parquet file"])?;
    told("hf://datasets/o/other", 1, &["hf://datasets/o/other@main", "not found"])?;
    told("hf://o/n/x.parquet", 1, &["hf://datasets/OWNER/NAME"])?;
    let site = site_of("hf://datasets/o/n")?;
    let mut command = site.command(&["plan", PIPELINE]);
    command.env("HF_ENDPOINT", format!("http://{}", hub.address)).env("HF_TOKEN", "hf_wrong");
    let refused = finish(&mut command)?;
    refused.says(1, &["permission denied"]);
    assert!(!refused.stderr.contains("hf_wrong"));
    Ok(())
}

#[test]
fn addresses_of_web_servers_are_sent_as_they_were_written() -> Outcome {
    let hub = Hub::start(files(1)?).map_err(|error| error.to_string())?;
    let address = hub.state.lock().unwrap_or_else(PoisonError::into_inner).cdn.ok_or("an address")?;
    let odd = BTreeMap::from([("refs%2Fconvert%2Fparquet/a%20b.parquet".to_owned(), shard(3)?)]);
    hub.change(|state| drop(state.commits.insert("web".to_owned(), odd)));
    let site = site_of(&format!("http://{address}/web/refs%2Fconvert%2Fparquet/a%20b.parquet?download=true"))?;
    site.done("score", &[])?;
    assert_eq!(documents(&site)?.len(), 6);
    Ok(())
}
