"""How fast a student scores, by the size of the corpus and the number of cores, and how many times as fast as its teacher.

    python3 -m pip install pyarrow==26.0.1
    python3 tests/bench/distill/speed.py target/release/headwater RUN CORPUS [--sizes 1e7 1e8 1e9 1e10]

RUN is the folder of a run that `headwater distill` ended, CORPUS that of `corpus.py`. A corpus of another size is made of shuffled copies of it;
of several copies files are linked, so a size is one of text, not of the disk. Reading and writing are included. The teacher scores a sample of
CORPUS in the same run, by the same settings and on all cores. Prints a table in Markdown.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

ROWS = 2_000  # of a row group
COPIES = 3  # that are shuffled; more are links
SAMPLE = 0.002  # of CORPUS, for the teacher
SEED = 1


def pipeline(output: Path, paths: str, more: str) -> str:
    return (
        f'[run]\noutput = "{output}"\nseed = {SEED}\nunit_bytes = "1MiB"\n[[corpus]]\nname = "speed"\npaths = ["{paths}"]\ntext = "text"\nid = "id"\n'
        f'domain = "domain"\n{more}\n[model]\nname = "smollm2-135m-instruct-q4"\n[heads]\nfile = "{output}/heads.json"\n'
    )


def shards(table: pa.Table, size: int, folder: Path, copies: list[Path]) -> int:
    """Fills `folder` with shards of at least `size` bytes of text, and returns how many bytes they are."""
    folder.mkdir()
    lengths = [len(text.encode()) for text in table["text"].to_pylist()]
    if size < sum(lengths):
        order = list(range(table.num_rows))
        random.Random(SEED).shuffle(order)
        taken, total = [], 0
        for at in order:
            if total >= size:
                break
            taken.append(at)
            total += lengths[at]
        pq.write_table(table.take(taken), folder / "0.parquet", row_group_size=ROWS // 4, compression="zstd")
        return total
    count = -(-size // sum(lengths))
    for at in range(count):
        os.link(copies[at % len(copies)], folder / f"{at:04}.parquet")
    return count * sum(lengths)


def scored(binary: str, run: Path, work: Path, paths: str, by: str, cores: list[int], more: str = "") -> tuple[float, int, int]:
    """Seconds, tokens and peak memory in bytes of scoring."""
    output = work / "run"
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir()
    for name in ("student.json", "heads.json"):
        shutil.copy(run / name, output / name)
    (work / "pipeline.toml").write_text(pipeline(output, paths, more) + f'[score]\nby = "{by}"\n')
    os.sched_setaffinity(0, cores)
    start = time.monotonic()
    process = subprocess.Popen([binary, "--quiet", "score", work / "pipeline.toml"])
    peak = 0
    while process.poll() is None:
        peak = max(peak, peak_bytes(process.pid))
        time.sleep(0.02)
    seconds = time.monotonic() - start
    if process.returncode:
        raise SystemExit(f"{by}: exit status {process.returncode}")
    tokens = json.loads((output / "metrics.json").read_text())["tokens"]
    return seconds, tokens, peak


def peak_bytes(pid: int) -> int:
    """The most memory that a process had so far, as Linux tells it; 0 of one that has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("run", type=Path)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--sizes", type=float, nargs="+", default=[1e7, 1e8, 1e9, 1e10])
    options = parser.parse_args()
    all_cores = sorted(os.sched_getaffinity(0))
    table = pa.concat_tables([pq.read_table(path, columns=["id", "text", "domain"]) for path in sorted(options.corpus.glob("*/*.parquet"))])
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        copies = []
        for number in range(COPIES):
            order = list(range(table.num_rows))
            random.Random(SEED + number).shuffle(order)
            copies.append(work / f"copy{number}.parquet")
            pq.write_table(table.take(order), copies[-1], row_group_size=ROWS, compression="zstd")
        seconds, tokens, _ = scored(options.binary, options.run, work, f"{options.corpus}/*/*.parquet", "teacher", all_cores, f"sample = {SAMPLE}")
        # what scoring itself took, without loading the model
        teacher = tokens / json.loads((work / "run/metrics.json").read_text())["seconds"]["score"]
        print(f"the teacher: {tokens} tokens on {len(all_cores)} cores, {teacher:.0f} tokens/s\n")
        print("| text, MB | cores | seconds | MB/s a core | tokens/s | times the teacher on all cores | peak memory, MiB |\n" + "|---:" * 7 + "|")
        for size in options.sizes:
            total = shards(table, int(size), work / f"{size:g}", copies)
            for cores in ([all_cores[:1], all_cores] if len(all_cores) > 1 else [all_cores]):
                seconds, tokens, memory = scored(options.binary, options.run, work, str(work / f"{size:g}/*.parquet"), "student", cores)
                rate = tokens / seconds
                print(f"| {total / 1e6:,.0f} | {len(cores)} | {seconds:.1f} | {total / 1e6 / seconds / len(cores):.1f} | {rate:,.0f} "
                      f"| {rate / teacher:,.0f} | {memory / 2**20:.0f} |", flush=True)


if __name__ == "__main__":
    main()
