use std::collections::BTreeMap;

use headwater_record::selection::DomainSelection;
use headwater_record::{ContentHash, TokenCount};
use headwater_schedule::{Length, Shape};
use headwater_select::{MixtureConfig, SelectedWeight};
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::Error;

fn selection() -> SelectionFile {
    let domain = DomainSelection {
        domain: "web".to_owned(),
        documents: 1000,
        tokens: TokenCount(241_000_000_000),
        ranked_documents: 1000,
        ranked_tokens: TokenCount(241_000_000_000),
        fraction: 0.2,
        kept_documents: 200,
        kept_tokens: TokenCount(73_100_000_000),
        cut: None,
        highest: None,
        lowest: None,
    };
    SelectionFile {
        hash: ContentHash::of(b"selection"),
        rank: "influence".to_owned(),
        by: "documents".to_owned(),
        domains: vec![domain],
        statuses: BTreeMap::new(),
    }
}

struct Given {
    config: RecipeConfig,
    schedule: ScheduleConfig,
    selected: SelectedWeight,
    subset: String,
}

impl Given {
    fn paper() -> Self {
        let subset = format!("s3://bucket/run/selected/{}", selection().hash);
        Self {
            config: RecipeConfig::default(),
            schedule: ScheduleConfig::default(),
            selected: SelectedWeight::Concatenate,
            subset,
        }
    }

    fn recipes(&self) -> Result<Recipes> {
        let selection = selection();
        let mixture = Mixture::new(&selection, MixtureConfig { selected: self.selected }).unwrap();
        write_recipes(&RecipeInputs {
            config: &self.config,
            schedule: &self.schedule,
            mixture: &mixture,
            selection: &selection,
            subset: &self.subset,
            corpus: &[("web".to_owned(), vec!["s3://bucket/web/*.parquet".to_owned()])],
            seed: 7,
            is_sampled: false,
        })
    }
}

fn text(recipes: &Recipes, path: &str) -> String {
    let file = recipes.files.iter().find(|file| file.path == path).unwrap();
    String::from_utf8(file.bytes.clone()).unwrap()
}

fn nanotron(recipes: &Recipes) -> Value {
    serde_saphyr::from_str(&text(recipes, "recipe/nanotron/config.yaml")).unwrap()
}

fn hf(recipes: &Recipes, name: &str) -> Value {
    serde_json::from_str(&text(recipes, &format!("recipe/hf/{name}"))).unwrap()
}

#[test]
fn paper_plan_in_nanotrons_keys() {
    let recipes = Given::paper().recipes().unwrap();
    let config = nanotron(&recipes);
    let schedule = &config["optimizer"]["learning_rate_scheduler"];
    assert_eq!(config["tokens"]["train_steps"], 119_209);
    assert_eq!(config["tokens"]["batch_accumulation_per_replica"], 4);
    assert_eq!(schedule["learning_rate"], 4.0e-4);
    assert_eq!(schedule["lr_warmup_steps"], 119);
    assert_eq!(schedule["lr_warmup_style"], "linear");
    assert_eq!(schedule["lr_decay_style"], "1-sqrt");
    assert_eq!(schedule["lr_decay_starting_step"], 89_407);
    assert_eq!(schedule["lr_decay_steps"], 29_802);
    assert_eq!(schedule["min_decay_lr"], 0.0);
    let stage = &config["data_stages"][0];
    assert_eq!((&stage["start_training_step"], config["data_stages"].as_array().unwrap().len()), (&Value::from(1), 1));
    let dataset = &stage["data"]["dataset"];
    assert_eq!(dataset["dataset_folder"][0], "s3://bucket/run/tokens/corpus");
    assert_eq!(dataset["dataset_folder"][1], format!("s3://bucket/run/tokens/selected/{}", selection().hash));
    assert!((dataset["dataset_weights"][1].as_f64().unwrap() - 0.2327).abs() < 1e-4);
    assert_eq!(dataset["tokenizer_name"], config["tokenizer"]["tokenizer_name_or_path"]);
    assert_eq!(dataset["vocab_size"], config["model"]["model_config"]["vocab_size"]);
}

#[test]
fn floats_are_floats_to_yaml_1_1() {
    let mut given = Given::paper();
    given.config.peak_lr = 4e-7;
    let yaml = text(&given.recipes().unwrap(), "recipe/nanotron/config.yaml");
    assert!(yaml.contains("learning_rate: 4.0e-7\n") && yaml.contains("adam_eps: 1.0e-8\n"), "{yaml}");
}

#[test]
fn headers_show_the_arithmetic() {
    let recipes = Given::paper().recipes().unwrap();
    for path in ["recipe/nanotron/config.yaml", "recipe/hf/README.md"] {
        let text = text(&recipes, path);
        for part in [
            "= 8,388,608 tokens a step) = 119209.29, rounded to 119,209 steps",
            "0.001 × 119,209 steps = 119.21, rounded to 119 steps",
            "it starts after 119,209 − 29,802 = 89,407 steps",
            "73,100,000,000 of 241,000,000,000 tokens = 30.33 %",
            "6.980 billion parameters",
            &selection().hash.to_string(),
        ] {
            assert!(text.contains(part), "{path} lacks {part}:\n{text}");
        }
    }
}

#[test]
fn a_header_cannot_end_its_comment() {
    let mut given = Given::paper();
    given.subset = "a\nb: [\u{85}\u{2028}c".to_owned();
    let recipes = given.recipes().unwrap();
    assert_eq!(nanotron(&recipes)["tokens"]["train_steps"], 119_209);
    assert_eq!(nanotron(&recipes)["data_stages"][0]["data"]["dataset"]["dataset_folder"][0], "tokens/corpus");
}

