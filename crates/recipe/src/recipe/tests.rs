use std::collections::BTreeMap;

use headwater_record::selection::DomainSelection;
use headwater_record::{ContentHash, TokenCount};
use headwater_run::Arm;
use headwater_schedule::{Kind, Length, Shape};
use headwater_select::{MixtureConfig, SelectedWeight};
use proptest::prelude::*;
use serde_json::Value;

use headwater_record::SelectionFile;
use headwater_schedule::ScheduleConfig;
use headwater_select::Mixtures;

use super::*;
use crate::Error;
use crate::{CorpusSource, PartTokenFiles, RecipeConfig};

pub(crate) fn selection() -> SelectionFile {
    let domain = DomainSelection {
        domain: "web".to_owned(),
        documents: 1000,
        tokens: TokenCount(241_000_000_000),
        ranked_documents: 1000,
        ranked_tokens: TokenCount(241_000_000_000),
        fraction: 0.2,
        kept_documents: 200,
        kept_tokens: TokenCount(73_100_000_000),
        ..DomainSelection::default()
    };
    SelectionFile {
        hash: ContentHash::of(b"selection"),
        rank: "influence".to_owned(),
        by: "documents".to_owned(),
        buckets: Vec::new(),
        domains: vec![domain],
        statuses: BTreeMap::new(),
        guarded: BTreeMap::new(),
    }
}

/// What a recipe is made from in tests.
pub(crate) struct Given {
    pub(crate) config: RecipeConfig,
    pub(crate) schedule: ScheduleConfig,
    pub(crate) mixture: MixtureConfig,
    pub(crate) selection: SelectionFile,
    pub(crate) subset: String,
    /// The preset named in `config`, with changes.
    pub(crate) preset: Option<Preset>,
    pub(crate) tokens: Vec<PartTokenFiles>,
}

impl Given {
    /// The run of the paper.
    pub(crate) fn paper() -> Self {
        let subset = format!("s3://bucket/run/selected/{}", selection().hash);
        Self {
            config: RecipeConfig::default(),
            schedule: ScheduleConfig::default(),
            mixture: MixtureConfig::default(),
            selection: selection(),
            subset,
            preset: None,
            tokens: Vec::new(),
        }
    }

    pub(crate) fn recipes(&self) -> Result<Recipes> {
        let mixtures = Mixtures::new(&self.selection, self.mixture).unwrap();
        let corpus = [CorpusSource {
            name: "web".to_owned(),
            paths: vec!["s3://bucket/web/*.parquet".to_owned()],
            text: "content".to_owned(),
        }];
        let inputs = RecipeInputs {
            config: &self.config,
            schedule: &self.schedule,
            mixtures: &mixtures,
            selection: &self.selection,
            folder: RunFolder::recipes(Arm::Selection),
            subset: &self.subset,
            corpus: &corpus,
            tokens: &self.tokens,
            working_folder: "/work",
            seed: 7,
            is_sampled: false,
        };
        match &self.preset {
            Some(preset) => build_recipes_for(&inputs, preset),
            None => build_recipes(&inputs),
        }
    }
}

/// A file of the recipes, as text.
pub(crate) fn text(recipes: &Recipes, path: &str) -> String {
    let file = recipes.files.iter().find(|file| file.path == path).unwrap();
    String::from_utf8(file.bytes.clone()).unwrap()
}

fn nanotron(recipes: &Recipes) -> Value {
    nanotron_file(recipes, "config.yaml")
}

