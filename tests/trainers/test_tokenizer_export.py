"""Tokenizers that `headwater model tokenizer` writes, in transformers 5 and 4: their tokens, texts, special tokens, context and template."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from importlib.util import find_spec
from pathlib import Path

from environments import Unavailable, default_folder, python_of

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
HEADWATER = REPOSITORY / "target" / "debug" / "headwater"
TINY = REPOSITORY / "crates/model/tests/tiny"
TEMPLATE = "{% for message in messages %}{{ message['content'] }}{{ eos_token }}{% endfor %}"


@unittest.skipUnless(HEADWATER.exists(), f"{HEADWATER} is not built; `cargo test --workspace` builds it")
class Export(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        scratch = tempfile.TemporaryDirectory()
        cls.addClassCleanup(scratch.cleanup)
        # a chat model whose configuration is that of transformers 4
        chat = Path(scratch.name) / "chat"
        chat.mkdir()
        for name in ("tokenizer.json", "config.json"):
            shutil.copy(TINY / "llama" / name, chat)
        settings = {
            "bos_token": {"content": "<|endoftext|>", "lstrip": False},
            "eos_token": "<|endoftext|>",
            "pad_token": "<filename>",
            "model_max_length": 1e30,
            "chat_template": TEMPLATE,
        }
        (chat / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
        cls.folders = []
        for model in (chat, TINY / "llama-f32.gguf", TINY / "qwen2-mixed.gguf"):
            folder = Path(scratch.name) / f"of-{model.name}"
            subprocess.run([HEADWATER, "model", "tokenizer", model, "--out", folder], cwd=REPOSITORY, check=True)
            cls.folders.append(str(folder))

    def check(self, python: str) -> None:
        command = [python, str(HERE / "tokenizer_export.py"), *self.folders]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr[-2000:])

    def test_settings_are_the_models_own(self) -> None:
        config = json.loads((Path(self.folders[0]) / "tokenizer_config.json").read_text(encoding="utf-8"))
        self.assertEqual(config["chat_template"], TEMPLATE)
        self.assertEqual((config["pad_token"], config["model_max_length"]), ("<filename>", 256))

    @unittest.skipIf(find_spec("transformers") is None, "transformers is not installed")
    def test_transformers_5(self) -> None:
        self.check(sys.executable)

    @unittest.skipIf("HEADWATER_TRAINERS" not in os.environ, "HEADWATER_TRAINERS names no folder for environments")
    def test_transformers_4(self) -> None:
        try:
            self.check(python_of("llm-foundry", default_folder()))
        except Unavailable as reason:
            self.skipTest(str(reason))


if __name__ == "__main__":
    unittest.main()
