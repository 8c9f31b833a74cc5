//! A worker: a process of Python that holds a model on a device, and the messages to it.
//!
//! A message is the length of a JSON object (4 bytes, little-endian), the length of an array (8 bytes), the object, the array of 32-bit values.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};

use crate::Error;

/// The worker's program.
const PROGRAM: &str = include_str!("../../../python/python/headwater/torch_worker.py");

/// The longest JSON object of an answer.
const MOST_OBJECT: u32 = 1 << 24;

/// Last lines of a worker's standard error that are told when it ends.
const LAST_LINES: usize = 8;

/// Times that a worker is started for one request.
const STARTS: usize = 2;

/// How to start a worker.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Setup {
    /// The interpreter.
    #[serde(skip)]
    pub(super) python: PathBuf,
    /// The folder of the model.
    pub(super) path: PathBuf,
    /// The file in it, of a GGUF.
    pub(super) gguf: Option<String>,
    /// The device as torch names it.
    pub(super) device: String,
    /// The precision.
    pub(super) precision: &'static str,
    /// Threads on a CPU.
    pub(super) threads: usize,
}

/// What every answer tells.
#[derive(Deserialize)]
struct Outcome {
    /// What went wrong, if something did.
    error: Option<String>,
    /// What it is.
    kind: Option<Fault>,
    /// What the user should know.
    #[serde(default)]
    notes: Vec<String>,
}

/// An answer: its object and its array.
type Answer = (Vec<u8>, Vec<[u8; 4]>);

/// What can go wrong in a worker.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Fault {
    Unusable,
    Memory,
    Failed,
}

/// A worker, which is started when it is asked something and does not run.
#[derive(Debug)]
pub(super) struct Worker {
    setup: Setup,
    process: Option<Process>,
}

impl Worker {
    /// Starts a worker; returns what it says of itself, too.
    pub(super) fn start<T: DeserializeOwned>(setup: Setup) -> Result<(Self, T), Error> {
        let (process, hello) = Process::start(&setup)?;
        Ok((Self { setup, process: Some(process) }, hello))
    }

    /// Asks something about `tokens`; the answer holds `values` 32-bit values.
    ///
    /// A worker that dies is started again and asked again.
    pub(super) fn ask(
        &mut self,
        request: &impl Serialize,
        tokens: &[u32],
        values: usize,
    ) -> Result<Vec<[u8; 4]>, Error> {
        let mut lost = None;
        for _ in 0..STARTS {
            let mut process = match self.process.take() {
                Some(process) => process,
                None => Process::start::<IgnoredAny>(&self.setup)?.0,
            };
            match process.exchange(request, tokens) {
                Ok((object, array)) => {
                    self.process = Some(process);
                    check(&self.setup, &object)?;
                    return if array.len() == values {
                        Ok(array)
                    } else {
                        Err(self.misunderstood(array.len(), values))
                    };
                }
                Err(error) => {
                    let said = process.obituary(&error);
                    tracing::warn!("the worker of device {} died and is started again: {said}", self.setup.device);
                    lost = Some(said);
                }
            }
        }
        Err(Error::TorchDied { device: self.setup.device.clone(), said: lost.unwrap_or_default() })
    }

    fn misunderstood(&self, got: usize, expected: usize) -> Error {
        let reason = format!("it answered with {got} values where {expected} were asked for");
        Error::TorchFailed { device: self.setup.device.clone(), reason }
    }
}

/// A worker's process.
#[derive(Debug)]
struct Process {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
    said: Arc<Mutex<VecDeque<String>>>,
    listener: Option<JoinHandle<()>>,
}