fn nanotron_file(recipes: &Recipes, name: &str) -> Value {
    serde_saphyr::from_str(&text(recipes, &format!("recipe/nanotron/{name}"))).unwrap()
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
    assert_eq!(dataset["dataset_folder"][0], "s3://bucket/run/tokens/corpus/datatrove");
    assert_eq!(dataset["dataset_folder"][1], format!("s3://bucket/run/tokens/selected/{}/datatrove", selection().hash));
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
            "6,979,588,096 parameters, 6.980 billion.",
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
    assert_eq!(nanotron(&recipes)["data_stages"][0]["data"]["dataset"]["dataset_folder"][0], "tokens/corpus/datatrove");
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
    let probability = |part: usize| mixture["stages"][0]["parts"][part]["probability"].as_f64().unwrap();
    assert!((probability(0) - 1000.0 / 1200.0).abs() < 1e-12 && (probability(1) - 200.0 / 1200.0).abs() < 1e-12);
    assert_eq!(mixture["parts"][0]["sources"][0]["data_files"][0], "s3://bucket/web/*.parquet");
    assert_eq!(mixture["parts"][1]["sources"][0]["text"], "content");
}

#[test]
fn a_part_of_no_weight_is_left_out() {
    let mut given = Given::paper();
    given.mixture.selected = SelectedWeight::Weight(1.0);
    let recipes = given.recipes().unwrap();
    let dataset = &nanotron(&recipes)["data_stages"][0]["data"]["dataset"];
    assert_eq!(dataset["dataset_weights"], serde_json::json!([1.0]));
    assert_eq!(hf(&recipes, "mixture.json")["parts"][0]["name"], "selected");
}

#[test]
fn a_floor_makes_the_trainer_differ_and_the_readme_says_by_how_much() {
    let mut given = Given::paper();
    given.schedule.floor = Some(0.1);
    let recipes = given.recipes().unwrap();
    assert!(
        text(&recipes, "recipe/hf/README.md")
            .contains("differ from schedule.csv by at most 1.000e-1 of the peak, in update 0")
    );
    assert!(text(&recipes, "recipe/hf/expected_lr.csv").starts_with("step,lr\n1,4e-5\n"));
    assert!(text(&recipes, "recipe/nanotron/expected_lr.csv").ends_with("\n119209,4e-5\n"));
}

fn config(recipes: &Recipes, path: &str) -> Value {
    serde_saphyr::from_str(&text(recipes, path)).unwrap()
}

#[test]
fn paper_plan_in_llm_foundrys_keys() {
    let mut given = Given::paper();
    given.config.trainers = vec![Trainer::LlmFoundry];
    let recipes = given.recipes().unwrap();
    let foundry = config(&recipes, "recipe/llm-foundry/train.yaml");
    assert_eq!(
        (&foundry["max_duration"], &foundry["code_paths"][0]),
        (&"119209ba".into(), &"headwater_schedule.py".into())
    );
    assert!(text(&recipes, "recipe/llm-foundry/headwater_schedule.py").contains("schedulers.register(\"headwater\""));
    assert_eq!(foundry["scheduler"]["phases"][2]["start"], 89_407);
    assert!((foundry["optimizer"]["weight_decay"].as_f64().unwrap() / 4e-6 - 1.0).abs() < 1e-12);
    let dataset = &foundry["train_loader"]["dataset"];
    assert_eq!(dataset["num_canonical_nodes"], 32);
    assert_eq!(dataset["streams"]["corpus"]["remote"], "s3://bucket/run/tokens/corpus/mds");
    assert_eq!(dataset["streams"]["corpus"]["local"], "mds/0/corpus");
    assert_eq!(foundry["callbacks"].get("curriculum_learning"), None);
    given.mixture.decay = Some(SelectedWeight::Weight(0.6));
    given.subset = format!("/run/selected/{}", selection().hash);
    given.schedule.shape = Some(Shape::Linear);
    let recipes = given.recipes().unwrap();
    let foundry = config(&recipes, "recipe/llm-foundry/train.yaml");
    assert_eq!(foundry["max_duration"], format!("{}tok", 119_209_u64 * 8_388_608));
    assert_eq!(foundry["scheduler"]["t_cooldown"], format!("{}tok", 29_802_u64 * 8_388_608));
    let curriculum = &foundry["callbacks"]["curriculum_learning"];
    assert_eq!(curriculum["duration"], format!("{}tok", 89_407_u64 * 8_388_608));
    let corpus = &curriculum["schedule"][0]["dataset"]["streams"]["corpus"];
    assert_eq!(corpus, &serde_json::json!({"local": "/run/tokens/corpus/mds", "proportion": 0.4}));
    assert!(foundry.get("code_paths").is_none() && !recipes.files.iter().any(|file| file.path.ends_with(".py")));
}

