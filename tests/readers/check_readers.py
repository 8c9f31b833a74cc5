"""Opens a finished run with pandas, DuckDB and Hugging Face `datasets`, and says where they disagree.

    python3 tests/readers/check_readers.py RUN [SOURCE]

RUN is the output folder of a run, SOURCE the folder of its source shards (the fixed part of the `paths` entry). For every sidecar,
subset shard and `rejects.parquet` the libraries must agree on columns, rows and the values of the columns that name a
document and score it. With SOURCE, each subset shard must have its source shard's schema and footer, apart from a trailing
`influence` column, hold rows of it in their order, and come up with the same pandas index and `datasets` features.

Ends with 0 if all agree, 1 if not, 2 if there is nothing to check. A library that is not installed is skipped with a line.
"""

import argparse
import importlib.util
import json
import math
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", HF_DATASETS_DISABLE_PROGRESS_BARS="1")

COMPARED = ("id", "source", "shard", "row", "domain", "status", "tokens", "influence")
TRAILING = "influence"
# Footer entries that name the columns, and so must change when one is added.
SCHEMA_ENTRIES = {b"ARROW:schema", b"pandas", b"huggingface"}


@dataclass
class Seen:
    """What one library saw in one file."""

    columns: list[str]
    rows: int
    values: dict[str, list]