impl Process {
    fn start<T: DeserializeOwned>(setup: &Setup) -> Result<(Self, T), Error> {
        let unusable = |reason: String| Error::TorchUnusable { reason };
        let mut child = Command::new(&setup.python)
            .args(["-c", PROGRAM])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| {
                unusable(format!(
                    "cannot start {}: {error}; HEADWATER_PYTHON names another Python",
                    setup.python.display()
                ))
            })?;
        let (Some(requests), Some(answers), Some(errors)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(unusable("its pipes are missing".to_owned()));
        };
        let said = Arc::new(Mutex::new(VecDeque::new()));
        let listener = {
            let said = Arc::clone(&said);
            std::thread::spawn(move || {
                // it is read to its end, whatever it holds: a worker must not stop at a full or closed pipe
                for line in BufReader::new(errors).split(b'\n').map_while(Result::ok) {
                    let line = String::from_utf8_lossy(&line).into_owned();
                    let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
                    said.push_back(line);
                    if said.len() > LAST_LINES {
                        said.pop_front();
                    }
                }
            })
        };
        let answers = BufReader::new(answers);
        let mut process = Self { child, requests, answers, said, listener: Some(listener) };
        let (object, _) = match process.exchange(setup, &[]) {
            Ok(answer) => answer,
            Err(error) => return Err(unusable(format!("the worker ended at its start: {}", process.obituary(&error)))),
        };
        check(setup, &object)?;
        let hello = serde_json::from_slice(&object)
            .map_err(|error| unusable(format!("the worker's first answer is not understood: {error}")))?;
        Ok((process, hello))
    }

    /// Sends a message and waits for the answer.
    fn exchange(&mut self, request: &impl Serialize, tokens: &[u32]) -> io::Result<Answer> {
        let object = serde_json::to_vec(request)?;
        let array: Vec<u8> = tokens.iter().flat_map(|token| token.to_le_bytes()).collect();
        let requests = &mut self.requests;
        let of_object = u32::try_from(object.len()).map_err(io::Error::other)?;
        requests.write_all(&of_object.to_le_bytes())?;
        requests.write_all(&(array.len() as u64).to_le_bytes())?;
        requests.write_all(&object)?;
        requests.write_all(&array)?;
        requests.flush()?;
        let (mut of_object, mut of_array) = ([0; 4], [0; 8]);
        self.answers.read_exact(&mut of_object)?;
        self.answers.read_exact(&mut of_array)?;
        let of_object = u32::from_le_bytes(of_object);
        if of_object > MOST_OBJECT {
            return Err(io::Error::other("an answer that is none"));
        }
        let mut object = vec![0; of_object as usize];
        self.answers.read_exact(&mut object)?;
        let of_array = u64::from_le_bytes(of_array);
        let mut array = Vec::new();
        (&mut self.answers).take(of_array).read_to_end(&mut array)?;
        if array.len() as u64 != of_array {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let (values, _) = array.as_chunks::<4>();
        Ok((object, values.to_vec()))
    }

    /// How a process ended that does not answer because of `error`, and what it said last.
    fn obituary(mut self, error: &io::Error) -> String {
        let how = self
            .child
            .kill()
            .and_then(|()| self.child.wait())
            .map_or_else(|error| error.to_string(), |how| how.to_string());
        if let Some(listener) = self.listener.take() {
            drop(listener.join());
        }
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let lines: Vec<&str> = said.iter().map(String::as_str).collect();
        if lines.is_empty() { format!("{how} ({error})") } else { format!("{how}: {}", lines.join("\n")) }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // it holds nothing that could be lost
        let _ = self.child.kill().and_then(|()| self.child.wait());
    }
}

/// Tells the notes of an answer, and makes an error of one that tells of a fault.
fn check(setup: &Setup, object: &[u8]) -> Result<(), Error> {
    let device = || setup.device.clone();
    let outcome: Outcome = serde_json::from_slice(object).map_err(|error| Error::TorchFailed {
        device: device(),
        reason: format!("its answer is not understood: {error}"),
    })?;
    for note in &outcome.notes {
        tracing::warn!("{note}");
    }
    let Some(reason) = outcome.error else { return Ok(()) };
    Err(match outcome.kind {
        Some(Fault::Unusable) => Error::TorchUnusable { reason },
        Some(Fault::Memory) => Error::TorchMemory { reason },
        Some(Fault::Failed) | None => Error::TorchFailed { device: device(), reason },
    })
}
