use headwater_schedule::{Kind, Length, Shape, WsdSteps};
use headwater_select::SelectedWeight;
use serde_json::{Value, json};

use super::*;
use crate::recipe::tests::{Given, text};
use crate::{Preset, export_schedule};

fn given() -> Given {
    let mut given = Given::paper();
    given.config.trainers = vec![crate::Trainer::OlmoCore];
    given
}

fn config(given: &Given) -> Value {
    serde_saphyr::from_str(&text(&given.recipes().unwrap(), CONFIG)).unwrap()
}

fn stages(given: &Given) -> Vec<Value> {
    config(given)["train_module"]["scheduler"]["stages"].as_array().unwrap().clone()
}

fn stage(duration: u64, shape: &str, start: f64, end: f64) -> Value {
    json!({"duration": duration, "shape": shape, "start_lr_fraction": start, "end_lr_fraction": end})
}

#[test]
fn paper_plan_in_olmo_cores_keys() {
    let given = given();
    let config = config(&given);
    assert_eq!(config["trainer"]["max_duration"], json!({"value": 119_209, "unit": "steps"}));
    assert_eq!(config["data_loader"]["global_batch_size"], 8_388_608);
    assert_eq!(config["train_module"]["rank_microbatch_size"], 16_384);
    assert_eq!(config["train_module"]["optim"]["lr"], 4e-4);
    assert_eq!(config["model"]["block"]["sequence_mixer"]["rope"]["theta"], 10_000);
    assert_eq!(config["trainer"]["callbacks"]["checkpointer"]["fixed_steps"], json!([89_407]));
    assert!(config["trainer"]["callbacks"]["checkpointer"]["max_checkpoints"].is_null());
    let stages = stages(&given);
    assert_eq!(
        stages[..3],
        [stage(1, "linear", 0.0, 0.0), stage(119, "linear", 0.0, 1.0), stage(89_288, "linear", 1.0, 1.0)]
    );
    let lasts: u64 = stages.iter().map(|stage| stage["duration"].as_u64().unwrap()).sum();
    assert_eq!(lasts, 119_210);
    assert!((50..=200).contains(&stages.len()), "{}", stages.len());
    let header = text(&given.recipes().unwrap(), CONFIG);
    assert!(header.contains("OLMo-core has no 1-sqrt decay of a stable phase"), "{header}");
    assert!(header.contains("straight lines.") && header.contains("differ from schedule.csv by at most"), "{header}");
}

#[test]
fn corners_of_a_schedule() {
    let mut given = given();
    given.config.tokens = 100.0 * 8_388_608.0;
    let mut of = |warmup, decay, shape, floor| {
        given.schedule.warmup = Some(Length::Steps(warmup));
        given.schedule.decay = Some(Length::Steps(decay));
        (given.schedule.shape, given.schedule.floor) = (Some(shape), Some(floor));
        stages(&given)
    };
    assert_eq!(of(0, 0, Shape::Linear, 0.1), [stage(1, "linear", 1.0, 1.0), stage(100, "linear", 1.0, 1.0)]);
    assert_eq!(of(0, 100, Shape::Cosine, 0.1), [stage(1, "linear", 1.0, 1.0), stage(100, "cosine", 1.0, 0.1)]);
    assert_eq!(
        of(40, 60, Shape::Linear, 0.0),
        [stage(1, "linear", 0.0, 0.0), stage(40, "linear", 0.0, 1.0), stage(60, "linear", 1.0, 0.0)]
    );
    assert_eq!(of(100, 0, Shape::OneMinusSqrt, 0.0), [stage(1, "linear", 0.0, 0.0), stage(100, "linear", 0.0, 1.0)]);
}

#[test]
fn logs_the_rates_of_the_schedule_from_the_first_update_on() {
    let phases = WsdSteps { steps: 100, warmup_steps: 10, decay_steps: 20 };
    let schedule = Schedule::wsd(phases, Curve::Linear, 4e-4, 0.1).unwrap();
    let export = export_schedule(&schedule, crate::Trainer::OlmoCore).unwrap();
    assert!(export.expected_lr.starts_with("step,lr\n1,0.0\n2,4e-5\n"), "{}", export.expected_lr);
    assert!(export.keys.contains("# Learning rates: those of schedule.csv, update by update.\n"), "{}", export.keys);
    let keys: Value = serde_saphyr::from_str(&export.keys).unwrap();
    assert_eq!(keys["train_module"]["scheduler"]["stages"].as_array().unwrap().len(), 4);
    assert_eq!(keys["trainer"]["max_duration"]["value"], 100);
}

