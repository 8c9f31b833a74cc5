//! Servers of object stores on this machine, each behind a [`Proxy`], and the environment in which a command finds them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use futures::TryStreamExt;
use hmac::{Hmac, KeyInit, Mac};
use hyper_util::rt::TokioIo;
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::{ObjectStore, ObjectStoreExt};
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s_fs::FileSystem;
use sha2::Sha256;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use super::dialect::Dialect;
use super::proxy::Proxy;
use crate::site::Artefacts;
use crate::skipped::skip;

use super::Failure;

/// The bucket, or container, of every server.
const BUCKET: &str = "lake";

/// Credentials that must show up nowhere.
pub(crate) const ACCESS_KEY: &str = "AKIDCANARY0ACCESS";
pub(crate) const SECRET_KEY: &str = "canary-secret-8f2b61c05de94";

/// The account that every Azurite has, with its published key.
const AZURITE_ACCOUNT: &str = "devstoreaccount1";
const AZURITE_KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// A store's server with an empty bucket.
pub(crate) struct Store {
    /// `s3://lake`, or the like.
    pub(crate) url: String,
    pub(crate) proxy: Proxy,
    environment: Vec<(&'static str, String)>,
    /// A client that goes past the proxy.
    direct: Arc<dyn ObjectStore>,
    runtime: Runtime,
    // ended, and removed, last
    _server: Option<Server>,
    _folder: TempDir,
}

/// A server that is a process of its own.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // one that has ended already needs no end
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Store {
    /// S3, by `s3s-fs` in this process.
    pub(crate) fn s3() -> Result<Self, Failure> {
        let (folder, runtime) = (tempfile::tempdir()?, runtime()?);
        std::fs::create_dir(folder.path().join(BUCKET))?;
        let mut builder = S3ServiceBuilder::new(files(&folder)?);
        builder.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
        let upstream = serve(&runtime, builder.build())?;
        Self::of_s3(&upstream, (runtime, folder, None))
    }

    /// S3 that asks nobody for credentials, by `s3s-fs` in this process.
    pub(crate) fn s3_for_all() -> Result<Self, Failure> {
        let (folder, runtime) = (tempfile::tempdir()?, runtime()?);
        std::fs::create_dir(folder.path().join(BUCKET))?;
        let upstream = serve(&runtime, S3ServiceBuilder::new(files(&folder)?).build())?;
        let proxy = Proxy::start(&upstream, Dialect::Same)?;
        let direct = Arc::new(for_all(&upstream)?);
        Ok(Self {
            url: format!("s3://{BUCKET}"),
            proxy,
            environment: Vec::new(),
            direct,
            runtime,
            _server: None,
            _folder: folder,
        })
    }

    /// S3, by moto; `None` if it is not installed.
    pub(crate) fn moto() -> Result<Option<Self>, Failure> {
        let Some(program) = program("moto_server") else { return Ok(None) };
        let (folder, runtime, port) = (tempfile::tempdir()?, runtime()?, free_port()?);
        let mut command = Command::new(program);
        command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
        let server = start(command, port)?;
        let store = Self::of_s3(&format!("127.0.0.1:{port}"), (runtime, folder, Some(server)))?;
        let bucket = format!(
            "PUT /{BUCKET} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        ask(port, &bucket)?;
        Ok(Some(store))
    }

    fn of_s3(upstream: &str, (runtime, folder, server): (Runtime, TempDir, Option<Server>)) -> Result<Self, Failure> {
        let proxy = Proxy::start(upstream, Dialect::Same)?;
        let direct = AmazonS3Builder::new()
            .with_endpoint(format!("http://{upstream}"))
            .with_allow_http(true)
            .with_region("us-east-1")
            .with_bucket_name(BUCKET)
            .with_access_key_id(ACCESS_KEY)
            .with_secret_access_key(SECRET_KEY)
            .build()?;
        let environment = vec![
            ("AWS_ENDPOINT_URL", format!("http://{}", proxy.address)),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY.to_owned()),
        ];
        let (direct, url) = (Arc::new(direct), format!("s3://{BUCKET}"));
        Ok(Self { url, proxy, environment, direct, runtime, _server: server, _folder: folder })
    }

    /// Google Cloud Storage's XML API, by `s3s-fs` behind a [`Dialect`].
    pub(crate) fn google() -> Result<Self, Failure> {
        let (folder, runtime) = (tempfile::tempdir()?, runtime()?);
        std::fs::create_dir(folder.path().join(BUCKET))?;
        let upstream = serve(&runtime, S3ServiceBuilder::new(files(&folder)?).build())?;
        let proxy = Proxy::start(&upstream, Dialect::Google)?;
        let direct = for_all(&upstream)?;
        let environment = vec![
            ("GOOGLE_BASE_URL", format!("http://{}", proxy.address)),
            ("GOOGLE_BEARER_TOKEN", SECRET_KEY.to_owned()),
        ];
        let (direct, url) = (Arc::new(direct), format!("gs://{BUCKET}"));
        Ok(Self { url, proxy, environment, direct, runtime, _server: None, _folder: folder })
    }

    /// Azure, by Azurite; `None` if it is not installed.
    pub(crate) fn azurite() -> Result<Option<Self>, Failure> {
        let Some(program) = program("azurite-blob") else { return Ok(None) };
        let (folder, runtime, port) = (tempfile::tempdir()?, runtime()?, free_port()?);
        let mut command = Command::new(program);
        command.args(["--silent", "--skipApiVersionCheck", "--blobHost", "127.0.0.1", "--blobPort", &port.to_string()]);
        command.arg("--location").arg(folder.path()).current_dir(folder.path());
        let server = start(command, port)?;
        let upstream = format!("127.0.0.1:{port}");
        let proxy = Proxy::start(&upstream, Dialect::Same)?;
        ask(port, &container_request(port)?)?;
        let direct = MicrosoftAzureBuilder::new()
            .with_endpoint(format!("http://{upstream}/{AZURITE_ACCOUNT}"))
            .with_allow_http(true)
            .with_account(AZURITE_ACCOUNT)
            .with_access_key(AZURITE_KEY)
            .with_container_name(BUCKET)
            .build()?;
        let environment = vec![
            ("AZURE_STORAGE_ENDPOINT", format!("http://{}/{AZURITE_ACCOUNT}", proxy.address)),
            ("AZURE_STORAGE_ACCOUNT_NAME", AZURITE_ACCOUNT.to_owned()),
            ("AZURE_STORAGE_ACCOUNT_KEY", AZURITE_KEY.to_owned()),
        ];
        let (direct, url) = (Arc::new(direct), format!("az://{BUCKET}"));
        Ok(Some(Self { url, proxy, environment, direct, runtime, _server: Some(server), _folder: folder }))
    }

    /// Lets `command` find the store.
    pub(crate) fn enter(&self, command: &mut Command) {
        for (name, value) in &self.environment {
            command.env(name, value);
        }
    }

    /// Stores every file below `folder` under `prefix`.
    pub(crate) fn upload(&self, folder: &Path, prefix: &str) -> Result<(), Failure> {
        for (path, bytes) in crate::site::files_below(folder).map_err(|error| error.to_string())? {
            self.put(&format!("{prefix}/{path}"), bytes)?;
        }
        Ok(())
    }

    pub(crate) fn put(&self, key: &str, bytes: Vec<u8>) -> Result<(), Failure> {
        // a key as it is written, not as `Path::from` would escape it
        self.runtime.block_on(self.direct.put(&object_store::path::Path::parse(key)?, bytes.into()))?;
        Ok(())
    }

    /// Stores an empty object under a key that a client would refuse to write; only on a server that asks for no signature.
    pub(crate) fn put_raw(&self, key: &str) -> Result<(), Failure> {
        let address = self.proxy.address;
        ask(
            address.port(),
            &format!(
                "PUT /{BUCKET}/{key} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            ),
        )
    }

    /// All objects below `prefix`, by their keys relative to it.
    pub(crate) fn objects(&self, prefix: &str) -> Result<Artefacts, Failure> {
        self.runtime.block_on(async {
            let prefix = object_store::path::Path::from(prefix);
            let mut objects = Artefacts::new();
            for object in self.direct.list(Some(&prefix)).try_collect::<Vec<_>>().await? {
                let bytes = self.direct.get(&object.location).await?.bytes().await?;
                let key = object.location.as_ref().strip_prefix(prefix.as_ref()).unwrap_or_default();
                objects.insert(key.trim_start_matches('/').to_owned(), bytes.to_vec());
            }
            Ok(objects)
        })
    }

    /// Removes all objects below `prefix`.
    pub(crate) fn clear(&self, prefix: &str) -> Result<(), Failure> {
        self.runtime.block_on(async {
            for object in self.direct.list(Some(&prefix.into())).try_collect::<Vec<_>>().await? {
                self.direct.delete(&object.location).await?;
            }
            Ok(())
        })
    }
}

/// Buckets as folders on disk.
fn files(folder: &TempDir) -> Result<FileSystem, Failure> {
    FileSystem::new(folder.path()).map_err(|error| format!("{error:?}").into())
}

/// A client without credentials.
fn for_all(upstream: &str) -> Result<impl ObjectStore, Failure> {
    let builder = AmazonS3Builder::new().with_endpoint(format!("http://{upstream}")).with_allow_http(true);
    Ok(builder.with_region("us-east-1").with_bucket_name(BUCKET).with_skip_signature(true).build()?)
}

fn runtime() -> Result<Runtime, Failure> {
    // the clients of the tests need a provider of TLS too; an error says that there is one already
    drop(rustls::crypto::ring::default_provider().install_default());
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?)
}

/// Serves S3 on a port of this machine; returns its address.
fn serve(runtime: &Runtime, service: S3Service) -> Result<String, Failure> {
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
    let address = listener.local_addr()?.to_string();
    runtime.spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            // small answers are not held back
            let _ = socket.set_nodelay(true);
            let service = service.clone();
            tokio::spawn(async move {
                let connection = hyper::server::conn::http1::Builder::new();
                // a client that goes away ends its own connection
                let _ = connection.serve_connection(TokioIo::new(socket), service).await;
            });
        }
    });
    Ok(address)
}

