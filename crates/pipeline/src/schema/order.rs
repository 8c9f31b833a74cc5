//! The keys of a table in the order in which its type declares them, which a schema does not keep.

use std::fmt;

use headwater_corpus::SourceConfig;
use headwater_distill::DistillConfig;
use headwater_heads::HeadsConfig;
use headwater_recipe::RecipeConfig;
use headwater_schedule::ScheduleConfig;
use headwater_score::ScoreConfig;
use headwater_select::{DomainOverride, Guards, MixtureConfig, SelectConfig, UpsampleConfig};
use headwater_tokens::TokensConfig;
use headwater_trial::TrialConfig;
use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::forward_to_deserialize_any;

use crate::config::{ModelConfig, PipelineConfig, RunConfig};

/// Returns the keys of the table at `path`, such as `select.guards`; none for a path that is no table.
pub(super) fn keys(path: &str) -> &'static [&'static str] {
    match path {
        "" => of::<PipelineConfig>(),
        "run" => of::<RunConfig>(),
        "corpus" => of::<SourceConfig>(),
        "model" => of::<ModelConfig>(),
        "heads" => of::<HeadsConfig>(),
        "score" => of::<ScoreConfig>(),
        "distill" => of::<DistillConfig>(),
        "select" => of::<SelectConfig>(),
        "select.upsample" => of::<UpsampleConfig>(),
        "select.guards" | "select.domains.NAME.guards" => of::<Guards>(),
        "select.domains.NAME" => of::<DomainOverride>(),
        "mixture" => of::<MixtureConfig>(),
        "schedule" => of::<ScheduleConfig>(),
        "recipe" => of::<RecipeConfig>(),
        "tokens" => of::<TokensConfig>(),
        "trial" => of::<TrialConfig>(),
        _ => &[],
    }
}

/// The fields that `T` asks a deserializer for.
fn of<'de, T: Deserialize<'de>>() -> &'static [&'static str] {
    match T::deserialize(Asked) {
        Err(Fields(fields)) => fields,
        Ok(_) => &[],
    }
}

/// A deserializer that answers a struct with the names of its fields, as an error.
struct Asked;

#[derive(Debug)]
struct Fields(&'static [&'static str]);

impl fmt::Display for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(", "))
    }
}

impl std::error::Error for Fields {}

impl de::Error for Fields {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self(&[])
    }
}

impl<'de> Deserializer<'de> for Asked {
    type Error = Fields;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Fields> {
        Err(Fields(&[]))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Fields> {
        Err(Fields(fields))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct seq tuple
        tuple_struct map enum identifier ignored_any
    }
}
