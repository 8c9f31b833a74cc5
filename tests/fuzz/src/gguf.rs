//! Models in GGUF files.

use std::cell::RefCell;

use headwater_model::{EngineOptions, HeadMask, Model, ModelPaths, Precision};
use headwater_record::{ContentHash, HeadId, HeadSet};

use crate::scratch::Scratch;

/// Reads a model and its tokenizer; what can be read can be run.
pub fn gguf(bytes: &[u8]) {
    thread_local!(static FILE: RefCell<Scratch> = RefCell::new(Scratch::new("model.gguf")));
    FILE.with_borrow_mut(|file| {
        let paths = ModelPaths {
            weights: vec![file.holding(bytes).to_owned()],
            config: None,
            tokenizer: None,
            weights_hash: ContentHash::of(b"weights"),
        };
        match Model::load(&paths, &EngineOptions { precision: Precision::F32, ..EngineOptions::default() }) {
            Ok(model) => run(&model),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    });
}

/// Scores a few tokens.
fn run(model: &Model) {
    let Ok(text) = model.tokenizer().encode("a ab 12\n<s>é") else { return };
    let window: Vec<u32> = model.tokenizer().leading().iter().copied().chain(text).take(8).collect();
    let set = HeadSet::new(vec![HeadId { layer: 0, head: 0 }]).expect("one head is no duplicate");
    if let Ok(losses) = model.engine().losses(&window, &HeadMask { set, ..HeadMask::default() }) {
        assert_eq!((losses.base.len(), losses.masked.len()), (window.len() - 1, window.len() - 1));
    }
}