#[test]
fn schedules_of_pieces_are_expressed_and_curves_become_lines() {
    let mut given = given();
    let is_exact = |given: &Given| !text(&given.recipes().unwrap(), CONFIG).contains("this is the nearest");
    for (kind, exact) in [
        (Kind::Linear, true),
        (Kind::Cosine, true),
        (Kind::MultiStep, true),
        (Kind::Constant, true),
        (Kind::InverseSqrt, false),
        (Kind::Power, false),
    ] {
        given.schedule.kind = kind;
        assert_eq!(is_exact(&given), exact, "{kind:?}");
    }
}

#[test]
fn stages_of_the_data_are_whole_batches_and_share_no_sequence() {
    let mut given = given();
    given.mixture.decay = Some(SelectedWeight::Weight(0.6));
    let dataset = config(&given)["dataset"].clone();
    let mut taken = [0, 0];
    for (stage, steps) in [(0, 89_407), (1, 29_802)] {
        let parts = dataset[stage]["sources"].as_array().unwrap();
        let counts: Vec<u64> = parts
            .iter()
            .map(|split| {
                assert_eq!(split["idx"], stage);
                let all = split["source"]["max_instances"].as_u64().unwrap();
                // OLMo-core: int(ratio * all)
                let first =
                    format!("{:.0}", (split["ratio"].as_f64().unwrap() * all as f64).floor()).parse::<u64>().unwrap();
                if stage == 0 { first } else { all - first }
            })
            .collect();
        assert_eq!(counts.iter().sum::<u64>(), steps * 1024);
        taken = [taken[0] + counts[0], taken[1] + counts[1]];
    }
    for (part, all) in taken.into_iter().enumerate() {
        assert_eq!(dataset[0]["sources"][part]["source"]["max_instances"], all);
        assert_eq!(dataset[0]["sources"][part]["source"], dataset[1]["sources"][part]["source"]);
    }
    let header = text(&given.recipes().unwrap(), CONFIG);
    assert!(header.contains("The data changes at step 89407"), "{header}");
}

#[test]
fn a_part_that_one_stage_reads_is_not_split() {
    let mut given = given();
    given.mixture.selected = SelectedWeight::Weight(0.0);
    given.mixture.decay = Some(SelectedWeight::Weight(0.5));
    let dataset = config(&given)["dataset"].clone();
    assert_eq!(dataset[0]["sources"].as_array().unwrap().len(), 1);
    let selected = &dataset[1]["sources"][1];
    assert_eq!(selected["max_instances"], 29_802 * 512);
    assert_eq!(selected["sources"][0]["label"], "selected");
    assert!(dataset[1]["sources"][0]["_CLASS_"].as_str().unwrap().ends_with("SplitInstanceSourceConfig"));
}

#[test]
fn one_stage_draws_once() {
    let config = config(&given());
    let parts = config["dataset"][0]["sources"].as_array().unwrap();
    assert_eq!((config["dataset"].as_array().unwrap().len(), parts.len()), (1, 2));
    let documents = &parts[0]["sources"][0]["sources"][0];
    assert_eq!(documents["source_paths"], json!(["s3://bucket/run/tokens/corpus/olmo/*.npy"]));
    assert_eq!(documents["dtype"], "uint16");
    assert_eq!((&parts[0]["seed"], &parts[1]["seed"]), (&7.into(), &8.into()));
}

#[test]
fn large_vocabularies_and_fractions_of_a_theta() {
    let mut given = given();
    let mut preset = Preset::named("llama-7b").unwrap();
    preset.model.vocab_size = 1 << 17;
    given.preset = Some(preset.clone());
    let source = &config(&given)["dataset"][0]["sources"][0]["sources"][0]["sources"][0];
    assert_eq!((&source["dtype"], &source["tokenizer"]["vocab_size"]), (&"uint32".into(), &(1 << 17).into()));
    preset.model.rope_theta = 10_000.5;
    given.preset = Some(preset);
    let error = given.recipes().unwrap_err().to_string();
    assert!(error.contains("model.rope_theta is 10000.5"), "{error}");
}

#[test]
fn every_device_is_a_replica() {
    let mut given = given();
    given.config.batch_sequences = Some(768);
    let error = given.recipes().unwrap_err().to_string();
    assert!(error.contains("devices 256 × micro_batch 2"), "{error}");
}
