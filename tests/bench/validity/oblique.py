"""Shows what corrected influence cannot take off: a step along a slanted direction of two nuisances.

    python oblique.py

100,000 documents with three independent normal nuisances a, b, c; their value is a step plus noise of equal variance, and no
signal. The largest set of terms is fitted, without shrinkage, and a fifth is kept. A correction that left nothing would keep a fifth of each of the
16 combinations of quarters of a and b.
"""

import numpy as np
from check import KNOTS, explained

FINE_KNOTS = [0.1625, 0.3875, 0.6125, 0.8375]
DOCUMENTS = 100_000
STEPS = {
    "tanh(1.5 a)": lambda a, b: np.tanh(1.5 * a),
    "tanh(0.7 (a + b))": lambda a, b: np.tanh(0.7 * (a + b)),
    "tanh(1.5 (a + b))": lambda a, b: np.tanh(1.5 * (a + b)),
    "sign(a + b)": lambda a, b: np.sign(a + b),
}


def bends(z: np.ndarray) -> np.ndarray:
    """The bends of one spline at all its knots."""
    knots = np.quantile(z, KNOTS)
    cube = lambda knot: np.maximum(z - knot, 0) ** 3
    first, fourth, last = knots[0], knots[-2], knots[-1]
    ends = lambda knot: (cube(fourth) * (last - knot) - cube(last) * (fourth - knot)) / (last - fourth)
    inner = np.concatenate([knots[:-2], np.quantile(z, FINE_KNOTS)])
    return np.column_stack([(cube(knot) - ends(knot)) / (last - first) ** 2 for knot in inner])


def terms(x: np.ndarray) -> np.ndarray:
    """The 41 terms of `fine splines`."""
    z = (x - x.mean(0)) / x.std(0)
    a, b, c = z.T
    powers = [a, b, c, a * a, b * b, c * c, a**3, b**3, c**3]
    products = [a * b, a * c, b * c, a * a * b, a * a * c, b * b * a, b * b * c, c * c * a, c * c * b, a * b * c]
    return np.column_stack([np.ones(len(z)), *powers, *products, *(bends(column) for column in z.T)])


def main() -> None:
    """Plants each step, fits, cuts and counts."""
    random = np.random.default_rng(1)
    x = random.standard_normal((DOCUMENTS, 3))
    a, b, _ = x.T
    basis = terms(x)
    rest = lambda y: y - basis @ np.linalg.lstsq(basis, y, rcond=None)[0]
    quarter = lambda values: np.argsort(np.argsort(values)) * 4 // DOCUMENTS
    stratum = 4 * quarter(a) + quarter(b)
    for name, step in STEPS.items():
        planted = step(a, b)
        corrected = rest(planted + planted.std() * random.standard_normal(DOCUMENTS))
        kept = corrected >= np.sort(corrected)[-DOCUMENTS // 5]
        shares = np.bincount(stratum[kept], minlength=16) / np.bincount(stratum, minlength=16)
        print(f"{name}: {rest(planted).var() / planted.var():.1%} of the step's variance is left, r2_after {explained(x, corrected):.3f}, "
              f"kept of each combination {shares.min():.0%} to {shares.max():.0%}")


if __name__ == "__main__":
    main()
