//! The whole page of made-up runs: what it says, what it must not let out, how large it gets.

#[path = "../examples/write_page/a_trial.rs"]
mod a_trial;
#[path = "../examples/write_page/by_student.rs"]
mod by_student;
#[path = "../examples/write_page/hostile.rs"]
mod hostile;
#[path = "../examples/write_page/made_up.rs"]
mod made_up;
#[path = "../examples/write_page/scores.rs"]
mod scores;

use std::error::Error;

use headwater_record::{Metrics, SelectionFile};
use headwater_report::{MAX_PAGE_BYTES, PageInputs, render_page};

type Outcome = Result<(), Box<dyn Error>>;

/// The parts of `html` from each `open` to the next `close`.
fn parts<'a>(html: &'a str, open: &str, close: &str) -> Vec<&'a str> {
    html.match_indices(open).filter_map(|(at, _)| html[at..].split(close).next()).collect()
}

/// What lies between the tags of `html`, without the style and the script of the page itself.
fn body(html: &str) -> Option<&str> {
    html.split("</head>").nth(1)?.rsplit_once("<script>").map(|(body, _)| body)
}

#[test]
fn hostile_text_stays_text() -> Outcome {
    let html = render_page(&made_up::full()?.inputs());
    let body = body(&html).ok_or("no body")?;
    for tag in
        ["<script", "<img", "<iframe", "<link", "<style", "<plaintext", "<textarea", "<template", "<!--", "</script"]
    {
        assert!(!body.contains(tag), "{tag}");
    }
    assert!(body.contains("&lt;/script&gt;&lt;script&gt;window.hacked = 1&lt;/script&gt;"));
    assert!(body.contains("nul ␀ bell ␇ escape ␛[31mred") && body.contains("⟨U+202E⟩gpj.exe⟨U+202C⟩"));
    let forbidden = |character: char| {
        character.is_control() && character != '\n' && character != '\t'
            || ('\u{202a}'..='\u{202e}').contains(&character)
    };
    assert_eq!(html.find(forbidden), None);
    let is_handler = |tag: &&str| {
        ["onerror=", "onload=", "onmouseover=", "onfocus=", "style="].iter().any(|name| tag.contains(name))
    };
    assert_eq!(parts(body, "<", ">").into_iter().find(is_handler), None, "no tag has a handler or a style of its own");
    Ok(())
}

#[test]
fn every_figure_has_title_axes_and_words() -> Outcome {
    for made in [made_up::full()?, made_up::upsampled()?] {
        let html = render_page(&made.inputs());
        let figures = parts(&html, "<figure", "</figure>");
        assert!(figures.len() > 20, "{}", figures.len());
        for figure in figures {
            for part in ["<figcaption><b>", "role=\"img\"", "<title>", "<desc>"] {
                assert!(figure.contains(part), "{part} in {figure:.300}");
            }
            let words = parts(figure, "<desc>", "</desc>").concat();
            assert!(words.len() > 40 && words.contains(|character: char| character.is_ascii_digit()), "{words}");
        }
    }
    Ok(())
}

#[test]
fn what_is_missing_is_named_with_its_command() -> Outcome {
    let made = made_up::full()?;
    let empty = render_page(&PageInputs::default());
    let partial = render_page(&PageInputs { run: Some(&made.run), pipeline: "my <b>.toml", ..PageInputs::default() });
    for (what, stage) in [
        ("No retrieval heads", "heads"),
        ("No scores", "score"),
        ("Not selected yet", "select"),
        ("No learning-rate schedule", "recipe"),
    ] {
        let command = |pipeline| format!("{what}: <code><bdi>headwater {stage} {pipeline}</bdi></code>");
        assert!(empty.contains(&command("PIPELINE.toml")), "{what}");
        assert!(partial.contains(&command("my &lt;b&gt;.toml")), "{what}");
    }
    assert!(empty.contains("No run has begun") && !partial.contains("No run has begun"));
    assert!(!render_page(&made.inputs()).contains("Not there yet"));
    Ok(())
}

