use headwater_record::selection::{Bucket, DomainBucket};
use headwater_select::SelectedWeight;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::Recipes;
use crate::recipe::tests::{Given, selection, text};

/// The run of the paper for every trainer, with what is selected in buckets: repetitions and billions of tokens of each.
fn given(buckets: &[(f64, u64)]) -> Given {
    let mut given = Given::paper();
    given.config.trainers = Trainer::ALL.to_vec();
    let domain = &mut given.selection.domains[0];
    (domain.kept_documents, domain.kept_tokens) = (0, TokenCount(0));
    for (index, (repeat, billions)) in buckets.iter().enumerate() {
        let (documents, tokens) = (10 * billions, TokenCount(billions * 1_000_000_000));
        let (from, to) = (index as f64 / 100.0, (index + 1) as f64 / 100.0);
        given.selection.buckets.push(Bucket { from, to, repeat: *repeat, documents, tokens });
        domain.buckets.push(DomainBucket { documents, tokens, cut: None });
        domain.kept_documents += documents;
        domain.kept_tokens = TokenCount(domain.kept_tokens.0 + tokens.0);
    }
    given
}

fn yaml(recipes: &Recipes, path: &str) -> Value {
    serde_saphyr::from_str(&text(recipes, path)).unwrap()
}

fn numbers<'a>(values: impl IntoIterator<Item = &'a Value>) -> Vec<f64> {
    values.into_iter().map(|value| value.as_f64().unwrap()).collect()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

/// The shares of the tokens of the only stage in each trainer's config, in order.
fn shares(recipes: &Recipes) -> Vec<(Trainer, Vec<f64>)> {
    let json = |path| serde_json::from_str::<Value>(&text(recipes, path)).unwrap();
    let nanotron = yaml(recipes, "recipe/nanotron/config.yaml");
    let (hf, titan) = (json("recipe/hf/mixture.json"), json("recipe/torchtitan/recipe.json"));
    let megatron = json("recipe/megatron/data.json");
    let foundry = yaml(recipes, "recipe/llm-foundry/train.yaml");
    let levanter = yaml(recipes, "recipe/levanter/config.yaml");
    let olmo = yaml(recipes, "recipe/olmo-core/config.yaml");
    let weights = |parts: &Value| numbers(list(parts).iter().map(|part| &part["token_weight"]));
    let words = list(&megatron["train"]).iter().step_by(2);
    let streams = foundry["train_loader"]["dataset"]["streams"].as_object().unwrap();
    let counts = numbers(list(&olmo["dataset"][0]["sources"]).iter().map(|source| &source["max_instances"]));
    // steps × sequences of a batch
    let all = 119_209.0 * 1024.0;
    vec![
        (Trainer::Nanotron, numbers(list(&nanotron["data_stages"][0]["data"]["dataset"]["dataset_weights"]))),
        (Trainer::Hf, weights(&hf["stages"][0]["parts"])),
        (Trainer::Torchtitan, weights(&titan["datasets"][0]["parts"])),
        (Trainer::Megatron, words.map(|weight| weight.as_str().unwrap().parse().unwrap()).collect()),
        (Trainer::LlmFoundry, numbers(streams.values().map(|stream| &stream["proportion"]))),
        (Trainer::Levanter, numbers(levanter["data"]["train_weights"][0][1].as_object().unwrap().values())),
        (Trainer::OlmoCore, counts.iter().map(|count| count / all).collect()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn shares_sum_to_one_and_buckets_have_those_of_what_is_read_of_them(
        buckets in prop::collection::vec((0.01..8.0, 1_u64..20), 1..15),
        selected in prop::option::of(0.001..=1.0),
    ) {
        let mut given = given(&buckets);
        given.mixture.selected = selected.map_or(SelectedWeight::Concatenate, SelectedWeight::Weight);
        let trained: Vec<f64> = buckets.iter().map(|(repeat, billions)| repeat * *billions as f64).collect();
        let all: f64 = trained.iter().sum();
        let selected = selected.unwrap_or(all / (241.0 + all));
        let bucket_shares = trained.iter().map(|read| selected * read / all);
        let expected: Vec<f64> = [1.0 - selected].into_iter().chain(bucket_shares).filter(|share| *share > 0.0).collect();
        for (trainer, mut shares) in shares(&given.recipes().unwrap()) {
            prop_assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-12, "{:?}: {:?}", trainer, shares);
            // objects of JSON are read in the order of their keys
            if matches!(trainer, Trainer::LlmFoundry | Trainer::Levanter) && expected.len() > buckets.len() {
                shares.rotate_right(1);
            }
            prop_assert_eq!(shares.len(), expected.len());
            // OLMo-core takes whole ones of 122,070,016 sequences
            let tolerance = if trainer == Trainer::OlmoCore { 1e-8 } else { 1e-12 };
            for (share, meant) in shares.iter().zip(&expected) {
                prop_assert!((share - meant).abs() <= tolerance, "{:?}: {} for {}", trainer, share, meant);
            }
        }
    }
}

#[test]
fn the_head_tells_the_repetitions_of_a_run_over_corpus_and_buckets() {
    let mut given = given(&[(4.2, 10), (0.5, 20)]);
    given.config.tokens = 293e9;
    let head = text(&given.recipes().unwrap(), "recipe/nanotron/config.yaml");
    for line in [
        "# Bucket: bucket-00, 0.00 % to 1.00 % of each ranking, 10,000,000,000 tokens × 4.200 repeats = 42,000,000,000 trained.",
        "# Mixture: 30,000,000,000 selected × repeats = 52,000,000,000 trained; 52,000,000,000 trained / (241,000,000,000 corpus + \
         52,000,000,000 trained) tokens = 0.177474.",
        ", 4.20 passes over 10,000,000,000: 1.000 times its 4.200 repeats.",
        ", 0.50 passes over 20,000,000,000: 1.000 times its 0.500 repeats.",
    ] {
        assert!(head.contains(line), "{line} is not in {head}");
    }
}

#[test]
fn every_bucket_has_folders_of_its_own() {
    let recipes = given(&[(2.0, 10), (1.0, 20)]).recipes().unwrap();
    let subset = format!("s3://bucket/run/selected/{}", selection().hash);
    let tokens = format!("s3://bucket/run/tokens/selected/{}", selection().hash);
    let nanotron = yaml(&recipes, "recipe/nanotron/config.yaml");
    assert_eq!(
        nanotron["data_stages"][0]["data"]["dataset"]["dataset_folder"],
        json!([
            "s3://bucket/run/tokens/corpus/datatrove",
            format!("{tokens}/bucket-00/datatrove"),
            format!("{tokens}/bucket-01/datatrove")
        ])
    );
    let levanter = yaml(&recipes, "recipe/levanter/config.yaml");
    let urls = &levanter["data"]["components"]["bucket-01"]["source"]["train_urls"];
    assert_eq!(urls, &json!([format!("{subset}/bucket-01/web/**/*.parquet")]));
    let foundry = yaml(&recipes, "recipe/llm-foundry/train.yaml");
    let stream = &foundry["train_loader"]["dataset"]["streams"]["bucket-01"];
    assert_eq!(
        (&stream["remote"], &stream["local"]),
        (&json!(format!("{tokens}/bucket-01/mds")), &json!("mds/0/bucket-01"))
    );
    let header = text(&recipes, "recipe/olmo-core/config.yaml");
    assert!(header.contains(&format!("#   bucket-01: {tokens}/bucket-01/olmo\n")), "{header}");
    assert!(header.contains(" of bucket-00 and ") && !header.contains("selected part"), "{header}");
}

#[test]
fn a_bucket_of_nothing_is_not_read() {
    let mut given = given(&[(2.0, 10), (1.0, 0), (0.0, 5)]);
    given.mixture.selected = SelectedWeight::Weight(1.0);
    let recipes = given.recipes().unwrap();
    for (trainer, shares) in shares(&recipes) {
        assert_eq!(shares, [1.0], "{trainer:?}");
    }
    let head = text(&recipes, "recipe/megatron/arguments.txt");
    assert!(head.contains("token files of bucket-00 were not there") && !head.contains("files of bucket-01"), "{head}");
}
