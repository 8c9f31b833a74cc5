//! A shard of a corpus.

use std::sync::LazyLock;

use bytes::Bytes;
use headwater_corpus::{
    KeptRows, Plan, PlanOptions, PlannedSource, SourceConfig, SubsetOptions, plan, read_unit, write_subset,
};
use headwater_record::ByteCount;
use headwater_store::{Place, Stores};

use crate::panics::escaping;

/// The most units that are read, and the most documents of each.
const UNITS: usize = 16;
const DOCUMENTS: usize = 256;

static STORES: LazyLock<Stores> = LazyLock::new(Stores::default);
static PLACE: LazyLock<Place> = LazyLock::new(|| STORES.open("memory://shard").expect("the place has a name"));

/// Plans a shard, reads its units and copies some of its rows.
pub fn shard(bytes: &[u8]) {
    escaping(|| {
        PLACE.write("a.parquet", Bytes::copy_from_slice(bytes)).expect("memory can be written to");
        for (unit_bytes, id) in [(16 << 20, "id"), (64, "")] {
            let source = SourceConfig {
                name: "a".to_owned(),
                paths: vec![PLACE.describe("a.parquet")],
                text: "text".to_owned(),
                id: id.to_owned(),
                domain: "domain".to_owned(),
                domain_value: None,
                sample: 1.0,
            };
            let options = PlanOptions { unit_bytes: Some(ByteCount(unit_bytes)), ..PlanOptions::default() };
            if let Ok(Plan { sources }) = plan(&[source], &options, &STORES, &|_| ()) {
                sources.iter().for_each(read);
            }
        }
    });
}

fn read(source: &PlannedSource) {
    for shard in &source.shards {
        let rows: u64 = shard.units.iter().map(|unit| unit.rows).sum();
        assert_eq!(rows, shard.rows);
        for unit in shard.units.iter().take(UNITS) {
            let _ = (shard.text_bytes(unit), shard.stored_bytes(unit));
            let Ok(documents) = read_unit(shard, &source.columns, unit) else { continue };
            for (document, row) in documents.take(DOCUMENTS).zip(unit.first_row..) {
                assert!(document.is_err() || document.is_ok_and(|document| document.row == row));
            }
        }
        let kept: Vec<u64> = (0..shard.rows).step_by(2).take(DOCUMENTS).collect();
        let kept = KeptRows::new(kept).expect("the rows rise");
        let _ = write_subset(shard, &kept, &SubsetOptions::default(), std::io::sink());
    }
}
