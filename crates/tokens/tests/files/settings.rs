//! Tokenizers and settings that cannot work, and those that do not fit what is there.

use headwater_model::Tokenizer;
use headwater_tokens::{TokenBytes, TokenizerSetup, TokensConfig};

use crate::support::{EOS, Outcome, Site, Until, WHOLE, every_format, tokenizer, tokenizer_json, write, write_all};

/// The token after every document, with a tokenizer whose last special token is `special` and files beside it.
fn eos(
    special: &str,
    beside: &[(&str, &str)],
    wanted: Option<&str>,
) -> Result<Result<(u32, String), String>, Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    fs_err::write(folder.path().join("tokenizer.json"), tokenizer_json(&[], special))?;
    for (name, json) in beside {
        fs_err::write(folder.path().join(name), json)?;
    }
    let tokenizer = Tokenizer::open(&folder.path().join("tokenizer.json"))?;
    let config = TokensConfig { eos: wanted.map(str::to_owned), ..every_format() };
    let setup = TokenizerSetup::new(&config, &tokenizer, "words", 8192);
    Ok(setup.map(|setup| (setup.eos().id, setup.eos().text.clone())).map_err(|error| error.to_string()))
}

#[test]
fn documents_end_as_in_pretraining_else_as_the_model_says() -> Outcome {
    let chat = [("config.json", r#"{"eos_token_id": 2}"#)];
    assert_eq!(eos("<|endoftext|>", &chat, None)?, Ok((EOS, "<|endoftext|>".to_owned())));
    assert_eq!(eos("<|end_of_text|>", &chat, None)?, Ok((EOS, "<|end_of_text|>".to_owned())));
    assert_eq!(eos("</s>", &chat, None)?, Ok((2, "b".to_owned())));
    assert_eq!(eos("<|endoftext|>", &chat, Some("b"))?, Ok((2, "b".to_owned())));
    let several = [("generation_config.json", r#"{"eos_token_id": [7, 2]}"#), chat[0]];
    assert_eq!(eos("</s>", &several, None)?, Ok((EOS, "</s>".to_owned())));
    for own in [r#"{"eos_token": "</s>"}"#, r#"{"eos_token": {"content": "</s>", "lstrip": false}}"#] {
        assert_eq!(eos("</s>", &[("tokenizer_config.json", own), chat[0]], None)?, Ok((EOS, "</s>".to_owned())));
    }
    Ok(())
}

#[test]
fn an_end_that_is_not_known_is_asked_for() -> Outcome {
    let error = eos("</s>", &[], None)?.expect_err("nothing says so");
    assert!(error.contains("tokens.eos") && error.contains("words"), "{error}");
    let error = eos("</s>", &[], Some("<|eot|>"))?.expect_err("no such token");
    assert!(error.contains("`tokens.eos` is \"<|eot|>\"") && error.contains("words"), "{error}");
    let error = eos("</s>", &[("config.json", "{")], None)?.expect_err("no JSON");
    assert!(error.contains("config.json"), "{error}");
    Ok(())
}

#[test]
fn a_vocabulary_too_large_for_two_bytes_is_refused() -> Outcome {
    let config = TokensConfig { token_bytes: TokenBytes::Two, ..every_format() };
    let fits = tokenizer(&[("e", 65_535)])?;
    assert!(TokenizerSetup::new(&config, &fits, "words", 8192).is_ok());
    let large = tokenizer(&[("e", 65_536)])?;
    let error = TokenizerSetup::new(&config, &large, "words", 8192).expect_err("too large").to_string();
    for part in ["words", "65536", "65537", "use 4"] {
        assert!(error.contains(part), "{error}");
    }
    Ok(())
}

#[test]
fn widths_follow_the_vocabulary() -> Outcome {
    let site = Site::new(&[("web", &[Some(b"a e")])])?;
    let plan = site.plan(&["web"])?;
    write(&site, (&plan, &tokenizer(&[("e", 65_535)])?), &every_format(), WHOLE, &Until::the_end())?;
    let width = |format| site.manifest(format).map(|manifest| manifest.settings.token_bytes);
    assert_eq!((width("datatrove")?, width("olmo")?, width("megatron")?, width("mds")?), (2, 2, 4, 4));
    Ok(())
}

#[test]
fn other_settings_are_named_and_refused() -> Outcome {
    let site = Site::new(&[("web", &[Some(b"a b")]), ("books", &[Some(b"c")])])?;
    let config = TokensConfig { eos: Some("b".to_owned()), ..every_format() };
    write_all(&site, &["web"], &config)?;
    let before = site.all()?;
    let refused = |config: &TokensConfig, names: &[&str], parts: &[&str]| -> Outcome {
        let error = write_all(&site, names, config).expect_err("other settings").to_string();
        for part in parts.iter().chain(&["tokens/corpus/", "begun with other settings"]) {
            assert!(error.contains(part), "`{part}` is not said: {error}");
        }
        Ok(())
    };
    refused(&every_format(), &["web"], &["eos: b (2) → <|endoftext|> (7)"])?;
    let wide = TokensConfig { token_bytes: TokenBytes::Four, ..config.clone() };
    refused(&wide, &["web"], &["token_bytes: 2 → 4"])?;
    refused(&config, &["web", "books"], &["text: 1 units in 1 files, ", "→ 2 units in 2 files, "])?;
    let long = TokensConfig { sequence_tokens: Some(3), ..config.clone() };
    refused(&long, &["web"], &["sequence_tokens: 2 → 3", "mds"])?;
    assert_eq!(site.all()?, before);
    Ok(())
}

#[test]
fn documents_that_spell_the_end_are_counted() -> Outcome {
    let rows: [Option<&[u8]>; 4] =
        [Some(b"a b"), Some(b"a <|endoftext|> b"), None, Some(b"<|endoftext|><|endoftext|>")];
    let site = Site::new(&[("web", &rows)])?;
    write_all(&site, &["web"], &every_format())?;
    for format in ["datatrove", "megatron", "mds", "olmo"] {
        assert_eq!(site.manifest(format)?.tally.documents_with_eos, 2, "{format}");
    }
    Ok(())
}
