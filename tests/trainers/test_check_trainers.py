"""Tests the recipes of small runs, whole and broken: python3 -m unittest discover tests/trainers"""

import contextlib
import io
import shutil
import tempfile
import unittest
from pathlib import Path

import check_trainers


@unittest.skipIf(shutil.which("cargo") is None, "cargo is not installed")
class Check(unittest.TestCase):
    """Runs the check over recipes made with `cargo run`."""

    @classmethod
    def setUpClass(cls) -> None:
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.samples = Path(folder.name)
        check_trainers.make_samples(cls.samples)

    def found(self, folder: Path) -> str:
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            checked, wrong = check_trainers.check(folder)
        if not checked:
            self.skipTest(printed.getvalue())
        return "\n".join(wrong)

    def broken(self, relative: str, before: str, after: str) -> str:
        with tempfile.TemporaryDirectory() as scratch:
            run = Path(scratch) / "run"
            shutil.copytree(self.samples / "paper", run)
            path = run / relative
            text = path.read_text(encoding="utf-8")
            self.assertIn(before, text)
            path.write_text(text.replace(before, after, 1), encoding="utf-8")
            return self.found(run)

    def test_every_sample_passes(self) -> None:
        self.assertEqual(self.found(self.samples), "")

    def test_nanotron_files_that_break_its_rules_fail(self) -> None:
        if check_trainers.importlib.util.find_spec("yaml") is None:
            self.skipTest("yaml is not installed")
        for before, after, expected in [
            ("learning_rate: 0.0004", "learning_rate: 4e-4", "is the text '4e-4'"),
            ("    min_decay_lr: 0.0\n", "", "min_decay_lr is missing"),
            ("    lr_decay_steps: 100\n", "", "lr_decay_steps is missing"),
            ("lr_decay_steps: 100", "lr_decay_steps: 90", "the trainer has"),
            ("start_training_step: 1", "start_training_step: 0", "no data stage starts at step 1"),
            ("vocab_size: 49152\n      token", "vocab_size: 49153\n      token", "vocabulary"),
            ("  seed: 7\n  step", "  sede: 7\n  step", "general.sede is no key"),
            ("micro_batch_size: 2", "micro_batch_size: 3", "tokens of schedule.csv"),
        ]:
            with self.subTest(after or before):
                self.assertIn(expected, self.broken("recipe/nanotron/config.yaml", before, after))

    def test_hugging_face_files_that_differ_fail(self) -> None:
        if any(check_trainers.importlib.util.find_spec(name) is None for name in ("torch", "transformers", "accelerate")):
            self.skipTest("transformers is not installed")
        for relative, before, after, expected in [
            ("training_arguments.json", '"bf16"', '"comment": "", "bf16"', "comment"),
            ("training_arguments.json", '"decay_type": "1-sqrt"', '"decay_type": "linear"', "the trainer has"),
            ("expected_lr.csv", "2,5e-5", "2,5.0001e-5", "step 2 is"),
            ("model/config.json", "13312", "8192", "4.966 billion"),
        ]:
            with self.subTest(after):
                self.assertIn(expected, self.broken(f"recipe/hf/{relative}", before, after))


if __name__ == "__main__":
    unittest.main()
