//! SIGTERM and Ctrl-C: a stage that watches its token stops and keeps what it finished; anything else stops at once.

use std::io;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use headwater_pipeline::{CancelToken, Error};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

/// How long a stage may take to stop; a store that does not answer must not hold the process until it is killed.
const PATIENCE: Duration = Duration::from_secs(30);

/// The signals that the process was sent. Clones share one state.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interrupts {
    /// The signal that came first; 0 for none.
    asked: Arc<AtomicI32>,
    cancel: CancelToken,
}

impl Interrupts {
    /// What the first signal cancels.
    pub(crate) fn token(&self) -> CancelToken {
        self.cancel.clone()
    }

    /// Whether the process was asked to stop.
    pub(crate) fn is_asked(&self) -> bool {
        self.asked.load(Ordering::SeqCst) != 0
    }

    /// `cancelled` with the name of the signal.
    pub(crate) fn explain(&self, cancelled: &Error) -> String {
        let signal = if self.asked.load(Ordering::SeqCst) == SIGINT { "Ctrl-C" } else { "SIGTERM" };
        cancelled.to_string().replacen("stopped", &format!("stopped by {signal}"), 1)
    }

    /// Waits for signals on a thread of its own; `give_up` ends the process.
    pub(crate) fn listen(&self, give_up: impl Fn() + Send + Clone + 'static) -> io::Result<()> {
        let mut signals = Signals::new([SIGTERM, SIGINT])?;
        let Self { asked, cancel } = self.clone();
        std::thread::Builder::new().name("headwater-signals".to_owned()).spawn(move || {
            for signal in &mut signals {
                let is_first = asked.swap(signal, Ordering::SeqCst) == 0;
                cancel.cancel();
                if is_first && cancel.is_watched() {
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
    pub(crate) fn end(&self, code: u8) -> ! {
        if self.asked.load(Ordering::SeqCst) == SIGINT {
            // shells end their loops only if the signal did it
            drop(emulate_default_handler(SIGINT));
        }
        process::exit(i32::from(code))
    }
}
