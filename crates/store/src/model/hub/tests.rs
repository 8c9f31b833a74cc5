use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use headwater_record::ContentHash;

use super::*;
use crate::model::{Fetcher, ModelFiles, ModelManifest, ModelSpec};

type Outcome = std::result::Result<(), Box<dyn std::error::Error>>;

const WEIGHTS: &[u8] = b"GGUF and so on";

const FILES: [(&str, &[u8]); 4] = [
    ("README.md", b"read me"),
    ("config.json", b"{\"a\":1}"),
    ("model.safetensors", WEIGHTS),
    ("tokenizer.json", b"{\"t\":1}"),
];

/// What a hub does with requests for files.
#[derive(Clone, Copy)]
enum Serving {
    /// It sends them.
    Whole,
    /// It breaks off after so many bytes of every answer.
    Cut(usize),
    /// The same, and it passes over ranges.
    CutWithoutRanges(usize),
    /// It sends on to a second server, which sends them.
    Elsewhere,
    /// It refuses.
    Refused(&'static str),
}

/// A hub on the loopback that serves the repository `o/n`, until the process ends.
struct TestHub {
    endpoint: String,
    /// Request lines and headers, in lower case.
    requests: Arc<Mutex<Vec<String>>>,
}

impl TestHub {
    fn begin(serving: Serving) -> io::Result<Self> {
        let elsewhere = match serving {
            Serving::Elsewhere => Some(Self::begin(Serving::Whole)?),
            _ => None,
        };
        let requests = elsewhere.as_ref().map(|there| Arc::clone(&there.requests)).unwrap_or_default();
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        let (noted, there) = (Arc::clone(&requests), elsewhere.map(|there| there.endpoint));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream?;
                let mut request = String::new();
                for line in BufReader::new(stream.try_clone()?).lines() {
                    let line = line?;
                    if line.is_empty() {
                        break;
                    }
                    request.push_str(&line.to_ascii_lowercase());
                    request.push('\n');
                }
                noted.lock().expect("no thread panicked").push(request.clone());
                answer(&mut stream, &request, serving, there.as_deref())?;
            }
            io::Result::Ok(())
        });
        Ok(Self { endpoint, requests })
    }

    /// Fetches `name`, and counts the bytes of its progress.
    fn fetch(&self, folder: &Path, name: &str) -> Result<(ModelFiles, u64)> {
        let fetched = AtomicU64::new(0);
        let count = |bytes: u64| {
            fetched.fetch_add(bytes, Ordering::Relaxed);
        };
        let token = [("HF_TOKEN".to_owned(), "canary".to_owned()), ("HF_ENDPOINT".to_owned(), self.endpoint.clone())];
        let fetcher = Fetcher::new(folder, &Stores::from_variables(token));
        let files = fetcher.fetch(&ModelSpec::resolve(name)?, &count)?;
        Ok((files, fetched.into_inner()))
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("no thread panicked").clone()
    }
}

fn answer(stream: &mut TcpStream, request: &str, serving: Serving, there: Option<&str>) -> io::Result<()> {
    let path = request.split(' ').nth(1).unwrap_or_default();
    let range = request.lines().find_map(|line| line.strip_prefix("range: bytes=")?.strip_suffix('-')?.parse().ok());
    let mut send = |head: &str, body: &[u8]| {
        write!(stream, "HTTP/1.1 {head}\r\nConnection: close\r\n\r\n")?;
        stream.write_all(body)
    };
    if path == "/api/models/o/n/revision/main" {
        let names = FILES.map(|(name, _)| format!("{{\"rfilename\":\"{name}\"}}")).join(",");
        let json = format!("{{\"sha\":\"c0ffee\",\"siblings\":[{names}]}}");
        return send(&format!("200 OK\r\nContent-Length: {}", json.len()), json.as_bytes());
    }
    let served = FILES.iter().find(|(name, _)| path.starts_with("/o/n/resolve/") && path.ends_with(name));
    let Some((_, bytes)) = served else {
        return send("404 Not Found\r\nX-Error-Message: Entry not found\r\nContent-Length: 0", b"");
    };
    let (start, most) = match serving {
        Serving::Elsewhere => {
            return send(
                &format!("302 Found\r\nLocation: {}{path}\r\nContent-Length: 0", there.unwrap_or_default()),
                b"",
            );
        }
        Serving::Refused(status) => return send(&format!("{status}\r\nContent-Length: 0"), b""),
        Serving::Whole => (range, usize::MAX),
        Serving::Cut(most) => (range, most),
        Serving::CutWithoutRanges(most) => (None, most + range.unwrap_or(0)),
    };
    let (rest, status) = match start {
        Some(start) => (&bytes[start..], format!("206 Partial\r\nContent-Range: bytes {start}-9/{}", bytes.len())),
        None => (*bytes, "200 OK".to_owned()),
    };
    send(&format!("{status}\r\nContent-Length: {}", rest.len()), &rest[..most.min(rest.len())])
}

