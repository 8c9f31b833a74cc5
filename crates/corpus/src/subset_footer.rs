//! Footer entries of a subset that has a column of numbers more than its shard: readers that trust the entries must find it there.
//!
//! Without that column the entries are copied as they are, `ARROW:schema` included: the Parquet schema is the same, so it
//! still describes the file.

use std::fmt;
use std::sync::Arc;

use parquet::arrow::{ARROW_SCHEMA_META_KEY, encode_arrow_schema, parquet_to_arrow_schema};
use parquet::basic::{Repetition, Type as Physical};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::schema::types::{SchemaDescriptor, Type, TypePtr};
use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// Key of the entry that Spark takes a file's schema from.
const SPARK: &str = "org.apache.spark.sql.parquet.row.metadata";

/// The schema with an optional float column at the end.
pub(crate) fn with_column(schema: &SchemaDescriptor, name: &str) -> Result<TypePtr, ParquetError> {
    let added = Type::primitive_type_builder(name, Physical::FLOAT).with_repetition(Repetition::OPTIONAL).build()?;
    let root = schema.root_schema();
    let mut fields = root.get_fields().to_vec();
    fields.push(Arc::new(added));
    Ok(Arc::new(Type::group_type_builder(root.name()).with_fields(fields).build()?))
}

/// The footer entries of a shard, with the column `name` entered wherever columns are listed.
pub(crate) fn entries_with_column(
    schema: &SchemaDescriptor,
    entries: &[KeyValue],
    name: &str,
) -> Result<Vec<KeyValue>, ParquetError> {
    let mut updated = entries.to_vec();
    for entry in &mut updated {
        let Some(value) = &entry.value else { continue };
        let replaced = match entry.key.as_str() {
            "pandas" => in_pandas(value, name),
            "huggingface" => in_hugging_face(value, name),
            SPARK => in_spark(value, name),
            _ => continue,
        };
        match replaced {
            Ok(replaced) => entry.value = Some(replaced),
            Err(error) => tracing::warn!(key = entry.key, %error, "footer entry left as it is"),
        }
    }
    if entries.iter().any(|entry| entry.key == ARROW_SCHEMA_META_KEY) {
        let encoded = arrow_schema(schema, &updated, name)?;
        for entry in updated.iter_mut().filter(|entry| entry.key == ARROW_SCHEMA_META_KEY) {
            entry.value = Some(encoded.clone());
        }
    }
    Ok(updated)
}

/// Encodes the Arrow schema of the source with the added column.
fn arrow_schema(schema: &SchemaDescriptor, entries: &Vec<KeyValue>, name: &str) -> Result<String, ParquetError> {
    let source = parquet_to_arrow_schema(schema, Some(entries))?;
    let widened = SchemaDescriptor::new(with_column(schema, name)?);
    let all = parquet_to_arrow_schema(&widened, None)?;
    let added = all.fields().iter().filter(|field| field.name() == name);
    let fields: Vec<_> = source.fields().iter().chain(added).cloned().collect();
    let mut source = source;
    source.fields = fields.into();
    Ok(encode_arrow_schema(&source))
}

/// A JSON object whose members keep their order and, untouched, their text.
#[derive(Default)]
struct Members(Vec<(String, Box<RawValue>)>);

impl Members {
    /// Replaces the member `key` by what `change` makes of it, if it is there.
    fn change(
        &mut self,
        key: &str,
        change: impl FnOnce(&RawValue) -> Result<Box<RawValue>, serde_json::Error>,
    ) -> Result<(), serde_json::Error> {
        match self.0.iter_mut().find(|(name, _)| name == key) {
            Some((_, value)) => {
                *value = change(value)?;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl Serialize for Members {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Members::default();
                while let Some(member) = map.next_entry()? {
                    members.0.push(member);
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

fn to_raw(value: &impl Serialize) -> Result<Box<RawValue>, serde_json::Error> {
    serde_json::value::to_raw_value(value)
}

/// Adds the column to `columns` of the `pandas` entry.
fn in_pandas(entry: &str, name: &str) -> Result<String, serde_json::Error> {
    let name = serde_json::to_string(name)?;
    let column = format!(
        r#"{{"name": {name}, "field_name": {name}, "pandas_type": "float32", "numpy_type": "float32", "metadata": null}}"#
    );
    in_list(entry, "columns", column)
}

/// Adds the column to `fields` of Spark's entry.
fn in_spark(entry: &str, name: &str) -> Result<String, serde_json::Error> {
    let name = serde_json::to_string(name)?;
    in_list(entry, "fields", format!(r#"{{"name":{name},"type":"float","nullable":true,"metadata":{{}}}}"#))
}

/// Adds `item` to the list that is the member `list` of the entry.
fn in_list(entry: &str, list: &str, item: String) -> Result<String, serde_json::Error> {
    let mut members: Members = serde_json::from_str(entry)?;
    members.change(list, |items| {
        let mut items: Vec<Box<RawValue>> = serde_json::from_str(items.get())?;
        items.push(RawValue::from_string(item)?);
        to_raw(&items)
    })?;
    serde_json::to_string(&members)
}

/// Adds the column to `info.features` of the `huggingface` entry.
fn in_hugging_face(entry: &str, name: &str) -> Result<String, serde_json::Error> {
    let mut hugging_face: Members = serde_json::from_str(entry)?;
    hugging_face.change("info", |info| {
        let mut info: Members = serde_json::from_str(info.get())?;
        info.change("features", |features| {
            let mut features: Members = serde_json::from_str(features.get())?;
            let feature = RawValue::from_string(r#"{"dtype": "float32", "_type": "Value"}"#.to_owned())?;
            features.0.push((name.to_owned(), feature));
            to_raw(&features)
        })?;
        to_raw(&info)
    })?;
    serde_json::to_string(&hugging_face)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn footer_entries_gain_the_column_and_keep_their_order() -> Result<(), serde_json::Error> {
        let features = in_hugging_face(r#"{"info":{"features":{"z":{"b":1,"a":2},"a":3}},"x":1.50}"#, "influence")?;
        let expected = r#"{"info":{"features":{"z":{"b":1,"a":2},"a":3,"influence":{"dtype": "float32", "_type": "Value"}}},"x":1.50}"#;
        assert_eq!(features, expected);
        let pandas: serde_json::Value =
            serde_json::from_str(&in_pandas(r#"{"index_columns":[],"columns":[{}]}"#, "a\"b")?)?;
        assert_eq!(pandas["columns"][1]["field_name"], "a\"b");
        assert_eq!(in_pandas("{}", "x")?, "{}");
        assert!(in_pandas("no json", "x").is_err());
        let spark = in_spark(r#"{"type":"struct","fields":[{"name":"text"}]}"#, "influence")?;
        let expected = r#"{"type":"struct","fields":[{"name":"text"},{"name":"influence","type":"float","nullable":true,"metadata":{}}]}"#;
        assert_eq!(spark, expected);
        Ok(())
    }
}
