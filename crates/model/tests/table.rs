//! The table of `docs/models.md`: what the configurations of models that people know by name give. What is left out of a configuration here changes
//! nothing that is read.

use std::fmt::Write;
use std::path::Path;

use headwater_model::DecoderSpec;
use serde_json::{Value, json};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/models.md");
const BEGIN: &str = "<!-- models: made by crates/model/tests/table.rs -->\n";
const END: &str = "<!-- end of models -->";

/// Sizes of a configuration: layers, heads, key/value heads, hidden, intermediate, vocabulary, context.
fn sized(model_type: &str, sizes: [usize; 7], more: Value) -> Value {
    let [layers, heads, kv_heads, hidden, intermediate, vocab, context] = sizes;
    let mut config = json!({"model_type": model_type, "num_hidden_layers": layers, "num_attention_heads": heads,
        "num_key_value_heads": kv_heads, "hidden_size": hidden, "intermediate_size": intermediate, "vocab_size": vocab,
        "max_position_embeddings": context});
    let Value::Object(more) = more else { panic!("a table") };
    config.as_object_mut().expect("a table").extend(more);
    config
}

/// Models by their names on the hub, with what of their configuration decides.
fn models() -> Vec<(&'static str, Value)> {
    let llama3 = json!({"factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192, "rope_type": "llama3"});
    let yarn = json!({"rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": 8192, "attention_factor": 1.207_944_154_167_983_5,
        "beta_fast": 32.0, "beta_slow": 1.0});
    let longrope = json!({"type": "longrope", "short_factor": vec![1.0; 48], "long_factor": vec![2.0; 48]});
    let kinds: Vec<&str> =
        (1..=32).map(|layer| if layer % 4 == 0 { "full_attention" } else { "sliding_attention" }).collect();
    vec![
        (
            "HuggingFaceTB/SmolLM2-135M",
            sized(
                "llama",
                [30, 9, 3, 576, 1536, 49_152, 8192],
                json!({"rope_theta": 1e5, "tie_word_embeddings": true}),
            ),
        ),
        ("TinyLlama/TinyLlama-1.1B", sized("llama", [22, 32, 4, 2048, 5632, 32_000, 2048], json!({}))),
        (
            "meta-llama/Llama-3.2-1B",
            sized(
                "llama",
                [16, 32, 8, 2048, 8192, 128_256, 131_072],
                json!({"rope_theta": 5e5, "rope_scaling": llama3, "tie_word_embeddings": true}),
            ),
        ),
        (
            "mistralai/Mistral-7B-v0.1",
            sized("mistral", [32, 32, 8, 4096, 14_336, 32_000, 32_768], json!({"sliding_window": 4096})),
        ),
        (
            "Qwen/Qwen2.5-0.5B",
            sized(
                "qwen2",
                [24, 14, 2, 896, 4864, 151_936, 32_768],
                json!({"rope_theta": 1e6, "use_sliding_window": false, "sliding_window": 32_768, "max_window_layers": 24, "tie_word_embeddings": true}),
            ),
        ),
        (
            "Qwen/Qwen3-0.6B",
            sized(
                "qwen3",
                [28, 16, 8, 1024, 3072, 151_936, 40_960],
                json!({"head_dim": 128, "rope_theta": 1e6, "tie_word_embeddings": true}),
            ),
        ),
        (
            "HuggingFaceTB/SmolLM3-3B",
            sized("smollm3", [36, 16, 4, 2048, 11_008, 128_256, 65_536], json!({"rope_theta": 5e6})),
        ),
        (
            "ibm-granite/granite-3.3-2b-base",
            sized(
                "granite",
                [40, 32, 8, 2048, 8192, 49_152, 131_072],
                json!({"embedding_multiplier": 12.0, "residual_multiplier": 0.22, "attention_multiplier": 0.015_625, "logits_scaling": 8.0, "tie_word_embeddings": true}),
            ),
        ),
        (
            "microsoft/Phi-3-mini-4k-instruct",
            sized("phi3", [32, 32, 32, 3072, 8192, 32_064, 4096], json!({"sliding_window": 2047})),
        ),
        (
            "microsoft/Phi-4-mini-instruct",
            sized(
                "phi3",
                [32, 24, 8, 3072, 8192, 200_064, 131_072],
                json!({"partial_rotary_factor": 0.75, "original_max_position_embeddings": 4096, "rope_scaling": longrope, "tie_word_embeddings": true, "sliding_window": 262_144}),
            ),
        ),
        (
            "allenai/OLMo-2-0425-1B",
            sized("olmo2", [16, 16, 16, 2048, 8192, 100_352, 4096], json!({"rope_theta": 5e5, "rms_norm_eps": 1e-6})),
        ),
        (
            "allenai/Olmo-3-1025-7B",
            sized(
                "olmo3",
                [32, 32, 32, 4096, 11_008, 100_278, 65_536],
                json!({"rope_theta": 5e5, "rope_scaling": yarn, "sliding_window": 4096, "layer_types": kinds}),
            ),
        ),
        (
            "google/gemma-2b",
            sized("gemma", [18, 8, 1, 2048, 16_384, 256_000, 8192], json!({"head_dim": 256, "hidden_act": "gelu"})),
        ),
        (
            "google/gemma-2-2b",
            sized(
                "gemma2",
                [26, 8, 4, 2304, 9216, 256_000, 8192],
                json!({"head_dim": 256, "sliding_window": 4096, "query_pre_attn_scalar": 256, "attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0}),
            ),
        ),
        (
            "google/gemma-3-270m",
            sized(
                "gemma3_text",
                [18, 4, 1, 640, 2048, 262_144, 32_768],
                json!({"head_dim": 256, "sliding_window": 512, "query_pre_attn_scalar": 256, "rope_local_base_freq": 1e4, "rope_theta": 1e6}),
            ),
        ),
        (
            "EleutherAI/pythia-160m",
            sized(
                "gpt_neox",
                [12, 12, 12, 768, 3072, 50_304, 2048],
                json!({"rotary_pct": 0.25, "use_parallel_residual": true}),
            ),
        ),
        (
            "openai-community/gpt2",
            json!({"model_type": "gpt2", "n_layer": 12, "n_head": 12, "n_embd": 768, "n_positions": 1024, "n_ctx": 1024, "vocab_size": 50_257}),
        ),
        (
            "a Llama saved in 4 bits by bitsandbytes",
            sized(
                "llama",
                [16, 32, 8, 2048, 8192, 128_256, 131_072],
                json!({"quantization_config": {"quant_method": "bitsandbytes"}}),
            ),
        ),
        ("google/gemma-3-4b-pt", json!({"model_type": "gemma3", "text_config": {"model_type": "gemma3_text"}})),
        (
            "mistralai/Mixtral-8x7B-v0.1",
            sized("mixtral", [32, 32, 8, 4096, 14_336, 32_000, 32_768], json!({"num_local_experts": 8})),
        ),
        (
            "Qwen/Qwen3-30B-A3B",
            sized("qwen3_moe", [48, 32, 4, 2048, 6144, 151_936, 40_960], json!({"num_experts": 128})),
        ),
        ("facebook/opt-125m", json!({"model_type": "opt"})),
        ("bigscience/bloom-560m", json!({"model_type": "bloom"})),
        ("EleutherAI/gpt-neo-125m", json!({"model_type": "gpt_neo"})),
        ("microsoft/phi-2", json!({"model_type": "phi"})),
        ("stabilityai/stablelm-2-1_6b", json!({"model_type": "stablelm"})),
        ("state-spaces/mamba-130m-hf", json!({"model_type": "mamba"})),
    ]
}

fn table() -> String {
    let mut table = "| model | `model_type` | context, tokens | beside a Llama it has, or why it is refused |\n|---|---|---:|---|\n".to_owned();
    for (name, config) in models() {
        let kind = config["model_type"].as_str().expect("a type");
        let row = match DecoderSpec::of_config(Path::new("config.json"), config.to_string().as_bytes()) {
            Ok(spec) => format!("{} | {}", spec.shape.context_tokens, spec.particulars().join("; ")),
            Err(error) => {
                let error = error.to_string();
                let reason = error.trim_start_matches("config.json: ").split(';').next().unwrap_or_default().to_owned();
                format!("– | **refused**: {reason}")
            }
        };
        let _ = writeln!(table, "| {name} | `{kind}` | {row} |");
    }
    table
}

#[test]
fn the_page_says_what_runs() -> Result<(), Box<dyn std::error::Error>> {
    let page = fs_err::read_to_string(PAGE)?;
    let (before, rest) = page.split_once(BEGIN).expect("the page marks where the table begins");
    let (_, after) = rest.split_once(END).expect("the page marks where the table ends");
    let expected = format!("{before}{BEGIN}{}{END}{after}", table());
    let made = Path::new(env!("CARGO_TARGET_TMPDIR")).join("models.md");
    fs_err::write(&made, &expected)?;
    assert!(page == expected, "docs/models.md has another table: cp {} docs/models.md", made.display());
    Ok(())
}
