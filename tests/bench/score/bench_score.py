"""Scores a part of the sample corpus end to end on one and on all threads: documents and tokens a second, peak memory.

    python3 tests/bench/score/bench_score.py [--headwater target/release/headwater] [--sample 0.33] [--rounds 3] [--json FILE]

Runs `headwater run` with the head set pinned (heads are found once, before the clock), settings and numbers of threads in turn
(A B C A B C …), so that the ratios of a round mean something. Times are `seconds.score` of `metrics.json`: reading, tokenising,
compressing, the model and writing. Needs nothing but Python and the binary.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

PIPELINE = "pipelines/quickstart.toml"
SETTINGS = {
    "bf16": {"model.precision": "bf16"},
    "int8": {"model.precision": "int8"},
    "f32": {"model.precision": "f32"},
    "bf16 avx512": {"model.precision": "bf16", "model.instructions": "avx512"},
    "bf16 avx2": {"model.precision": "bf16", "model.instructions": "avx2"},
    "f32 avx2": {"model.precision": "f32", "model.instructions": "avx2"},
}


def headwater(binary: str, command: str, settings: dict, threads: int) -> None:
    """Runs a command of the quickstart's pipeline."""
    pairs = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    environment = os.environ | {"RAYON_NUM_THREADS": str(threads)}
    done = subprocess.run([binary, command, PIPELINE, "-q", *pairs], env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"headwater {command} failed ({done.returncode}): {done.stderr}")


def measure(binary: str, settings: dict, threads: int, folder: Path) -> dict:
    """One run: documents and tokens a second while scoring, and the peak of memory."""
    output = folder / "run"
    shutil.rmtree(output, ignore_errors=True)
    headwater(binary, "run", settings | {"run.output": output, "heads.file": folder / "heads.json"}, threads)
    metrics = json.loads((output / "metrics.json").read_text())
    seconds = metrics["seconds"]["score"]
    return {
        "documents_per_second": metrics["documents"] / seconds,
        "tokens_per_second": metrics["tokens"] / seconds,
        "peak_memory_mib": metrics["peak_memory_bytes"] / 2**20,
        "tokens": metrics["tokens"],
    }


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--headwater", default="target/release/headwater")
    arguments.add_argument("--sample", type=float, default=0.11, help="share of the sample corpus")
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--settings", default="bf16,int8,f32", help=f"of {', '.join(SETTINGS)}")
    arguments.add_argument("--threads", default=f"1,{os.cpu_count()}")
    arguments.add_argument("--json", type=Path)
    options = arguments.parse_args()
    threads = [int(count) for count in options.threads.split(",")]
    cases = [(name, count) for name in options.settings.split(",") for count in threads]
    results = {case: [] for case in cases}
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        headwater(options.headwater, "heads", {"run.output": folder}, os.cpu_count())
        for round_number in range(options.rounds):
            for name, count in cases:
                settings = SETTINGS[name] | {"corpus.sample": options.sample}
                result = measure(options.headwater, settings, count, folder)
                results[name, count].append(result)
                print(f"round {round_number + 1}: {name}, {count} threads: {result['tokens_per_second']:.0f} tokens/s", file=sys.stderr)
    print(f"{'setting':14} {'threads':>7} {'documents/s':>11} {'tokens/s':>9} {'least':>7} {'most':>7} {'of one thread':>13} {'peak MiB':>9}")
    for name, count in cases:
        runs = results[name, count]
        rates = [run["tokens_per_second"] for run in runs]
        alone = [run["tokens_per_second"] for run in results[name, threads[0]]]
        scaling = statistics.median(rate / one for rate, one in zip(rates, alone))
        documents = statistics.median(run["documents_per_second"] for run in runs)
        peak = max(run["peak_memory_mib"] for run in runs)
        print(
            f"{name:14} {count:7} {documents:11.2f} {statistics.median(rates):9.0f} {min(rates):7.0f} {max(rates):7.0f} "
            f"{scaling:12.2f}× {peak:9.0f}"
        )
    if options.json:
        options.json.write_text(json.dumps([{"setting": name, "threads": count, "runs": results[name, count]} for name, count in cases], indent=1))


if __name__ == "__main__":
    main()
