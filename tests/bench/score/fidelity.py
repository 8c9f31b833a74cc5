"""How far bfloat16 and int8 rank the documents of the sample corpus as float32 does.

    python tests/bench/score/fidelity.py [--headwater target/release/headwater] [--sample 1.0] [--precisions bf16,int8] [--window-tokens N] [--json FILE]

Scores the same documents in float32 and in each precision, all with the same head set, and compares `influence` over the documents
that have one: Spearman's correlation over all of them and inside each domain, what they have in common of the top fifth, and the
largest difference. Under --window-tokens only the first N tokens of each document are scored. Needs pyarrow.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

PIPELINE = "pipelines/quickstart.toml"


def headwater(binary: str, command: str, **settings: object) -> None:
    """Runs a command of the quickstart's pipeline."""
    pairs = [word for key, value in settings.items() for word in ("--set", f"{key.replace('__', '.')}={value}")]
    done = subprocess.run([binary, command, PIPELINE, *pairs], stdout=subprocess.DEVNULL)
    if done.returncode != 0:
        sys.exit(f"headwater {command} failed ({done.returncode})")


def influences(binary: str, precision: str, options: argparse.Namespace, folder: Path) -> dict[tuple, tuple[str, float]]:
    """Address to domain and influence."""
    output = folder / precision
    output.mkdir()
    (output / "heads.json").write_bytes((folder / "heads.json").read_bytes())
    first = {"score__window_tokens": options.window_tokens, "score__long_documents": "first"} if options.window_tokens else {}
    headwater(binary, "score", run__output=output, model__precision=precision, corpus__sample=options.sample, **first)
    table = pa.concat_tables(pq.read_table(path) for path in sorted(output.glob("scores/*/*/*.parquet")))
    rows = table.select(["source", "shard", "row", "domain", "influence"]).to_pylist()
    return {(r["source"], r["shard"], r["row"]): (r["domain"], r["influence"]) for r in rows if r["influence"] is not None}


def ranks(values: list[float]) -> list[float]:
    """Ranks from 0; influences of different documents are never equal here."""
    order = sorted(range(len(values)), key=values.__getitem__)
    places = [0.0] * len(values)
    for place, index in enumerate(order):
        places[index] = float(place)
    return places


def spearman(a: list[float], b: list[float]) -> float:
    """Spearman's rank correlation."""
    a, b = ranks(a), ranks(b)
    mean = (len(a) - 1) / 2
    return sum((x - mean) * (y - mean) for x, y in zip(a, b)) / sum((x - mean) ** 2 for x in a)


def overlap(a: list[float], b: list[float]) -> float:
    """The share of the top fifth that two lists have in common."""
    kept = max(1, round(len(a) / 5))
    top = [set(sorted(range(len(values)), key=values.__getitem__)[-kept:]) for values in (a, b)]
    return len(top[0] & top[1]) / kept


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--headwater", default="target/release/headwater")
    arguments.add_argument("--sample", type=float, default=1.0, help="share of the sample corpus")
    arguments.add_argument("--precisions", default="bf16,int8")
    arguments.add_argument("--window-tokens", type=int, help="score the first N tokens of each document alone")
    arguments.add_argument("--json", type=Path)
    options = arguments.parse_args()
    report = []
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        headwater(options.headwater, "heads", run__output=folder)
        reference = influences(options.headwater, "f32", options, folder)
        for precision in options.precisions.split(","):
            scored = influences(options.headwater, precision, options, folder)
            assert scored.keys() == reference.keys()
            for domain in [None, *sorted({domain for domain, _ in reference.values()})]:
                keys = [key for key, (own, _) in reference.items() if domain in (None, own)]
                exact, rounded = ([values[key][1] for key in keys] for values in (reference, scored))
                report.append(
                    {
                        "precision": precision,
                        "domain": domain or "all",
                        "documents": len(keys),
                        "spearman": spearman(exact, rounded),
                        "overlap": overlap(exact, rounded),
                        "largest_difference": max(abs(x - y) for x, y in zip(exact, rounded)),
                    }
                )
    for line in report:
        print("{precision:6} {domain:14} {documents:5} documents  Spearman {spearman:.5f}  top fifth {overlap:.3f}  |Δinfluence| ≤ {largest_difference:.4f}".format(**line))
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
