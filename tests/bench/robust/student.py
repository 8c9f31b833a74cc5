"""What adversarial fine-tuning under several schedules does to a student of the score: fidelity to the teacher, and documents that cross the cut.

    python tests/bench/robust/student.py RUN CORPUS --tokenizer tokenizer.json [--out FOLDER] [--seeds 10]

RUN is the folder of a run that `headwater distill` labelled, CORPUS that of `tests/bench/distill/corpus.py`. Describes every labelled text and
what the changes of `headwater audit` make of it, trains small networks on the features by the example `student` of crate `robust`, and prints a
table; with --out it also writes `table.md` and `table.json`. Each seed holds out a quarter of the files as a test and an eighth as validation.
Features are standardised by the training texts; the target is log(1 + influence) less the mean of its domain; weights are by standard errors.
The radius of the attack is the mean shift of a standardised feature under the changes of form: wiki to boilerplate. Peak rates are chosen by
each seed's validation: under attack, for the natural network as the texts are. A weighted ridge on the same features stands beside the networks. Splits of
different seeds share files, so standard errors are those of Nadeau and Bengio (2003, Inference for the generalization error, §3), whose
correction for that adds the ratio of test to training texts to 1 / seeds. Needs numpy, scipy and pyarrow.
"""

import argparse
import json
import math
import random
import statistics
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from digits import BASE, NATURAL, heading, processor, row, show
from scipy.stats import spearmanr

CARGO = ["cargo", "run", "--release", "--quiet", "--package"]
MOST = 6.0  # standard deviations that a feature is from its mean, as in the student's ridge
LEAST_TEXTS = 12  # of a domain in a test, for a correlation and a cut
FORM = ["wiki", "wrap", "whitespace", "headings", "boilerplate"]
COPIES = ["repetition", "padding"]
KEPT = 0.2  # of each domain
PENALTIES = [1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0]
LEAST = -0.5  # influence below which its logarithm is cut, as `distill` does


def labelled(run: Path, corpus: Path) -> list[dict]:
    """The labelled documents with their texts, in the order of their ids."""
    columns = ["id", "shard", "domain", "status", "influence", "influence_stderr"]
    rows = [row for path in sorted((run / "labels/scores").glob("**/*.parquet")) for row in pq.read_table(path, columns=columns).to_pylist()]
    texts = {}
    for path in sorted(corpus.glob("*/*.parquet")):
        table = pq.read_table(path, columns=["id", "text"])
        texts.update(zip(table["id"].to_pylist(), table["text"].to_pylist(), strict=True))
    scored = [row | {"text": texts[row["id"]]} for row in rows if row["status"] == "scored" and row["influence_stderr"]]
    return sorted(scored, key=lambda row: row["id"])


def describe(labels: list[dict], tokenizer: Path) -> None:
    """Adds to each label the features of its text and of the changed ones, by the name of the change."""
    lines = "".join(json.dumps(label["text"]) + "\n" for label in labels)
    done = subprocess.run([*CARGO, "headwater-score", "--example", "describe", "--", tokenizer], input=lines, stdout=subprocess.PIPE, check=True, text=True)
    for label, line in zip(labels, done.stdout.splitlines(), strict=True):
        label["features"] = {name: np.array(features, dtype=np.float64) for name, features in json.loads(line).items()}