#[test]
fn paper_plan_in_levanters_keys() {
    let mut given = Given::paper();
    given.config.trainers = vec![Trainer::Levanter];
    given.schedule.shape = Some(Shape::Linear);
    let recipes = given.recipes().unwrap();
    let levanter = config(&recipes, "recipe/levanter/config.yaml");
    let optimizer = &levanter["optimizer"];
    assert_eq!((&optimizer["warmup"], &optimizer["decay"]), (&119.into(), &29_802.into()));
    assert_eq!((&optimizer["lr_schedule"], &optimizer["min_lr_ratio"]), (&"linear".into(), &0.0.into()));
    assert_eq!(levanter["trainer"]["num_train_steps"], 119_209);
    let selected = &levanter["data"]["components"]["selected"];
    assert_eq!(selected["source"]["train_urls"][0], format!("{}/web/**/*.parquet", given.subset));
    assert_eq!(selected["format"]["text_key"], "content");
    let table = text(&recipes, "recipe/levanter/expected_lr.csv");
    assert!(table.starts_with("step,lr\n2,"), "{table}");
    assert!(table.lines().last().unwrap().starts_with("119208,"));
    // the most whole batches below 2^16 sequences
    assert_eq!(levanter["data"]["mixture_block_size"], 63 * 1024);
    given.mixture.decay = Some(SelectedWeight::Weight(0.6));
    let levanter = config(&given.recipes().unwrap(), "recipe/levanter/config.yaml");
    let block = levanter["data"]["mixture_block_size"].as_u64().unwrap();
    assert!(block < 1 << 16 && (89_407 * 1024_u64).is_multiple_of(block) && block.is_multiple_of(1024), "{block}");
    assert_eq!(levanter["data"]["train_weights"][1], serde_json::json!([89_407, {"corpus": 0.4, "selected": 0.6}]));
}

#[test]
fn trainers_are_written_once_and_only_if_asked_for() {
    let mut given = Given::paper();
    given.config.trainers = vec![Trainer::Hf, Trainer::Hf];
    let paths: Vec<_> = given.recipes().unwrap().files.into_iter().map(|file| file.path).collect();
    assert_eq!(paths.len(), 7);
    assert!(paths[1..].iter().all(|path| path.starts_with("recipe/hf/")), "{paths:?}");
    given.config.trainers.clear();
    assert_eq!(given.recipes().unwrap().files.len(), 1);
}

#[test]
fn a_batch_that_does_not_divide_names_both_numbers() {
    let mut given = Given::paper();
    given.config.batch_sequences = Some(1000);
    let error = given.recipes().unwrap_err();
    assert!(matches!(error, Error::Batch { .. }));
    let error = error.to_string();
    assert!(
        error.contains("1000") && error.contains("256") && error.contains("replicas 128 × micro_batch 2"),
        "{error}"
    );
}

/// The run of the paper with a corpus of so many tokens in 100 documents, a fifth of it selected.
fn of_corpus(tokens: u64) -> Given {
    let mut given = Given::paper();
    let domain = &mut given.selection.domains[0];
    (domain.documents, domain.tokens) = (100, TokenCount(tokens));
    (domain.kept_documents, domain.kept_tokens) = (20, TokenCount(tokens / 5));
    given
}

