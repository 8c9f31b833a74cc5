"""Measures how many tokens a second different programs score, side by side on the same documents.

    python bench_peers.py [--tokens 20000] [--rounds 3] [--peers torch-bf16,headwater:engine=native] [--json RESULT.json]
    python bench_peers.py --check

The README beside this file says what each peer does. Ends with 0, with 1 if a peer failed or `--check` found a difference.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

import documents
import measure
import peers

REPOSITORY = Path(__file__).resolve().parents[3]
GOLDENS = REPOSITORY.parent / "shared/goldens"
MODEL = "smollm2-135m-instruct-q4"
REFERENCES = ("torch-bf16", "torch-f32")  # speed is compared with the faster of them in each round
RATIO = "ratio_to_the_better_torch"
TRUTH = "torch-f32"  # what influence is compared with
DEFAULT_PEERS = "torch-bf16,torch-bf16-compiled,torch-f32,llama-cpp,headwater,headwater:precision=bf16,headwater:engine=candle"
TOLERANCE = 5e-4  # of influence in float32, from the goldens
BUSY = 0.05  # more of the machine in others' hands spoils a measurement


def parse_arguments() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", default=DEFAULT_PEERS, help="comma-separated (%(default)s)")
    parser.add_argument("--tokens", type=int, default=20_000, help="documents are drawn until they hold as many (%(default)s)")
    parser.add_argument("--documents", type=int, help="at most as many documents")
    parser.add_argument("--seed", type=int, default=0, help="of the draw (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each peer, interleaved (%(default)s)")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of each peer (%(default)s)")
    parser.add_argument("--headwater", type=Path, default=REPOSITORY / "target/release/headwater", help="the binary")
    parser.add_argument("--model", type=Path, help=f"the GGUF file (what `headwater model fetch {MODEL}` prints)")
    parser.add_argument("--corpus", type=Path, default=REPOSITORY / "pipelines/data/sample", help="folder of Parquet files")
    parser.add_argument("--goldens", type=Path, default=GOLDENS, help="folder of scores.json and documents.parquet (%(default)s)")
    parser.add_argument("--wait", type=float, default=0, metavar="MINUTES", help="longest wait for a quiet machine before a run")
    parser.add_argument("--repeats", type=int, default=0, help=f"of a run during which others used over {BUSY:.0%}% of the machine")
    parser.add_argument("--json", type=Path, help="where the result is written")
    parser.add_argument("--check", action="store_true", help=f"compare {TRUTH} with the goldens instead")
    options = parser.parse_args()
    options.peers = options.peers.split(",")
    if unknown := [peer for peer in options.peers if not peers.is_known(peer)]:
        parser.error(f"no such peer: {', '.join(unknown)}; there are {', '.join(peers.TORCH)}, llama-cpp and headwater[:KEY=VALUE...]")
    return options


def fetch_model(headwater: Path) -> Path:
    """Asks Headwater for the model file."""
    command = [headwater, "model", "fetch", MODEL]
    return Path(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[0])


def influences(result: dict) -> list[float | None]:
    """The influence of each document, where a peer makes both passes."""
    return [None if masked is None else (masked - base) / base for base, masked in result["losses"]]


def check(options: argparse.Namespace, job: peers.Job, goldens: dict) -> int:
    """Compares the float32 peer with the goldens, token ids first."""
    expected = {golden["id"]: golden for golden in goldens["documents"]}
    for document in job.documents:
        if document.ids_sha256() != expected[document.id]["ids_sha256"]:
            print(f"{document.id}: other token ids")
            return 1
        del document.ids[goldens["window_tokens"] :]
    worst = 0.0
    for document, influence in zip(job.documents, influences(peers.run(TRUTH, job))):
        difference = abs(influence - expected[document.id]["influence"])
        worst = max(worst, difference)
        print(f"{document.id:<14} influence {influence:.6f}  off by {difference:.1e}")
    print(f"{TRUTH} is off by at most {worst:.1e}; {TOLERANCE:.0e} is allowed")
    return int(worst > TOLERANCE)


def measure_round(options: argparse.Namespace, job: peers.Job, results: dict[str, list[dict]], failures: dict[str, str]) -> None:
    """Runs each peer once, save those that failed before."""
    for name in options.peers:
        if name in failures:
            continue
        try:
            results[name].append(measure_one(name, job, options))
        except peers.PeerFailed as failure:
            failures[name] = str(failure)
            print(f"{name} failed: {failure}", file=sys.stderr)


def measure_one(name: str, job: peers.Job, options: argparse.Namespace) -> dict:
    """Runs a peer, and again as often as allowed if the machine was not left to it; keeps the quietest run."""
    runs = []
    while not runs or (runs[-1]["others_share"] > BUSY and len(runs) <= options.repeats):
        measure.wait_until_idle(BUSY, options.wait)
        runs.append(peers.run(name, job))
        speed, others = runs[-1]["tokens_per_second"], runs[-1]["others_share"]
        print(f"{name}: {speed:.0f} tokens/s, others used {others:.0%} of the machine", file=sys.stderr, flush=True)
    return min(runs, key=lambda run: run["others_share"])


def summarise(name: str, results: dict[str, list[dict]]) -> dict:
    """What a peer's rounds come to."""
    runs = results[name]
    speeds = [run["tokens_per_second"] for run in runs]
    references = [[run["tokens_per_second"] for run in results[peer]] for peer in REFERENCES if peer in results]
    ratios = [speed / max(better) for speed, *better in zip(speeds, *references)] if references else []
    truth = results.get(TRUTH)
    differences = [abs(a - b) for a, b in zip(influences(runs[0]), influences(truth[0])) if a is not None] if truth else []
    return {
        "peer": name,
        "passes": peers.passes(name),
        "tokens_per_second": {"min": min(speeds), "median": statistics.median(speeds), "max": max(speeds)},
        RATIO: statistics.median(ratios) if ratios else None,
        "peak_rss_bytes": max(run["peak_rss_bytes"] for run in runs),
        f"influence_difference_to_{TRUTH}": max(differences, default=None),
        "others_share": max(run["others_share"] for run in runs),
        "versions": runs[0]["versions"],
        "rounds": runs,
    }


