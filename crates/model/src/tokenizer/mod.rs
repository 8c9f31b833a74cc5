//! The model's own tokenizer, without special tokens added, truncation or padding.

mod fast;
mod sentence_pieces;
mod training;
mod words;

use std::path::{Path, PathBuf};

use candle_core::quantized::gguf_file::Value;
use headwater_record::ContentHash;
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::processors::byte_level::ByteLevel;
use tokenizers::processors::sequence::Sequence;
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::{AddedToken, DecoderWrapper, ModelWrapper, PostProcessorWrapper, Tokenizer as HfTokenizer};

use crate::gguf::GgufFile;
use crate::paths::read;
use crate::tokenizer_settings::{self, TokenizerSettings};
use crate::{Error, ModelPaths, eos, pretokenizer};
use fast::FastEncoder;

/// Longest text that is tokenised in one piece, in bytes. The tokenizer needs gigabytes for a text of 50 MB.
const PIECE_BYTES: usize = 1 << 20;

/// The same where only the beginning of a longer text is wanted: far more than a window, and little memory.
const BEGINNING_BYTES: usize = 1 << 18;

/// GGUF's token type for control tokens.
const CONTROL: u64 = 3;
/// GGUF's token type for tokens that users added.
const USER_DEFINED: u64 = 4;

/// One token and its bytes in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenSpan {
    /// Token id.
    pub id: u32,
    /// First byte of the text that belongs to the token.
    pub start: usize,
    /// End of those bytes.
    pub end: usize,
}

/// The model's own tokenizer.
///
/// Special tokens that the tokenizer would add are left out; text that spells a special token becomes that token.
/// Truncation and padding are off.
#[derive(Debug)]
pub struct Tokenizer {
    inner: HfTokenizer,
    /// Does the same faster, for the kinds of tokenizers that it knows.
    fast: Option<FastEncoder>,
    /// Where a long text may be cut.
    cuts: Cuts,
    leading: Vec<u32>,
    origin: Origin,
    hash: ContentHash,
}

/// Where a model says which token ends its texts, and what else there is to say of its tokenizer.
#[derive(Debug)]
enum Origin {
    /// In the file that holds the tokenizer, or nowhere.
    Known { eos: Option<u32>, settings: Box<TokenizerSettings> },
    /// In the files beside this one, or else in the header of the weights.
    Beside { tokenizer: PathBuf, header_eos: Option<u32> },
}

impl Tokenizer {
    /// Loads the tokenizer of the model in `paths` without reading its weights.
    ///
    /// # Errors
    /// As [`Model::load`](crate::Model::load), for what concerns the tokenizer.
    pub fn load(paths: &ModelPaths) -> Result<Self, Error> {
        match (&paths.tokenizer, paths.gguf()) {
            (Some(path), Some(weights)) => Self::open_beside(path, &GgufFile::open(weights)?),
            (Some(path), None) => Self::open(path),
            (None, Some(path)) => Self::from_gguf(&GgufFile::open(path)?, paths.weights_hash),
            (None, None) => Err(paths.lacks("tokenizer.json")),
        }
    }

