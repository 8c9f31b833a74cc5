//! What is wrong with a TOML file, for people: the place, the nearest known key, and what to write.
//!
//! Messages of serde speak of maps, sequences and missing fields. Here they become tables, lists and keys.

use std::path::Path;

use crate::Error;

/// Names are as like as this (Jaro-Winkler similarity) if one is suggested for the other.
const NEAR: f64 = 0.7;

/// What to write for the required keys, which have no default to copy.
const EXAMPLES: [(&str, &str); 6] = [
    ("run", "the table [run] is missing: write [run] and, below it, output = \"runs/mine\""),
    (
        "corpus",
        "there is no [[corpus]]: write [[corpus]] and, below it, name = \"web\" and paths = [\"data/*.parquet\"]",
    ),
    (
        "model",
        "the table [model] is missing: write [model] and, below it, name = \"smollm2-135m-instruct-q4\", or a path, or \
         hf:owner/name",
    ),
    (
        "output",
        "the key `output` is missing: write output = \"runs/mine\", a folder or an object-store URL, below [run]",
    ),
    ("paths", "the key `paths` is missing: write paths = [\"data/*.parquet\"] below [[corpus]]"),
    (
        "name",
        "the key `name` is missing: below [[corpus]] write a name of your own, name = \"web\"; below [model] a model, name = \
         \"smollm2-135m-instruct-q4\"",
    ),
];

/// Names the place, which is byte `at` of `text`, and says what to write.
pub(crate) fn explain_file(path: &Path, text: &str, at: Option<usize>, message: &str) -> Error {
    let (line, quoted) = match at {
        Some(at) => {
            let line = text[..at.min(text.len())].matches('\n').count() + 1;
            (line, text.lines().nth(line - 1).unwrap_or_default().trim().to_owned())
        }
        None => (0, String::new()),
    };
    Error::Config {
        path: path.to_owned(),
        line,
        message: brackets(message, &quoted).unwrap_or_else(|| plain(message)),
        text: quoted,
    }
}

/// What to write where a table has as many brackets as a list of tables, or the other way round.
fn brackets(message: &str, line: &str) -> Option<String> {
    let name = line.trim_start_matches('[').split(']').next()?.trim();
    if line.starts_with("[[") && message.starts_with("invalid type: sequence, expected a table") {
        Some(format!("there is one table of this name: write [{name}], in single brackets"))
    } else if line.starts_with('[') && message.starts_with("invalid type: map, expected a sequence") {
        Some(format!("there may be several tables of this name: write [[{name}]], in double brackets"))
    } else {
        None
    }
}

/// Turns a message of serde into one for people.
pub(crate) fn plain(message: &str) -> String {
    let quoted = |after: &str| after.split('`').next().unwrap_or_default().to_owned();
    if message.starts_with("unknown ") {
        return with_suggestion(message);
    }
    if let Some(name) = message.strip_prefix("missing field `").map(quoted) {
        let example = EXAMPLES.iter().find(|(key, _)| *key == name).map(|(_, example)| (*example).to_owned());
        return example.unwrap_or_else(|| format!("the key `{name}` is missing: write {name} = and its value"));
    }
    if let Some(name) = message.strip_prefix("duplicate field `").map(quoted) {
        return format!("the key `{name}` stands twice: leave one out");
    }
    let mismatch =
        ["invalid type: ", "invalid value: ", "invalid length "].iter().find_map(|start| message.strip_prefix(start));
    match mismatch.and_then(|rest| rest.split_once(", expected ")) {
        Some((found, expected)) => format!("write {}, not {}", wanted(expected), given(found)),
        // toml, of a value that is a name
        None if message == "wanted string or table" => "write one of its names, in quotes".to_owned(),
        // an untagged type tells what it takes and no more
        None if message.starts_with("a ") || message.starts_with('"') => format!("write {message}"),
        None => message.to_owned(),
    }
}

