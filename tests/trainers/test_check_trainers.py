"""Tests the recipes of small runs, whole and broken: python3 -m unittest discover tests/trainers

What needs more than a minute to install is skipped unless HEADWATER_TRAINERS names the folder of the environments.
"""

import contextlib
import io
import os
import shutil
import tempfile
import unittest
from importlib.util import find_spec
from pathlib import Path

import check_trainers

# Trainers whose packages are those of tests/requirements.txt, and one that each needs.
INSTALLED = {"nanotron": "yaml", "hf": "transformers"}


@unittest.skipIf(shutil.which("cargo") is None, "cargo is not installed")
class Check(unittest.TestCase):
    """Runs the check over recipes made with `cargo run`."""

    @classmethod
    def setUpClass(cls) -> None:
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.samples = Path(folder.name)
        check_trainers.make_samples(cls.samples)

    def available(self, trainer: str) -> None:
        needs = INSTALLED.get(trainer)
        if needs and find_spec(needs) is None:
            self.skipTest(f"{needs} is not installed")
        if not needs and "HEADWATER_TRAINERS" not in os.environ:
            self.skipTest("HEADWATER_TRAINERS names no folder for environments")

    def found(self, folder: Path, trainer: str) -> str:
        self.available(trainer)
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            found = check_trainers.check(folder, (trainer,))
        if not found:
            self.skipTest(printed.getvalue())
        return "\n".join(f"{Path(str(entry['run'])).name}: {text}" for entry in found for text in entry["wrong"])

    def broken(self, trainer: str, changes: list[tuple[str, str, str, str]], sample: str = "linear") -> None:
        """Applies each change (file, before, after) to a run of its own and expects a message that holds the last text."""
        self.available(trainer)
        for relative, before, after, expected in changes:
            with self.subTest(after or before), tempfile.TemporaryDirectory() as scratch:
                run = Path(scratch) / "run"
                shutil.copytree(self.samples / sample, run)
                path = run / "recipe" / trainer / relative
                text = path.read_text(encoding="utf-8")
                self.assertIn(before, text)
                path.write_text(text.replace(before, after, 1), encoding="utf-8")
                self.assertIn(expected, self.found(run, trainer))

    def test_every_sample_passes(self) -> None:
        for trainer in check_trainers.TRAINERS:
            with self.subTest(trainer):
                self.assertEqual(self.found(self.samples, trainer), "")

    def test_nanotron_files_that_break_its_rules_fail(self) -> None:
        self.broken(
            "nanotron",
            [
                ("config.yaml", "learning_rate: 0.0004", "learning_rate: 4e-4", "is the text '4e-4'"),
                ("config.yaml", "    min_decay_lr: 0.0\n", "", "min_decay_lr is missing"),
                ("config.yaml", "    lr_decay_steps: 4000\n", "", "lr_decay_steps is missing"),
                ("config.yaml", "lr_decay_steps: 4000", "lr_decay_steps: 3900", "the trainer has"),
                ("config.yaml", "start_training_step: 1", "start_training_step: 0", "no data stage starts at step 1"),
                ("config.yaml", "vocab_size: 49152\n      token", "vocab_size: 49153\n      token", "vocabulary"),
                ("config.yaml", "  seed: 7\n  step", "  sede: 7\n  step", "general.sede is no key"),
                ("config.yaml", "micro_batch_size: 2", "micro_batch_size: 3", "tokens of schedule.csv"),
            ],
            "no-warmup",
        )

    def test_hugging_face_files_that_differ_fail(self) -> None:
        self.broken(
            "hf",
            [
                ("training_arguments.json", '"bf16"', '"comment": "", "bf16"', "comment"),
                ("training_arguments.json", '"decay_type": "linear"', '"decay_type": "1-sqrt"', "the trainer has"),
                ("expected_lr.csv", "\n10,1.8e-5", "\n10,1.9e-5", "step 10 is"),
                ("model/config.json", "13312", "8192", "4.966 billion"),
                ("mixture.json", '"start_step": 16000', '"start_step": 15000', "stage"),
            ],
        )

    def test_other_trainers_refuse_what_they_do_not_know(self) -> None:
        for trainer, relative, before, after in [
            ("megatron", "arguments.txt", "--swiglu", "--swigloo"),
            ("torchtitan", "config.toml", "\nlog_freq", "\nlog_frq"),
            ("olmo-core", "config.yaml", "max_grad_norm", "max_grd_norm"),
            ("llm-foundry", "train.yaml", "t_cooldown", "t_cooldwn"),
            ("levanter", "config.yaml", "min_lr_ratio", "min_lr_rtio"),
        ]:
            with self.subTest(trainer):
                self.broken(trainer, [(relative, before, after, after.strip("-\n"))])

    def test_a_share_that_the_selection_does_not_give_is_found(self) -> None:
        share, other = "0.10752688172043011", "0.2125237191650854"
        chances = ("0.15311702515493986", "0.08056872037914692")
        between = f'\n        }},\n        {{\n          "name": "bucket-01",\n          "token_weight": {share},\n          "probability": '
        drawn, swapped = between.join(chances), between.join(reversed(chances))
        for trainer, relative, before, after, expected in [
            ("nanotron", "config.yaml", f"{other}\n      - {share}", f"{share}\n      - {other}", f"bucket-01 weighs {other}"),
            ("nanotron", "config.yaml", "/bucket-01/datatrove\n      -", "/bucket-02/datatrove\n      -", "bucket-01 weighs 0.0"),
            ("hf", "mixture.json", share, "0.11", "stage 1: bucket-01 weighs 0.11"),
            ("hf", "mixture.json", drawn, swapped, "documents of stage 1: bucket-01 weighs 0.1531"),
            ("megatron", "data_1.json", share, "0.11", "stage 1: bucket-01 weighs 0.11"),
            ("torchtitan", "recipe.json", share, "0.11", "stage 1: bucket-01 weighs 0.11"),
            ("torchtitan", "recipe.json", drawn, swapped, "documents of stage 1: bucket-01 weighs 0.1531"),
            ("olmo-core", "config.yaml", "ratio: 0.7101410426433302", "ratio: 0.5", "stage 1: bucket-01 weighs 0.07"),
            ("llm-foundry", "train.yaml", share, "0.11", "stage 1: bucket-01 weighs 0.11"),
            ("levanter", "config.yaml", share, "0.11", "stage 1: bucket-01 weighs 0.11"),
        ]:
            with self.subTest(trainer):
                self.broken(trainer, [(relative, before, after, expected)], "buckets")

    def test_a_rate_that_the_trainer_does_not_have_is_found(self) -> None:
        for trainer in check_trainers.TRAINERS:
            with self.subTest(trainer):
                self.broken(trainer, [("expected_lr.csv", "\n10000,0.0004\n", "\n10000,0.00040001\n", "step 10000 is")])


@unittest.skipIf(shutil.which("cargo") is None, "cargo is not installed")
class TokenFiles(unittest.TestCase):
    """Reads token files back with the trainers' own readers."""

    @unittest.skipUnless("HEADWATER_TRAINERS" in os.environ, "HEADWATER_TRAINERS names no folder for environments")
    def test_every_format_is_read_back(self) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            check_trainers.make_token_files(Path(scratch))
            found = check_trainers.check_token_files(Path(scratch))
        self.assertEqual([entry["wrong"] for entry in found if entry["wrong"]], [])
        read = {str(entry["trainer"]) for entry in found if "versions" in entry}
        self.assertEqual(read, {f"token files, {name}" for name in ("datatrove", "megatron", "mds", "olmo")})


if __name__ == "__main__":
    unittest.main()
