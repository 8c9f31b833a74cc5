"""Holds the command's token ids against those of the `tokenizers` library on a corpus of `corpus.py`.

    python3 -m pip install pyarrow==26.0.1 numpy==2.4.6 tokenizers==0.23.3
    python3 tests/bench/distill/tokens.py target/release/headwater CORPUS [--spliced BYTES]

Both encode every document; prints documents, tokens and documents that differ, and ends with 1 if one does. With --spliced the documents are as
many bytes of stretches of 1 to 400 characters, cut out of the corpus at random and joined, so that words, digits and scripts meet as they do
in no text.
"""

import argparse
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tokenizers import Tokenizer

MODEL = "smollm2-135m-instruct-q4"
END = 0  # the id of <|endoftext|>, after each document
SEED = 1
STRETCH = 400  # characters at most
STRETCHES = 100  # of a document
BATCH_BYTES = 64 << 20  # of text that is compared at once


def ids_of_command(binary: str, corpus: str, work: Path) -> np.ndarray:
    """The ids of all documents of `corpus`, each with END after it."""
    (work / "heads.json").write_text('{"heads": [[18, 6]]}')
    (work / "pipeline.toml").write_text(
        f'[run]\noutput = "{work}/out"\n[[corpus]]\nname = "c"\npaths = ["{corpus}"]\n'
        f'[model]\nname = "{MODEL}"\n[heads]\nfile = "{work}/heads.json"\n'
        '[tokens]\nformats = ["megatron"]\nparts = ["corpus"]\n'
    )
    subprocess.run([binary, "--quiet", "tokens", work / "pipeline.toml"], check=True)
    files = sorted((work / "out/tokens/corpus/megatron").glob("*.bin"))
    return np.concatenate([np.fromfile(path, dtype=np.uint16) for path in files])


def differences(binary: str, corpus: str, texts: list[str], library: Tokenizer) -> tuple[int, int]:
    """Tokens of `texts`, which are the documents of `corpus`, and how many of them differ."""
    with tempfile.TemporaryDirectory() as work:
        ours = ids_of_command(binary, corpus, Path(work))
    ends = np.flatnonzero(ours == END)
    if len(ends) != len(texts):
        sys.exit(f"{len(texts)} documents, but {len(ends)} ends")
    starts = np.concatenate([[0], ends[:-1] + 1])
    differ = 0
    for first in range(0, len(texts), 256):
        batch = library.encode_batch_fast(texts[first : first + 256], add_special_tokens=False)
        for at, encoding in enumerate(batch, first):
            differ += not np.array_equal(ours[starts[at] : ends[at]], np.array(encoding.ids, dtype=np.uint16))
    return len(ours) - len(ends), differ


def spliced(texts: list[str], size: int) -> Iterator[list[str]]:
    """Documents of random stretches of `texts`, some `size` bytes in all, in batches."""
    draw = random.Random(SEED)
    texts = [text for text in texts if text]
    batch, batch_bytes, left = [], 0, size
    while left > 0:
        parts = []
        for _ in range(STRETCHES):
            text = draw.choice(texts)
            start = draw.randrange(len(text))
            parts.append(text[start : start + draw.randint(1, STRETCH)])
        batch.append("".join(parts))
        length = len(batch[-1].encode())
        batch_bytes, left = batch_bytes + length, left - length
        if batch_bytes >= BATCH_BYTES or left <= 0:
            yield batch
            batch, batch_bytes = [], 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--spliced", type=lambda text: int(float(text)), metavar="BYTES")
    options = parser.parse_args()
    texts = [text for path in sorted(options.corpus.glob("*/*.parquet")) for text in pq.read_table(path)["text"].to_pylist()]
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        subprocess.run([options.binary, "--quiet", "model", "tokenizer", MODEL, "--out", work / "tokenizer"], check=True)
        library = Tokenizer.from_file(str(work / "tokenizer/tokenizer.json"))
        documents, size, tokens, differ = 0, 0, 0, 0
        for batch in spliced(texts, options.spliced) if options.spliced else [texts]:
            corpus = f"{options.corpus}/*/*.parquet"
            if options.spliced:
                corpus = str(work / "spliced.parquet")
                pq.write_table(pa.table({"text": batch}), corpus)
            of_batch = differences(options.binary, corpus, batch, library)
            documents, size = documents + len(batch), size + sum(len(text.encode()) for text in batch)
            tokens, differ = tokens + of_batch[0], differ + of_batch[1]
            print(f"{documents} documents, {size} bytes, {tokens} tokens: {differ} documents differ", flush=True)
    return int(differ > 0)


if __name__ == "__main__":
    sys.exit(main())
