//! `heads.json`.

use headwater_heads::validate_heads;
use headwater_model::ModelShape;
use headwater_record::{ContentHash, HeadsFile};
use headwater_report::heads_svg;

/// The most squares of a picture that is drawn.
const SQUARES: usize = 1 << 12;

/// Reads a head set, checks it against a model and draws it; what can be read reads back from what it is written as.
pub fn heads_file(bytes: &[u8]) {
    let Ok(file) = serde_json::from_slice::<HeadsFile>(bytes) else { return };
    let written = serde_json::to_vec(&file).expect("what was read can be written");
    let read: HeadsFile = serde_json::from_slice(&written).expect("what was written can be read");
    assert_eq!((&read.heads, read.weights), (&file.heads, file.weights));

    let shape = shape();
    let weights = file.weights.unwrap_or_else(|| ContentHash::of(b"weights"));
    if validate_heads(&file, &shape, &weights).is_err() {
        return;
    }
    assert!(file.heads.as_slice().is_sorted());
    let in_layers = (0..shape.layers).map(|layer| file.heads.in_layer(layer).count());
    assert_eq!(in_layers.sum::<usize>(), file.heads.as_slice().len());
    let scores = file.search.map_or_else(Vec::new, |search| search.scores);
    let widest = scores.iter().map(Vec::len).max().unwrap_or(0);
    if scores.len().max(shape.layers) * widest.max(shape.heads) <= SQUARES {
        assert!(!heads_svg(&read).contains("NaN"));
    }
}

/// The sizes of the tiny llama.
fn shape() -> ModelShape {
    ModelShape {
        layers: 3,
        heads: 4,
        kv_heads: 2,
        head_dim: 8,
        hidden: 32,
        intermediate: 64,
        mlp_maps: 3,
        vocab: 300,
        context_tokens: 256,
        attention_windows: vec![None; 3],
    }
}
