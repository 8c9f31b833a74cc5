//! What scores of an earlier version lack is added without the model.

use std::error::Error;

use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::properties::WriterProperties;

use crate::site::{OUTPUT, Outcome, Site, assert_same, files_below};
use crate::student::site;

/// Takes the columns that earlier versions did not write out of every sidecar.
fn as_an_earlier_version_wrote(site: &Site) -> Result<(), Box<dyn Error>> {
    let folder = site.path(OUTPUT).join("scores");
    for (path, bytes) in files_below(&folder)? {
        let reader = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(bytes))?;
        let footer = reader.metadata().file_metadata().key_value_metadata().cloned();
        let batches = reader.build()?.collect::<Result<Vec<_>, _>>()?;
        let mut file = Vec::new();
        let kept: Vec<usize> = {
            let schema = batches[0].schema();
            let names = schema.fields().iter().enumerate();
            names.filter(|(_, field)| !["copied", "by"].contains(&field.name().as_str())).map(|(at, _)| at).collect()
        };
        let properties = WriterProperties::builder().set_key_value_metadata(footer).build();
        let mut writer = ArrowWriter::try_new(&mut file, batches[0].project(&kept)?.schema(), Some(properties))?;
        for batch in &batches {
            writer.write(&batch.project(&kept)?)?;
        }
        writer.close()?;
        fs_err::write(folder.join(path), file)?;
    }
    Ok(())
}

#[test]
fn scores_of_an_earlier_version_get_what_scoring_writes_today() -> Outcome {
    let site = site()?;
    site.done("run", &[])?;
    let scored = site.artefacts()?;
    let copied = ["--set", "select.rank=corrected", "--set", "select.correct_for=[\"loss_base\", \"copied\"]"];
    site.done("select", &copied)?;
    let selection = site.json("selection.json")?;
    let nuisances = selection["domains"][0]["correction"]["nuisances"].as_array().ok_or("nuisances")?;
    assert_eq!(nuisances.iter().map(|of| of["name"].as_str()).collect::<Vec<_>>(), [Some("loss_base"), Some("copied")]);

    as_an_earlier_version_wrote(&site)?;
    site.stage("select", &copied)?.says(1, &["has no column `copied`", "headwater features"]);
    site.done("select", &[])?;
    site.done("report", &[])?;
    site.done("features", &["--part", "0/2"])?;
    site.stage("select", &copied)?.says(1, &["headwater features"]);
    site.done("features", &[])?;
    let mut again = site.artefacts()?;
    again.retain(|path, _| path.starts_with("scores/"));
    let mut before = scored;
    before.retain(|path, _| path.starts_with("scores/"));
    assert_same(&before, &again, "sidecars with what was added");
    site.done("select", &copied)?;
    // nothing is left to do
    let stderr = site.done("features", &[])?.stderr;
    assert!(stderr.contains("0 sidecars rewritten"), "{stderr}");
    Ok(())
}

#[test]
fn another_tokenizer_and_no_scores_are_one_clear_line() -> Outcome {
    let site = site()?;
    site.stage("features", &[])?.says(1, &["headwater"]);
    site.done("run", &[])?;
    site.stage("features", &["--set", "score.long_documents=first"])?
        .says(1, &["was scored with other settings", "long_documents: \"all\" → \"first\""]);
    site.stage("select", &["--set", "select.rank=corrected", "--set", "select.correct_for=[]"])?
        .says(1, &["select.correct_for", "loss_base"]);
    Ok(())
}
