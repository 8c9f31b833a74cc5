"""Runs a pipeline on a Ray cluster of this machine: python3 -m unittest discover tests/python"""

import contextlib
import importlib.util
import io
import os
import signal
import subprocess
import sys
import time
import unittest
from pathlib import Path

from site_of_tests import artefacts, site

HAS_RAY = all(importlib.util.find_spec(name) for name in ("headwater", "ray", "pyarrow"))
DRIVER = [sys.executable, "-m", "headwater.ray", "pipeline.toml", "--num-workers=2", "--cpus-per-worker=1"]
ENVIRONMENT = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "RAY_DISABLE_IMPORT_WARNING": "1"}


def driver(*more: str) -> subprocess.CompletedProcess[str]:
    """Runs the driver to its end."""
    return subprocess.run([*DRIVER, *more], capture_output=True, text=True, env=ENVIRONMENT, timeout=300)


def processes(pattern: str) -> list[int]:
    """The processes whose command line holds ``pattern``."""
    found = subprocess.run(["pgrep", "-f", "--", pattern], capture_output=True, text=True).stdout
    return [int(line) for line in found.split()]


def killed(process: int) -> bool:
    """Kills a process; says whether it was there to be killed."""
    try:
        os.kill(process, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def wait_for(what: str, happens: object, seconds: float = 90) -> object:
    """Waits until ``happens()`` is true and returns it."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        value = happens()  # type: ignore[operator]
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"{what} did not happen within {seconds} s")


@unittest.skipUnless(HAS_RAY, "the packages headwater, ray and pyarrow are not installed")
class Cluster(unittest.TestCase):
    """A cluster of two workers on this machine, with a head node of its own for each test."""

    def setUp(self) -> None:
        started = subprocess.run(
            [str(Path(sys.executable).with_name("ray")), "start", "--head", "--num-cpus=2", "--port=0", "--include-dashboard=false", "--disable-usage-stats"],
            capture_output=True,
            text=True,
            env=ENVIRONMENT,
        )
        self.assertEqual(started.returncode, 0, started.stderr)

    def tearDown(self) -> None:
        subprocess.run([str(Path(sys.executable).with_name("ray")), "stop", "--force"], capture_output=True, env=ENVIRONMENT)

    def expected(self, folder: Path) -> dict[str, str]:
        """What the command alone writes."""
        import headwater

        headwater.run("pipeline.toml", on_event=lambda event: None)
        expected = artefacts(folder / "out")
        (folder / "out").rename(folder / "alone")
        return expected

    def test_a_run_is_that_of_the_command_also_after_deaths(self) -> None:
        with site(documents=600) as folder:
            expected = self.expected(folder)
            # the driver dies in the middle, and takes its workers' commands with it
            dying = subprocess.Popen([*DRIVER, "--address=auto", "--parts=12"], stderr=subprocess.DEVNULL, env=ENVIRONMENT)
            scored = lambda: len(list((folder / "out/scores").rglob("*.parquet"))) >= 3  # noqa: E731
            wait_for("a score", scored)
            dying.kill()
            dying.wait()
            wait_for("the end of the commands", lambda: not processes("headwater score pipeline.toml"), 30)
            wait_for("the end of the workers", lambda: not processes("ray::work_on"), 30)
            # a worker of Ray dies in the middle
            again = subprocess.Popen([*DRIVER, "--address=auto", "--parts=12"], stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)
            wait_for("the death of a worker", lambda: any(map(killed, processes("ray::work_on"))))
            printed = again.communicate(timeout=300)[1]
            self.assertEqual(again.returncode, 0, printed)
            self.assertIn("score 11/12: ", printed)
            self.assertEqual(artefacts(folder / "out").keys(), expected.keys())
            self.assertEqual(artefacts(folder / "out"), expected)

    def test_a_worker_takes_as_many_cpus_as_it_asked_for(self) -> None:
        from headwater.ray import work_on

        with site(documents=1500) as folder, contextlib.redirect_stderr(io.StringIO()):
            for threads, name in [(1, "one"), (2, "two")]:
                arguments = ["pipeline.toml", f"--set=run.output={name}"]
                self.assertEqual(work_on(["heads", *arguments], threads, str(folder)).code, 0)
                before, began = os.times(), time.monotonic()
                outcome = work_on(["score", *arguments], threads, str(folder))
                after = os.times()
                self.assertEqual(outcome.code, 0, outcome.said)
                used = after.children_user + after.children_system - before.children_user - before.children_system
                # other threads wait for files; reading and writing them takes a little
                self.assertLess(used / (time.monotonic() - began), threads + 0.4)

    def test_what_cannot_work_is_one_clear_line(self) -> None:
        with site():
            for more, code, said in [
                (["--set=select.fraction=2"], 1, "select.fraction"),
                (["--address=auto", "--cpus-per-worker=64"], 1, "the largest node of the cluster has 2 CPUs, and --cpus-per-worker asks for 64"),
                (["--address=auto", "--gpus-per-worker=1"], 1, "the largest node of the cluster has 0 GPUs, and --gpus-per-worker asks for 1"),
                (["--address=auto", "--set=heads.file=none.json"], 1, "none.json"),
                (["--num-workers=0"], 2, "at least 1"),
            ]:
                ended = driver(*more)
                self.assertEqual(ended.returncode, code, (more, ended.stderr))
                self.assertIn(said, ended.stderr)
                self.assertNotIn("Traceback", ended.stderr)


if __name__ == "__main__":
    unittest.main()
