//! The threads that wait for disks and networks, one set per process: they hold no state, and one that a handle owned could not be
//! dropped where a caller's own async runtime is running.
//!
//! Callers are ordinary threads: they hand a future over and sleep until it is done. A caller that itself runs inside some async
//! runtime blocks its own thread but never panics, as nothing here enters a runtime on the calling thread.

use std::io;
use std::sync::OnceLock;
use std::sync::mpsc;

use tokio::runtime::{Builder, Runtime};

use crate::{Error, Result};

/// Threads that drive requests; decoding happens elsewhere.
const IO_THREADS: usize = 2;

fn runtime() -> Result<&'static Runtime> {
    static RUNTIME: OnceLock<io::Result<Runtime>> = OnceLock::new();
    let start =
        || Builder::new_multi_thread().worker_threads(IO_THREADS).thread_name("headwater-io").enable_all().build();
    RUNTIME.get_or_init(start).as_ref().map_err(|error| Error::Runtime {
        source: io::Error::new(error.kind(), format!("cannot start threads: {error}")),
    })
}

/// Runs `future` on the I/O threads and waits for its result.
///
/// # Errors
/// [`Error::Runtime`] if the threads cannot be started or the future panicked.
pub(crate) fn wait<F>(future: F) -> Result<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    let (sender, receiver) = mpsc::sync_channel(1);
    spawn(async move {
        let output = future.await;
        // The receiver is only gone if the waiting thread died.
        drop(sender.send(output));
    })?;
    receiver.recv().map_err(|_| Error::Runtime { source: io::Error::other("a request ended without an answer") })
}

/// Starts `future` on the I/O threads without waiting for it.
///
/// # Errors
/// [`Error::Runtime`] if the threads cannot be started.
pub(crate) fn spawn<F>(future: F) -> Result<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    runtime()?.spawn(future);
    Ok(())
}
