//! Missing artefacts, each with the command that makes it, and warnings.

use headwater_record::Status;
use headwater_record::selection::Correction;
use headwater_record::stability::Decision;
use maud::{Markup, html};

use super::PageInputs;
use super::inputs::MOST_PASSES;
use crate::escape::{name, named};
use crate::numbers::{correlation, counted, grouped, percent, times_read};

/// Unusable rows that a run may have unless its pipeline says otherwise.
const MOST_REJECTS: f64 = 0.01;

/// Share of the variance of influence above which nuisances are worth a warning.
const HIGH_R2: f64 = 0.5;

/// The boxes at the top of the page; nothing if there is nothing to say.
pub(super) fn notes(inputs: &PageInputs<'_>) -> Markup {
    let (missing, warnings) = (missing(inputs), warnings(inputs));
    html! {
        @if !warnings.is_empty() {
            aside.note.warning aria-labelledby="warnings-title" {
                h2 id="warnings-title" { "Warnings" }
                ul { @for warning in &warnings { li { bdi { (warning) } } } }
            }
        }
        @if !missing.is_empty() {
            aside.note.missing aria-labelledby="missing-title" {
                h2 id="missing-title" { "Not there yet" }
                ul { @for (what, command) in &missing { li { (what) ": " code { (named(command)) } } } }
            }
        }
    }
}

fn missing(inputs: &PageInputs<'_>) -> Vec<(String, String)> {
    let units = inputs.profile.filter(|profile| profile.scored_units < profile.planned_units);
    let partial = units.map(|profile| {
        let left = profile.planned_units - profile.scored_units;
        let what = format!(
            "{} of {} are not scored; all below is about the rest",
            counted(left, "unit"),
            grouped(profile.planned_units)
        );
        (what, inputs.command("score"))
    });
    let all = [
        (inputs.run.is_none(), "No run has begun", "score"),
        (inputs.heads.is_none(), "No retrieval heads", "heads"),
        (inputs.profile.is_none(), "No scores", "score"),
        (inputs.selection.is_none(), "Not selected yet", "select"),
        (inputs.mixture.is_none(), "No mixture", "select"),
        (inputs.schedule.is_none(), "No learning-rate schedule", "recipe"),
        (inputs.metrics.is_none(), "No times", "run"),
    ];
    let absent = all.into_iter().filter(|(is_missing, ..)| *is_missing);
    partial.into_iter().chain(absent.map(|(_, what, stage)| (what.to_owned(), inputs.command(stage)))).collect()
}

fn warnings(inputs: &PageInputs<'_>) -> Vec<String> {
    let own = [
        rejects(inputs),
        skipped(inputs),
        weak_heads(inputs),
        unstable_heads(inputs),
        other_heads(inputs),
        other_selection(inputs),
        nuisances(inputs),
        passes(inputs),
    ];
    own.into_iter().flatten().chain(inputs.warnings.iter().map(|warning| name(warning))).collect()
}

fn rejects(inputs: &PageInputs<'_>) -> Option<String> {
    let statuses = inputs.statuses()?;
    let unusable: u64 = Status::UNUSABLE.iter().filter_map(|status| statuses.get(status.as_str())).sum();
    let share = unusable as f64 / statuses.values().sum::<u64>() as f64;
    let most = inputs.setting("/score/max_rejects").and_then(serde_json::Value::as_f64).unwrap_or(MOST_REJECTS);
    let rows = counted(unusable, "row");
    (share > most).then(|| {
        let (share, most) = (percent(share), most);
        format!("{rows} ({share}) could not be used: above [score] max_rejects = {most}, so the run exits with 2; rejects.parquet lists them.")
    })
}

fn skipped(inputs: &PageInputs<'_>) -> Option<String> {
    let skipped: usize = inputs.run?.sources.iter().map(|source| source.skipped.len()).sum();
    let be = if skipped == 1 { "was" } else { "were" };
    let shards = counted(skipped as u64, "shard");
    (skipped > 0)
        .then(|| format!("{shards} {be} unreadable and skipped, so the run exits with 2; Provenance has the reasons."))
}

fn weak_heads(inputs: &PageInputs<'_>) -> Option<String> {
    let health = inputs.heads?.health.as_ref().filter(|health| !health.healthy)?;
    Some(format!(
        "The head set is not healthy: masking it takes accuracy from {} to {}. Influence may say little about retrieval.",
        percent(health.intact_accuracy),
        percent(health.masked_accuracy)
    ))
}

fn unstable_heads(inputs: &PageInputs<'_>) -> Option<String> {
    let stability = inputs.heads?.search.as_ref()?.stability.as_ref()?;
    (stability.decision == Decision::NotStable).then(|| {
        let used = stability.used();
        format!(
            "The head set is {used}: other probes may give other heads. More probes ([heads] probes) make it surer."
        )
    })
}

fn other_heads(inputs: &PageInputs<'_>) -> Option<String> {
    let (heads, scoring) = (inputs.heads?, &inputs.run?.scoring);
    let is_other = heads.heads != scoring.heads || heads.weights.is_some_and(|weights| weights != scoring.weights);
    is_other.then(|| "heads.json is not the head set that the scores were made with.".to_owned())
}

/// The figures are of what the pipeline would select now; of a run that is not scored whole that is another anyway.
fn other_selection(inputs: &PageInputs<'_>) -> Option<String> {
    let (selection, profile) = (inputs.selection?, inputs.profile?);
    let is_whole = profile.scored_units == profile.planned_units;
    (is_whole && selection.hash != profile.selection).then(|| {
        let (made, shown) = (name(&selection.rank), name(&profile.rank));
        format!(
            "The pipeline was changed since the selection was made (by {made}): the table of domains and the mixture are of that selection, but \
             distributions and samples show what the pipeline would select now (by {shown}). Select again."
        )
    })
}

/// A run that reads some part again and again.
fn passes(inputs: &PageInputs<'_>) -> Option<String> {
    let (part, passes) = inputs.mixture?.most_read().filter(|(_, passes)| *passes > MOST_PASSES)?;
    Some(format!(
        "Training would read each token of “{}” {} times: beyond about four passes, repeated tokens are worth little. Keep more, give that part less \
         weight, or train on fewer tokens ([recipe] tokens).",
        name(part),
        times_read(passes)
    ))
}

/// What a nuisance is called here.
fn nuisance(name: &str) -> &str {
    match name {
        "loss_base" => "base loss",
        "scored_tokens" => "length",
        "copied" => "copying",
        other => other,
    }
}

/// Influence that mostly follows its nuisances is worth a word, unless the selection corrects for them.
fn nuisances(inputs: &PageInputs<'_>) -> Option<String> {
    let profile = inputs.profile.filter(|profile| profile.rank == "influence")?;
    let fits: Vec<&Correction> = profile.domains.iter().filter_map(|domain| domain.correction.as_ref()).collect();
    let high: Vec<f64> = fits.iter().map(|fit| fit.r2_before).filter(|r2| *r2 > HIGH_R2).collect();
    let highest = high.iter().copied().fold(0.0, f64::max);
    let named: Vec<&str> = fits.first()?.nuisances.iter().map(|of| nuisance(&of.name)).collect();
    let (last, others) = named.split_last()?;
    let named = if others.is_empty() { (*last).to_owned() } else { format!("{} and {last}", others.join(", ")) };
    (!high.is_empty()).then(|| {
        format!(
            "More than half of influence follows {named} in {} shown (R² up to {}): compare what rank = \"corrected\" keeps.",
            counted(high.len() as u64, "domain"),
            correlation(highest)
        )
    })
}
