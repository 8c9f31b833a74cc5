"""What the checks of the trainers' recipes share: learning rates, shares of the data, reporting."""

import csv
import importlib.metadata
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

# The largest difference allowed, as a fraction of the peak.
TOLERANCE = 1e-9
# Tables of runs no longer than this leave no step out. A trainer that counts from 0 logs one less as its last.
COMPLETE_STEPS = 2000


def read_table(path: Path) -> list[tuple[int, float]]:
    """Reads the step and the learning rate of every row."""
    with path.open(newline="", encoding="utf-8") as file:
        return [(int(row["step"]), float(row["lr"])) for row in csv.DictReader(file)]


def compare(path: Path, steps: int, rate: Callable[[int], float], first: int = 1) -> tuple[int, float, list[str]]:
    """Compares the table with `rate`, the trainer's own by logged step, for a run that logs `steps` steps from `first` on.

    Returns how many rows were compared, the largest difference as a fraction of the run's highest rate, and what is wrong.
    """
    rows, last, wrong = read_table(path), first + steps - 1, []
    logged = [step for step, _ in rows]
    if not logged or logged != sorted(set(logged)) or logged[0] != first or logged[-1] != last:
        wrong.append(f"{path.name}: the steps do not ascend from {first} to {last}")
    if last < COMPLETE_STEPS and len(logged) != steps:
        wrong.append(f"{path.name}: has {len(logged)} rows for {steps} steps, though it need not leave one out")
    rates = {step: rate(step) for step in range(first, last + 1)}
    peak = max(rates.values())
    within = [(step, written) for step, written in rows if step in rates]
    differences = [(abs(written - rates[step]) / peak, step, written) for step, written in within]
    worst = max((difference for difference, _, _ in differences), default=0.0)
    for difference, step, written in differences:
        if not difference <= TOLERANCE:
            wrong.append(f"{path.name}: step {step} is {written!r}, the trainer has {rates[step]!r}")
            break
    return len(within), worst, wrong


def canonical(run: Path, rate: Callable[[int], float], above: float = 0.0) -> list[str]:
    """Says where the rate of an update, by completed steps, is not that of `schedule.csv` or exceeds it by more than `above`."""
    for step, written in read_table(run / "schedule.csv")[:-1]:
        excess = rate(step) - written
        if excess < -TOLERANCE * written or excess > above + TOLERANCE * written:
            return [f"schedule.csv: update {step} is {written!r}, the trainer has {rate(step)!r}"]
    return []


def nearby(run: Path, header: str, rate: Callable[[int], float]) -> list[str]:
    """Says where the rate of an update, by completed steps, is farther from `schedule.csv` than the header says."""
    rows, found = read_table(run / "schedule.csv"), re.search(r"differ from schedule\.csv by at most (\S+) of the peak", header)
    if not found and "Learning rates: those of schedule.csv" not in header:
        return ["the header does not say how far the learning rates are from those of schedule.csv"]
    # The header has four digits, and compares some 65,000 steps.
    most = (float(found[1]) * 1.001 if found else 0.0) + TOLERANCE
    peak = max(written for _, written in rows)
    for step, written in rows[:-1]:
        if not abs(rate(step) - written) <= most * peak:
            return [f"schedule.csv: update {step} is {written!r}, the trainer has {rate(step)!r}, farther than {most}"]
    return []


def is_nearest(header: str) -> bool:
    """Tells whether the trainer follows another schedule than `schedule.csv`, which it has no keys for."""
    return "this is the nearest that it has" in header


def against_schedule(
    run: Path, header: str, rate: Callable[[int], float], reindexed: Callable[[int], float] | None = None, above: float = 0.0
) -> list[str]:
    """Says where the rate of an update is not what the header tells of `schedule.csv`.

    It may be as far as the header says; and where the trainer has that very schedule, its rates by `reindexed` steps, if it counts
    otherwise, must be those of `schedule.csv`, or exceed them by at most `above`.
    """
    return nearby(run, header, rate) + ([] if is_nearest(header) else canonical(run, reindexed or rate, above))


def tokens_of(run: Path) -> int:
    """Reads how many tokens the run of `schedule.csv` has seen at its end."""
    with (run / "schedule.csv").open(newline="", encoding="utf-8") as file:
        *_, last = csv.DictReader(file)
    return int(last["tokens"])


@dataclass(frozen=True)
class Part:
    """A part of the data: what it holds, and how often a run means to read it."""

    tokens: int
    documents: int
    repeat: float = 1.0