class Split:
    """The labels of one seed in parts, standardised."""

    def __init__(self, labels: list[dict], seed: int):
        files = sorted({label["shard"] for label in labels})
        random.Random(seed).shuffle(files)
        test, validation = len(files) // 4, len(files) // 8
        parts = {file: "test" if at < test else "validation" if at < test + validation else "training" for at, file in enumerate(files)}
        of = {part: [label for label in labels if parts[label["shard"]] == part] for part in ("training", "validation", "test")}
        inputs = np.array([label["features"]["text"] for label in of["training"]])
        self.seed, self.mean, self.deviation = seed, inputs.mean(0), inputs.std(0)
        targets = {}
        for label in of["training"]:
            targets.setdefault(label["domain"], []).append(target(label))
        self.levels = {domain: float(np.mean(values)) for domain, values in targets.items()}
        self.spread = float(np.std([target(label) - self.levels[label["domain"]] for label in of["training"]]))
        domains = [label["domain"] for label in of["test"]]
        self.test = of["test"] = [label for label in of["test"] if label["domain"] in self.levels and domains.count(label["domain"]) >= LEAST_TEXTS]
        self.ratio = len(self.test) / len(of["training"])
        self.changed = [(at, name) for at, label in enumerate(self.test) for name in label["features"] if name != "text"]
        self.changed_features = [self.standard(self.test[at]["features"][name]).tolist() for at, name in self.changed]
        shifts = [np.abs(self.standard(label["features"][name]) - self.standard(label["features"]["text"])).mean()
                  for label in of["training"] for name in FORM if name in label["features"]]
        self.radius = float(np.mean(shifts))
        self.parts = {name: self.part([label for label in part if label["domain"] in self.levels]) for name, part in of.items()}

    def standard(self, features: np.ndarray) -> np.ndarray:
        # a feature that is constant in the training texts says nothing
        scaled = (features - self.mean) / np.where(self.deviation > 0, self.deviation, np.inf)
        return np.clip(scaled, -MOST, MOST)

    def part(self, labels: list[dict]) -> dict:
        # a quarter of the targets' variance stands for what no student explains, so that no label outweighs all others
        noise = np.array([self.spread**2 / 4 + (label["influence_stderr"] / (1 + max(label["influence"], LEAST))) ** 2 for label in labels])
        weights = (1 / noise) / np.mean(1 / noise)
        return {
            "features": [self.standard(label["features"]["text"]).tolist() for label in labels],
            "targets": [(target(label) - self.levels[label["domain"]]) / self.spread for label in labels],
            "weights": weights.tolist(),
        }

    def json(self) -> dict:
        return {"seed": self.seed, "radius": self.radius, **self.parts, "changed": self.changed_features}

    def ridge(self) -> dict:
        """What a weighted ridge says, of the penalty that is best on the validation texts; it is attacked where every feature moves by the radius."""
        arrays = {name: [np.array(part[key]) for key in ("features", "targets", "weights")] for name, part in self.parts.items()}
        with_ones = lambda inputs: np.column_stack([np.ones(len(inputs)), inputs])  # noqa: E731
        inputs, targets, weights = arrays["training"]
        inputs = with_ones(inputs)
        weighted, penalised = inputs.T * weights, np.diag([0.0] + [1.0] * (inputs.shape[1] - 1))
        fits = [np.linalg.solve(weighted @ inputs + penalty * penalised, weighted @ targets) for penalty in PENALTIES]
        lost = lambda fit, moved, part: float(np.mean(part[2] * (np.abs(with_ones(part[0]) @ fit - part[1]) + moved) ** 2))  # noqa: E731
        fit = min(fits, key=lambda fit: lost(fit, 0.0, arrays["validation"]))
        moved = self.radius * np.abs(fit[1:]).sum()
        said = {name: with_ones(inputs) @ fit for name, inputs in (("test", arrays["test"][0]), ("changed", np.array(self.changed_features)))}
        return said | {"test_attacked": lost(fit, moved, arrays["test"])}

    def judge(self, said: dict) -> dict:
        """Fidelity and flips of a network on the test texts."""
        test, changed = np.array(said["test"]), np.array(said["changed"])
        domains = np.array([label["domain"] for label in self.test])
        influence = np.array([label["influence"] for label in self.test])
        cuts = {domain: cut(test[domains == domain]) for domain in sorted(set(domains))}
        fidelity = [spearmanr(test[domains == domain], influence[domains == domain]).statistic for domain in cuts]
        crosses = {}
        for (at, name), value in zip(self.changed, changed, strict=True):
            least = cuts[domains[at]]
            crosses.setdefault(name, []).append((test[at] >= least) != (value >= least))
        # what changes nothing must cross no cut
        assert not any(crosses["identity"])
        share = lambda names: float(np.mean(np.concatenate([crosses[name] for name in names if name in crosses])))  # noqa: E731
        return {"fidelity": float(np.mean(fidelity)), "form": share(FORM), "copies": share(COPIES), "truncation": share(["truncation"]),
                "attacked": said["test_attacked"]}


