use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::Stores;
use crate::faults::{Fault, Script, faulty};

type Outcome = std::result::Result<(), Box<dyn std::error::Error>>;

/// What every place that can be written must do.
fn conforms(place: &Place) -> Outcome {
    let text = |text: &'static str| Bytes::from_static(text.as_bytes());
    assert_eq!(place.list("")?, []);
    assert_eq!(place.read_if_exists("a/x.txt")?, None);
    assert!(matches!(place.read("a/x.txt"), Err(Error::NotFound { .. })));
    assert!(matches!(place.entry("a/x.txt"), Err(Error::NotFound { .. })));

    place.write("a/x.txt", text("one"))?;
    let before = place.entry("a/x.txt")?;
    place.write("a/x.txt", text("three"))?;
    assert_eq!(place.read("a/x.txt")?, text("three"));
    let after = place.entry("a/x.txt")?;
    assert_eq!((after.path.as_str(), after.bytes), ("a/x.txt", 5));
    assert_ne!(before.etag, after.etag);

    assert_eq!(place.create("a/b/y.txt", &text("first"))?, Created::New);
    assert_eq!(place.create("a/b/y.txt", &text("second"))?, Created::AlreadyThere);
    assert_eq!(place.child("a").child("b").read("y.txt")?, text("first"));
    place.write("ab/z.txt", text(""))?;

    let paths =
        |prefix: &str| -> Result<Vec<String>> { Ok(place.list(prefix)?.into_iter().map(|entry| entry.path).collect()) };
    assert_eq!(paths("")?, ["a/b/y.txt", "a/x.txt", "ab/z.txt"]);
    assert_eq!(paths("a")?, ["a/b/y.txt", "a/x.txt"]);
    assert_eq!(paths("a/b/")?, ["a/b/y.txt"]);
    assert_eq!(paths("nothing")?, Vec::<String>::new());
    assert_eq!(place.child("a").list("")?[1], Entry { path: "x.txt".to_owned(), ..after });

    for file in ["a/b/y.txt", "a/b/y.txt", "never.txt"] {
        place.remove(file)?;
    }
    assert_eq!(paths("")?, ["a/x.txt", "ab/z.txt"]);
    if let Some(folder) = place.local_path() {
        assert!(!folder.join("a/b").exists() && folder.join("a").exists());
    }

    for outside in ["../x", "a/../../x", "/etc/passwd", "", "a//x"] {
        assert!(matches!(place.read(outside), Err(Error::InvalidLocation { .. })), "{outside}");
    }
    writers_conform(place)?;
    creates_race(place)
}

fn writers_conform(place: &Place) -> Outcome {
    let big: Vec<u8> = (0..20_000_000_u32).map(|at| (at % 251) as u8).collect();
    for bytes in [&big[..], &big[..8 << 20], &big[..3], &[]] {
        let mut writer = place.writer("w/out.bin")?;
        for chunk in bytes.chunks(1_000_003) {
            writer.write_all(chunk)?;
        }
        assert_ne!(place.read_if_exists("w/out.bin")?.as_deref(), Some(bytes), "visible before it was finished");
        writer.finish()?;
        assert_eq!(place.read("w/out.bin")?, bytes);
    }
    let listed = place.list("")?;
    let mut abandoned = place.writer("w/abandoned.bin")?;
    abandoned.write_all(&big)?;
    assert_eq!(place.list("")?, listed, "a half-written file is listed");
    drop(abandoned);
    assert_eq!(place.list("")?, listed);
    assert_eq!(place.read_if_exists("w/abandoned.bin")?, None);
    Ok(())
}

