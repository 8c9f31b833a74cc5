use crate::PipelineConfig;
use crate::error::chain;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const BASE: &str = r#"
[run]
output = "runs/x"
seed = 7
[[corpus]]
name = "a"
paths = ["a/*.parquet"]
[[corpus]]
name = "b"
paths = ["b/*.parquet"]
[model]
name = "m"
[select]
fraction = 0.1
[select.domains.code]
fraction = 0.5
[schedule]
decay = { steps = 2000 }
"#;

/// Writes files and loads the first of them as a pipeline.
fn load(files: &[(&str, &str)], overrides: &[&str]) -> Result<PipelineConfig> {
    let folder = tempfile::tempdir()?;
    for (name, text) in files {
        let path = folder.path().join(name);
        path.parent().map_or(Ok(()), fs_err::create_dir_all)?;
        fs_err::write(path, text)?;
    }
    let overrides: Vec<String> = overrides.iter().map(|text| (*text).to_owned()).collect();
    let loaded = PipelineConfig::load(&folder.path().join(files[0].0), &overrides);
    let shown = format!("{}/", folder.path().display());
    loaded.map_err(|error| chain(&error).replace(&shown, "").into())
}

fn wrong(files: &[(&str, &str)], overrides: &[&str]) -> String {
    load(files, overrides).expect_err("something is wrong").to_string()
}

#[test]
fn tables_are_joined_and_all_else_is_replaced() -> Result<()> {
    let child = r#"
extends = "base.toml"
[run]
output = "runs/y"
[[corpus]]
name = "c"
paths = ["c/*.parquet"]
[select.domains.web]
fraction = 0.9
[schedule]
decay = { tokens = 1e9 }
"#;
    let pipeline = load(&[("child.toml", child), ("base.toml", BASE)], &[])?;
    assert_eq!((pipeline.run.output.as_str(), pipeline.run.seed), ("runs/y", 7));
    assert_eq!(pipeline.corpus.iter().map(|source| source.name.as_str()).collect::<Vec<_>>(), ["c"]);
    assert_eq!((pipeline.model.name.as_str(), pipeline.select.fraction), ("m", 0.1));
    let domains: Vec<_> = pipeline.select.domains.iter().map(|(name, own)| (name.as_str(), own.fraction)).collect();
    assert_eq!(domains, [("code", Some(0.5)), ("web", Some(0.9))]);
    assert_eq!(pipeline.schedule.decay, Some(headwater_schedule::Length::Tokens(1_000_000_000)));
    Ok(())
}

#[test]
fn what_stands_in_braces_replaces_a_table() -> Result<()> {
    let child = "extends = \"base.toml\"\nselect = { rank = \"loss\" }\n";
    let pipeline = load(&[("child.toml", child), ("base.toml", BASE)], &[])?;
    assert_eq!((pipeline.select.fraction, pipeline.select.domains.len()), (0.2, 0));
    Ok(())
}

#[test]
fn chains_begin_in_the_folder_of_each_file_and_overrides_win() -> Result<()> {
    let files = [
        ("jobs/child.toml", "extends = \"../middle.toml\"\n[run]\nseed = 9\n"),
        ("middle.toml", "extends = \"lib/base.toml\"\n[run]\nseed = 8\n[select]\nfraction = 0.3\n"),
        ("lib/base.toml", BASE),
    ];
    let pipeline = load(&files, &[])?;
    assert_eq!((pipeline.run.seed, pipeline.select.fraction, pipeline.corpus.len()), (9, 0.3, 2));
    assert_eq!(pipeline.corpus[0].paths, ["a/*.parquet"], "paths of the corpus are those of the working directory");
    let pipeline = load(&files, &["run.seed=1", "select.domains.web.fraction=0.4"])?;
    assert_eq!((pipeline.run.seed, pipeline.select.domains.len()), (1, 2));
    Ok(())
}

