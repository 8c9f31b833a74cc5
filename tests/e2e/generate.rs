//! `headwater generate`: texts with scheduled reflection.

use serde_json::Value;

use crate::site::{Finished, Outcome, Site, tiny};

/// Words that the tiny vocabulary has as tokens.
const WORDS: [&str; 2] = ["--words", "the,in,row"];

struct Writer {
    site: Site,
    model: String,
}

impl Writer {
    fn new() -> Result<Self, Box<dyn std::error::Error>> {
        Ok(Self { site: Site::empty()?, model: tiny("llama").display().to_string() })
    }

    fn runs(&self, more: &[&str]) -> Result<Finished, Box<dyn std::error::Error>> {
        let arguments = [&["generate", &self.model, "--prompt", "In the harbour", "--tokens", "30"], more].concat();
        self.site.headwater(&arguments)
    }

    fn written(&self, more: &[&str]) -> Result<Value, Box<dyn std::error::Error>> {
        let finished = self.runs(&[&WORDS, more, &["--json"]].concat())?;
        assert_eq!(finished.code, Some(0), "{finished:?}");
        Ok(serde_json::from_str(&finished.stdout)?)
    }

    fn refused(&self, more: &[&str], said: &[&str]) -> Outcome {
        self.runs(more)?.says(1, said);
        Ok(())
    }
}

#[test]
fn texts_follow_their_seed_and_their_schedule() -> Outcome {
    let writer = Writer::new()?;
    let plain = writer.written(&[])?;
    assert_eq!(plain["tokens"].as_array().map(Vec::len), Some(30));
    assert!(plain["added"].as_array().ok_or("added")?.iter().all(|added| *added == 0.0), "{plain}");
    let statistics = |written: &Value, key: &str| written["statistics"][key].as_f64().unwrap_or(-1.0);
    assert_eq!(statistics(&plain, "thinking_tokens"), 30.0);
    let drawn = |seed: &str| writer.written(&["--temperature", "1", "--top-p", "0.9", "--seed", seed]);
    let same = |a: &Value, b: &Value| a["tokens"] == b["tokens"];
    assert!(same(&drawn("1")?, &drawn("1")?) && !same(&drawn("1")?, &drawn("2")?));
    assert!(same(&plain, &writer.written(&["--reflection", "cyclic", "--amplitude", "0"])?));
    let more = writer.written(&["--reflection", "tip", "--penalty=-100"])?;
    assert_eq!(statistics(&more, "reflections_per_hundred"), 100.0);
    let fewer = writer.written(&["--reflection", "tip", "--penalty", "100"])?;
    assert_eq!(statistics(&fewer, "reflections_per_hundred"), 0.0);
    let waves = ["--reflection", "cyclic", "--amplitude", "100", "--period", "8"];
    let wave = writer.written(&[&waves[..], &["--svg", "wave.svg"]].concat())?;
    let positions: Vec<u64> =
        wave["statistics"]["positions"].as_array().into_iter().flatten().filter_map(Value::as_u64).collect();
    assert!(
        positions.iter().all(|at| (1..=3).contains(&(at % 8))),
        "reflections outside the upper half: {positions:?}"
    );
    assert!(positions.len() >= 10, "{positions:?}");
    assert!(writer.site.read("wave.svg")?.contains("added to the logits of reflection tokens"));
    let shown = writer.runs(&WORDS)?;
    assert_eq!(shown.code, Some(0));
    assert!(shown.stdout.contains("30 tokens in") && shown.stdout.contains("in a hundred"), "{}", shown.stdout);
    writer.site.write("prompt.txt", "In the harbour")?;
    let file = ["generate", &writer.model, "--prompt-file", "prompt.txt", "--tokens", "30", "--json"];
    let from_file: Value = serde_json::from_str(&writer.site.headwater(&[&file[..], &WORDS].concat())?.stdout)?;
    assert!(same(&plain, &from_file));
    Ok(())
}

#[test]
fn what_cannot_work_is_one_clear_line() -> Outcome {
    let writer = Writer::new()?;
    writer.refused(&["--words", "Mississippi"], &["`Mississippi` is no single token of this model"])?;
    writer.refused(&["--reflection", "cyclic"], &["no usual reflection word"])?;
    writer.refused(&["--paper-tokens"], &["`wait` is no single token"])?;
    let with_words = |more: &[&'static str], said: &[&str]| writer.refused(&[&WORDS, more].concat(), said);
    with_words(&["--end", "</ponder>"], &["\"</ponder>\" is no token of this model"])?;
    with_words(&["--reflection", "s1"], &["needs the token that ends it"])?;
    with_words(&["--reflection", "s1", "--end", "<filename>"], &["appends `Wait`"])?;
    with_words(&["--temperature", "-1"], &["the temperature is -1"])?;
    with_words(&["--top-p", "0"], &["top-p is 0"])?;
    with_words(&["--reflection", "cyclic", "--period", "0"], &["the wave's period is 0"])?;
    with_words(&["--device", "floppy"], &["device `floppy` cannot be used"])?;
    let missing = ["generate", &writer.model, "--prompt-file", "no.txt"];
    writer.site.headwater(&missing)?.says(1, &["no.txt"]);
    writer.site.headwater(&["generate", &writer.model, "--prompt", ""])?.says(1, &["the prompt is empty"]);
    Ok(())
}
