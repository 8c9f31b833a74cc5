//! What becomes of one document, and what a unit comes to.

use std::collections::BTreeMap;

use headwater_corpus::{Columns, Document, DocumentText, Domain, text_hash};
use headwater_record::Status;
use headwater_record::sidecar::NO_DOMAIN;
use headwater_run::SidecarRow;

use crate::Scorer;
use crate::document::DocumentScore;

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
}

/// Tokenises a document and fills in what the model is not needed for.
pub(crate) fn prepare(
    document: Document,
    scorer: &Scorer<'_>,
    columns: &Columns,
) -> Result<Prepared, headwater_model::Error> {
    let mut row = SidecarRow {
        row: document.row,
        id: document.id,
        domain: domain_of(columns, document.domain),
        status: Status::Scored,
        bytes: 0,
        text_hash: None,
        compression: 0.0,
        tokens: 0,
        scored_tokens: 0,
        loss_base: None,
        loss_masked: None,
        influence: None,
        influence_stderr: None,
    };
    let mut tokens = Vec::new();
    match document.text {
        DocumentText::Null => row.status = Status::NullText,
        DocumentText::NotUtf8 { bytes } => {
            row.status = Status::NotUtf8;
            row.bytes = bytes;
        }
        DocumentText::Text(text) => {
            tokens = scorer.tokenizer.encode(&text)?;
            row.bytes = text.len() as u64;
            row.text_hash = Some(text_hash(text.as_bytes()));
            row.compression = compression(&text);
            row.tokens = u32::try_from(tokens.len()).unwrap_or(u32::MAX);
            if tokens.len() < scorer.min_tokens {
                row.status = Status::Short;
            }
        }
    }
    Ok(Prepared { row, tokens })
}

/// The domain that a document is ranked in.
pub(crate) fn domain_of(columns: &Columns, domain: Option<String>) -> String {
    match &columns.domain {
        Domain::Constant(domain) => domain.clone(),
        Domain::Column(_) => domain.unwrap_or_else(|| NO_DOMAIN.to_owned()),
    }
}

/// Text bytes / zstd-3 bytes; 0 for empty text.
#[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "a ratio, rounded once")]
fn compression(text: &str) -> f32 {
    let compressed = zstd::bulk::compress(text.as_bytes(), 3).map_or(0, |bytes| bytes.len());
    if compressed == 0 { 0.0 } else { (text.len() as f64 / compressed as f64) as f32 }
}

/// Writes a document's losses into its row, each rounded once.
#[expect(clippy::cast_possible_truncation, reason = "sums are float64, sidecars float32")]
pub(crate) fn fill(row: &mut SidecarRow, score: Option<DocumentScore>) {
    let Some(score) = score else {
        row.status = Status::Short;
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
}