fn creates_race(place: &Place) -> Outcome {
    for round in 0..20 {
        let (name, new) = (format!("race/{round}"), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let (name, new) = (&name, &new);
                scope.spawn(move || {
                    if place.create(name, &Bytes::from(format!("{thread}"))).unwrap() == Created::New {
                        new.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(new.into_inner(), 1);
    }
    Ok(())
}

#[test]
fn a_local_folder_conforms() -> Outcome {
    let folder = tempfile::tempdir()?;
    let place = Stores::default().open(&folder.path().join("made/when needed").display().to_string())?;
    conforms(&place)?;
    assert_eq!(std::fs::read_dir(folder.path().join("made/when needed/w"))?.count(), 1, "a temporary file was left");
    Ok(())
}

#[test]
fn a_store_conforms() -> Outcome {
    conforms(&Place::in_memory("conformance")?.child("some/prefix"))
}

#[test]
fn leftovers_of_a_killed_process_stay_hidden() -> Outcome {
    let folder = tempfile::tempdir()?;
    fs_err::write(folder.path().join(".unit.parquet.tmp-Ab12"), b"half")?;
    fs_err::write(folder.path().join(".hidden"), b"a file of the user's")?;
    let listed = Stores::default().open(&folder.path().display().to_string())?.list("")?;
    assert_eq!(listed.iter().map(|entry| entry.path.as_str()).collect::<Vec<_>>(), [".hidden"]);
    Ok(())
}

#[test]
fn links_are_followed_and_cycles_end() -> Outcome {
    let folder = tempfile::tempdir()?;
    std::fs::create_dir(folder.path().join("real"))?;
    fs_err::write(folder.path().join("real/a"), b"a")?;
    std::os::unix::fs::symlink(folder.path().join("real"), folder.path().join("link"))?;
    std::os::unix::fs::symlink(folder.path(), folder.path().join("real/up"))?;
    std::os::unix::fs::symlink("nowhere", folder.path().join("dangling"))?;
    let listed = Stores::default().open(&folder.path().display().to_string())?.list("")?;
    assert_eq!(listed.iter().map(|entry| entry.path.as_str()).collect::<Vec<_>>(), ["link/a", "real/a"]);
    Ok(())
}

#[test]
fn a_place_that_cannot_be_written_is_named() -> Outcome {
    let folder = tempfile::tempdir()?;
    fs_err::write(folder.path().join("file"), b"")?;
    let place = Stores::default().open(&folder.path().join("file/below").display().to_string())?;
    let error = place.write("x", Bytes::new()).unwrap_err();
    assert!(matches!(&error, Error::NotWritable { folder, .. } if folder.ends_with("file/below")), "{error:?}");
    assert!(!error.is_transient());
    Ok(())
}

#[test]
fn a_full_disk_is_told_from_other_failures() -> Outcome {
    let full = Error::writing("/out", "/out/x", io::ErrorKind::StorageFull.into());
    assert!(matches!(full, Error::DiskFull { .. }));
    assert!(full.to_string().starts_with("/out/x: no space left"));
    Ok(())
}

#[test]
fn prefixes_open_with_their_bucket() -> Outcome {
    let stores = Stores::default();
    let (place, rest) = stores.open_fixed_prefix("memory://split/a/b*/c.parquet")?;
    assert_eq!((place.to_string().as_str(), rest.as_str()), ("memory://split/a", "b*/c.parquet"));
    stores.open("memory://split")?.write("a/bb/c.parquet", Bytes::from_static(b"c"))?;
    assert_eq!(place.list("")?[0].path, "bb/c.parquet");
    Ok(())
}

#[test]
fn web_servers_are_read_only() -> Outcome {
    let place = Stores::default().open("http://127.0.0.1:9/folder")?;
    assert!(matches!(place.write("x", Bytes::new()), Err(Error::ReadOnly { .. })));
    assert!(matches!(place.list(""), Err(Error::ReadOnly { .. })));
    assert!(place.writer("x").is_err());
    Ok(())
}

#[test]
fn one_place_has_one_name() -> Outcome {
    let stores = Stores::from_variables([("AZURE_STORAGE_ACCOUNT_NAME".to_owned(), "lake".to_owned())]);
    for (written, shown) in [
        ("s3a://b/p/", "s3://b/p"),
        ("abfs://box/p", "az://box/p"),
        ("abfss://box@lake.dfs.core.windows.net/p", "abfss://box@lake.dfs.core.windows.net/p"),
        ("memory://m//p", "memory://m/p"),
        ("/", "/"),
    ] {
        assert_eq!(stores.open(written)?.to_string(), shown);
    }
    Ok(())
}

#[tokio::test]
async fn calls_from_an_async_context_do_not_panic() -> Outcome {
    let place = Place::in_memory("async")?;
    place.write("x", Bytes::from_static(b"x"))?;
    assert_eq!(place.read("x")?, "x");
    Ok(())
}

fn updates_do_not_lose_each_other(place: &Place) -> Outcome {
    place.write("counter", Bytes::from_static(b"0"))?;
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..8 {
                    let outcome: Result<()> = place.update("counter", |bytes| {
                        let count: u64 = std::str::from_utf8(&bytes).unwrap().parse().unwrap();
                        Ok(Some(Bytes::from((count + 1).to_string())))
                    });
                    outcome.unwrap();
                }
            });
        }
    });
    assert_eq!(place.read("counter")?, "32");
    assert_eq!(place.list("")?.len(), 1, "a lock is listed");
    place.update("counter", |_| Ok::<_, Error>(None))?;
    assert_eq!(place.read("counter")?, "32");
    assert!(matches!(place.update("nothing", |_| Ok::<_, Error>(None)), Err(Error::NotFound { .. })));
    Ok(())
}