def print_table(rows: list[dict]) -> None:
    """Prints what was measured, as Markdown."""
    print("| peer | passes | tokens/s | (min – max) | × the better PyTorch | peak RSS, MiB | max abs Δ influence | used by others |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for row in rows:
        speed, ratio = row["tokens_per_second"], row[RATIO]
        difference = row[f"influence_difference_to_{TRUTH}"]
        cells = [
            row["peer"],
            str(row["passes"]),
            f"{speed['median']:.0f}",
            f"{speed['min']:.0f} – {speed['max']:.0f}",
            "–" if ratio is None else f"{ratio:.2f}",
            f"{row['peak_rss_bytes'] / 2**20:.0f}",
            "–" if difference is None else f"{difference:.1e}",
            f"{row['others_share']:.0%}",
        ]
        print(f"| {' | '.join(cells)} |")
    for row in rows:
        if commands := [run["command_tokens_per_second"] for run in row["rounds"] if "command_tokens_per_second" in run]:
            print(f"\n{row['peer']}, the whole command: {statistics.median(commands):.0f} tokens/s", end="")
    print()


def main() -> int:
    options = parse_arguments()
    goldens = json.loads((options.goldens / "scores.json").read_text())
    model = options.model or fetch_model(options.headwater)
    tokenizer = documents.smollm_tokenizer(model)
    shards = [options.goldens / "documents.parquet"] if options.check else sorted(options.corpus.glob("*.parquet"))
    texts = documents.read(shards, tokenizer)
    if not options.check:
        texts = documents.draw(texts, options.seed, options.tokens, options.documents)
    job = peers.Job(model, goldens["heads"], options.threads, options.headwater.resolve(), texts)
    if options.check:
        return check(options, job, goldens)

    header = {
        "date": time.strftime("%Y-%m-%d %H:%M %Z"),
        "command": " ".join(sys.argv),
        "processor": measure.processor(),
        "system": platform.platform(),
        "threads": options.threads,
        "documents": [{"id": document.id, "tokens": len(document.ids)} for document in texts],
        "tokens": job.tokens,
    }
    print(f"{len(texts)} documents, {job.tokens} tokens, {options.threads} threads on {header['processor']}\n", flush=True)
    results: dict[str, list[dict]] = {name: [] for name in options.peers}
    failures: dict[str, str] = {}
    for _ in range(options.rounds):
        measure_round(options, job, results, failures)
        rows = [summarise(name, results) for name in options.peers if results[name]]
        if options.json:
            result = header | {"peers": rows, "failures": failures}
            options.json.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    print_table(rows)
    return int(bool(failures))


if __name__ == "__main__":
    sys.exit(main())
