//! How a plan is described in `run.json`, and what `run.json` says of a plan.

use std::collections::BTreeMap;

use headwater_corpus::{Domain, Plan, PlannedShard, PlannedSource};
use headwater_record::RunFile;
use headwater_record::run::{Labels, RunShard, RunSource, ScoringInputs};

use crate::Error;

/// Describes a run of `plan`, scored under `scoring`, that `began` at a time in RFC 3339 with the resolved pipeline `config`.
///
/// # Errors
/// [`Error::Record`] if there is no fingerprint of `scoring`.
pub fn run_file(
    plan: &Plan,
    scoring: ScoringInputs,
    began: String,
    config: serde_json::Value,
) -> Result<RunFile, Error> {
    let sources = plan.sources.iter().map(|source| run_source(source, &scoring)).collect::<Result<_, Error>>()?;
    let headwater = env!("CARGO_PKG_VERSION").to_owned();
    Ok(RunFile { headwater, began, config, scoring, revisions: BTreeMap::new(), sources })
}

fn run_source(source: &PlannedSource, scoring: &ScoringInputs) -> Result<RunSource, Error> {
    let shard = |shard: &PlannedShard| RunShard {
        path: shard.path.clone(),
        id: shard.id.clone(),
        bytes: shard.bytes,
        etag: shard.etag.clone(),
        units: shard.units.clone(),
    };
    Ok(RunSource {
        name: source.name.clone(),
        text: source.columns.text.clone(),
        labels: labels(source),
        fingerprint: scoring.fingerprint(&source.columns.text)?,
        shards: source.shards.iter().map(shard).collect(),
        skipped: source.skipped.clone(),
    })
}

/// Returns where the ids and domains of a planned source come from.
#[must_use]
pub fn labels(source: &PlannedSource) -> Labels {
    let (domain_column, domain_value) = match &source.columns.domain {
        Domain::Column(name) => (Some(name.clone()), None),
        Domain::Constant(value) => (None, Some(value.clone())),
    };
    Labels { id_column: source.columns.id.clone(), domain_column, domain_value }
}

/// Replaces where the ids and domains of `run` come from by what `plan` says.
#[must_use]
pub fn with_labels_of(mut run: RunFile, plan: &Plan) -> RunFile {
    for source in &mut run.sources {
        if let Some(planned) = plan.sources.iter().find(|planned| planned.name == source.name) {
            source.labels = labels(planned);
        }
    }
    run
}

/// Takes the shards out of `plan` that `run` skipped, which may have turned out unreadable only while they were scored.
#[must_use]
pub fn without_skipped(mut plan: Plan, run: &RunFile) -> Plan {
    for source in &mut plan.sources {
        if let Some(run_source) = run.sources.iter().find(|run_source| run_source.name == source.name) {
            source.shards.retain(|shard| run_source.skipped.iter().all(|skipped| skipped.path != shard.path));
        }
    }
    plan
}

#[cfg(test)]
mod tests {
    use headwater_corpus::SourceConfig;
    use headwater_model::Concurrency;
    use headwater_record::run::SkippedShard;

    use super::*;
    use crate::fake::{Corpus, FakeEngine, scorer};

    #[test]
    fn a_run_is_described_as_it_is_planned() {
        let corpus = Corpus::of_texts(&[&["good", "word"], &["four"]], 1);
        let engine = FakeEngine::new(Concurrency::Batch { tokens: 1 });
        let run = corpus.run_file(&scorer(&engine));
        let [source] = &run.sources[..] else { panic!("there is one source") };
        let planned = &corpus.plan.sources[0];
        let units: Vec<_> = planned.shards.iter().map(|shard| shard.units.clone()).collect();
        assert_eq!(source.shards.iter().map(|shard| shard.units.clone()).collect::<Vec<_>>(), units);
        assert_eq!(source.labels.to_string(), "id id, domain domain");
        assert_eq!((run.scoring.window_tokens, run.scoring.min_tokens), (4, 2));

        let other = corpus.plan_as(&SourceConfig {
            id: String::new(),
            domain_value: Some("all".to_owned()),
            ..corpus.source.clone()
        });
        let relabelled = with_labels_of(run.clone(), &other);
        assert_eq!(relabelled.sources[0].labels.to_string(), "id none, domain none (all `all`)");
        assert_eq!(relabelled.sources[0].fingerprint, run.sources[0].fingerprint);
    }

    #[test]
    fn skipped_shards_leave_the_plan() {
        let corpus = Corpus::of_texts(&[&["good"], &["word"]], 1);
        let engine = FakeEngine::new(Concurrency::Batch { tokens: 1 });
        let mut run = corpus.run_file(&scorer(&engine));
        assert_eq!(without_skipped(corpus.plan.clone(), &run).sources[0].shards.len(), 2);
        let skipped = SkippedShard { path: "000.parquet".to_owned(), reason: "it is torn".to_owned() };
        run.sources[0].skipped.push(skipped);
        let plan = without_skipped(corpus.plan.clone(), &run);
        assert_eq!(plan.sources[0].shards.iter().map(|shard| shard.path.as_str()).collect::<Vec<_>>(), ["001.parquet"]);
        run.sources.clear();
        assert_eq!(without_skipped(corpus.plan.clone(), &run).sources[0].shards.len(), 2);
    }
}
