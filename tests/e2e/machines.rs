//! What machines read: `--json`, JSON lines, and arguments that job files were written with.

use std::collections::BTreeSet;
use std::error::Error;

use serde_json::Value;

use crate::site::{Outcome, PIPELINE, Site};

/// Runs `arguments` with `--json`, and reads the one object that they print.
fn json(site: &Site, arguments: &[&str]) -> Result<Value, Box<dyn Error>> {
    let finished = site.headwater(&[arguments, &["--json"]].concat())?;
    assert_eq!((finished.code, finished.stdout.lines().count()), (Some(0), 1), "{finished:?}");
    Ok(serde_json::from_str(&finished.stdout)?)
}

#[test]
fn results_are_json_objects() -> Outcome {
    let site = Site::new()?;
    assert_eq!(json(&site, &["status", PIPELINE])?["scoring"], Value::Null);
    site.stage("status", &["--files"])?.says(1, &["no scores yet", "headwater score"]);
    let plan = json(&site, &["plan", PIPELINE])?;
    let documents: Option<u64> =
        plan["sources"].as_array().ok_or("sources")?.iter().map(|source| source["documents"].as_u64()).sum();
    assert_eq!(plan["total"]["documents"].as_u64(), documents);
    assert_eq!((&plan["basis"]["is_assumed"], &plan["total"]["hours"]), (&Value::Bool(true), &Value::Null));
    let commands = |plan: &Value| -> Vec<(Value, Value)> {
        let commands = plan["commands"].as_array().into_iter().flatten();
        commands.map(|planned| (planned["command"].clone(), planned["is_divided"].clone())).collect()
    };
    assert_eq!(commands(&plan), [("heads", false), ("score", true), ("run", false)].map(|(a, b)| (a.into(), b.into())));
    let other = ["plan", PIPELINE, "--set", "score.by=student", "--set", "tokens.formats=['datatrove']"];
    let expected = [("distill", false), ("score", true), ("select", false), ("tokens", true), ("run", false)];
    assert_eq!(commands(&json(&site, &other)?), expected.map(|(a, b)| (a.into(), b.into())));
    site.done("run", &[])?;
    let status = json(&site, &["status", PIPELINE])?;
    assert_eq!(status["scoring"]["documents_left"], 0);
    let rows = status["scoring"]["statuses"]["rows"].as_object().ok_or("rows")?;
    assert_eq!(rows.values().filter_map(Value::as_u64).sum::<u64>(), documents.ok_or("documents")?);
    let scores = json(&site, &["status", PIPELINE, "--files"])?;
    let files = scores["files"].as_array().ok_or("files")?;
    assert_eq!(scores["units"].as_u64(), Some(files.len() as u64));
    assert!(files.iter().all(|file| file.as_str().is_some_and(|file| site.path(file).is_file())), "{scores}");
    let lines = site.done("status", &["--files"])?.stdout;
    assert_eq!(lines.lines().map(Value::from).collect::<Vec<_>>(), *files);
    let again = json(&site, &["run", PIPELINE])?;
    assert_eq!((&again["verdict"], &again["selection"]), (&"complete".into(), &site.json("selection.json")?));
    let selection = json(&site, &["select", PIPELINE])?;
    assert_eq!(
        (&selection["verdict"], &selection["hash"]),
        (&"complete".into(), &site.json("selection.json")?["hash"])
    );
    let schedule = json(&site, &["schedule", "show", "wsd", "--steps", "1000", "--rows", "4"])?;
    assert_eq!((&schedule["kind"], &schedule["steps"]), (&"wsd".into(), &1000.into()));
    assert!(schedule["rows"].as_array().is_some_and(|rows| rows.len() > 4 && rows[0]["lr"] == 0.0), "{schedule}");
    Ok(())
}

/// The keys of a JSON object, as often as they stand there.
fn keys(line: &str) -> Result<Vec<String>, Box<dyn Error>> {
    struct Keys(Vec<String>);
    impl<'de> serde::de::Deserialize<'de> for Keys {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Visitor;
            impl<'de> serde::de::Visitor<'de> for Visitor {
                type Value = Keys;
                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("an object")
                }
                fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Keys, A::Error> {
                    let mut keys = Vec::new();
                    while let Some((key, _)) = map.next_entry::<String, serde::de::IgnoredAny>()? {
                        keys.push(key);
                    }
                    Ok(Keys(keys))
                }
            }
            deserializer.deserialize_map(Visitor)
        }
    }
    Ok(serde_json::from_str::<Keys>(line)?.0)
}

#[test]
fn json_lines_have_fields_each_once_and_the_stage() -> Outcome {
    let site = Site::new()?;
    let mut command = site.command(&["run", PIPELINE, "--log-format", "json"]);
    let finished = crate::site::finish(command.env("HEADWATER_LOG", "headwater=debug"))?;
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let (mut events, mut stages) = (BTreeSet::new(), BTreeSet::new());
    for line in finished.stderr.lines() {
        let keys = keys(line)?;
        assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), keys.len(), "a key stands twice: {line}");
        let object: Value = serde_json::from_str(line)?;
        assert!(["timestamp", "level", "message"].iter().all(|key| object[key].is_string()), "{line}");
        events.extend(object["event"].as_str().map(str::to_owned));
        let spans = object["spans"].as_array().into_iter().flatten();
        stages.extend(spans.filter_map(|span| span["stage"].as_str()).map(str::to_owned));
    }
    for event in ["planned", "model-loaded", "heads-known", "fetched", "progress"] {
        assert!(events.contains(event), "no `{event}` among {events:?}");
    }
    assert!(stages.contains("score"), "{stages:?}");
    Ok(())
}

#[test]
fn no_colour_codes_where_no_terminal_is() -> Outcome {
    let site = Site::new()?;
    let mut command = site.command(&["run", PIPELINE]);
    let finished = crate::site::finish(command.env("HEADWATER_LOG", "debug").env("CLICOLOR_FORCE", "1"))?;
    assert!(finished.stderr.contains("DEBUG") && !finished.stderr.contains('\u{1b}'), "{}", finished.stderr);
    Ok(())
}

#[test]
fn older_job_files_work_and_help_names_parts() -> Outcome {
    let site = Site::new()?;
    site.done("heads", &[])?;
    site.done("score", &["--shard", "0/1"])?;
    let help = site.headwater(&["score", "--help"])?.stdout;
    assert!(help.contains("--part <I/N>") && !help.contains("--shard"), "{help}");
    Ok(())
}
