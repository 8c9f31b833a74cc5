//! The head set that retrieval scores give.

use headwater_record::{HeadId, HeadSet};

use crate::Error;

/// All heads, the highest score first, and how many of them are the set.
pub(crate) struct Ranking {
    heads: Vec<HeadId>,
    size: usize,
}

impl Ranking {
    /// Ranks heads by their `scores`, `(layer, head)`; see [`head_set`].
    pub(crate) fn new(scores: &[Vec<f64>], fraction: f64) -> Result<Self, Error> {
        let mut ranked = Vec::new();
        for (layer, row) in scores.iter().enumerate() {
            for (head, &score) in row.iter().enumerate() {
                ranked.push((score, head_id(layer, head).ok_or_else(|| too_many(scores))?));
            }
        }
        ranked.sort_by(|(a, a_id), (b, b_id)| b.total_cmp(a).then_with(|| a_id.cmp(b_id)));
        let wanted = (fraction * ranked.len() as f64 + 0.5).floor();
        // The count is at most the number of heads, which is exact in f64.
        let size = (1..ranked.len()).find(|&count| count as f64 >= wanted).unwrap_or(ranked.len());
        Ok(Self { heads: ranked.into_iter().map(|(_, id)| id).collect(), size })
    }

    /// The heads of the set, the highest score first.
    pub(crate) fn inside(&self) -> &[HeadId] {
        &self.heads[..self.size]
    }

    /// The head that is the next to be in the set; `None` if all are.
    pub(crate) fn first_outside(&self) -> Option<HeadId> {
        self.heads.get(self.size).copied()
    }
}

/// Takes the `round(fraction × layers × heads)` heads of the highest scores, at least one; half rounds up, ties go to the lower (layer, head).
///
/// # Shapes
/// - `scores`: `(layer, head)`
///
/// # Errors
/// [`Error::TooManyHeads`] for more than 65,536 layers or heads a layer.
pub fn head_set(scores: &[Vec<f64>], fraction: f64) -> Result<HeadSet, Error> {
    Ok(HeadSet::new(Ranking::new(scores, fraction)?.inside().to_vec())?)
}

fn head_id(layer: usize, head: usize) -> Option<HeadId> {
    Some(HeadId { layer: u16::try_from(layer).ok()?, head: u16::try_from(head).ok()? })
}

fn too_many(scores: &[Vec<f64>]) -> Error {
    Error::TooManyHeads { layers: scores.len(), heads: scores.iter().map(Vec::len).max().unwrap_or(0), most: u16::MAX }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_head_set_rounds_half_up_and_breaks_ties_downwards() -> Result<(), Error> {
        let scores = vec![vec![0.5, 0.25, 0.5], vec![0.75, 0.25, 0.5]];
        let addresses = |fraction| -> Result<Vec<(u16, u16)>, Error> {
            Ok(head_set(&scores, fraction)?.as_slice().iter().map(|id| (id.layer, id.head)).collect())
        };
        assert_eq!(addresses(1e-9)?, [(1, 0)]);
        assert_eq!(addresses(0.25)?, [(0, 0), (1, 0)]);
        assert_eq!(addresses(0.5)?, [(0, 0), (0, 2), (1, 0)]);
        assert_eq!(addresses(0.75)?.len(), 5);
        assert_eq!(addresses(1.0)?.len(), 6);
        // SmolLM2-135M: 0.05 × 270 = 13.5 heads make 14.
        assert_eq!(head_set(&vec![vec![0.0; 9]; 30], 0.05)?.as_slice().len(), 14);
        assert!(matches!(head_set(&vec![Vec::new(); 1], 0.5), Ok(set) if set.as_slice().is_empty()));
        Ok(())
    }

    proptest! {
        #[test]
        fn the_head_set_holds_the_highest(values in proptest::collection::vec(0u8..4, 1..60), fraction in 0.001f64..1.0) {
            let scores: Vec<Vec<f64>> = values.chunks(6).map(|row| row.iter().map(|&v| f64::from(v)).collect()).collect();
            let set = head_set(&scores, fraction).expect("a set");
            let wanted = ((fraction * values.len() as f64 + 0.5).floor()).max(1.0);
            prop_assert_eq!(set.as_slice().len() as f64, wanted);
            let score = |id: &HeadId| scores[usize::from(id.layer)][usize::from(id.head)];
            let lowest = set.as_slice().iter().map(score).fold(f64::INFINITY, f64::min);
            let above = scores.iter().flatten().filter(|&&value| value > lowest).count();
            prop_assert!(above <= set.as_slice().len());
            let held = set.as_slice().iter().filter(|id| score(id) > lowest).count();
            prop_assert_eq!(held, above);
        }
    }
}
