"""The stream that the training script for the Hugging Face Trainer reads: packing, passes, and data that is too small."""

import importlib.util
import os
import tempfile
import unittest
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet

os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", HF_DATASETS_DISABLE_PROGRESS_BARS="1")

SCRIPT = Path(__file__).resolve().parents[2] / "crates/recipe/src/trainers/hf/train.py"
LENGTH = 8
END = -1


class Letters:
    """A tokenizer of one token a character."""

    eos_token_id = END

    def __call__(self, texts, add_special_tokens):
        return {"input_ids": [[ord(letter) for letter in text] for text in texts]}


def script():
    """Loads the training script without running it."""
    spec = importlib.util.spec_from_file_location("train", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    # the end of a pass waits some seconds for threads of pyarrow
    from datasets import config

    config.SLEEP_TIME_ON_THREADS_SHUTDOWN = 0
    return module


class Sequences(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = Path(scratch.name)
        self.train = script()

    def stream(self, texts):
        """Returns the sequences of a stage of one part that holds `texts`."""
        parquet.write_table(pa.table({"content": texts, "x": list(range(len(texts)))}), self.folder / "a.parquet")
        source = {"data_files": [str(self.folder / "a.parquet")], "text": "content"}
        mixture = {
            "parts": [{"name": "corpus", "sources": [source]}],
            "sequence_tokens": LENGTH,
            "seed": 7,
            "shuffle_documents": 100,
            "stopping_strategy": "all_exhausted",
        }
        stage = {"parts": [{"name": "corpus", "probability": 1.0}]}
        return self.train.sequences(mixture, stage, Letters())

    def test_every_pass_has_all_documents_in_an_order_of_its_own(self):
        # each document fills a sequence
        texts = [chr(ord("a") + row) * (LENGTH - 1) for row in range(20)]
        seen = ["".join(map(chr, row["input_ids"][:-1])) for row in islice(self.stream(texts), 60)]
        passes = [seen[start : start + 20] for start in range(0, 60, 20)]
        for one in passes:
            self.assertEqual(sorted(one), sorted(texts))
        self.assertEqual(len({tuple(one) for one in passes}), 3)
        self.assertEqual(seen, ["".join(map(chr, row["input_ids"][:-1])) for row in islice(self.stream(texts), 60)])

    def test_sequences_are_full_and_documents_end(self):
        rows = list(islice(self.stream(["abc", None, "", "defgh"]), 4))
        self.assertTrue(all(len(row["input_ids"]) == LENGTH and row["labels"] == row["input_ids"] for row in rows))
        self.assertIn(END, rows[0]["input_ids"])

    def test_data_that_fills_no_sequence_is_an_error(self):
        with self.assertRaisesRegex(Exception, "does not fill a sequence of 8 tokens"):
            next(iter(self.stream(["ab", "c"])))


if __name__ == "__main__":
    unittest.main()
