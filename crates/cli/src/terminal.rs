//! Standard error: bars on a terminal, plain lines elsewhere, JSON lines for machines. Results go to standard output instead.

use std::io::{self, IsTerminal, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use headwater_pipeline::{Event, Events, Progress, Step, Total};
use indicatif::{HumanCount, HumanDuration, MultiProgress, ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::args::LogFormat;
use headwater_pipeline::text::printable;

/// Time between two plain lines of one step.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Where all output goes that is not a result: standard error, above the bars.
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

/// A JSON line that is no warning.
#[derive(Serialize)]
struct Line<T> {
    timestamp: String,
    level: &'static str,
    /// What people would read.
    message: String,
    #[serde(flatten)]
    content: T,
}

/// How far a step is, as a JSON line.
#[derive(Serialize)]
#[serde(tag = "event", rename = "progress")]
struct ProgressLine {
    step: &'static str,
    done: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<u64>,
    /// Instead of `total`, where fewer may do.
    #[serde(skip_serializing_if = "Option::is_none")]
    most: Option<u64>,
    /// How many of the first `most` turned out not to be needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    spared: Option<u64>,
    unit: &'static str,
    seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens_per_second: Option<f64>,
    /// Up to `total`, or to `most`: then it may be less.
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds_left: Option<u64>,
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

    /// Sends warnings, or what `HEADWATER_LOG` asks for, here.
    pub(crate) fn trace(&self) {
        let filter = tracing_subscriber::EnvFilter::try_from_env("HEADWATER_LOG").unwrap_or_else(|_| "warn".into());
        let (console, is_terminal) = (self.clone(), io::stderr().is_terminal());
        let builder = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_ansi(is_terminal && console::colors_enabled_stderr())
            .with_writer(move || ConsoleWriter { console: console.clone(), line: Vec::new() });
        match self.format {
            LogFormat::Json => {
                builder.json().flatten_event(true).with_current_span(false).with_span_list(true).init();
            }
            LogFormat::Text => builder.without_time().with_target(false).init(),
        }
    }

    /// Prints an error.
    pub(crate) fn complain(&self, message: &str) {
        match self.format {
            LogFormat::Json => tracing::error!(message),
            // nothing is left to do when standard error is closed
            LogFormat::Text => drop(writeln!(io::stderr(), "error: {message}")),
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

    /// Prints a line about `subject`: `text` for people, or `content` beside it for machines.
    fn tell(&self, subject: &str, text: &str, content: impl Serialize) {
        match self.style {
            Style::Quiet => {}
            Style::Json => {
                #[expect(clippy::disallowed_methods, reason = "the clock enters here")]
                let timestamp = humantime::format_rfc3339_micros(SystemTime::now()).to_string();
                let message = format!("{subject}: {text}");
                if let Ok(json) = serde_json::to_vec(&Line { timestamp, level: "INFO", message, content }) {
                    self.print(&json);
                }
            }
            Style::Bars | Style::Lines => self.print(format!("{subject:>12} {}", printable(text)).as_bytes()),
        }
    }
}

impl Events for Console {
    fn event(&self, event: &Event) {
        self.tell(event.subject(), &event.to_string(), event);
    }

    fn begin(&self, step: Step) -> Box<dyn Progress> {
        let bar = if self.style == Style::Bars {
            let (template, length) = match step.total {
                Total::Unknown => ("{prefix:>12} {spinner} {human_pos} {unit} · {msg}{elapsed}", 0),
                Total::Exactly(total) => {
                    ("{prefix:>12} [{bar:32}] {human_pos}/{human_len} {unit} · {msg}{eta} left", total)
                }
                Total::AtMost(most) => {
                    let template =
                        "{prefix:>12} [{bar:32}] {human_pos} of at most {human_len} {unit} · {msg}at most {eta} left";
                    (template, most)
                }
            };
            let style = ProgressStyle::with_template(&template.replace("{unit}", step.unit));
            let bar = self.bars.add(ProgressBar::new(length));
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━╸─"));
            bar.set_prefix(step.name);
            bar.enable_steady_tick(Duration::from_millis(250));
            bar
        } else {
            ProgressBar::hidden()
        };
        let began = Instant::now();
        let [done, spared, tokens] = [0; 3].map(AtomicU64::new);
        Box::new(ShownStep {
            console: self.clone(),
            step,
            bar,
            done,
            spared,
            tokens,
            began,
            printed: Mutex::new(began),
        })
    }
}

/// One step, with its rate and time left.
struct ShownStep {
    console: Console,
    step: Step,
    bar: ProgressBar,
    done: AtomicU64,
    spared: AtomicU64,
    tokens: AtomicU64,
    began: Instant,
    printed: Mutex<Instant>,
}

impl Progress for ShownStep {
    fn advance(&self, pieces: u64) {
        self.done.fetch_add(pieces, Ordering::Relaxed);
        self.bar.inc(pieces);
        self.show();
    }

    fn spare(&self, pieces: u64) {
        self.spared.fetch_add(pieces, Ordering::Relaxed);
        self.bar.dec_length(pieces);
        self.show();
    }

    fn advance_tokens(&self, tokens: u64) {
        self.tokens.fetch_add(tokens, Ordering::Relaxed);
        self.show();
    }

    fn finish(&self) {
        self.bar.finish_and_clear();
        let line = self.line();
        let ProgressLine { done, spared, unit, seconds, .. } = line;
        let (done, rate) = (HumanCount(done), self.rate(" · "));
        let spared = spared.map_or_else(String::new, |spared| format!(" · {} not needed", HumanCount(spared)));
        self.console.tell(line.step, &format!("{done} {unit} in {seconds:.1} s{rate}{spared}"), line);
    }
}

impl Drop for ShownStep {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

impl ShownStep {
    #[expect(clippy::cast_precision_loss, reason = "rates for people")]
    fn line(&self) -> ProgressLine {
        let [done, spared, tokens] =
            [&self.done, &self.spared, &self.tokens].map(|count| count.load(Ordering::Relaxed));
        let (total, most) = match self.step.total {
            Total::Unknown => (None, None),
            Total::Exactly(total) => (Some(total), None),
            Total::AtMost(most) => (None, Some(most.saturating_sub(spared))),
        };
        let took = self.began.elapsed();
        let left = total.or(most).filter(|_| done > 0).map(|total| {
            let share = done as f64 / total.max(1) as f64;
            took.mul_f64((1.0 - share).max(0.0) / share.max(1e-9)).as_secs()
        });
        let seconds = took.as_secs_f64();
        ProgressLine {
            step: self.step.name,
            done,
            total,
            most,
            spared: (spared > 0).then_some(spared),
            unit: self.step.unit,
            seconds,
            tokens_per_second: (tokens > 0).then(|| tokens as f64 / seconds.max(1e-3)),
            seconds_left: left,
        }
    }

    /// Tokens a second after `separator`, or nothing.
    fn rate(&self, separator: &str) -> String {
        let rate = self.line().tokens_per_second;
        rate.map_or_else(String::new, |rate| format!("{separator}{rate:.0} tokens/s"))
    }

    fn show(&self) {
        match self.console.style {
            Style::Quiet => {}
            Style::Bars => {
                let rate = self.rate("");
                self.bar.set_message(if rate.is_empty() { rate } else { format!("{rate} · ") });
            }
            Style::Lines | Style::Json => self.line_if_due(),
        }
    }

    fn line_if_due(&self) {
        let Ok(mut printed) = self.printed.try_lock() else { return };
        if printed.elapsed() < LINE_EVERY {
            return;
        }
        *printed = Instant::now();
        let line = self.line();
        let ProgressLine { done, total, most, unit, seconds_left, .. } = line;
        let left = seconds_left.map(|left| HumanDuration(Duration::from_secs(left)));
        let (done, rate) = (HumanCount(done), self.rate(" · "));
        let mut text = match (total, most) {
            (Some(total), _) => format!("{done}/{} {unit}{rate}", HumanCount(total)),
            (None, Some(most)) => format!("{done} of at most {} {unit}{rate}", HumanCount(most)),
            (None, None) => format!("{done} {unit}"),
        };
        if let Some(left) = left {
            text += &format!(" · {} {left} left", if total.is_some() { "about" } else { "at most about" });
        }
        self.console.tell(line.step, &text, line);
    }
}

/// Collects one line of tracing and prints it above the bars.
struct ConsoleWriter {
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
