//! Many arms, one promise: p-values adjusted for how many arms are judged.

/// Returns Holm's adjusted p-values of `p`, `(arm,)`, in their order, each at most 1.
///
/// Calling different what is at most 5 % keeps the probability of any false call within 5 %, however the arms depend on each other; they do,
/// as they share their control.
///
/// # Source
/// Holm (1979), "A simple sequentially rejective multiple test procedure": the r-th smallest of k is multiplied by k − r + 1, and is no
/// smaller than the one before it.
#[must_use]
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|a, b| p[*a].total_cmp(&p[*b]));
    let mut adjusted = vec![0.0; p.len()];
    let mut least: f64 = 0.0;
    for (rank, at) in order.into_iter().enumerate() {
        least = least.max((p.len() - rank) as f64 * p[at]).min(1.0);
        adjusted[at] = least;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn by_hand() {
        // 4 × 0.01, 3 × 0.015, 2 × 0.03, then 0.04 may not be below 0.06
        assert_eq!(holm(&[0.03, 0.01, 0.04, 0.015]), [0.06, 0.04, 0.06, 0.045]);
        assert_eq!(holm(&[0.5, 0.6]), [1.0, 1.0]);
        assert_eq!(holm(&[0.02]), [0.02]);
        assert_eq!(holm(&[]), [0.0; 0]);
    }

    proptest! {
        #[test]
        fn between_p_and_bonferroni(p in prop::collection::vec(0.0..1.0, 1..9)) {
            for (adjusted, p_of_arm) in holm(&p).iter().zip(&p) {
                prop_assert!(adjusted >= p_of_arm && *adjusted <= 1.0);
            }
            let least = p.iter().copied().fold(1.0, f64::min);
            prop_assert!(holm(&p).contains(&(p.len() as f64 * least).min(1.0)));
        }
    }
}
