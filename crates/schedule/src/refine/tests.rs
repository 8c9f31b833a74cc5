//! arXiv 2310.07831, theorem 3: worked values, derived by hand from η_t = w_t · Σ_{p>t} w_p.

use proptest::prelude::*;

use super::*;

fn unfiltered(norms: &[f64], norm: GradientNorm) -> Vec<f64> {
    refine(norms, &RefineOptions { tau: 0.0, ..RefineOptions::new(norm) }).unwrap().multipliers()
}

fn close(got: &[f64], expected: &[f64]) -> bool {
    got.len() == expected.len() && got.iter().zip(expected).all(|(a, b)| (a - b).abs() < 5e-6)
}

/// (2, 1, 1, 2) squared: w = (¼, 1, 1, ¼), tails (2¼, 1¼, ¼, 0), products (0.5625, 1.25, 0.25, 0).
#[test]
fn worked_values() {
    assert!(close(&unfiltered(&[1.0; 4], GradientNorm::L2), &[1.0, 2.0 / 3.0, 1.0 / 3.0, 0.0]));
    assert!(close(&unfiltered(&[2.0, 1.0, 1.0, 2.0], GradientNorm::L2), &[0.45, 1.0, 0.2, 0.0]));
    assert!(close(&unfiltered(&[2.0, 1.0, 1.0, 2.0], GradientNorm::L1), &[0.833_333, 1.0, 0.333_333, 0.0]));
    let long = unfiltered(&[4.0, 2.0, 1.0, 1.0, 1.0, 2.0], GradientNorm::L2);
    assert!(close(&long, &[0.097_222, 0.361_111, 1.0, 0.555_556, 0.111_111, 0.0]), "{long:?}");
}

#[test]
fn constant_norms_are_linear_decay() {
    for (norm, count) in [(GradientNorm::L1, 1000), (GradientNorm::L2, 100_003)] {
        let refined = refine(&vec![0.37; count], &RefineOptions::new(norm)).unwrap();
        for multipliers in [refined.multipliers(), refined.resampled(777)] {
            let last = (multipliers.len() - 1) as f64;
            for (at, multiplier) in multipliers.iter().enumerate() {
                assert!((multiplier - (1.0 - at as f64 / last)).abs() < 1e-12);
            }
        }
        assert_eq!((refined.floored, refined.collapse), (0, None));
        assert!((refined.approximation().exponent - 1.0).abs() < 2e-3);
    }
}

#[test]
fn the_window_is_odd_and_a_share_of_the_norms() {
    let window = |tau, count| {
        refine(&vec![1.0; count], &RefineOptions { tau, ..RefineOptions::new(GradientNorm::L1) }).unwrap().window
    };
    assert_eq!([window(0.1, 10_000), window(0.1, 2000), window(0.0, 50), window(0.99, 4)], [1001, 201, 1, 3]);
}

#[test]
fn a_collapse_is_noticed_and_the_floor_bounds_it() {
    let mut norms = vec![1.0; 1000];
    norms.extend((0..200).map(|at| 0.9_f64.powi(at)));
    let refined = refine(&norms, &RefineOptions::new(GradientNorm::L2)).unwrap();
    assert!(refined.collapse.is_some_and(|ratio| ratio == 0.01) && refined.floored > 0);
    assert!(refined.multipliers().iter().all(|multiplier| multiplier.is_finite()));
}

#[test]
fn a_first_norm_that_decides_the_peak_is_noticed() {
    let mut norms = vec![1.0; 1000];
    norms[0] = 0.3;
    let edge = |norms: &[f64]| refine(norms, &RefineOptions::new(GradientNorm::L2)).unwrap().early_peak;
    assert!(edge(&norms).is_some_and(|after| after < 0.1));
    assert_eq!((edge(&norms[1..]), edge(&[1.0; 50])), (None, None));
}

#[test]
fn what_is_no_norm_is_refused() {
    let options = RefineOptions::new(GradientNorm::L2);
    let error = |norms: &[f64]| refine(norms, &options).unwrap_err().to_string();
    assert!(error(&[1.0, -2.0, 1.0]).contains("gradient norm 1 is -2"));
    assert!(error(&[1.0, 1.0, f64::NAN]).contains("gradient norm 2 is NaN"));
    assert!(error(&[f64::INFINITY, 1.0, 1.0]).contains("2 gradient norms are too few"));
    assert!(error(&[]).contains("0 gradient norms"));
    assert!(error(&[0.0; 9]).contains("all gradient norms are 0"));
    for (tau, floor) in [(1.0, 0.1), (f64::NAN, 0.1), (-0.1, 0.1), (0.1, 0.0), (0.1, 2.0)] {
        assert!(refine(&[1.0; 9], &RefineOptions { tau, floor, ..options }).is_err());
    }
}

#[test]
fn infinities_are_dropped() {
    let with =
        refine(&[1.0, f64::INFINITY, 2.0, 3.0], &RefineOptions { tau: 0.0, ..RefineOptions::new(GradientNorm::L1) })
            .unwrap();
    assert_eq!((with.infinite, with.multipliers()), (1, unfiltered(&[1.0, 2.0, 3.0], GradientNorm::L1)));
}

proptest! {
    #[test]
    fn lies_in_the_unit_interval_and_ends_at_zero(norms in prop::collection::vec(prop_oneof![0.0..1e30, Just(5e-324), Just(1e300), Just(0.0)], 3..400), tau in 0.0..0.9) {
        for norm in [GradientNorm::L1, GradientNorm::L2] {
            let Ok(refined) = refine(&norms, &RefineOptions { tau, ..RefineOptions::new(norm) }) else { continue };
            for multipliers in [refined.multipliers(), refined.resampled(61)] {
                prop_assert!(multipliers.iter().all(|multiplier| (0.0..=1.0).contains(multiplier)));
                prop_assert_eq!((multipliers.last(), multipliers.contains(&1.0)), (Some(&0.0), true));
            }
        }
    }

    /// The scale of the norms is no information.
    #[test]
    fn does_not_see_the_scale(norms in prop::collection::vec(0.1..10.0, 3..100), power in -20_i32..20) {
        let scaled: Vec<f64> = norms.iter().map(|norm| norm * 2.0_f64.powi(power)).collect();
        prop_assert_eq!(unfiltered(&norms, GradientNorm::L2), unfiltered(&scaled, GradientNorm::L2));
    }
}
