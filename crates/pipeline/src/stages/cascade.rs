//! A cascade: the student scores everything, the teacher what the student leaves open.
//!
//! The student's sidecars are those of a run by the student, under its fingerprint. When all of them are there, the documents near the cuts are
//! listed, and the run goes on under the cascade's fingerprint: the teacher scores what is listed, all other rows are the student's.

use std::collections::BTreeMap;

use headwater_corpus::Plan;
use headwater_model::Model;
use headwater_record::run::ScoringInputs;
use headwater_record::sidecar::column;
use headwater_record::{ContentHash, Fingerprint, HeadsFile, RunFile, ScoreOf, Status, UnitKey};
use headwater_run::sidecar::{SidecarReader, SidecarRow, rows};
use headwater_run::{Contested, OnChange, Unit};
use headwater_score::{PlannedUnit, Scorer, without_skipped};
use headwater_select::{Contest, MostTokens, Rule, Sidecars, StoredSidecars};
use headwater_store::Entry;

use crate::stages::score::{Known, Pending, ScoreRequest, Scored};
use crate::{Error, Event, Pipeline, Result, Total};

/// The share of the tokens that the teacher scores unless the pipeline says how many.
const TEACHER_SHARE: f64 = 0.1;

/// The student's rows but for those that the teacher scores.
struct Uncontested {
    reader: SidecarReader,
    /// The student's fingerprint and sidecars of each source.
    sources: BTreeMap<String, (Fingerprint, BTreeMap<UnitKey, Entry>)>,
    contested: Contested,
}

impl Known for Uncontested {
    fn rows(&self, planned: &PlannedUnit<'_>) -> Result<BTreeMap<u64, SidecarRow>, headwater_score::Error> {
        let name = planned.source.name.as_str();
        let there = self.sources.get(name);
        let there = there.and_then(|(fingerprint, sidecars)| Some((fingerprint, sidecars.get(planned.key)?)));
        // that of a shard that was skipped is read again, in case it was repaired
        let Some((fingerprint, entry)) = there else { return Ok(BTreeMap::new()) };
        let unit = Unit { fingerprint: fingerprint.clone(), ..planned.unit() };
        let of_student = rows(&self.reader, &unit, entry)?;
        let by_row = |row: SidecarRow| (row.row, SidecarRow { by: ScoreOf::Student, ..row });
        let mut known: BTreeMap<u64, SidecarRow> = of_student.into_iter().map(by_row).collect();
        if known.values().any(|row| row.status == Status::Scored && row.copied.is_none()) {
            let wanted = "a share, which `headwater features` adds to scores of earlier versions";
            return Err(headwater_run::Error::sidecar(&unit, column::COPIED, &wanted, &"null").into());
        }
        let unit_rows = planned.key.first_row..planned.key.first_row.saturating_add(planned.key.rows);
        for row in self.contested.rows(name, &planned.shard.path, unit_rows) {
            known.remove(&row);
        }
        Ok(known)
    }
}