def plain(value: object) -> object:
    """Turns a library's way of saying missing into None and a number into a plain one."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if hasattr(value, "item"):
        return plain(value.item())
    return None if type(value).__name__ in ("NAType", "NaTType") else value


def with_pandas(path: Path, _scratch: Path) -> Seen:
    """Reads a file into a data frame, its index turned back into columns where it has names."""
    import pandas

    frame = pandas.read_parquet(path, partitioning=None)
    named = [name for name in frame.index.names if name is not None]
    frame = frame.reset_index(level=named) if named else frame
    values = {name: [plain(v) for v in frame[name].astype(object)] for name in COMPARED if name in frame.columns}
    return Seen(list(frame.columns), len(frame), values)


def with_duckdb(path: Path, _scratch: Path) -> Seen:
    """Reads every column of a file through SQL."""
    import duckdb

    with duckdb.connect() as connection:
        query = "SELECT * FROM read_parquet(?, hive_partitioning = false)"
        cursor = connection.execute(query, [str(path)])
        columns = [entry[0] for entry in cursor.description]
        rows = cursor.fetchall()
    values = {name: [plain(row[columns.index(name)]) for row in rows] for name in COMPARED if name in columns}
    return Seen(columns, len(rows), values)


def with_datasets(path: Path, scratch: Path) -> Seen:
    """Reads a file as a dataset; `datasets` copies it into its cache, here a temporary folder."""
    from datasets import Dataset

    data = Dataset.from_parquet(str(path), cache_dir=str(scratch))
    values = {name: [plain(v) for v in data[name]] for name in COMPARED if name in data.column_names}
    return Seen(data.column_names, len(data), values)


READERS: dict[str, Callable[[Path, Path], Seen]] = {
    "pandas": with_pandas,
    "duckdb": with_duckdb,
    "datasets": with_datasets,
}


def installed() -> list[str]:
    """Lists the readers at hand and prints a line for each that is not."""
    found = []
    for name in READERS:
        if importlib.util.find_spec(name) is None:
            print(f"skipped: {name} is not installed")
        else:
            found.append(name)
    return found


def disagreements(path: Path, libraries: list[str], scratch: Path, totals: dict[str, int]) -> Iterator[str]:
    """Reads one file with every library and yields what differs; `totals` counts rows per library."""
    seen: dict[str, Seen] = {}
    for library in libraries:
        try:
            seen[library] = READERS[library](path, scratch)
        except Exception as error:  # whatever a library raises on a file is the finding
            yield f"{library} cannot read it: {type(error).__name__}: {str(error).splitlines()[0]}"
            continue
        totals[library] = totals.get(library, 0) + seen[library].rows
    if len(seen) < 2:
        return
    first, *others = seen
    for other in others:
        one, two = seen[first], seen[other]
        if one.rows != two.rows:
            yield f"{first} reads {one.rows} rows, {other} {two.rows}"
        if sorted(one.columns) != sorted(two.columns):
            yield f"{first} reads columns {one.columns}, {other} {two.columns}"
        for name in one.values.keys() & two.values.keys():
            if one.values[name] != two.values[name]:
                yield f"{first} and {other} read different values of {name}"


def has_map(path: Path) -> bool:
    """Tells whether a column is or holds a map, a type that `datasets` does not have."""
    import pyarrow.parquet as parquet
    import pyarrow.types as types

    def holds(kind) -> bool:
        inner = [kind.field(i).type for i in range(kind.num_fields)]
        return types.is_map(kind) or any(holds(entry) for entry in inner)

    return any(holds(field.type) for field in parquet.read_schema(path))


def has_rows(path: Path) -> bool:
    """Tells whether a file has any row; `datasets` does not open one without."""
    import pyarrow.parquet as parquet

    return parquet.read_metadata(path).num_rows > 0


def readable(path: Path, libraries: list[str]) -> list[str]:
    """Leaves `datasets` out, with a line, for a file that no version of it can read."""
    if "datasets" in libraries:
        try:
            unknown, empty = has_map(path), not has_rows(path)
        except Exception:  # an unreadable file is reported by every library in turn
            unknown = empty = False
        if unknown or empty:
            reason = f"has no maps, {path.name} holds one" if unknown else f"opens no file without rows, such as {path.name}"
            print(f"skipped: datasets {reason}")
            return [library for library in libraries if library != "datasets"]
    return libraries


def source_of(subset: Path, selected: Path, sources: Path) -> Path | None:
    """Finds the source shard of selected/HASH/SOURCE/RELATIVE: RELATIVE, or SOURCE/RELATIVE, under the source folder."""
    _hash, name, *relative = subset.relative_to(selected).parts
    candidates = (sources.joinpath(*relative), sources.joinpath(name, *relative))
    return next((path for path in candidates if path.is_file()), None)


def schema_differences(subset: Path, source: Path) -> Iterator[str]:
    """Compares types, nullability, field metadata, footer entries and rows with the source shard's."""
    import pyarrow.parquet as parquet

    kept, whole = parquet.ParquetFile(subset), parquet.ParquetFile(source)
    kept_schema, whole_schema = kept.schema_arrow, whole.schema_arrow
    added = len(kept_schema) == len(whole_schema) + 1 and kept_schema.names[-1] == TRAILING
    bare = kept_schema.remove(len(kept_schema) - 1) if added else kept_schema
    if len(bare) != len(whole_schema):
        yield f"columns {kept_schema.names}, in the source {whole_schema.names}"
        return
    for ours, theirs in zip(bare, whole_schema):
        if not ours.equals(theirs, check_metadata=True):
            yield f"column {theirs.name} is {ours} {ours.metadata}, in the source {theirs} {theirs.metadata}"
    ours, theirs = kept.metadata.metadata or {}, whole.metadata.metadata or {}
    for key in sorted(ours.keys() | theirs.keys()):
        free = key == b"ARROW:schema" or (added and key in SCHEMA_ENTRIES)
        if (key in ours) != (key in theirs) or (ours.get(key) != theirs.get(key) and not free):
            yield f"footer entry {key.decode(errors='replace')} differs from the source's"
    rows = iter(whole.read().to_pylist())
    for number, row in enumerate(kept.read().to_pylist()):
        if added:
            row.pop(TRAILING)
        if not any(row == candidate for candidate in rows):
            yield f"row {number} is no row of the source, or out of order"
            return


def pandas_differences(subset: Path, source: Path) -> Iterator[str]:
    """Compares the index that pandas restores, and looks for the trailing column in the pandas footer entry."""
    import pandas
    import pyarrow.parquet as parquet

    kept, whole = (pandas.read_parquet(path, partitioning=None) for path in (subset, source))
    if list(kept.index.names) != list(whole.index.names):
        yield f"pandas restores the index {list(kept.index.names)}, of the source {list(whole.index.names)}"
    extra = [name for name in kept.columns if name not in whole.columns]
    if extra not in ([], [TRAILING]):
        yield f"pandas finds new columns {extra}"
    entry = (parquet.read_metadata(subset).metadata or {}).get(b"pandas")
    if entry and extra and TRAILING not in [column["name"] for column in json.loads(entry)["columns"]]:
        yield f"the pandas footer entry does not describe {TRAILING}"


