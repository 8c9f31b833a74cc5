//! Configurations: what is read of them, and what is taken where they are silent.

use std::path::Path;

use serde_json::{Value, json};

use super::*;
use crate::RopeScaling;
use crate::spec::{Biases, Tying};

/// Reads a configuration of `model_type` with small sizes and `more`.
fn read(model_type: &str, more: Value) -> Result<DecoderSpec, Error> {
    let mut config = json!({"model_type": model_type, "num_hidden_layers": 6, "num_attention_heads": 4, "num_key_value_heads": 2,
        "hidden_size": 32, "intermediate_size": 64, "vocab_size": 300, "head_dim": 8, "max_position_embeddings": 256, "pad_token_id": 0});
    let Value::Object(more) = more else { panic!("a table") };
    config.as_object_mut().expect("a table").extend(more);
    let keys = Keys::of_json(Path::new("config.json"), config.to_string().as_bytes())?;
    Ok(described(&keys)?.1)
}

fn windows(spec: &DecoderSpec) -> Vec<usize> {
    spec.layers.iter().map(|layer| layer.window.map_or(0, std::num::NonZeroUsize::get)).collect()
}

#[test]
fn a_configuration_may_be_silent() -> Result<(), Error> {
    let llama = read("llama", json!({}))?;
    assert_eq!((llama.norm_eps, llama.ropes[0].theta, llama.tying), (1e-6, 1e4, Tying::Untied));
    assert_eq!(llama.biases, Biases::Known { projections: false, output: false, mlp: false });
    assert_eq!(read("smollm3", json!({}))?.tying, Tying::Tied);
    assert_eq!(read("smollm3", json!({}))?.ropes[0].theta, 2e6);
    assert_eq!(read("olmo2", json!({}))?.norm_eps, 1e-5);
    assert_eq!(read("mistral", json!({"head_dim": null}))?.shape.head_dim, 8);
    for architecture in ["qwen2", "qwen3", "granite"] {
        assert!(
            read(architecture, json!({"head_dim": null})).is_err(),
            "{architecture}: a default only if there is no such key"
        );
    }
    assert!(read("gemma2", json!({"num_key_value_heads": null})).is_err(), "as in Qwen 3");
    assert!(read("mistral", json!({"mlp_bias": null})).is_ok(), "it has no such key");
    let absent = r#"{"model_type": "qwen3", "num_hidden_layers": 1, "num_attention_heads": 2, "hidden_size": 32, "intermediate_size": 64,
        "vocab_size": 300, "num_key_value_heads": null}"#;
    let keys = Keys::of_json(Path::new("config.json"), absent.as_bytes())?;
    let qwen3 = (of(&keys)?.read)(&keys)?;
    assert_eq!((qwen3.shape.head_dim, qwen3.shape.kv_heads, qwen3.shape.context_tokens), (128, 2, 1 << 15));
    Ok(())
}

#[test]
fn layers_see_what_their_kind_sees() -> Result<(), Error> {
    assert_eq!(windows(&read("mistral", json!({"max_position_embeddings": 8_192}))?), [4_096; 6]);
    assert_eq!(windows(&read("mistral", json!({}))?), [0; 6], "as long as the context");
    assert_eq!(windows(&read("mistral", json!({"sliding_window": null}))?), [0; 6]);
    assert_eq!(windows(&read("mistral", json!({"sliding_window": 64}))?), [64; 6]);
    assert_eq!(windows(&read("qwen2", json!({"sliding_window": 64, "max_window_layers": 4}))?), [0; 6]);
    let used = json!({"sliding_window": 64, "max_window_layers": 4, "use_sliding_window": true});
    assert_eq!(windows(&read("qwen2", used)?), [0, 0, 0, 0, 64, 64]);
    assert_eq!(windows(&read("gemma2", json!({"sliding_window": 64}))?), [64, 0, 64, 0, 64, 0]);
    assert_eq!(windows(&read("gemma3_text", json!({"sliding_window": 64}))?), [64, 64, 64, 64, 64, 0]);
    assert_eq!(windows(&read("olmo3", json!({"sliding_window": 64}))?), [64, 64, 64, 0, 64, 64]);
    let kinds = json!({"layer_types": vec!["full_attention"; 6], "sliding_window": 64});
    assert_eq!(windows(&read("gemma2", kinds)?), [0; 6]);
    let chunked = read("gemma2", json!({"layer_types": vec!["chunked_attention"; 6]})).expect_err("another kind");
    assert!(chunked.to_string().contains("chunked_attention"), "{chunked}");
    assert!(read("gemma2", json!({"layer_types": ["full_attention"]})).is_err(), "one of six");
    Ok(())
}

