use headwater_record::TokenCount;
use headwater_record::tokens::TextPart;
use headwater_schedule::{Kind, Length, ScheduleConfig, Shape, WsdSteps};
use headwater_select::SelectedWeight;
use serde_json::Value;

use super::*;
use crate::recipe::tests::{Given, selection, text};
use crate::{BatchRamp, Error, PartTokenFiles, Preset, Recipes, TokenFileCount, export_schedule};

fn given() -> Given {
    let mut given = Given::paper();
    given.config.trainers = vec![Trainer::Megatron];
    given
}

fn staged() -> Given {
    let mut given = given();
    given.mixture.decay = Some(SelectedWeight::Weight(0.6));
    given
}

/// The flags of a file, without its comment.
fn flags(recipes: &Recipes, path: &str) -> Vec<String> {
    text(recipes, path).lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
}

fn train(recipes: &Recipes, path: &str) -> Vec<String> {
    let blend: Value = serde_json::from_str(&text(recipes, path)).unwrap();
    assert_eq!((&blend["valid"], &blend["test"]), (&Value::Null, &Value::Null));
    serde_json::from_value(blend["train"].clone()).unwrap()
}

fn wsd(steps: u64, warmup_steps: u64, decay_steps: u64, floor: f64) -> Schedule {
    Schedule::wsd(WsdSteps { steps, warmup_steps, decay_steps }, Curve::Cosine, 4e-4, floor).unwrap()
}

#[test]
fn the_papers_plan_in_megatrons_flags() {
    let recipes = given().recipes().unwrap();
    let written = flags(&recipes, ARGUMENTS);
    for expected in [
        "--train-samples 122070016",
        "--lr 0.0004",
        "--min-lr 0.0",
        "--lr-warmup-samples 121856",
        "--lr-decay-style WSD",
        "--lr-decay-samples 122070016",
        "--lr-wsd-decay-style minus_sqrt",
        "--lr-wsd-decay-samples 30517248",
        "--num-layers 32",
        "--num-query-groups 8",
        "--rotary-base 10000",
        "--norm-epsilon 1e-5",
        "--sequence-parallel",
        "--global-batch-size 1024",
        "--untie-embeddings-and-output-weights",
        "--per-split-data-args-path s3://bucket/run/recipe/megatron/data.json",
        "--seed 7",
    ] {
        assert!(written.iter().any(|flag| flag == expected), "{expected} is not in {written:?}");
    }
    assert!(
        written.iter().all(|flag| flag.starts_with("--") && !flag.contains("iters ") | flag.contains("eval-iters"))
    );
    let header = text(&recipes, ARGUMENTS);
    for part in
        ["128 replicas × 2 sequences × 4 accumulated = 1024", "were not there when this was written", "copy s3://"]
    {
        assert!(header.contains(part), "{part} is not in {header}");
    }
}

#[test]
fn corners_of_the_schedule() {
    let keys = |schedule: &Schedule| Megatron.scheduler_keys(schedule).unwrap();
    let constant = keys(&wsd(100, 0, 0, 0.5));
    assert_eq!(
        constant,
        "--train-iters 100\n--lr 0.0004\n--min-lr 0.0002\n--lr-warmup-iters 0\n--lr-decay-style constant\n--lr-decay-iters 100\n"
    );
    // Megatron refuses a warm-up that does not end before the decay
    let warm = keys(&wsd(100, 100, 0, 0.0));
    assert!(warm.contains("--lr-warmup-iters 100\n--lr-decay-style constant\n--lr-decay-iters 101\n"), "{warm}");
    let full = keys(&wsd(100, 40, 60, 0.0));
    assert!(full.contains("--lr-decay-iters 100\n--lr-wsd-decay-style cosine\n--lr-wsd-decay-iters 60\n"), "{full}");
}

