//! Corpora of a few words, a tokenizer whose ids are known, and readers of the four formats.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::{ArrayRef, BinaryArray, RecordBatch};
use headwater_corpus::{Plan, PlanOptions, SourceConfig, plan};
use headwater_model::Tokenizer;
use headwater_record::TokensFile;
use headwater_store::{Place, Stores};
use headwater_tokens::{
    PartPlan, Share, TextPart, TokenFormat, TokenWork, TokenizerSetup, TokensConfig, Watch, write_tokens,
};
use parquet::arrow::ArrowWriter;
use tempfile::TempDir;

/// What a test returns.
pub(crate) type Outcome = Result<(), Box<dyn Error>>;

/// Rows of a shard: null, or bytes that may be no UTF-8.
pub(crate) type Rows<'a> = &'a [Option<&'a [u8]>];

/// Artefacts by path.
pub(crate) type Artefacts = Vec<(String, Vec<u8>)>;

/// The id of the token after every document.
pub(crate) const EOS: u32 = 7;

/// The words of the tokenizer and their ids.
pub(crate) const WORDS: [(&str, u32); 4] = [("a", 1), ("b", 2), ("c", 258), ("d", 65_498)];

/// The whole of the work.
pub(crate) const WHOLE: Share = Share { index: 0, of: 1 };

/// A tokenizer that splits at spaces, with some ids more.
pub(crate) fn tokenizer_json(more: &[(&str, u32)], eos: &str) -> String {
    let words = WORDS.iter().chain(more).copied().chain([("?", 3), (eos, EOS)]);
    let vocab: Vec<String> = words.map(|(word, id)| format!("{word:?}: {id}")).collect();
    let special = r#""single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true"#;
    format!(
        r#"{{"version": "1.0", "added_tokens": [{{"id": {EOS}, "content": {eos:?}, {special}}}],
            "pre_tokenizer": {{"type": "WhitespaceSplit"}},
            "model": {{"type": "WordLevel", "unk_token": "?", "vocab": {{{}}}}}}}"#,
        vocab.join(", ")
    )
}

/// The tokenizer of [`WORDS`] and more, with `<|endoftext|>`.
pub(crate) fn tokenizer(more: &[(&str, u32)]) -> Result<Tokenizer, Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("tokenizer.json");
    fs_err::write(&path, tokenizer_json(more, "<|endoftext|>"))?;
    Ok(Tokenizer::open(&path)?)
}

/// Writes `rows` as a Parquet file with row groups of at most `group` rows.
pub(crate) fn shard(path: &Path, rows: Rows<'_>, group: usize) -> Outcome {
    fs_err::create_dir_all(path.parent().ok_or("a folder")?)?;
    let array: ArrayRef = Arc::new(rows.iter().copied().collect::<BinaryArray>());
    let batch = RecordBatch::try_from_iter_with_nullable([("text", array, true)])?;
    let mut writer = ArrowWriter::try_new(fs_err::File::create(path)?, batch.schema(), None)?;
    for first in (0..rows.len()).step_by(group) {
        writer.write(&batch.slice(first, group.min(rows.len() - first)))?;
        writer.flush()?;
    }
    writer.close()?;
    Ok(())
}

/// Rows of a row group of [`Site::new`], and of a unit.
const GROUP_ROWS: usize = 2;

/// Shards on disk, and the place for what is made of them.
pub(crate) struct Site {
    pub(crate) folder: TempDir,
    pub(crate) run: Place,
}

