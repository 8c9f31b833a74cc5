"""Corpora of awkward shapes on a tiny model: what they cost in time and memory.

    python3 tests/bench/scale/bench_scale.py [tiny-shards huge-row-group many-units many-row-groups]

Needs pyarrow and a release build. Prints a JSON object; peak memory is that of the whole process (VmHWM); it fails above
1 GiB, the bound being weights + 1 GiB and the tiny model's weights below 1 MiB.
"""

import argparse
import json
import multiprocessing
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time

import pyarrow as pa
import pyarrow.parquet as pq

ROOT = pathlib.Path(__file__).resolve().parents[3]
MODEL = ROOT / "crates/model/tests/tiny/llama"
MOST_BYTES = 1 << 30
WORDS = ["river", "stone", "valley", "of", "the", "and", "winter", "harvest", "lantern", "bridge", "in", "a", "orchard", "weather"]


def pipeline(folder, unit_bytes):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "head-set.json").write_text('{"heads": [[1, 0], [2, 3]]}')
    path = folder / "pipeline.toml"
    path.write_text(f"""
[run]
output = "{folder}/out"
unit_bytes = "{unit_bytes}"
[[corpus]]
name = "s"
paths = ["{folder}/corpus"]
[model]
name = "{MODEL}"
precision = "f32"
[heads]
file = "{folder}/head-set.json"
[score]
window_tokens = 64
long_documents = "first"
min_tokens = 4
""")
    (folder / "corpus").mkdir(exist_ok=True)
    return path


def text(rng, size):
    words = []
    while size > 0:
        words.append(rng.choice(WORDS))
        size -= len(words[-1]) + 1
    return " ".join(words)


