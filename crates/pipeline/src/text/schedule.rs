//! Schedules.

use headwater_recipe::CheckpointGap;
use headwater_record::TokenCount;
use headwater_schedule::{ScheduleRow, ScheduleSummary};
use headwater_select::SelectedWeight;

use super::table::{Column, drawn};
use crate::schedules::{Branch, ComparedSchedules, RefinedSchedule, ShownSchedule};

/// A schedule: size, sparkline, and the learning rate at some steps in a table of at most `width` characters.
#[must_use]
pub fn shown_schedule(shown: &ShownSchedule, width: usize) -> String {
    let ScheduleSummary { kind, steps, tokens_per_step, peak_lr, mean, rows } = &shown.summary;
    let (steps, tokens) = (TokenCount(*steps), TokenCount(*tokens_per_step));
    let numbers =
        |header: &str, number: fn(&ScheduleRow) -> String| Column::numbers(header, rows.iter().map(number).collect());
    let columns = vec![
        numbers("step", |row| TokenCount(row.step).to_string()),
        numbers("tokens", |row| TokenCount(row.tokens).to_string()),
        numbers("learning rate", |row| format!("{:.6e}", row.lr)),
        numbers("of peak", |row| format!("{:.4}", row.share_of_peak)),
        Column::names("phase", rows.iter().map(|row| row.phase.to_owned()).collect()),
    ];
    let head = format!("{kind}: {steps} steps of {tokens} tokens, peak {peak_lr:?}, mean {mean:.4} of the peak");
    format!("{head}\n{}\n{}\n", shown.sparkline, drawn(columns, width))
}

/// Several schedules: sparklines, and the learning rates at shares of the run in a table of at most `width` characters.
#[must_use]
pub fn compared_schedules(compared: &ComparedSchedules, width: usize) -> String {
    let comparison = &compared.comparison;
    let mut text = String::new();
    for ((number, schedule), sparkline) in (1..).zip(&comparison.schedules).zip(&compared.sparklines) {
        let (name, steps, peak) = (&schedule.name, schedule.steps, schedule.peak_lr);
        text.push_str(&format!("({number}) {name}: {steps} steps, peak {peak:?}\n    {sparkline}\n"));
    }
    let shares = comparison.rows.iter().map(|row| format!("{} %", row.percent)).chain(["mean".to_owned()]);
    let mut columns = vec![Column::numbers("of the run", shares.collect())];
    columns.extend((0..).zip(&comparison.schedules).map(|(at, schedule): (usize, _)| {
        let rates = comparison.rows.iter().map(|row| row.lrs[at]).chain([schedule.mean_lr]);
        Column::numbers(format!("({})", at + 1), rates.map(|rate| format!("{rate:.4e}")).collect())
    }));
    text + &drawn(columns, width) + "\n"
}

/// A branch: where to resume, how long to decay, on what data, and what to mind.
#[must_use]
pub fn branch(branch: &Branch) -> String {
    let plan = &branch.plan;
    let [resume, decay, end] = [plan.resume_step, plan.decay_steps, plan.end_step].map(TokenCount);
    let [resume_tokens, decay_tokens, end_tokens] =
        [plan.resume_tokens, plan.decay_tokens, plan.end_tokens].map(TokenCount);
    let data = match plan.selected {
        SelectedWeight::Concatenate => "corpus and selected, concatenated".to_owned(),
        SelectedWeight::Weight(weight) => format!("{weight} of the tokens selected"),
    };
    let changes = if plan.is_other_mixture { "" } else { ", as before: set [mixture] decay for another" };
    let mut lines = vec![
        plan.schedule.sparkline(plan.schedule.peak_lr()),
        format!("resume   after step {resume} ({resume_tokens} tokens) of the parent"),
        format!("decay    {decay} steps ({decay_tokens} tokens)"),
        format!("end      at step {end} ({end_tokens} tokens), learning rate {:?}", plan.end_lr),
        format!("data     from step {resume}: {data}{changes}"),
    ];
    lines.extend(plan.checkpoint.as_ref().map(checkpoint_note));
    lines.extend(branch.recipe_command.as_ref().map(|command| format!("recipe   {command}")));
    lines.join("\n") + "\n"
}

fn checkpoint_note(gap: &CheckpointGap) -> String {
    let advice = gap.nearest_step.map_or_else(
        || "none of them in the stable phase: save one there".to_owned(),
        |step| format!("the nearest in the stable phase after step {}: pass --at-step {step}", TokenCount(step)),
    );
    format!("note     preset {} saves a checkpoint every {} steps, {advice}", gap.preset, gap.every_steps)
}

/// How a schedule was made from norms, and what it is near to.
#[must_use]
pub fn refined_schedule(refined: &RefinedSchedule) -> String {
    let summary = &refined.summary;
    let told = [
        (summary.skipped, "lines without one"),
        (summary.repeated, "replaced by a later one of their step"),
        (summary.passed_over.map_or(0, |_| 1), "cut line at the end passed over"),
    ];
    let told: Vec<String> = told
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{} {what}", TokenCount(count)))
        .collect();
    let without = if told.is_empty() { String::new() } else { format!(" ({})", told.join(", ")) };
    let read = TokenCount(summary.read as u64);
    let (edges, infinite, near) = (summary.edges, summary.infinite, &summary.nearest);
    let (window, floored, floor) = (summary.window, summary.floored, summary.floor);
    let (steps, points, off) = (TokenCount(summary.steps as u64), summary.points, summary.points_worst);
    let column = if summary.column.is_empty() { "(unnamed)" } else { &summary.column };
    let (warmup, exponent, worst, rms) = (near.warmup, near.exponent, near.worst, near.rms);
    format!(
        "column    {column}\n\
         norms     {read} read{without}, {edges} dropped at each end, {infinite} infinite ones dropped\n\
         schedule  {steps} steps; a points table of it has {points} points and is off by {off:.4} of the peak at most\n\
         filter    median of {window} norms; {floored} raised to the floor of {floor} of the median\n\
         nearest   warm-up {warmup} of the run, then (1 − p)^{exponent}: off by {worst:.3} of the peak at most, {rms:.3} in the mean \
         square\n"
    )
}
