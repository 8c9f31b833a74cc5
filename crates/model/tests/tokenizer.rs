//! The tokenizers of the tiny models against Hugging Face's, and long texts against short ones.

mod fixture;

use fixture::{Outcome, load, paths, tiny};
use headwater_model::{EngineOptions, Model, TokenSpan, Tokenizer, TokenizerSettings};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;
use tokenizers::Tokenizer as HfTokenizer;

#[derive(Deserialize)]
struct Reference {
    bos: u32,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    text: String,
    ids: Vec<u32>,
    #[serde(default)]
    spans: Vec<(usize, usize)>,
}

fn reference() -> Result<Reference, Box<dyn std::error::Error>> {
    Ok(serde_json::from_slice(&fs_err::read(tiny("tokens.json"))?)?)
}

fn agrees(tokenizer: &Tokenizer) -> Outcome {
    for Case { text, ids, spans } in reference()?.cases {
        assert_eq!(tokenizer.encode(&text)?, ids, "{text:?}");
        let expected = ids.iter().zip(spans).map(|(id, (start, end))| TokenSpan { id: *id, start, end });
        assert_eq!(tokenizer.encode_with_spans(&text)?, expected.collect::<Vec<_>>(), "{text:?}");
    }
    Ok(())
}

#[test]
fn json_tokenizers_agree() -> Outcome {
    for name in ["llama", "llama3_rope", "mistral", "qwen2", "qwen3"] {
        let model = load(&tiny(name), &EngineOptions::default())?;
        assert_eq!(model.tokenizer().leading(), [0_u32; 0], "{name}");
        agrees(model.tokenizer())?;
    }
    Ok(())
}

#[test]
fn a_bos_that_the_tokenizer_adds_is_told_and_left_out() -> Outcome {
    let mut paths = paths(&tiny("llama"))?;
    paths.tokenizer = Some(tiny("tokenizer_bos.json"));
    let model = Model::load(&paths, &EngineOptions::default())?;
    assert_eq!(model.tokenizer().leading(), [reference()?.bos]);
    agrees(model.tokenizer())
}

#[test]
fn all_tokens_that_a_template_puts_before_a_text_are_told() -> Outcome {
    let mut json: serde_json::Value = serde_json::from_slice(&fs_err::read(tiny("tokenizer_bos.json"))?)?;
    let special = json["post_processor"]["special_tokens"]["<s>"].clone();
    json["post_processor"]["single"] = serde_json::json!([
        {"SpecialToken": {"id": "<s>", "type_id": 0}}, {"SpecialToken": {"id": "<filename>", "type_id": 0}},
        {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "<s>", "type_id": 0}}]);
    json["post_processor"]["special_tokens"] =
        serde_json::json!({"<s>": special, "<filename>": {"id": "<filename>", "ids": [1], "tokens": ["<filename>"]}});
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("tokenizer.json");
    fs_err::write(&path, serde_json::to_vec(&json)?)?;
    let tokenizer = Tokenizer::open(&path)?;
    assert_eq!(tokenizer.leading(), [2, 1]);
    agrees(&tokenizer)
}

#[test]
fn gguf_tokenizers_agree() -> Outcome {
    for (name, bos) in [("llama-f32.gguf", &[][..]), ("llama-mixed.gguf", &[]), ("qwen2-mixed.gguf", &[2])] {
        let model = load(&tiny(name), &EngineOptions::default())?;
        assert_eq!(model.tokenizer().leading(), bos, "{name}");
        agrees(model.tokenizer())?;
    }
    Ok(())
}

