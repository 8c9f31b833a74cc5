"""The peers: how each is started and what it reports."""

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from documents import WINDOW_TOKENS, Document
from measure import Load

HERE = Path(__file__).resolve().parent
TORCH = {
    "torch-bf16": ["--dtype", "bfloat16"],
    "torch-bf16-compiled": ["--dtype", "bfloat16", "--compile"],
    "torch-f32": ["--dtype", "float32"],
}
# Settings of the environment that slow OpenBLAS down on this project's machines; no peer should see them.
LEFT_OUT = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")


class PeerFailed(Exception):
    """A peer ended with an error, or did not score what it was given."""


@dataclass
class Job:
    """What every peer is to score, and with what."""

    model: Path
    heads: list[list[int]]
    threads: int
    headwater: Path
    documents: list[Document]
    window_tokens: int = WINDOW_TOKENS
    tokens: int = field(init=False)

    def __post_init__(self) -> None:
        self.tokens = sum(len(document.ids) for document in self.documents)

    def write(self, folder: Path) -> Path:
        """Writes the job as the peers in Python read it."""
        windows = [document.windows(self.window_tokens) for document in self.documents]
        job = {"model": str(self.model), "heads": self.heads, "threads": self.threads, "documents": windows}
        (folder / "job.json").write_text(json.dumps(job))
        return folder / "job.json"


def passes(peer: str) -> int:
    """How many forward passes of a document the peer makes."""
    return 1 if peer == "llama-cpp" else 2


def is_known(peer: str) -> bool:
    """Whether there is such a peer."""
    return peer in TORCH or peer == "llama-cpp" or peer.split(":")[0] == "headwater"


def run(peer: str, job: Job) -> dict:
    """Runs a peer once, as one sub-process, and returns what it measured with what the machine did meanwhile."""
    with tempfile.TemporaryDirectory(prefix="peers-") as scratch:
        folder = Path(scratch)
        load_average, load = os.getloadavg()[0], Load()
        if peer.startswith("headwater"):
            result = run_headwater(peer, job, folder)
        else:
            script = [HERE / "llama_peer.py"] if peer == "llama-cpp" else [HERE / "torch_peer.py", *TORCH[peer]]
            out = call([sys.executable, script[0], job.write(folder), *script[1:]])
            result = json.loads(out.splitlines()[-1])
        machine = {"load_average_before": load_average, "others_share": load.others()}
    return result | machine | {"tokens_per_second": job.tokens / result["seconds"]}


def run_headwater(peer: str, job: Job, folder: Path) -> dict:
    """Runs every stage on the documents, with the head set pinned, and reads the time of scoring and the scores."""
    settings = [f"--set=model.{setting}" for setting in peer.split(":")[1:]]
    write_pipeline(job, folder)
    began, cpu_began = time.perf_counter(), sum(os.times()[2:4])
    call([job.headwater, "run", folder / "pipeline.toml", *settings], RAYON_NUM_THREADS=str(job.threads))
    wall, cpu = time.perf_counter() - began, sum(os.times()[2:4]) - cpu_began
    metrics = json.loads((folder / "run/metrics.json").read_text())
    if metrics["tokens"] != job.tokens:
        raise PeerFailed(f"scored {metrics['tokens']} tokens, not {job.tokens}")
    sidecars = [pq.read_table(path).to_pylist() for path in (folder / "run/scores").rglob("*.parquet")]
    rows = {row["id"]: row for sidecar in sidecars for row in sidecar}
    losses = [[rows[document.id]["loss_base"], rows[document.id]["loss_masked"]] for document in job.documents]
    numerics = json.loads((folder / "run/run.json").read_text())["scoring"]["numerics"]
    return {
        "seconds": metrics["seconds"]["score"],
        "command_seconds": wall,
        "command_tokens_per_second": job.tokens / wall,
        "cpu_seconds": cpu,  # of the whole command
        "setup_seconds": metrics["seconds"]["model"],
        "peak_rss_bytes": metrics["peak_memory_bytes"],
        "losses": losses,
        "versions": {"headwater": metrics["headwater"], "numerics": numerics},
    }


def write_pipeline(job: Job, folder: Path) -> None:
    """Writes the documents, the head set and a pipeline that scores them."""
    rows = [{"id": document.id, "text": document.text} for document in job.documents]
    pq.write_table(pa.Table.from_pylist(rows), folder / "documents.parquet")
    (folder / "heads.json").write_text(json.dumps({"heads": job.heads}))
    tables = {
        "run": {"output": f"{folder}/run"},
        "[corpus]": {"name": "sample", "paths": [f"{folder}/documents.parquet"]},
        "model": {"name": str(job.model.resolve())},
        "heads": {"file": f"{folder}/heads.json"},
        "score": {"window_tokens": job.window_tokens},
    }
    lines = [f"[{table}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items()) for table, keys in tables.items()]
    (folder / "pipeline.toml").write_text("\n".join(lines))


def call(command: list[str | Path], **environment: str) -> str:
    """Runs a command and returns its standard output, or says how it failed."""
    inherited = {key: value for key, value in os.environ.items() if key not in LEFT_OUT}
    offline = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}
    done = subprocess.run(command, capture_output=True, text=True, env=inherited | offline | environment)
    if done.returncode != 0:
        raise PeerFailed(done.stderr.strip()[-2000:] or f"exit status {done.returncode}")
    return done.stdout
