"""Scores the golden documents on a device and compares them with what an independent implementation gave.

    python3 tests/device/goldens.py BINARY DEVICE PRECISION GOLDENS OUTPUT

Prints a line a document; ends with 1 if one is off by more than is allowed. Needs pyarrow.
"""

import json
import math
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

# of loss in nats and of influence, those that come with the goldens
TOLERANCES = {"f32": (2e-4, 5e-4), "bf16": (math.inf, 1e-2)}

PIPELINE = """
[run]
output = {output}
[[corpus]]
name = "goldens"
paths = [{documents}]
text = "text"
id = "id"
[model]
name = "smollm2-135m-instruct-q4"
engine = "candle"
device = {device}
precision = {precision}
[heads]
file = {heads}
[score]
window_tokens = {window}
long_documents = "first"
min_tokens = 2
"""


def main(binary: str, device: str, precision: str, goldens: Path, output: Path) -> int:
    expected = json.loads((goldens / "scores.json").read_text())
    output.mkdir(parents=True, exist_ok=True)
    heads = output / "head-set.json"
    heads.write_text(json.dumps({"heads": expected["heads"]}))
    values = {
        "output": str(output / "run"),
        "documents": str((goldens / "documents.parquet").resolve()),
        "device": device,
        "precision": precision,
        "heads": str(heads),
        "window": expected["window_tokens"],
    }
    pipeline = output / "pipeline.toml"
    pipeline.write_text(PIPELINE.format(**{key: json.dumps(value) for key, value in values.items()}))
    done = subprocess.run([binary, "--quiet", "score", pipeline])
    if done.returncode != 0:
        return 1
    rows = pa.concat_tables(pq.read_table(path) for path in sorted((output / "run").glob("scores/*/*/*.parquet"))).to_pylist()
    scores = {row["id"]: row for row in rows}
    loss_tolerance, influence_tolerance = TOLERANCES[precision]
    missed = 0
    for golden in expected["documents"]:
        row = scores[golden["id"]]
        loss = max(abs(row[name] - golden[name]) for name in ("loss_base", "loss_masked"))
        influence = abs(row["influence"] - golden["influence"])
        missed += loss > loss_tolerance or influence > influence_tolerance
        print(f"{precision} {golden['id']:<14} loss off by {loss:.1e}, influence by {influence:.1e}")
    print(f"{precision} on {device}: {missed} of {len(expected['documents'])} golden documents missed")
    return int(missed > 0)


if __name__ == "__main__":
    if len(sys.argv) != 6:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:4], *map(Path, sys.argv[4:])))
