//! The head set: found once, pinned in `heads.json`, the same for every worker.

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use headwater_corpus::{DocumentText, Plan, read_unit};
use headwater_heads::{FindOptions, Sentences, check_heads, find_heads, forward_passes, sentences_of, stand_in_heads};
use headwater_model::Model;
use headwater_record::{HeadSet, HeadsFile};
use headwater_report::heads_svg;
use headwater_run::RunFolder;
use headwater_store::Created;

use crate::args::{HeadsArgs, WeakArgs};
use crate::failure::Outcome;
use crate::stages::Session;

const HEADS_FILE: &str = RunFolder::HEADS;
/// A head set that was found and refused.
const WEAK_HEADS_FILE: &str = RunFolder::WEAK_HEADS;
pub(super) const HEADS_PICTURE: &str = RunFolder::HEADS_PICTURE;

/// Sentences taken from the corpus, at most.
const CORPUS_SENTENCES: usize = 4_000;

/// What to do about a head set that is weak, or that was made with other settings.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    weak: WeakArgs,
    again: bool,
}

impl Request {
    /// Finds the heads again where settings changed if `again` says so.
    pub(super) fn new(weak: WeakArgs, again: bool) -> Self {
        Self { weak, again }
    }
}

/// A head set that need not be the run's.
#[derive(Debug)]
pub(super) struct Substitute {
    pub(super) heads: HeadSet,
    /// Where it comes from, for people.
    pub(super) origin: String,
    pub(super) is_stand_in: bool,
}

impl Session<'_> {
    /// Runs this stage alone.
    pub(crate) fn find_heads(&self, args: &HeadsArgs) -> Result<Outcome> {
        self.place.ensure_writable()?;
        let plan = match self.pipeline.heads.sentences {
            Sentences::Corpus => self.plan()?,
            _ => Plan { sources: Vec::new() },
        };
        let model = self.load_model()?;
        self.heads(&model, &plan, Request::new(args.weak, args.rescore))?;
        self.console.say(&format!("{:>12} {}", "heads", self.place.describe(HEADS_FILE)));
        Ok(Outcome::Done)
    }

    /// Reads `heads.json`, or makes it.
    pub(super) fn heads(&self, model: &Model, plan: &Plan, request: Request) -> Result<HeadsFile> {
        let _timer = self.meters.stage("heads");
        let file = match self.stored_heads()? {
            Some(stored) if request.again && !self.differences(&stored, model)?.is_empty() => {
                let file = self.make_heads(model, plan, request.weak)?;
                self.folder().write_heads(&file)?;
                file
            }
            Some(stored) => self.agreed(stored, model)?,
            None => self.first_heads(model, plan, request.weak)?,
        };
        if file.search.is_some() {
            self.place.write(HEADS_PICTURE, Bytes::from(heads_svg(&file)))?;
        }
        self.say_heads(&file);
        Ok(file)
    }

    /// Reads the head set of the run, if it has one, and checks that it is the one the pipeline asks for.
    pub(super) fn read_heads(&self, model: &Model) -> Result<Option<HeadsFile>> {
        self.stored_heads()?.map(|stored| self.agreed(stored, model)).transpose()
    }

    /// The head set of the run, or else the pinned one, or else a stand-in: for whoever asks only how long scoring takes.
    pub(super) fn heads_or_stand_in(&self, model: &Model) -> Result<Substitute> {
        let config = &self.pipeline.heads;
        let found = |heads, origin: &str| Substitute { heads, origin: origin.to_owned(), is_stand_in: false };
        let reason = match (self.stored_heads()?, &config.file) {
            (Some(stored), _) => match self.differences(&stored, model)? {
                differences if differences.is_empty() => return Ok(found(stored.heads, HEADS_FILE)),
                differences => format!("{HEADS_FILE} was made with other settings: {}", differences.join("; ")),
            },
            (None, Some(path)) => return Ok(found(pinned_heads(path, model)?.heads, path)),
            (None, None) => format!("there is no {HEADS_FILE} yet"),
        };
        let heads = stand_in_heads(model.shape().layers, model.shape().heads, config.fraction)?;
        Ok(Substitute { heads, origin: format!("stand-in, as {reason}"), is_stand_in: true })
    }

    fn stored_heads(&self) -> Result<Option<HeadsFile>> {
        Ok(self.folder().heads()?)
    }

    /// Checks that `stored` is the head set that the pipeline asks for.
    fn agreed(&self, stored: HeadsFile, model: &Model) -> Result<HeadsFile> {
        let differences = self.differences(&stored, model)?;
        if differences.is_empty() {
            return Ok(stored);
        }
        bail!(
            "{} was made with other settings ({}); undo the change, choose another [run] output, or run `headwater heads \
             --rescore` and score again",
            self.place.describe(HEADS_FILE),
            differences.join("; ")
        )
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
        let config = &self.pipeline.heads;
        if let Some(path) = &config.file {
            let pinned = read_pinned(path)?;
            let same = pinned.heads == file.heads;
            return Ok(if same { Vec::new() } else { vec![format!("heads.file: another set → {path}")] });
        }
        let Some(search) = &file.search else { return Ok(vec!["heads.file: a pinned set → none".to_owned()]) };
        let pairs = [
            ("probes", search.probes.to_string(), config.probes.to_string()),
            ("shots", search.shots.to_string(), config.shots.to_string()),
            ("context_tokens", search.context_tokens.to_string(), config.context_tokens.to_string()),
            ("fraction", search.fraction.to_string(), config.fraction.to_string()),
            ("rule", format!("{:?}", search.rule), format!("{:?}", config.rule)),
            ("sentences", search.sentences.clone(), config.sentences.as_str().to_owned()),
            ("seed", search.seed.to_string(), self.pipeline.run.seed.to_string()),
        ];
        let changed = pairs.into_iter().filter(|(_, then, now)| then != now);
        Ok(changed.map(|(key, then, now)| format!("{key}: {then} → {now}")).collect())
    }

    /// Makes `heads.json` unless another worker was first: then its set is the run's.
    fn first_heads(&self, model: &Model, plan: &Plan, weak: WeakArgs) -> Result<HeadsFile> {
        let file = self.make_heads(model, plan, weak)?;
        match self.folder().create_heads(&file)? {
            Created::New => Ok(file),
            Created::AlreadyThere => self.read_heads(model)?.context("heads.json vanished while it was being read"),
        }
    }

    fn make_heads(&self, model: &Model, plan: &Plan, weak: WeakArgs) -> Result<HeadsFile> {
        let Some(path) = &self.pipeline.heads.file else { return self.search(model, plan, weak) };
        pinned_heads(path, model)
    }

    fn search(&self, model: &Model, plan: &Plan, weak: WeakArgs) -> Result<HeadsFile> {
        let config = &self.pipeline.heads;
        let corpus_sentences = match config.sentences {
            Sentences::Corpus => corpus_sentences(plan)?,
            _ => Vec::new(),
        };
        let options = FindOptions {
            seed: self.pipeline.run.seed,
            mask: self.pipeline.score.mask,
            allow_weak: weak.allow_weak_heads,
            corpus_sentences: &corpus_sentences,
        };
        let step = self.console.step("heads", "forward passes", forward_passes(config));
        let found = find_heads(model, config, &options, &|passes| step.advance(passes));
        match found {
            Ok(file) => {
                step.finish();
                Ok(file)
            }
            Err(headwater_heads::Error::WeakHeads { weakness, file }) => {
                step.discard();
                self.folder().write_weak_heads(&file)?;
                let path = self.place.describe(WEAK_HEADS_FILE);
                Err(headwater_heads::Error::WeakHeads { weakness, file }).with_context(|| {
                    format!("no usable head set was found; {path} holds what was, and [heads] file can pin it")
                })
            }
            Err(error) => {
                step.discard();
                Err(error.into())
            }
        }
    }

    fn say_heads(&self, file: &HeadsFile) {
        let heads = file.heads.as_slice().len();
        let health = file.health.as_ref().map_or_else(String::new, |health| {
            let controls =
                health.control_accuracies.iter().sum::<f64>() / health.control_accuracies.len().max(1) as f64;
            format!(
                ": probe accuracy {:.2} intact, {:.2} with them masked, {controls:.2} with as many others masked",
                health.intact_accuracy, health.masked_accuracy
            )
        });
        self.console.say(&format!("{:>12} {heads} retrieval heads{health}", "heads"));
        if file.health.as_ref().is_some_and(|health| !health.healthy) {
            tracing::warn!("the head set is weak: masking it barely hurts retrieval, so influence may mean little");
        }
    }
}

