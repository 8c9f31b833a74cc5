"""Tests the check itself on hand-made runs, whole and broken: python3 -m unittest discover tests/readers"""

import contextlib
import io
import json
import tempfile
import unittest
from importlib.util import find_spec
from pathlib import Path

import check_readers
import make_fixtures
import pyarrow as pa
import pyarrow.parquet as parquet

MISSING = [name for name in check_readers.READERS if find_spec(name) is None]
KEPT = [0, 3, 4, 17, 40]
WORD = pa.dictionary(pa.int32(), pa.string())
SIDECAR = pa.schema(
    [
        pa.field("source", WORD, nullable=False),
        pa.field("row", pa.uint64(), nullable=False),
        pa.field("id", pa.string()),
        pa.field("domain", WORD, nullable=False),
        pa.field("status", WORD, nullable=False),
        pa.field("tokens", pa.uint32(), nullable=False),
        pa.field("influence", pa.float32()),
    ]
)


def sidecar(rows: int) -> pa.Table:
    """Makes scores of which every tenth is missing."""
    columns = [
        ["sample"] * rows,
        list(range(rows)),
        [f"doc-{row:03}" for row in range(rows)],
        ["trade"] * rows,
        ["short" if row % 10 == 0 else "scored" for row in range(rows)],
        [row * 7 for row in range(rows)],
        [None if row % 10 == 0 else row / 3 for row in range(rows)],
    ]
    return pa.table([pa.array(values, field.type) for values, field in zip(columns, SIDECAR)], schema=SIDECAR)


def with_influence(table: pa.Table) -> pa.Table:
    """Adds the trailing column and tells the pandas and Hugging Face footer entries about it."""
    footer = dict(table.schema.metadata or {})
    wide = table.append_column("influence", pa.array([0.5] * len(table), pa.float32()))
    if b"pandas" in footer:
        entry = json.loads(footer[b"pandas"])
        entry["columns"].append(
            {"name": "influence", "field_name": "influence", "pandas_type": "float32", "numpy_type": "float32", "metadata": None}
        )  # fmt: skip
        footer[b"pandas"] = json.dumps(entry).encode()
    if b"huggingface" in footer:
        entry = json.loads(footer[b"huggingface"])
        entry["info"]["features"]["influence"] = {"dtype": "float32", "_type": "Value"}
        footer[b"huggingface"] = json.dumps(entry).encode()
    return wide.replace_schema_metadata(footer)


@unittest.skipIf(MISSING, f"{' and '.join(MISSING)} not installed")
class Check(unittest.TestCase):
    """Runs the check over a run made in a temporary folder."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.run_folder, self.sources = Path(folder.name) / "run", Path(folder.name) / "source"
        self.sources.mkdir()
        with contextlib.redirect_stdout(io.StringIO()):
            make_fixtures.write_pandas(self.sources)
            make_fixtures.write_huggingface(self.sources)
            make_fixtures.write_arrow(self.sources)
        self.subset = self.run_folder / "selected" / "0123" / "sample"
        scores = self.run_folder / "scores" / "abcd" / "sample"
        self.subset.mkdir(parents=True)
        scores.mkdir(parents=True)
        parquet.write_table(sidecar(30), scores / "unit-0.parquet")
        self.rejects(3)

    def rejects(self, rows: int) -> None:
        parquet.write_table(pa.table({"row": list(range(rows))}), self.run_folder / "rejects.parquet")

    def keep(self, change=lambda table: table) -> None:
        for path in self.sources.glob("*.parquet"):
            source = parquet.ParquetFile(path)
            table = change(source.read().take(KEPT))
            footer = {key: value for key, value in source.metadata.metadata.items() if key not in check_readers.SCHEMA_ENTRIES}
            with parquet.ParquetWriter(self.subset / path.name, table.schema) as writer:
                writer.write_table(table)
                writer.add_key_value_metadata(footer)

    def found(self) -> list[str]:
        with tempfile.TemporaryDirectory() as scratch, contextlib.redirect_stdout(io.StringIO()):
            return check_readers.check(self.run_folder, self.sources, Path(scratch))[1]

    def test_an_unchanged_subset_passes(self) -> None:
        self.keep()
        self.assertEqual(self.found(), [])

    def test_a_trailing_influence_column_passes(self) -> None:
        self.keep(with_influence)
        self.assertEqual(self.found(), [])

    def test_influence_without_its_footer_entries_fails(self) -> None:
        self.keep(lambda table: table.append_column("influence", pa.array([0.5] * len(table), pa.float32())))
        found = "\n".join(self.found())
        self.assertIn("the huggingface footer entry does not describe influence", found)
        self.assertIn("the pandas footer entry does not describe influence", found)

    def test_a_lost_footer_fails(self) -> None:
        self.keep(lambda table: table.replace_schema_metadata(None))
        found = "\n".join(self.found())
        self.assertIn("footer entry pandas differs", found)
        self.assertIn("datasets derives the features", found)

    def test_rows_out_of_order_fail(self) -> None:
        self.keep(lambda table: table.take(list(range(len(table)))[::-1]))
        self.assertIn("out of order", "\n".join(self.found()))

    def test_a_changed_type_fails(self) -> None:
        position = lambda table: table.schema.get_field_index("text")  # noqa: E731
        self.keep(lambda table: table.set_column(position(table), "text", table["text"].cast(pa.binary())))
        self.assertIn("column text is", "\n".join(self.found()))

    def test_a_shard_of_no_source_fails(self) -> None:
        parquet.write_table(pa.table({"id": ["x"]}), self.subset / "stranger.parquet")
        self.assertIn("no source shard", "\n".join(self.found()))

    def test_rejects_that_miss_a_document_fail(self) -> None:
        self.rejects(2)
        self.assertIn("lists 2 documents, the sidecars have 3", "\n".join(self.found()))

    def test_a_truncated_file_fails(self) -> None:
        path = next(self.run_folder.glob("scores/**/*.parquet"))
        path.write_bytes(path.read_bytes()[:-10])
        self.assertIn("cannot read it", "\n".join(self.found()))


if __name__ == "__main__":
    unittest.main()
