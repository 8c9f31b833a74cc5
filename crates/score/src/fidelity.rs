//! How alike two scorers of the same model rank documents: what a lower precision costs.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use headwater_corpus::{Piece, Plan, spread};
use headwater_record::statistics::{spearman, top_overlap};

use crate::document::Windowing;
use crate::watch::{UnitRows, Watch};
use crate::{Error, LongDocuments, Scorer, score_rows};

/// Documents that are compared at most, from all over the corpus.
const DOCUMENTS: usize = 64;

/// Tokens of each that are scored: enough for an influence, few enough that a comparison goes through 30,000 tokens.
const TOKENS: usize = 512;

/// Text of one piece of the corpus: about one document.
const PIECE_BYTES: u64 = 4 << 10;

/// Text that is compared at most of each document, for a start; a token has three to five bytes.
const DOCUMENT_BYTES: u64 = 2 << 10;

/// A comparison goes through at most one byte in so many. Float32 takes about four times as long as int8, so that both together take less
/// than a tenth of the time of scoring.
const SHARE: u64 = 64;

/// Documents below which a rank correlation says nothing.
const MIN_DOCUMENTS: usize = 8;

/// How alike two scorers rank documents.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fidelity {
    /// Documents that both scored.
    pub documents: usize,
    /// Spearman's correlation of the influences, in [−1, 1].
    pub correlation: f64,
    /// Share of the fifth of highest influence that both have in common.
    pub overlap: f64,
    /// Root of the mean squared difference of influence.
    pub difference: f64,
    /// Root of the mean squared standard error of influence, over documents that have one.
    pub stderr: Option<f64>,
}

impl Fidelity {
    /// The correlation below which ranks are not kept.
    pub const MIN_CORRELATION: f64 = 0.99;

    /// Tokens of a document that are scored, at most.
    pub const TOKENS: usize = TOKENS;

    /// Whether the two rank documents alike.
    #[must_use]
    pub fn keeps_ranks(&self) -> bool {
        self.correlation >= Self::MIN_CORRELATION
    }

    /// Compares influences, with the standard error of each where it has one.
    fn of(ours: &[Influence], theirs: &[Influence]) -> Self {
        let values = |all: &[Influence]| all.iter().map(|influence| influence.value).collect::<Vec<f64>>();
        let squares = ours.iter().zip(theirs).map(|(a, b)| (a.value - b.value).powi(2));
        let errors: Vec<f64> = theirs.iter().filter_map(|influence| Some(influence.stderr?.powi(2))).collect();
        let (a, b) = (values(ours), values(theirs));
        Self {
            documents: ours.len(),
            correlation: spearman(&a, &b),
            overlap: top_overlap(&a, &b, a.len().div_ceil(5)),
            difference: (squares.sum::<f64>() / ours.len() as f64).sqrt(),
            stderr: (!errors.is_empty()).then(|| (errors.iter().sum::<f64>() / errors.len() as f64).sqrt()),
        }
    }
}

/// Documents from all over a plan, by which scorers are compared.
#[derive(Clone, Debug)]
pub struct FidelitySample<'a> {
    pieces: Vec<Piece<'a>>,
}

/// The influence of a document.
#[derive(Clone, Copy, Debug)]
struct Influence {
    value: f64,
    stderr: Option<f64>,
}

/// Influence by piece and place in it.
type Influences = BTreeMap<(usize, usize), Influence>;

impl<'a> FidelitySample<'a> {
    /// Takes about 64 documents of `plan`, or fewer if its text is too short for the comparison to be worth its time.
    #[must_use]
    pub fn new(plan: &'a Plan) -> Self {
        let text = plan.sources.iter().map(|source| source.text_bytes().0).sum::<u64>();
        let worth = usize::try_from(text / SHARE / DOCUMENT_BYTES).unwrap_or(DOCUMENTS).min(DOCUMENTS);
        Self::with_most(plan, worth)
    }

    /// Takes about `most` documents of `plan`, or all if there are fewer; none if they would tell nothing.
    fn with_most(plan: &'a Plan, most: usize) -> Self {
        if most < MIN_DOCUMENTS {
            return Self { pieces: Vec::new() };
        }
        let mut pieces = spread(plan, PIECE_BYTES, most);
        let each = (most / pieces.len().max(1)).max(1) as u64;
        pieces.iter_mut().for_each(|piece| piece.unit.rows = piece.unit.rows.min(each));
        Self { pieces }
    }

