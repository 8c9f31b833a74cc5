//! A schema as TOML needs it: without null, and with descriptions for users.

use serde_json::{Map, Value, json};

/// Removes nulls, formats of numbers and the parts of doc comments that are for readers of the code.
pub(super) fn tidy(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            object.remove("format");
            // the default of a table is that of its keys
            if object.get("default").is_some_and(|default| default.is_null() || default.is_object()) {
                object.remove("default");
            }
            if let Some(Value::String(text)) = object.get_mut("description") {
                *text = for_users(text);
            }
            without_null(object);
            object.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        _ => {}
    }
}

/// Lets a text of `pattern` stand where a number is wanted, save for fractions.
pub(super) fn allow_written_numbers(schema: &mut Value, pattern: &str) {
    match schema {
        Value::Object(object) => {
            let most = object.get("maximum").or_else(|| object.get("exclusiveMaximum")).and_then(Value::as_f64);
            let kind = object.get("type").and_then(Value::as_str).filter(|kind| matches!(*kind, "integer" | "number"));
            if let (Some(kind), false) = (kind, most.is_some_and(|most| most <= 1.0)) {
                let kinds = json!([kind, "string"]);
                object.insert("type".to_owned(), kinds);
                object.insert("pattern".to_owned(), json!(pattern));
            }
            object.values_mut().for_each(|value| allow_written_numbers(value, pattern));
        }
        Value::Array(items) => items.iter_mut().for_each(|value| allow_written_numbers(value, pattern)),
        _ => {}
    }
}

/// The paragraphs before the first heading, each on a line of its own.
fn for_users(doc: &str) -> String {
    let paragraphs = doc.split("\n\n").take_while(|paragraph| !paragraph.starts_with('#'));
    paragraphs.map(|paragraph| paragraph.replace('\n', " ")).collect::<Vec<_>>().join("\n")
}

/// Removes null from the types and alternatives of a schema; what is left of a single alternative becomes the schema.
fn without_null(object: &mut Map<String, Value>) {
    if let Some(Value::Array(kinds)) = object.get_mut("type") {
        kinds.retain(|kind| kind != "null");
        if let [kind] = kinds.as_slice() {
            let kind = kind.clone();
            object.insert("type".to_owned(), kind);
        }
    }
    if let Some(Value::Array(values)) = object.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    let Some(Value::Array(alternatives)) = object.get_mut("anyOf") else { return };
    alternatives.retain(|alternative| alternative["type"] != "null");
    if alternatives.len() == 1
        && let Some(Value::Object(only)) = alternatives.pop()
    {
        object.remove("anyOf");
        // the description of the key comes before that of its type
        only.into_iter().for_each(|(key, value)| {
            object.entry(key).or_insert(value);
        });
    }
}
