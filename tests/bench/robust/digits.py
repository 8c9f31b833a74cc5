"""How schedules of adversarial fine-tuning compare on handwritten digits: clean and robust accuracy, and what a badly chosen peak rate costs.

    python tests/bench/robust/digits.py [--quick] [--out FOLDER]

Exports scikit-learn's digits to a temporary folder, runs the example `digits` of crate `robust` on them, and prints the table; with --out
it also writes `table.md` and `table.json`. The peak rate of each arm is the one of highest robust accuracy on validation images, the mean
over seeds; that of the natural network, which all fine-tuning starts from, is the one of highest clean accuracy. Test images choose
nothing. --quick runs one seed, one radius and three peaks, to see that it works. Needs scikit-learn.
"""

import argparse
import json
import math
import platform
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

BRIGHTEST = 16  # of a pixel of scikit-learn's digits
EXAMPLE = ["cargo", "run", "--release", "--quiet", "--package", "headwater-robust", "--example", "digits", "--"]
BASE = "slow start, fast decay"
NATURAL = "natural"


def export(path: Path) -> None:
    """A line for each image: 64 pixels from 0 to 1, and the digit."""
    from sklearn.datasets import load_digits  # what else uses this file does without

    digits = load_digits()
    lines = (",".join(map(str, [*(image / BRIGHTEST), digit])) for image, digit in zip(digits.data, digits.target))
    path.write_text("\n".join(lines) + "\n")


def run(quick: bool) -> tuple[dict, float]:
    """What the example prints, and the seconds it took; it is built before."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "digits.csv"
        export(path)
        subprocess.run([*EXAMPLE, "--help"], check=True, stdout=subprocess.DEVNULL)
        start = time.monotonic()
        done = subprocess.run([*EXAMPLE, path, *["--quick"] * quick], stdout=subprocess.PIPE, check=True)
        return json.loads(done.stdout), time.monotonic() - start


def processor() -> str:
    """The processor's name, where the system tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return (names or [platform.processor() or platform.machine()])[0]


def estimate(values: list[float]) -> dict:
    """Mean and standard error; none of a single value."""
    error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None
    return {"mean": statistics.fmean(values), "standard_error": error}


def by_peak(at: dict, key: str) -> dict:
    return {peak: statistics.fmean(run[key] for run in runs) for peak, runs in at.items()}


def of_arm(runs: list[dict], arm: str, setting: dict) -> dict:
    """The runs of one arm under one radius: the peak that validation chooses, and the test at it and over all peaks."""
    at = {peak: [run for run in runs if run["arm"] == arm and run["peak"] == peak] for peak in setting["peaks"]}
    validation, test = by_peak(at, "validation_robust"), by_peak(at, "test_robust")
    # the natural network is the one that fine-tuning starts from; of equal peaks the lowest
    chosen = setting["natural_peak"] if arm == NATURAL else max(at, key=lambda peak: (validation[peak], -peak))
    worst = min(at, key=lambda peak: test[peak])
    return {
        "peak": chosen,
        "peak_is_at_an_end": chosen in (min(at), max(at)),
        "clean_by_seed": [run["test_clean"] for run in at[chosen]],
        "robust_by_seed": [run["test_robust"] for run in at[chosen]],
        "clean": estimate([run["test_clean"] for run in at[chosen]]),
        "robust": estimate([run["test_robust"] for run in at[chosen]]),
        "robust_by_peak": test,
        "validation_robust_by_peak": validation,
        "worst_peak": {"peak": worst, "robust": test[worst]},
        "diverged": sum(run["diverged"] for of in at.values() for run in of),
        "runs": sum(map(len, at.values())),
    }


def tabulate(report: dict) -> list[dict]:
    """A table for each radius: each arm, and its difference to slow start over the same seeds."""
    tables = []
    for radius in report["setting"]["radii"]:
        runs = [run for run in report["runs"] if run["radius"] == radius]
        arms = {arm["name"]: arm | of_arm(runs, arm["name"], report["setting"]) for arm in report["arms"]}
        for arm in arms.values():
            pairs = zip(arm["robust_by_seed"], arms[BASE]["robust_by_seed"], strict=True)
            arm["difference"] = estimate([own - base for own, base in pairs])
        # the example holds radii as 32-bit numbers
        tables.append({"radius": round(radius, 6), "arms": list(arms.values())})
    return tables


def show(value: dict, sign: str = "") -> str:
    error = value["standard_error"]
    return f"{value['mean']:{sign}.3f}" + ("" if error is None else f" ± {error:.3f}")


def row(cells: list) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


def heading(cells: list) -> list[str]:
    return [row(cells), "|" + "---|" * len(cells)]


def of_chosen_peaks(table: dict) -> list[str]:
    lines = heading(["arm", "epochs", "passes", "peak rate", "clean", "robust", "robust − slow start"])
    for arm in table["arms"]:
        peak = f"{arm['peak']:g}" + (" (an end of the grid)" if arm["peak_is_at_an_end"] else "")
        difference = "" if arm["name"] == BASE else show(arm["difference"], "+")
        lines.append(row([arm["name"], arm["epochs"], arm["passes"], peak, show(arm["clean"]), show(arm["robust"]), difference]))
    return lines


def of_all_peaks(table: dict, peaks: list[float]) -> list[str]:
    lines = heading(["robust at a peak rate of", *(f"{peak:g}" for peak in peaks), "worst", "diverged runs"])
    for arm in table["arms"]:
        by_peak = (f"{value:.3f}" for value in arm["robust_by_peak"].values())
        lines.append(row([arm["name"], *by_peak, f"{arm['worst_peak']['robust']:.3f}", f"{arm['diverged']} of {arm['runs']}"]))
    return lines


def markdown(tables: list[dict], setting: dict) -> str:
    seeds, images = setting["seeds"], setting["test_images"]
    lines = [f"Accuracies on {images} test images, mean ± standard error over {seeds} seed{'s' * (seeds > 1)}."]
    for table in tables:
        lines += ["", f"Radius {table['radius']:.2f}:", "", *of_chosen_peaks(table), "", *of_all_peaks(table, setting["peaks"])]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one seed, one radius, three peaks")
    parser.add_argument("--out", type=Path, help="a folder for table.md and table.json")
    options = parser.parse_args()
    report, seconds = run(options.quick)
    tables = tabulate(report)
    text = markdown(tables, report["setting"])
    machine = {"processor": processor(), "threads": report["threads"], "seconds": round(seconds)}
    print(text, f"{machine['seconds']} s, {machine['threads']} threads, {machine['processor']}", sep="\n")
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "table.md").write_text(text)
        result = {"setting": report["setting"], "machine": machine, "tables": tables}
        (options.out / "table.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
