//! What a pipeline may say: its JSON Schema, and the reference of all keys. Both are made from the types that pipelines are read into and
//! from their doc comments.

mod order;
mod reference;
mod schedule_help;
mod tidy;

use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use crate::config::PipelineConfig;
use crate::extends::EXTENDS;

pub use reference::reference;
pub use schedule_help::schedule_help;

/// What a text that stands for a number looks like.
const NUMBER: &str = "^[+-]?[0-9][0-9_]*([.][0-9_]+)?([eE][+-]?[0-9]+)? *[kKMBGT]?$";

/// Returns the JSON Schema (draft 7) of pipelines, for editors.
#[must_use]
pub fn json() -> String {
    let mut schema = tables();
    tidy::allow_written_numbers(&mut schema, NUMBER);
    let required = schema.as_object_mut().and_then(|schema| schema.remove("required"));
    schema["properties"][EXTENDS] = json!({
        "type": "string",
        "description": "Another pipeline that says what this one does not; a path relative to this file."
    });
    // a file that extends another may leave out what that one says
    schema["if"] = json!({ "required": [EXTENDS] });
    schema["else"] = json!({ "required": required });
    format!("{schema:#}\n")
}

/// The schema of all tables, without what TOML has no word for.
fn tables() -> Value {
    let settings = SchemaSettings::draft07().with(|settings| settings.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<PipelineConfig>().to_value();
    tidy::tidy(&mut schema);
    schema
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_has_what_a_pipeline_needs() {
        let schema: Value = serde_json::from_str(&json()).expect("JSON");
        assert_eq!(schema["else"]["required"], json!(["run", "corpus", "model"]));
        assert_eq!(schema["properties"]["run"]["required"], json!(["output"]));
        assert_eq!(schema["properties"]["run"]["additionalProperties"], json!(false));
        let select = &schema["properties"]["select"]["properties"];
        assert_eq!(select["fraction"]["default"], json!(0.2));
        assert_eq!(select["tokens"]["type"], json!(["number", "string"]));
        let text = json();
        for unknown in ["\"null\"", ": null", "$ref"] {
            assert!(!text.contains(unknown), "TOML has no {unknown}");
        }
    }
}
