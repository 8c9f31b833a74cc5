//! SentencePiece's byte-pair vocabularies as GGUF files store them: pieces with scores, and no merges.
//!
//! SentencePiece joins whichever two neighbours give the piece of the highest score. Every way to make an ordinary piece of two others is therefore a
//! merge, and merges are in the order of the scores of what they make.
//!
//! Source: Kudo and Richardson (2018), SentencePiece, §3; `byte_fallback` and the dummy prefix as in its `ModelProto`.

use std::collections::HashMap;

use candle_core::quantized::gguf_file::Value;
use tokenizers::decoders::byte_fallback::ByteFallback;
use tokenizers::decoders::fuse::Fuse;
use tokenizers::decoders::sequence::Sequence as Decoders;
use tokenizers::decoders::strip::Strip;
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::normalizers::{Prepend, Replace, Sequence as Normalizers};
use tokenizers::{DecoderWrapper, NormalizerWrapper, Tokenizer as HfTokenizer};

use super::USER_DEFINED;
use crate::Error;
use crate::gguf::GgufFile;

/// GGUF's token types for ordinary pieces, and for those that stand for a byte.
const NORMAL: u64 = 1;
const BYTE: u64 = 6;

const SCORES: &str = "tokenizer.ggml.scores";

/// What stands for a space in pieces.
const SPACE: &str = "▁";

/// Builds the tokenizer that `file` describes, without its special tokens; returns whether a space is put before a text, too.
pub(super) fn read(file: &GgufFile) -> Result<(HfTokenizer, bool), Error> {
    let wrong = |error: tokenizers::Error| file.damaged(&error);
    let pieces = Pieces::read(file)?;
    let mut builder = BPE::builder()
        .vocab_and_merges::<Vocab>(pieces.vocab(), pieces.merges())
        .byte_fallback(pieces.has_bytes())
        .fuse_unk(true);
    if let Some(unknown) = pieces.unknown(file) {
        builder = builder.unk_token(unknown.to_owned());
    }
    let mut tokenizer = HfTokenizer::new(builder.build().map_err(wrong)?);
    let has_prefix = match file.value("tokenizer.ggml.add_space_prefix") {
        Some(Value::Bool(adds)) => *adds,
        _ => true,
    };
    pieces.check(file, has_prefix)?;
    let spaces = Replace::new(" ", SPACE).map(NormalizerWrapper::Replace).map_err(wrong)?;
    let words = Replace::new(SPACE, " ").map(DecoderWrapper::Replace).map_err(wrong)?;
    let mut decoders =
        vec![words, DecoderWrapper::ByteFallback(ByteFallback::new()), DecoderWrapper::Fuse(Fuse::new())];
    let normalizer = if has_prefix {
        decoders.push(DecoderWrapper::Strip(Strip::new(' ', 1, 0)));
        let prefix = NormalizerWrapper::Prepend(Prepend::new(SPACE.to_owned()));
        NormalizerWrapper::Sequence(Normalizers::new(vec![prefix, spaces]))
    } else {
        spaces
    };
    tokenizer.with_normalizer(Some(normalizer)).map_err(wrong)?;
    tokenizer.with_decoder(Some(DecoderWrapper::Sequence(Decoders::new(decoders))));
    Ok((tokenizer, has_prefix))
}

/// Pieces in the order of their ids, with their scores and types.
struct Pieces<'f> {
    texts: Vec<&'f str>,
    scores: Vec<f32>,
    kinds: Vec<u64>,
}

