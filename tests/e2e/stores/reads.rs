//! Which bytes scoring asks a store for.

use std::collections::BTreeMap;
use std::ops::Range;

use parquet::file::reader::{FileReader, SerializedFileReader};

use super::proxy::{Call, Verdict};
use super::servers::Store;
use super::{Lake, Outcome};

/// Bytes of a footer that are fetched at most.
const FOOTER_BYTES: u64 = 64 << 10;

/// The ranges of shards that were read, by key.
fn ranges(calls: &[(Call, Verdict)]) -> BTreeMap<String, Vec<Range<u64>>> {
    let mut ranges = BTreeMap::<String, Vec<Range<u64>>>::new();
    for (call, _) in calls.iter().filter(|(call, _)| call.reads_shard() && call.key.starts_with("corpus/")) {
        ranges.entry(call.key.clone()).or_default().extend(call.range.clone());
    }
    ranges
}

/// The column chunks of `columns` in a shard, as byte ranges.
fn chunks(shard: &[u8], columns: &[&str]) -> Result<Vec<Range<u64>>, super::Failure> {
    let reader = SerializedFileReader::new(bytes::Bytes::copy_from_slice(shard))?;
    let groups = reader.metadata().row_groups();
    let chunks = groups
        .iter()
        .flat_map(|group| group.columns())
        .filter(|chunk| columns.contains(&chunk.column_path().string().as_str()));
    Ok(chunks.map(|chunk| chunk.byte_range()).map(|(start, bytes)| start..start + bytes).collect())
}

#[test]
fn scoring_fetches_footers_and_three_columns_each_once() -> Outcome {
    // a row group is one unit, or many, of which none reads again what another has read
    ["64KiB", "2KiB", "100B"].into_iter().try_for_each(footers_and_three_columns)
}

fn footers_and_three_columns(unit_bytes: &str) -> Outcome {
    let lake = Lake::new(Store::s3()?)?;
    let unit_bytes = format!("run.unit_bytes={unit_bytes}");
    lake.done("heads", &[])?;
    lake.proxy().follow(|_, _| Verdict::Pass);
    lake.done("score", &["--set", &unit_bytes])?;
    let read = ranges(&lake.proxy().calls());
    let shards = lake.store.objects("corpus")?;
    assert_eq!(read.len(), shards.len());
    for (path, bytes) in shards {
        let columns: &[&str] = if path.starts_with("web/") { &["content"] } else { &["id", "text", "domain"] };
        let size = bytes.len() as u64;
        let mut wanted = chunks(&bytes, columns)?;
        wanted.push(size - size.min(FOOTER_BYTES)..size);
        wanted.sort_by_key(|range| (range.start, range.end));
        let mut read = read[&format!("corpus/{path}")].clone();
        read.sort_by_key(|range| (range.start, range.end));
        assert_eq!(read, wanted, "{path}, {unit_bytes}");
    }
    let metrics = lake.all_artefacts()?;
    let metrics: serde_json::Value = serde_json::from_slice(&metrics["metrics.json"])?;
    let (needed, asked) = (metrics["needed_bytes"].as_u64(), metrics["traffic"]["read_bytes"].as_u64());
    assert!(needed > Some(0) && asked >= needed, "{metrics}");
    Ok(())
}

#[test]
fn planning_fetches_footers_alone() -> Outcome {
    let lake = Lake::new(Store::s3()?)?;
    lake.proxy().follow(|_, _| Verdict::Pass);
    lake.done("plan", &[])?;
    let calls = lake.proxy().calls();
    let shards = lake.store.objects("corpus")?;
    assert_eq!(ranges(&calls).values().map(Vec::len).sum::<usize>(), shards.len());
    assert!(calls.iter().all(|(call, _)| call.range.is_some() || call.query.contains("list-type=2")), "{calls:?}");
    Ok(())
}