#[test]
fn a_hub_serves_a_folder_of_one_commit_once() -> Outcome {
    let (hub, folder) = (TestHub::begin(Serving::Whole)?, tempfile::tempdir()?);
    let (files, _) = hub.fetch(folder.path(), "hf:o/n")?;
    let target = folder.path().join("models/hf--o--n@main");
    assert_eq!(files.weights, [target.join("model.safetensors")]);
    assert_eq!(files.config.as_deref().map(std::fs::read_to_string).transpose()?.as_deref(), Some("{\"a\":1}"));
    assert_eq!(files.tokenizer, Some(target.join("tokenizer.json")));
    assert!(hub.requests().iter().all(|request| request.contains("authorization: bearer canary")));
    assert!(hub.requests()[1..].iter().all(|request| request.starts_with("get /o/n/resolve/c0ffee/")));
    let offline = Fetcher::new(folder.path(), &Stores::default()).with_hub("http://127.0.0.1:9");
    assert_eq!(offline.fetch(&ModelSpec::resolve("hf:o/n")?, &|_| {})?, files);
    assert_eq!(std::fs::read_dir(folder.path().join("models"))?.count(), 1, "temporary folders are gone");
    Ok(())
}

#[test]
fn a_pinned_file_is_checked_against_its_hash() -> Outcome {
    let (hub, folder) = (TestHub::begin(Serving::Whole)?, tempfile::tempdir()?);
    let manifest = |hash: ContentHash| {
        let text = format!("name = \"m\"\nlicence = \"MIT\"\nweights = \"m.safetensors\"\nsha256 = \"{hash}\"\n");
        let source = "[[source]]\nhf = \"o/n@v1\"\nfile = \"model.safetensors\"\n";
        ModelManifest::parse(&format!("{text}{source}"), "m.toml").map(ModelSpec::Manifest)
    };
    let fetcher = Fetcher::new(folder.path(), &Stores::default()).with_hub(&hub.endpoint);
    let error = fetcher.fetch(&manifest(ContentHash::of(b"other"))?, &|_| {}).expect_err("another hash");
    assert!(error.to_string().contains("expected"), "{error}");
    let files = fetcher.fetch(&manifest(ContentHash::of(WEIGHTS))?, &|_| {})?;
    assert_eq!((files.weights_hash, files.weights.len()), (ContentHash::of(WEIGHTS), 1));
    assert!(hub.requests()[0].starts_with("get /o/n/resolve/v1/model.safetensors "));
    assert!(!hub.requests()[0].contains("authorization"));
    Ok(())
}

#[test]
fn a_download_that_breaks_off_goes_on_where_it_ended() -> Outcome {
    for serving in [Serving::Cut(5), Serving::CutWithoutRanges(5)] {
        let (hub, folder) = (TestHub::begin(serving)?, tempfile::tempdir()?);
        // the description is not cut
        let (files, fetched) = hub.fetch(folder.path(), "hf:o/n")?;
        assert_eq!(files.weights_hash, ContentHash::of(WEIGHTS));
        assert_eq!(fetched, FILES[1..].iter().map(|(_, bytes)| bytes.len() as u64).sum::<u64>());
        assert!(hub.requests().iter().any(|request| request.contains("range: bytes=10-")), "{:?}", hub.requests());
    }
    let (hub, folder) = (TestHub::begin(Serving::Cut(1))?, tempfile::tempdir()?);
    let error = hub.fetch(folder.path(), "hf:o/n").expect_err("it breaks off too often").to_string();
    assert!(error.contains("config.json"), "{error}");
    assert_eq!(std::fs::read_dir(folder.path().join("models"))?.count(), 0, "nothing is left of it");
    Ok(())
}

#[test]
fn a_token_stays_with_its_hub() -> Outcome {
    let (hub, folder) = (TestHub::begin(Serving::Elsewhere)?, tempfile::tempdir()?);
    let (files, _) = hub.fetch(folder.path(), "hf:o/n")?;
    assert_eq!(files.weights_hash, ContentHash::of(WEIGHTS));
    let (with, without): (Vec<String>, Vec<String>) =
        hub.requests().into_iter().partition(|request| request.contains("canary"));
    // one request for the description and three for files, and those again elsewhere
    assert_eq!((with.len(), without.len()), (4, 3));
    Ok(())
}

#[test]
fn what_a_hub_refuses_is_said_with_its_reason() -> Outcome {
    let folder = tempfile::tempdir()?;
    let refused = TestHub::begin(Serving::Refused("401 Unauthorized"))?;
    let error = refused.fetch(folder.path(), "hf:o/n").expect_err("refused").to_string();
    assert!(error.contains("401 Unauthorized") && error.contains("HF_TOKEN") && !error.contains("canary"), "{error}");
    let nothing = TestHub::begin(Serving::Whole)?;
    let error = nothing.fetch(folder.path(), "hf:o/none").expect_err("no such repository");
    assert!(!error.is_transient());
    let error = error.to_string();
    assert!(error.contains("/api/models/o/none") && error.contains("404 Not Found: Entry not found"), "{error}");
    assert_eq!(nothing.requests().len(), 1, "what is final is not asked again");
    let busy = TestHub::begin(Serving::Refused("503 Service Unavailable"))?;
    let error = busy.fetch(folder.path(), "hf:o/n").expect_err("busy");
    assert!(error.is_transient() && error.to_string().contains("503 Service Unavailable"), "{error}");
    assert_eq!(busy.requests().len(), 5);
    Ok(())
}