def cut(values: np.ndarray) -> float:
    """Midway between the last value that is kept and the first that is not."""
    ordered = np.sort(values)[::-1]
    kept = max(1, round(KEPT * len(ordered)))
    return float(ordered[kept - 1] + ordered[kept]) / 2


def target(label: dict) -> float:
    return float(np.log1p(max(label["influence"], LEAST)))


def tabulate(splits: list[Split], runs: list[dict]) -> list[dict]:
    """Each arm at the peak that each seed's validation chooses, with what is judged."""
    ratio = statistics.fmean(split.ratio for split in splits)
    ridge = [split.judge(split.ridge()) for split in splits]
    arms = [{"arm": "ridge, no network", "passes": None, "peaks": [], "by_seed": ridge, **means(ridge, ratio)}]
    ends = {min(run["peak"] for run in runs), max(run["peak"] for run in runs)}
    for name in dict.fromkeys(run["arm"] for run in runs):
        key = "validation" if name == NATURAL else "validation_attacked"
        of = [run for run in runs if run["arm"] == name]
        sound = [[run for run in of if run["seed"] == split.seed and run["said"]] for split in splits]
        if not all(sound):
            raise SystemExit(f"every run of {name} diverged under some seed")
        chosen = [min(of_seed, key=lambda run: run["said"][key]) for of_seed in sound]
        marks = [split.judge(run["said"]) for split, run in zip(splits, chosen, strict=True)]
        arms.append({"arm": name, "passes": of[0]["passes"], "peaks": [run["peak"] for run in chosen], "at_an_end": sum(run["peak"] in ends for run in chosen),
                     "diverged": sum(run["said"] is None for run in of), "by_seed": marks, **means(marks, ratio)})
    return arms


def estimate(values: list[float], ratio: float) -> dict:
    """Mean and standard error over splits whose tests are `ratio` times as large as what is trained on."""
    return {"mean": statistics.fmean(values), "standard_error": statistics.stdev(values) * math.sqrt(1 / len(values) + ratio)}


def means(marks: list[dict], ratio: float) -> dict:
    return {"ratio": ratio} | {key: estimate([mark[key] for mark in marks], ratio) for key in marks[0]}


def markdown(arms: list[dict]) -> str:
    lines = heading(["arm", "passes", "median peak rate", "fidelity", "form", "copies", "truncation", "loss under attack", "loss − slow start"])
    base = next(arm for arm in arms if arm["arm"] == BASE)
    for arm in arms:
        peak = f"{statistics.median(arm['peaks']):g}" if arm["peaks"] else "–"
        differences = [own["attacked"] - other["attacked"] for own, other in zip(arm["by_seed"], base["by_seed"], strict=True)]
        difference = "" if arm is base else show(estimate(differences, arm["ratio"]), "+")
        lines.append(row([arm["arm"], arm["passes"] or "–", peak, *(show(arm[key]) for key in ("fidelity", "form", "copies", "truncation", "attacked")), difference]))
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--tokenizer", type=Path, required=True, help="tokenizer.json of the teacher: `headwater model tokenizer NAME --out FOLDER`")
    parser.add_argument("--out", type=Path, help="a folder for table.md and table.json")
    parser.add_argument("--seeds", type=int, default=10)
    options = parser.parse_args()
    labels = labelled(options.run, options.corpus)
    describe(labels, options.tokenizer)
    splits = [Split(labels, seed) for seed in range(options.seeds)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "splits.json"
        path.write_text(json.dumps([split.json() for split in splits]))
        done = subprocess.run([*CARGO, "headwater-robust", "--example", "student", "--", path], stdout=subprocess.PIPE, check=True)
    arms = tabulate(splits, json.loads(done.stdout))
    shown = f"{len(labels)} labels, {len({label['shard'] for label in labels})} files, {len(splits)} seeds, radius {np.mean([split.radius for split in splits]):.3f}"
    text = markdown(arms)
    print(text, shown, processor(), sep="\n")
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "table.md").write_text(f"{shown}\n\n{text}")
        (options.out / "table.json").write_text(json.dumps({"labels": len(labels), "radii": [split.radius for split in splits], "processor": processor(), "arms": arms}, indent=1) + "\n")


if __name__ == "__main__":
    main()
