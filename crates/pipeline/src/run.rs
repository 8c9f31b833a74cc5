//! Every stage in turn.

use headwater_corpus::Plan;
use headwater_model::Model;
use headwater_record::{HeadsFile, SelectionFile};
use headwater_run::RunFolder;
use headwater_score::ScoredBy;
use serde::Serialize;

use crate::error::chain;
use crate::stages::distill::DistillRequest;
use crate::stages::heads::HeadsRequest;
use crate::stages::score::ScoreRequest;
use crate::stages::select::Selected;
use crate::{Arm, Error, OnChange, Pipeline, Result, Verdict};

/// What to do about what earlier starts left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunOptions {
    /// What to do if the run was begun with other settings or shards.
    pub on_change: OnChange,
    /// Goes on with heads whose masking barely hurts retrieval.
    pub allow_weak_heads: bool,
}

/// What a run came to.
#[derive(Clone, Debug, Serialize)]
pub struct RunSummary {
    /// What is kept of each domain.
    pub selection: SelectionFile,
    /// What lies where, relative to the run's output: a short word for what it is, and its path.
    pub artefacts: Vec<(&'static str, String)>,
    /// Whether the run is complete.
    pub verdict: Verdict,
}

impl Pipeline {
    /// Runs every stage: plan, heads, scores, selection with its subset, token files and recipes as the pipeline asks for them, and
    /// the report.
    ///
    /// Settings that cannot work, of the last stage too, are found before anything is scored. Data that is too little for a recipe is
    /// warned of.
    ///
    /// # Errors
    /// Those of the stages. What was finished stays, and another call goes on from there.
    pub fn run(&self, options: RunOptions) -> Result<RunSummary> {
        self.place().ensure_writable()?;
        self.rehearse_recipe()?;
        self.rehearse_tokens()?;
        let plan = self.plan_for(options.on_change)?;
        let request = ScoreRequest { on_change: options.on_change, ..ScoreRequest::default() };
        let scored = match self.config.score.by {
            ScoredBy::Teacher => {
                let (model, heads) = self.model_and_heads(&plan, options)?;
                self.score_units(&plan, &model, &heads, &request)?
            }
            ScoredBy::Student => {
                if self.lacks_student(options)? {
                    let (model, heads) = self.model_and_heads(&plan, options)?;
                    self.distil(&plan, &model, &heads, DistillRequest::default())?;
                }
                self.score_by_student(&plan, &request)?
            }
            ScoredBy::Cascade => {
                let (model, heads) = self.model_and_heads(&plan, options)?;
                if self.lacks_student(options)? {
                    self.distil(&plan, &model, &heads, DistillRequest::default())?;
                }
                self.score_by_cascade(&plan, (&model, &heads), &request)?
            }
        };
        let Selected { selection, run } = self.select_from(scored.run, &plan, Arm::Selection)?;
        let tokens = self.write_wanted_tokens(&plan, &run, &selection)?;
        let recipes = match self.write_recipes(&selection, None) {
            Err(error @ Error::Recipe(headwater_recipe::Error::ShortData { .. })) => {
                tracing::warn!("no recipe is written: {}", chain(&error));
                Ok(Vec::new())
            }
            written => written,
        };
        self.folder.write_json(RunFolder::METRICS, &self.meters.metrics())?;
        // the page shows the times up to here; it takes time itself
        let report = self.write_report(Some(&run), Some(&plan))?;
        // files in the way of recipes are no reason to lack the page
        let recipes = recipes?;
        self.folder.write_json(RunFolder::METRICS, &self.meters.metrics())?;
        let mut artefacts = vec![
            ("subset", RunFolder::subset(&selection.hash)),
            ("cuts", RunFolder::selection_file(Arm::Selection).to_owned()),
            ("scores", RunFolder::SCORES.to_owned()),
            ("rejects", RunFolder::REJECTS.to_owned()),
        ];
        if self.folder.heads()?.is_some_and(|heads| heads.search.is_some()) {
            artefacts.push(("heads", RunFolder::HEADS_PICTURE.to_owned()));
        }
        artefacts.extend(tokens.folders.into_iter().chain(recipes).chain([report]).map(|path| {
            let what = ["schedule", "tokens", "report"].into_iter().find(|what| path.starts_with(what));
            (what.unwrap_or("recipe"), path)
        }));
        let verdict = self.verdict(&selection, &run).and(tokens.verdict);
        Ok(RunSummary { selection, artefacts, verdict })
    }

    /// Whether a student is to be made before it can score.
    fn lacks_student(&self, options: RunOptions) -> Result<bool> {
        Ok(self.folder.student()?.is_none() || options.on_change == OnChange::Rescore)
    }

    /// The model and its heads, which are found if need be.
    fn model_and_heads(&self, plan: &Plan, options: RunOptions) -> Result<(Model, HeadsFile)> {
        let model = self.load_model()?;
        if self.config.score.by == ScoredBy::Teacher {
            self.tell_forecast(plan, &model);
        }
        let request =
            HeadsRequest { allow_weak: options.allow_weak_heads, find_again: options.on_change == OnChange::Rescore };
        let heads = self.heads_of(&model, plan, request)?;
        Ok((model, heads))
    }
}
