//! How alike two scorers of the same model rank documents: what a lower precision costs.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use headwater_corpus::{Piece, Plan, spread};
use headwater_record::statistics::spearman;

use crate::document::Windowing;
use crate::watch::{UnitRows, Watch};
use crate::{Error, LongDocuments, Scorer, score_rows};

/// Documents that are compared, from all over the corpus.
const DOCUMENTS: usize = 64;

/// Tokens of each that are scored: enough for an influence, few enough that a comparison goes through 30,000 tokens.
const TOKENS: usize = 512;

/// Text of one piece of the corpus: about one document.
const PIECE_BYTES: u64 = 4 << 10;

/// Documents below which a rank correlation says nothing.
const MIN_DOCUMENTS: usize = 8;

/// How alike two scorers rank documents.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fidelity {
    /// Documents that both scored.
    pub documents: usize,
    /// Spearman's correlation of the influences, in [−1, 1].
    pub correlation: f64,
}

impl Fidelity {
    /// The correlation below which ranks are not kept.
    pub const MIN_CORRELATION: f64 = 0.99;

    /// Whether the two rank documents alike.
    #[must_use]
    pub fn keeps_ranks(&self) -> bool {
        self.correlation >= Self::MIN_CORRELATION
    }
}

/// Documents from all over a plan, by which scorers are compared.
#[derive(Clone, Debug)]
pub struct FidelitySample<'a> {
    pieces: Vec<Piece<'a>>,
}

/// Influence by piece and place in it.
type Influences = BTreeMap<(usize, usize), f64>;

impl<'a> FidelitySample<'a> {
    /// Takes about 64 documents of `plan`, or all if there are fewer.
    #[must_use]
    pub fn new(plan: &'a Plan) -> Self {
        let mut pieces = spread(plan, PIECE_BYTES, DOCUMENTS);
        let each = (DOCUMENTS / pieces.len().max(1)).max(1) as u64;
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
        let (ours, theirs): (Vec<f64>, Vec<f64>) = both.unzip();
        let fidelity = || Fidelity { documents: ours.len(), correlation: spearman(&ours, &theirs) };
        Ok((ours.len() >= MIN_DOCUMENTS).then(fidelity))
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
            let scored = rows.iter().enumerate().filter_map(|(row, scores)| Some(((piece, row), scores.influence?)));
            let finite = scored.filter(|(_, influence)| influence.is_finite());
            let mut influences = influences.lock().unwrap_or_else(PoisonError::into_inner);
            influences.extend(finite.map(|(at, influence)| (at, f64::from(influence))));
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
            let sample = FidelitySample::new(&corpus.plan);
            let engine = FakeEngine::new(Concurrency::WindowPerThread);
            let reference = FakeEngine::new(Concurrency::OneWindow).with_masked(masked);
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
        let reversed = compared(40, |base| base * 1.5 - 0.25).expect("there are enough");
        assert!((reversed.correlation + 1.0).abs() < 1e-12 && !reversed.keeps_ranks());
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
