"""A folder with a small corpus and a pipeline, for tests."""

import contextlib
import hashlib
import json
import os
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
TINY = REPOSITORY / "crates/model/tests/tiny"
# what is about times, and so differs between two runs
TIMED = {"run.json", "metrics.json", "metrics", "report.html"}

WORDS = "stream river delta water north harbour lantern window kernel matrix vector bridge forest winter signal letter garden".split()

PIPELINE = """[run]
output = "out"
unit_bytes = "2KiB"

[[corpus]]
name = "web"
paths = ["corpus/*.parquet"]

[model]
name = "{model}"
precision = "f32"

[heads]
file = "head-set.json"

[score]
window_tokens = 64
min_tokens = 16

[select]
fraction = 0.25

[recipe]
tokens = 20000
sequence_tokens = 64
"""


def write(folder: Path, documents: int = 60) -> None:
    """Writes a corpus of two domains, a head set and ``pipeline.toml`` for the tiny Llama."""
    import pyarrow
    import pyarrow.parquet

    drawn = random.Random(0)
    (folder / "corpus").mkdir()
    for shard in range(2):
        rows = range(shard * documents, (shard + 1) * documents)
        texts = [" ".join(drawn.choices(WORDS, k=drawn.randint(30, 90))) for _ in rows]
        table = pyarrow.table({"id": [f"d{row}" for row in rows], "text": texts, "domain": [("prose", "code")[row % 2] for row in rows]})
        pyarrow.parquet.write_table(table, folder / f"corpus/{shard}.parquet")
    (folder / "head-set.json").write_text(json.dumps({"heads": [[1, 0], [2, 3]]}))
    (folder / "pipeline.toml").write_text(PIPELINE.format(model=TINY / "llama"))


@contextlib.contextmanager
def site(documents: int = 60) -> Iterator[Path]:
    """Makes such a folder the current one; its cache is its own."""
    with tempfile.TemporaryDirectory() as scratch:
        folder, before, cache = Path(scratch).resolve(), os.getcwd(), os.environ.get("XDG_CACHE_HOME")
        write(folder, documents)
        os.chdir(folder)
        os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
        try:
            yield folder
        finally:
            os.chdir(before)
            del os.environ["XDG_CACHE_HOME"]
            if cache is not None:
                os.environ["XDG_CACHE_HOME"] = cache


def artefacts(output: Path) -> dict[str, str]:
    """The hashes of the files of a run by their paths, without those that hold times and the hidden ones that a killed process leaves."""
    files = (path for path in sorted(output.rglob("*")) if path.is_file() and not path.name.startswith("."))
    files = (path for path in files if not TIMED & {path.name, path.parent.name})
    return {str(path.relative_to(output)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
