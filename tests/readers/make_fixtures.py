"""Writes shards as pandas and Hugging Face `datasets` write them, footer metadata included, for `check_readers.py`.

    python3 tests/readers/make_fixtures.py FOLDER

`pandas-index.parquet` has a named index stored as a column, `pandas-range.parquet` a range index that lives in the footer alone,
`huggingface.parquet` a feature description with class labels and nested features; `arrow-map.parquet` has a map, a dictionary and
field metadata. A library that is not installed is skipped.
Every shard has `id`, `text` and `domain`, so a pipeline needs no more than the folder's path. The same call writes the same rows.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

ROWS = 48
WORDS = (
    "river stone valley spring meadow winter harvest lantern bridge miller orchard weather carpenter shadow letter "
    "kettle window candle market ferry"
).split()


def rows() -> list[dict]:
    """Returns the documents: long enough to be scored, in two domains, with a list and a struct each."""
    return [
        {
            "id": f"doc-{number:03}",
            "text": " ".join(WORDS[(number * 7 + place * (place + number)) % len(WORDS)] for place in range(80)) + ".\n",
            "domain": ("fiction", "trade")[number % 2],
            "tags": WORDS[number % 5 : number % 5 + number % 3],
            "origin": {"page": number, "book": WORDS[number % 20]},
        }
        for number in range(ROWS)
    ]


def write_pandas(folder: Path) -> None:
    """Writes a frame with a named index and the same frame with the default range index."""
    import pandas

    frame = pandas.DataFrame(rows())
    frame.to_parquet(folder / "pandas-range.parquet", row_group_size=16)
    frame["shelf"] = [f"shelf {number // 6}" for number in range(ROWS)]
    frame["place"] = [number % 6 for number in range(ROWS)]
    frame.set_index(["shelf", "place"]).to_parquet(folder / "pandas-index.parquet", row_group_size=16)


def write_huggingface(folder: Path) -> None:
    """Writes a dataset whose features are described in the `huggingface` footer entry."""
    from datasets import ClassLabel, Dataset, Features, List, Value

    features = Features(
        {
            "id": Value("string"),
            "text": Value("large_string"),
            "domain": Value("string"),
            "tags": List(Value("string")),
            "origin": {"page": Value("int64"), "book": Value("string")},
            "label": ClassLabel(names=["low", "high"]),
        }
    )
    labelled = [{**row, "label": number % 2} for number, row in enumerate(rows())]
    Dataset.from_list(labelled, features=features).to_parquet(folder / "huggingface.parquet", batch_size=16)


def write_arrow(folder: Path) -> None:
    """Writes a map, a dictionary column and field metadata, which neither of the others makes."""
    import pyarrow
    import pyarrow.parquet as parquet

    word = pyarrow.dictionary(pyarrow.int32(), pyarrow.string())
    schema = pyarrow.schema(
        [
            pyarrow.field("id", pyarrow.string(), nullable=False, metadata={"note": "kept"}),
            pyarrow.field("text", pyarrow.large_string()),
            pyarrow.field("domain", word),
            pyarrow.field("counts", pyarrow.map_(pyarrow.string(), pyarrow.int64())),
        ],
        metadata={"origin": "fixture"},
    )
    table = pyarrow.table(
        {
            "id": [row["id"] for row in rows()],
            "text": [row["text"] for row in rows()],
            "domain": pyarrow.array([row["domain"] for row in rows()]).cast(word),
            "counts": [[(tag, row["text"].count(tag)) for tag in row["tags"]] for row in rows()],
        },
        schema=schema,
    )
    parquet.write_table(table, folder / "arrow-map.parquet", row_group_size=16)


def main() -> None:
    """Writes every shard whose library is installed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    writers: dict[str, Callable[[Path], None]] = {
        "pandas": write_pandas,
        "datasets": write_huggingface,
        "pyarrow": write_arrow,
    }
    for library, write in writers.items():
        try:
            write(folder)
        except ModuleNotFoundError as error:
            print(f"skipped: {library} is not installed ({error.name} is missing)")
        else:
            print(f"wrote the shards of {library}")


if __name__ == "__main__":
    main()