#[test]
fn an_inverse_square_root_needs_its_warm_up_as_timescale_and_no_cooldown() {
    let of = |warmup_steps, timescale_steps, cooldown, floor| {
        let decay = Decay { start: 20_000 - cooldown, steps: cooldown, curve: Curve::Linear };
        let frame = Frame { steps: 20_000, warmup_steps, peak_lr: 4e-4, floor };
        Schedule::new(frame, Form::InverseSqrt { timescale_steps, decay }).unwrap()
    };
    let exact = of(100, 100.0, 0, 0.5);
    assert!(Megatron.supports(&exact));
    assert!(
        Megatron
            .scheduler_keys(&exact)
            .unwrap()
            .contains("--min-lr 0.0002\n--lr-warmup-iters 100\n--lr-decay-style inverse-square-root\n")
    );
    for other in [of(100, 99.0, 0, 0.0), of(100, 100.0, 10, 0.0), of(0, 100.0, 0, 0.0)] {
        assert!(!Megatron.supports(&other));
        // with no warm-up at all a decay of the whole run is nearer
        let found = Megatron.nearest(&other).unwrap();
        assert_eq!(is_inverse_sqrt(&found), other.warmup_steps() > 0, "{found:?}");
    }
    let export = export_schedule(&of(100, 100.0, 10, 0.0), Trainer::Megatron).unwrap();
    assert!(export.keys.contains("in 100 steps, then as 1 / √step"), "{}", export.keys);
}

#[test]
fn what_it_lacks_becomes_a_schedule_that_it_has() {
    for kind in [Kind::WsdS, Kind::MultiStep, Kind::Power, Kind::Infinite, Kind::SlowStart] {
        let mut given = given();
        given.schedule = ScheduleConfig { kind, ..ScheduleConfig::default() };
        if kind == Kind::WsdS {
            given.schedule.periods = Some(headwater_schedule::Periods::Equal(4));
        }
        let header = text(&given.recipes().unwrap(), ARGUMENTS);
        assert!(header.contains("Megatron-LM has no"), "{kind:?}: {header}");
    }
    let mut given = given();
    given.schedule.shape = Some(Shape::OneMinusSquare);
    assert!(flags(&given.recipes().unwrap(), ARGUMENTS).iter().any(|flag| flag == "--lr-decay-style WSD"));
}

#[test]
fn two_stages_have_flags_and_blends_of_their_own() {
    let recipes = staged().recipes().unwrap();
    let common = flags(&recipes, ARGUMENTS);
    assert!(common.iter().any(|flag| flag == "--phase-transition-iterations 89407"), "{common:?}");
    assert!(!common.iter().any(|flag| flag.starts_with("--seed") || flag.starts_with("--per-split")));
    for (stage, seed, weight) in [(0, 7, "0.23272"), (1, 8, "0.6")] {
        let (own, blend) = STAGES[stage];
        assert_eq!(
            flags(&recipes, own),
            [format!("--per-split-data-args-path s3://bucket/run/{blend}"), format!("--seed {seed}")]
        );
        let train = train(&recipes, blend);
        assert!(train[2].starts_with(weight), "{train:?}");
        assert_eq!(train[1], "s3://bucket/run/tokens/corpus/megatron/web-00000");
        assert_eq!(train[3], format!("s3://bucket/run/tokens/selected/{}/megatron/web-00000", selection().hash));
    }
    let header = text(&recipes, ARGUMENTS);
    assert!(header.contains("ends after iteration 89407") && header.contains("stage_2.txt | xargs"), "{header}");
    // a decay of the whole run is one stage
    let mut given = staged();
    given.schedule = ScheduleConfig { kind: Kind::Linear, warmup: Some(Length::Steps(0)), ..ScheduleConfig::default() };
    assert_eq!(train(&given.recipes().unwrap(), BLEND)[2], "0.6");
}

