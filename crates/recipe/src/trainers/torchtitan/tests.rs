use headwater_schedule::{Kind, WsdSteps};
use headwater_select::SelectedWeight;
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::recipe::tests::{Given, text};
use crate::{Error, Preset, export_schedule};

fn given() -> Given {
    let mut given = Given::paper();
    given.config.trainers = vec![Trainer::Torchtitan];
    given
}

fn config(given: &Given) -> Value {
    toml::from_str(&text(&given.recipes().unwrap(), CONFIG)).unwrap()
}

fn values(given: &Given) -> Value {
    serde_json::from_str(&text(&given.recipes().unwrap(), VALUES)).unwrap()
}

fn wsd((steps, warmup_steps, decay_steps): (u64, u64, u64), curve: Curve, floor: f64) -> Schedule {
    Schedule::wsd(WsdSteps { steps, warmup_steps, decay_steps }, curve, 4e-4, floor).unwrap()
}

/// torchtitan's own rate of update `step`: `components/lr_scheduler.py`.
fn own_rate(keys: &LrScheduler, peak: f64, step: u64) -> f64 {
    let total = keys.total_steps;
    let decay = (total as f64 * keys.decay_ratio).round();
    let stable = (total + 1 - keys.warmup_steps) as f64 - decay;
    if step < keys.warmup_steps {
        return peak * ((step + 1) as f64 / keys.warmup_steps as f64);
    }
    let until = keys.warmup_steps as f64 + stable;
    if (step as f64) < until {
        return peak;
    }
    let progress = (step as f64 + 1.0 - until) / decay;
    let left = match keys.decay_type {
        "linear" => 1.0 - progress,
        "sqrt" => 1.0 - progress.sqrt(),
        "cosine" => 0.5 * (1.0 + (std::f64::consts::PI * progress).cos()),
        other => panic!("torchtitan has no {other}"),
    };
    peak * (keys.min_lr_factor + (1.0 - keys.min_lr_factor) * left)
}

#[test]
fn paper_plan_in_torchtitans_keys() {
    let config = config(&given());
    let schedule = &config["lr_scheduler"];
    assert_eq!((&schedule["warmup_steps"], &schedule["total_steps"]), (&119.into(), &119_209.into()));
    assert_eq!(schedule["decay_ratio"], 29_802.0 / 119_209.0);
    assert_eq!((&schedule["decay_type"], &schedule["min_lr_factor"]), (&"sqrt".into(), &0.0.into()));
    let training = &config["training"];
    assert_eq!((&training["steps"], &training["dataset"]), (&119_209.into(), &"headwater_1".into()));
    assert_eq!((&training["local_batch_size"], &training["global_batch_size"]), (&2.into(), &1024.into()));
    assert_eq!(config["optimizer"]["lr"], 4e-4);
    assert_eq!(config["parallelism"]["tensor_parallel_degree"], 2);
    assert!(config["parallelism"].get("pipeline_parallel_microbatch_size").is_none());
}

#[test]
fn the_module_reads_shape_documents_and_chances() {
    let values = values(&given());
    assert_eq!((&values["model"]["hidden_dim"], &values["model"]["dim"]), (&13_312.into(), &4096.into()));
    assert_eq!(values["parts"][0]["sources"][0]["data_files"][0], "s3://bucket/web/*.parquet");
    assert_eq!(values["parts"][1]["sources"][0]["text"], "content");
    let parts = &values["datasets"][0]["parts"];
    let chance = |part: usize| parts[part]["probability"].as_f64().unwrap();
    assert!((chance(0) - 1000.0 / 1200.0).abs() < 1e-12 && (chance(1) - 200.0 / 1200.0).abs() < 1e-12);
    for key in ["init_std", "seed", "shuffle_documents"] {
        assert!(MODULE_TEXT.contains(&format!("RECIPE[\"{key}\"]")) && values.get(key).is_some(), "{key}");
    }
}

#[test]
fn a_mixture_of_the_decays_own_takes_two_commands() {
    let mut given = given();
    assert!(!text(&given.recipes().unwrap(), CONFIG).contains("--training.dataset"));
    given.mixture.decay = Some(SelectedWeight::Weight(0.6));
    let datasets = &values(&given)["datasets"];
    assert_eq!((&datasets[0]["steps"], &datasets[1]["start_step"]), (&89_407.into(), &89_407.into()));
    let header = text(&given.recipes().unwrap(), CONFIG);
    assert!(header.contains("--training.dataset headwater_1 --training.steps 89407\n"), "{header}");
    assert!(
        header.contains("--training.dataset headwater_2 --checkpoint.exclude_from_loading dataloader\n"),
        "{header}"
    );
}