    /// Loads a `tokenizer.json`.
    ///
    /// # Errors
    /// Names the file and what is wrong with it.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::from_json(path, &read(path)?)
    }

    /// Loads the `tokenizer.json` beside a GGUF file, which is taken instead of the file's own tokenizer.
    pub(crate) fn open_beside(path: &Path, weights: &GgufFile) -> Result<Self, Error> {
        let origin = Origin::Beside { tokenizer: path.to_owned(), header_eos: header_eos(weights) };
        Ok(Self { origin, ..Self::open(path)? })
    }

    /// Reads a `tokenizer.json`.
    pub(crate) fn from_json(path: &Path, json: &[u8]) -> Result<Self, Error> {
        let wrong = |error: tokenizers::Error| Error::Format {
            path: path.to_owned(),
            format: "tokenizer.json",
            reason: error.to_string(),
        };
        let mut inner = HfTokenizer::from_bytes(json).map_err(wrong)?;
        inner.with_padding(None).with_truncation(None).map_err(wrong)?;
        // dropout is for training: a text has one tokenisation
        if let ModelWrapper::BPE(pairs) = inner.get_model()
            && pairs.dropout.is_some()
        {
            let mut pairs = pairs.clone();
            pairs.dropout = None;
            inner.with_model(ModelWrapper::BPE(pairs));
        }
        let bare = inner.encode("a", false).map_err(wrong)?;
        let dressed = inner.encode("a", true).map_err(wrong)?;
        let leading = leading(dressed.get_ids(), bare.get_ids()).to_vec();
        let fast = FastEncoder::new(&inner);
        let cuts = Cuts::of(&inner);
        let origin = Origin::Beside { tokenizer: path.to_owned(), header_eos: None };
        Ok(Self { inner, fast, cuts, leading, origin, hash: ContentHash::of(json) })
    }

    /// Builds the tokenizer that a GGUF file describes. `weights` is the hash of that file.
    pub(crate) fn from_gguf(file: &GgufFile, weights: ContentHash) -> Result<Self, Error> {
        let (mut inner, kind) = match file.text("tokenizer.ggml.model")? {
            "gpt2" => byte_level(file)?,
            "llama" => {
                let (inner, has_prefix) = sentence_pieces::read(file)?;
                (inner, GgufKind { adds_bos: true, bos: Some(1), is_byte_level: false, normalizes_added: !has_prefix })
            }
            other => {
                let supported = "gpt2 (byte-level BPE) and llama (SentencePiece), or a tokenizer.json beside it";
                return Err(file.unsupported("tokenizer.ggml.model", other, supported));
            }
        };
        let wrong = |error: tokenizers::Error| file.damaged(&error);
        let (special, added) = added_tokens(file)?;
        let names: Vec<String> = special.iter().map(|token| token.content.clone()).collect();
        let settings = Box::new(tokenizer_settings::of_gguf(file, &file.texts("tokenizer.ggml.tokens")?, &names));
        inner.add_special_tokens(special).map_err(wrong)?;
        let added = added.into_iter().map(|token| token.normalized(kind.normalizes_added));
        inner.add_tokens(added).map_err(wrong)?;
        let adds_bos = match file.value("tokenizer.ggml.add_bos_token") {
            Some(Value::Bool(adds)) => *adds,
            _ => kind.adds_bos,
        };
        let bos = file.value("tokenizer.ggml.bos_token_id").and_then(GgufFile::integer);
        let bos = bos.or(kind.bos).and_then(|id| u32::try_from(id).ok()).filter(|_| adds_bos);
        let origin = Origin::Known { eos: header_eos(file), settings };
        let bos_token = bos.and_then(|id| Some((inner.id_to_token(id)?, id)));
        inner.with_post_processor(post_processor(bos_token, kind.is_byte_level).map_err(wrong)?);
        let hash = ContentHash::of_fields([b"gguf".as_slice(), weights.to_string().as_bytes()]);
        let fast = FastEncoder::new(&inner);
        let cuts = if kind.is_byte_level { Cuts::BeforeLines } else { Cuts::of(&inner) };
        Ok(Self { inner, fast, cuts, leading: bos.into_iter().collect(), origin, hash })
    }

    /// Tokenises `text`. Texts over 1 MiB are cut into pieces, before a newline that follows a non-space if there is one.
    ///
    /// # Errors
    /// [`Error::Tokenise`] if the tokenizer has no way to write the text.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, Error> {
        Ok(self.encode_pieces(text, PIECE_BYTES, usize::MAX)?.0)
    }

    /// Tokenises the beginning of `text`, of at least `tokens` tokens or all of it; returns how many bytes that is, too. Texts up to 1 MiB
    /// are tokenised whole.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn encode_beginning(&self, text: &str, tokens: usize) -> Result<(Vec<u32>, usize), Error> {
        let piece_bytes = if text.len() > PIECE_BYTES { BEGINNING_BYTES } else { PIECE_BYTES };
        self.encode_pieces(text, piece_bytes, tokens)
    }

    /// Tokenises pieces of `piece_bytes` of `text` until there are `tokens`; returns their bytes, too.
    fn encode_pieces(&self, text: &str, piece_bytes: usize, tokens: usize) -> Result<(Vec<u32>, usize), Error> {
        // about as many as there will be, so that the list hardly grows
        let (mut ids, mut bytes) = (Vec::with_capacity(text.len().min(piece_bytes) / 3), 0);
        for piece in pieces(text, piece_bytes, self.cuts) {
            self.encode_piece(piece, &mut ids).map_err(|error| failed(text, &error))?;
            bytes += piece.len();
            if ids.len() >= tokens {
                break;
            }
        }
        Ok((ids, bytes))
    }

    fn encode_piece(&self, piece: &str, ids: &mut Vec<u32>) -> tokenizers::Result<()> {
        let is_done = match &self.fast {
            Some(fast) => fast.encode(&self.inner, piece, ids)?,
            None => false,
        };
        if !is_done {
            ids.extend_from_slice(self.inner.encode_fast(piece, false)?.get_ids());
        }
        Ok(())
    }

    /// Tokenises `text` and returns the bytes of each token.
    ///
    /// # Errors
    /// [`Error::Tokenise`] if the tokenizer has no way to write the text.
    pub fn encode_with_spans(&self, text: &str) -> Result<Vec<TokenSpan>, Error> {
        let mut spans = Vec::new();
        let mut before = 0;
        for piece in pieces(text, PIECE_BYTES, self.cuts) {
            let encoding = self.inner.encode(piece, false).map_err(|e| failed(text, &e))?;
            let ids = encoding.get_ids().iter().zip(encoding.get_offsets());
            spans.extend(ids.map(|(id, (start, end))| TokenSpan { id: *id, start: before + start, end: before + end }));
            before += piece.len();
        }
        Ok(spans)
    }

    /// Returns the tokens that begin every window, which the tokenizer puts before a text: BOS, in most models that have any.
    #[must_use]
    pub fn leading(&self) -> &[u32] {
        &self.leading
    }

    /// Returns the token that the model itself ends its texts with, which for a chat model is the end of a turn; `None`
    /// if its files do not say. Beside a `tokenizer.json` these are `tokenizer_config.json`, `generation_config.json`
    /// and `config.json`.
    ///
    /// # Errors
    /// [`Error::Format`] if such a file cannot be understood.
    pub fn eos(&self) -> Result<Option<u32>, Error> {
        match &self.origin {
            Origin::Known { eos, .. } => Ok(*eos),
            Origin::Beside { tokenizer, header_eos } => {
                Ok(eos::beside(tokenizer, &|token| self.token_to_id(token))?.or(*header_eos))
            }
        }
    }

    /// Returns the special tokens, context and chat template that the model's files tell.
    ///
    /// # Errors
    /// [`Error::Format`] if `tokenizer_config.json` or `config.json` cannot be understood.
    pub fn settings(&self) -> Result<TokenizerSettings, Error> {
        match &self.origin {
            Origin::Known { settings, .. } => Ok(TokenizerSettings::clone(settings)),
            Origin::Beside { tokenizer, .. } => {
                tokenizer_settings::beside(tokenizer, &|token| self.token_to_id(token).is_some())
            }
        }
    }

    /// Returns the id of a token of the vocabulary, special tokens included.
    #[must_use]
    pub fn token_to_id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// Returns the token of an id, as the vocabulary writes it.
    #[must_use]
    pub fn id_to_token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// Returns the text of tokens, special ones as they are spelt.
    ///
    /// # Errors
    /// [`Error::Tokenise`] if the library cannot tell it.
    pub fn decode(&self, ids: &[u32]) -> Result<String, Error> {
        self.inner.decode(ids, false).map_err(|error| failed("", &error))
    }

    /// Returns the highest id plus one: what a table with a row for each token needs.
    #[must_use]
    pub fn vocab_size(&self) -> u64 {
        u64::from(self.highest()) + 1
    }

    /// Returns the tokenizer as a `tokenizer.json`.
    ///
    /// # Errors
    /// [`Error::Tokenise`] if the library cannot write it.
    pub fn to_json(&self) -> Result<String, Error> {
        self.inner.to_string(false).map_err(|error| failed("", &error))
    }

    /// SHA-256 of what defines the tokenizer.
    #[must_use]
    pub fn hash(&self) -> ContentHash {
        self.hash
    }

    fn highest(&self) -> u32 {
        self.inner.get_vocab(true).into_values().max().unwrap_or_default()
    }

    /// Checks that no id lies beyond an embedding of `rows` rows.
    pub(crate) fn validate(&self, path: &Path, rows: usize) -> Result<(), Error> {
        let highest = self.highest();
        if (highest as usize) < rows { Ok(()) } else { Err(Error::Vocabulary { path: path.to_owned(), highest, rows }) }
    }
}

