//! The head set: found once, pinned in `heads.json`, the same for every worker.

use bytes::Bytes;
use headwater_corpus::{Columns, DocumentText, Plan, PlannedShard, read_unit};
use headwater_heads::{
    FindOptions, Sentences, extract_sentences, find_heads, forward_passes, placeholder_heads, validate_heads,
};
use headwater_model::Model;
use headwater_record::stability::{Decision, Stability, Until};
use headwater_record::{HeadSet, HeadsFile};
use headwater_report::heads_svg;
use headwater_run::RunFolder;
use headwater_store::Created;

use super::probe_journal::ProbeJournal;
use crate::events::ProbeAccuracy;
use crate::{Error, Event, Pipeline, Result, Total};

/// Sentences taken from the corpus, at most.
const CORPUS_SENTENCES: usize = 4_000;

/// What to do about a head set that is weak, or that was made with other settings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeadsRequest {
    /// Goes on with heads whose masking barely hurts retrieval.
    pub allow_weak: bool,
    /// Finds the heads again where settings changed, instead of refusing.
    pub find_again: bool,
}

/// A head set that need not be the run's.
#[derive(Debug)]
pub(crate) struct Substitute {
    pub(crate) heads: HeadSet,
    /// Where it comes from, for people.
    pub(crate) origin: String,
    pub(crate) is_stand_in: bool,
}

impl Pipeline {
    /// Finds the head set, or reads and checks the one that is there.
    ///
    /// # Errors
    /// [`Error::OtherHeads`], [`Error::WeakHeads`], [`Error::Cancelled`], what is wrong with a pinned set, and the errors of the model and the store.
    pub fn heads(&self, request: HeadsRequest) -> Result<HeadsFile> {
        self.place().ensure_writable()?;
        let plan = match self.config.heads.sentences {
            Sentences::Corpus => self.plan()?,
            _ => Plan { sources: Vec::new() },
        };
        let model = self.load_model()?;
        let heads = self.heads_of(&model, &plan, request)?;
        self.tell(&Event::Written { path: self.place().describe(RunFolder::HEADS) });
        Ok(heads)
    }

    /// Reads `heads.json`, or makes it.
    pub(crate) fn heads_of(&self, model: &Model, plan: &Plan, request: HeadsRequest) -> Result<HeadsFile> {
        let _timer = self.meters.stage("heads");
        let file = match self.stored_heads()? {
            Some(stored) if request.find_again && !self.differences(&stored, model)?.is_empty() => {
                let file = self.make_heads(model, plan, request.allow_weak)?;
                self.folder.write_heads(&file)?;
                self.folder.remove_measured_probes()?;
                file
            }
            Some(stored) => self.agreed(stored, model)?,
            None => self.first_heads(model, plan, request.allow_weak)?,
        };
        if file.search.is_some() {
            self.place().write(RunFolder::HEADS_PICTURE, Bytes::from(heads_svg(&file)))?;
        }
        self.tell_heads(&file);
        Ok(file)
    }

    /// Reads the head set of the run, if it has one, and checks that it is the one the pipeline asks for.
    pub(crate) fn read_heads(&self, model: &Model) -> Result<Option<HeadsFile>> {
        self.stored_heads()?.map(|stored| self.agreed(stored, model)).transpose()
    }

    /// The head set of the run, or else the pinned one, or else a stand-in: for whoever asks only how long scoring takes.
    pub(crate) fn heads_or_stand_in(&self, model: &Model) -> Result<Substitute> {
        let config = &self.config.heads;
        let found = |heads, origin: &str| Substitute { heads, origin: origin.to_owned(), is_stand_in: false };
        let reason = match (self.stored_heads()?, &config.file) {
            (Some(stored), _) => match self.differences(&stored, model)? {
                differences if differences.is_empty() => return Ok(found(stored.heads, RunFolder::HEADS)),
                differences => format!("{} was made with other settings: {}", RunFolder::HEADS, differences.join("; ")),
            },
            (None, Some(path)) => return Ok(found(pinned_heads(path, model)?.heads, path)),
            (None, None) => format!("there is no {} yet", RunFolder::HEADS),
        };
        let heads = placeholder_heads(model.shape().layers, model.shape().heads, config.fraction)?;
        Ok(Substitute { heads, origin: format!("stand-in, as {reason}"), is_stand_in: true })
    }

    /// The head set of the run, or else the pinned one, and how the former differs from what the pipeline asks for: what is known without the
    /// model.
    pub(crate) fn known_heads(&self) -> Result<(Option<HeadSet>, Vec<String>)> {
        match (self.stored_heads()?, &self.config.heads.file) {
            (Some(stored), _) => {
                let differences = self.other_search(&stored)?;
                Ok((Some(stored.heads), differences))
            }
            (None, Some(path)) => Ok((Some(read_pinned(path)?.heads), Vec::new())),
            (None, None) => Ok((None, Vec::new())),
        }
    }

    fn stored_heads(&self) -> Result<Option<HeadsFile>> {
        Ok(self.folder.heads()?)
    }