#[test]
fn sentence_pieces_of_a_gguf_agree() -> Outcome {
    for name in ["sentence_pieces", "sentence_pieces_bare"] {
        let Reference { bos, cases } = serde_json::from_slice(&fs_err::read(tiny(&format!("{name}.json")))?)?;
        let tokenizer = Tokenizer::load(&paths(&tiny(&format!("{name}.gguf")))?)?;
        assert_eq!((tokenizer.leading(), tokenizer.eos()?), (&[bos][..], Some(2)), "{name}");
        let mut text = String::new();
        for case in &cases {
            assert_eq!(tokenizer.encode(&case.text)?, case.ids, "{name}: {:?}", case.text);
            text += &case.text;
        }
        // a piece stands for a space, and is one when it is read back; so is one that a text spells
        let decoded = cases.iter().filter(|case| !case.text.contains('▁'));
        for case in decoded {
            assert_eq!(tokenizer.decode(&case.ids)?, case.text, "{name}");
        }
        // a text that is cut has no more marks of beginnings than the whole
        let text = text.repeat((3 << 19) / text.len());
        let whole: HfTokenizer = tokenizer.to_json()?.parse().map_err(|error| format!("{error}"))?;
        let whole = whole.encode(text.as_str(), false).map_err(|error| error.to_string())?;
        assert!(tokenizer.encode(&text)? == whole.get_ids(), "{name}: the ids differ");
    }
    Ok(())
}

#[test]
fn sentence_pieces_that_nothing_orders_are_refused() -> Outcome {
    let whole = fs_err::read(tiny("sentence_pieces.gguf"))?;
    let key = b"tokenizer.ggml.scores";
    let at = whole.windows(key.len()).position(|window| window == key).ok_or("a file with scores")? + key.len();
    // the type of the value, that of its numbers, and how many there are
    let count = u64::from_le_bytes(whole[at + 8..at + 16].try_into()?);
    let mut damaged = whole.clone();
    for score in damaged[at + 16..].chunks_exact_mut(4).take(usize::try_from(count)?) {
        score.copy_from_slice(&(-1000.0_f32).to_le_bytes());
    }
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("model.gguf");
    fs_err::write(&path, damaged)?;
    let error = Tokenizer::load(&paths(&path)?).expect_err("any order would do").to_string();
    assert!(error.contains("tokenizer.ggml.scores") && error.contains("-1000 for every piece"), "{error}");
    Ok(())
}

#[test]
fn a_json_tokenizer_replaces_that_of_a_gguf() -> Outcome {
    let mut paths = paths(&tiny("llama-f32.gguf"))?;
    paths.tokenizer = Some(tiny("tokenizer_bos.json"));
    let model = Model::load(&paths, &EngineOptions::default())?;
    assert_eq!(model.tokenizer().leading(), [2]);
    agrees(model.tokenizer())
}

#[test]
fn a_text_that_is_cut_gives_the_tokens_of_the_whole() -> Outcome {
    let cases = reference()?.cases;
    let mut text = String::new();
    for turn in 0.. {
        for case in &cases {
            text += &case.text;
            text += [" ", "\n", "\n\n  ", ".\n", "\r\n"][turn % 5];
        }
        if text.len() > (5 << 20) / 4 {
            break;
        }
    }
    let model = load(&tiny("llama"), &EngineOptions::default())?;
    let whole = HfTokenizer::from_file(tiny("llama/tokenizer.json")).map_err(|error| error.to_string())?;
    let whole = whole.encode(text.as_str(), false).map_err(|error| error.to_string())?;
    assert!(model.tokenizer().encode(&text)? == whole.get_ids(), "the ids differ");
    let spans = model.tokenizer().encode_with_spans(&text)?;
    assert!(
        spans.iter().map(|span| (span.start, span.end)).eq(whole.get_offsets().iter().copied()),
        "the spans differ"
    );
    Ok(())
}

#[test]
fn a_tokenizer_loads_without_its_model() -> Outcome {
    for name in ["llama", "qwen3", "llama-f32.gguf", "qwen2-mixed.gguf"] {
        let paths = paths(&tiny(name))?;
        let (alone, model) = (Tokenizer::load(&paths)?, Model::load(&paths, &EngineOptions::default())?);
        assert_eq!((alone.hash(), alone.leading()), (model.tokenizer().hash(), model.tokenizer().leading()), "{name}");
        assert_eq!(alone.eos()?, Some(0), "{name}");
        assert_eq!(
            (alone.id_to_token(0).as_deref(), alone.token_to_id("<|endoftext|>")),
            (Some("<|endoftext|>"), Some(0)),
            "{name}"
        );
        assert!(alone.vocab_size() <= model.shape().vocab as u64, "{name}");
        agrees(&alone)?;
    }
    Ok(())
}

