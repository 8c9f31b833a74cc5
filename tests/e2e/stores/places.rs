//! A store gives what a disk gives, on every server; and what names of keys may do.

use crate::site::{Artefacts, PIPELINE, Site, assert_same, files_below, repository, tiny};
use crate::{corpora, corpus};

use super::servers::{ACCESS_KEY, SECRET_KEY, Store};
use super::{Lake, Outcome, local_artefacts, said};

/// The site of [`Site::new`] with a part of the quickstart's corpus as a third source and packed JSON Lines as a fourth.
fn site() -> Result<Site, super::Failure> {
    let site = Site::new().map_err(said)?;
    fs_err::create_dir(site.path("corpus/sample"))?;
    for (path, bytes) in files_below(&repository("pipelines/data/sample")).map_err(said)? {
        if path.ends_with(".parquet") && !path.contains('/') {
            fs_err::write(site.path("corpus/sample").join(path), bytes)?;
        }
    }
    fs_err::create_dir(site.path("corpus/lines"))?;
    fs_err::write(site.path("corpus/lines/a.jsonl.gz"), corpora::packed(&corpora::json_lines(), "gz").map_err(said)?)?;
    let table = "[[corpus]]\nname = \"sample\"\npaths = [\"corpus/sample/*.parquet\"]\nsample = 0.2\n\n\
                 [[corpus]]\nname = \"lines\"\npaths = [\"corpus/lines/*.jsonl.gz\"]\n\n[model]";
    site.write(PIPELINE, &site.read(PIPELINE)?.replace("[model]", table))?;
    Ok(site)
}

/// The artefacts, without what names the version of a file that a copy was made of: each store has its own.
fn without_versions(artefacts: Artefacts) -> Artefacts {
    const COPY: &str = "copies/lines/a.jsonl.gz-";
    let version: Option<String> = artefacts.keys().find_map(|path| path.strip_prefix(COPY).map(str::to_owned));
    let Some(version) = version else { return artefacts };
    let neutral = |text: &str| text.replace(&version, "VERSION.parquet");
    let rename = |(path, bytes): (String, Vec<u8>)| match path.as_str() {
        // recipes name the copy, and their manifest has the hashes of recipes
        "recipe/manifest.json" => None,
        name if name.starts_with("recipe/") => Some((path, neutral(&String::from_utf8_lossy(&bytes)).into_bytes())),
        name => Some((neutral(name), bytes)),
    };
    artefacts.into_iter().filter_map(rename).collect()
}

/// Runs the corpus from and to `store` and compares with a run on disk.
fn gives_what_a_disk_gives(store: Store) -> Outcome {
    let (name, disk) = (store.url.clone(), site()?);
    disk.done("run", &[]).map_err(said)?;
    let lake = Lake::of(site()?, store)?;
    let ended = lake.done("run", &[])?;
    assert!(ended.stderr.contains("requests, 0 of them again"), "{}", ended.stderr);
    let on_disk = without_versions(disk.artefacts().map_err(said)?);
    assert!(on_disk.contains_key("copies/lines/a.jsonl.gz-VERSION.parquet"), "{:?}", on_disk.keys());
    assert_same(&on_disk, &without_versions(lake.artefacts()?), &name);
    let before = lake.all_artefacts()?;
    lake.done("run", &[])?;
    assert_eq!(lake.metrics()?["documents"], 0, "{name}: the scores are found again");
    let status = lake.done("status", &[])?.stdout;
    for part in ["0 documents left", "not scored: ", "selection: written", "AbortIncompleteMultipartUpload"] {
        assert!(status.contains(part), "{status}");
    }
    // another cut replaces what a cut replaces, by conditional and plain puts
    lake.done("select", &["--set", "select.fraction=0.5"])?;
    assert_ne!(before.get("selection.json"), lake.all_artefacts()?.get("selection.json"));
    Ok(())
}

#[test]
fn s3_gives_what_a_disk_gives() -> Outcome {
    gives_what_a_disk_gives(Store::s3()?)
}

#[test]
fn moto_gives_what_a_disk_gives() -> Outcome {
    Store::moto()?.map_or(Ok(()), gives_what_a_disk_gives)
}

#[test]
fn google_gives_what_a_disk_gives() -> Outcome {
    gives_what_a_disk_gives(Store::google()?)
}

#[test]
fn azurite_gives_what_a_disk_gives() -> Outcome {
    Store::azurite()?.map_or(Ok(()), gives_what_a_disk_gives)
}

