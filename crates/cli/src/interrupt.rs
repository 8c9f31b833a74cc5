//! SIGTERM and Ctrl-C: scoring stops between two windows and keeps every finished unit, tokenising stops between two batches and
//! keeps every finished file; anything else stops at once.

use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::time::Duration;
use std::{fmt, io, process};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

/// The signal that came first; 0 for none.
static ASKED: AtomicI32 = AtomicI32::new(0);

/// Whether what is being done looks at [`is_asked`].
static LISTENS: AtomicBool = AtomicBool::new(false);

/// The process was asked to stop, and did.
#[derive(Debug)]
pub(crate) struct Interrupted;

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = if ASKED.load(Ordering::SeqCst) == SIGINT { "Ctrl-C" } else { "SIGTERM" };
        write!(f, "stopped by {name}; finished units and files are kept, those in hand are dropped")
    }
}

impl std::error::Error for Interrupted {}

/// Whether the process was asked to stop.
pub(crate) fn is_asked() -> bool {
    ASKED.load(Ordering::SeqCst) != 0
}

/// How long scoring may take to stop; a store that does not answer must not hold the process until it is killed.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for signals on a thread of its own; `give_up` ends the process.
pub(crate) fn listen(give_up: impl Fn() + Send + Clone + 'static) -> io::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    std::thread::Builder::new().name("headwater-signals".to_owned()).spawn(move || {
        for signal in &mut signals {
            let is_first = ASKED.swap(signal, Ordering::SeqCst) == 0;
            if is_first && LISTENS.load(Ordering::SeqCst) {
                let give_up = give_up.clone();
                std::thread::spawn(move || {
                    std::thread::sleep(PATIENCE);
                    give_up();
                });
            } else {
                give_up();
            }
        }
    })?;
    Ok(())
}

/// Ends the process as the signal asks: as if Ctrl-C were not caught, or with `code`.
pub(crate) fn end(code: u8) -> ! {
    if ASKED.load(Ordering::SeqCst) == SIGINT {
        // shells end their loops only if the signal did it
        drop(emulate_default_handler(SIGINT));
    }
    process::exit(i32::from(code))
}

/// While this lives, the first signal is left to whoever looks at [`is_asked`].
#[derive(Debug)]
pub(crate) struct Listening(());

impl Listening {
    pub(crate) fn begin() -> Self {
        LISTENS.store(true, Ordering::SeqCst);
        Self(())
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        LISTENS.store(false, Ordering::SeqCst);
    }
}