#[test]
fn warm_up_is_a_step_ahead_and_the_header_says_so() {
    let recipes = given().recipes().unwrap();
    assert!(text(&recipes, CONFIG).contains("differ from schedule.csv by at most 8.403e-3 of the peak"));
    let expected = text(&recipes, "recipe/torchtitan/expected_lr.csv");
    assert!(expected.starts_with(&format!("step,lr\n1,{:?}\n", 4e-4 / 119.0)), "{expected}");
}

#[test]
fn a_pipeline_takes_a_batch_at_once() {
    let mut given = given();
    let mut preset = Preset::named("llama-7b").unwrap();
    (preset.machines.pipeline_parallel, preset.machines.tensor_parallel) = (4, 1);
    given.preset = Some(preset);
    let config = config(&given);
    // 1,024 sequences over 256 / 4 replicas
    assert_eq!(config["training"]["local_batch_size"], 16);
    assert_eq!(config["parallelism"]["pipeline_parallel_microbatch_size"], 2);
    given.config.batch_sequences = Some(1000);
    assert!(matches!(given.recipes().unwrap_err(), Error::Batch { share: 128, .. }));
}

#[test]
fn tied_embeddings_are_said_to_be_untied() {
    let mut given = given();
    given.config.preset = Some("llama-135m".to_owned());
    let preset = Preset::named("llama-135m").unwrap();
    assert!(preset.model.tied_embeddings);
    assert!(text(&given.recipes().unwrap(), CONFIG).contains("cannot tie the embeddings"));
}

#[test]
fn a_branch_needs_a_plateau() {
    let mut given = given();
    let is_told = |given: &Given| text(&given.recipes().unwrap(), CONFIG).contains("For another decay");
    assert!(is_told(&given));
    given.schedule.kind = Kind::Linear;
    assert!(!is_told(&given));
}

#[test]
fn what_it_cannot_say_it_does_not_express() {
    assert!(!Torchtitan.supports(&wsd((100, 10, 20), Curve::OneMinusSquare, 0.0)));
    // without a decay its shape does not matter
    let constant = wsd((100, 10, 0), Curve::OneMinusSquare, 0.0);
    assert!(Torchtitan.supports(&constant));
    assert_eq!(lr_scheduler(&constant).decay_type, "linear");
    let points = Schedule::new(
        headwater_schedule::Frame { steps: 10, warmup_steps: 0, peak_lr: 1.0, floor: 0.0 },
        Form::Points(vec![
            headwater_schedule::Point { step: 0.0, multiplier: 0.0 },
            headwater_schedule::Point { step: 10.0, multiplier: 1.0 },
        ]),
    );
    assert!(!Torchtitan.supports(&points.unwrap()));
}

#[test]
fn exports_its_keys_alone() {
    let export = export_schedule(&wsd((100, 10, 20), Curve::OneMinusSqrt, 0.1), Trainer::Torchtitan).unwrap();
    let keys: Value = toml::from_str(&export.keys).unwrap();
    assert_eq!((&keys["lr_scheduler"]["decay_ratio"], &keys["training"]["steps"]), (&0.2.into(), &100.into()));
    assert_eq!(keys.as_object().unwrap().len(), 3);
    assert!(export.keys.starts_with("# Steps: torchtitan"), "{}", export.keys);
}

proptest! {
    #[test]
    fn torchtitan_makes_of_its_keys_the_rates_that_the_table_has(
        steps in 1_u64..3000, warmup in 0.0..=1.0, decay in 0.0..=1.0, floor in 0.0..=1.0, curve in 0_usize..3,
    ) {
        let warmup_steps = whole_part(steps, warmup);
        let decay_steps = whole_part(steps - warmup_steps, decay);
        let schedule = wsd((steps, warmup_steps, decay_steps), Torchtitan.decay_curves()[curve], floor);
        let keys = lr_scheduler(&schedule);
        for step in 0..steps {
            let (own, ours) = (own_rate(&keys, 4e-4, step), Torchtitan.rate(&schedule, step));
            prop_assert!((own - ours).abs() <= 1e-13, "update {}: {} and {}", step, own, ours);
        }
    }
}

fn whole_part(steps: u64, share: f64) -> u64 {
    headwater_schedule::length::whole_number((steps as f64 * share).round(), "steps").unwrap()
}