#[test]
fn passes_are_told_and_warned_of_above_four() {
    let mut given = of_corpus(1_000_000_000);
    given.config.tokens = 4.8e9;
    let recipes = given.recipes().unwrap();
    let passes: Vec<_> = recipes.passes.iter().map(|part| (part.part.as_str(), part.tokens.0)).collect();
    assert_eq!(passes, [("corpus", 1_000_000_000), ("selected", 200_000_000)]);
    assert!(recipes.passes.iter().all(|part| (part.passes - 4.0).abs() < 0.01), "{:?}", recipes.passes);
    assert_eq!(recipes.warnings, Vec::<String>::new());
    assert!(text(&recipes, "recipe/hf/README.md").contains(" passes over 1,000,000,000."));
    given.mixture.selected = SelectedWeight::Weight(0.5);
    let warnings = given.recipes().unwrap().warnings.concat();
    for part in ["selected 12.0 times", "four", "arXiv 2305.16264", "`recipe.tokens` = 1.60e9"] {
        assert!(warnings.contains(part), "{warnings}");
    }
    assert!(!warnings.contains("corpus"), "{warnings}");
}

#[test]
fn data_that_fills_no_sequence_is_refused() {
    let mut given = of_corpus(6_000);
    // 6,000 + 1,200 tokens and 120 ends of documents
    let error = given.recipes().unwrap_err().to_string();
    for part in ["corpus has 6,000 tokens, selected has 1,200", "`recipe.sequence_tokens` is 8192", "at most 7320"] {
        assert!(error.contains(part), "{error}");
    }
    given.mixture.decay = Some(SelectedWeight::Weight(1.0));
    given.config.sequence_tokens = 4096;
    let error = given.recipes().unwrap_err().to_string();
    assert!(error.contains("of stage \"decay\"") && !error.contains("corpus has"), "{error}");
    given.config.sequence_tokens = 1220;
    assert!(given.recipes().is_ok());
    // what nanotron cannot do by the part, the Trainer does by the whole
    given.mixture.decay = None;
    given.config.sequence_tokens = 7320;
    let warnings = given.recipes().unwrap().warnings;
    assert!(
        warnings.iter().any(|warning| warning.contains("nanotron") && warning.contains("selected")),
        "{warnings:?}"
    );
    given.config.trainers = vec![Trainer::Hf];
    let warnings = given.recipes().unwrap().warnings;
    assert!(warnings.iter().all(|warning| !warning.contains("sequences")), "{warnings:?}");
}

#[test]
fn a_small_corpus_gets_a_small_model_and_small_batches_unless_they_are_set() {
    let small = of_corpus(50_000_000);
    let recipes = small.recipes().unwrap();
    let head = text(&recipes, "recipe/nanotron/config.yaml");
    for part in [
        "# Preset: llama-2m, as `recipe.preset` is not set: the largest that 200,000,000 tokens,",
        "# Batch: 60 sequences, as `recipe.batch_sequences` is not set",
        "a hundredth of 50,000,000 tokens",
        "(60 sequences × 8,192 tokens",
    ] {
        assert!(head.contains(part), "{part}: {head}");
    }
    assert_eq!(recipes.settled.len(), 2);
    let mut set = of_corpus(50_000_000);
    (set.config.preset, set.config.batch_sequences) = (Some("llama-135m".to_owned()), Some(1024));
    let recipes = set.recipes().unwrap();
    assert_eq!(recipes.settled, Vec::<String>::new());
    assert!(text(&recipes, "recipe/nanotron/config.yaml").contains("Model: preset llama-135m,"));
    // the model of the paper gets no fewer than its machines pass at once
    set.config = RecipeConfig { preset: Some("llama-7b".to_owned()), ..RecipeConfig::default() };
    assert!(set.recipes().unwrap().settled.concat().contains("Batch: 512 sequences"));
}