#[test]
fn the_cut_is_never_shown_without_its_error() -> Outcome {
    let made = made_up::full()?;
    let inputs = made.inputs();
    let first = &inputs.profile.ok_or("no profile")?.domains[0];
    let html = render_page(&inputs);
    let (cut, stderr) = (first.cut.ok_or("no cut")?, first.certainty.and_then(|c| c.cut_stderr).ok_or("no error")?);
    let shown = format!("{cut:.5} ± {stderr:.5}");
    // the table, the explorer, the summary of the domain, the picture and its words, the list of facts, the board of samples
    assert!(html.matches(&shown).count() >= 6, "{shown}");
    assert_eq!(html.matches(&format!("{cut:.5}")).count(), html.matches(&shown).count());
    Ok(())
}

#[test]
fn a_trial_is_shown_with_its_intervals_and_verdicts() -> Outcome {
    let html = render_page(&made_up::full()?.inputs());
    let section = parts(&html, "<section id=\"trial\"", "</section>").concat();
    for part in [
        "Difference from random text",
        "influence −0.0204, −0.0265 to −0.0143, better",
        "Loss over the runs",
        "0.0133",
        "412 documents",
    ] {
        assert!(section.contains(part), "{part}");
    }
    assert_eq!(section.matches("class=\"point\"").count(), 4, "an interval an arm");
    assert_eq!(section.matches("<polyline").count(), 6, "as many lines as are told apart");
    assert!(section.contains("1 more arms are in trial.json"));
    assert!(!render_page(&PageInputs::default()).contains("id=\"trial\""));
    Ok(())
}

#[test]
fn warnings_name_what_makes_a_run_partial() -> Outcome {
    let mut made = made_up::full()?;
    let html = render_page(&made.inputs());
    assert!(html.contains("above [score] max_rejects = 0.01") && html.contains("1 shard was unreadable"));
    assert!(html.contains("Two workers ran with another clock."));
    assert!(!html.contains("is not the head set"));
    made.run.scoring.heads = headwater_record::HeadSet::default();
    assert!(render_page(&made.inputs()).contains("is not the head set that the scores were made with"));
    let upsampled = render_page(&made_up::upsampled()?.inputs());
    assert!(upsampled.contains("7 units of 412 are not scored") && upsampled.contains("rank = &quot;corrected&quot;"));
    Ok(())
}

#[test]
fn the_largest_page_is_below_its_bound() -> Outcome {
    let made = made_up::maximal()?;
    let html = render_page(&made.inputs());
    assert!(html.len() < MAX_PAGE_BYTES, "{} bytes", html.len());
    assert_eq!(html.matches("<article").count(), 12 * (3 * 4 * 8 + 19));
    assert!(html.contains("and 800 more, in selection.json"));
    assert_eq!(html, render_page(&made.inputs()), "equal inputs give equal bytes");
    // texts share the room that is left, and every document has some of it
    let texts = parts(&html, "<pre dir=\"auto\"", "</pre>");
    assert!(texts.len() > 1_200 && texts.iter().all(|text| text.len() > 300), "{}", texts.len());
    Ok(())
}

#[test]
fn artefacts_of_nothing_make_a_page() -> Outcome {
    let nothing: SelectionFile = serde_json::from_str(&format!(
        r#"{{"hash": "{}", "rank": "", "by": "", "domains": [], "statuses": {{}}}}"#,
        "0".repeat(64)
    ))?;
    let metrics = Metrics::default();
    let html = render_page(&PageInputs { selection: Some(&nothing), metrics: Some(&metrics), ..PageInputs::default() });
    let body = body(&html).ok_or("no body")?;
    let is_no_number = |word: &str| matches!(word, "NaN" | "inf");
    assert!(!body.split(|character: char| !character.is_alphanumeric()).any(is_no_number), "{body}");
    assert!(body.contains("0 domains"));
    Ok(())
}

#[test]
fn two_runs_stand_side_by_side() -> Outcome {
    let (full, upsampled, maximal) = (made_up::full()?, made_up::upsampled()?, made_up::maximal()?);
    let html = full.against(&upsampled);
    let body = body(&html).ok_or("no body")?;
    for part in [
        "20 shards are in both runs, of 25 of A and 30 of B",
        "select.rank",
        "kept by both",
        "heads masked by both",
        "A: Corrected influence of documents",
        "has no such domain among those that are shown",
    ] {
        assert!(body.contains(part), "{part}");
    }
    assert!(!body.contains("<script") && !body.contains("<img"));
    assert_eq!(html, full.against(&upsampled), "equal inputs give equal bytes");
    assert!(maximal.against(&maximal).len() < MAX_PAGE_BYTES);
    Ok(())
}
