//! The bytes of each format, written out by hand from its description.

use headwater_tokens::{TokenBytes, TokensConfig};

use crate::support::{Outcome, Rows, Site, every_format, write_all};

/// Documents of 3, 1 and 2 tokens, the last token 7.
const TEXTS: Rows<'_> = &[Some(b"a c"), Some(b""), Some(b"d")];

fn written(config: &TokensConfig) -> Result<Site, Box<dyn std::error::Error>> {
    let site = Site::new(&[("web", TEXTS)])?;
    write_all(&site, &["web"], config)?;
    Ok(site)
}

fn four_bytes() -> TokensConfig {
    TokensConfig { token_bytes: TokenBytes::Four, ..every_format() }
}

/// 1 258 7, 7, 65498 7
const TWO: [u8; 12] = [1, 0, 2, 1, 7, 0, 7, 0, 0xda, 0xff, 7, 0];
const FOUR: [u8; 24] = [1, 0, 0, 0, 2, 1, 0, 0, 7, 0, 0, 0, 7, 0, 0, 0, 0xda, 0xff, 0, 0, 7, 0, 0, 0];

#[test]
fn datatrove() -> Outcome {
    for (config, tokens, bytes) in [(every_format(), TWO.as_slice(), 2), (four_bytes(), FOUR.as_slice(), 4)] {
        let site = written(&config)?;
        assert_eq!(site.read("tokens/corpus/datatrove/web-00000.ds")?, tokens);
        let index = site.read("tokens/corpus/datatrove/web-00000.ds.index")?;
        assert_eq!(index, [3, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0]);
        let metadata = site.read("tokens/corpus/datatrove/web-00000.ds.metadata")?;
        assert_eq!(String::from_utf8(metadata)?, format!("words|{bytes}\n6\n6.00 T"));
    }
    Ok(())
}

#[test]
fn megatron() -> Outcome {
    let index = |code: u8, width: u8| {
        let mut index = b"MMIDIDX\0\0".to_vec();
        index.extend([1, 0, 0, 0, 0, 0, 0, 0, code]); // version, type
        index.extend([3, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0]); // sequences, document ends
        index.extend([3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0]); // lengths
        for offset in [0, 3 * width, 4 * width] {
            index.extend([offset, 0, 0, 0, 0, 0, 0, 0]);
        }
        for document in 0..4 {
            index.extend([document, 0, 0, 0, 0, 0, 0, 0]);
        }
        index
    };
    for (config, tokens, index) in
        [(every_format(), TWO.as_slice(), index(8, 2)), (four_bytes(), FOUR.as_slice(), index(4, 4))]
    {
        let site = written(&config)?;
        assert_eq!(site.read("tokens/corpus/megatron/web-00000.bin")?, tokens);
        assert_eq!(site.read("tokens/corpus/megatron/web-00000.idx")?, index);
        assert_eq!(index.len(), 34 + 20 * 3 + 8);
    }
    Ok(())
}

#[test]
fn olmo() -> Outcome {
    assert_eq!(written(&every_format())?.read("tokens/corpus/olmo/web-00000.npy")?, TWO);
    assert_eq!(written(&four_bytes())?.read("tokens/corpus/olmo/web-00000.npy")?, FOUR);
    Ok(())
}

#[test]
fn mds() -> Outcome {
    let site = written(&TokensConfig { sequence_tokens: Some(4), ..every_format() })?;
    let config = r#"{"column_encodings": ["ndarray:int32"], "column_names": ["tokens"], "column_sizes": [null], "compression": null, "format": "mds", "hashes": [], "size_limit": 67108864, "version": 2}"#;
    let first = u8::try_from(12 + config.len())?;
    let mut shard = vec![1, 0, 0, 0]; // samples
    shard.extend([first, 0, 0, 0, first + 22, 0, 0, 0]); // offsets
    shard.extend(config.bytes());
    shard.extend([18, 0, 0, 0, 0b100, 4]); // size, one dimension in one byte, its length
    shard.extend(&FOUR[..16]);
    assert_eq!(site.read("tokens/corpus/mds/web-00000.00000.mds")?, shard);
    let index: serde_json::Value = serde_json::from_slice(&site.read("tokens/corpus/mds/index.json")?)?;
    let mut expected: serde_json::Value = serde_json::from_str(config)?;
    expected["samples"] = 1.into();
    expected["raw_data"] = serde_json::json!({"basename": "web-00000.00000.mds", "bytes": shard.len(), "hashes": {}});
    expected["zip_data"] = serde_json::Value::Null;
    assert_eq!(index, serde_json::json!({"version": 2, "shards": [expected]}));
    let tally = site.manifest("mds")?.tally;
    assert_eq!((tally.documents, tally.tokens, tally.dropped_tokens), (3, 4, 2));
    Ok(())
}

#[test]
fn the_manifest_says_what_was_made_of_what() -> Outcome {
    let site = written(&every_format())?;
    let manifest: serde_json::Value = serde_json::from_slice(&site.read("tokens/corpus/megatron/tokens.json")?)?;
    let tokenizer = &manifest["tokenizer"];
    assert_eq!((&tokenizer["name"], &tokenizer["vocab_size"]), (&"words".into(), &65_499.into()), "{manifest}");
    let expected = serde_json::json!({
        "format": "megatron",
        "part": "corpus",
        "tokenizer": tokenizer,
        "eos": {"id": 7, "text": "<|endoftext|>"},
        "token_bytes": 2,
        "plan": manifest["plan"],
        "documents": 3,
        "tokens": 6,
        "skipped": {"null-text": 0, "not-utf8": 0},
        "files": [{"source": "web", "path": "web-00000.bin", "documents": 3, "tokens": 6, "bytes": 12}],
    });
    assert_eq!(manifest, expected);
    Ok(())
}
