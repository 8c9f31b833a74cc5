//! Which units of a plan have their scores, and which are still to be scored.

use headwater_corpus::{Plan, PlannedShard, PlannedSource, Wanted};
use headwater_record::run::RunSource;
use headwater_record::{ByteCount, Part, RunFile, UnitKey};
use headwater_run::{RunFolder, SidecarFooter, Unit};

use crate::Error;
use crate::watch::UnitRows;

/// A unit of a plan and where it belongs.
#[derive(Clone, Copy, Debug)]
pub struct PlannedUnit<'a> {
    /// Its source, as planned.
    pub source: &'a PlannedSource,
    /// Its source, as the run describes it.
    pub run_source: &'a RunSource,
    /// Its shard.
    pub shard: &'a PlannedShard,
    /// The unit.
    pub key: &'a UnitKey,
}

impl<'a> PlannedUnit<'a> {
    /// What its sidecar says of itself.
    #[must_use]
    pub fn footer(&self) -> SidecarFooter {
        SidecarFooter::of(&self.unit())
    }

    /// The unit as the readers of sidecars know it.
    #[must_use]
    pub fn unit(&self) -> Unit {
        Unit {
            source: self.source.name.as_str().into(),
            path: self.shard.path.as_str().into(),
            key: self.key.clone(),
            fingerprint: self.run_source.fingerprint.clone(),
            labels: self.run_source.labels.clone().into(),
        }
    }

    /// Where its sidecar lies, relative to the run.
    #[must_use]
    pub fn sidecar_path(&self) -> String {
        RunFolder::sidecar(&self.run_source.fingerprint, &self.run_source.name, self.key)
    }

    /// Its documents.
    #[must_use]
    pub fn rows(&self) -> UnitRows<'a> {
        UnitRows { shard: self.shard, columns: &self.source.columns, unit: self.key, wanted: Wanted::Documents }
    }
}

/// The units of a part of a plan, in plan order.
#[derive(Clone, Debug, Default)]
pub struct Division<'a> {
    /// Those without a sidecar.
    pub pending: Vec<PlannedUnit<'a>>,
    /// Those with one.
    pub done: Vec<PlannedUnit<'a>>,
}

impl Division<'_> {
    /// Documents that are still to be scored.
    #[must_use]
    pub fn pending_rows(&self) -> u64 {
        self.pending.iter().map(|unit| unit.key.rows).sum()
    }

    /// What scoring them fetches beside footers; see [`PlannedShard::stored_bytes`].
    #[must_use]
    pub fn pending_bytes(&self) -> ByteCount {
        self.pending.iter().map(|unit| unit.shard.stored_bytes(unit.key)).sum()
    }
}

/// Divides `part` of `plan` into units that have a sidecar in `folder` under the fingerprints of `run`, and units that have none, by one
/// listing a source.
///
/// # Errors
/// [`Error::LostSource`] if `run` lacks a source of `plan`; what the store says.
pub fn divide<'a>(plan: &'a Plan, run: &'a RunFile, part: Part, folder: &RunFolder) -> Result<Division<'a>, Error> {
    let all = plan.sources.iter().flat_map(PlannedSource::units).map(|(shard, unit)| weight(shard, unit));
    let all = all.fold(0, u64::saturating_add);
    let mut division = Division::default();
    let mut before: u64 = 0;
    for source in &plan.sources {
        let run_source = run.sources.iter().find(|run_source| run_source.name == source.name);
        let run_source = run_source.ok_or_else(|| Error::LostSource { name: source.name.clone() })?;
        let finished = folder.done_units(run_source)?;
        for (shard, key) in source.units() {
            let weight = weight(shard, key);
            if part.holds(before, weight, all) {
                let list = if finished.contains_key(key) { &mut division.done } else { &mut division.pending };
                list.push(PlannedUnit { source, run_source, shard, key });
            }
            before = before.saturating_add(weight);
        }
    }
    Ok(division)
}

/// What a unit counts for in its plan: its text, and a little for every row, since a row without text takes time too.
fn weight(shard: &PlannedShard, unit: &UnitKey) -> u64 {
    shard.text_bytes(unit).0.saturating_add(unit.rows)
}

#[cfg(test)]
mod tests {
    use headwater_model::Concurrency;

    use super::*;
    use crate::fake::{Corpus, FakeEngine, Recorder, in_pool, scorer};
    use crate::score_units;

    #[test]
    fn what_is_scored_is_done_in_its_own_part_alone() {
        in_pool(2, || -> Result<(), Error> {
            let corpus = Corpus::of_texts(&[&["good", "word", "four"], &["more", "text"]], 1);
            let engine = FakeEngine::new(Concurrency::WindowPerThread);
            let scorer = scorer(&engine);
            let run = corpus.run_file(&scorer);
            let parts = [0, 1].map(|index| Part::new(index, 2).expect("there are two"));
            let keys = |units: &[PlannedUnit<'_>]| units.iter().map(|unit| unit.key.clone()).collect::<Vec<_>>();
            let divided = |part| divide(&corpus.plan, &run, part, &corpus.folder);

            let [first, second] = parts.map(divided);
            let (first, second) = (first?, second?);
            let all: Vec<UnitKey> = corpus.units().iter().map(|unit| unit.unit.clone()).collect();
            assert_eq!([keys(&first.pending), keys(&second.pending)].concat(), all);
            assert_eq!((first.pending.len(), second.pending.len()), (2, 3));
            assert!(first.done.is_empty() && second.done.is_empty());
            assert_eq!(first.pending_rows() + second.pending_rows(), 5);
            assert!(first.pending_bytes().0 > 0);

            score_units(&scorer, &second.pending, &corpus.folder, &Recorder::default())?;
            assert_eq!(keys(&divided(parts[1])?.done), keys(&second.pending));
            assert_eq!(keys(&divided(parts[1])?.pending), []);
            assert_eq!(keys(&divided(parts[0])?.pending), keys(&first.pending));
            assert_eq!(keys(&divided(Part::WHOLE)?.done), keys(&second.pending));
            Ok(())
        })
        .expect("nothing panics")
        .expect("nothing fails");
    }

    #[test]
    fn scores_under_another_fingerprint_do_not_count() {
        in_pool(2, || -> Result<(), Error> {
            let corpus = Corpus::of_texts(&[&["good", "word"]], 1);
            let engine = FakeEngine::new(Concurrency::WindowPerThread);
            let mut scorer = scorer(&engine);
            let run = corpus.run_file(&scorer);
            let division = divide(&corpus.plan, &run, Part::WHOLE, &corpus.folder)?;
            score_units(&scorer, &division.pending, &corpus.folder, &Recorder::default())?;
            scorer.min_tokens += 1;
            let run = corpus.run_file(&scorer);
            assert_eq!(divide(&corpus.plan, &run, Part::WHOLE, &corpus.folder)?.pending.len(), 2);
            Ok(())
        })
        .expect("nothing panics")
        .expect("nothing fails");
    }

    #[test]
    fn a_source_that_the_run_lacks_is_an_error() {
        let corpus = Corpus::of_texts(&[&["good"]], 1);
        let engine = FakeEngine::new(Concurrency::Batch { tokens: 1 });
        let mut run = corpus.run_file(&scorer(&engine));
        run.sources.clear();
        let divided = divide(&corpus.plan, &run, Part::WHOLE, &corpus.folder);
        assert!(matches!(divided, Err(Error::LostSource { name }) if name == "s"));
    }
}