#[test]
fn the_default_preset_has_twenty_tokens_a_parameter_of_at_most_four_passes() {
    let preset = |corpus, tokens| {
        let mut given = of_corpus(corpus);
        given.config.tokens = tokens;
        let recipes = given.recipes().unwrap();
        let head = text(&recipes, "recipe/hf/README.md");
        head.lines().find_map(|line| line.strip_prefix("- Model: preset ").map(str::to_owned)).unwrap()
    };
    for (corpus, tokens, name) in [
        (241_000_000_000, 1e12, "llama-7b,"),
        (30_000_000_000, 1e12, "llama-1.3b,"),
        (700_000_000, 1e12, "llama-135m,"),
        (600_000_000, 1e12, "llama-2m,"),
        (1_000_000, 1e12, "llama-2m,"),
        (241_000_000_000, 1e10, "llama-360m,"),
    ] {
        let head = preset(corpus, tokens);
        assert!(head.starts_with(name), "{corpus} {tokens}: {head}");
    }
}

#[test]
fn paths_that_must_be_full_are_full() {
    let mut given = Given::paper();
    given.config.trainers = vec![Trainer::Levanter, Trainer::LlmFoundry];
    given.subset = format!("./runs/x/selected/{}", selection().hash);
    let recipes = given.recipes().unwrap();
    let components = &config(&recipes, "recipe/levanter/config.yaml")["data"]["components"];
    assert_eq!(components["corpus"]["source"]["train_urls"][0], "s3://bucket/web/*.parquet");
    let subset = format!("/work/runs/x/selected/{}/web/**/*.parquet", selection().hash);
    assert_eq!(components["selected"]["source"]["train_urls"][0], subset);
    let streams = &config(&recipes, "recipe/llm-foundry/train.yaml")["train_loader"]["dataset"]["streams"];
    assert_eq!(streams["corpus"]["local"], "/work/runs/x/tokens/corpus/mds");
}

#[test]
fn every_file_of_a_recipe_is_known_to_be_one() {
    let mut given = Given::paper();
    given.config.trainers = Trainer::ALL.to_vec();
    let mut known: Vec<_> = recipe_paths().map(|path| format!("recipe/{path}")).collect();
    let mut written = Vec::new();
    for decay in [None, Some(SelectedWeight::Weight(0.6))] {
        given.mixture.decay = decay;
        written.extend(
            given.recipes().unwrap().files.into_iter().map(|file| file.path).filter(|path| path != "schedule.csv"),
        );
    }
    written.sort_unstable();
    written.dedup();
    known.sort_unstable();
    assert_eq!(written, known);
}

