//! `tokens.json`: what a folder of token files holds, and what decides its bytes.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ContentHash;

/// A format of token files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TokenFormat {
    /// huggingface/datatrove, read by nanotron: `.ds` with index and metadata.
    Datatrove,
    /// Megatron-LM: `.bin` and `.idx`.
    Megatron,
    /// mosaicml-streaming, read by LLM Foundry: packed samples in shards.
    Mds,
    /// OLMo-core: raw arrays named `.npy`.
    Olmo,
}

impl TokenFormat {
    /// Every format.
    pub const ALL: [Self; 4] = [Self::Datatrove, Self::Megatron, Self::Mds, Self::Olmo];

    /// Returns the format's name in configurations and paths.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Datatrove => "datatrove",
            Self::Megatron => "megatron",
            Self::Mds => "mds",
            Self::Olmo => "olmo",
        }
    }
}

/// The folder of a run for the token files of the whole corpus.
pub const CORPUS_TOKENS: &str = "tokens/corpus";

/// A part of the data that is trained on. [`SelectionFile::parts`](crate::SelectionFile::parts) says which there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TextPart {
    /// The whole corpus.
    Corpus,
    /// The selected subset, with all of its buckets.
    Selected,
    /// One bucket of what was selected, by its index in [`SelectionFile::buckets`](crate::SelectionFile::buckets). Configurations
    /// do not name it.
    #[serde(skip)]
    Bucket(usize),
}

impl TextPart {
    /// Returns the part's name in configurations and paths.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Corpus => "corpus".to_owned(),
            Self::Selected => "selected".to_owned(),
            Self::Bucket(index) => format!("bucket-{index:02}"),
        }
    }

    /// Returns the part's folder in `selected`, a folder for all that is selected: a bucket has one of its own; `None`
    /// for the corpus.
    #[must_use]
    pub fn folder_in(self, selected: &str) -> Option<String> {
        match self {
            Self::Corpus => None,
            Self::Selected => Some(selected.to_owned()),
            Self::Bucket(_) => Some(format!("{selected}/{}", self.name())),
        }
    }

    /// Returns where a run keeps the part's token files, a folder for each format in it, relative to the run.
    /// `selection` is its hash.
    #[must_use]
    pub fn token_folder(self, selection: &ContentHash) -> String {
        self.folder_in(&format!("tokens/selected/{selection}")).unwrap_or_else(|| CORPUS_TOKENS.to_owned())
    }
}

/// `tokens.json`, the manifest of one part of the corpus in one format. Written last, so its presence means that all files are there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokensFile {
    /// `datatrove`, `megatron`, `mds` or `olmo`.
    pub format: String,
    /// `corpus`, `selected` or a bucket of it, such as `bucket-00`.
    pub part: String,
    /// What decides the bytes.
    #[serde(flatten)]
    pub settings: TokenSettings,
    /// What the files hold.
    #[serde(flatten)]
    pub tally: TokenTally,
}

/// Everything that decides the bytes of token files beside their format. The first writer of a folder fixes them; later writers compare.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenSettings {
    /// The tokenizer.
    pub tokenizer: TokenizerRecord,
    /// The token after every document.
    pub eos: EosToken,
    /// Bytes of a token, little-endian.
    pub token_bytes: u8,
    /// Tokens of a sample, where documents are packed into samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence_tokens: Option<u64>,
    /// The text that is read: units and files, with a hash of their names.
    pub plan: String,
}

/// A tokenizer by name and content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenizerRecord {
    /// The name that the pipeline gives.
    pub name: String,
    /// Hash of what defines it.
    pub hash: ContentHash,
    /// The highest token id plus one.
    pub vocab_size: u64,
}

/// The token that ends every document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EosToken {
    /// Its id.
    pub id: u32,
    /// Its text.
    pub text: String,
}

/// What [`TokenTally::skipped`] calls rows of shards that could not be read and may be skipped.
pub const UNREADABLE: &str = "unreadable";

/// What token files hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenTally {
    /// Documents that were tokenised.
    pub documents: u64,
    /// Tokens in the files, the token after each document included.
    pub tokens: u64,
    /// Documents whose text spells the token that ends documents, so that a trainer takes them for several.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub documents_with_eos: u64,
    /// Tokens at the ends of files that did not fill a sample.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub dropped_tokens: u64,
    /// Rows without a usable text, by status, and [`UNREADABLE`] ones.
    pub skipped: BTreeMap<String, u64>,
    /// The files, in the order of the corpus.
    pub files: Vec<TokenFile>,
}

