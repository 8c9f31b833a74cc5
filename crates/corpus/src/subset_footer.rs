//! Footer entries of a subset that has the influence column: readers that trust the entries must find it there.
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

/// Name of the column that [`KeptRows::with_influence`](crate::KeptRows::with_influence) adds.
pub const INFLUENCE_COLUMN: &str = "influence";

/// The schema with an optional float column at the end.
pub(crate) fn with_influence(schema: &SchemaDescriptor) -> Result<TypePtr, ParquetError> {
    let influence = Type::primitive_type_builder(INFLUENCE_COLUMN, Physical::FLOAT)
        .with_repetition(Repetition::OPTIONAL)
        .build()?;
    let root = schema.root_schema();
    let mut fields = root.get_fields().to_vec();
    fields.push(Arc::new(influence));
    Ok(Arc::new(Type::group_type_builder(root.name()).with_fields(fields).build()?))
}

/// The footer entries of a shard, with the influence column entered wherever columns are listed.
pub(crate) fn entries_with_influence(
    schema: &SchemaDescriptor,
    entries: &[KeyValue],
) -> Result<Vec<KeyValue>, ParquetError> {
    let mut updated = entries.to_vec();
    for entry in &mut updated {
        let Some(value) = &entry.value else { continue };
        let replaced = match entry.key.as_str() {
            "pandas" => in_pandas(value),
            "huggingface" => in_hugging_face(value),
            _ => continue,
        };
        match replaced {
            Ok(replaced) => entry.value = Some(replaced),
            Err(error) => tracing::warn!(key = entry.key, %error, "footer entry left as it is"),
        }
    }
    if entries.iter().any(|entry| entry.key == ARROW_SCHEMA_META_KEY) {
        let encoded = arrow_schema(schema, &updated)?;
        for entry in updated.iter_mut().filter(|entry| entry.key == ARROW_SCHEMA_META_KEY) {
            entry.value = Some(encoded.clone());
        }
    }
    Ok(updated)
}

/// Encodes the Arrow schema of the source with the influence column.
fn arrow_schema(schema: &SchemaDescriptor, entries: &Vec<KeyValue>) -> Result<String, ParquetError> {
    let source = parquet_to_arrow_schema(schema, Some(entries))?;
    let widened = SchemaDescriptor::new(with_influence(schema)?);
    let all = parquet_to_arrow_schema(&widened, None)?;
    let influence = all.fields().iter().filter(|field| field.name() == INFLUENCE_COLUMN);
    let fields: Vec<_> = source.fields().iter().chain(influence).cloned().collect();
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
fn in_pandas(entry: &str) -> Result<String, serde_json::Error> {
    let mut pandas: Members = serde_json::from_str(entry)?;
    pandas.change("columns", |columns| {
        let mut columns: Vec<Box<RawValue>> = serde_json::from_str(columns.get())?;
        columns.push(RawValue::from_string(format!(
            r#"{{"name": "{INFLUENCE_COLUMN}", "field_name": "{INFLUENCE_COLUMN}", "pandas_type": "float32", "numpy_type": "float32", "metadata": null}}"#
        ))?);
        to_raw(&columns)
    })?;
    serde_json::to_string(&pandas)
}

/// Adds the column to `info.features` of the `huggingface` entry.
fn in_hugging_face(entry: &str) -> Result<String, serde_json::Error> {
    let mut hugging_face: Members = serde_json::from_str(entry)?;
    hugging_face.change("info", |info| {
        let mut info: Members = serde_json::from_str(info.get())?;
        info.change("features", |features| {
            let mut features: Members = serde_json::from_str(features.get())?;
            let feature = RawValue::from_string(r#"{"dtype": "float32", "_type": "Value"}"#.to_owned())?;
            features.0.push((INFLUENCE_COLUMN.to_owned(), feature));
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
        let features = in_hugging_face(r#"{"info":{"features":{"z":{"b":1,"a":2},"a":3}},"x":1.50}"#)?;
        let expected = r#"{"info":{"features":{"z":{"b":1,"a":2},"a":3,"influence":{"dtype": "float32", "_type": "Value"}}},"x":1.50}"#;
        assert_eq!(features, expected);
        let pandas: serde_json::Value = serde_json::from_str(&in_pandas(r#"{"index_columns":[],"columns":[{}]}"#)?)?;
        assert_eq!(pandas["columns"][1]["field_name"], INFLUENCE_COLUMN);
        assert_eq!(in_pandas("{}")?, "{}");
        assert!(in_pandas("no json").is_err());
        Ok(())
    }
}
