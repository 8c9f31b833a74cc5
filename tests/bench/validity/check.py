"""Computes again, with numpy alone, what a selection says of corrected influence, and what it does not say.

    python check.py RUN [--rounds 20]

RUN is the folder of a finished run whose selection is by `corrected`, without guards. The README beside this file says what is
measured. Ends with 0, or with 1 if the two disagree.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from scipy.stats import spearmanr

KNOTS = [0.05, 0.275, 0.5, 0.725, 0.95]  # shares of documents below each
SETS = {"constant": 1, "linear": 4, "interactions": 7, "splines": 16}  # nested; `fine splines` needs 205 documents
DOCUMENTS_PER_TERM = 5
BATCH_TARGETS = 16
PRIOR_FREEDOM = 8.0
SEED = 0
FOLDS = 10
TOLERANCE = 1e-6  # ranks are by 32-bit floats


@dataclass
class Domain:
    """The ranked documents of one domain: `y` is log(1 + influence), `x` the logarithms of loss, compression and length."""

    ids: list[str]
    tokens: np.ndarray
    influence: np.ndarray
    stderr: np.ndarray
    targets: np.ndarray
    x: np.ndarray

    @property
    def y(self) -> np.ndarray:
        return np.log1p(self.influence)

    def noise(self, rows: np.ndarray) -> np.ndarray:
        """Variance of the noise of every document's y, with what is usual among `rows`."""
        own = (self.stderr / (1 + self.influence)) ** 2
        usual = np.nanmean((own * self.targets)[rows]) / self.targets
        freedom = np.maximum(self.targets // BATCH_TARGETS - 1, 1)
        return np.where(np.isnan(own), usual, (freedom * own + PRIOR_FREEDOM * usual) / (freedom + PRIOR_FREEDOM))


def read(run: Path) -> dict[str, Domain]:
    """Reads the sidecars of a run."""
    names = ["source", "shard", "row", "id", "domain", "tokens", "influence", "influence_stderr", "scored_tokens", "loss_base", "compression"]
    rows = [row for path in sorted(run.glob("scores/*/*/*.parquet")) for row in pq.read_table(path, columns=names).to_pylist()]
    rows.sort(key=lambda row: (row["source"], row["shard"], row["row"]))
    domains = {}
    for name in sorted({row["domain"] for row in rows}):
        own = [row for row in rows if row["domain"] == name and row["influence"] is not None]
        column = lambda key: np.array([np.nan if row[key] is None else row[key] for row in own], float)
        x = np.log(np.column_stack([column("loss_base"), column("compression"), column("scored_tokens")]))
        ids = [row["id"] for row in own]
        domains[name] = Domain(ids, column("tokens"), column("influence"), column("influence_stderr"), column("scored_tokens"), x)
    return domains


def spline(z: np.ndarray, knots: np.ndarray) -> np.ndarray:
    """The terms of a natural cubic spline beside the linear one."""
    cube = lambda knot: np.maximum(z - knot, 0) ** 3
    first, fourth, last = knots[0], knots[-2], knots[-1]
    ends = lambda knot: (cube(fourth) * (last - knot) - cube(last) * (fourth - knot)) / (last - fourth)
    return np.column_stack([(cube(knot) - ends(knot)) / (last - first) ** 2 for knot in knots[:-2]])


def terms(x: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The terms of the fit, with scale and knots of `rows`."""
    z = (x - x[rows].mean(0)) / x[rows].std(0)
    a, b, c = z.T
    bends = [spline(z[:, at], np.quantile(z[rows, at], KNOTS)) for at in range(3)]
    return np.column_stack([np.ones(len(z)), a, b, c, a * b, a * c, b * c, *bends])


@dataclass
class Fit:
    """The correction as `rows` of a domain give it; `corrected` and the rest are of all its documents."""

    terms: str
    coefficients: np.ndarray
    signal: float
    fitted: np.ndarray
    noise: np.ndarray
    trust: np.ndarray
    corrected: np.ndarray


def fit(domain: Domain, rows: np.ndarray) -> Fit:
    """Weighted least squares and signal variance in turn; the set of terms with the least generalised cross-validation error."""
    y, noise, basis = domain.y, domain.noise(rows), terms(domain.x, rows)
    documents = int(rows.sum())

    def settle(signal: float) -> tuple[float, str, np.ndarray]:
        weights = 1 / (signal + noise[rows])
        found = []
        for name, size in SETS.items():
            if size > 1 and documents < DOCUMENTS_PER_TERM * size:
                break
            root = np.sqrt(weights)
            coefficients = np.linalg.lstsq(basis[rows, :size] * root[:, None], y[rows] * root, rcond=None)[0]
            squares = weights @ (y[rows] - basis[rows, :size] @ coefficients) ** 2
            found.append((squares / (1 - size / documents) ** 2, name, coefficients))
        return min(found, key=lambda one: one[0])

    signal = y[rows].var()
    for _ in range(10):
        _, name, coefficients = settle(signal)
        size = len(coefficients)
        weights = 1 / (signal + noise[rows])
        squares = (y[rows] - basis[rows, :size] @ coefficients) ** 2 * documents / (documents - size)
        signal = max(weights @ (squares - noise[rows]) / weights.sum(), 1e-4 * y[rows].var())
    _, name, coefficients = settle(signal)
    fitted = basis[:, : len(coefficients)] @ coefficients
    trust = signal / (signal + noise)
    return Fit(name, coefficients, signal, fitted, noise, trust, trust * (y - fitted))


def explained(x: np.ndarray, values: np.ndarray) -> float:
    """Adjusted share of the variance of `values` that powers or steps of `x` explain, whichever is greater; at least 0."""
    a, b, c = ((x - x.mean(0)) / x.std(0)).T
    powers = [a, b, c, a * a, b * b, c * c, a**3, b**3, c**3, a * b, a * c, b * c]
    steps = [column > np.quantile(column, share) for column in (a, b, c) for share in (0.2, 0.4, 0.6, 0.8)]
    high = [column > np.quantile(column, 0.5) for column in (a, b, c)]
    steps += [high[0] & high[1], high[0] & high[2], high[1] & high[2]]

    def adjusted(columns: list[np.ndarray]) -> float:
        design = np.column_stack([np.ones(len(values)), *columns]).astype(float)
        left = values - design @ np.linalg.lstsq(design, values, rcond=None)[0]
        all_of_it = values - values.mean()
        freedom = (len(values) - 1) / (len(values) - design.shape[1])
        return 1 - left @ left / (all_of_it @ all_of_it) * freedom

    return max(adjusted(powers), adjusted(steps), 0.0)


def held_out(domain: Domain, random: np.random.Generator) -> np.ndarray:
    """Corrected influence of every document by a fit over nine tenths of the domain that leave it out."""
    folds = random.permutation(len(domain.ids)) % FOLDS
    values = np.zeros(len(domain.ids))
    for fold in range(FOLDS):
        values[folds == fold] = fit(domain, folds != fold).corrected[folds == fold]
    return values


def top(values: np.ndarray, count: int) -> set[int]:
    """The documents with the greatest values."""
    return set(np.argsort(-values, kind="stable")[:count].tolist())


def compare(name: str, domain: Domain, found: Fit, stated: dict) -> float:
    """The largest difference from what the selection says."""
    correction, certainty, kept = stated["correction"], stated["certainty"], stated["kept_documents"]
    if correction["terms"] != found.terms:
        raise SystemExit(f"{name}: {found.terms} here, {correction['terms']} in selection.json")
    best = np.sort(found.corrected)[::-1]
    stderr = found.trust * np.sqrt(found.noise)
    distance = found.corrected - best[kept - 1]
    near = [int(((distance >= 0) & (distance <= many * stderr)).sum()) for many in (1, 2)]
    if near != [certainty["within_one"], certainty["within_two"]]:
        raise SystemExit(f"{name}: {near} near the cut here, {certainty} in selection.json")
    pairs = [
        (found.signal, correction["signal_variance"]),
        (explained(domain.x, domain.y), correction["r2_before"]),
        (explained(domain.x, found.corrected), correction["r2_after"]),
        (best[0], stated["highest"]["value"]),
        (best[kept - 1], stated["cut"]["value"]),
        *zip(found.coefficients, correction["coefficients"]),
    ]
    for at, nuisance in enumerate(correction["nuisances"]):
        pairs.append((spearmanr(domain.y, domain.x[:, at])[0], nuisance["spearman_before"]))
        pairs.append((spearmanr(found.corrected, domain.x[:, at])[0], nuisance["spearman_after"]))
    return max(abs(here - there) for here, there in pairs)


def kept_again(domain: Domain, found: Fit, kept: int, random: np.random.Generator) -> tuple[float, float]:
    """The share of what is kept that would be kept again if every loss were measured anew: by influence, by corrected influence."""
    shares = []
    for _ in range(400):
        # what a document truly is, as far as its measurement tells, and another measurement of it
        truth = found.corrected + np.sqrt(found.trust * found.noise) * random.standard_normal(len(domain.ids))
        again = truth + np.sqrt(found.noise) * random.standard_normal(len(domain.ids))
        raw = top(domain.influence, kept) & top(found.fitted + again, kept)
        corrected = top(found.corrected, kept) & top(found.trust * again, kept)
        shares.append((len(raw) / kept, len(corrected) / kept))
    return tuple(np.mean(shares, axis=0))


def describe(domain: Domain, found: Fit, kept: int, rounds: int) -> None:
    """Prints what the selection does not say."""
    random = np.random.default_rng(SEED)
    rounds_held_out = [held_out(domain, random) for _ in range(rounds)]
    shares = [explained(domain.x, values) for values in rounds_held_out]
    moved = int(np.argmax(np.abs(np.mean(rounds_held_out, axis=0) - found.corrected)))
    others = np.arange(len(domain.ids)) != moved
    without = [explained(domain.x[others], values[others]) for values in rounds_held_out]
    by_chance = [explained(domain.x, random.permutation(values)) for values in rounds_held_out for _ in range(20)]
    same = [len(top(values, kept) & top(found.corrected, kept)) for values in rounds_held_out]
    print(f"  r2 of held-out corrected influence: mean {np.mean(shares):.3f}, {min(shares):.3f} to {max(shares):.3f}; "
          f"of values that follow nothing: mean {np.mean(by_chance):.3f}, 95 % below {np.quantile(by_chance, 0.95):.3f}; without {domain.ids[moved]}, which moves most, mean {np.mean(without):.3f}")
    print(f"  kept by held-out values, too: {np.mean(same):.1f} of {kept}")
    print(f"  standard deviation of signal {np.sqrt(found.signal):.4f}, of noise (median) {np.sqrt(np.median(found.noise)):.4f}; "
          f"trust: {found.trust.min():.2f} to {found.trust.max():.2f}, median {np.median(found.trust):.2f}")
    raw, corrected = kept_again(domain, found, kept, random)
    print(f"  kept again if measured anew: {raw:.0%} by influence, {corrected:.0%} by corrected")
    orders = {"length": domain.tokens, "compression": domain.x[:, 1], "loss": -domain.x[:, 0]}
    for rank, values in {"influence": domain.influence, "corrected": found.corrected}.items():
        best = top(values, kept)
        shared = ", ".join(f"{name} {len(best & top(order, kept))}" for name, order in orders.items())
        third = np.searchsorted(np.quantile(domain.tokens, [1 / 3, 2 / 3]), domain.tokens)
        thirds = [f"{sum(third[at] == part for at in best)} of {(third == part).sum()}" for part in range(3)]
        draws = [np.sort(random.choice(values, len(values)))[-kept] for _ in range(4000)]
        print(f"  {rank}: shares with the first {kept} by {shared}; kept of each third of length {', '.join(thirds)}; "
              f"bootstrapped standard error of the cut {np.std(draws):.4f}")
    place = lambda values: np.argsort(np.argsort(-values, kind="stable")) + 1
    raw_places, corrected_places = place(domain.influence), place(found.corrected)
    for at in np.argsort(raw_places)[:12].tolist() + [at for at, id in enumerate(domain.ids) if id.endswith(("trees.h", "inffixed.h"))]:
        print(f"    {raw_places[at]:>3} by influence, {corrected_places[at]:>3} by corrected: {domain.ids[at]}")


def main() -> None:
    """Reads the run, compares, describes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("--rounds", type=int, default=20, help="of ten-fold cross-validation (%(default)s)")
    options = parser.parse_args()
    selection = json.loads((options.run / "selection.json").read_text())
    if selection["rank"] != "corrected" or selection.get("guarded"):
        parser.error("selection.json is not by corrected without guards: run `headwater select pipelines/select/corrected.toml` first")
    domains, furthest = read(options.run), 0.0
    for stated in selection["domains"]:
        domain = domains[stated["domain"]]
        found = fit(domain, np.ones(len(domain.ids), bool))
        difference = compare(stated["domain"], domain, found, stated)
        furthest = max(furthest, difference)
        print(f"{stated['domain']}: {len(domain.ids)} documents, {found.terms}; largest difference from selection.json {difference:.1e}")
        describe(domain, found, stated["kept_documents"], options.rounds)
    if furthest > TOLERANCE:
        raise SystemExit(f"selection.json differs by {furthest:.1e}")


if __name__ == "__main__":
    main()
