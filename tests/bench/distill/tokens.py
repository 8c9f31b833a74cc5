"""Holds the command's token ids against those of the `tokenizers` library on a corpus of `corpus.py`.

    python3 -m pip install pyarrow==26.0.1 numpy==2.4.6 tokenizers==0.23.3
    python3 tests/bench/distill/tokens.py target/release/headwater CORPUS

Both encode every document; prints documents, tokens and documents that differ, and ends with 1 if one does.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from tokenizers import Tokenizer

MODEL = "smollm2-135m-instruct-q4"
END = 0  # the id of <|endoftext|>, after each document


def main(binary: str, corpus: Path) -> int:
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        subprocess.run([binary, "--quiet", "model", "tokenizer", MODEL, "--out", work / "tokenizer"], check=True)
        (work / "heads.json").write_text('{"heads": [[18, 6]]}')
        (work / "pipeline.toml").write_text(
            f'[run]\noutput = "{work}/out"\n[[corpus]]\nname = "c"\npaths = ["{corpus}/*/*.parquet"]\n'
            f'[model]\nname = "{MODEL}"\n[heads]\nfile = "{work}/heads.json"\n'
            '[tokens]\nformats = ["megatron"]\nparts = ["corpus"]\n'
        )
        subprocess.run([binary, "--quiet", "tokens", work / "pipeline.toml"], check=True)
        files = sorted((work / "out/tokens/corpus/megatron").glob("*.bin"))
        ours = np.concatenate([np.fromfile(path, dtype=np.uint16) for path in files])
        library = Tokenizer.from_file(str(work / "tokenizer/tokenizer.json"))
        texts = [text for path in sorted(corpus.glob("*/*.parquet")) for text in pq.read_table(path)["text"].to_pylist()]
        ends = np.flatnonzero(ours == END)
        if len(ends) != len(texts):
            print(f"{len(texts)} documents, but {len(ends)} ends", file=sys.stderr)
            return 1
        starts = np.concatenate([[0], ends[:-1] + 1])
        differ = 0
        for first in range(0, len(texts), 256):
            batch = library.encode_batch(texts[first : first + 256], add_special_tokens=False)
            for at, encoding in enumerate(batch, first):
                differ += not np.array_equal(ours[starts[at] : ends[at]], np.array(encoding.ids, dtype=np.uint16))
        size = sum(len(text.encode()) for text in texts)
        print(f"{len(texts)} documents, {size} bytes, {len(ours) - len(ends)} tokens: {differ} documents differ")
        return int(differ > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
