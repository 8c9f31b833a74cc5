//! Progress: bars on a terminal, plain lines elsewhere, JSON lines for machines.

use std::io::{self, IsTerminal, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{HumanCount, HumanDuration, MultiProgress, ProgressBar, ProgressStyle};

use crate::args::LogFormat;

/// Time between two plain lines of one step.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Where all output that is not a result goes: standard error, above the bars.
#[derive(Clone, Debug)]
pub(crate) struct Console {
    bars: MultiProgress,
    style: Style,
    format: LogFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    Bars,
    Lines,
    Json,
    Quiet,
}

impl Console {
    /// Chooses the style from the arguments and whether standard error is a terminal.
    pub(crate) fn new(format: LogFormat, quiet: bool) -> Self {
        let style = match format {
            _ if quiet => Style::Quiet,
            LogFormat::Json => Style::Json,
            LogFormat::Text if io::stderr().is_terminal() => Style::Bars,
            LogFormat::Text => Style::Lines,
        };
        Self { bars: MultiProgress::new(), style, format }
    }

    /// How a result is to be printed.
    pub(crate) fn format(&self) -> LogFormat {
        self.format
    }

    /// Prints a line that is no result.
    pub(crate) fn say(&self, line: &str) {
        match self.style {
            Style::Quiet => {}
            Style::Json => tracing::info!(message = line),
            Style::Bars | Style::Lines => self.print(line.as_bytes()),
        }
    }

    /// Writes to standard error without tearing a bar.
    fn print(&self, line: &[u8]) {
        self.bars.suspend(|| {
            let mut stderr = io::stderr().lock();
            // nothing is left to do when standard error is closed
            let _ = stderr.write_all(line).and_then(|()| stderr.write_all(b"\n"));
        });
    }

    /// Begins a step of `total` pieces of work, called `unit` in the plural.
    pub(crate) fn step(&self, name: &'static str, unit: &'static str, total: u64) -> Step {
        let bar = if self.style == Style::Bars {
            let template = match total {
                // the length is not known beforehand
                0 => "{prefix:>12} {spinner} {human_pos} {unit} · {msg}{elapsed}",
                _ => "{prefix:>12} [{bar:32}] {human_pos}/{human_len} {unit} · {msg}{eta} left",
            };
            let style = ProgressStyle::with_template(&template.replace("{unit}", unit));
            let bar = self.bars.add(ProgressBar::new(total));
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━╸─"));
            bar.set_prefix(name);
            bar.enable_steady_tick(Duration::from_millis(250));
            bar
        } else {
            ProgressBar::hidden()
        };
        let now = Instant::now();
        let done = AtomicU64::new(0);
        let minor = AtomicU64::new(0);
        Step { console: self.clone(), bar, name, unit, total, done, minor, began: now, printed: Mutex::new(now) }
    }

    /// A writer for tracing's lines.
    pub(crate) fn writer(&self) -> ConsoleWriter {
        ConsoleWriter { console: self.clone(), line: Vec::new() }
    }
}

/// One step of a run, with its rate and time left.
#[derive(Debug)]
pub(crate) struct Step {
    console: Console,
    bar: ProgressBar,
    name: &'static str,
    unit: &'static str,
    total: u64,
    done: AtomicU64,
    minor: AtomicU64,
    began: Instant,
    printed: Mutex<Instant>,
}

impl Step {
    /// Notes `pieces` of work newly done.
    pub(crate) fn advance(&self, pieces: u64) {
        self.done.fetch_add(pieces, Ordering::Relaxed);
        self.bar.inc(pieces);
        self.show();
    }

    /// Notes `tokens` that went through the model; their rate is shown beside the pieces.
    pub(crate) fn advance_tokens(&self, tokens: u64) {
        self.minor.fetch_add(tokens, Ordering::Relaxed);
        self.show();
    }

    /// Ends the step without a word.
    pub(crate) fn discard(self) {
        self.bar.finish_and_clear();
    }

    /// Ends the step and says how long it took.
    pub(crate) fn finish(self) -> Duration {
        self.bar.finish_and_clear();
        let took = self.began.elapsed();
        let done = HumanCount(self.done.load(Ordering::Relaxed));
        let rate = self.rate();
        let secs = took.as_secs_f64();
        self.console.say(&format!("{:>12} {done} {} in {secs:.1} s{}{}", self.name, self.unit, sep(&rate), rate));
        took
    }

    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    fn rate(&self) -> String {
        let tokens = self.minor.load(Ordering::Relaxed);
        if tokens == 0 {
            return String::new();
        }
        format!("{:.0} tokens/s", tokens as f64 / self.began.elapsed().as_secs_f64().max(1e-3))
    }

    fn show(&self) {
        match self.console.style {
            Style::Quiet => {}
            Style::Bars => {
                let rate = self.rate();
                self.bar.set_message(if rate.is_empty() { rate } else { format!("{rate} · ") });
            }
            Style::Lines | Style::Json => self.line_if_due(),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a share for people")]
    fn line_if_due(&self) {
        let Ok(mut printed) = self.printed.try_lock() else { return };
        if printed.elapsed() < LINE_EVERY {
            return;
        }
        *printed = Instant::now();
        let done = self.done.load(Ordering::Relaxed);
        let share = done as f64 / self.total.max(1) as f64;
        let left = self.began.elapsed().mul_f64((1.0 - share).max(0.0) / share.max(1e-9));
        let rate = self.rate();
        if self.console.style == Style::Json {
            let known = done > 0 && self.total > 0;
            let (total, left_secs) = ((self.total > 0).then_some(self.total), known.then_some(left.as_secs()));
            tracing::info!(step = self.name, done, total, unit = self.unit, rate = self.rate(), left_secs);
            return;
        }
        let left = if done == 0 { String::new() } else { format!(" · about {} left", HumanDuration(left)) };
        let (done, total) = (HumanCount(done), HumanCount(self.total));
        self.console.say(&match self.total {
            0 => format!("{:>12} {done} {}", self.name, self.unit),
            _ => format!("{:>12} {done}/{total} {}{}{rate}{left}", self.name, self.unit, sep(&rate)),
        });
    }
}

fn sep(rate: &str) -> &'static str {
    if rate.is_empty() { "" } else { " · " }
}

/// Collects one line of tracing and prints it above the bars.
#[derive(Debug)]
pub(crate) struct ConsoleWriter {
    console: Console,
    line: Vec<u8>,
}

impl Write for ConsoleWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.line.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.line.is_empty() {
            self.console.print(self.line.trim_ascii_end());
            self.line.clear();
        }
        Ok(())
    }
}

impl Drop for ConsoleWriter {
    fn drop(&mut self) {
        // flushing cannot fail: it hands the line to the console
        let _ = self.flush();
    }
}
