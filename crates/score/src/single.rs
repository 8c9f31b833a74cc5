//! One document, apart from any unit.

use std::ops::ControlFlow;

use headwater_corpus::{Columns, Document};
use headwater_model::Error;
use headwater_record::Status;
use headwater_run::SidecarRow;

use crate::batches::score_together;
use crate::scorer::By;
use crate::unit::{fill, prepare};
use crate::{Advance, Scorer};

/// Scores one document of `shard`, which is the path of one; `on_window` is told of every window that went through the model.
///
/// # Errors
/// What the tokenizer or the engine says.
pub fn score_document(
    scorer: &Scorer<'_>,
    (shard, columns): (&str, &Columns),
    document: Document,
    on_window: &dyn Fn(Advance),
) -> Result<SidecarRow, Error> {
    let prepared = prepare(document, scorer, (shard, columns))?;
    let By::Teacher(teacher) = &scorer.by else { return Ok(prepared.row) };
    if prepared.row.status != Status::Scored {
        return Ok(prepared.row);
    }
    let told = |tokens: usize| {
        on_window(Advance::window(tokens));
        ControlFlow::Continue(())
    };
    let scores = score_together(teacher, scorer.windowing, &[(&prepared).into()], &told).map_err(|(_, error)| error)?;
    let mut row = prepared.row;
    fill(&mut row, scores.into_iter().flatten().flatten().next());
    Ok(row)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use headwater_corpus::read_unit;
    use headwater_model::Concurrency;
    use headwater_record::Part;

    use super::*;
    use crate::fake::{Corpus, FakeEngine, Recorder, in_pool, scorer};
    use crate::{divide, score_rows};

    #[test]
    fn a_document_alone_has_the_score_that_it_has_in_its_unit() {
        let ended = in_pool(2, || {
            let corpus = Corpus::of_texts(&[&["good", "x", "word four more text"]], 2);
            for concurrency in [Concurrency::WindowPerThread, Concurrency::Batch { tokens: 8 }] {
                let engine = FakeEngine::new(concurrency);
                let scorer = scorer(&engine);
                let run = corpus.run_file(&scorer);
                let pending = divide(&corpus.plan, &run, Part::WHOLE, &corpus.folder).expect("it is planned").pending;
                let units: Vec<_> = pending.iter().map(|unit| unit.rows()).collect();
                let rows = Mutex::new(Vec::new());
                let taken = |_, taken: &[SidecarRow]| {
                    rows.lock().expect("nothing panics").extend_from_slice(taken);
                    Ok(())
                };
                score_rows(&scorer, &units, &Recorder::default(), &taken).expect("nothing fails");
                let mut together = rows.into_inner().expect("nothing panics");
                together.sort_by_key(|row| row.row);
                let documents =
                    units.iter().flat_map(|unit| read_unit(unit.shard, unit.columns, unit.unit).expect("it is there"));
                let alone = documents.map(|document| {
                    let document = document.expect("it can be read");
                    score_document(&scorer, (&units[0].shard.path, units[0].columns), document, &|_| {})
                        .expect("nothing fails")
                });
                assert_eq!(alone.collect::<Vec<_>>(), together);
            }
        });
        ended.expect("nothing panics");
    }
}
