//! One unit: read, tokenise, score, write.

use std::collections::BTreeMap;

use bytes::Bytes;
use headwater_corpus::{Columns, Document, DocumentText, Domain, PlannedShard, read_unit};
use headwater_model::{HeadMask, Model};
use headwater_record::Status;
use headwater_record::sidecar::NO_DOMAIN;
use headwater_store::Place;
use rayon::prelude::*;

use crate::document::{self, DocumentScore, Windowing};
use crate::{Error, SidecarFooter, SidecarRow, encode_sidecar};

/// Text that is held tokenised at a time, in bytes; a longer document is held alone.
const GROUP_BYTES: usize = 4 << 20;

/// What a document counts for beside its text, so that rows without text are bounded too.
const DOCUMENT_BYTES: usize = 256;

/// Work newly done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Advance {
    /// Rows, whatever their status.
    pub documents: u64,
    /// Tokens that went through the model, or were found too short to.
    pub tokens: u64,
}

/// What is needed to score documents.
#[derive(Debug)]
pub struct Scorer<'a> {
    /// The model.
    pub model: &'a Model,
    /// The masked heads.
    pub mask: HeadMask,
    /// How documents are cut.
    pub windowing: Windowing,
    /// Documents with fewer tokens are `short`.
    pub min_tokens: usize,
}

/// What a unit came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnitReport {
    /// Rows by status.
    pub statuses: BTreeMap<Status, u64>,
    /// Tokens of all rows.
    pub tokens: u64,
}

/// Scores one unit and writes its sidecar to `path` in `run`.
///
/// # Errors
/// A row that the model cannot take, a page that cannot be read, a store that cannot be written. Nothing is written then.
///
/// # Determinism
/// The sidecar's bytes depend on the unit and the fingerprint alone.
pub fn score_unit(
    scorer: &Scorer<'_>,
    source: (&PlannedShard, &Columns),
    footer: &SidecarFooter,
    target: (&Place, &str),
    on_advance: &(dyn Fn(Advance) + Sync),
) -> Result<UnitReport, Error> {
    let (shard, columns) = source;
    let scoring = UnitScoring { scorer, shard, columns, on_advance };
    let mut rows = Vec::new();
    let mut group = Group::default();
    for document in read_unit(shard, columns, &footer.unit)? {
        group.push(document?);
        if group.bytes >= GROUP_BYTES {
            rows.extend(scoring.score(std::mem::take(&mut group))?);
        }
    }
    rows.extend(scoring.score(group)?);
    let (run, path) = target;
    run.write(path, Bytes::from(encode_sidecar(footer, &rows)?))?;
    let mut report = UnitReport::default();
    for row in &rows {
        *report.statuses.entry(row.status).or_default() += 1;
        report.tokens += u64::from(row.tokens);
    }
    Ok(report)
}

/// Documents that are tokenised together, on all cores, then scored one after another.
#[derive(Debug, Default)]
struct Group {
    documents: Vec<Document>,
    bytes: usize,
}

/// A document after tokenisation.
struct Prepared {
    row: SidecarRow,
    tokens: Vec<u32>,
}

impl Group {
    fn push(&mut self, document: Document) {
        self.bytes += DOCUMENT_BYTES;
        if let DocumentText::Text(text) = &document.text {
            self.bytes += text.len();
        }
        self.documents.push(document);
    }
}

/// What scoring the groups of one unit needs.
struct UnitScoring<'a> {
    scorer: &'a Scorer<'a>,
    shard: &'a PlannedShard,
    columns: &'a Columns,
    on_advance: &'a (dyn Fn(Advance) + Sync),
}

impl UnitScoring<'_> {
    fn score(&self, group: Group) -> Result<Vec<SidecarRow>, Error> {
        let prepare = |document: Document| {
            let row = document.row;
            prepare(document, self.scorer, self.columns).map_err(|source| self.failed(row, source))
        };
        let prepared = group.documents.into_par_iter().map(prepare).collect::<Result<Vec<_>, Error>>()?;
        prepared.into_iter().map(|prepared| self.score_one(prepared)).collect()
    }

    fn score_one(&self, prepared: Prepared) -> Result<SidecarRow, Error> {
        let Prepared { mut row, tokens } = prepared;
        let on_window = |tokens: usize| (self.on_advance)(Advance { documents: 0, tokens: tokens as u64 });
        if row.status == Status::Scored {
            let (engine, scorer) = (self.scorer.model.engine(), self.scorer);
            let score = document::score(engine, &scorer.mask, scorer.windowing, &tokens, &on_window);
            let score = score.map_err(|source| self.failed(row.row, source))?;
            fill(&mut row, score);
        } else {
            on_window(tokens.len());
        }
        (self.on_advance)(Advance { documents: 1, tokens: 0 });
        Ok(row)
    }

    fn failed(&self, row: u64, source: headwater_model::Error) -> Error {
        Error::Document { shard: self.shard.path.clone(), row, source: Box::new(source) }
    }
}

fn prepare(document: Document, scorer: &Scorer<'_>, columns: &Columns) -> Result<Prepared, headwater_model::Error> {
    let mut row = SidecarRow {
        row: document.row,
        id: document.id,
        domain: domain_of(columns, document.domain),
        status: Status::Scored,
        bytes: 0,
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
            tokens = scorer.model.tokenizer().encode(&text)?;
            row.bytes = text.len() as u64;
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
fn fill(row: &mut SidecarRow, score: Option<DocumentScore>) {
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