#[test]
fn updates_of_several_writers_are_all_kept() -> Outcome {
    let folder = tempfile::tempdir()?;
    updates_do_not_lose_each_other(&Stores::default().open(&folder.path().display().to_string())?)?;
    updates_do_not_lose_each_other(&Place::in_memory("updates")?)
}

#[test]
fn an_upload_that_fails_is_aborted_and_leaves_nothing() -> Outcome {
    let big = vec![7_u8; 40 << 20];
    for at in 0..6 {
        let script = Script { write_faults: vec![(Fault::Unavailable, at)], ..Script::default() };
        let (place, progress) = faulty("uploads", script)?;
        let mut writer = place.writer("out.bin")?;
        let written = writer.write_all(&big).map_err(|error| error.downcast::<Error>().expect("sorted"));
        let error = written.and_then(|()| writer.finish()).expect_err("a part failed");
        assert!(error.is_transient(), "write {at}: {error:?}");
        assert_eq!(place.list("")?, []);
        // by the time that the writer is gone
        assert_eq!(progress.aborted(), 1, "write {at}");
    }
    Ok(())
}

#[test]
fn failures_are_sorted_into_passing_and_final() -> Outcome {
    let script = Script { faults: vec![(Fault::Unavailable, 0), (Fault::Denied, 1)], ..Script::default() };
    let (place, _) = faulty("classes", script)?;
    place.write("f", Bytes::from_static(b"abc"))?;
    let reader = place.reader(&place.entry("f")?)?;
    assert!(reader.read_range(0..1).expect_err("unavailable").is_transient());
    let denied = reader.read_range(0..1).expect_err("denied");
    assert!(
        matches!(&denied, Error::PermissionDenied { path, .. } if path == "memory://classes/f")
            && !denied.is_transient()
    );
    assert_eq!(reader.read_range(0..1)?, "a");
    Ok(())
}

#[test]
fn a_store_that_is_gone_leaves_only_whole_files() -> Outcome {
    let big = vec![7_u8; 20 << 20];
    for dies_at_write in 0..8 {
        let (place, _) = faulty("gone", Script { dies_at_write: Some(dies_at_write), ..Script::default() })?;
        // the upload is three parts and an end
        let outcomes = [
            place.write("a", Bytes::from_static(b"a")).is_ok(),
            place.create("b", &Bytes::from_static(b"b")).is_ok(),
            place.writer("c").is_ok_and(|mut writer| writer.write_all(&big).is_ok() && writer.finish().is_ok()),
            place.update("a", |_| Ok::<_, Error>(Some(Bytes::from_static(b"A")))).is_ok(),
        ];
        assert!(outcomes.is_sorted_by(|a, b| a >= b), "{outcomes:?}");
        let found: Vec<(String, u64)> = place.list("")?.into_iter().map(|entry| (entry.path, entry.bytes)).collect();
        let whole = [("a", 1), ("b", 1), ("c", 20 << 20)].map(|(path, bytes)| (path.to_owned(), bytes));
        assert_eq!(found, whole[..outcomes.iter().take(3).filter(|done| **done).count()]);
    }
    Ok(())
}
