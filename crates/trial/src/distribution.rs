//! The normal, the t, the chi-squared and the noncentral t distribution.
//!
//! A trial's degrees of freedom are whole numbers, for which t and chi-squared have finite sums. The noncentral t is one integral over a
//! smooth function. Crates of distributions (`statrs`, `puruspe`) lack the noncentral t, which power needs.

use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_PI, FRAC_PI_2, LN_2, PI};

/// Halvings of a range in search of a quantile: a range of a hundred is 10⁻¹⁶ wide after them.
const HALVINGS: usize = 60;
/// Pieces of the integral of the noncentral t; even.
const PIECES: u32 = 4_000;

/// P(Z ≤ `z`) of a standard normal Z.
pub(crate) fn normal_cdf(z: f64) -> f64 {
    0.5 * libm::erfc(-z * FRAC_1_SQRT_2)
}

/// P(|T| ≤ `t`) of a t with `freedom` ≥ 1 degrees of freedom, where t is √freedom · tan `angle` and the angle in [0, π/2].
///
/// # Source
/// Abramowitz and Stegun (1964), 26.7.3 (odd) and 26.7.4 (even).
fn t_within(angle: f64, freedom: usize) -> f64 {
    let (sine, cosine) = (libm::sin(angle), libm::cos(angle));
    let odd = freedom % 2 == 1;
    // the powers of the cosine from 1 (odd) or 0 (even) up to freedom − 2
    let first = if odd { 1 } else { 0 };
    let mut term = if odd { cosine } else { 1.0 };
    let mut sum = 0.0;
    for power in (first..freedom.saturating_sub(1)).step_by(2) {
        sum += term;
        let power = power as f64;
        term *= cosine * cosine * (power + 1.0) / (power + 2.0);
    }
    if odd { FRAC_2_PI * (angle + sine * sum) } else { sine * sum }
}

/// Returns the t that |T| exceeds with probability `level`.
pub(crate) fn t_critical(level: f64, freedom: usize) -> f64 {
    let angle = solve(0.0, FRAC_PI_2, |angle| t_within(angle, freedom) - (1.0 - level));
    (freedom as f64).sqrt() * libm::tan(angle)
}

/// P(X > `x`) of a chi-squared X with `freedom` ≥ 1 degrees of freedom.
///
/// # Source
/// Abramowitz and Stegun (1964), 26.4.4 (odd) and 26.4.5 (even).
fn chi_squared_above(x: f64, freedom: usize) -> f64 {
    let odd = freedom % 2 == 1;
    let density = libm::exp(-x / 2.0);
    let mut term = if odd { density * (2.0 * x / PI).sqrt() } else { density };
    let mut sum = if odd { libm::erfc((x / 2.0).sqrt()) } else { 0.0 };
    for step in (if odd { 3 } else { 2 }..=freedom).step_by(2) {
        sum += term;
        term *= x / step as f64;
    }
    sum
}

/// Returns the x that a chi-squared variable exceeds with probability `level`.
pub(crate) fn chi_squared_critical(level: f64, freedom: usize) -> f64 {
    let mean = freedom as f64;
    solve(0.0, mean + 40.0 * (mean + 1.0).sqrt() + 100.0, |x| level - chi_squared_above(x, freedom))
}

/// P(T > `t`) of a noncentral t: (Z + `shift`) / √(X / freedom), Z standard normal, X chi-squared.
///
/// # Source
/// The definition, integrated over s = √(X / freedom) by Simpson's rule.
pub(crate) fn noncentral_t_above(t: f64, freedom: usize, shift: f64) -> f64 {
    let freedom = freedom as f64;
    let half = freedom / 2.0;
    let constant = LN_2 + half * libm::log(half) - libm::lgamma(half);
    let density = |s: f64| {
        // s⁰ is 1 at 0, too
        let power = if freedom == 1.0 { 0.0 } else { (freedom - 1.0) * libm::log(s) };
        libm::exp(constant + power - half * s * s)
    };
    // s has a standard deviation of at most 1/√(2 freedom); twelve of them leave out less than f64 can tell
    let reach = 12.0 / (2.0 * freedom).sqrt();
    let (low, high) = ((1.0 - reach).max(0.0), 1.0 + reach);
    let step = (high - low) / f64::from(PIECES);
    let sum: f64 = (0..=PIECES)
        .map(|at| {
            let weight = match at {
                0 | PIECES => 1.0,
                _ if at % 2 == 1 => 4.0,
                _ => 2.0,
            };
            let s = low + f64::from(at) * step;
            weight * density(s) * normal_cdf(shift - t * s)
        })
        .sum();
    sum * step / 3.0
}

