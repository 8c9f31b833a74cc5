//! A placeholder head set, to measure speed before a search. It says nothing about retrieval.

use headwater_record::HeadSet;

use crate::{Error, head_set};

/// The share of the layers that lie below every retrieval head.
///
/// # Source
/// SmolLM2-135M-Instruct, whose head set starts at layer 17 of 30.
const BELOW: (usize, usize) = (17, 30);

/// Returns as many heads as a search would, over the upper layers in turn, where retrieval heads usually lie.
///
/// # Errors
/// [`Error::TooManyHeads`] for more than 65,536 layers or heads a layer.
pub fn placeholder_heads(layers: usize, heads: usize, fraction: f64) -> Result<HeadSet, Error> {
    let first = layers * BELOW.0 / BELOW.1;
    let upper = layers - first;
    // taken layer by layer, a head of each; the layers below come last, from the top
    let place = |layer: usize, head: usize| match layer.checked_sub(first) {
        Some(above) => head * upper + above,
        None => upper * heads + (first - layer) * heads + head,
    };
    let scores: Vec<Vec<f64>> =
        (0..layers).map(|layer| (0..heads).map(|head| -(place(layer, head) as f64)).collect()).collect();
    head_set(&scores, fraction)
}

#[cfg(test)]
mod tests {
    use headwater_record::heads::HeadId;

    use super::*;

    #[test]
    fn the_upper_layers_are_taken_in_turn() -> Result<(), Error> {
        let set = placeholder_heads(30, 9, 0.05)?;
        assert_eq!((set.as_slice().len(), set.first_layer()), (14, Some(17)), "round(0.05 × 270)");
        assert!((17..30).all(|layer| set.in_layer(layer).count() == 1 + usize::from(layer == 17)));
        Ok(())
    }

    #[test]
    fn a_set_larger_than_the_upper_layers_reaches_down() -> Result<(), Error> {
        assert_eq!(placeholder_heads(4, 2, 1.0)?.as_slice().len(), 8);
        assert_eq!(placeholder_heads(4, 2, 0.75)?.first_layer(), Some(1));
        assert_eq!(placeholder_heads(1, 1, 0.05)?.as_slice(), [HeadId { layer: 0, head: 0 }]);
        Ok(())
    }
}