impl Pipeline {
    /// Scores everything with the student, then with the model what the student leaves open on which side of the cut it is.
    ///
    /// # Errors
    /// [`Error::OtherParts`] if the student has not scored all parts yet.
    pub(crate) fn score_by_cascade(
        &self,
        plan: &Plan,
        (model, heads): (&Model, &HeadsFile),
        request: &ScoreRequest,
    ) -> Result<Scored> {
        let student = self.ready_student()?;
        let scorer = Scorer::of_student(&student, &student.tokenizer, &self.config.score);
        let of_student = scorer.inputs(student.model_hashes());
        let run = self.begin_with_student(plan, of_student.clone(), request.on_change)?;
        let by_student = self.score_pending(plan, Pending::new(&run, &scorer), request.part)?;
        // the run may have gone on to the teacher, so its description may be the cascade's; other workers may have skipped shards, too
        let mut readable = without_skipped(plan.clone(), &by_student.run);
        if let Some(there) = self.folder.run_file()? {
            readable = without_skipped(readable, &there);
        }
        let scored = self.described(&readable, of_student.clone())?;
        let (sidecars, missing) = StoredSidecars::open_partly(&self.folder, &scored)?;
        if missing > 0 {
            return Err(Error::OtherParts { missing, units: missing + sidecars.units().len() });
        }
        let teacher = self.scorer(model, &heads.heads);
        // what cannot be chosen leaves the run as it is
        let (choice, contested) = self.contested(&sidecars)?;
        let inputs =
            ScoringInputs { student: of_student.student, cascade: Some(choice), ..teacher.inputs(model.into()) };
        let run = self.begin_with_teacher(plan, (&of_student, inputs), request.on_change)?;
        self.tell(&Event::Contested { documents: contested.documents(), tokens: contested.tokens() });
        let known = self.uncontested(&scored, contested)?;
        let pending = Pending { known: Some(&known), ..Pending::new(&run, &teacher) };
        let by_teacher = self.score_pending(plan, pending, request.part)?;
        // the rows of both are the same documents
        Ok(Scored {
            documents: by_teacher.documents.max(by_student.documents),
            rejects: by_teacher.rejects.max(by_student.rejects),
            ..by_teacher
        })
    }

    /// Begins the run as one by the student, or goes on with it, though it may have gone on to the teacher already.
    fn begin_with_student(&self, plan: &Plan, of_student: ScoringInputs, on_change: OnChange) -> Result<RunFile> {
        let is_further = || -> Result<bool> {
            let Some(there) = self.folder.run_file()? else { return Ok(false) };
            let numerics = of_student.numerics.clone();
            let without_teacher = ScoringInputs { cascade: None, numerics, ..there.scoring.clone() };
            Ok(there.scoring.cascade.is_some() && without_teacher == of_student)
        };
        if !is_further()? {
            match self.begin(plan, of_student.clone(), on_change) {
                // another worker may have gone on meanwhile
                Err(error) if !is_further()? => return Err(error),
                Err(_) => {}
                begun => return begun,
            }
        }
        self.described(plan, of_student)
    }

    /// Goes on with the run to the teacher.
    fn begin_with_teacher(
        &self,
        plan: &Plan,
        (of_student, inputs): (&ScoringInputs, ScoringInputs),
        on_change: OnChange,
    ) -> Result<RunFile> {
        let is_of_student = self.folder.run_file()?.is_some_and(|there| there.scoring == *of_student);
        self.begin(plan, inputs, if is_of_student { OnChange::Rescore } else { on_change })
    }

    /// The documents that the teacher scores, and the hash of what they are chosen by: a worker listed them, or they are listed now.
    fn contested(&self, sidecars: &StoredSidecars<'_>) -> Result<(ContentHash, Contested)> {
        let rule = Rule { config: &self.config.select, seed: self.config.run.seed };
        let most = self.config.score.teacher_tokens.map_or(MostTokens::Share(TEACHER_SHARE), MostTokens::Tokens);
        let contest = Contest { rule, most };
        let choice = contest.choice(sidecars.units())?;
        let contested = match self.folder.contested(&choice)? {
            Some(contested) => contested,
            None => {
                let step = self.step("cascade", "sidecars read", Total::Unknown);
                let contested = contest.contested(sidecars, &|read| step.advance(read))?;
                step.finish();
                self.folder.write_contested(&choice, &contested)?;
                contested
            }
        };
        Ok((choice, contested))
    }

    /// The rows that need no teacher.
    fn uncontested(&self, by_student: &RunFile, contested: Contested) -> Result<Uncontested> {
        let mut sources = BTreeMap::new();
        for source in &by_student.sources {
            let sidecars = self.folder.done_units(source)?;
            sources.insert(source.name.clone(), (source.fingerprint.clone(), sidecars));
        }
        Ok(Uncontested { reader: SidecarReader::new(self.place().clone()), sources, contested })
    }
}