impl Site {
    /// Writes each of `sources` as a shard with row groups of two rows.
    pub(crate) fn new(sources: &[(&str, Rows<'_>)]) -> Result<Self, Box<dyn Error>> {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let folder = tempfile::tempdir()?;
        for (name, rows) in sources {
            shard(&folder.path().join(format!("{name}/0.parquet")), rows, GROUP_ROWS)?;
        }
        let run = Place::in_memory(&format!("tokens-{}", NUMBER.fetch_add(1, Ordering::Relaxed)))?;
        Ok(Self { folder, run })
    }

    /// Plans the sources with units of a row group each.
    pub(crate) fn plan(&self, names: &[&str]) -> Result<Plan, Box<dyn Error>> {
        let source = |name: &&str| {
            let paths = [self.folder.path().join(name).display().to_string()];
            serde_json::from_value::<SourceConfig>(serde_json::json!({"name": name, "paths": paths}))
        };
        let sources = names.iter().map(source).collect::<Result<Vec<_>, _>>()?;
        let mut plan = plan(&sources, &PlanOptions::default(), &Stores::default(), &|_| {})?;
        plan.sources
            .iter_mut()
            .flat_map(|source| &mut source.shards)
            .for_each(|shard| shard.cut_by_rows(GROUP_ROWS as u64));
        Ok(plan)
    }

    /// The text of an artefact.
    pub(crate) fn read(&self, path: &str) -> Result<Vec<u8>, Box<dyn Error>> {
        Ok(self.run.read(path)?.to_vec())
    }

    /// The manifest of the corpus in one format.
    pub(crate) fn manifest(&self, format: &str) -> Result<TokensFile, Box<dyn Error>> {
        Ok(serde_json::from_slice(&self.read(&format!("tokens/corpus/{format}/tokens.json"))?)?)
    }

    /// All artefacts.
    pub(crate) fn all(&self) -> Result<Artefacts, Box<dyn Error>> {
        let entries = self.run.list("")?;
        entries.into_iter().map(|entry| Ok((entry.path.clone(), self.read(&entry.path)?))).collect()
    }
}

/// The settings of a test: every format, samples of two tokens, all text in one file.
pub(crate) fn every_format() -> TokensConfig {
    TokensConfig {
        formats: vec![TokenFormat::Datatrove, TokenFormat::Megatron, TokenFormat::Mds, TokenFormat::Olmo],
        sequence_tokens: Some(2),
        ..TokensConfig::default()
    }
}

/// Watches until so many documents were written.
pub(crate) struct Until(pub(crate) AtomicUsize);

impl Until {
    pub(crate) const fn the_end() -> Self {
        Self(AtomicUsize::new(usize::MAX))
    }
}

impl Watch for Until {
    fn advance(&self, documents: u64, _tokens: u64) {
        let documents = usize::try_from(documents).unwrap_or(usize::MAX);
        self.0.update(Ordering::Relaxed, Ordering::Relaxed, |left| left.saturating_sub(documents));
    }

    fn is_over(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }
}

/// Writes the corpus; returns how many files other shares are to write.
pub(crate) fn write(
    site: &Site,
    (plan, tokenizer): (&Plan, &Tokenizer),
    config: &TokensConfig,
    share: Share,
    watch: &Until,
) -> headwater_tokens::Result<usize> {
    let setup = TokenizerSetup::new(config, tokenizer, "words", 8192)?;
    let part = PartPlan { part: TextPart::Corpus, folder: "tokens/corpus".to_owned(), plan };
    let work = TokenWork::begin(&site.run, &setup, &part, share)?;
    Ok(write_tokens(&work, watch)?.missing)
}

/// Writes all of the corpus with the plain tokenizer.
pub(crate) fn write_all(site: &Site, names: &[&str], config: &TokensConfig) -> Outcome {
    write(site, (&site.plan(names)?, &tokenizer(&[])?), config, WHOLE, &Until::the_end())?;
    Ok(())
}

/// Little-endian numbers of `bytes` bytes each.
fn numbers(from: &[u8], bytes: usize) -> Vec<u64> {
    let number = |chunk: &[u8]| chunk.iter().rev().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    assert_eq!(from.len() % bytes, 0, "no whole numbers");
    from.chunks(bytes).map(number).collect()
}

fn size(number: u64) -> usize {
    usize::try_from(number).expect("the size of something in memory")
}

fn split(tokens: &[u64], lengths: impl Iterator<Item = u64>) -> Vec<Vec<u64>> {
    let mut rest = tokens;
    let mut documents = Vec::new();
    for length in lengths {
        let (document, after) = rest.split_at(size(length));
        documents.push(document.to_vec());
        rest = after;
    }
    assert!(rest.is_empty(), "tokens after the last document");
    documents
}

/// The documents of the corpus as datatrove's files have them.
pub(crate) fn datatrove(site: &Site) -> Result<Vec<Vec<u64>>, Box<dyn Error>> {
    let manifest = site.manifest("datatrove")?;
    let mut documents = Vec::new();
    for file in &manifest.tally.files {
        let path = format!("tokens/corpus/datatrove/{}", file.path);
        let tokens = numbers(&site.read(&path)?, manifest.settings.token_bytes.into());
        let ends = numbers(&site.read(&format!("{path}.index"))?, 8);
        let starts = [0].into_iter().chain(ends.iter().copied());
        documents.extend(split(&tokens, ends.iter().zip(starts).map(|(end, start)| end - start)));
        assert_eq!((file.documents, file.tokens), (Some(ends.len() as u64), tokens.len() as u64));
    }
    Ok(documents)
}

/// The documents of the corpus as Megatron's files have them.
pub(crate) fn megatron(site: &Site) -> Result<Vec<Vec<u64>>, Box<dyn Error>> {
    let manifest = site.manifest("megatron")?;
    let mut documents = Vec::new();
    for file in &manifest.tally.files {
        let path = format!("tokens/corpus/megatron/{}", file.path);
        let tokens = numbers(&site.read(&path)?, manifest.settings.token_bytes.into());
        let index = site.read(&path.replace(".bin", ".idx"))?;
        let (header, rest) = index.split_at(34);
        let count = size(numbers(&header[18..26], 8)[0]);
        assert_eq!(size(numbers(&header[26..34], 8)[0]), count + 1);
        let lengths = numbers(&rest[..count * 4], 4);
        let offsets = numbers(&rest[count * 4..count * 12], 8);
        assert_eq!(numbers(&rest[count * 12..], 8), (0..=count as u64).collect::<Vec<_>>());
        let ends = lengths.iter().scan(0, |end, length| {
            *end += length * u64::from(manifest.settings.token_bytes);
            Some(*end)
        });
        assert!(offsets.iter().skip(1).copied().eq(ends.take(count - 1)) && offsets[0] == 0, "{offsets:?}");
        documents.extend(split(&tokens, lengths.into_iter()));
    }
    Ok(documents)
}

/// The tokens of each of OLMo's files.
pub(crate) fn olmo(site: &Site) -> Result<Vec<Vec<u64>>, Box<dyn Error>> {
    let manifest = site.manifest("olmo")?;
    let tokens = |path: &str| -> Result<Vec<u64>, Box<dyn Error>> {
        let bytes = site.read(&format!("tokens/corpus/olmo/{path}"))?;
        Ok(numbers(&bytes, manifest.settings.token_bytes.into()))
    };
    manifest.tally.files.iter().map(|file| tokens(&file.path)).collect()
}

/// The samples of the corpus as mosaic shards have them, in the order of their index.
pub(crate) fn mds(site: &Site) -> Result<Vec<Vec<u64>>, Box<dyn Error>> {
    let index: serde_json::Value = serde_json::from_slice(&site.read("tokens/corpus/mds/index.json")?)?;
    let mut samples = Vec::new();
    for shard in index["shards"].as_array().ok_or("shards")? {
        let bytes =
            site.read(&format!("tokens/corpus/mds/{}", shard["raw_data"]["basename"].as_str().ok_or("a name")?))?;
        assert_eq!(shard["raw_data"]["bytes"], bytes.len());
        let count = size(numbers(&bytes[..4], 4)[0]);
        assert_eq!(shard["samples"], count);
        let offsets = numbers(&bytes[4..4 + 4 * (count + 1)], 4);
        assert_eq!(size(offsets[count]), bytes.len());
        for ends in offsets.windows(2) {
            let sample = &bytes[size(ends[0])..size(ends[1])];
            assert_eq!(size(numbers(&sample[..4], 4)[0]), sample.len() - 4);
            let shape_bytes = 1 << (sample[4] & 3);
            let values = numbers(&sample[5 + shape_bytes..], 4);
            assert_eq!((sample[4] >> 2, size(numbers(&sample[5..5 + shape_bytes], shape_bytes)[0])), (1, values.len()));
            samples.push(values);
        }
    }
    Ok(samples)
}
