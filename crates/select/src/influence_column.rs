//! The column of influences that a subset may get.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The name that the column has unless another is given.
const DEFAULT_NAME: &str = "influence";

/// Whether the subset gets a trailing column with each row's influence, and its name: `false`, `true` for `influence`, or a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum InfluenceColumn {
    /// There is none.
    #[default]
    No,
    /// It is named `influence`.
    Yes,
    /// It is named so.
    Named(String),
}

impl InfluenceColumn {
    /// The column's name, if there is one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::No => None,
            Self::Yes => Some(DEFAULT_NAME),
            Self::Named(name) => Some(name),
        }
    }
}

impl JsonSchema for InfluenceColumn {
    fn schema_name() -> Cow<'static, str> {
        "InfluenceColumn".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "title": "true, false or text", "type": ["boolean", "string"] })
    }
}

impl Serialize for InfluenceColumn {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::No => serializer.serialize_bool(false),
            Self::Yes => serializer.serialize_bool(true),
            Self::Named(name) => serializer.serialize_str(name),
        }
    }
}

impl<'de> Deserialize<'de> for InfluenceColumn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct BoolOrName;
        impl Visitor<'_> for BoolOrName {
            type Value = InfluenceColumn;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true, false or the name of the column")
            }

            fn visit_bool<E: Error>(self, is_wanted: bool) -> Result<InfluenceColumn, E> {
                Ok(if is_wanted { InfluenceColumn::Yes } else { InfluenceColumn::No })
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<InfluenceColumn, E> {
                if name.is_empty() {
                    Err(E::custom("the column's name is empty"))
                } else {
                    Ok(InfluenceColumn::Named(name.to_owned()))
                }
            }
        }
        deserializer.deserialize_any(BoolOrName)
    }
}