/// The program `name` on the path; the test is skipped if there is none.
#[expect(clippy::disallowed_methods, reason = "a test looks for servers that the machine may have")]
fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let found = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|program| program.is_file());
    if found.is_none() {
        skip(&format!("{name} is not installed (`.ci/run` installs it)"));
    }
    found
}

fn free_port() -> Result<u16, Failure> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Starts a server and waits until it answers.
fn start(mut command: Command, port: u16) -> Result<Server, Failure> {
    let server = Server(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?);
    let began = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        if began.elapsed() > Duration::from_secs(60) {
            return Err(format!("{command:?} does not answer").into());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(server)
}

/// Sends one request and requires that it succeeds.
fn ask(port: u16, request: &str) -> Result<(), Failure> {
    let mut connection = TcpStream::connect(("127.0.0.1", port))?;
    connection.write_all(request.as_bytes())?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    if answer.starts_with("HTTP/1.1 2") { Ok(()) } else { Err(answer.into()) }
}

/// The request that makes the container, signed with the account's key
/// (<https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key>); `object_store` makes none.
fn container_request(port: u16) -> Result<String, Failure> {
    #[expect(clippy::disallowed_methods, reason = "a signature holds the time")]
    let (date, version) = (httpdate::fmt_http_date(std::time::SystemTime::now()), "2023-11-03");
    let headers = format!("x-ms-date:{date}\nx-ms-version:{version}");
    // verb, eleven standard headers that are not given, those of Azure, and the resource, with the account twice on an emulator
    let resource = format!("/{AZURITE_ACCOUNT}/{AZURITE_ACCOUNT}/{BUCKET}\nrestype:container");
    let signed = format!("PUT{}{headers}\n{resource}", "\n".repeat(12));
    let mut mac = Hmac::<Sha256>::new_from_slice(&BASE64_STANDARD.decode(AZURITE_KEY)?)?;
    mac.update(signed.as_bytes());
    let signature = BASE64_STANDARD.encode(mac.finalize().into_bytes());
    Ok(format!(
        "PUT /{AZURITE_ACCOUNT}/{BUCKET}?restype=container HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nx-ms-date: {date}\r\n\
         x-ms-version: {version}\r\nAuthorization: SharedKey {AZURITE_ACCOUNT}:{signature}\r\nContent-Length: 0\r\n\
         Connection: close\r\n\r\n"
    ))
}
