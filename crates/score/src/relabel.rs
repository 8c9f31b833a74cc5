//! Other id or domain columns for sidecars that are already there.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::ScopedJoinHandle;

use headwater_corpus::{UnitDocuments, UnitStart, Wanted};
use headwater_run::RunFolder;
use headwater_run::sidecar::Relabelling;

use crate::unit::domain_of;
use crate::{Error, PlannedUnit};

/// Shards whose sidecars are relabelled at the same time; they wait for the store, not for the processor.
const RELABELLERS: usize = 8;

/// What [`relabel`] did to a sidecar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relabelled {
    /// The sidecar was rewritten.
    Rewritten,
    /// It had those columns already.
    Unchanged,
}

/// Rewrites the id and domain columns of the sidecars in `folder` of `units`, which are in plan order, by what each unit's source says.
/// Those columns of the shards are read, but neither texts nor the model. `on_unit` is told what became of each sidecar, from several
/// threads.
///
/// # Errors
/// [`headwater_run::Error::Damaged`] if a sidecar cannot be read or does not match the shard's rows; what the store says.
pub fn relabel(
    units: &[PlannedUnit<'_>],
    folder: &RunFolder,
    on_unit: &(dyn Fn(Relabelled) + Sync),
) -> Result<(), Error> {
    let shards: Vec<&[PlannedUnit<'_>]> = units.chunk_by(|a, b| std::ptr::eq(a.shard, b.shard)).collect();
    let next = AtomicUsize::new(0);
    let relabel = || -> Result<(), Error> {
        while let Some(units) = shards.get(next.fetch_add(1, Ordering::Relaxed)) {
            let mut read = None;
            for unit in *units {
                on_unit(relabel_unit(unit, folder, &mut read)?);
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..RELABELLERS.min(shards.len())).map(|_| scope.spawn(relabel)).collect();
        let join = |worker: ScopedJoinHandle<'_, _>| worker.join().unwrap_or_else(|panic| resume_unwind(panic));
        // all are waited for, so that a panic is told before an error
        let ended: Vec<Result<(), Error>> = workers.into_iter().map(join).collect();
        ended.into_iter().collect()
    })
}

/// Rewrites the sidecar of `unit`; `read` is the unit of its shard that was read last, from which this one may go on.
fn relabel_unit(
    unit: &PlannedUnit<'_>,
    folder: &RunFolder,
    read: &mut Option<UnitDocuments>,
) -> Result<Relabelled, Error> {
    let PlannedUnit { source, shard, key, .. } = *unit;
    let (columns, path) = (&source.columns, unit.sidecar_path());
    let Some(relabelling) = Relabelling::open(folder.place(), &path, &unit.footer())? else {
        return Ok(Relabelled::Unchanged);
    };
    let (mut ids, mut domains) = (Vec::new(), Vec::new());
    let gone_on = read.take().and_then(|mut before| before.advance_to(key).then_some(before));
    let anew = || UnitStart::new(shard, columns, key).with_wanted(Wanted::Labels).open();
    let mut documents = gone_on.map_or_else(anew, Ok)?;
    for document in documents.by_ref() {
        let document = document?;
        ids.push(document.id);
        domains.push(domain_of(columns, document.domain));
    }
    *read = Some(documents);
    relabelling.write(&ids, &domains)?;
    Ok(Relabelled::Rewritten)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use bytes::Bytes;
    use headwater_corpus::SourceConfig;
    use headwater_model::Concurrency;
    use headwater_record::{Part, RunFile};
    use headwater_run::sidecar::SidecarReader;
    use headwater_run::{sidecar, units};

    use super::*;
    use crate::fake::{Corpus, FakeEngine, Recorder, in_pool, scorer};
    use crate::{divide, score_units, with_labels_of};

    /// A corpus of three shards that is scored, and its run.
    fn scored() -> (Corpus, RunFile) {
        let corpus = Corpus::of_texts(&[&["good", "word", "four"], &["more", "text"], &["last"]], 2);
        let engine = FakeEngine::new(Concurrency::WindowPerThread);
        let run = corpus.run_file(&scorer(&engine));
        let division = divide(&corpus.plan, &run, Part::WHOLE, &corpus.folder).expect("it is planned");
        let scored = score_units(&scorer(&engine), &division.pending, &corpus.folder, &Recorder::default());
        scored.expect("nothing fails");
        (corpus, run)
    }

    /// The domains of all rows, in plan order.
    fn domains(corpus: &Corpus, run: &RunFile) -> Result<Vec<String>, Error> {
        let mut domains = Vec::new();
        let place = corpus.folder.place();
        let reader = SidecarReader::new(place.clone());
        for unit in units(run)? {
            let file = place.entry(&unit.sidecar_path())?;
            for batch in reader.read(&unit, &file, &["domain"])? {
                let (rows, words) = sidecar::words(&unit, &batch, "domain")?;
                domains.extend(rows.keys().values().iter().map(|key| words.value(*key as usize).to_owned()));
            }
        }
        Ok(domains)
    }

    #[test]
    fn sidecars_get_the_labels_of_the_plan_once() {
        in_pool(2, || -> Result<(), Error> {
            let (corpus, run) = scored();
            assert_eq!(domains(&corpus, &run)?, ["even", "odd", "even", "even", "odd", "even"]);
            let source =
                SourceConfig { id: String::new(), domain_value: Some("all".to_owned()), ..corpus.source.clone() };
            let plan = corpus.plan_as(&source);
            let run = with_labels_of(run, &plan);
            assert!(domains(&corpus, &run).is_err(), "other labels are told apart");
            for outcome in [Relabelled::Rewritten, Relabelled::Unchanged] {
                let done = divide(&plan, &run, Part::WHOLE, &corpus.folder)?.done;
                let outcomes = Mutex::new(Vec::new());
                relabel(&done, &corpus.folder, &|outcome| outcomes.lock().expect("nothing panics").push(outcome))?;
                assert_eq!(outcomes.into_inner().expect("nothing panics"), [outcome; 4]);
                assert_eq!(domains(&corpus, &run)?, ["all"; 6]);
            }
            Ok(())
        })
        .expect("nothing panics")
        .expect("nothing fails");
    }

    #[test]
    fn a_damaged_sidecar_and_a_panic_end_it() {
        let ended = in_pool(2, || {
            let (corpus, run) = scored();
            let plan = corpus.plan_as(&SourceConfig { id: String::new(), ..corpus.source.clone() });
            let run = with_labels_of(run, &plan);
            let done = divide(&plan, &run, Part::WHOLE, &corpus.folder).expect("it is planned").done;
            let path = done[2].sidecar_path();
            corpus.folder.place().write(&path, Bytes::from_static(b"no Parquet")).expect("memory takes it");
            let ended = relabel(&done, &corpus.folder, &|_| {});
            assert!(matches!(&ended, Err(Error::Run(error)) if error.to_string().contains(&path)), "{ended:?}");
            drop(relabel(&done, &corpus.folder, &|_| panic!("the caller panics")));
        });
        assert_eq!(ended, Err("the caller panics".to_owned()));
    }
}
