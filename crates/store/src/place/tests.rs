use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

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

    assert_eq!(place.create("a/b/y.txt", text("first"))?, Created::New);
    assert_eq!(place.create("a/b/y.txt", text("second"))?, Created::AlreadyThere);
    assert_eq!(place.child("a").child("b").read("y.txt")?, text("first"));
    place.write("ab/z.txt", text(""))?;

    let paths =
        |prefix: &str| -> Result<Vec<String>> { Ok(place.list(prefix)?.into_iter().map(|entry| entry.path).collect()) };
    assert_eq!(paths("")?, ["a/b/y.txt", "a/x.txt", "ab/z.txt"]);
    assert_eq!(paths("a")?, ["a/b/y.txt", "a/x.txt"]);
    assert_eq!(paths("a/b/")?, ["a/b/y.txt"]);
    assert_eq!(paths("nothing")?, Vec::<String>::new());
    assert_eq!(place.child("a").list("")?[1], Entry { path: "x.txt".to_owned(), ..after });

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
                    if place.create(name, Bytes::from(format!("{thread}"))).unwrap() == Created::New {
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
    let place = Place::open(&folder.path().join("made/when needed").display().to_string())?;
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
    let listed = Place::open(&folder.path().display().to_string())?.list("")?;
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
    let listed = Place::open(&folder.path().display().to_string())?.list("")?;
    assert_eq!(listed.iter().map(|entry| entry.path.as_str()).collect::<Vec<_>>(), ["link/a", "real/a"]);
    Ok(())
}

#[test]
fn a_place_that_cannot_be_written_is_named() -> Outcome {
    let folder = tempfile::tempdir()?;
    fs_err::write(folder.path().join("file"), b"")?;
    let place = Place::open(&folder.path().join("file/below").display().to_string())?;
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
    let (place, rest) = Place::open_fixed_prefix("memory://split/a/b*/c.parquet")?;
    assert_eq!((place.to_string().as_str(), rest.as_str()), ("memory://split/a", "b*/c.parquet"));
    Place::in_memory("split")?.write("a/bb/c.parquet", Bytes::from_static(b"c"))?;
    assert_eq!(place.list("")?[0].path, "bb/c.parquet");
    Ok(())
}

#[test]
fn web_servers_are_read_only() -> Outcome {
    let place = Place::open("http://127.0.0.1:9/folder")?;
    assert!(matches!(place.write("x", Bytes::new()), Err(Error::ReadOnly { .. })));
    assert!(matches!(place.list(""), Err(Error::ReadOnly { .. })));
    assert!(place.writer("x").is_err());
    Ok(())
}

#[test]
fn overloaded_servers_are_transient() {
    let failure = |text: &str| object_store::Error::Generic { store: "S3", source: text.into() };
    let status =
        |code: &str| Error::store("s3://b/k", failure(&format!("Server returned non-2xx status code: {code}: ")));
    assert!(status("503 Service Unavailable").is_transient());
    assert!(status("429 Too Many Requests").is_transient());
    assert!(!status("400 Bad Request").is_transient());
}

#[tokio::test]
async fn calls_from_an_async_context_do_not_panic() -> Outcome {
    let place = Place::in_memory("async")?;
    place.write("x", Bytes::from_static(b"x"))?;
    assert_eq!(place.read("x")?, "x");
    Ok(())
}
