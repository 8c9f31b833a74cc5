//! `docs/reference.md`: every key with its type, default and meaning.

use std::fmt::Write;

use headwater_record::ByteCount;
use serde_json::Value;

use super::{order, tables};

const HEAD: &str = "\
# Reference of all keys

`headwater schema --markdown` makes this page from the code. Change doc comments, not this file.

A pipeline is a TOML file. Only `[run]`, one `[[corpus]]` and `[model]` are required. Any key can be set on the command line:
`--set select.fraction=0.1`. `extends = \"other.toml\"`, above all tables, takes from another pipeline what this one does not say; the path is
relative to the file that says it.

- **Numbers** may be written as `1000`, `1_000` and `1e3`, or as text: `\"20k\"`, `\"1.5M\"`, `\"2B\"`, `\"1T\"`. On the command line they need no quotes.
- A **size** is a number of bytes or a whole number with a unit: `4096`, `\"16MiB\"`, `\"4GB\"`.
- A **length** is a fraction of the run from 0 to below 1 (`0.25`), `{ steps = 2000 }` or `{ tokens = 1e10 }`.

**Editors.** `headwater schema > headwater.schema.json` writes a JSON Schema. Editors that use taplo, such as VS Code with Even Better TOML,
complete and check a pipeline that begins with `#:schema ./headwater.schema.json`.
";

/// Returns `docs/reference.md`.
#[must_use]
pub fn reference() -> String {
    let mut page = HEAD.to_owned();
    section(&mut page, "", &tables());
    page
}

/// Writes the table at `path` and those in it.
fn section(page: &mut String, path: &str, schema: &Value) {
    let keys = keys(path, schema);
    let (tables, plain): (Vec<_>, Vec<_>) = keys.into_iter().partition(|(_, key)| inner(key).is_some());
    if !plain.is_empty() {
        page.push_str("\n| key | type | default | meaning |\n|---|---|---|---|\n");
    }
    for (name, key) in plain {
        let is_required =
            schema["required"].as_array().is_some_and(|names| names.iter().any(|required| required == name));
        let default = if is_required { "required".to_owned() } else { default(key) };
        // writing to a string cannot fail
        let _ = writeln!(page, "| `{name}` | {} | {default} | {} |", kind(key), meaning(key).replace('|', "\\|"));
    }
    for (name, key) in tables {
        let Some((inner, named)) = inner(key) else { continue };
        let dot = if path.is_empty() { "" } else { "." };
        let path = format!("{path}{dot}{name}{named}");
        let heading = if key["type"] == "array" { format!("[[{path}]]") } else { format!("[{path}]") };
        let level = if dot.is_empty() { "##" } else { "###" };
        let _ = write!(page, "\n{level} `{heading}`\n\n{}\n", text(key));
        section(page, &path, inner);
    }
}

/// The keys of a table, as its type declares them; others, of which there are none, come last.
fn keys<'a>(path: &str, schema: &'a Value) -> Vec<(&'a str, &'a Value)> {
    let order = order::keys(path);
    let place = |name: &str| order.iter().position(|key| *key == name).unwrap_or(order.len());
    let properties = schema["properties"].as_object().into_iter().flatten();
    let mut keys: Vec<_> = properties.map(|(name, key)| (name.as_str(), key)).collect();
    keys.sort_by_key(|(name, _)| place(name));
    keys
}

/// The table that a key is, if it is one, and what its path has after the key.
fn inner(key: &Value) -> Option<(&Value, &'static str)> {
    let has_keys = |schema: &Value| schema["properties"].is_object() && schema["title"].is_null();
    if has_keys(key) {
        Some((key, ""))
    } else if has_keys(&key["items"]) {
        Some((&key["items"], ""))
    } else if has_keys(&key["additionalProperties"]) {
        Some((&key["additionalProperties"], ".NAME"))
    } else {
        None
    }
}

/// The type of a key.
pub(super) fn kind(schema: &Value) -> String {
    if let Some(title) = schema["title"].as_str() {
        return title.to_owned();
    }
    if let Some(alternatives) = schema["oneOf"].as_array() {
        let is_table = |alternative: &Value| alternative["type"] == "object";
        return if alternatives.iter().any(is_table) { "name or table" } else { "name" }.to_owned();
    }
    if schema["enum"].is_array() {
        return "name".to_owned();
    }
    match schema["type"].as_str().unwrap_or_default() {
        "string" => "text".to_owned(),
        "integer" => "whole number".to_owned(),
        "number" => "number".to_owned(),
        "boolean" => "true or false".to_owned(),
        "array" => match schema["items"].as_array() {
            Some(values) => format!("[{}]", values.iter().map(kind).collect::<Vec<_>>().join(", ")),
            None => format!("list of {}", plural(&kind(&schema["items"]))),
        },
        _ => "table".to_owned(),
    }
}

fn plural(kind: &str) -> String {
    if kind.starts_with('[') { kind.to_owned() } else { format!("{kind}s") }
}

/// The default of a key, as TOML.
fn default(schema: &Value) -> String {
    match &schema["default"] {
        Value::Null => String::new(),
        Value::Number(bytes) if schema["title"] == "size" => {
            format!("`\"{}\"`", ByteCount(bytes.as_u64().unwrap_or_default()).to_string().replace(' ', ""))
        }
        Value::Number(number) if number.as_f64().is_some_and(|number| number >= 1e6) => {
            format!("`{:e}`", number.as_f64().unwrap_or_default())
        }
        value => format!("`{}`", value.to_string().replace("\",\"", "\", \"")),
    }
}

/// The description of a key and of the names that it may have.
fn meaning(schema: &Value) -> String {
    let names = schema["oneOf"].as_array().or_else(|| schema["items"]["oneOf"].as_array());
    let names = names.into_iter().flatten().filter_map(named).map(|(name, means)| format!("<br>`{name}`: {means}"));
    format!("{}{}", text(schema), names.collect::<String>())
}

/// A name, or a table of one key, and what it means.
pub(super) fn named(alternative: &Value) -> Option<(String, String)> {
    let name = match alternative["const"].as_str() {
        Some(name) => name.to_owned(),
        None => format!("{{ {} = … }}", alternative["properties"].as_object()?.keys().next()?),
    };
    Some((name, text(alternative)))
}

/// The description of a schema.
pub(super) fn text(schema: &Value) -> String {
    schema["description"].as_str().unwrap_or_default().replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_is_that_of_the_code() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference.md");
        let page = fs_err::read_to_string(path).expect("docs/reference.md");
        assert!(
            page == reference(),
            "docs/reference.md is stale: run `headwater schema --markdown > docs/reference.md`"
        );
    }

    #[test]
    fn every_key_has_a_type_and_a_meaning_and_stands_in_order() {
        let page = reference();
        let rows = page.lines().filter(|line| line.starts_with("| `"));
        for row in rows.clone() {
            let cells: Vec<&str> = row.split(" | ").collect();
            assert!(!cells[1].is_empty() && cells.last().is_some_and(|meaning| meaning.len() > 10), "{row}");
        }
        assert!(rows.count() > 80);
        let place = |text: &str| page.find(text).unwrap_or_else(|| panic!("{text}"));
        for pair in [
            "## `[run]`",
            "`output` | text | required",
            "## `[[corpus]]`",
            "## `[select]`",
            "### `[select.guards]`",
            "### `[select.domains.NAME]`",
            "## `[tokens]`",
        ]
        .windows(2)
        {
            assert!(place(pair[0]) < place(pair[1]), "{pair:?}");
        }
    }
}
