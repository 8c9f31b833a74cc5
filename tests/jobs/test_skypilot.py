"""Tests the file for SkyPilot: python3 -m unittest discover tests/jobs

SkyPilot itself needs a cloud; its schema's keys were read in version 0.14.1.
"""

import importlib.util
import subprocess
import tempfile
import unittest
from pathlib import Path

import check_jobs

FILE = check_jobs.REPOSITORY / "pipelines/skypilot/headwater.yaml"


@unittest.skipUnless(importlib.util.find_spec("yaml"), "PyYAML is not installed")
class SkyPilot(unittest.TestCase):
    def setUp(self) -> None:
        import yaml

        self.task = yaml.safe_load(FILE.read_text(encoding="utf-8"))

    def run_with(self, ends: int, **variables: str) -> tuple[int, str]:
        """Runs the task with a stub of headwater that ends with ``ends``; returns its exit code and how the stub was called."""
        with tempfile.TemporaryDirectory() as folder:
            stub = Path(folder) / "headwater"
            stub.write_text(f'#!/bin/sh\necho "$@" > "{folder}/called"\nexit {ends}\n')
            stub.chmod(0o755)
            environment = {"PATH": f"{folder}:/usr/bin:/bin", **self.task["envs"], **variables}
            code = subprocess.run(["bash", "-c", self.task["run"]], env=environment, capture_output=True).returncode
            return code, Path(folder, "called").read_text().strip()

    def test_exit_codes_are_those_of_headwater_and_a_part_with_rejects_is_done(self) -> None:
        for ends in check_jobs.exit_codes():
            self.assertEqual(self.run_with(ends), (ends, "run pipeline.toml"))
            expected = 0 if ends == 2 else ends
            called = "score mine.toml --part 3/64"
            self.assertEqual(self.run_with(ends, COMMAND="score", PIPELINE="mine.toml", PART="3/64"), (expected, called))

    def test_only_what_another_try_may_mend_is_tried_again(self) -> None:
        self.assertEqual(self.task["resources"]["job_recovery"], {"recover_on_exit_codes": [75], "max_restarts_on_errors": 0})


if __name__ == "__main__":
    unittest.main()
