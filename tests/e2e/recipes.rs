//! Recipes: sizes by the data, files of earlier recipes, and what trainers read of JSON Lines.

use crate::site::{Outcome, PIPELINE, Site, pipeline, tiny};

const STAGED: [&str; 2] = ["--set", "mixture.decay=0.6"];

#[test]
fn the_command_tells_passes_and_the_sizes_that_it_chose() -> Outcome {
    let site = Site::new()?;
    site.done("run", &["--set", "recipe.sequence_tokens=64"])?;
    let told = site.done("recipe", &["--set", "recipe.sequence_tokens=64"])?;
    told.says(0, &["Preset: llama-2m", "Batch: ", "passes over corpus", "passes over selected", "arXiv 2305.16264"]);
    let head = fs_err::read_to_string(site.path("out/recipe/nanotron/config.yaml"))?;
    assert!(head.contains("Preset: llama-2m") && head.contains("Passes: corpus"), "{head}");
    let set = [
        "--set",
        "recipe.sequence_tokens=64",
        "--set",
        "recipe.preset=llama-7b",
        "--set",
        "recipe.batch_sequences=1024",
    ];
    let told = site.done("recipe", &set)?;
    assert!(!told.stderr.contains("is not set"), "{}", told.stderr);
    Ok(())
}

#[test]
fn data_that_fills_no_sequence_is_refused_and_the_rest_of_a_run_is_there() -> Outcome {
    let site = Site::new()?;
    let long = ["--set", "recipe.sequence_tokens=100000000"];
    site.done("run", &long)?
        .says(0, &["no recipe is written", "corpus has", "`recipe.sequence_tokens` is 100000000", "at most"]);
    assert!(site.path("out/report.html").exists() && !site.path("out/recipe").exists());
    site.stage("recipe", &long)?.says(1, &["does not fill one sequence"]);
    Ok(())
}

#[test]
fn files_of_an_earlier_recipe_go_unless_they_were_changed() -> Outcome {
    let site = Site::new()?;
    site.done("run", &STAGED)?;
    assert!(site.path("out/recipe/nanotron/config_2.yaml").exists());
    site.write("out/recipe/hf/notes.txt", "mine")?;
    site.done("recipe", &[])?;
    assert!(!site.path("out/recipe/nanotron/config_2.yaml").exists());
    site.write("out/recipe/nanotron/config_2.yaml", "mine")?;
    site.stage("recipe", &[])?.says(1, &["config_2.yaml", "not written by headwater, or changed since", "--out"]);
    site.stage("recipe", &["--set", "recipe.trainers=[]"])?.says(1, &["config_2.yaml"]);
    assert_eq!(site.read("out/recipe/nanotron/config_2.yaml")?, "mine");
    site.done("recipe", &["--out", "other"])?;
    fs_err::remove_file(site.path("out/recipe/nanotron/config_2.yaml"))?;
    site.done("recipe", &["--set", "recipe.trainers=[]"])?;
    let left: Vec<_> = site.artefacts()?.into_keys().filter(|path| path.starts_with("recipe/")).collect();
    assert_eq!(left, ["recipe/hf/notes.txt", "recipe/manifest.json"]);
    Ok(())
}

#[test]
fn recipes_of_json_lines_name_the_copies() -> Outcome {
    let site = Site::empty()?;
    fs_err::create_dir(site.path("c"))?;
    let lines: String = (0..40)
        .map(|row| format!("{{\"text\": \"{} number {row}.\"}}\n", "The river ran over the stones. ".repeat(20)))
        .collect();
    site.write("c/a.jsonl", &lines)?;
    let table = "[[corpus]]\nname = \"web\"\npaths = [\"c/a.jsonl\"]\n";
    site.write(PIPELINE, &pipeline(table, &tiny("llama")))?;
    let set = ["--set", "recipe.sequence_tokens=64", "--set", "recipe.trainers=[\"hf\"]"];
    site.done("run", &set)?;
    let files = |site: &Site| -> Result<serde_json::Value, Box<dyn std::error::Error>> {
        Ok(site.json("recipe/hf/mixture.json")?["parts"][0]["sources"][0]["data_files"].clone())
    };
    assert_eq!(files(&site)?, serde_json::json!(["out/copies/web/**/*.parquet"]));
    // the copy of another version lies beside it, but is not read
    let copies = site.artefacts()?.into_keys().filter(|path| path.starts_with("copies/")).collect::<Vec<_>>();
    site.write("out/copies/web/a.jsonl-0000000000000000.parquet", "other")?;
    site.done("recipe", &set)?;
    assert_eq!(files(&site)?, serde_json::json!([format!("out/{}", copies[0])]));
    Ok(())
}

#[test]
fn documents_that_spell_the_end_are_told() -> Outcome {
    let site = Site::new()?;
    let eos = "tokens.eos=\"e\"";
    site.done("run", &["--set", "recipe.sequence_tokens=64"])?;
    let set = ["--set", "tokens.formats=[\"datatrove\"]", "--set", eos, "--set", "recipe.sequence_tokens=64"];
    site.done("tokens", &set)?.says(0, &["documents of the corpus spell e in their text"]);
    site.done("recipe", &set)?;
    let head = fs_err::read_to_string(site.path("out/recipe/nanotron/config.yaml"))?;
    assert!(head.contains("documents of corpus spell e in their text"), "{head}");
    Ok(())
}
