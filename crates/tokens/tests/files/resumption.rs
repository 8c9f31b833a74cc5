//! Interruptions, shares and repetitions end in the same bytes.

use std::sync::atomic::AtomicUsize;

use headwater_record::ByteCount;
use headwater_tokens::{Share, TokensConfig};

use crate::support::{Artefacts, Outcome, Site, Until, WHOLE, every_format, tokenizer, write, write_all};

/// Sixty documents in thirty files.
const TEXTS: [Option<&[u8]>; 60] = [Some(b"a b c d a"); 60];

fn many_files() -> TokensConfig {
    TokensConfig { file_bytes: ByteCount(1), ..every_format() }
}

fn site() -> Result<Site, Box<dyn std::error::Error>> {
    Site::new(&[("web", &TEXTS)])
}

fn whole() -> Result<Artefacts, Box<dyn std::error::Error>> {
    let site = site()?;
    write_all(&site, &["web"], &many_files())?;
    site.all()
}

#[test]
fn what_is_interrupted_goes_on() -> Outcome {
    let site = site()?;
    let (plan, tokenizer) = (site.plan(&["web"])?, tokenizer(&[])?);
    let watch = Until(AtomicUsize::new(23));
    let missing = write(&site, (&plan, &tokenizer), &many_files(), WHOLE, &watch)?;
    let done = site.run.list("tokens/corpus/olmo/done")?.len();
    assert!((1..30).contains(&done) && missing == 4 * (30 - done), "{done} of 30 done, {missing} missing");
    assert!(site.manifest("olmo").is_err());
    assert_eq!(write(&site, (&plan, &tokenizer), &many_files(), WHOLE, &Until::the_end())?, 0);
    assert_eq!(site.all()?, whole()?);
    Ok(())
}

#[test]
fn a_lost_record_is_made_again_with_its_file() -> Outcome {
    let folder = tempfile::tempdir()?;
    let on_disk =
        Site { run: headwater_store::Stores::default().open(&folder.path().display().to_string())?, ..site()? };
    write_all(&on_disk, &["web"], &many_files())?;
    let before = on_disk.all()?;
    for lost in ["datatrove/done/web-00003.json", "datatrove/web-00003.ds.index", "mds/done/web-00004.json"] {
        fs_err::remove_file(folder.path().join("tokens/corpus").join(lost))?;
    }
    write_all(&on_disk, &["web"], &many_files())?;
    assert_eq!(on_disk.all()?, before);
    Ok(())
}

#[test]
fn shares_together_are_the_whole() -> Outcome {
    let site = site()?;
    let (plan, tokenizer) = (site.plan(&["web"])?, tokenizer(&[])?);
    for (index, missing) in [(2, 20 * 4), (0, 10 * 4), (1, 0)] {
        let left = write(&site, (&plan, &tokenizer), &many_files(), Share { index, of: 3 }, &Until::the_end())?;
        assert_eq!((left, site.manifest("mds").is_ok()), (missing, missing == 0));
    }
    assert_eq!(site.all()?, whole()?);
    Ok(())
}

#[test]
fn a_format_may_come_later() -> Outcome {
    let site = site()?;
    let config = many_files();
    let (first, later) = config.formats.split_at(1);
    for formats in [first, later, &config.formats] {
        write_all(&site, &["web"], &TokensConfig { formats: formats.to_vec(), ..config.clone() })?;
    }
    assert_eq!(site.all()?, whole()?);
    Ok(())
}

#[test]
fn a_damaged_record_is_named() -> Outcome {
    let site = site()?;
    write_all(&site, &["web"], &many_files())?;
    site.run.write("tokens/corpus/olmo/done/web-00002.json", "{".into())?;
    let error = write_all(&site, &["web"], &many_files()).expect_err("it is damaged").to_string();
    assert!(error.contains("olmo/done/web-00002.json is damaged"), "{error}");
    Ok(())
}