def parts_of(selection: dict) -> dict[str, Part]:
    """Returns what `selection.json` has of each part: the corpus, and what is selected of it, whole or in buckets."""
    whole = lambda key: sum(domain[key] for domain in selection["domains"])  # noqa: E731
    parts = {"corpus": Part(whole("tokens"), whole("documents"))}
    for index, bucket in enumerate(selection.get("buckets", [])):
        parts[f"bucket-{index:02}"] = Part(bucket["tokens"], bucket["documents"], bucket["repeat"])
    return parts if len(parts) > 1 else parts | {"selected": Part(whole("kept_tokens"), whole("kept_documents"))}


def weights_of(parts: Mapping[str, Part], selected: float | str) -> dict[str, float]:
    """Returns the share of the tokens that each part should have, if `selected` says how much of a mixture is selected."""
    read = {name: part.repeat * part.tokens for name, part in parts.items() if name != "corpus"}
    trained, corpus = sum(read.values()), parts["corpus"].tokens
    share = trained / (corpus + trained) if selected == "concatenate" else selected
    weights = {"corpus": 1 - share} | {name: share * tokens / trained for name, tokens in read.items()}
    return {name: weight for name, weight in weights.items() if weight}


def chances_of(parts: Mapping[str, Part], weights: Mapping[str, float]) -> dict[str, float]:
    """Returns the chance that the next document is of each part, for the tokens drawn to have the weights."""
    rates = {name: weight * parts[name].documents / parts[name].tokens for name, weight in weights.items()}
    return {name: rate / sum(rates.values()) for name, rate in rates.items()}


def differing(what: str, expected: Mapping[str, float], found: Mapping[str, float], tolerance: float) -> Iterator[str]:
    """Yields parts whose share is another."""
    for name in sorted(expected.keys() | found.keys()):
        if not abs(expected.get(name, 0.0) - found.get(name, 0.0)) <= tolerance:
            yield f"{what}: {name} weighs {found.get(name, 0.0)!r}, not {expected.get(name, 0.0)!r}"


def against_mixture(
    run: Path,
    weights: Sequence[Mapping[str, float]],
    chances: Sequence[Mapping[str, float]] = (),
    tolerance: float = TOLERANCE,
) -> list[str]:
    """Says where the shares of the tokens, and the chances of documents, are not those of the selection, by stage.

    A sample lies beside the selection and the `[mixture]` table that it is made from; nothing is said of other runs.
    """
    if not (run / "mixture.json").is_file():
        return []
    parts, mixture = (json.loads((run / f"{name}.json").read_text(encoding="utf-8")) for name in ("selection", "mixture"))
    parts = parts_of(parts)
    expected = [weights_of(parts, mixture[stage]) for stage in ("selected", "decay") if mixture.get(stage) is not None]
    if len(expected) != len(weights):
        return [f"the data has {len(weights)} stages, not {len(expected)}"]
    wrong = []
    for stage, (meant, found, drawn) in enumerate(zip_longest(expected, weights, chances), 1):
        wrong.extend(differing(f"stage {stage}", meant, found, tolerance))
        if drawn is not None:
            wrong.extend(differing(f"documents of stage {stage}", chances_of(parts, meant), drawn, tolerance))
    return wrong


def part_of(path: str) -> str | None:
    """Names the part whose token files a path belongs to; None for one that is not laid out as a run's output."""
    found = re.search(r"(?:^|/)tokens/(?:(corpus)|(selected)/[0-9a-f]{64}(?:/(bucket-\d+))?)/[a-z]+(?:/[^/]*)?$", path)
    return found and (found[3] or found[2] or found[1])


def by_part(paths: Sequence[str], weights: Sequence[float]) -> dict[str | None, float]:
    """Adds up the weights of the token files, or their folders, of each part."""
    sums: dict[str | None, float] = {}
    for path, weight in zip(paths, weights, strict=True):
        sums[part_of(path)] = sums.get(part_of(path), 0.0) + weight
    return sums


def report(
    run: Path,
    trainer: str,
    packages: Sequence[str],
    parsed_by: str,
    steps: int = 0,
    rows: int = 0,
    worst: float = 0.0,
    wrong: Sequence[str] = (),
    **more: float,
) -> bool:
    """Prints what the check of one run found and `more` figures, as a line of JSON; returns whether all is well."""
    versions = {package: importlib.metadata.version(package) for package in packages}
    found = {"run": str(run), "trainer": trainer, "versions": versions, "parsed_by": parsed_by}
    print(json.dumps(found | {"steps": steps, "rows": rows, "worst": worst, **more, "wrong": list(wrong)}), flush=True)
    return not wrong