impl<'f> Pieces<'f> {
    fn read(file: &'f GgufFile) -> Result<Self, Error> {
        const CHARACTERS: &str = "tokenizer.ggml.precompiled_charsmap";
        const KINDS: &str = "tokenizer.ggml.token_type";
        // a map of characters is part of the tokenizer, and no file of this kind is known to have one
        if let Some(Value::Array(map)) = file.value(CHARACTERS)
            && !map.is_empty()
        {
            let supported = "vocabularies without one, or a tokenizer.json beside the file";
            return Err(file.unsupported(CHARACTERS, "a map of characters", supported));
        }
        let texts = file.texts("tokenizer.ggml.tokens")?;
        let numbers = |key: &str| match file.value(key) {
            Some(Value::Array(values)) if values.len() == texts.len() => Ok(values),
            _ => Err(file.missing(key)),
        };
        let score = |value: &Value| match value {
            Value::F32(score) if !score.is_nan() => Some(*score),
            _ => None,
        };
        let scores = numbers(SCORES)?.iter().map(score).collect::<Option<Vec<_>>>();
        let kinds = numbers(KINDS)?.iter().map(GgufFile::integer).collect::<Option<Vec<_>>>();
        let (scores, kinds) = (scores.ok_or_else(|| file.missing(SCORES))?, kinds.ok_or_else(|| file.missing(KINDS))?);
        Ok(Self { texts, scores, kinds })
    }

    fn vocab(&self) -> Vocab {
        self.texts.iter().map(|text| (*text).to_owned()).zip(0..).collect()
    }

    /// Whether there is a piece for bytes that no other piece covers.
    fn has_bytes(&self) -> bool {
        self.kinds.contains(&BYTE)
    }

    /// The piece that stands for what the vocabulary lacks; the first one where the file does not say, as in llama.cpp.
    fn unknown(&self, file: &GgufFile) -> Option<&'f str> {
        let id = file.value("tokenizer.ggml.unknown_token_id").and_then(GgufFile::integer).unwrap_or_default();
        self.texts.get(usize::try_from(id).ok()?).copied()
    }

    /// Refuses what would give other ids than the model's own tokenizer does: scores that order nothing, and with a space before every text pieces of
    /// spaces that users added.
    fn check(&self, file: &GgufFile, has_prefix: bool) -> Result<(), Error> {
        let mut scores =
            self.kinds.iter().zip(&self.scores).filter(|(kind, _)| **kind == NORMAL).map(|(_, score)| score);
        if let Some(first) = scores.next()
            && scores.clone().next().is_some()
            && scores.all(|score| score == first)
        {
            let supported = "scores that differ, or a tokenizer.json beside the file";
            return Err(file.unsupported(SCORES, &format!("{first} for every piece"), supported));
        }
        let mut added = self.kinds.iter().zip(&self.texts).filter(|(kind, _)| **kind == USER_DEFINED);
        match added.find(|(_, text)| has_prefix && text.contains(SPACE)) {
            Some((_, text)) => {
                let supported = "added tokens without it where a space is put before every text, or a tokenizer.json beside the file";
                let value = format!("`{text}`, added with the sign of a space");
                Err(file.unsupported("tokenizer.ggml.tokens", &value, supported))
            }
            None => Ok(()),
        }
    }

    /// The two parts of every way to make a piece of two others, best first.
    fn merges(&self) -> Vec<(String, String)> {
        let normal = || (0..self.texts.len()).filter(|id| self.kinds[*id] == NORMAL);
        let scores: HashMap<&str, f32> = normal().map(|id| (self.texts[id], self.scores[id])).collect();
        let mut made: Vec<usize> = normal().collect();
        made.sort_by(|a, b| self.scores[*b].total_cmp(&self.scores[*a]).then(a.cmp(b)));
        let mut merges = Vec::new();
        for id in made {
            let text = self.texts[id];
            let parts = text.char_indices().skip(1).map(|(at, _)| text.split_at(at));
            let known = parts.filter_map(|(left, right)| Some((scores.get(left)?, scores.get(right)?, left, right)));
            let mut known: Vec<_> = known.collect();
            // of several ways to the same piece the one whose parts are made first
            known.sort_by(|a, b| b.0.total_cmp(a.0).then(b.1.total_cmp(a.1)));
            merges.extend(known.into_iter().map(|(_, _, left, right)| (left.to_owned(), right.to_owned())));
        }
        merges
    }
}
