"""The stream that the recipe's module gives to torchtitan: every pass has all documents, in an order of its own.

torchtitan itself is not needed: what the module takes from it is replaced.
"""

import importlib.util
import json
import os
import shutil
import sys
import tempfile
import types
import unittest
from pathlib import Path
from unittest import mock

import pyarrow as pa
import pyarrow.parquet as parquet

os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", HF_DATASETS_DISABLE_PROGRESS_BARS="1")

MODULE = Path(__file__).resolve().parents[2] / "crates/recipe/src/trainers/torchtitan/recipe.py"
SHAPE = {"dim": 8, "hidden_dim": 16}


def stand_ins(datasets):
    """What the module imports from torchtitan."""
    names = {
        "torchtitan.hf_datasets": {"DatasetConfig": types.SimpleNamespace},
        "torchtitan.hf_datasets.text_datasets": {"DATASETS": datasets},
        "torchtitan.models.llama3": {
            "Transformer": object,
            "TransformerModelArgs": types.SimpleNamespace,
            "get_train_spec": mock.MagicMock(),
        },
        "torchtitan.models.llama3.model.args": {"RoPEScalingArgs": types.SimpleNamespace},
        "torchtitan.models.utils": {"trunc_normal_": None},
        "torchtitan.protocols.train_spec": {"register_train_spec": lambda name, spec: None},
    }
    return {name: types.SimpleNamespace(**members) for name, members in names.items()}


@unittest.skipIf(importlib.util.find_spec("torch") is None, "torch is not installed")
class Passes(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        # before modules are replaced, since what is imported meanwhile is forgotten, and torch cannot be imported twice
        importlib.import_module("torch")

    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = Path(scratch.name)
        # the end of a pass waits some seconds for threads of pyarrow
        from datasets import config

        config.SLEEP_TIME_ON_THREADS_SHUTDOWN = 0

    def stream(self, parts):
        """Loads the dataset of a recipe whose parts hold these texts, all equally likely."""
        for name, texts in parts.items():
            parquet.write_table(pa.table({"content": texts}), self.folder / f"{name}.parquet")
        source = lambda name: {"data_files": [str(self.folder / f"{name}.parquet")], "text": "content"}
        recipe = {
            "model": SHAPE,
            "init_std": 0.02,
            "seed": 7,
            "shuffle_documents": 100,
            "parts": [{"name": name, "sources": [source(name)]} for name in parts],
            "datasets": [{"name": "one", "parts": [{"name": name, "probability": 1 / len(parts)} for name in parts]}],
        }
        (self.folder / "recipe.json").write_text(json.dumps(recipe), encoding="utf-8")
        shutil.copy(MODULE, self.folder / "headwater_recipe.py")
        spec = importlib.util.spec_from_file_location("headwater_recipe", self.folder / "headwater_recipe.py")
        datasets = {}
        with mock.patch.dict(sys.modules, stand_ins(datasets)), mock.patch("dataclasses.replace"):
            spec.loader.exec_module(importlib.util.module_from_spec(spec))
        return datasets["one"].loader("recipe.json")

    def passes(self, stream, count):
        """Reads the stream as often as torchtitan starts it again."""
        for _ in range(count):
            yield [document["text"] for document in stream]
            stream.set_epoch(stream.epoch + 1)

    def test_every_pass_has_all_documents_in_an_order_of_its_own(self):
        texts = [f"text {row}" for row in range(30)]
        passes = list(self.passes(self.stream({"corpus": texts}), 3))
        for one in passes:
            self.assertEqual(sorted(one), sorted(texts))
        self.assertEqual(len({tuple(one) for one in passes}), 3)

    def test_two_parts_are_drawn_anew(self):
        parts = {"corpus": [f"a{row}" for row in range(30)], "selected": [f"b{row}" for row in range(30)]}
        passes = list(self.passes(self.stream(parts), 2))
        for one in passes:
            self.assertEqual(set(one), set(parts["corpus"] + parts["selected"]))
        draws = [[text[0] for text in one] for one in passes]
        self.assertNotEqual(draws[0], draws[1])


if __name__ == "__main__":
    unittest.main()