#[test]
fn mistakes_are_found_in_the_file_where_they_stand() {
    let child = "extends = \"base.toml\"\n[run]\nseed = 9\n";
    let base = |text: &str| BASE.replace("fraction = 0.1", text);
    for overrides in [&[][..], &["run.seed=3"]] {
        let text = wrong(&[("child.toml", child), ("base.toml", &base("fracton = 0.1"))], overrides);
        assert_eq!(text, "base.toml:14: unknown key `fracton`; did you mean `fraction`?\n    fracton = 0.1");
        let text =
            wrong(&[("child.toml", "extends = \"base.toml\"\n\n[run]\nsed = 9\n"), ("base.toml", BASE)], overrides);
        assert_eq!(text, "child.toml:4: unknown key `sed`; did you mean `seed`?\n    sed = 9");
        let text = wrong(&[("child.toml", child), ("base.toml", &base("rank = \"lost\""))], overrides);
        assert!(text.starts_with("base.toml:14: ") && text.ends_with("\n    rank = \"lost\""), "{text}");
        let text = wrong(&[("child.toml", child), ("base.toml", "[run\n")], overrides);
        assert!(text.starts_with("base.toml:1: "), "{text}");
        let text =
            wrong(&[("child.toml", child), ("base.toml", "[run]\n[model]\nname = \"m\"\n[[corpus]]\n")], overrides);
        assert!(text.contains("the key `name` is missing: ") && text.starts_with("base.toml:4: "), "{text}");
        let text = wrong(&[("child.toml", child), ("base.toml", "[[corpus]]\nname = \"a\"\npaths = []\n")], overrides);
        assert!(
            text.contains("the key `output` is missing: write output = ") && text.starts_with("child.toml:2: "),
            "{text}"
        );
    }
    let text = wrong(&[("child.toml", child), ("base.toml", BASE)], &["select.fracton=0.5"]);
    assert_eq!(text, "--set: `select.fracton`: unknown key `fracton`; did you mean `fraction`?");
    // the same key in a table that both files have
    let (child, base) = ("extends = \"base.toml\"\n[run]\nsead = 1\n", BASE.replace("seed", "sead"));
    assert_eq!(
        wrong(&[("child.toml", child), ("base.toml", &base)], &[]),
        "child.toml:3: unknown key `sead`; did you mean `seed`?\n    sead = 1"
    );
}

#[test]
fn a_file_that_is_not_there_is_named_with_who_extends_it() {
    let text = wrong(&[("child.toml", "# mine\n\nextends = \"gone.toml\"\n")], &[]);
    assert!(text.starts_with("cannot read what child.toml:3 extends") && text.contains("gone.toml`"), "{text}");
    let text = wrong(&[("child.toml", "extends = 3\n")], &[]);
    assert_eq!(text, "child.toml:1: `extends` takes the path of another file, in quotes\n    extends = 3");
    let text = wrong(&[("child.toml", "extend = \"base.toml\"\n"), ("base.toml", BASE)], &[]);
    assert_eq!(text, "child.toml:1: unknown key `extend`; did you mean `extends`?\n    extend = \"base.toml\"");
    let text = wrong(&[("base.toml", BASE)], &["extends=\"base.toml\""]);
    assert_eq!(text, "--set cannot set `extends`; write it at the top of a pipeline");
}

#[test]
fn circles_are_named() {
    let text = wrong(&[("a.toml", "extends = \"./a.toml\"\n")], &[]);
    assert_eq!(text, "a.toml extends ./a.toml: a file cannot extend itself; remove one `extends`");
    let files = [
        ("a.toml", "extends = \"b/b.toml\"\n"),
        ("b/b.toml", "extends = \"c.toml\"\n"),
        ("b/c.toml", "extends = \"b.toml\"\n"),
    ];
    let text = wrong(&files, &[]);
    assert_eq!(
        text,
        "a.toml extends b/b.toml extends b/c.toml extends b/b.toml: a file cannot extend itself; remove one `extends`"
    );
}
