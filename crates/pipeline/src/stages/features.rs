//! What sidecars of earlier versions lack, counted from the texts without the model.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use headwater_record::run::ScoringInputs;
use headwater_record::sidecar::column;
use headwater_record::{RunFile, ScoreOf, UnitKey};
use headwater_run::sidecar::{SidecarReader, encode, rows};
use headwater_score::{
    Division, DocumentScore, PlannedUnit, Scorer, Student, StudentDocument, UnitRows, divide, score_rows,
};
use headwater_store::Entry;
use rayon::iter::{IntoParallelIterator, ParallelIterator};

use crate::stages::score::MeasureFollower;
use crate::{Error, Event, Part, Pipeline, Result, Total};

/// Describes documents and scores none.
struct Describer<'a>(&'a ScoringInputs);

impl Student for Describer<'_> {
    fn inputs(&self) -> ScoringInputs {
        self.0.clone()
    }

    fn score(&self, _: StudentDocument<'_>, targets: usize) -> DocumentScore {
        DocumentScore {
            targets,
            loss_base: 0.0,
            loss_masked: 0.0,
            influence: 0.0,
            influence_stderr: None,
            windows: Vec::new(),
        }
    }
}

impl Pipeline {
    /// Adds what the sidecars of a part of the run lack because an earlier version wrote them: the share of copied tokens. Texts are read,
    /// and no model. Returns the number of sidecars that were rewritten.
    ///
    /// # Errors
    /// [`Error::NotBegun`]; [`Error::OtherTexts`] if the pipeline's tokenizer or windows are not those of the run; what keeps a sidecar or
    /// shard from being read.
    pub fn features(&self, part: Part) -> Result<u64> {
        self.place().ensure_writable()?;
        let run = self.begun_run()?;
        let plan = self.plan()?;
        let (tokenizer, _) = self.load_scoring_tokenizer()?;
        let mut now = run.scoring.clone();
        now.tokenizer = tokenizer.hash();
        now.long_documents = self.config.score.long_documents.to_string();
        now.min_tokens = self.config.score.min_tokens;
        let mut differences = run.scoring.differences(&now);
        for source in &run.sources {
            let text = plan.sources.iter().find(|planned| planned.name == source.name).map(|of| &of.columns.text);
            let other = text.filter(|text| **text != source.text);
            differences.extend(other.map(|text| format!("text column of {}: {} → {text}", source.name, source.text)));
        }
        if !differences.is_empty() {
            return Err(Error::OtherTexts { output: self.place().to_string(), differences });
        }
        let Division { done, .. } = divide(&plan, &run, part, &self.folder)?;
        let reader = SidecarReader::new(self.place().clone());
        let lacking = self.lacking(&run, &done, &reader)?;
        let units: Vec<UnitRows<'_>> = lacking.iter().map(|(unit, _)| unit.rows()).collect();
        let documents = lacking.iter().map(|(unit, _)| unit.key.rows).sum();
        let describer = Describer(&run.scoring);
        let scorer = Scorer::of_student(&describer, &tokenizer, &self.config.score);
        let by_student = run.scoring.student.is_some() && run.scoring.cascade.is_none();
        let step = self.step("features", "documents", Total::Exactly(documents));
        let watch = MeasureFollower { pipeline: self, step };
        let rewritten = AtomicU64::new(0);
        score_rows(&scorer, &units, &watch, &|index, described| {
            let (unit, entry) = &lacking[index];
            let mut there = rows(&reader, &unit.unit(), entry)?;
            for (row, described) in there.iter_mut().zip(described) {
                row.copied = described.copied;
                row.text_hash = row.text_hash.or(described.text_hash);
                row.by = if by_student { ScoreOf::Student } else { row.by };
            }
            let sidecar = encode(&unit.footer(), &there)?;
            self.place().write(&unit.sidecar_path(), sidecar.into())?;
            rewritten.fetch_add(1, Ordering::Relaxed);
            Ok(())
        })?;
        self.heed_cancel()?;
        watch.step.finish();
        let rewritten = rewritten.into_inner();
        self.tell(&Event::Described { sidecars: rewritten });
        Ok(rewritten)
    }

    /// The units whose sidecars lack a column, with their files.
    fn lacking<'a>(
        &self,
        run: &RunFile,
        done: &[PlannedUnit<'a>],
        reader: &SidecarReader,
    ) -> Result<Vec<(PlannedUnit<'a>, Entry)>> {
        let mut files: BTreeMap<&str, BTreeMap<UnitKey, Entry>> = BTreeMap::new();
        for source in &run.sources {
            files.insert(&source.name, self.folder.done_units(source)?);
        }
        let there = |unit: &PlannedUnit<'a>| {
            let entry = files.get(unit.source.name.as_str())?.get(unit.key)?;
            Some((*unit, entry.clone()))
        };
        let there: Vec<(PlannedUnit<'a>, Entry)> = done.iter().filter_map(there).collect();
        let step = self.step("features", "sidecars looked at", Total::Exactly(there.len() as u64));
        let lacking = there.into_par_iter().map(|(unit, entry)| {
            self.heed_cancel()?;
            let batches = reader.read(&unit.unit(), &entry, &[column::COPIED])?;
            step.advance(1);
            let is_lacking = batches.iter().any(|batch| batch.column_by_name(column::COPIED).is_none());
            Ok(is_lacking.then_some((unit, entry)))
        });
        Ok(lacking.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
    }
}