/// What was given, which serde calls `found`.
fn given(found: &str) -> String {
    let value = || found.split_once('`').map_or("", |(_, value)| value.trim_end_matches('`'));
    match found.split(' ').next().unwrap_or_default() {
        "map" | "struct" => "a table".to_owned(),
        "sequence" => "a list".to_owned(),
        "string" => format!("the text {}", found.trim_start_matches("string ")),
        "integer" | "floating" => format!("the number {}", value()),
        "boolean" => value().to_owned(),
        count if !count.is_empty() && count.bytes().all(|byte| byte.is_ascii_digit()) => format!("a list of {count}"),
        _ => found.to_owned(),
    }
}

/// What is wanted, which serde calls `expected`.
fn wanted(expected: &str) -> String {
    let expected = expected.split(" in Vec").next().unwrap_or(expected);
    if let Some(values) = expected.strip_prefix("a tuple of size ") {
        return format!("a list of {values} values in brackets");
    }
    match expected {
        "a sequence" => "a list in brackets, such as [\"a\", \"b\"]".to_owned(),
        "a string" => "a text in quotes".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a map" | "a table" => "a table, such as { key = 1 }".to_owned(),
        "a whole number" | "usize" | "u8" | "u16" | "u32" | "u64" | "i64" => {
            "a whole number, such as 1000, 20k or 1e6".to_owned()
        }
        "f32" | "f64" => "a number".to_owned(),
        table if table.starts_with("struct ") => "a table, such as { key = 1 }".to_owned(),
        own => own.to_owned(),
    }
}

/// Adds "did you mean" to serde's "unknown field `x`, expected one of `a`, `b`".
fn with_suggestion(message: &str) -> String {
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let Some((unknown, known)) = quoted.split_first() else { return message.to_owned() };
    let kind = match message.split(' ').nth(1) {
        Some("field") => "key",
        Some("variant") | None => "value",
        Some(own) => own,
    };
    let nearest = known.iter().map(|known| (strsim::jaro_winkler(unknown, known), *known));
    match nearest.max_by(|a, b| a.0.total_cmp(&b.0)) {
        Some((near, known)) if near > NEAR => format!("unknown {kind} `{unknown}`; did you mean `{known}`?"),
        Some(_) => format!("unknown {kind} `{unknown}`; there are `{}`", known.join("`, `")),
        None => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_say_what_to_write() {
        for (said, expected) in [
            ("invalid type: map, expected a sequence", "write a list in brackets, such as [\"a\", \"b\"], not a table"),
            (
                "invalid type: string \"a\", expected a sequence",
                "write a list in brackets, such as [\"a\", \"b\"], not the text \"a\"",
            ),
            ("invalid type: sequence, expected f64", "write a number, not a list"),
            ("invalid type: integer `3`, expected a string", "write a text in quotes, not the number 3"),
            (
                "invalid type: floating point `1.5`, expected a whole number",
                "write a whole number, such as 1000, 20k or 1e6, not the number 1.5",
            ),
            (
                "invalid value: integer `-1`, expected usize",
                "write a whole number, such as 1000, 20k or 1e6, not the number -1",
            ),
            ("invalid type: boolean `true`, expected \"auto\", 2 or 4", "write \"auto\", 2 or 4, not true"),
            ("invalid length 3, expected a tuple of size 2", "write a list of 2 values in brackets, not a list of 3"),
            (
                "missing field `output`",
                "the key `output` is missing: write output = \"runs/mine\", a folder or an object-store URL, below [run]",
            ),
            ("missing field `half`", "the key `half` is missing: write half = and its value"),
            ("duplicate field `name`", "the key `name` stands twice: leave one out"),
            (
                "unknown field `fracton`, expected one of `fraction`, `by`",
                "unknown key `fracton`; did you mean `fraction`?",
            ),
            ("unknown variant `zz`, expected `all` or `first`", "unknown value `zz`; there are `all`, `first`"),
            ("a number of bytes or a size", "write a number of bytes or a size"),
            ("something else", "something else"),
        ] {
            assert_eq!(plain(said), expected);
        }
    }
}
