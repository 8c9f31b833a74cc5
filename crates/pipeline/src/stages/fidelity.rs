//! What int8 costs: before a run scores in int8, it compares a few documents of its own corpus with bfloat16 and says how alike the two
//! rank them.

use headwater_corpus::Plan;
use headwater_model::{Model, Precision};
use headwater_record::HeadsFile;
use headwater_score::{Fidelity, FidelitySample};

use crate::stages::score::MeasureFollower;
use crate::{Event, Pipeline, Result};

impl Pipeline {
    /// Tells how `model`, in int8, ranks documents of `plan` against bfloat16; tells nothing in other precisions.
    ///
    /// Meanwhile both models are in memory.
    pub(crate) fn tell_fidelity(&self, plan: &Plan, model: &Model, heads: &HeadsFile) -> Result<()> {
        if self.config.model.precision != Precision::Int8 {
            return Ok(());
        }
        let sample = FidelitySample::new(plan);
        let (reference, _) = self.load_model_in(Precision::Bf16)?;
        let [scorer, reference] = [model, &reference].map(|model| self.scorer(model, &heads.heads));
        let step = self.step("int8", "documents", Some(2 * sample.documents()));
        let compared = sample.compare(&scorer, &reference, &MeasureFollower { pipeline: self, step });
        self.heed_cancel()?;
        let Some(fidelity) = compared? else {
            tracing::warn!("the corpus has too few documents to tell how int8 ranks them; bf16 is the safe precision");
            return Ok(());
        };
        let Fidelity { documents, correlation } = fidelity;
        self.tell(&Event::Fidelity { documents, correlation });
        if !fidelity.keeps_ranks() {
            let least = Fidelity::MIN_CORRELATION;
            tracing::warn!("int8 changes ranks here (correlation {correlation:.4}, below {least}); bf16 does not");
        }
        Ok(())
    }
}
