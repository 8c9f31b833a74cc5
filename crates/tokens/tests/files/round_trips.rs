//! Whatever the documents and however they are cut, every format gives them back.

use headwater_record::ByteCount;
use headwater_tokens::{TokenBytes, TokenFormat, TokensConfig};
use proptest::prelude::*;

use crate::support::{EOS, Outcome, Rows, Site, WORDS, datatrove, every_format, mds, megatron, olmo, write_all};

/// A row: null, not UTF-8, or words by number.
#[derive(Clone, Debug)]
enum Row {
    Null,
    NotUtf8,
    Words(Vec<usize>),
}

impl Row {
    fn bytes(&self) -> Option<Vec<u8>> {
        match self {
            Self::Null => None,
            Self::NotUtf8 => Some(vec![b'a', 0xff]),
            Self::Words(words) => {
                let words: Vec<&str> = words.iter().map(|word| WORDS[*word].0).collect();
                Some(words.join(" ").into_bytes())
            }
        }
    }

    fn tokens(&self) -> Option<Vec<u64>> {
        let Self::Words(words) = self else { return None };
        Some(words.iter().map(|word| WORDS[*word].1).chain([EOS]).map(u64::from).collect())
    }
}

fn row() -> impl Strategy<Value = Row> {
    prop_oneof![
        1 => Just(Row::Null),
        1 => Just(Row::NotUtf8),
        8 => proptest::collection::vec(0..WORDS.len(), 0..9).prop_map(Row::Words),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_format_gives_the_documents_back(
        rows in proptest::collection::vec(row(), 1..40),
        file_bytes in 1_u64..120,
        sequence_tokens in 1_usize..6,
        is_wide: bool,
    ) {
        let outcome = round_trip(&rows, file_bytes, sequence_tokens, is_wide);
        prop_assert!(outcome.is_ok(), "{outcome:?}");
    }
}

fn round_trip(rows: &[Row], file_bytes: u64, sequence_tokens: usize, is_wide: bool) -> Outcome {
    let bytes: Vec<Option<Vec<u8>>> = rows.iter().map(Row::bytes).collect();
    let bytes: Vec<Option<&[u8]>> = bytes.iter().map(Option::as_deref).collect();
    let site = Site::new(&[("web", &bytes)])?;
    let token_bytes = if is_wide { TokenBytes::Four } else { TokenBytes::Auto };
    let config = TokensConfig {
        file_bytes: ByteCount(file_bytes),
        sequence_tokens: Some(sequence_tokens as u64),
        token_bytes,
        ..every_format()
    };
    write_all(&site, &["web"], &config)?;
    let expected: Vec<Vec<u64>> = rows.iter().filter_map(Row::tokens).collect();
    assert_eq!(datatrove(&site)?, expected);
    assert_eq!(megatron(&site)?, expected);
    let files = olmo(&site)?;
    assert_eq!(files.concat(), expected.concat());
    let samples: Vec<Vec<u64>> =
        files.iter().flat_map(|file| file.chunks_exact(sequence_tokens).map(<[u64]>::to_vec)).collect();
    assert_eq!(mds(&site)?, samples);
    let tally = site.manifest("mds")?.tally;
    let tokens: usize = expected.iter().map(Vec::len).sum();
    assert_eq!(tally.tokens + tally.dropped_tokens, tokens as u64);
    let of = |wanted: fn(&Row) -> bool| rows.iter().filter(|row| wanted(row)).count() as u64;
    let skipped =
        [("null-text", of(|row| matches!(row, Row::Null))), ("not-utf8", of(|row| matches!(row, Row::NotUtf8)))];
    for format in ["datatrove", "megatron", "mds", "olmo"] {
        let tally = site.manifest(format)?.tally;
        assert_eq!(tally.documents, expected.len() as u64, "{format}");
        assert_eq!(tally.skipped, skipped.map(|(status, rows)| (status.to_owned(), rows)).into(), "{format}");
        assert_eq!(tally.files.iter().map(|file| file.tokens).sum::<u64>(), tally.tokens, "{format}");
    }
    Ok(())
}

#[test]
fn files_are_cut_by_text_and_by_source() -> Outcome {
    let rows: Rows<'_> = &[Some(b"a a a a".as_slice()); 12];
    let site = Site::new(&[("web", rows), ("books", &rows[..2])])?;
    let plan = site.plan(&["web"])?;
    let unit = plan.sources[0].units().next().map(|(shard, unit)| shard.text_bytes(unit).0).ok_or("a unit")?;
    // a unit is a row group of two rows
    let config =
        TokensConfig { file_bytes: ByteCount(unit * 5 / 2), formats: vec![TokenFormat::Olmo], ..every_format() };
    write_all(&site, &["web", "books"], &config)?;
    let files = site.manifest("olmo")?.tally.files;
    let files: Vec<(&str, &str, Option<u64>)> =
        files.iter().map(|file| (file.source.as_str(), file.path.as_str(), file.documents)).collect();
    let expected = [
        ("web", "web-00000.npy", Some(4)),
        ("web", "web-00001.npy", Some(4)),
        ("web", "web-00002.npy", Some(4)),
        ("books", "books-00000.npy", Some(2)),
    ];
    assert_eq!(files, expected);
    Ok(())
}

#[test]
fn a_stretch_without_documents_leaves_no_file_to_trip_over() -> Outcome {
    let site = Site::new(&[("web", &[None, None, Some(b"\xff"), None]), ("books", &[Some(b"a")])])?;
    write_all(&site, &["web", "books"], &every_format())?;
    let paths: Vec<String> = site.all()?.into_iter().map(|(path, _)| path).collect();
    assert!(!paths.iter().any(|path| path.contains("web-00000.") && !path.contains("/done/")), "{paths:?}");
    for format in ["datatrove", "megatron", "mds", "olmo"] {
        let tally = site.manifest(format)?.tally;
        assert_eq!((tally.files.len(), tally.documents, tally.skipped["null-text"]), (1, 1, 3), "{format}");
        assert_eq!(tally.skipped["not-utf8"], 1);
    }
    Ok(())
}

#[test]
fn nothing_at_all_has_manifests_too() -> Outcome {
    let site = Site::new(&[])?;
    write_all(&site, &[], &every_format())?;
    assert_eq!(site.manifest("megatron")?.tally.files, []);
    assert_eq!(mds(&site)?, Vec::<Vec<u64>>::new());
    Ok(())
}
