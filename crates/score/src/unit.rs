//! What becomes of one document, and what a unit comes to.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, Write};

use headwater_corpus::{Columns, Document, DocumentText, Domain, text_hash};
use headwater_distill::features::{COPIED, DocumentTokens};
use headwater_record::Status;
use headwater_record::sidecar::NO_DOMAIN;
use headwater_run::SidecarRow;

use crate::Scorer;
use crate::document::DocumentScore;
use crate::scorer::{By, StudentDocument};

/// zstd level of the compression ratio.
const LEVEL: i32 = 3;

/// Texts up to this size are compressed in one piece.
const WHOLE_BYTES: usize = 16 << 20;

/// Work newly done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Advance {
    /// Rows of any status.
    pub documents: u64,
    /// Windows that went through the model; no more than one is told of at a time.
    pub windows: u64,
    /// Tokens that went through the model, or were found too short to.
    pub tokens: u64,
}

impl Advance {
    /// One window of `tokens`, without BOS.
    pub(crate) fn window(tokens: usize) -> Self {
        Self { documents: 0, windows: 1, tokens: tokens as u64 }
    }
}

/// What a unit came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnitReport {
    /// Rows by status.
    pub statuses: BTreeMap<Status, u64>,
    /// Tokens of all rows.
    pub tokens: u64,
}

impl UnitReport {
    pub(crate) fn of(rows: &[SidecarRow]) -> Self {
        let mut report = Self::default();
        for row in rows {
            *report.statuses.entry(row.status).or_default() += 1;
            report.tokens += u64::from(row.tokens);
        }
        report
    }
}

/// A document after tokenisation.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// Its row, as far as it is known without the model.
    pub(crate) row: SidecarRow,
    /// Its tokens.
    pub(crate) tokens: Vec<u32>,
    /// What decides which of its windows are scored.
    pub(crate) draw: u64,
}

/// Tokenises a document of `shard` and fills in what the model is not needed for: with a student, all.
pub(crate) fn prepare(
    document: Document,
    scorer: &Scorer<'_>,
    (shard, columns): (&str, &Columns),
) -> Result<Prepared, headwater_model::Error> {
    let domain = domain_of(columns, document.domain);
    let mut row = SidecarRow { id: document.id, ..SidecarRow::new(document.row, domain, scorer.score_of()) };
    let draw = scorer.windowing.draw(shard, row.row);
    let mut tokens = Vec::new();
    match document.text {
        DocumentText::Null => row.status = Status::NullText,
        DocumentText::NotUtf8 { bytes } => {
            row.status = Status::NotUtf8;
            row.bytes = bytes;
        }
        DocumentText::Text(text) => {
            let (encoded, read) = scorer.encode(&text)?;
            tokens = encoded;
            row.bytes = text.len() as u64;
            row.text_hash = Some(text_hash(text.as_bytes()));
            row.compression = compression(&text);
            row.tokens = extrapolated(tokens.len(), read, text.len());
            if tokens.len() < scorer.min_tokens {
                row.status = Status::Short;
            } else {
                let of = DocumentTokens { text: &text[..read], tokens: &tokens, compression: row.compression };
                let features = scorer.extractors.features(of);
                row.copied = Some(features[COPIED]);
                if let By::Student(student) = &scorer.by {
                    let targets = scorer.windowing.targets(&tokens, draw);
                    let of = StudentDocument { domain: &row.domain, tokens: tokens.len(), features: &features };
                    let score = (targets > 0).then(|| student.score(of, targets));
                    fill(&mut row, score);
                }
            }
        }
    }
    Ok(Prepared { row, tokens, draw })
}

/// The domain that a document is ranked in.
pub(crate) fn domain_of(columns: &Columns, domain: Option<String>) -> String {
    match &columns.domain {
        Domain::Constant(domain) => domain.clone(),
        Domain::Column(_) => domain.unwrap_or_else(|| NO_DOMAIN.to_owned()),
    }
}

/// Tokens of a text of `bytes` bytes whose first `read` ones are `tokens`: exact if that is all.
fn extrapolated(tokens: usize, read: usize, bytes: usize) -> u32 {
    let all = if read < bytes { tokens as u128 * bytes as u128 / read.max(1) as u128 } else { tokens as u128 };
    u32::try_from(all).unwrap_or(u32::MAX)
}

/// Text bytes / zstd-3 bytes; 0 for empty text.
#[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "a ratio, rounded once")]
fn compression(text: &str) -> f32 {
    let compressed = if text.len() > WHOLE_BYTES {
        compressed_bytes(text).unwrap_or(0)
    } else {
        COMPRESSOR.with_borrow_mut(|compressor| compressor.compressed_bytes(text.as_bytes())).unwrap_or(0)
    };
    if compressed == 0 { 0.0 } else { (text.len() as f64 / compressed as f64) as f32 }
}

thread_local! {
    /// Its tables are set up once for all documents of a thread, which takes longer than compressing a short one.
    static COMPRESSOR: RefCell<Compressor> = const { RefCell::new(Compressor { context: None, output: Vec::new() }) };
}

/// Compresses texts in one piece each, to see how short they become.
struct Compressor {
    context: Option<zstd::bulk::Compressor<'static>>,
    output: Vec<u8>,
}

impl Compressor {
    fn compressed_bytes(&mut self, text: &[u8]) -> io::Result<u64> {
        let context = match &mut self.context {
            Some(context) => context,
            none => none.insert(zstd::bulk::Compressor::new(LEVEL)?),
        };
        self.output.clear();
        self.output.reserve(zstd::compress_bound(text.len()));
        Ok(context.compress_to_buffer(text, &mut self.output)? as u64)
    }
}

/// The size of a text that is compressed piece by piece, in little memory.
fn compressed_bytes(text: &str) -> io::Result<u64> {
    let mut encoder = zstd::stream::Encoder::new(Counter(0), LEVEL)?;
    encoder.set_pledged_src_size(Some(text.len() as u64))?;
    encoder.write_all(text.as_bytes())?;
    Ok(encoder.finish()?.0)
}

/// Counts what is written to it.
struct Counter(u64);

impl Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes a document's losses into its row, each rounded once.
#[expect(clippy::cast_possible_truncation, reason = "sums are float64, sidecars float32")]
pub(crate) fn fill(row: &mut SidecarRow, score: Option<DocumentScore>) {
    let Some(score) = score else {
        row.status = Status::Short;
        row.copied = None;
        return;
    };
    row.scored_tokens = u32::try_from(score.targets).unwrap_or(u32::MAX);
    row.loss_base = Some(score.loss_base as f32);
    row.loss_masked = Some(score.loss_masked as f32);
    row.influence = Some(score.influence as f32);
    row.influence_stderr = score.influence_stderr.map(|stderr| stderr as f32);
    if !score.is_finite() {
        row.status = Status::NonFinite;
    }
    if score.windows.len() > 1 {
        row.windows = score.windows;
    }
}
