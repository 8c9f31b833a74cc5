//! What several rules would keep of the same scores; nothing is written to the run.

use headwater_record::comparison::Comparison;
use headwater_select::{NamedRule, StoredSidecars, compare};

use crate::stages::select::refuse_other_labels;
use crate::{Error, Pipeline, Result, Total};

impl Pipeline {
    /// Says what several pipelines over the same run would keep of its scores, what they share, and what each keeps alone.
    ///
    /// # Errors
    /// [`Error::NothingToCompare`] for fewer than two; [`Error::OtherScores`] if they differ in output or seed; [`Error::NotBegun`];
    /// [`Error::Select`].
    pub fn compare(pipelines: &[Self]) -> Result<Comparison> {
        let [first, others @ ..] = pipelines else { return Err(Error::NothingToCompare) };
        if others.is_empty() {
            return Err(Error::NothingToCompare);
        }
        others.iter().try_for_each(|other| first.refuse_other_scores(other))?;
        let run = first.begun_run()?;
        let plan = first.shards_at_hand();
        let sidecars = StoredSidecars::open(&first.folder, &run)?;
        let sidecars = match &plan {
            Some(plan) => {
                refuse_other_labels(&run, plan)?;
                sidecars.with_shards(plan)
            }
            None => sidecars,
        };
        let rule = |pipeline: &Self| NamedRule { name: pipeline.name.clone(), config: pipeline.config.select.clone() };
        let rules: Vec<NamedRule> = pipelines.iter().map(rule).collect();
        let step = first.step("cut", "sidecars read", Total::Unknown);
        Ok(compare(&sidecars, &rules, first.config.run.seed, &|read| step.advance(read))?)
    }

    fn refuse_other_scores(&self, other: &Self) -> Result<()> {
        let (output, seed) = (self.place().to_string(), self.config.run.seed);
        let (other_output, other_seed) = (other.place().to_string(), other.config.run.seed);
        if (&output, seed) == (&other_output, other_seed) {
            return Ok(());
        }
        Err(Error::OtherScores {
            other: other.name.clone(),
            other_output,
            other_seed,
            first: self.name.clone(),
            first_output: output,
            first_seed: seed,
        })
    }
}