#[test]
fn runs_of_nothing_are_refused() {
    for change in [
        |config: &mut RecipeConfig| config.batch_sequences = Some(0),
        |config: &mut RecipeConfig| config.sequence_tokens = u64::MAX,
        |config: &mut RecipeConfig| config.tokens = 1.5,
        |config: &mut RecipeConfig| config.tokens = 0.0,
        |config: &mut RecipeConfig| config.tokens = f64::NAN,
        |config: &mut RecipeConfig| config.peak_lr = -1.0,
        |config: &mut RecipeConfig| config.preset = Some("no-such".to_owned()),
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

#[test]
fn a_decay_has_a_mixture_of_its_own() {
    let mut given = Given::paper();
    given.mixture.decay = Some(SelectedWeight::Weight(0.6));
    let recipes = given.recipes().unwrap();
    let stages = &hf(&recipes, "mixture.json")["stages"];
    assert_eq!((&stages[1]["start_step"], &stages[1]["steps"]), (&89_407.into(), &29_802.into()));
    let header = text(&recipes, "recipe/nanotron/config.yaml");
    assert!(header.contains("Mixture, decay, steps 89,407 to 119,209: 0.6 of the tokens are selected"), "{header}");
    assert!(header.contains("Passes: selected 0.232728 × 750,000,275,456 tokens + 0.600000 ×"), "{header}");
    given.schedule = ScheduleConfig { kind: Kind::Constant, ..ScheduleConfig::default() };
    assert!(matches!(given.recipes(), Err(Error::NoDecay { kind: "wsd" })));
}

#[test]
fn nanotron_has_a_config_for_each_stage_and_the_second_goes_on_from_the_first() {
    let mut given = Given::paper();
    given.mixture.decay = Some(SelectedWeight::Weight(0.6));
    let recipes = given.recipes().unwrap();
    let (first, second) = (nanotron(&recipes), nanotron_file(&recipes, "config_2.yaml"));
    assert_eq!((&first["tokens"]["train_steps"], &second["tokens"]["train_steps"]), (&89_407.into(), &119_209.into()));
    assert_eq!(first["data_stages"].as_array().unwrap().len(), 1);
    assert_eq!(first["data_stages"][0], second["data_stages"][0]);
    assert_eq!(first["optimizer"], second["optimizer"]);
    assert_eq!(first["checkpoints"]["resume_checkpoint_path"], Value::Null);
    assert_eq!(second["checkpoints"]["resume_checkpoint_path"], "checkpoints/89407");
    assert_eq!(first["checkpoints"]["save_final_state"], true);
    let decay = &second["data_stages"][1];
    assert_eq!((&decay["start_training_step"], &decay["data"]["seed"]), (&89_408.into(), &8.into()));
    let weight = |stage: &Value, part: usize| stage["data"]["dataset"]["dataset_weights"][part].as_f64().unwrap();
    assert!((weight(&first["data_stages"][0], 1) - 0.2327).abs() < 1e-4 && weight(decay, 1) == 0.6);
    let (start, next) =
        ("s3://bucket/run/recipe/nanotron/config.yaml", "saves checkpoints/89407. Then start config_2.yaml");
    let header = text(&recipes, "recipe/nanotron/config.yaml");
    assert!(header.contains(start) && header.contains(next), "{header}");
    // the learning rates are one table over both
    assert!(text(&recipes, "recipe/nanotron/expected_lr.csv").ends_with("\n119209,0.0\n"));
    // and a decay of the whole run is one stage
    given.schedule = ScheduleConfig { kind: Kind::Linear, warmup: Some(Length::Steps(0)), ..ScheduleConfig::default() };
    let recipes = given.recipes().unwrap();
    assert!(recipes.files.iter().all(|file| file.path != "recipe/nanotron/config_2.yaml"));
    assert_eq!(nanotron(&recipes)["data_stages"][0]["name"], "decay");
}

#[test]
fn a_schedule_that_a_trainer_lacks_becomes_the_nearest_and_the_header_says_so() {
    let mut given = Given::paper();
    given.schedule.shape = Some(Shape::OneMinusSquare);
    let recipes = given.recipes().unwrap();
    let header = text(&recipes, "recipe/nanotron/config.yaml");
    assert!(
        header.contains("nanotron has no 1-square decay of a stable phase; this is the nearest that it has"),
        "{header}"
    );
    assert!(header.contains("differ from schedule.csv by at most"), "{header}");
    // against 1 − p² over the last quarter, what a later cosine or line differs by is below a fifth of the peak
    let worst = header.split("by at most ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
    assert!(worst.parse::<f64>().unwrap() < 0.2, "{worst}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn nanotron_ends_where_the_schedule_does(steps in 1_u64..5000, warmup in 0.0..0.5, decay in 0_u64..50, floor in 0.0..=1.0) {
        let mut given = Given::paper();
        given.config.tokens = (steps * 8_388_608) as f64;
        (given.config.preset, given.config.batch_sequences) = (Some("llama-7b".to_owned()), Some(1024));
        given.schedule = ScheduleConfig {
            warmup: Some(Length::Fraction(warmup)),
            decay: Some(Length::Steps(steps * decay / 100)),
            shape: Some(Shape::Linear),
            floor: Some(floor),
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
