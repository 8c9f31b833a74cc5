//! What a numerics class costs: before a run scores in int8, a few documents of its own corpus are compared with float32, once for all
//! workers.

use headwater_corpus::Plan;
use headwater_model::Precision;
use headwater_record::fidelity::FidelityFile;
use headwater_record::run::ScoringInputs;
use headwater_score::{Fidelity, FidelitySample, Scorer};

use crate::stages::score::MeasureFollower;
use crate::{Event, Pipeline, Result, Total};

impl Pipeline {
    /// Tells how a run in int8 ranks documents of `plan` against float32, and measures it unless a worker has; tells nothing in other
    /// precisions, or where the corpus is too short for a comparison to be worth its time.
    ///
    /// Meanwhile both models are in memory.
    pub(crate) fn tell_fidelity(&self, plan: &Plan, scorer: &Scorer<'_>, scoring: &ScoringInputs) -> Result<()> {
        let is_read = scoring.student.is_none() || scoring.cascade.is_some();
        if !is_read || scoring.numerics.precision != Precision::Int8.class() {
            return Ok(());
        }
        let fidelity = match self.known_fidelity(scoring)? {
            Some(known) => known,
            None => match self.compare_with_float32(plan, scorer, scoring)? {
                Some(measured) => measured,
                None => return Ok(()),
            },
        };
        let (correlation, least) = (fidelity.correlation, Fidelity::MIN_CORRELATION);
        self.tell(&Event::Fidelity(fidelity));
        if correlation < least {
            tracing::warn!(
                "int8 changes ranks here (correlation {correlation:.4}, below {least}); `--set model.precision=bf16` does not"
            );
        }
        Ok(())
    }

    /// What is kept of a comparison for a run of these inputs. A damaged file is as good as none.
    pub(crate) fn known_fidelity(&self, scoring: &ScoringInputs) -> Result<Option<FidelityFile>> {
        match self.folder.fidelity() {
            Err(error @ headwater_run::Error::Damaged { .. }) => {
                tracing::warn!("{error}; it is left out");
                Ok(None)
            }
            known => Ok(known?.filter(|known| known.is_of(scoring))),
        }
    }

    /// Compares a few documents and keeps the result; `None` if there are too few.
    fn compare_with_float32(
        &self,
        plan: &Plan,
        scorer: &Scorer<'_>,
        scoring: &ScoringInputs,
    ) -> Result<Option<FidelityFile>> {
        let sample = FidelitySample::new(plan);
        if sample.documents() == 0 {
            return Ok(None);
        }
        let (reference, _) = self.load_model_in(Precision::F32)?;
        let step = self.step("fidelity", "documents", Total::Exactly(2 * sample.documents()));
        let reference = self.scorer(&reference, &scoring.heads);
        let compared = sample.compare(scorer, &reference, &MeasureFollower { pipeline: self, step });
        self.heed_cancel()?;
        let Some(Fidelity { documents, correlation, overlap, difference, stderr }) = compared? else {
            return Ok(None);
        };
        let fidelity = FidelityFile {
            weights: scoring.weights,
            heads: scoring.heads.clone(),
            mask: scoring.mask.clone(),
            numerics: scoring.numerics.clone(),
            documents,
            tokens_per_document: Fidelity::TOKENS,
            correlation,
            overlap,
            difference,
            stderr,
        };
        self.folder.write_fidelity(&fidelity)?;
        Ok(Some(fidelity))
    }
}