fn failed(text: &str, error: &tokenizers::Error) -> Error {
    Error::Tokenise { bytes: text.len(), reason: error.to_string() }
}

/// The id of the token that a GGUF header says ends a text.
fn header_eos(file: &GgufFile) -> Option<u32> {
    file.value("tokenizer.ggml.eos_token_id").and_then(GgufFile::integer).and_then(|id| u32::try_from(id).ok())
}

/// The tokens that a template put before the tokens `bare`, which made `dressed` of them. None, if there are no tokens to tell by.
fn leading<'a>(dressed: &'a [u32], bare: &[u32]) -> &'a [u32] {
    if bare.is_empty() {
        return &[];
    }
    let start = dressed.windows(bare.len()).position(|window| window == bare);
    &dressed[..start.unwrap_or_default()]
}

/// Puts the token that begins a text before it, if the model has one, where special tokens are asked for.
fn post_processor(bos: Option<(String, u32)>, is_byte_level: bool) -> tokenizers::Result<Option<PostProcessorWrapper>> {
    let bytes = is_byte_level.then(|| PostProcessorWrapper::ByteLevel(ByteLevel::new(false, false, false)));
    let Some((token, id)) = bos else { return Ok(bytes) };
    let piece = |sequence: &str, of: u8| [format!("{token}:{of}"), format!("${sequence}:{of}")];
    let (single, second) = (piece("A", 0), piece("B", 1));
    let template = TemplateProcessing::builder()
        .try_single(single.to_vec())?
        .try_pair([single, second].concat())?
        .special_tokens(vec![(token, id)])
        .build()
        .map_err(|error| error.to_string())?;
    let template = PostProcessorWrapper::Template(template);
    Ok(Some(match bytes {
        Some(bytes) => PostProcessorWrapper::Sequence(Sequence::new(vec![bytes, template])),
        None => template,
    }))
}

