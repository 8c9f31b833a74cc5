//! What an arm of a trial trains on.

use std::borrow::Cow;
use std::fmt;
use std::path::Path;

use headwater_select::RankBy;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// What an arm of a trial trains on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum TriedArm {
    /// Every scored document, no guard applied.
    All,
    /// What `[select]` keeps under another rank.
    Rank(RankBy),
    /// What the `[select]` of another pipeline keeps of the same scores: the path of its file, which ends in `.toml`.
    Pipeline(String),
}

const ALL: &str = "all";

/// How the name of a pipeline's file ends.
const PIPELINE: &str = "toml";

impl fmt::Display for TriedArm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str(ALL),
            Self::Rank(rank) => rank.fmt(f),
            Self::Pipeline(path) => f.write_str(path),
        }
    }
}

impl TryFrom<String> for TriedArm {
    type Error = headwater_select::Error;

    fn try_from(text: String) -> Result<Self, headwater_select::Error> {
        if text == ALL {
            return Ok(Self::All);
        }
        match RankBy::try_from(text.clone()) {
            Ok(rank) => Ok(Self::Rank(rank)),
            Err(_) if Path::new(&text).extension().is_some_and(|end| end == PIPELINE) => Ok(Self::Pipeline(text)),
            Err(error) => Err(error),
        }
    }
}

impl From<TriedArm> for String {
    fn from(arm: TriedArm) -> Self {
        arm.to_string()
    }
}

impl From<RankBy> for TriedArm {
    fn from(rank: RankBy) -> Self {
        Self::Rank(rank)
    }
}

impl JsonSchema for TriedArm {
    fn schema_name() -> Cow<'static, str> {
        "TriedArm".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let rank = generator.subschema_for::<RankBy>();
        let pipeline = format!("\\.{PIPELINE}$");
        json_schema!({ "title": "arm", "anyOf": [{ "const": ALL }, rank, { "type": "string", "pattern": pipeline }] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arm_is_all_a_rank_or_a_file() {
        let read = |text: &str| TriedArm::try_from(text.to_owned());
        for (text, arm) in [
            ("all", TriedArm::All),
            ("copied", RankBy::Copied.into()),
            ("pipelines/select/corrected.toml", TriedArm::Pipeline("pipelines/select/corrected.toml".to_owned())),
        ] {
            let read = read(text).expect("an arm");
            assert_eq!((&read, read.to_string().as_str()), (&arm, text));
        }
        let column = read("column:quality.toml").expect("a column");
        assert!(matches!(column, TriedArm::Rank(RankBy::Column(_))), "{column}");
        let error = read("influense").expect_err("a typing error").to_string();
        assert!(error.contains("influense"), "{error}");
    }
}