#[test]
fn profiles_give_credentials_as_the_environment_does() -> Outcome {
    let lake = Lake::new(Store::s3()?)?;
    let endpoint = format!("http://{}", lake.proxy().address);
    lake.site.write(
        "keys.json",
        &format!(r#"{{"Version": 1, "AccessKeyId": "{ACCESS_KEY}", "SecretAccessKey": "{SECRET_KEY}"}}"#),
    )?;
    let config = format!(
        "[profile keys]\nregion = us-east-1\nendpoint_url = {endpoint}\n\
         [profile command]\nregion = us-east-1\nendpoint_url = {endpoint}\ncredential_process = cat keys.json\n\
         [profile broken]\nregion = us-east-1\nendpoint_url = {endpoint}\ncredential_process = cat none.json\n"
    );
    lake.site.write("config", &config)?;
    let keys = format!("[keys]\naws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {SECRET_KEY}\n");
    lake.site.write("credentials", &keys)?;
    let plan = |profile: &str| {
        let mut command = lake.site.command(&["plan", PIPELINE]);
        command.env("AWS_PROFILE", profile);
        command.env("AWS_CONFIG_FILE", "config").env("AWS_SHARED_CREDENTIALS_FILE", "credentials");
        crate::site::finish(&mut command).map_err(super::said)
    };
    for profile in ["keys", "command"] {
        assert_eq!(plan(profile)?.code, Some(0), "{profile}: {}", plan(profile)?.stderr);
    }
    plan("broken")?.says(1, &["profile `broken`", "none.json"]);
    plan("other")?.says(1, &["AWS_PROFILE is `other`", "config or credentials"]);
    Ok(())
}

#[test]
fn a_web_server_serves_shards() -> Outcome {
    // the bucket without credentials is a plain web server
    let store = Store::s3_for_all()?;
    let address = format!("http://{}/lake/corpus", store.proxy.address);
    let lake = Lake::new(store)?;
    let files = ["books/a.parquet", "books/b.parquet"].map(|path| format!("\"{address}/{path}\"")).join(", ");
    let table = format!("[[corpus]]\nname = \"web\"\npaths = [{files}]\n");
    lake.site.write(PIPELINE, &crate::site::pipeline(&table, &tiny("llama")))?;
    lake.done("run", &[])?;
    let scored: usize = lake.site.artefacts().map_err(said)?.keys().filter(|path| path.starts_with("scores/")).count();
    assert!(scored > 0);
    for (paths, parts) in
        [("corpus/books/*.parquet", "web servers can only be read"), ("corpus/none.parquet", "matches no Parquet file")]
    {
        let table = table.replace(&files, &format!("\"{}\"", address.replace("corpus", paths)));
        lake.site.write(PIPELINE, &crate::site::pipeline(&table, &tiny("llama")))?;
        lake.stage("plan", &[])?.says(1, &[parts]);
    }
    Ok(())
}

#[test]
fn workers_that_do_the_same_units_leave_one_result() -> Outcome {
    let lake = Lake::new(Store::s3()?)?;
    lake.done("heads", &[])?;
    let spawn = || lake.command(&["score", PIPELINE, "--quiet"]).spawn();
    let workers = [spawn()?, spawn()?, spawn()?];
    for mut worker in workers {
        assert_eq!(worker.wait()?.code(), Some(0));
    }
    let puts = lake
        .proxy()
        .calls()
        .into_iter()
        .map(|(call, _)| call)
        .filter(|call| call.writes() && call.key.contains("/scores/"));
    let puts: Vec<String> = puts.map(|call| call.key).collect();
    let units: std::collections::BTreeSet<&String> = puts.iter().collect();
    assert!(puts.len() > units.len(), "no unit was scored twice");
    lake.done("run", &[])?;
    assert_same(&local_artefacts()?, &lake.artefacts()?, "three workers");
    Ok(())
}

#[test]
fn the_parts_of_an_array_make_the_whole() -> Outcome {
    let lake = Lake::new(Store::s3()?)?;
    lake.done("heads", &[])?;
    for part in ["2/3", "0/3", "1/3"] {
        lake.done("score", &["--part", part])?;
    }
    let artefacts = lake.all_artefacts()?;
    assert!((0..3).all(|part| artefacts.contains_key(&format!("metrics/score-{part}-of-3.json"))));
    lake.done("run", &[])?;
    assert_eq!(lake.metrics()?["documents"], 0);
    assert_same(&local_artefacts()?, &lake.artefacts()?, "three parts");
    Ok(())
}

#[test]
fn keys_of_any_name_are_read_and_none_leaves_the_output() -> Outcome {
    let store = Store::s3()?;
    let rows = corpus::bytes(&corpus::book_rows(1, 18).map_err(said)?, 7).map_err(said)?;
    let odd = [
        "a b.parquet",
        "ünï/cödé.parquet",
        "100%25.parquet",
        "plus+plus.parquet",
        "semi;colon=.parquet",
        "~x/#1.parquet",
    ];
    for (number, key) in odd.iter().enumerate() {
        let rows = corpus::bytes(&corpus::book_rows(number as u64, 18).map_err(said)?, 7).map_err(said)?;
        store.put(&format!("odd/{key}"), rows)?;
    }
    store.put("elsewhere/x.parquet", rows)?;
    let lake = Lake::new(store)?;
    let table = format!("[[corpus]]\nname = \"odd\"\npaths = [\"{}/odd/\"]\n", lake.store.url);
    let pipeline =
        crate::site::pipeline(&table, &tiny("llama")).replace("output = \"out\"", "output = \"s3://lake/out\"");
    lake.site.write(PIPELINE, &pipeline)?;
    lake.done("run", &["--set", "select.fraction=1.0"])?;
    let artefacts = lake.all_artefacts()?;
    for key in odd {
        assert_eq!(
            artefacts.keys().filter(|path| path.starts_with("selected/") && path.ends_with(key)).count(),
            1,
            "{key}"
        );
    }
    assert_eq!(lake.store.objects("elsewhere")?.len(), 1);
    for name in ["../up", "/abs", "a/b", ".hidden", "a b", "", "ü"] {
        let refused = lake.stage("plan", &["--set", &format!("corpus.name=\"{name}\"")])?;
        refused.says(1, &["name"]);
    }
    Ok(())
}

#[test]
fn keys_that_cannot_be_paths_are_left_out_and_stop_nothing() -> Outcome {
    let Some(store) = Store::moto()? else { return Ok(()) };
    let lake = Lake::new(store)?;
    let before = lake.done("plan", &[])?;
    for key in ["up/../x.parquet", "abs//x.parquet", "dot/./x.parquet", "folder.parquet/"] {
        lake.store.put_raw(&format!("corpus/web/{key}"))?;
    }
    let after = lake.done("plan", &[])?;
    assert_eq!(after.stdout, before.stdout, "the shards of the corpus are planned as before");
    for part in ["keys with an empty, `.` or `..` part are left out", "objects=3", "//x.parquet"] {
        assert!(after.stderr.contains(part), "{part}: {}", after.stderr);
    }
    assert!(!before.stderr.contains("left out"), "{}", before.stderr);
    Ok(())
}

#[test]
fn secrets_show_up_nowhere() -> Outcome {
    let lake = Lake::new(Store::s3()?)?;
    let mut said = String::new();
    for (stage, code) in [("run", 0), ("status", 0), ("plan", 0)] {
        let mut command = lake.command(&[stage, PIPELINE, "--log-format", "json"]);
        let ended = crate::site::finish(command.env("HEADWATER_LOG", "trace")).map_err(super::said)?;
        assert_eq!(ended.code, Some(code), "{}", ended.stderr);
        said.push_str(&ended.stdout);
        said.push_str(&ended.stderr);
    }
    // a key that the store refuses
    let mut command = lake.command(&["run", PIPELINE]);
    let refused =
        crate::site::finish(command.env("AWS_SECRET_ACCESS_KEY", "canary-wrong-secret")).map_err(super::said)?;
    refused.says(1, &["permission denied", "credentials"]);
    said.push_str(&refused.stderr);
    for (path, bytes) in lake.all_artefacts()? {
        said.push_str(&format!("{path}: {}", String::from_utf8_lossy(&bytes)));
    }
    assert!(!said.contains(SECRET_KEY) && !said.contains("canary"), "a secret is said");
    assert!(!said.contains(ACCESS_KEY), "an access key is said");
    Ok(())
}

#[test]
fn secrets_in_addresses_are_refused_without_repeating_them() -> Outcome {
    let lake = Lake::new(Store::s3()?)?;
    for address in
        ["https://user:canary-pass@host/a.parquet", "s3://key:canary-pass@bucket/x", "http://canary-pass@host/a"]
    {
        let table = format!("[[corpus]]\nname = \"a\"\npaths = [\"{address}\"]\n");
        lake.site.write(PIPELINE, &crate::site::pipeline(&table, &tiny("llama")))?;
        let refused = lake.stage("plan", &[])?;
        refused.says(1, &["credentials", "environment"]);
        assert!(!refused.stderr.contains("canary"), "{}", refused.stderr);
    }
    Ok(())
}
