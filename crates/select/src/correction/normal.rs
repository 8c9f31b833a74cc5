//! Weighted least squares by normal equations, accumulated in a fixed order.

/// What a pivot must keep of its diagonal; below, the term is a sum of those before it and is left out.
const LEAST_PIVOT: f64 = 1e-9;

/// The normal equations of some terms.
#[derive(Clone, Debug)]
pub(crate) struct Normal {
    terms: usize,
    /// Lower triangle of Σ w·x·xᵀ, row by row.
    products: Vec<f64>,
    /// Σ w·x·y.
    targets: Vec<f64>,
    /// Σ w·y².
    square: f64,
    pub(crate) documents: u64,
}

/// A solution: coefficients of the first terms, and the weighted residual sum of squares.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Solution {
    pub(crate) coefficients: Vec<f64>,
    pub(crate) residual: f64,
}

/// Where a row of a lower triangle begins.
const fn row_start(row: usize) -> usize {
    row * (row + 1) / 2
}

impl Normal {
    pub(crate) fn new(terms: usize) -> Self {
        Self { terms, products: vec![0.0; row_start(terms)], targets: vec![0.0; terms], square: 0.0, documents: 0 }
    }

    /// How many terms there are.
    pub(crate) const fn terms(&self) -> usize {
        self.terms
    }

    /// Adds a document with these terms.
    pub(crate) fn add(&mut self, terms: &[f64], value: f64, weight: f64) {
        debug_assert_eq!(terms.len(), self.terms);
        for (row, term) in terms.iter().enumerate() {
            let weighted = weight * term;
            let products = &mut self.products[row_start(row)..row_start(row + 1)];
            for (product, other) in products.iter_mut().zip(&terms[..=row]) {
                *product += weighted * other;
            }
            self.targets[row] += weighted * value;
        }
        self.square += weight * value * value;
        self.documents += 1;
    }

    /// Solves for the first `terms[i]` terms, for each `i`, from one factorisation.
    pub(crate) fn solve<const S: usize>(&self, terms: [usize; S]) -> [Solution; S] {
        let (factor, forward) = self.factor();
        let at = |row: usize, column: usize| factor[row_start(row) + column];
        terms.map(|count| {
            let mut coefficients = forward[..count].to_vec();
            for row in (0..count).rev() {
                for below in row + 1..count {
                    coefficients[row] -= at(below, row) * coefficients[below];
                }
                coefficients[row] = if at(row, row) > 0.0 { coefficients[row] / at(row, row) } else { 0.0 };
            }
            let explained: f64 = forward[..count].iter().map(|part| part * part).sum();
            Solution { coefficients, residual: (self.square - explained).max(0.0) }
        })
    }

    /// The Cholesky factor L of the products, as they lie, and L⁻¹ of the targets. A term that is a sum of earlier ones gets a row of zeros.
    fn factor(&self) -> (Vec<f64>, Vec<f64>) {
        let (mut factor, mut forward) = (vec![0.0; self.products.len()], vec![0.0; self.terms]);
        for row in 0..self.terms {
            let start = row_start(row);
            for column in 0..=row {
                let other = row_start(column);
                let known: f64 = (0..column).map(|at| factor[start + at] * factor[other + at]).sum();
                let rest = self.products[start + column] - known;
                factor[start + column] = if column < row {
                    let pivot = factor[other + column];
                    if pivot > 0.0 { rest / pivot } else { 0.0 }
                } else if rest > LEAST_PIVOT * self.products[start + row] {
                    rest.sqrt()
                } else {
                    0.0
                };
            }
            let known: f64 = (0..row).map(|at| factor[start + at] * forward[at]).sum();
            let pivot = factor[start + row];
            forward[row] = if pivot > 0.0 { (self.targets[row] - known) / pivot } else { 0.0 };
        }
        (factor, forward)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coefficients_and_residuals_are_those_of_least_squares() {
        let mut normal = Normal::new(3);
        for at in 0..20_u32 {
            let x = f64::from(at) / 10.0;
            let noise = if at % 2 == 0 { 0.25 } else { -0.25 };
            normal.add(&[1.0, x, x * x], 2.0 - x + 3.0 * x * x + noise, 1.0);
        }
        let [line, parabola] = normal.solve([2, 3]);
        assert!(line.residual > parabola.residual && parabola.residual < 20.0 * 0.0625);
        assert!((parabola.coefficients[2] - 3.0).abs() < 0.2, "{parabola:?}");
        assert_eq!(line.coefficients.len(), 2);
    }

    #[test]
    fn a_term_that_repeats_another_gets_nothing() {
        let mut normal = Normal::new(3);
        (0..9_u32).map(f64::from).for_each(|x| normal.add(&[1.0, x, 2.0 * x + 1.0], 5.0 * x, 2.0));
        let [solution] = normal.solve([3]);
        assert!(solution.residual < 1e-9);
        assert_eq!(solution.coefficients[2], 0.0);
        assert!((solution.coefficients[1] - 5.0).abs() < 1e-9);
    }
}