/// One token file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenFile {
    /// Name of the corpus source.
    pub source: String,
    /// The file that holds the tokens, relative to the manifest.
    pub path: String,
    /// Documents in the file; `None` where documents are packed into samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub documents: Option<u64>,
    /// Samples in the file; `None` where documents are kept apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub samples: Option<u64>,
    /// Tokens in the file.
    pub tokens: u64,
    /// Size of the file.
    pub bytes: u64,
}

impl TokenSettings {
    /// Names every setting in which `other` differs, as `name: this → other`.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let eos = |eos: &EosToken| format!("{} ({})", eos.text, eos.id);
        let sequence = |tokens: Option<u64>| tokens.map_or_else(|| "none".to_owned(), |tokens| tokens.to_string());
        let all = [
            ("tokenizer", self.tokenizer.name.clone(), other.tokenizer.name.clone()),
            ("tokenizer hash", self.tokenizer.hash.short(16), other.tokenizer.hash.short(16)),
            ("vocabulary", self.tokenizer.vocab_size.to_string(), other.tokenizer.vocab_size.to_string()),
            ("eos", eos(&self.eos), eos(&other.eos)),
            ("token_bytes", self.token_bytes.to_string(), other.token_bytes.to_string()),
            ("sequence_tokens", sequence(self.sequence_tokens), sequence(other.sequence_tokens)),
            ("text", self.plan.clone(), other.plan.clone()),
        ];
        let differ = all.into_iter().filter(|(_, ours, theirs)| ours != theirs);
        differ.map(|(name, ours, theirs)| format!("{name}: {ours} → {theirs}")).collect()
    }
}

impl TokenTally {
    /// Adds what other files hold.
    pub fn add(&mut self, other: Self) {
        self.documents = self.documents.saturating_add(other.documents);
        self.tokens = self.tokens.saturating_add(other.tokens);
        self.documents_with_eos = self.documents_with_eos.saturating_add(other.documents_with_eos);
        self.dropped_tokens = self.dropped_tokens.saturating_add(other.dropped_tokens);
        for (status, rows) in other.skipped {
            let of_status = self.skipped.entry(status).or_default();
            *of_status = of_status.saturating_add(rows);
        }
        self.files.extend(other.files);
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> TokenSettings {
        TokenSettings {
            tokenizer: TokenizerRecord { name: "a".to_owned(), hash: ContentHash::of(b"a"), vocab_size: 300 },
            eos: EosToken { id: 0, text: "<|endoftext|>".to_owned() },
            token_bytes: 2,
            sequence_tokens: None,
            plan: "1 unit in 1 file".to_owned(),
        }
    }

    #[test]
    fn differences_name_the_setting() {
        let other = TokenSettings { token_bytes: 4, eos: EosToken { id: 2, text: "<s>".to_owned() }, ..settings() };
        assert_eq!(settings().differences(&other), ["eos: <|endoftext|> (0) → <s> (2)", "token_bytes: 2 → 4"]);
        assert!(settings().differences(&settings()).is_empty());
    }

    #[test]
    fn a_bucket_has_a_folder_in_that_of_the_selection() {
        let hash = ContentHash::of(b"selection");
        let folder = |part: TextPart| part.token_folder(&hash);
        assert_eq!(folder(TextPart::Corpus), "tokens/corpus");
        assert_eq!(folder(TextPart::Selected), format!("tokens/selected/{hash}"));
        assert_eq!(folder(TextPart::Bucket(3)), format!("tokens/selected/{hash}/bucket-03"));
    }

    #[test]
    fn configurations_name_no_bucket() {
        let read = |json: &str| serde_json::from_str::<TextPart>(json);
        assert_eq!(read("\"selected\"").ok(), Some(TextPart::Selected));
        for refused in ["\"bucket\"", "\"bucket-00\"", "{\"bucket\": 0}"] {
            let error = read(refused).expect_err(refused).to_string();
            assert!(error.contains("`corpus` or `selected`"), "{error}");
        }
    }

    #[test]
    fn a_manifest_is_one_flat_object() {
        let file = TokensFile {
            format: "olmo".to_owned(),
            part: "corpus".to_owned(),
            settings: settings(),
            tally: TokenTally::default(),
        };
        let json = serde_json::to_value(&file).expect("a manifest is plain data");
        assert_eq!((&json["token_bytes"], &json["eos"]["id"]), (&2.into(), &0.into()), "{json}");
        assert_eq!(serde_json::from_value::<TokensFile>(json).ok(), Some(file));
    }
}
