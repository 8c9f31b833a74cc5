//! What a numerics class costs: before a run scores in int8, a few documents of its own corpus are compared with float32, once for all
//! workers.

use headwater_corpus::Plan;
use headwater_model::{Model, Precision};
use headwater_record::HeadsFile;
use headwater_record::fidelity::FidelityFile;
use headwater_score::{Fidelity, FidelitySample, Scorer};

use crate::stages::score::MeasureFollower;
use crate::{Event, Pipeline, Result};

impl Pipeline {
    /// Tells how `model`, in int8, ranks documents of `plan` against float32, and measures it unless a worker has; tells nothing in other
    /// precisions, or where the corpus is too short for a comparison to be worth its time.
    ///
    /// Meanwhile both models are in memory.
    pub(crate) fn tell_fidelity(&self, plan: &Plan, model: &Model, heads: &HeadsFile) -> Result<()> {
        if !model.numerics().precision.starts_with(Precision::Int8.as_str()) {
            return Ok(());
        }
        let scorer = self.scorer(model, &heads.heads);
        let known = match self.folder.fidelity() {
            Err(error @ headwater_run::Error::Damaged { .. }) => {
                tracing::warn!("{error}; it is measured again");
                None
            }
            known => known?.filter(|known| self.is_of(known, model, heads)),
        };
        let fidelity = match known {
            Some(known) => known,
            None => match self.compare_with_float32(plan, &scorer, model, heads)? {
                Some(measured) => measured,
                None => return Ok(()),
            },
        };
        self.tell(&Event::Fidelity(fidelity.clone()));
        let (correlation, least) = (fidelity.correlation, Fidelity::MIN_CORRELATION);
        if correlation < least {
            tracing::warn!(
                "int8 changes ranks here (correlation {correlation:.4}, below {least}); `--set model.precision=bf16` does not"
            );
        }
        Ok(())
    }

    /// Whether a comparison is of this model, head set and numerics class.
    fn is_of(&self, known: &FidelityFile, model: &Model, heads: &HeadsFile) -> bool {
        known.weights == model.weights_hash()
            && known.heads == heads.heads
            && known.mask == self.config.score.mask.as_str()
            && known.numerics == model.numerics()
    }

    /// Compares a few documents and keeps the result; `None` if there are too few.
    fn compare_with_float32(
        &self,
        plan: &Plan,
        scorer: &Scorer<'_>,
        model: &Model,
        heads: &HeadsFile,
    ) -> Result<Option<FidelityFile>> {
        let sample = FidelitySample::new(plan);
        if sample.documents() == 0 {
            return Ok(None);
        }
        let (reference, _) = self.load_model_in(Precision::F32)?;
        let step = self.step("fidelity", "documents", Some(2 * sample.documents()));
        let reference = self.scorer(&reference, &heads.heads);
        let compared = sample.compare(scorer, &reference, &MeasureFollower { pipeline: self, step });
        self.heed_cancel()?;
        let Some(Fidelity { documents, correlation, overlap, difference, stderr }) = compared? else {
            return Ok(None);
        };
        let fidelity = FidelityFile {
            weights: model.weights_hash(),
            heads: heads.heads.clone(),
            mask: self.config.score.mask.as_str().to_owned(),
            numerics: model.numerics(),
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
