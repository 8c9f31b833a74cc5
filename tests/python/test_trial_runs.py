"""Runs of a trial that transformers trains, beside the built-in trainer: python3 -m unittest discover tests/python"""

import importlib.util
import json
import signal
import subprocess
import sys
import time
import unittest
from pathlib import Path
from typing import Any

from site_of_tests import site

HAS_TRAINER = all(importlib.util.find_spec(name) for name in ("headwater", "torch", "transformers", "accelerate", "pyarrow"))
STEPS = 60
SMALL = {
    "trial.model": "tiny",
    "trial.arms": ["influence"],
    "trial.seeds": 2,
    "trial.tokens": STEPS * 4 * 32,
    "trial.sequence_tokens": 32,
    "trial.batch_sequences": 4,
    "trial.vocabulary": 300,
    "trial.held_out": 0.1,
    "select.fraction": 0.4,
}
HF = {**SMALL, "trial.trainer": "hf"}
BITS = 1e-3  # of bits per byte: both trainers add in float32, in another order


def quiet(event: dict[str, Any]) -> None:
    """Shows no progress."""


def train(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Trains as the user does who was told the program."""
    return subprocess.run([sys.executable, folder / "train.py", *options], capture_output=True, text=True)


@unittest.skipUnless(HAS_TRAINER, "the packages headwater, pyarrow, torch, transformers and accelerate are not installed")
class TrialRuns(unittest.TestCase):
    def prepared(self) -> Path:
        """Scores the corpus and prepares the runs of a trial; returns their folder."""
        import headwater

        headwater.run("pipeline.toml", on_event=quiet)
        said = headwater.trial("pipeline.toml", HF, on_event=quiet)
        self.assertEqual((said["runs"], said["planned"], said["trial"]), (0, 6, None))
        return Path(said["program"]).parent

    def kill_midway(self, folder: Path, run: Path) -> None:
        """Starts the program and kills it once the run has a checkpoint."""
        running = subprocess.Popen([sys.executable, folder / "train.py"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 300
        while not list(run.glob("work/checkpoint-*/trainer_state.json")):
            self.assertIsNone(running.poll(), "it ended before it was killed")
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.01)
        running.send_signal(signal.SIGKILL)
        running.wait()
        self.assertFalse((run / "run.json").exists(), "it was killed too late")

    def test_losses_are_those_of_the_built_in_trainer_even_if_it_is_killed(self) -> None:
        import headwater

        with site(documents=120) as here:
            folder = self.prepared()
            run = folder / "runs/random/0"
            self.kill_midway(folder, run)
            done = train(folder, "--part", "0/2")
            self.assertEqual(done.returncode, 0, done.stderr)
            said = headwater.trial("pipeline.toml", HF, collect=True, on_event=quiet)
            self.assertEqual((said["runs"], said["trial"]), (3, None))
            for _ in range(2):
                done = train(folder)
                self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("6 of 6 runs are done", done.stderr)
            self.assertFalse((run / "work").exists())
            log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
            self.assertEqual([line["step"] for line in log], list(range(STEPS)))
            theirs = headwater.trial("pipeline.toml", HF, collect=True, on_event=quiet)["trial"]
            ours = headwater.trial("pipeline.toml", SMALL, on_event=quiet)["trial"]
            for arm, runs in ours["outcomes"].items():
                for seed, loss in runs.items():
                    self.assertAlmostEqual(theirs["outcomes"][arm][seed], loss, delta=BITS, msg=f"{arm} {seed}")
            # the norms that schedules are refined from
            import pyarrow.parquet

            for column in ("loss", "lr", "grad_norm", "grad_norm_l1"):
                both = [
                    pyarrow.parquet.read_table(here / "out/trial" / trial["trial"][:16] / "runs/random/0.parquet")[column].to_pylist()
                    for trial in (theirs, ours)
                ]
                for a, b in zip(*both, strict=True):
                    self.assertLessEqual(abs(a - b), 2e-3 * max(abs(b), 1e-6), column)

    def test_what_cannot_be_trained_or_collected_is_named(self) -> None:
        import headwater

        with site(documents=120):
            folder = self.prepared()
            for options, reason in [
                (["--part", "2/2"], "2/2 is no part"),
                (["--device-sequences", "3"], "--device-sequences 3: it must divide the 4 sequences of a step"),
                (["--device-sequences", "0"], "0 is not at least 1"),
                (["elsewhere"], "elsewhere/runs.json cannot be read"),
            ]:
                failed = train(folder, *options)
                self.assertNotEqual(failed.returncode, 0)
                self.assertIn(reason, failed.stderr)
            run = folder / "runs/random/0"
            run.mkdir(parents=True)
            (run / "run.json").write_text('{"plan": "sha256:0", "arm": "random", "seed": 0, "way": "cpu"}')
            failed = train(folder)
            self.assertNotEqual(failed.returncode, 0)
            self.assertIn("run.json is of another trial: remove the folder", failed.stderr)
            with self.assertRaisesRegex(headwater.HeadwaterError, "run.json"):
                headwater.trial("pipeline.toml", HF, collect=True, on_event=quiet)


if __name__ == "__main__":
    unittest.main()
