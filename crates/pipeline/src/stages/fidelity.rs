//! What int8 costs: before a run scores in int8, it compares a few documents of its own corpus with bfloat16 and says how alike the two
//! rank them.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::PoisonError;

use headwater_corpus::{Piece, Plan, spread};
use headwater_model::{Model, Precision};
use headwater_record::HeadsFile;
use headwater_record::statistics::spearman;
use headwater_score::document::Windowing;
use headwater_score::{Advance, LongDocuments, Scorer, UnitReport, UnitRows, Watch, score_rows};

use crate::{Event, Pipeline, Progress, Result};

/// Documents that are compared, from all over the corpus.
const DOCUMENTS: usize = 64;

/// Tokens of each that are scored: enough for an influence, few enough that the comparison costs what 30,000 tokens cost in either
/// precision.
const TOKENS: usize = 512;

/// Text of one piece of the corpus: about one document.
const PIECE_BYTES: u64 = 4 << 10;

/// Documents below which a rank correlation says nothing.
const FEWEST: usize = 8;

/// Correlation below which int8 is not what one wants.
const LEAST: f64 = 0.99;

/// Influence by piece and place in it.
type Influences = BTreeMap<(usize, usize), f64>;

impl Pipeline {
    /// Tells how `model`, in int8, ranks documents of `plan` against bfloat16; tells nothing in other precisions.
    ///
    /// Meanwhile both models are in memory.
    pub(crate) fn tell_fidelity(&self, plan: &Plan, model: &Model, heads: &HeadsFile) -> Result<()> {
        if self.config.model.precision != Precision::Int8 {
            return Ok(());
        }
        let mut pieces = spread(plan, PIECE_BYTES, DOCUMENTS);
        let each = (DOCUMENTS / pieces.len().max(1)).max(1) as u64;
        pieces.iter_mut().for_each(|piece| piece.unit.rows = piece.unit.rows.min(each));
        let step = self.step("int8", "documents", Some(2 * pieces.iter().map(|piece| piece.unit.rows).sum::<u64>()));
        let int8 = self.influences(model, heads, &pieces, &*step)?;
        let (reference, _) = self.load_model_in(Precision::Bf16)?;
        let bf16 = self.influences(&reference, heads, &pieces, &*step)?;
        drop(step);
        let (a, b): (Vec<f64>, Vec<f64>) = int8.iter().filter_map(|(at, x)| Some((*x, *bf16.get(at)?))).unzip();
        if a.len() < FEWEST {
            tracing::warn!("the corpus has too few documents to tell how int8 ranks them; bf16 is the safe precision");
            return Ok(());
        }
        let (correlation, documents) = (spearman(&a, &b), a.len());
        self.tell(&Event::Fidelity { documents, correlation });
        if correlation < LEAST {
            tracing::warn!("int8 changes ranks here (correlation {correlation:.4}, below {LEAST}); bf16 does not");
        }
        Ok(())
    }

    /// The influence of the beginning of every document in `pieces`.
    fn influences(
        &self,
        model: &Model,
        heads: &HeadsFile,
        pieces: &[Piece<'_>],
        step: &dyn Progress,
    ) -> Result<Influences> {
        let scorer = self.scorer(model, &heads.heads, self.window_tokens(model));
        let windowing = Windowing {
            window_tokens: scorer.windowing.window_tokens.min(TOKENS),
            long_documents: LongDocuments::First,
            ..scorer.windowing
        };
        let scorer = Scorer { windowing, ..scorer };
        let units: Vec<UnitRows<'_>> = pieces.iter().map(UnitRows::from).collect();
        let influences = Mutex::new(Influences::new());
        score_rows(&scorer, &units, &Comparison { pipeline: self, step }, &|piece, rows| {
            let scored = rows.iter().enumerate().filter_map(|(row, scores)| Some(((piece, row), scores.influence?)));
            let finite = scored.filter(|(_, influence)| influence.is_finite());
            let mut influences = influences.lock().unwrap_or_else(PoisonError::into_inner);
            influences.extend(finite.map(|(at, influence)| (at, f64::from(influence))));
            Ok(())
        })?;
        Ok(influences.into_inner().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Follows one side of the comparison.
struct Comparison<'a> {
    pipeline: &'a Pipeline,
    step: &'a dyn Progress,
}

impl Watch for Comparison<'_> {
    fn skips(&self, _index: usize) -> bool {
        false
    }

    fn advance(&self, advance: Advance) {
        self.step.advance_tokens(advance.tokens);
        self.step.advance(advance.documents);
    }

    fn unit(
        &self,
        _: usize,
        outcome: Result<UnitReport, headwater_score::Error>,
    ) -> Result<(), headwater_score::Error> {
        self.pipeline.passed_over(outcome)
    }
}