#[test]
fn every_fourth_layer_of_smollm3_is_not_rotated() -> Result<(), Error> {
    let rotated = |spec: DecoderSpec| spec.layers.iter().map(|layer| layer.rope.is_some()).collect::<Vec<_>>();
    assert_eq!(rotated(read("smollm3", json!({}))?), [true, true, true, false, true, true]);
    let flags = json!({"no_rope_layers": [0, 1, 1, 1, 1, 0]});
    assert_eq!(rotated(read("smollm3", flags)?), [false, true, true, true, true, false]);
    assert!(read("smollm3", json!({"no_rope_layers": [0, 1]})).is_err(), "two of six");
    assert!(read("smollm3", json!({"no_rope_layers": [0, 1, 1, 1, 1, 2]})).is_err(), "2 is no flag");
    Ok(())
}

#[test]
fn a_base_inside_the_table_is_before_one_beside_it() -> Result<(), Error> {
    let theta = |more| Ok::<f64, Error>(read("llama", more)?.ropes[0].theta);
    assert_eq!(theta(json!({"rope_theta": 5e5}))?, 5e5);
    assert_eq!(theta(json!({"rope_theta": 1e4, "rope_parameters": {"rope_theta": 5e5}}))?, 5e5);
    assert_eq!(theta(json!({"rope_parameters": {"rope_type": "default"}}))?, 1e4);
    // of two tables the older one is taken, as by transformers
    let both = json!({"rope_theta": 3e4, "rope_parameters": {"rope_theta": 5e5}, "rope_scaling": {"type": "linear", "factor": 4.0}});
    let rope = &read("llama", both)?.ropes[0];
    assert_eq!((rope.theta, &rope.scaling), (3e4, &RopeScaling::Linear { factor: 4.0 }));
    assert_eq!(theta(json!({"rope_theta": 3e4, "rope_scaling": {}, "rope_parameters": {"rope_theta": 5e5}}))?, 5e5);
    Ok(())
}

#[test]
fn layers_of_two_kinds_have_two_bases() -> Result<(), Error> {
    let theta = |model_type, more| {
        Ok::<_, Error>(read(model_type, more)?.ropes.iter().map(|rope| rope.theta).collect::<Vec<_>>())
    };
    assert_eq!(theta("gemma3_text", json!({}))?, [1e6, 1e4]);
    assert_eq!(theta("gemma3_text", json!({"rope_theta": 2e6, "rope_local_base_freq": 3e4}))?, [2e6, 3e4]);
    let tables =
        json!({"rope_parameters": {"full_attention": {"rope_theta": 7.0}, "sliding_attention": {"rope_theta": 8.0}}});
    assert_eq!(theta("gemma3_text", tables)?, [7.0, 8.0]);
    let scaled = read("gemma3_text", json!({"rope_scaling": {"rope_type": "linear", "factor": 8.0}}))?;
    assert_eq!(scaled.ropes[0].scaling, RopeScaling::Linear { factor: 8.0 });
    assert_eq!(scaled.ropes[1].scaling, RopeScaling::None);
    assert!(read("gemma3_text", json!({"rope_parameters": {"rope_theta": 7.0}})).is_err(), "of which kind?");
    assert!(read("llama", json!({"rope_parameters": {"full_attention": {"rope_theta": 7.0}}})).is_err(), "of one kind");
    Ok(())
}