    /// How many documents there are.
    #[must_use]
    pub fn documents(&self) -> u64 {
        self.pieces.iter().map(|piece| piece.unit.rows).sum()
    }

    /// Compares how `scorer` and `reference` rank the beginnings of the documents; `None` if there are too few that both can score.
    /// `watch` follows both, one after the other.
    ///
    /// # Errors
    /// As [`score_rows`].
    pub fn compare(
        &self,
        scorer: &Scorer<'_>,
        reference: &Scorer<'_>,
        watch: &dyn Watch,
    ) -> Result<Option<Fidelity>, Error> {
        let (ours, theirs) = (self.influences(scorer, watch)?, self.influences(reference, watch)?);
        let both = ours.iter().filter_map(|(place, influence)| Some((*influence, *theirs.get(place)?)));
        let (ours, theirs): (Vec<Influence>, Vec<Influence>) = both.unzip();
        Ok((ours.len() >= MIN_DOCUMENTS).then(|| Fidelity::of(&ours, &theirs)))
    }

    /// The finite influences of the beginnings of the documents.
    fn influences(&self, scorer: &Scorer<'_>, watch: &dyn Watch) -> Result<Influences, Error> {
        let windowing = Windowing {
            window_tokens: scorer.windowing.window_tokens.min(TOKENS),
            long_documents: LongDocuments::First,
            ..scorer.windowing
        };
        let scorer = Scorer { windowing, ..scorer.clone() };
        let units: Vec<UnitRows<'_>> = self.pieces.iter().map(UnitRows::from).collect();
        let influences = Mutex::new(Influences::new());
        score_rows(&scorer, &units, watch, &|piece, rows| {
            let mut influences = influences.lock().unwrap_or_else(PoisonError::into_inner);
            for (row, scores) in rows.iter().enumerate() {
                if let Some(value) = scores.influence.filter(|value| value.is_finite()) {
                    let stderr = scores.influence_stderr.map(f64::from);
                    influences.insert((piece, row), Influence { value: value.into(), stderr });
                }
            }
            Ok(())
        })?;
        Ok(influences.into_inner().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use headwater_model::Concurrency;

    use super::*;
    use crate::fake::{Corpus, FakeEngine, Recorder, in_pool, scorer};

    /// Compares `documents` of different losses under an engine and one whose masked losses are `masked`.
    fn compared(documents: u8, masked: fn(f32) -> f32) -> Option<Fidelity> {
        let compared = in_pool(2, move || {
            let texts = (0..documents).map(|number| Some(char::from(b' ' + number).to_string().repeat(9))).collect();
            let corpus = Corpus::new(&[texts], 10);
            let sample = FidelitySample::with_most(&corpus.plan, DOCUMENTS);
            let engine = FakeEngine::new(Concurrency::WindowPerThread);
            let reference = FakeEngine::new(Concurrency::Batch { tokens: 1 }).with_masked(masked);
            let watch = Recorder::default();
            let compared = sample.compare(&scorer(&engine), &scorer(&reference), &watch);
            assert_eq!(watch.documents.into_inner(), 2 * sample.documents());
            assert!(engine.windows().len() as u64 == sample.documents(), "the first window of each is enough");
            compared
        });
        compared.expect("nothing panics").expect("nothing fails")
    }

    #[test]
    fn the_same_losses_rank_alike_and_others_do_not() {
        let same = compared(40, |base| base * 1.5 + 0.25).expect("there are enough");
        assert_eq!((same.documents, same.correlation, same.keeps_ranks()), (40, 1.0, true));
        assert!(same.overlap == 1.0 && same.difference == 0.0, "{same:?}");
        let reversed = compared(40, |base| base * 1.5 - 0.25).expect("there are enough");
        assert!((reversed.correlation + 1.0).abs() < 1e-12 && !reversed.keeps_ranks() && reversed.overlap == 0.0);
        assert!(reversed.difference > 0.0);
    }

    #[test]
    fn a_short_corpus_is_not_worth_a_comparison() {
        let texts = (0..40_u8).map(|number| Some(char::from(b' ' + number).to_string().repeat(9))).collect();
        assert_eq!(FidelitySample::new(&Corpus::new(&[texts], 10).plan).documents(), 0);
    }

    #[test]
    fn few_documents_tell_nothing() {
        assert_eq!(compared(7, |base| base), None);
    }

    #[test]
    fn documents_without_a_finite_influence_do_not_count() {
        assert_eq!(compared(40, |_| f32::NAN), None);
    }
}
