//! What `bench` prints.

use std::io::Write;

use anyhow::Result;
use comfy_table::{Table, presets};
use headwater_record::run::Numerics;
use headwater_record::{ByteCount, ContentHash, TokenCount};
use serde::Serialize;

use super::meter::Measured;
use crate::args::LogFormat;
use crate::estimate::{counted, duration};
use crate::text::printable;

/// A measurement and what follows from it; the names are those of the JSON object.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) processor: String,
    pub(super) threads: usize,
    pub(super) model: String,
    pub(super) weights: ContentHash,
    pub(super) numerics: Numerics,
    pub(super) window_tokens: usize,
    pub(super) heads: HeadsReport,
    #[serde(flatten)]
    pub(super) measured: Measured,
    /// What the processor does at most, on all threads; absent for other devices.
    pub(super) peak_flops_per_second: Option<f64>,
    pub(super) peak_memory_bytes: Option<u64>,
    pub(super) corpus: CorpusReport,
}

/// Which heads were masked.
#[derive(Debug, Serialize)]
pub(super) struct HeadsReport {
    pub(super) origin: String,
    pub(super) is_stand_in: bool,
    pub(super) count: usize,
    pub(super) first_layer: Option<usize>,
    pub(super) layers: usize,
}

/// What is estimated of the whole plan.
#[derive(Debug, Serialize)]
pub(super) struct CorpusReport {
    pub(super) text_bytes: ByteCount,
    pub(super) tokens: TokenCount,
    /// On one machine like this one; n of them need an n-th.
    pub(super) machine_hours: f64,
}

impl Report {
    /// Prints the report to standard output.
    pub(super) fn print(&self, format: LogFormat) -> Result<()> {
        let mut out = std::io::stdout().lock();
        match format {
            LogFormat::Json => writeln!(out, "{}", serde_json::to_string(self)?)?,
            LogFormat::Text => {
                let mut table = Table::new();
                table.load_style(presets::UTF8_FULL_CONDENSED);
                self.lines().into_iter().for_each(|(what, text)| {
                    table.add_row([what.to_owned(), printable(&text)]);
                });
                writeln!(out, "{table}")?;
            }
        }
        Ok(())
    }

    fn lines(&self) -> Vec<(&'static str, String)> {
        let Self { numerics, corpus, .. } = self;
        let engine = [&numerics.engine, &numerics.precision, &numerics.instructions];
        let engine: Vec<&str> = engine.into_iter().map(String::as_str).filter(|word| !word.is_empty()).collect();
        let memory = self.peak_memory_bytes.map(|bytes| ("memory", format!("{} at the peak", ByteCount(bytes))));
        let hours = duration(corpus.machine_hours);
        let head = [
            ("processor", format!("{}, {} threads", self.processor, self.threads)),
            ("model", format!("{} on {} ({})", self.model, numerics.device, engine.join(", "))),
            ("head set", self.heads.line()),
            ("measured", self.work()),
            (
                "speed",
                format!(
                    "{} tokens/s, {:.2} documents/s",
                    counted(self.measured.speed.tokens_per_second),
                    self.measured.documents_per_second
                ),
            ),
            ("text", format!("{:.2} bytes a token", self.measured.speed.bytes_per_token)),
            ("arithmetic", self.arithmetic()),
        ];
        let tail = [
            ("corpus", format!("≈ {} of text, ≈ {} tokens", corpus.text_bytes, corpus.tokens)),
            ("time", format!("≈ {hours} on this machine, and an n-th of that on n of them")),
        ];
        head.into_iter().chain(memory).chain(tail).collect()
    }

    fn work(&self) -> String {
        let Measured { documents, tokens, seconds, is_whole_corpus, .. } = self.measured;
        let end = if is_whole_corpus { ", all there is: with so little text the speed is rough" } else { "" };
        let (documents, tokens) = (TokenCount(documents), TokenCount(tokens));
        format!("{documents} documents, {tokens} tokens in {seconds:.1} s{end}")
    }

    fn arithmetic(&self) -> String {
        let did = self.measured.flops_per_second;
        let share = self.peak_flops_per_second.filter(|peak| *peak > 0.0).map(|peak| {
            let percent = 100.0 * did / peak;
            format!(": {percent:.0} % of the {} that this processor does at most", flops(peak))
        });
        format!("{}{}", flops(did), share.unwrap_or_default())
    }
}

impl HeadsReport {
    fn line(&self) -> String {
        let heads = match self.first_layer {
            Some(first) => format!("{} heads from layer {first} of {}", self.count, self.layers),
            None => "no heads".to_owned(),
        };
        format!("{heads} ({})", self.origin)
    }
}

/// Operations a second, for people.
fn flops(per_second: f64) -> String {
    match per_second {
        flops if flops >= 1e12 => format!("{:.2} TFLOP/s", flops / 1e12),
        flops => format!("{:.2} GFLOP/s", flops / 1e9),
    }
}