#[test]
fn a_tokenizer_that_is_written_decodes_what_it_encodes() -> Outcome {
    const PARTS: [&str; 24] = [
        "a",
        "the",
        " ",
        "  ",
        "\n",
        "\r\n",
        "\t",
        "é",
        "e\u{301}",
        "漢字",
        "🙂",
        "👩‍💻",
        "\u{0}",
        "\u{7f}",
        "Ġ",
        "Ċ",
        "<|endoftext|>",
        "<|",
        "'s",
        "12",
        "\u{feff}",
        "\u{200b}",
        "ﬁ",
        "\u{10ffff}",
    ];
    for name in ["llama", "llama-f32.gguf", "llama-mixed.gguf"] {
        let ours = Tokenizer::load(&paths(&tiny(name))?)?;
        let written = HfTokenizer::from_bytes(ours.to_json()?.as_bytes()).map_err(|error| error.to_string())?;
        let mut random = ChaCha8Rng::seed_from_u64(7);
        for _ in 0..10_000 {
            let parts = random.random_range(0..12);
            let text: String = (0..parts).map(|_| PARTS[random.random_range(0..PARTS.len())]).collect();
            let ids = ours.encode(&text)?;
            assert_eq!(
                written.encode_fast(&*text, false).map_err(|error| error.to_string())?.get_ids(),
                ids,
                "{name} {text:?}"
            );
            assert_eq!(written.decode(&ids, false).map_err(|error| error.to_string())?, text, "{name}");
        }
    }
    Ok(())
}

#[test]
fn special_tokens_context_and_template_are_the_models_own() -> Outcome {
    // transformers 4 writes tokens as objects and no length as 10^30; transformers 5 writes extra tokens and a template of its own
    let old = r#"{"bos_token": {"content": "<|endoftext|>"}, "unk_token": "<none of these>", "pad_token": "<filename>",
        "additional_special_tokens": ["<filename>"], "model_max_length": 1e30, "chat_template": "{{ old }}"}"#;
    let new =
        r#"{"bos_token": "<|endoftext|>", "extra_special_tokens": {"file": "<filename>"}, "model_max_length": 128}"#;
    let expected = TokenizerSettings {
        bos_token: Some("<|endoftext|>".to_owned()),
        additional_special_tokens: vec!["<filename>".to_owned()],
        ..TokenizerSettings::default()
    };
    for (config, template, expected) in [
        (
            old,
            None,
            TokenizerSettings {
                pad_token: Some("<filename>".to_owned()),
                model_max_length: Some(256),
                chat_template: Some("{{ old }}".into()),
                ..expected.clone()
            },
        ),
        (
            new,
            Some("{{ new }}"),
            TokenizerSettings { model_max_length: Some(128), chat_template: Some("{{ new }}".into()), ..expected },
        ),
    ] {
        let folder = tempfile::tempdir()?;
        for name in ["tokenizer.json", "config.json"] {
            fs_err::copy(tiny("llama").join(name), folder.path().join(name))?;
        }
        fs_err::write(folder.path().join("tokenizer_config.json"), config)?;
        template.map_or(Ok(()), |text| fs_err::write(folder.path().join("chat_template.jinja"), text))?;
        assert_eq!(Tokenizer::open(&folder.path().join("tokenizer.json"))?.settings()?, expected);
    }
    let settings = Tokenizer::load(&paths(&tiny("qwen2-mixed.gguf"))?)?.settings()?;
    assert_eq!(settings.model_max_length, Some(256));
    assert!(settings.bos_token.is_some(), "{settings:?}");
    Ok(())
}

#[test]
fn a_written_tokenizer_begins_texts_as_the_model_does() -> Outcome {
    for (name, bos) in [("llama-f32.gguf", None), ("qwen2-mixed.gguf", Some(2))] {
        let json = Tokenizer::load(&paths(&tiny(name))?)?.to_json()?;
        let written = HfTokenizer::from_bytes(json).map_err(|error| error.to_string())?;
        let ids = |specials| written.encode("a b", specials).map(|encoding| encoding.get_ids().to_vec());
        let (with, without) = (ids(true).map_err(|e| e.to_string())?, ids(false).map_err(|e| e.to_string())?);
        let expected: Vec<u32> = bos.into_iter().chain(without).collect();
        assert_eq!(with, expected, "{name}");
    }
    Ok(())
}
