//! What a run wrote, read back: sidecars, subset and rejects.

use std::collections::BTreeMap;
use std::error::Error;

use arrow::array::RecordBatch;
use arrow::util::display::array_value_to_string;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::site::Site;

/// A row by column name, every value as text; null is empty.
pub(crate) type Row = BTreeMap<String, String>;

/// Where a document is: source, shard, row.
pub(crate) type Address = (String, String, u64);

/// All rows of a Parquet file.
pub(crate) fn rows(parquet: Vec<u8>) -> Result<Vec<Row>, Box<dyn Error>> {
    let mut rows = Vec::new();
    for batch in ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(parquet))?.build()? {
        let batch: RecordBatch = batch?;
        let schema = batch.schema();
        for place in 0..batch.num_rows() {
            let mut row = Row::new();
            for (field, column) in schema.fields().iter().zip(batch.columns()) {
                row.insert(field.name().clone(), array_value_to_string(column, place)?);
            }
            rows.push(row);
        }
    }
    Ok(rows)
}

/// The rows of every artefact below `folder` of the run, in the order of paths.
pub(crate) fn rows_below(site: &Site, folder: &str) -> Result<Vec<Row>, Box<dyn Error>> {
    let mut all = Vec::new();
    for (path, bytes) in site.artefacts()? {
        if path.starts_with(folder) && path.ends_with(".parquet") {
            all.extend(rows(bytes)?);
        }
    }
    Ok(all)
}

/// Every document's row of the sidecars, by its address.
pub(crate) fn documents(site: &Site) -> Result<BTreeMap<Address, Row>, Box<dyn Error>> {
    let mut documents = BTreeMap::new();
    for row in rows_below(site, "scores/")? {
        let address = (row["source"].clone(), row["shard"].clone(), row["row"].parse()?);
        assert!(documents.insert(address.clone(), row).is_none(), "{address:?} is scored twice");
    }
    Ok(documents)
}
