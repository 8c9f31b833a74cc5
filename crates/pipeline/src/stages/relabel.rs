//! Other id or domain columns for scores that are there.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::ScopedJoinHandle;

use headwater_corpus::Plan;
use headwater_record::RunFile;
use headwater_score::{LabelSource, Relabelled, SidecarToRelabel, relabel_units};

use crate::stages::score::{Work, labels};
use crate::{Event, Part, Pipeline, Result};

/// Shards whose sidecars are relabelled at the same time; they wait for the store, not for the processor.
const RELABELLERS: usize = 8;

impl Pipeline {
    /// Rewrites the id and domain columns of the sidecars that are there, as the pipeline now names them, without the model; returns
    /// the number of sidecars that changed.
    ///
    /// # Errors
    /// [`Error::NotBegun`](crate::Error::NotBegun); [`Error::Score`](crate::Error::Score) for a damaged sidecar.
    pub fn relabel(&self) -> Result<u64> {
        self.place().ensure_writable()?;
        let plan = &self.plan()?;
        let run = relabelled(self.begun_run()?, plan);
        let (_, done) = self.divide(plan, &run, Part::WHOLE)?;
        let step = self.step("relabel", "units", Some(done.len() as u64));
        let rewritten = AtomicU64::new(0);
        let on_unit = |outcome| {
            rewritten.fetch_add(u64::from(outcome == Relabelled::Rewritten), Ordering::Relaxed);
            step.advance(1);
        };
        let shards: Vec<&[Work<'_>]> = done.chunk_by(|a, b| std::ptr::eq(a.shard, b.shard)).collect();
        let next = AtomicUsize::new(0);
        let relabel = || -> Result<(), headwater_score::Error> {
            while let Some(units) = shards.get(next.fetch_add(1, Ordering::Relaxed)) {
                let sidecar = |work: &Work<'_>| SidecarToRelabel { footer: work.footer(), path: work.sidecar_path() };
                let sidecars: Vec<_> = units.iter().map(sidecar).collect();
                let source = LabelSource { shard: units[0].shard, columns: &units[0].source.columns };
                relabel_units(source, &sidecars, self.place(), &on_unit)?;
            }
            Ok(())
        };
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..RELABELLERS.min(shards.len())).map(|_| scope.spawn(relabel)).collect();
            let join = |worker: ScopedJoinHandle<'_, _>| worker.join().unwrap_or_else(|panic| resume_unwind(panic));
            workers.into_iter().try_for_each(join)
        })?;
        step.finish();
        let rewritten = rewritten.into_inner();
        self.tell(&Event::Relabelled { sidecars: rewritten });
        self.folder.change(|run| Ok(relabelled(run, plan)))?;
        Ok(rewritten)
    }
}

/// `run` with the ids and domains of the plan.
fn relabelled(mut run: RunFile, plan: &Plan) -> RunFile {
    for source in &mut run.sources {
        if let Some(planned) = plan.sources.iter().find(|planned| planned.name == source.name) {
            source.labels = labels(planned);
        }
    }
    run
}