/// What a kind of tokenizer in a GGUF file means for what follows.
struct GgufKind {
    /// Whether a file that does not say so adds BOS.
    adds_bos: bool,
    /// BOS where the file does not say, as in llama.cpp.
    bos: Option<u64>,
    is_byte_level: bool,
    /// Whether tokens that users added are looked for in texts after normalization, as they are in one that has spaces replaced alone.
    normalizes_added: bool,
}

/// Builds the byte-level tokenizer that a GGUF file describes, without its special tokens.
fn byte_level(file: &GgufFile) -> Result<(HfTokenizer, GgufKind), Error> {
    const PRE: &str = "tokenizer.ggml.pre";
    let wrong = |error: tokenizers::Error| file.damaged(&error);
    let pre = file.text(PRE)?;
    let cut = pretokenizer::named(pre).ok_or_else(|| file.unsupported(PRE, pre, pretokenizer::KNOWN))?;
    let mut inner = HfTokenizer::new(byte_pairs(file, cut.ignores_merges)?);
    inner.with_pre_tokenizer(Some(cut.split));
    inner.with_decoder(Some(DecoderWrapper::ByteLevel(ByteLevel::new(false, false, false))));
    inner.with_normalizer(cut.normalizer).map_err(wrong)?;
    Ok((inner, GgufKind { adds_bos: cut.adds_bos, bos: None, is_byte_level: true, normalizes_added: true }))
}

fn byte_pairs(file: &GgufFile, ignores_merges: bool) -> Result<BPE, Error> {
    let ids = 0_u32..;
    let vocab = file.texts("tokenizer.ggml.tokens")?.into_iter().map(str::to_owned).zip(ids).collect();
    let merge = |merge: &str| {
        let (left, right) = merge.split_once(' ').ok_or_else(|| file.damaged(&format!("`{merge}` is not a merge")))?;
        Ok((left.to_owned(), right.to_owned()))
    };
    let merges = file.texts("tokenizer.ggml.merges")?.into_iter().map(merge).collect::<Result<Vec<_>, Error>>()?;
    BPE::builder()
        .vocab_and_merges::<Vocab>(vocab, merges)
        .ignore_merges(ignores_merges)
        .build()
        .map_err(|error| file.damaged(&error))
}

fn added_tokens(file: &GgufFile) -> Result<(Vec<AddedToken>, Vec<AddedToken>), Error> {
    let Some(Value::Array(kinds)) = file.value("tokenizer.ggml.token_type") else {
        return Err(file.missing("tokenizer.ggml.token_type"));
    };
    let tokens = file.texts("tokenizer.ggml.tokens")?;
    let of_kind = |wanted: u64| {
        let tokens = tokens.iter().zip(kinds).filter(move |(_, kind)| GgufFile::integer(kind) == Some(wanted));
        tokens.map(|(token, _)| AddedToken::from((*token).to_owned(), wanted == CONTROL)).collect()
    };
    Ok((of_kind(CONTROL), of_kind(USER_DEFINED)))
}

