//! What a trial came to, for people.

use headwater_record::TokenCount;
use headwater_train::Precision;
use headwater_trial::{Comparison, JudgedArm, Judgement, TrialFile, reach};

use super::format::duration;
use super::table::{Column, drawn};
use crate::stages::trial::{FLOOR_VERDICT, TrialForecast, TrialSummary};

/// Passes over a domain's text from which on it is said to be repeated.
const REPEATED: f64 = 1.1;

/// Operations a second of a device that the runs are not trained on here: a third of what an A100 does at most, in bf16, and a tenth of an H100's.
const GPU_OPERATIONS: f64 = 1e14;

/// What a trial would take and what it could see.
#[must_use]
pub fn trial_forecast(forecast: &TrialForecast) -> String {
    let TrialForecast { arms, runs, parameters, run_tokens, steps, run_flops, sensitivity, .. } = forecast;
    let mut text = format!(
        "{runs} runs: {} under {} seeds each\n{} parameters, {} tokens and {steps} steps a run: {run_flops:.1e} operations\n",
        arms.join(", "),
        sensitivity.seeds,
        TokenCount(*parameters),
        TokenCount(*run_tokens),
    );
    text.push_str(&match forecast.hours.zip(forecast.tokens_per_second) {
        Some((hours, speed)) => {
            let products = match (forecast.precision, forecast.bf16_hours) {
                (Precision::F32, None) => String::new(),
                (Precision::F32, Some(hours)) => {
                    format!("; {} with products in bfloat16 (`--set trial.precision=bf16`)", duration(hours))
                }
                (Precision::Bf16, _) if Precision::Bf16.is_native() => " with products in bfloat16".to_owned(),
                (Precision::Bf16, _) => {
                    " with products in bfloat16, which this processor does not multiply: float32 is faster here".to_owned()
                }
            };
            format!("{} on this machine, at {speed:.0} tokens a second{products}\n", duration(hours))
        }
        None => {
            let operations = run_flops * *runs as f64;
            let hours = duration(operations / GPU_OPERATIONS / 3600.0);
            format!("{operations:.1e} operations in all, computed: {hours} on one device that does 10¹⁴ a second; on models as small as these a device does fewer\n")
        }
    });
    match (sensitivity.detectable_sd, sensitivity.seeds_needed) {
        (Some(effect), _) => text.push_str(&format!(
            "it finds, with a probability of 80 %, a difference of {effect:.2} standard deviations of what differs between two arms under one seed\n"
        )),
        (None, Some(needed)) => text.push_str(&format!(
            "so few seeds lead to no verdict, whatever the losses: {} arms need {needed} seeds (`trial.seeds`)\n",
            sensitivity.arms
        )),
        (None, None) => text.push_str("so many arms cannot be told from the control by any number of seeds: try fewer\n"),
    }
    text.push_str(&reach(*run_flops));
    text.push('\n');
    text
}

/// The verdict on every arm, or how far the trial is.
#[must_use]
pub fn trial(summary: &TrialSummary, width: usize) -> String {
    let TrialSummary { folder, runs, planned, program, trial } = summary;
    let Some(trial) = trial else {
        if let Some(program) = program {
            let is_in_store = program.contains("://");
            let store = if is_in_store {
                "with a copy of its folder, of which the folder `runs` is copied back,\n"
            } else {
                ""
            };
            return format!(
                "{runs} of {planned} runs are collected, in {folder}\nthe others are trained where PyTorch is, all or a part each, by\n    python {program} [--part I/N]\n{store}and then judged by `headwater trial --collect` with the same pipeline and settings\n"
            );
        }
        return format!(
            "{runs} of {planned} runs are done, in {folder}; the same command trains those that are missing and judges all\n"
        );
    };
    let mut text = format!(
        "{} runs, {} held-out documents of {} bytes; bits per byte, lower is better\n",
        trial.runs,
        trial.plan.held_out.documents,
        TokenCount(trial.plan.held_out.bytes)
    );
    text.push_str(&drawn(verdicts(trial), width));
    text.push('\n');
    let sensitivity = &trial.judgement.sensitivity;
    if sensitivity.detectable_sd.is_none() {
        let needed = sensitivity.seeds_needed.map_or_else(|| "fewer arms".to_owned(), |seeds| format!("{seeds} seeds"));
        text.push_str(&format!("so few seeds lead to no verdict, whatever the losses: it takes {needed}\n"));
    }
    if trial.plan.domains.len() > 1 {
        text.push_str("difference from random by domain, bits per byte, no test\n");
        text.push_str(&drawn(domains(trial), width));
        text.push('\n');
    }
    let often = trial.plan.domains.iter().map(|domain| domain.passes).fold(0.0, f64::max);
    if often >= REPEATED {
        text.push_str(&format!(
            "every arm repeats its texts, up to {often:.1} times: a larger corpus or fewer `trial.tokens` would not\n"
        ));
    }
    text.push_str(&reach(trial.plan.run_flops()));
    text.push_str(&format!("\n{folder} has the plan, every run's losses and log, and a model of each arm\n"));
    text
}