    /// Checks that `stored` is the head set that the pipeline asks for.
    fn agreed(&self, stored: HeadsFile, model: &Model) -> Result<HeadsFile> {
        let differences = self.differences(&stored, model)?;
        if differences.is_empty() {
            return Ok(stored);
        }
        Err(Error::OtherHeads { path: self.place().describe(RunFolder::HEADS), differences })
    }

    /// How what the pipeline asks for differs from what `stored` was made by, as `key: then → now`.
    fn differences(&self, stored: &HeadsFile, model: &Model) -> Result<Vec<String>> {
        let mut differences = self.other_search(stored)?;
        let now = model.weights_hash();
        if let Some(then) = stored.weights.filter(|then| *then != now) {
            differences.push(format!("weights: {} → {}", then.short(12), now.short(12)));
        }
        Ok(differences)
    }

    /// How the pipeline's `[heads]` table differs from what made `file`, as `key: then → now`.
    fn other_search(&self, file: &HeadsFile) -> Result<Vec<String>> {
        let config = &self.config.heads;
        if let Some(path) = &config.file {
            let pinned = read_pinned(path)?;
            let same = pinned.heads == file.heads;
            return Ok(if same { Vec::new() } else { vec![format!("heads.file: another set → {path}")] });
        }
        let Some(search) = &file.search else { return Ok(vec!["heads.file: a pinned set → none".to_owned()]) };
        // a file that does not tell was made with a fixed number
        let (probes, until) = match &search.stability {
            Some(stability) => (stability.most_probes, stability.until),
            None => (search.probes, Until::All),
        };
        let pairs = [
            ("probes", probes.to_string(), config.probes.to_string()),
            ("until", until.as_str().to_owned(), config.until.as_str().to_owned()),
            ("shots", search.shots.to_string(), config.shots.to_string()),
            ("context_tokens", search.context_tokens.to_string(), config.context_tokens.to_string()),
            ("fraction", search.fraction.to_string(), config.fraction.to_string()),
            ("rule", format!("{:?}", search.rule), format!("{:?}", config.rule)),
            ("sentences", search.sentences.clone(), config.sentences.as_str().to_owned()),
            ("seed", search.seed.to_string(), self.config.run.seed.to_string()),
        ];
        let changed = pairs.into_iter().filter(|(_, then, now)| then != now);
        Ok(changed.map(|(key, then, now)| format!("{key}: {then} → {now}")).collect())
    }

    /// Makes `heads.json` unless another worker was first: then its set is the run's.
    fn first_heads(&self, model: &Model, plan: &Plan, allow_weak: bool) -> Result<HeadsFile> {
        let file = self.make_heads(model, plan, allow_weak)?;
        let created = self.folder.create_heads(&file)?;
        self.folder.remove_measured_probes()?;
        match created {
            Created::New => Ok(file),
            Created::AlreadyThere => {
                self.read_heads(model)?.ok_or_else(|| Error::Vanished { path: self.place().describe(RunFolder::HEADS) })
            }
        }
    }

    fn make_heads(&self, model: &Model, plan: &Plan, allow_weak: bool) -> Result<HeadsFile> {
        let Some(path) = &self.config.heads.file else { return self.search(model, plan, allow_weak) };
        pinned_heads(path, model)
    }