/// Returns where the rising function `f` crosses 0 between `low` and `high`.
pub(crate) fn solve(mut low: f64, mut high: f64, f: impl Fn(f64) -> f64) -> f64 {
    for _ in 0..HALVINGS {
        let middle = 0.5 * (low + high);
        if f(middle) < 0.0 {
            low = middle;
        } else {
            high = middle;
        }
    }
    0.5 * (low + high)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes sure that `got` is `expected` to the last printed digit of a table.
    fn same(got: f64, expected: f64, digits: i32) {
        assert!((got - expected).abs() <= 0.500_001 * 10_f64.powi(-digits), "{got}, not {expected}");
    }

    #[test]
    fn normal_as_tabulated() {
        same(normal_cdf(0.0), 0.5, 15);
        same(normal_cdf(1.0), 0.841_344_746, 9);
        same(normal_cdf(1.959_963_985), 0.975, 9);
        same(normal_cdf(-3.0), 0.001_349_898, 9);
    }

    /// NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.6.7.2 and 1.3.6.7.4.
    #[test]
    fn quantiles_as_tabulated() {
        for (freedom, t) in
            [(1, 12.706), (2, 4.303), (3, 3.182), (4, 2.776), (5, 2.571), (7, 2.365), (30, 2.042), (100, 1.984)]
        {
            same(t_critical(0.05, freedom), t, 3);
        }
        for (freedom, t) in [(1, 63.657), (4, 4.604), (5, 4.032), (11, 3.106), (60, 2.660)] {
            same(t_critical(0.01, freedom), t, 3);
        }
        for (freedom, above, below) in
            [(1, 5.024, 0.001), (2, 7.378, 0.051), (4, 11.143, 0.484), (7, 16.013, 1.690), (30, 46.979, 16.791)]
        {
            same(chi_squared_critical(0.025, freedom), above, 3);
            same(chi_squared_critical(0.975, freedom), below, 3);
        }
    }

    #[test]
    fn without_a_shift_the_noncentral_t_is_the_central_one() {
        for freedom in [1, 2, 3, 4, 7, 12, 30, 200] {
            for level in [0.5, 0.05, 0.01] {
                let above = noncentral_t_above(t_critical(level, freedom), freedom, 0.0);
                assert!((above - level / 2.0).abs() < 1e-7, "{freedom} {level}: {above}");
            }
        }
    }

    #[test]
    fn at_zero_the_noncentral_t_is_normal() {
        // T > 0 where Z + shift > 0, whatever the scale
        for freedom in [1, 4, 9] {
            assert!((noncentral_t_above(0.0, freedom, 0.7) - normal_cdf(0.7)).abs() < 1e-9);
        }
    }

    /// `scipy.stats.nct.sf(t, freedom, shift)` of scipy 1.17.
    #[test]
    fn the_noncentral_t_as_scipy_has_it() {
        let known = [
            (2.0, 3, 1.0, 0.256_370_131_592),
            (2.776_445_105, 4, 3.0, 0.619_257_537_134),
            (4.0, 11, 2.5, 0.140_078_100_871),
            (-1.0, 7, 0.5, 0.921_897_797_799),
        ];
        for (t, freedom, shift, expected) in known {
            same(noncentral_t_above(t, freedom, shift), expected, 11);
        }
    }

    /// Power of a one-sample t test, two-sided 5 %, d = 0.5, n = 34: 0.8077775 by R's `power.t.test(34, 0.5, type = "one.sample", strict = TRUE)`.
    #[test]
    fn power_as_r_has_it() {
        let (n, d) = (34, 0.5);
        let t = t_critical(0.05, n - 1);
        let shift = d * (n as f64).sqrt();
        same(noncentral_t_above(t, n - 1, shift) + noncentral_t_above(t, n - 1, -shift), 0.807_777_5, 7);
    }
}
