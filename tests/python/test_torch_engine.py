"""The torch engine in the command, beside the native one: python3 -m unittest discover tests/python"""

import importlib.util
import os
import signal
import subprocess
import sys
import time
import unittest

from site_of_tests import TINY, artefacts, site

HAS_TORCH = all(importlib.util.find_spec(name) for name in ("headwater", "torch", "transformers", "pyarrow"))
NATS = 2e-4
TORCH = ["--set=model.engine=torch"]


def command(*arguments: str, python: str = sys.executable) -> subprocess.CompletedProcess[str]:
    """Runs the command to its end, with a Python for its workers."""
    import headwater

    environment = {**os.environ, "HEADWATER_PYTHON": python}
    return subprocess.run([headwater.find_command(), *arguments], capture_output=True, text=True, env=environment)


@unittest.skipUnless(HAS_TORCH, "the packages headwater, pyarrow, torch and transformers are not installed")
class TorchEngine(unittest.TestCase):
    def setUp(self) -> None:
        before = os.environ.get("HEADWATER_PYTHON")
        os.environ["HEADWATER_PYTHON"] = sys.executable
        self.addCleanup(lambda: os.environ.pop("HEADWATER_PYTHON") if before is None else os.environ.update(HEADWATER_PYTHON=before))

    def test_scores_are_those_of_the_native_engine(self) -> None:
        import headwater

        with site():
            columns = ["id", "loss_base", "loss_masked", "scored_tokens"]
            for name in ["llama", "gemma2", "gpt_neox"]:
                both = []
                for engine in ["native", "torch"]:
                    overrides = {"run.output": f"{name}-{engine}", "model.engine": engine, "model.name": TINY / name}
                    run = headwater.run("pipeline.toml", overrides, on_event=lambda event: None)
                    both.append(run.scores().to_table(columns=columns).sort_by("id").to_pydict())
                native, torch = both
                self.assertEqual(native["scored_tokens"], torch["scored_tokens"])
                for column in ["loss_base", "loss_masked"]:
                    off = max(abs(a - b) for a, b in zip(native[column], torch[column]))
                    self.assertLessEqual(off, NATS, (name, column))

    def test_a_worker_that_is_killed_changes_no_byte(self) -> None:
        import headwater

        with site(documents=250) as folder:
            expected = command("run", "pipeline.toml", *TORCH)
            self.assertEqual(expected.returncode, 0, expected.stderr)
            (folder / "out").rename(folder / "expected")
            running = subprocess.Popen(
                [headwater.find_command(), "run", "pipeline.toml", *TORCH], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
            )
            deadline, killed = time.monotonic() + 120, False
            while running.poll() is None and not killed and time.monotonic() < deadline:
                if any((folder / "out").rglob("scores/**/*.parquet")):
                    workers = subprocess.run(["pgrep", "-P", str(running.pid)], capture_output=True, text=True).stdout.split()
                    for worker in workers:
                        os.kill(int(worker), signal.SIGKILL)
                        killed = True
                time.sleep(0.005)
            said = running.communicate(timeout=120)[1]
            self.assertEqual(running.returncode, 0, said)
            self.assertTrue(killed, "the run was over before its worker could be killed")
            self.assertIn("died and is started again", said)
            self.assertEqual(artefacts(folder / "out"), artefacts(folder / "expected"))

    def test_what_cannot_be_used_is_one_clear_line(self) -> None:
        with site() as folder:
            empty = folder / "empty"
            subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(empty)], check=True)
            for more, python, said in [
                ([], "no/python", "cannot start no/python"),
                ([], str(empty / "bin/python"), "has no torch: pip install torch transformers"),
                (["--set=model.device=cuda:7"], sys.executable, "cannot use device cuda:7"),
                (["--set=model.device=floppy"], sys.executable, "cannot use device floppy"),
                (["--set=model.precision=int8"], sys.executable, "the torch engine has bf16 and f32"),
                (["--numerics=avx2"], sys.executable, "instruction level avx2"),
            ]:
                ended = command("run", "pipeline.toml", *TORCH, *more, python=python)
                self.assertEqual(ended.returncode, 1, (more, ended.stderr))
                errors = [line for line in ended.stderr.splitlines() if line.startswith("error")]
                self.assertEqual(len(errors), 1)
                self.assertIn(said, errors[0])
                self.assertNotIn("Traceback", ended.stderr)


if __name__ == "__main__":
    unittest.main()