def datasets_differences(subset: Path, source: Path, scratch: Path) -> Iterator[str]:
    """Compares the features that `datasets` derives, nested ones and class labels included."""
    import pyarrow.parquet as parquet
    from datasets import Dataset

    kept, whole = (dict(Dataset.from_parquet(str(path), cache_dir=str(scratch)).features) for path in (subset, source))
    extra = kept.pop(TRAILING, None) if TRAILING not in whole else None
    if kept != whole:
        yield f"datasets derives the features {kept}, of the source {whole}"
    if extra is not None and extra.dtype not in ("float32", "float64"):
        yield f"datasets takes {TRAILING} for {extra.dtype}"
    entry = (parquet.read_metadata(subset).metadata or {}).get(b"huggingface")
    if entry and extra is not None and TRAILING not in json.loads(entry)["info"]["features"]:
        yield f"the huggingface footer entry does not describe {TRAILING}, which older versions of datasets refuse"


def guarded(library: str, compare: Callable[[], Iterator[str]]) -> Iterator[str]:
    """Yields what a comparison finds; whatever it raises on a file is a finding too."""
    try:
        yield from compare()
    except Exception as error:
        yield f"{library} cannot compare it: {type(error).__name__}: {str(error).splitlines()[0]}"


def against_source(subset: Path, source: Path, libraries: list[str], scratch: Path) -> Iterator[str]:
    """Runs every comparison of a subset shard with its source shard."""
    checks = {"pyarrow": lambda: schema_differences(subset, source), "pandas": lambda: pandas_differences(subset, source)}
    checks["datasets"] = lambda: datasets_differences(subset, source, scratch)
    for library, compare in checks.items():
        if library in libraries or (library == "pyarrow" and importlib.util.find_spec("pyarrow") is not None):
            yield from guarded(library, compare)


def rejects_differences(sidecars: list[Path], rejects: Path) -> Iterator[str]:
    """Compares the rejects with the sidecars' rows that were not scored."""
    import pyarrow.parquet as parquet

    unscored = 0
    for path in sidecars:
        statuses = parquet.ParquetFile(path).read(columns=["status"])["status"].to_pylist()
        unscored += sum(status != "scored" for status in statuses)
    listed = parquet.read_metadata(rejects).num_rows
    if listed != unscored:
        yield f"lists {listed} documents, the sidecars have {unscored} that were not scored"


def check(run: Path, sources: Path | None, scratch: Path) -> tuple[int, list[str]]:
    """Checks a whole run; returns how many files it looked at and what it found."""
    libraries = installed()
    arrow = importlib.util.find_spec("pyarrow") is not None
    if not arrow:
        print("skipped: pyarrow is not installed, so schemas and footers are not compared")
    selected = run / "selected"
    groups = {
        "sidecars": sorted(run.glob("scores/**/*.parquet")),
        "subset": sorted(selected.glob("**/*.parquet")),
        "rejects": sorted(run.glob("rejects.parquet")),
    }
    found: list[str] = []
    for group, paths in groups.items():
        totals: dict[str, int] = {}
        for path in paths:
            able = readable(path, libraries)
            notes = list(disagreements(path, able, scratch, totals))
            if group == "subset" and sources is not None:
                source = source_of(path, selected, sources)
                missing = [f"no source shard under {sources}"]
                notes += missing if source is None else against_source(path, source, able, scratch)
            if group == "rejects" and arrow:
                notes += guarded("pyarrow", lambda path=path: rejects_differences(groups["sidecars"], path))
            found += [f"{path.relative_to(run)}: {note}" for note in notes]
        rows = ", ".join(f"{library} {count}" for library, count in totals.items()) or "nothing read"
        print(f"{group}: {len(paths)} files; rows: {rows}")
    return sum(map(len, groups.values())), found


def main() -> int:
    """Prints the summary and the findings; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path, help="output folder of a finished run")
    parser.add_argument("source", type=Path, nargs="?", help="folder of the source shards")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        files, found = check(options.run, options.source, Path(scratch))
    for note in found:
        print(f"disagreement: {note}", file=sys.stderr)
    if files == 0:
        print(f"nothing to check under {options.run}", file=sys.stderr)
        return 2
    print(f"{files} files, {len(found)} disagreements")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