/// Where a text may be cut so that a tokenizer gives the same tokens for the pieces as for the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cuts {
    /// Before lines, or before words where a line is too long: byte-level pairs.
    BeforeLines,
    /// Before words: tokenizers that mark the beginning of a text as that of a word.
    BeforeWords,
    /// Nowhere.
    Nowhere,
}

impl Cuts {
    /// Tries out where `tokenizer` may cut.
    fn of(tokenizer: &HfTokenizer) -> Self {
        // what the tokenizer has no tokens for tells nothing
        let ids = |text: &str| tokenizer.encode_fast(text, false).map(|encoding| encoding.get_ids().to_vec()).ok();
        let same = |(left, right): &(&str, &str)| match (ids(&format!("{left}{right}")), ids(left), ids(right)) {
            (Some(whole), Some(left), Some(right)) => whole == [left, right].concat(),
            _ => true,
        };
        let is_before = |cut: &str| {
            let right = [("one two", "three four"), ("a", "b"), ("x1", "(y)\n")];
            right.iter().all(|(left, right)| same(&(*left, format!("{cut}{right}").as_str())))
        };
        match (is_before("\n"), is_before(" ")) {
            (true, true) => Self::BeforeLines,
            (false, true) => Self::BeforeWords,
            (_, false) => Self::Nowhere,
        }
    }
}

/// Cuts `text` into pieces of at most `most` bytes, so that byte-level BPE gives the same tokens for the pieces as for
/// the whole: before a newline that follows a letter or digit (some pre-tokenizers join newlines to punctuation); else
/// before a newline or a space that follows a non-space; else between two characters. A tokenizer that allows it nowhere gets the whole
/// text, one that allows it before words alone a longer piece if it must.
fn pieces(text: &str, most: usize, cuts: Cuts) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (piece, after) = rest.split_at(piece_bytes(rest, most, cuts));
        rest = after;
        Some(piece)
    })
}

fn piece_bytes(text: &str, most: usize, cuts: Cuts) -> usize {
    if text.len() <= most || cuts == Cuts::Nowhere {
        return text.len();
    }
    let limit = text.floor_char_boundary(most.max(4));
    let bytes = text.as_bytes();
    let before = |wanted: u8, after: fn(char) -> bool| {
        (1..limit).rev().find(|&at| bytes[at] == wanted && text[..at].ends_with(after))
    };
    let non_space = |c: char| !c.is_whitespace();
    if cuts == Cuts::BeforeWords {
        let later = || (limit..text.len()).find(|&at| bytes[at] == b' ' && text[..at].ends_with(non_space));
        return before(b' ', non_space).or_else(later).unwrap_or(text.len());
    }
    let cut = before(b'\n', char::is_alphanumeric).or_else(|| before(b'\n', non_space));
    cut.or_else(|| before(b' ', non_space)).unwrap_or(limit)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pieces_end_before_newlines_that_follow_text() {
        let text = "one two\nthree \n\nfour";
        assert_eq!(pieces(text, 9, Cuts::BeforeLines).collect::<Vec<_>>(), ["one two", "\nthree", " \n\nfour"]);
        assert_eq!(pieces("", 9, Cuts::BeforeLines).count(), 0);
    }

    #[test]
    fn pieces_end_before_words_where_lines_do_not_do() {
        let text = "one two\nthree four";
        assert_eq!(pieces(text, 9, Cuts::BeforeWords).collect::<Vec<_>>(), ["one", " two\nthree", " four"]);
        assert_eq!(pieces(text, 9, Cuts::Nowhere).collect::<Vec<_>>(), [text]);
    }

    #[test]
    fn what_stands_before_a_text_is_told_from_what_ends_it() {
        assert_eq!(leading(&[1, 7, 8], &[7, 8]), [1]);
        assert_eq!(leading(&[1, 2, 7], &[7]), [1, 2]);
        assert_eq!(leading(&[7, 2], &[7]), [0_u32; 0]);
        assert_eq!(leading(&[2], &[]), [0_u32; 0]);
    }

    proptest! {
        #[test]
        fn pieces_join_to_the_text(text in "[a-c \\né€🦀]{0,80}", most in 1_usize..12) {
            for cuts in [Cuts::BeforeLines, Cuts::BeforeWords, Cuts::Nowhere] {
                prop_assert_eq!(pieces(&text, most, cuts).collect::<String>(), text.clone());
            }
            prop_assert!(pieces(&text, most, Cuts::BeforeLines).all(|piece| piece.len() <= most.max(4)));
        }
    }
}
