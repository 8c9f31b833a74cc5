//! Other id or domain columns for scores that are there.

use std::sync::atomic::{AtomicU64, Ordering};

use headwater_score::{Relabelled, divide, relabel, with_labels_of};

use crate::{Event, Part, Pipeline, Result, Total};

impl Pipeline {
    /// Rewrites the id and domain columns of the sidecars that are there, as the pipeline now names them, without the model; returns
    /// the number of sidecars that changed.
    ///
    /// # Errors
    /// [`Error::NotBegun`](crate::Error::NotBegun); [`Error::Score`](crate::Error::Score) for a damaged sidecar.
    pub fn relabel(&self) -> Result<u64> {
        self.place().ensure_writable()?;
        let plan = &self.plan()?;
        let run = with_labels_of(self.begun_run()?, plan);
        let done = divide(plan, &run, Part::WHOLE, &self.folder)?.done;
        let step = self.step("relabel", "units", Total::Exactly(done.len() as u64));
        let rewritten = AtomicU64::new(0);
        relabel(&done, &self.folder, &|outcome| {
            rewritten.fetch_add(u64::from(outcome == Relabelled::Rewritten), Ordering::Relaxed);
            step.advance(1);
        })?;
        step.finish();
        let rewritten = rewritten.into_inner();
        self.tell(&Event::Relabelled { sidecars: rewritten });
        self.folder.change(|run| Ok(with_labels_of(run, plan)))?;
        Ok(rewritten)
    }
}