#[test]
fn token_files_that_are_there_share_their_parts_weight() {
    let mut given = staged();
    let file = |path: &str, tokens| TokenFileCount { path: path.to_owned(), tokens: TokenCount(tokens) };
    let part = |part, format, files| PartTokenFiles {
        part,
        format,
        files,
        eos: "<|endoftext|>".to_owned(),
        documents_with_eos: 3,
    };
    given.tokens = vec![
        part(TextPart::Corpus, TokenFormat::Datatrove, vec![file("d", 5)]),
        part(TextPart::Selected, TokenFormat::Megatron, vec![file("a", 30), file("nothing", 0), file("b", 10)]),
    ];
    let recipes = given.recipes().unwrap();
    let blend = train(&recipes, STAGES[1].1);
    assert_eq!(blend[1], "s3://bucket/run/tokens/corpus/megatron/web-00000");
    assert_eq!((&blend[3], &blend[5], blend.len()), (&"a".to_owned(), &"b".to_owned(), 6));
    let weights: Vec<f64> = blend.iter().step_by(2).map(|weight| weight.parse().unwrap()).collect();
    assert!((weights[1] - 0.45).abs() < 1e-12 && (weights.iter().sum::<f64>() - 1.0).abs() < 1e-12, "{weights:?}");
    let header = text(&recipes, ARGUMENTS);
    let ends = "# Ends: 3 documents of selected spell <|endoftext|> in their text";
    assert!(header.contains(ends), "{header}");
    assert!(header.contains("files of corpus were not") && !header.contains("files of selected were not"), "{header}");
}

#[test]
fn paths_are_words_of_a_shell() {
    let mut given = given();
    given.subset = format!("it's here/selected/{}", selection().hash);
    let written = flags(&given.recipes().unwrap(), ARGUMENTS);
    let expected = r"--per-split-data-args-path 'it'\''s here/recipe/megatron/data.json'";
    assert!(written.iter().any(|flag| flag == expected), "{written:?}");
}

#[test]
fn shapes_that_megatron_refuses_name_their_key() {
    for (from, to, expected) in [
        (
            "rope_theta = 10000.0",
            "rope_theta = 10000.5",
            "model.rope_theta is 10000.5, expected a whole number for Megatron-LM",
        ),
        (
            "pipeline_parallel = 1",
            "pipeline_parallel = 3",
            "model.layers is 32, expected a multiple of machines.pipeline_parallel, 3, for",
        ),
    ] {
        let whole = include_str!("../../../../../configs/presets/llama-7b.toml");
        let changed = whole.replace(from, to).replace("devices = 256", "devices = 384");
        assert!(changed.contains(to), "{from}");
        let preset = Some(Preset::parse(&changed, "mine").unwrap());
        let error = Given { preset, ..given() }.recipes().unwrap_err();
        assert!(matches!(error, Error::PresetValue { .. }) && error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn a_ramp_is_a_flag_and_other_trainers_say_that_they_lack_it() {
    let mut given = Given::paper();
    given.config.trainers = vec![Trainer::Megatron, Trainer::Hf];
    given.config.batch_ramp = Some(BatchRamp { start_sequences: 256, step_sequences: None, tokens: 8.192e9 });
    let recipes = given.recipes().unwrap();
    let flags = text(&recipes, "recipe/megatron/arguments.txt");
    let levels = "\n--step-batch-size-schedule 0:256,2730663936:512,5461327872:768,8192000000:1024\n";
    for part in [levels, "# Batch ramp: from 256 sequences to 1024, by 256 at a time"] {
        assert!(flags.contains(part), "{flags}");
    }
    assert!(!flags.contains("\n--global-batch-size"), "{flags}");
    assert!(text(&recipes, "recipe/hf/README.md").contains("does not get `recipe.batch_ramp`"));
    assert!(recipes.warnings.iter().any(|warning| warning.contains("Hugging Face") && warning.contains("batch_ramp")));
    // a second stage begins at an iteration, which a ramp would move
    given.mixture.decay = Some(SelectedWeight::Weight(0.6));
    let flags = text(&given.recipes().unwrap(), "recipe/megatron/arguments.txt");
    assert!(flags.contains("does not get") && !flags.contains("--step-batch"), "{flags}");
    for (start_sequences, step_sequences, tokens, key) in [
        (1024, None, 1e9, "start_sequences"),
        (100, None, 1e9, "start_sequences"),
        (256, Some(512), 1e9, "step_sequences"),
        (256, None, 2e12, "tokens"),
        (256, None, 1.5, "tokens"),
        (256, None, 16384.0, "tokens"),
    ] {
        given.config.batch_ramp = Some(BatchRamp { start_sequences, step_sequences, tokens });
        let error = given.recipes().unwrap_err().to_string();
        assert!(error.contains(&format!("`recipe.batch_ramp.{key}`")), "{error}");
    }
}
