//! Which windows are batched together, and what a batch that fails is reported as.

use headwater_model::HeadMask;
use headwater_record::ScoreOf;
use headwater_run::SidecarRow;

use super::*;
use crate::LongDocuments;
use crate::fake::{FakeEngine, model_error, teacher};

const WINDOWING: Windowing<'_> = Windowing { window_tokens: 4, long_documents: LongDocuments::All, leading: &[] };

fn prepared(row: u64) -> Prepared {
    let row = SidecarRow::new(row, String::new(), ScoreOf::Teacher);
    Prepared { row, tokens: Vec::new(), draw: 0 }
}

/// The groups of documents that count for `bytes` each and arrive in `order`.
fn groups(bytes: &[usize], order: &[usize]) -> Vec<Vec<usize>> {
    let mut groups = Groups::default();
    bytes.iter().for_each(|bytes| groups.expect(*bytes));
    let mut complete = vec![groups.end()];
    complete.extend(order.iter().map(|number| groups.arrived(*number, Some(prepared(*number as u64)))));
    let numbers = |group: Together| group.into_iter().map(|(number, _)| number).collect::<Vec<_>>();
    let mut complete: Vec<_> = complete.into_iter().map(numbers).filter(|group| !group.is_empty()).collect();
    complete.sort();
    complete
}

#[test]
fn groups_follow_from_the_documents_and_not_from_their_arrival() {
    let bytes = [GROUP_BYTES / 2, GROUP_BYTES / 2, 10, GROUP_BYTES * 3, 7, 8];
    let want = [vec![0, 1], vec![2, 3], vec![4, 5]];
    assert_eq!(groups(&bytes, &[0, 1, 2, 3, 4, 5]), want);
    assert_eq!(groups(&bytes, &[5, 3, 1, 0, 2, 4]), want);
}

#[test]
fn a_document_that_needs_no_model_is_not_waited_for() {
    let mut groups = Groups::default();
    groups.expect(1);
    groups.expect(1);
    assert!(groups.arrived(1, Some(prepared(1))).is_empty(), "another is expected");
    assert!(groups.end().is_empty(), "the first is missing");
    assert_eq!(groups.arrived(0, None).len(), 1);
    assert!(groups.end().is_empty(), "a group comes once");
}

fn to_score<'t>(documents: &[&'t [u32]]) -> Vec<ToScore<'t>> {
    documents.iter().map(|tokens| ToScore { tokens, draw: 0 }).collect()
}

#[test]
fn windows_of_like_length_are_batched_within_the_limit() {
    let engine = FakeEngine::new(Concurrency::Batch { tokens: 8 });
    let documents = to_score(&[&[1, 2, 3, 4, 5], &[6, 7], &[8, 9, 10, 11], &[12, 13, 14]]);
    let scores = score_together(&teacher(&engine), WINDOWING, &documents, &|_| ControlFlow::Continue(()));
    let scores = scores.expect("nothing fails").expect("nothing ends it");
    // windows of four tokens; the fifth token of the first document is alone and predicts nothing
    let want = [vec![1, 2, 3, 4], vec![8, 9, 10, 11], vec![12, 13, 14], vec![6, 7]];
    assert_eq!(engine.windows(), want);
    assert_eq!(engine.batches(), [2, 2]);
    let alone = FakeEngine::new(Concurrency::Batch { tokens: 1 });
    for (document, score) in documents.into_iter().zip(scores) {
        let one =
            score_together(&teacher(&alone), WINDOWING, &[document], &|_| ControlFlow::Continue(())).ok().flatten();
        assert_eq!(Some(vec![score]), one);
    }
    assert_eq!(alone.batches(), [1; 4]);
}

#[test]
fn a_batch_that_fails_names_the_document_that_fails_alone() {
    let documents = to_score(&[&[1, 2], &[3, 4], &[5, 6]]);
    let run =
        |engine: &FakeEngine| score_together(&teacher(engine), WINDOWING, &documents, &|_| ControlFlow::Continue(()));
    let bad = FakeEngine::new(Concurrency::Batch { tokens: 100 })
        .with(|window| if window[0] == 3 { Err(model_error()) } else { Ok(()) });
    assert_eq!(run(&bad).map_err(|(document, _)| document), Err(1));

    /// Takes no batch of several windows, as a device without the memory for it.
    struct Small(FakeEngine);
    impl headwater_model::Engine for Small {
        fn shape(&self) -> &headwater_model::ModelShape {
            self.0.shape()
        }
        fn numerics(&self) -> headwater_record::run::Numerics {
            self.0.numerics()
        }
        fn concurrency(&self) -> Concurrency {
            self.0.concurrency()
        }
        fn batch_losses(&self, windows: &[&[u32]], mask: &HeadMask) -> Result<Vec<WindowLosses>, Error> {
            if windows.len() > 1 { Err(model_error()) } else { self.0.batch_losses(windows, mask) }
        }
        fn attention_argmax(
            &self,
            tokens: &[u32],
            rows: std::ops::Range<usize>,
        ) -> Result<headwater_model::AttentionArgmax, Error> {
            self.0.attention_argmax(tokens, rows)
        }
        fn predictions(
            &self,
            tokens: &[u32],
            rows: std::ops::Range<usize>,
            masks: &[HeadMask],
        ) -> Result<Vec<Vec<u32>>, Error> {
            self.0.predictions(tokens, rows, masks)
        }
    }
    let small = Small(FakeEngine::new(Concurrency::Batch { tokens: 100 }));
    let ended = score_together(&teacher(&small), WINDOWING, &documents, &|_| ControlFlow::Continue(()));
    assert_eq!(
        ended.map_err(|(document, _)| document),
        Err(0),
        "the first stands for a batch of which each works alone"
    );
}

#[test]
fn what_is_over_is_not_scored_on() {
    let engine = FakeEngine::new(Concurrency::Batch { tokens: 1 });
    let ended =
        score_together(&teacher(&engine), WINDOWING, &to_score(&[&[1, 2], &[3, 4]]), &|_| ControlFlow::Break(()));
    assert_eq!(ended.ok(), Some(None));
    assert_eq!(engine.batches(), [1]);
}
