"""Reads random Parquet files of five writers by our reader, at random places, and by pyarrow, whole; says where they differ.

    python3 tests/readers/differential.py COUNT [SEED]

Files differ in writer (pyarrow, DuckDB, polars, fastparquet, the Rust crate `parquet`), encoding, page size, codec, row groups, nulls and
lengths. Each is also read with bits of its offset indexes flipped. Ends with 0 if none differs. `cargo` builds the reader,
`crates/corpus/examples/read_rows.rs`.
"""

import hashlib
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet

REPOSITORY = Path(__file__).resolve().parents[2]
WORDS = ("a", "é", "漢字", "🙂", " ", "word ", "\n", "\t")
BATCH = 500


def texts(rng: random.Random, nullable: bool = True) -> list[str | None]:
    """Makes texts of random number and lengths."""
    rows = rng.choice((1, 7, 200, rng.randrange(1, 1500)))
    longest = rng.choice((3, 40, 900))
    share = rng.choice((0, 0, 0.1, 0.9)) if nullable else 0
    return [
        None if rng.random() < share else "".join(rng.choices(WORDS, k=rng.randrange(longest))) for _ in range(rows)
    ]


def with_pyarrow(rng: random.Random, path: Path) -> None:
    """Writes a file with pyarrow, a list column before the text."""
    values = texts(rng)
    table = pa.table(
        {
            "lists": pa.array([list(range(row % 5)) for row in range(len(values))], pa.list_(pa.int32())),
            "text": pa.array(values, rng.choice((pa.string(), pa.large_string(), pa.string_view()))),
        }
    )
    dictionary = rng.random() < 0.5
    encoding = None if dictionary else {"text": rng.choice(("PLAIN", "DELTA_BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY"))}
    parquet.write_table(
        table,
        path,
        row_group_size=rng.choice((5, 100, 1 << 20)),
        data_page_size=rng.choice((64, 1000, 1 << 20)),
        write_batch_size=rng.choice((1, 16, 1024)),
        compression=rng.choice(("none", "snappy", "gzip", "brotli", "zstd", "lz4")),
        data_page_version=rng.choice(("1.0", "2.0")),
        use_dictionary=["text"] if dictionary else False,
        column_encoding=encoding,
        write_page_index=rng.random() < 0.8,
        write_page_checksum=rng.random() < 0.5,
    )


def with_duckdb(rng: random.Random, path: Path) -> None:
    """Writes a file with DuckDB."""
    import duckdb

    table = pa.table({"text": pa.array(texts(rng), pa.string())})
    codec = rng.choice(("uncompressed", "snappy", "zstd", "gzip", "brotli", "lz4_raw"))
    version = rng.choice(("V1", "V2"))
    groups = rng.choice((2048, 122880))
    with duckdb.connect() as connection:
        connection.register("source", table)
        connection.execute(
            f"COPY (SELECT * FROM source) TO '{path}' (FORMAT parquet, COMPRESSION {codec}, PARQUET_VERSION {version}, ROW_GROUP_SIZE {groups})"
        )


def with_polars(rng: random.Random, path: Path) -> None:
    """Writes a file with polars."""
    import polars

    polars.DataFrame({"text": texts(rng)}, schema={"text": polars.String}).write_parquet(
        path,
        compression=rng.choice(("uncompressed", "snappy", "gzip", "zstd", "lz4")),
        row_group_size=rng.choice((5, 100, 100_000)),
        data_page_size=rng.choice((64, 1000, 1 << 20)),
        statistics=rng.random() < 0.5,
    )


def with_fastparquet(rng: random.Random, path: Path) -> None:
    """Writes a file with fastparquet."""
    import fastparquet
    import pandas

    values = texts(rng)
    frame = pandas.DataFrame({"text": pandas.Series(values, dtype=object)})
    if rng.random() < 0.3:
        frame["text"] = frame["text"].astype("category")
    fastparquet.write(
        str(path),
        frame,
        compression=rng.choice((None, "SNAPPY", "GZIP", "ZSTD")),
        row_group_offsets=rng.choice((5, 100, 100_000)),
        object_encoding="utf8",
        has_nulls=True,
    )


def with_rust(rng: random.Random, path: Path) -> None:
    """Writes a file with the Rust crate."""
    subprocess.run([reader(), "write", str(rng.randrange(1 << 60)), str(path)], check=True)


WRITERS = (with_pyarrow, with_duckdb, with_polars, with_fastparquet, with_rust)


def reader() -> str:
    """Returns the built reader."""
    return str(REPOSITORY / "target" / "debug" / "examples" / "read_rows")


def build() -> None:
    """Builds the reader."""
    command = ["cargo", "build", "--quiet", "--workspace", "--example", "read_rows"]
    subprocess.run(command, cwd=REPOSITORY, check=True)


def expected(path: Path) -> str:
    """Returns the hashes of the texts that pyarrow reads."""
    values = parquet.read_table(path, columns=["text"])["text"].to_pylist()
    values = [value.decode() if isinstance(value, bytes) else value for value in values]
    return " ".join("-" if value is None else hashlib.sha256(value.encode()).hexdigest()[:12] for value in values)


def differences(count: int, seed: int) -> list[str]:
    """Writes and reads `count` files; returns a line for each that is read otherwise."""
    build()
    found = []
    with tempfile.TemporaryDirectory() as scratch:
        for first in range(0, count, BATCH):
            paths = []
            for number in range(first, min(first + BATCH, count)):
                path = Path(scratch) / f"{number}.parquet"
                WRITERS[number % len(WRITERS)](random.Random(f"{seed} {number}"), path)
                paths.append(path)
            lines = "".join(f"{path}\n" for path in paths)
            done = subprocess.run([reader(), "read", str(seed)], input=lines, capture_output=True, text=True)
            if done.returncode:
                found.append(done.stderr.strip())
            seen = dict(line.split("\t") for line in done.stdout.splitlines())
            for path in paths:
                name = f"{path.name} of {WRITERS[int(path.stem) % len(WRITERS)].__name__}, seed {seed}"
                if str(path) not in seen:
                    found.append(f"{name}: not read")
                elif seen[str(path)] != expected(path):
                    found.append(f"{name}: other texts than pyarrow's")
                path.unlink()
    return found


def main(arguments: list[str]) -> int:
    """Compares as many files as asked for."""
    if not 1 <= len(arguments) <= 2:
        print(__doc__)
        return 2
    count, seed = int(arguments[0]), int(arguments[1]) if len(arguments) > 1 else 0
    found = differences(count, seed)
    print("\n".join(found))
    print(f"{count} files by {len(WRITERS)} writers, {len(found)} differences")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