/// The head set that `path` pins, as one of `model`.
fn pinned_heads(path: &str, model: &Model) -> Result<HeadsFile> {
    let pinned = read_pinned(path)?;
    check_heads(&pinned, model.shape(), &model.weights_hash()).with_context(|| format!("{path} cannot be used"))?;
    Ok(HeadsFile { weights: Some(model.weights_hash()), ..pinned })
}

fn read_pinned(path: &str) -> Result<HeadsFile> {
    let json = fs_err::read(path).context("cannot read [heads] file")?;
    let file: HeadsFile = serde_json::from_slice(&json)
        .with_context(|| format!("{path} is no head set; it needs {{\"heads\": [[layer, head], ...]}}"))?;
    if file.heads.as_slice().is_empty() {
        bail!("{path} names no head: nothing would be masked and every influence would be 0");
    }
    Ok(file)
}

/// The first sentences of the plan's documents, source by source.
fn corpus_sentences(plan: &Plan) -> Result<Vec<String>> {
    let mut sentences = Vec::new();
    let share = CORPUS_SENTENCES / plan.sources.len().max(1);
    for source in &plan.sources {
        let enough = sentences.len() + share;
        'source: for shard in &source.shards {
            for unit in &shard.units {
                for document in read_unit(shard, &source.columns, unit)? {
                    if let DocumentText::Text(text) = document?.text {
                        sentences.extend(sentences_of(&text));
                    }
                    if sentences.len() >= enough {
                        sentences.truncate(enough);
                        break 'source;
                    }
                }
            }
        }
    }
    Ok(sentences)
}