fn verdicts(trial: &TrialFile) -> Vec<Column> {
    let Judgement { arms, floor, .. } = &trial.judgement;
    let floor_name = trial.plan.design.floor.as_deref();
    let control = arms.first().map(|arm| arm.comparison.control_mean);
    /// A line of the table: an arm, its comparison if it has one, and its verdict.
    struct Line<'a> {
        arm: &'a str,
        mean: f64,
        comparison: Option<&'a Comparison>,
        judged: Option<&'a JudgedArm>,
    }
    let mut lines: Vec<Line<'_>> = Vec::new();
    lines.extend(control.map(|mean| Line { arm: &trial.plan.design.control, mean, comparison: None, judged: None }));
    if let (Some(floor), Some(arm)) = (floor, &trial.plan.design.floor) {
        lines.push(Line { arm, mean: floor.arm_mean, comparison: Some(floor), judged: None });
    }
    lines.extend(arms.iter().map(|judged| Line {
        arm: &judged.arm,
        mean: judged.comparison.arm_mean,
        comparison: Some(&judged.comparison),
        judged: Some(judged),
    }));
    let before = |arm: &str| trial.before_decay.as_ref()?.comparison_of(arm, floor_name);
    let numbers = |header: &str, cell: &dyn Fn(&Line<'_>) -> Option<String>| {
        Column::numbers(header, lines.iter().map(|line| cell(line).unwrap_or_else(|| "–".to_owned())).collect())
    };
    vec![
        Column::names("arm", lines.iter().map(|line| line.arm.to_owned()).collect()),
        numbers("loss", &|line| Some(format!("{:.4}", line.mean))),
        numbers("difference\nfrom random", &|line| Some(format!("{:+.4}", line.comparison?.mean_difference))),
        numbers("95 %\ninterval", &|line| {
            let interval = line.comparison?.t_interval;
            Some(format!("{:+.4} to {:+.4}", interval.low, interval.high))
        }),
        numbers("p, of all\narms", &|line| Some(format!("{:.3}", line.judged?.holm_p))),
        numbers("verdict", &|line| {
            line.judged
                .map(|judged| judged.verdict.as_str().to_owned())
                .or_else(|| line.comparison.map(|_| FLOOR_VERDICT.to_owned()))
        }),
        numbers("smallest that\nwould be found", &|line| Some(format!("{:.4}", line.judged?.smallest_detectable?))),
        numbers("before the\ndecay", &|line| Some(format!("{:+.4}", before(line.arm)?.mean_difference))),
    ]
}

fn domains(trial: &TrialFile) -> Vec<Column> {
    let control = &trial.plan.design.control;
    let arms: Vec<&str> = trial.plan.arms().filter(|arm| arm != control).collect();
    let names = trial.plan.domains.iter().map(|domain| domain.domain.clone()).collect();
    let mut columns = vec![Column::names("domain", names)];
    columns.extend(arms.into_iter().map(|arm| {
        let of = |domain: &str| trial.domains.iter().find(|loss| loss.domain == domain && loss.arm == arm);
        let cells =
            trial.plan.domains.iter().map(|domain| {
                of(&domain.domain).map_or_else(|| "–".to_owned(), |loss| format!("{:+.4}", loss.difference))
            });
        Column::numbers(super::printable(arm), cells.collect())
    }));
    columns
}
