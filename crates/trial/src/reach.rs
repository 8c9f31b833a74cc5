//! How far a trial lies below what is known to carry over to larger models.
//!
//! DataDecide trained 25 data recipes at 14 sizes and asked which small runs choose the recipe that is better at 1B parameters. A single
//! size of 150M parameters decides about 80 % of pairs rightly. With likelihood metrics, some benchmarks are predicted above 80 % at 0.01 % of the
//! compute of the large runs, about 7·10¹⁶ FLOP. Below that nothing is known.
//!
//! Source: Magnusson et al. (2025), "DataDecide" (arXiv 2504.11393), abstract and the table of sizes of its repository. 7·10¹⁶ is derived: 0.01 % of
//! 6 × 1.2·10⁹ parameters × 10¹¹ tokens, by 6 FLOP a parameter and token.

/// The least compute by which decisions are known to carry over to 1B parameters, FLOP a run.
pub const LEAST_KNOWN_FLOP: f64 = 7e16;

/// Returns how many times less compute a run takes than the least that is known to carry over; below 1 if it takes more.
///
/// # Units
/// `flop` counts floating-point operations of one training run, not per second.
#[must_use]
pub fn times_below_known(flop: f64) -> f64 {
    LEAST_KNOWN_FLOP / flop
}

/// Returns the line that every report of a trial with runs of `flop` must have.
#[must_use]
pub fn reach(flop: f64) -> String {
    let known = "DataDecide (arXiv 2504.11393) chose between data recipes for models of 1B parameters: runs of 150M parameters decide about \
                 80 % of pairs rightly, and with likelihood metrics some benchmarks are decided as well by runs of 7e16 FLOP, 0.01 % of the \
                 compute";
    let times = times_below_known(flop);
    if times > 1.0 {
        let times = if times >= 10.0 { format!("{times:.0}") } else { format!("{times:.1}") };
        format!(
            "This trial lies below the smallest scale whose decisions are known to carry over: a run takes {flop:.1e} FLOP, {times} times \
             less. {known}. Of a larger model this trial says nothing."
        )
    } else {
        format!(
            "A run takes {flop:.1e} FLOP. {known}. So some decisions are known to carry over from this scale, and one in five pairs or \
             more is decided wrongly."
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_runs_say_how_far_below_they_are() {
        // 3M parameters on 10M tokens, with the attention's share
        assert!((times_below_known(2.4e14) - 292.0).abs() < 0.5);
        let line = reach(2.4e14);
        assert!(line.contains("below the smallest scale") && line.contains("2.4e14 FLOP, 292 times less"), "{line}");
        assert!(reach(5e16).contains("1.4 times less"));
    }

    #[test]
    fn large_runs_are_not_called_small() {
        let line = reach(7e16);
        assert!(!line.contains("below") && line.contains("7.0e16") && line.contains("decided wrongly"), "{line}");
    }
}