#[test]
fn unknown_scaling_is_refused_wherever_it_stands() {
    for table in ["rope_scaling", "rope_parameters"] {
        for key in ["type", "rope_type"] {
            let error =
                read("llama", json!({table: {key: "dynamic", "factor": 4.0}})).expect_err("it is not supported");
            assert!(error.to_string().contains("dynamic") && error.to_string().contains(table), "{error}");
        }
    }
}

#[test]
fn llama3_keeps_high_frequencies_and_stretches_low_ones() -> Result<(), Error> {
    let table = json!({"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 128});
    let scaled = read("llama", json!({"head_dim": 64, "rope_scaling": table}))?.ropes[0].frequencies();
    let plain = read("llama", json!({"head_dim": 64}))?.ropes[0].frequencies();
    assert_eq!(scaled[0], plain[0]);
    assert_eq!(scaled[31], plain[31] / 8.0);
    Ok(())
}

#[test]
fn yarn_divides_rare_turns_and_keeps_frequent_ones() -> Result<(), Error> {
    let table = json!({"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64});
    let scaled = &read("llama", json!({"head_dim": 64, "rope_scaling": table}))?.ropes[0];
    let plain = read("llama", json!({"head_dim": 64}))?.ropes[0].frequencies();
    assert_eq!(scaled.frequencies()[0], plain[0]);
    assert!((scaled.frequencies()[31] - plain[31] / 4.0).abs() < 1e-12 * plain[31]);
    assert!((scaled.magnitude - (0.1 * 4.0_f64.ln() + 1.0)).abs() < 1e-12);
    Ok(())
}

#[test]
fn an_original_context_beside_the_table_comes_before_one_inside_it() -> Result<(), Error> {
    let original = |scaling: &RopeScaling| match scaling {
        RopeScaling::Yarn { original_context_tokens, .. } | RopeScaling::Llama3 { original_context_tokens, .. } => {
            *original_context_tokens
        }
        other => panic!("{other:?} has no original context"),
    };
    for kind in ["yarn", "llama3"] {
        let table = json!({"rope_type": kind, "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64});
        let spec =
            |beside: Value| read("llama", json!({"rope_scaling": table, "original_max_position_embeddings": beside}));
        assert_eq!(original(&spec(json!(16))?.ropes[0].scaling), 16.0, "{kind}");
        assert!(spec(Value::Null).is_err() && spec(json!({})).is_err(), "{kind}");
        assert_eq!(original(&read("llama", json!({"rope_scaling": table}))?.ropes[0].scaling), 64.0, "{kind}");
    }
    let linear =
        json!({"rope_scaling": {"rope_type": "linear", "factor": 4.0}, "original_max_position_embeddings": null});
    read("llama", linear).map(|_| ())
}

#[test]
fn nulls_that_transformers_refuses_are_refused() -> Result<(), Error> {
    for (architecture, key) in [
        ("llama", "hidden_act"),
        ("llama", "attention_bias"),
        ("llama", "tie_word_embeddings"),
        ("llama", "rms_norm_eps"),
        ("olmo2", "max_position_embeddings"),
        ("llama", "rope_theta"),
        ("qwen2", "use_sliding_window"),
        ("granite", "residual_multiplier"),
        ("gpt_neox", "use_parallel_residual"),
    ] {
        let error = read(architecture, json!({key: null})).expect_err(key).to_string();
        assert!(error.contains(&format!("`{key}` is null")), "{error}");
    }
    assert!(read("phi3", json!({"original_max_position_embeddings": null})).is_err());
    read("llama", json!({"rope_theta": null, "rope_parameters": {"rope_theta": 500.0}}))?;
    read("gemma", json!({"hidden_act": "gelu", "hidden_activation": null}))?;
    read("llama", json!({"head_dim": null, "num_key_value_heads": null})).map(|_| ())
}

#[test]
fn damaged_lists_and_tables_are_refused() {
    for table in ["rope_parameters", "rope_scaling"] {
        assert!(read("gpt2", json!({table: 1.0})).is_err(), "a table that nothing reads");
    }
    let scaling = json!({"rope_type": "linear", "factor": 8.0});
    assert!(read("gemma3_text", json!({"rope_parameters": {}, "rope_scaling": scaling})).is_err(), "no table to scale");
    assert!(read("gemma3_text", json!({"rope_parameters": {}})).is_ok());
    for architecture in ["phi3", "mistral", "gemma2"] {
        assert!(read(architecture, json!({"sliding_window": 0})).is_err(), "{architecture} would see nothing");
    }
    assert!(read("gpt_neox", json!({"rope_theta": 500.0})).is_err(), "transformers reads another key");
    assert!(read("gpt_neox", json!({"rope_theta": 500.0, "rotary_emb_base": 500})).is_ok(), "both say one thing");
    assert!(read("gpt_neox", json!({"rotary_emb_base": null})).is_err(), "a default only if there is no such key");
    let table = json!({"rope_type": "default", "rope_theta": 500.0, "partial_rotary_factor": 1.0});
    let resaved = json!({"rope_theta": 500.0, "partial_rotary_factor": 1.0, "rope_parameters": table});
    assert_eq!(read("gpt_neox", resaved).map(|spec| spec.ropes[0].theta).ok(), Some(500.0), "the table comes first");
    assert!(read("gemma3_text", json!({"partial_rotary_factor": 0})).is_err(), "nothing would be rotated");
    assert!(read("gemma3_text", json!({"attn_logit_softcapping": 0.5})).is_err(), "transformers does not use it");
    assert!(read("gemma3_text", json!({"sliding_window_pattern": 0})).is_err(), "a layer of none");
    let listed = json!({"sliding_window_pattern": 0, "layer_types": vec!["full_attention"; 6]});
    assert!(read("gemma3_text", listed).is_ok(), "the pattern is not read");
    assert!(read("smollm3", json!({"no_rope_layer_interval": 0})).is_err(), "a layer of none");
    assert!(read("qwen2", json!({"sliding_window": 0})).is_ok(), "it is not used");
    assert!(read("qwen2", json!({"sliding_window": 0.25})).is_err(), "no whole number");
    assert!(read("llama", json!({"pad_token_id": 300})).is_err(), "beyond the vocabulary of 300");
    assert!(read("llama", json!({"pad_token_id": -1})).is_ok() && read("llama", json!({"pad_token_id": null})).is_ok());
    assert!(read("gemma2", json!({"query_pre_attn_scalar": 12.0})).is_err(), "a whole number by its type");
    for (key, value) in [
        ("layer_types", json!(1.0)),
        ("layer_types", json!(false)),
        ("layer_types", json!([])),
        ("quantization_config", json!({})),
    ] {
        let error = read("llama", json!({key: value})).expect_err(key).to_string();
        assert!(error.contains(key), "{error}");
    }
}

#[test]
fn tables_of_rotation_that_mean_nothing_are_refused() {
    let yarn = json!({"rope_type": "yarn", "factor": 4.0});
    assert!(read("llama", json!({"rope_parameters": yarn})).is_ok());
    for (key, value) in [
        ("rope_type", Value::Null),
        ("factor", Value::Null),
        ("rope_theta", Value::Null),
        ("rope_theta", json!(1.0)),
        ("partial_rotary_factor", Value::Null),
        ("original_max_position_embeddings", Value::Null),
        ("beta_fast", json!(-1.0)),
    ] {
        let mut table = yarn.clone();
        table[key] = value;
        assert!(read("llama", json!({"rope_parameters": table.clone()})).is_err(), "{table}");
    }
    assert!(read("llama", json!({"rope_parameters": {"rope_type": "yarn"}})).is_err(), "no factor");
    assert!(read("gpt2", json!({"rope_parameters": {"rope_type": "yarn"}})).is_err(), "nothing is rotated");
    let mut llama3 = json!({"rope_type": "llama3", "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0});
    assert!(read("llama", json!({"rope_scaling": llama3})).is_ok());
    llama3["high_freq_factor"] = json!(1.0);
    assert!(read("llama", json!({"rope_scaling": llama3})).is_err(), "nothing lies between them");
    assert!(read("olmo3", json!({"rope_scaling": {"rope_type": "linear", "factor": 8.0}})).is_ok());
    let older = json!({"rope_scaling": {"type": "linear", "factor": 8.0}});
    assert!(read("olmo3", older).is_err(), "transformers reads the newer name alone");
    assert!(
        read("llama", json!({"rope_parameters": yarn, "original_max_position_embeddings": 0})).is_err(),
        "no context"
    );
}

#[test]
fn a_header_calls_the_method_of_scaling_by_its_older_name() -> Result<(), Error> {
    let values = json!({"model_type": "gemma3", "num_hidden_layers": 6, "num_attention_heads": 4, "num_key_value_heads": 2, "hidden_size": 32,
        "intermediate_size": 64, "vocab_size": 300, "head_dim": 8, "max_position_embeddings": 256, "sliding_window": 64,
        "rope_scaling": {"type": "linear", "factor": 8.0}});
    let Value::Object(values) = values else { panic!("a table") };
    let keys = Keys::of_header(Path::new("gemma.gguf"), values, std::collections::BTreeMap::new(), String::new());
    let spec = described(&keys)?.1;
    assert_eq!(spec.ropes[0].scaling, RopeScaling::Linear { factor: 8.0 });
    assert_eq!(spec.ropes[1].scaling, RopeScaling::None);
    Ok(())
}

#[test]
fn longrope_holds_for_windows_of_the_original_context() -> Result<(), Error> {
    let table = json!({"type": "longrope", "short_factor": vec![2.0; 4], "long_factor": vec![8.0; 4]});
    let spec = read("phi3", json!({"original_max_position_embeddings": 64, "rope_scaling": table}))?;
    assert_eq!((spec.shape.context_tokens, &spec.ropes[0].scaling), (64, &RopeScaling::Divisors(vec![2.0; 4])));
    assert!((spec.ropes[0].magnitude - (1.0 + 4.0_f64.ln() / 64.0_f64.ln()).sqrt()).abs() < 1e-12);
    let short = json!({"type": "longrope", "short_factor": vec![2.0; 3], "long_factor": vec![8.0; 3]});
    assert!(read("phi3", json!({"rope_scaling": short})).is_err(), "three divisors of four pairs");
    Ok(())
}

#[test]
fn sizes_that_are_none_are_refused() {
    for (key, value) in [
        ("num_attention_heads", json!(0)),
        ("num_attention_heads", json!(-4)),
        ("num_key_value_heads", json!(3)),
        ("hidden_size", json!(1_u64 << 40)),
        ("vocab_size", json!("many")),
        ("head_dim", json!(7)),
        ("rms_norm_eps", json!(0.0)),
        ("hidden_act", json!("relu6")),
        ("num_hidden_layers", Value::Null),
    ] {
        assert!(read("llama", json!({key: value})).is_err(), "{key}: {value}");
    }
}

#[test]
fn experts_are_named_as_such() {
    let error = read("mixtral", json!({"num_local_experts": 8})).expect_err("not supported").to_string();
    assert!(error.contains("mixtral, a mixture of experts"), "{error}");
    let error = read("bloom", json!({})).expect_err("not supported").to_string();
    assert!(error.contains("`model_type` is bloom") && error.contains("gpt_neox"), "{error}");
}
