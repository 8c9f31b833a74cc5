//! Kinds, shapes and keys of schedules, for the command's help.

use headwater_schedule::Kind;
use serde_json::Value;

use super::reference::{kind, named, text};
use super::{order, tables};

/// Returns the kinds of schedules with their keys, the shapes of decays, and what the keys mean.
#[must_use]
pub fn schedule_help() -> String {
    let schema = tables();
    let keys = &schema["properties"]["schedule"]["properties"];
    let names = |key: &str| -> Vec<(String, String)> {
        let names = keys[key]["oneOf"].as_array().into_iter().flatten().filter_map(named);
        names.collect()
    };
    let mut lines = vec!["Kinds, each with its keys:".to_owned()];
    for (name, means) in names("kind") {
        let of_kind = Kind::ALL.into_iter().find(|kind| kind.name() == name).map_or(&[][..], Kind::keys);
        lines.push(format!("  {name:<13} {means} ({})", of_kind.join(", ")));
    }
    lines.push("\nShapes:".to_owned());
    lines.extend(names("shape").into_iter().map(|(name, means)| format!("  {name:<13} {means}")));
    lines.push("\nKeys:".to_owned());
    let others = order::keys("schedule").iter().filter(|key| **key != "kind");
    lines.extend(others.map(|key| {
        let schema: &Value = &keys[*key];
        format!("  {key:<14} {}: {}", kind(schema), text(schema))
    }));
    lines.push(
        "\nA length is a fraction of the run (0.25), {steps=2000} or {tokens=1e10}. Numbers: 1000, 1e3, 20k, 1T."
            .to_owned(),
    );
    lines
        .push("Examples: wsd:decay=0.2,shape=linear   cosine:floor=0.1   wsd-s:periods=4,warmup={steps=2k}".to_owned());
    lines.join("\n").replace('`', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_key_and_shape_is_explained() {
        let help = schedule_help();
        for kind in Kind::ALL {
            assert!(help.contains(&format!("\n  {:<13} ", kind.name())), "{}", kind.name());
            for key in kind.keys() {
                assert!(help.contains(&format!("\n  {key:<14} ")), "{key}");
            }
        }
        assert!(help.contains("\n  mirror-cosine ") && help.contains("half_life"), "{help}");
    }
}