    fn search(&self, model: &Model, plan: &Plan, allow_weak: bool) -> Result<HeadsFile> {
        let config = &self.config.heads;
        let corpus_sentences = match config.sentences {
            Sentences::Corpus => self.corpus_sentences(plan)?,
            _ => Vec::new(),
        };
        let options = FindOptions {
            seed: self.config.run.seed,
            mask: self.config.score.mask,
            allow_weak,
            corpus_sentences: &corpus_sentences,
        };
        let step = self.step("heads", "forward passes", Total::AtMost(*forward_passes(config).end()));
        let journal = ProbeJournal::open(self, model.weights_hash(), step)?;
        let watched = self.environment.cancel.watch();
        let found = find_heads(model, config, &options, &journal);
        drop(watched);
        match found {
            Ok(file) => {
                journal.finish();
                Ok(file)
            }
            Err(headwater_heads::Error::Stopped) => {
                journal.keep_all();
                Err(Error::Cancelled)
            }
            Err(headwater_heads::Error::WeakHeads { weakness, file }) => {
                // the same search may be allowed next
                journal.keep_all();
                self.folder.write_weak_heads(&file)?;
                let path = self.place().describe(RunFolder::WEAK_HEADS);
                Err(Error::WeakHeads { path, source: Box::new(headwater_heads::Error::WeakHeads { weakness, file }) })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The first sentences of the plan's documents, source by source. Shards that cannot be read are passed over if the pipeline says so.
    fn corpus_sentences(&self, plan: &Plan) -> Result<Vec<String>> {
        let mut sentences = Vec::new();
        let share = CORPUS_SENTENCES / plan.sources.len().max(1);
        for source in &plan.sources {
            let enough = sentences.len() + share;
            for shard in &source.shards {
                match sentences_of(shard, &source.columns, &mut sentences, enough) {
                    Err(error) if self.may_skip_shard(&error) => {
                        let reason = error.to_string();
                        tracing::warn!(shard = shard.location(), reason, "no sentences are taken from it");
                    }
                    read => read?,
                }
                if sentences.len() >= enough {
                    sentences.truncate(enough);
                    break;
                }
            }
        }
        Ok(sentences)
    }

    fn tell_heads(&self, file: &HeadsFile) {
        let accuracy = file.health.as_ref().map(|health| ProbeAccuracy {
            health_probes: health.probes,
            intact: health.intact_accuracy,
            masked: health.masked_accuracy,
            control: health.control_accuracies.iter().sum::<f64>() / health.control_accuracies.len().max(1) as f64,
        });
        let stability = file.search.as_ref().and_then(|search| search.stability.as_ref());
        let heads = file.heads.as_slice().len();
        self.tell(&Event::HeadsKnown { heads, search: stability.map(Stability::used), accuracy });
        if let Some(reason) = stability.and_then(|stability| instability(stability, heads)) {
            tracing::warn!("{reason}");
        }
        if file.health.as_ref().is_some_and(|health| !health.healthy) {
            tracing::warn!("the head set is weak: masking it barely hurts retrieval, so influence may mean little");
        }
    }
}

/// How far a set of `heads` is from stable, and what to do about it; `None` unless it was to be stable.
fn instability(stability: &Stability, heads: usize) -> Option<String> {
    let look = stability.looks.last().filter(|_| stability.decision == Decision::NotStable)?;
    let Stability { least_probes, least_shared, most_doubt, .. } = stability;
    let probes = look.probes;
    if probes < *least_probes {
        return Some(format!(
            "{probes} probes are too few to say whether the head set is stable: set heads.probes to {least_probes} or more, or heads.until = \"all\" \
             for a fixed number"
        ));
    }
    let shared = look.shared * heads as f64;
    let [doubt, most_doubt] = [look.doubt, *most_doubt].map(|share| share * 100.0);
    let needed = (least_shared * heads as f64).ceil();
    Some(format!(
        "the head set is not stable after all {probes} probes: two halves of them share {shared:.0} of {heads} heads, {needed:.0} are needed, and heads that may \
         be in it by chance hold {doubt:.0} % of its score, at most {most_doubt:.0} % are allowed; other probes may give other heads, so raise heads.probes"
    ))
}

/// The head set that `path` pins, as one of `model`.
fn pinned_heads(path: &str, model: &Model) -> Result<HeadsFile> {
    let pinned = read_pinned(path)?;
    let unfit = |source| Error::PinnedHeads { path: path.to_owned(), source: Box::new(source) };
    validate_heads(&pinned, model.shape(), &model.weights_hash()).map_err(unfit)?;
    Ok(HeadsFile { weights: Some(model.weights_hash()), ..pinned })
}

fn read_pinned(path: &str) -> Result<HeadsFile> {
    let json = fs_err::read(path).map_err(Error::ReadHeads)?;
    let no_heads = |source| Error::NotHeads { path: path.to_owned(), source };
    let file: HeadsFile = serde_json::from_slice(&json).map_err(no_heads)?;
    if file.heads.as_slice().is_empty() {
        return Err(Error::EmptyHeads { path: path.to_owned() });
    }
    Ok(file)
}

/// Adds sentences of a shard's documents until there are `enough`.
fn sentences_of(
    shard: &PlannedShard,
    columns: &Columns,
    sentences: &mut Vec<String>,
    enough: usize,
) -> headwater_corpus::Result<()> {
    for unit in &shard.units {
        for document in read_unit(shard, columns, unit)? {
            if let DocumentText::Text(text) = document?.text {
                sentences.extend(extract_sentences(&text));
            }
            if sentences.len() >= enough {
                return Ok(());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use headwater_record::stability::Look;

    use super::*;

    #[test]
    fn a_set_that_is_not_stable_is_told_with_figures_and_a_remedy() {
        let look = Look { probes: 64, shared: 9.0 / 14.0, heads_in_doubt: 6, doubt: 0.31, distance: Some(0.2) };
        let stability = |look, decision| Stability {
            until: Until::Stable,
            most_probes: 64,
            least_probes: 16,
            least_shared: 0.75,
            doubt_stderrs: 2.0,
            most_doubt: 0.2,
            looks: vec![look],
            decision,
        };
        let said = instability(&stability(look, Decision::NotStable), 14).unwrap_or_default();
        for part in [
            "all 64 probes",
            "share 9 of 14 heads, 11 are needed",
            "hold 31 % of its score, at most 20 %",
            "raise heads.probes",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
        let few = instability(&stability(Look { probes: 8, ..look }, Decision::NotStable), 14).unwrap_or_default();
        assert!(few.contains("8 probes are too few") && few.contains("heads.until = \"all\""), "{few}");
        for settled in [Decision::Stable, Decision::All] {
            assert_eq!(instability(&stability(look, settled), 14), None);
        }
    }
}