def headwater(binary, *arguments):
    """Runs a command; returns its seconds and what it printed."""
    began = time.monotonic()
    done = subprocess.run([binary, *map(str, arguments)], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{arguments} ended with {done.returncode}:\n{done.stderr}")
    return round(time.monotonic() - began, 2), done.stdout


def peak_mib(binary, *arguments):
    """Runs a command without looking at what it prints; returns its peak of memory, in MiB."""
    child = subprocess.Popen([binary, *map(str, arguments)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RuntimeError(f"{arguments} ended with {child.returncode}")
    return usage.ru_maxrss >> 10


def whole_run(binary, path):
    seconds, _ = headwater(binary, "run", path, "-q")
    metrics = json.loads((path.parent / "out/metrics.json").read_text())
    assert metrics["peak_memory_bytes"] < MOST_BYTES, f"{metrics['peak_memory_bytes'] >> 20} MiB are too much"
    return {
        "seconds": seconds,
        "by_stage": {stage: round(value, 2) for stage, value in metrics["seconds"].items()},
        "documents": metrics["documents"],
        "units": metrics["units"],
        "read_bytes": metrics["traffic"]["read_bytes"],
        "needed_bytes": metrics["needed_bytes"],
        "peak_memory_mib": metrics["peak_memory_bytes"] >> 20,
    }


def tiny_shards(binary, folder, shards=5000):
    path, rng = pipeline(folder, "16MiB"), random.Random(1)
    for shard in range(shards):
        table = pa.table({"id": [f"{shard}-{row}" for row in range(8)], "text": [text(rng, 600) for _ in range(8)]})
        pq.write_table(table, folder / f"corpus/{shard:05}.parquet")
    return {"shards": shards, **whole_run(binary, path)}


def huge_row_group(binary, folder, documents=200_000, document_bytes=12_000):
    path, rng = pipeline(folder, "16MiB"), random.Random(2)
    pieces = [text(rng, 2_000) for _ in range(5_000)]
    texts = (" ".join(rng.sample(pieces, document_bytes // 2_000)) for _ in range(documents))
    table = pa.table({"id": pa.array(map(str, range(documents))), "text": pa.array(texts, pa.large_string())})
    file = folder / "corpus/huge.parquet"
    pq.write_table(table, file, row_group_size=documents, compression="none", use_dictionary=False)
    del table
    group = pq.ParquetFile(file).metadata.row_group(0)
    shape = {"file_bytes": file.stat().st_size, "row_groups": 1, "text_bytes": group.column(1).total_uncompressed_size}
    assert pq.ParquetFile(file).metadata.num_row_groups == 1 and shape["text_bytes"] > 2 << 30, shape
    return {**shape, **whole_run(binary, path)}


def many_units(binary, folder, units=100_000, shards=4):
    path = pipeline(folder, "1B")
    for shard in range(shards):
        rows = range(units // shards)
        table = pa.table({"text": [f"the river of stone {shard} {row}" for row in rows]})
        pq.write_table(table, folder / f"corpus/{shard}.parquet")
    result = {"units": units, "plan_seconds": headwater(binary, "plan", path, "-q")[0]}
    headwater(binary, "heads", path, "-q")
    result["first_hundred_seconds"], _ = headwater(binary, "score", path, "-q", "--part", "0/1000")
    # the other sidecars: only their names count for whoever lists
    run = json.loads((folder / "out/run.json").read_text())
    scores = folder / "out/scores" / run["sources"][0]["fingerprint"] / "s"
    names = [f"{unit}.parquet" for shard in run["sources"][0]["shards"] for unit in shard["units"]]
    assert len(names) == units, len(names)
    first = next(scores.iterdir())
    linked, copy = 0, first
    for name in names[: units - 100]:
        if not (scores / name).exists():
            if linked % 30_000 == 0:  # a file has at most so many names
                copy = folder / f"sidecar-{linked}"
                copy.write_bytes(first.read_bytes())
            os.link(copy, scores / name)
            linked += 1
    result["status_seconds"], status = headwater(binary, "status", path)
    result["resume_seconds"], _ = headwater(binary, "score", path, "-q")
    result["status_said"] = status.splitlines()[1].strip()
    assert f"{units - 100} of {units} units" in status, status
    return result


def many_row_groups(binary, folder, shards=1000, row_groups=1000, columns=10):
    path, rng = pipeline(folder, "16MiB"), random.Random(3)
    table = pa.table({"text": [text(rng, 200) for _ in range(row_groups)]} | {f"c{n}": list(range(row_groups)) for n in range(columns - 1)})
    first = folder / "corpus/0.parquet"
    pq.write_table(table, first, row_group_size=1)
    for shard in range(1, shards):  # a shard's identity holds its path, so a link is another shard
        os.link(first, folder / f"corpus/{shard}.parquet")
    result = {"shards": shards, "row_groups": row_groups * shards, "columns": columns}
    result |= {"plan_seconds": headwater(binary, "plan", path, "-q")[0], "plan_peak_mib": peak_mib(binary, "plan", path, "-q")}
    assert result["plan_peak_mib"] < MOST_BYTES >> 20, result
    return result


BENCHES = {"tiny-shards": tiny_shards, "huge-row-group": huge_row_group, "many-units": many_units, "many-row-groups": many_row_groups}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("benches", nargs="*", metavar="BENCH", help=", ".join(BENCHES) + "; all if none is given")
    parser.add_argument("--headwater", default=str(ROOT / "target/release/headwater"))
    options = parser.parse_args()
    results = {}
    if unknown := set(options.benches) - set(BENCHES):
        parser.error(f"there is no bench {', '.join(sorted(unknown))}")
    for name in options.benches or BENCHES:
        # an interpreter of its own: the peak of a child counts what its parent held when it was started
        with tempfile.TemporaryDirectory() as folder, multiprocessing.get_context("spawn").Pool(1) as interpreter:
            results[name] = interpreter.apply(BENCHES[name], (options.headwater, pathlib.Path(folder)))
        print(name, results[name], file=sys.stderr)
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