#[test]
fn hugging_face_has_the_same_steps_and_draws_documents() {
    let recipes = Given::paper().recipes().unwrap();
    let arguments = hf(&recipes, "training_arguments.json");
    assert_eq!((&arguments["max_steps"], &arguments["warmup_steps"]), (&119_209.into(), &119.into()));
    assert_eq!(arguments["lr_scheduler_kwargs"]["num_decay_steps"], 29_802);
    assert_eq!(arguments["gradient_accumulation_steps"], 2);
    // Concatenation: 1,000 documents and 200 of them again, whatever their lengths.
    let mixture = hf(&recipes, "mixture.json");
    let probability = |part: usize| mixture["probabilities"][part].as_f64().unwrap();
    assert!((probability(0) - 1000.0 / 1200.0).abs() < 1e-12 && (probability(1) - 200.0 / 1200.0).abs() < 1e-12);
    assert_eq!(mixture["parts"][0]["data_files"][0], "s3://bucket/web/*.parquet");
}

#[test]
fn a_part_of_no_weight_is_left_out() {
    let mut given = Given::paper();
    given.selected = SelectedWeight::Weight(1.0);
    let recipes = given.recipes().unwrap();
    let dataset = &nanotron(&recipes)["data_stages"][0]["data"]["dataset"];
    assert_eq!(dataset["dataset_weights"], serde_json::json!([1.0]));
    assert_eq!(hf(&recipes, "mixture.json")["parts"][0]["name"], "selected");
}

#[test]
fn a_floor_makes_the_trainer_differ_and_the_readme_says_by_how_much() {
    let mut given = Given::paper();
    given.schedule.floor = 0.1;
    let recipes = given.recipes().unwrap();
    assert!(
        text(&recipes, "recipe/hf/README.md")
            .contains("until step 119 its rate is above `schedule.csv`, at most by 4e-5")
    );
    assert!(text(&recipes, "recipe/hf/expected_lr.csv").starts_with("step,lr\n1,4e-5\n"));
    assert!(text(&recipes, "recipe/nanotron/expected_lr.csv").ends_with("\n119209,4e-5\n"));
}

#[test]
fn trainers_are_written_once_and_only_if_asked_for() {
    let mut given = Given::paper();
    given.config.trainers = vec![Trainer::Hf, Trainer::Hf];
    let paths: Vec<_> = given.recipes().unwrap().files.into_iter().map(|file| file.path).collect();
    assert_eq!(paths.len(), 6);
    assert!(paths[1..].iter().all(|path| path.starts_with("recipe/hf/")), "{paths:?}");
    given.config.trainers.clear();
    assert_eq!(given.recipes().unwrap().files.len(), 1);
}

#[test]
fn a_batch_that_does_not_divide_names_both_numbers() {
    let mut given = Given::paper();
    given.config.batch_sequences = 1000;
    let error = given.recipes().unwrap_err();
    assert!(matches!(error, Error::Batch { .. }));
    let error = error.to_string();
    assert!(
        error.contains("1000") && error.contains("256") && error.contains("data_parallel 128 × micro_batch 2"),
        "{error}"
    );
}

#[test]
fn runs_of_nothing_are_refused() {
    for change in [
        |config: &mut RecipeConfig| config.batch_sequences = 0,
        |config: &mut RecipeConfig| config.sequence_tokens = u64::MAX,
        |config: &mut RecipeConfig| config.tokens = 1.5,
        |config: &mut RecipeConfig| config.tokens = 0.0,
        |config: &mut RecipeConfig| config.tokens = f64::NAN,
        |config: &mut RecipeConfig| config.peak_lr = -1.0,
        |config: &mut RecipeConfig| config.preset = "no-such".to_owned(),
    ] {
        let mut given = Given::paper();
        change(&mut given.config);
        assert!(given.recipes().is_err(), "{:?}", given.config);
    }
}

#[test]
fn the_table_reads_back() {
    let config: RecipeConfig = toml::from_str("tokens = 1000000\ntrainers = [\"hf\"]").unwrap();
    assert_eq!((config.tokens, config.trainers), (1.0e6, vec![Trainer::Hf]));
    assert_eq!(toml::from_str::<RecipeConfig>("").unwrap(), RecipeConfig::default());
    assert!(toml::from_str::<RecipeConfig>("trainer = [\"hf\"]").is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn nanotron_ends_where_the_schedule_does(steps in 1_u64..5000, warmup in 0.0..0.5, decay in 0_u64..50, floor in 0.0..=1.0) {
        let mut given = Given::paper();
        given.config.tokens = (steps * 8_388_608) as f64;
        given.schedule = ScheduleConfig {
            warmup: Length::Fraction(warmup),
            decay: Length::Steps(steps * decay / 100),
            shape: Shape::Linear,
            floor,
            ..ScheduleConfig::default()
        };
        let recipes = given.recipes();
        prop_assume!(recipes.is_ok());
        let recipes = recipes.unwrap();
        let config = nanotron(&recipes);
        let schedule = &config["optimizer"]["learning_rate_scheduler"];
        let count = |key: &str| schedule[key].as_u64().unwrap();
        prop_assert_eq!(count("lr_decay_starting_step") + count("lr_decay_steps"), steps);
        prop_assert!(count("lr_warmup_steps") <= count("lr_decay_starting_step"));
        let rows = text(&recipes, "recipe/hf/expected_lr.csv").lines().count() as u64;
        prop_assert!(rows <= steps + 1 && (steps > 2000 || rows == steps + 1));
    }
}
