"""Makes a corpus with planted text of low quality, to see whether `headwater trial` finds it.

    python3 -m pip install pyarrow==26.0.1
    python3 tests/bench/distill/corpus.py CORPUS
    python3 tests/bench/trial/planted.py CORPUS OUT
    headwater score OUT/trial.toml && headwater trial OUT/trial.toml

Reads the corpus of `tests/bench/distill/corpus.py`, cuts its texts into passages, which are the documents here, so that a few long texts do not decide
what a random selection is, and writes `OUT/DOMAIN.parquet` and `OUT/trial.toml`. One document of 24 is there twice, the second time with its words shuffled. The column `planted` is 1 for these and a random number below 1 for all others: of what the rank
`column:planted` keeps of a domain, a fifth of the documents, a fifth is shuffled, and the rest is random. Scores are by a model of random weights, which
no arm uses.
"""

import argparse
import hashlib
import random
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

REPOSITORY = Path(__file__).resolve().parents[3]
MODEL = REPOSITORY / "crates/model/tests/tiny/llama"
EVERY = 24  # one document of so many is shuffled as well
MOST_CHARACTERS = 12_000_000  # a domain
PASSAGE = 2_000  # characters, about

PIPELINE = """# Does a trial find text whose words are shuffled? And what does a refined schedule do?

[run]
output = "{out}/run"

[model]
name = "{model}"

[heads]
file = "{out}/heads.json"

[trial]
arms = ["column:planted"]
schedules = ["refined"]
model = "tiny"
tokens = 3e6
sequence_tokens = 128
batch_sequences = 16
"""

SOURCE = """
[[corpus]]
name = "{domain}"
paths = ["{out}/{domain}.parquet"]
domain = ""
domain_value = "{domain}"
"""


def number(text: str) -> float:
    """A number below 1 that the text decides."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6]) / 2**48


def shuffled(text: str) -> str:
    """The words of a text in a random order."""
    words = text.split()
    random.Random(text).shuffle(words)
    return " ".join(words)


def passages(text: str) -> Iterator[str]:
    """A text in passages that end at the end of a line or a word where they can."""
    while len(text) > 3 * PASSAGE // 2:
        end = max(text.rfind(mark, PASSAGE // 2, PASSAGE) for mark in ("\n", " "))
        end = end if end > 0 else PASSAGE
        yield text[:end]
        text = text[end:]
    if text.strip():
        yield text


def main() -> None:
    """Reads the command line, writes the corpus and the pipeline."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path, help="made by tests/bench/distill/corpus.py")
    parser.add_argument("out", type=Path, help="the folder to write")
    parser.add_argument("--model", type=Path, default=MODEL, help="scores the documents (%(default)s)")
    arguments = parser.parse_args()
    out = arguments.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    pipeline = PIPELINE.format(out=out, model=arguments.model.resolve())
    for folder in sorted(path for path in arguments.corpus.iterdir() if path.is_dir() and not path.name.startswith(".")):
        files = [pq.read_table(file, columns=["text"])["text"].to_pylist() for file in sorted(folder.glob("*.parquet"))]
        texts, planted, size = [], [], 0
        # a document of each source in turn, so that none dominates
        for at in range(max(map(len, files))):
            for text in (passage for of in files if at < len(of) for passage in passages(of[at])):
                if size >= MOST_CHARACTERS:
                    break
                texts.append(text)
                planted.append(number(text))
                size += len(text)
                if len(texts) % EVERY == 0:
                    texts.append(shuffled(text))
                    planted.append(1.0)
        table = pa.table({"text": texts, "planted": pa.array(planted, pa.float32())})
        pq.write_table(table, out / f"{folder.name}.parquet", row_group_size=256)
        pipeline += SOURCE.format(out=out, domain=folder.name)
        print(f"{folder.name}: {len(texts)} documents, {sum(value == 1.0 for value in planted)} shuffled, {size:,} characters")
    (out / "heads.json").write_text('{"heads": [[1, 0]]}\n')
    (out / "trial.toml").write_text(pipeline)


if __name__ == "__main__":
    main()
