//! The periods of a schedule that decays several times.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};

use crate::Length;
use crate::length::whole_number;

/// Periods of [`Kind::WsdS`](crate::Kind::WsdS): a number of equal ones, or the length of each.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Periods {
    /// So many, equal up to a step.
    Equal(u64),
    /// Their lengths, which together are the run.
    Lengths(Vec<Length>),
}

impl JsonSchema for Periods {
    fn schema_name() -> Cow<'static, str> {
        "Periods".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "title": "number, or list of lengths",
            "anyOf": [{ "type": "integer", "minimum": 1 }, generator.subschema_for::<Vec<Length>>()]
        })
    }
}

impl<'de> Deserialize<'de> for Periods {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Forms)
    }
}

struct Forms;

impl<'de> Visitor<'de> for Forms {
    type Value = Periods;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number of equal periods, such as 4, or a list of lengths, such as [0.25, 0.25, 0.5]")
    }

    fn visit_u64<E: de::Error>(self, count: u64) -> Result<Periods, E> {
        Ok(Periods::Equal(count))
    }

    fn visit_i64<E: de::Error>(self, count: i64) -> Result<Periods, E> {
        self.visit_f64(count as f64)
    }

    fn visit_f64<E: de::Error>(self, count: f64) -> Result<Periods, E> {
        whole_number(count, "periods").map(Periods::Equal).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Periods, A::Error> {
        let mut lengths = Vec::new();
        while let Some(length) = items.next_element()? {
            lengths.push(length);
        }
        Ok(Periods::Lengths(lengths))
    }
}
