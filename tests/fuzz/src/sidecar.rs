//! A sidecar, as `score` and `select` read it.

use std::sync::LazyLock;

use bytes::Bytes;
use headwater_record::RunFile;
use headwater_run::{RejectsWriter, RunFolder};
use headwater_select::{RankBy, Rule, SelectConfig, StoredSidecars, cut_with_rejects};
use headwater_store::Stores;

use crate::panics::escaping;

/// A run of one unit of eight rows, and where its sidecar lies.
static RUN: LazyLock<(RunFile, RunFolder, String)> = LazyLock::new(|| {
    let run: RunFile = serde_json::from_str(include_str!("../run.json")).expect("the run is one");
    let source = &run.sources[0];
    let path = RunFolder::sidecar(&source.fingerprint, &source.name, &source.shards[0].units[0]);
    (run, RunFolder::new(Stores::default().open("memory://sidecar").expect("the place has a name")), path)
});

/// Counts a sidecar's rows by status, cuts it by every rank and lists what it rejects.
pub fn sidecar(bytes: &[u8]) {
    let (run, folder, path) = &*RUN;
    escaping(|| {
        folder.place().write(path, Bytes::copy_from_slice(bytes)).expect("memory can be written to");
        let done = folder.done_units(&run.sources[0]).expect("memory can be listed");
        let twice: Vec<_> = done.values().chain(done.values()).collect();
        let _ = folder.statuses(&twice);
        for rank in [RankBy::Influence, RankBy::Loss, RankBy::Random] {
            cut(run, folder, rank);
        }
    });
}

fn cut(run: &RunFile, folder: &RunFolder, rank: RankBy) {
    let config = SelectConfig { rank, fraction: 0.5, ..SelectConfig::default() };
    let sidecars = StoredSidecars::open(folder, run).expect("the sidecar is there");
    let mut rejects = RejectsWriter::new(folder).expect("memory can be written to");
    let rule = Rule { config: &config, seed: 7 };
    let Ok(selection) = cut_with_rejects(&sidecars, rule, &mut rejects, &|_| ()) else { return };
    for domain in selection.file.domains {
        assert!(domain.kept_documents <= domain.ranked_documents && domain.ranked_documents <= domain.documents);
        assert!(domain.kept_tokens <= domain.ranked_tokens && domain.ranked_tokens <= domain.tokens);
    }
}
