"""Tests the job files, whole and broken: python3 -m unittest discover tests/jobs"""

import contextlib
import importlib.util
import io
import shutil
import signal
import tempfile
import unittest
from collections.abc import Callable, Iterator
from pathlib import Path

import check_jobs

PIPELINES = check_jobs.REPOSITORY / "pipelines"
SCHEMAS = all(importlib.util.find_spec(name) for name in ("yaml", "kubernetes_validate"))

# The usual way to write it, and wrong: srun answers SIGTERM by killing headwater.
WITH_SRUN = """#SBATCH --signal=B:TERM@120
exec srun headwater score "$PIPELINE" --part "$SLURM_ARRAY_TASK_ID/$PARTS"
"""


class Check(unittest.TestCase):
    """Runs the checks over the repository's job files and over copies that are broken at one place."""

    def broken(self, relative: str, before: str, after: str, check: Callable[[Path], Iterator[str]]) -> str:
        """Changes one file of a copy and returns what `check` says about its folder, or about the script `relative`."""
        with tempfile.TemporaryDirectory() as scratch:
            copy = Path(scratch) / "pipelines"
            for folder in ("slurm", "k8s"):
                shutil.copytree(PIPELINES / folder, copy / folder)
            path = copy / relative
            text = path.read_text(encoding="utf-8")
            self.assertIn(before, text)
            path.write_text(text.replace(before, after, 1), encoding="utf-8")
            return "\n".join(check(copy))

    def test_the_job_files_pass(self) -> None:
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            checked, wrong = check_jobs.check(PIPELINES)
        self.assertEqual(wrong, [])
        if "skipped" in printed.getvalue():
            self.skipTest(printed.getvalue())
        self.assertGreater(checked, 10)

    def test_the_exit_codes_are_those_of_the_readme(self) -> None:
        self.assertEqual(list(check_jobs.exit_codes()), [0, 1, 2, 70, 75])

    @unittest.skipUnless(SCHEMAS, "PyYAML or kubernetes-validate is not installed")
    def test_broken_manifests_fail(self) -> None:
        for name, before, after, expected in [
            ("score.yaml", "backoffLimitPerIndex: 3", "backoffLimitPerPart: 3", "'backoffLimitPerPart' was unexpected"),
            ("score.yaml", "completions: 64", 'completions: "64"', "refuses spec.completions"),
            ("score.yaml", "volumeMounts:", "mounts:", "'mounts' was unexpected"),
            ("heads.yaml", "batch/v1", "batch/v7", "Couldn't find schema for kind Job with api version batch/v7"),
            ("score.yaml", "restartPolicy: Never", "restartPolicy: OnFailure", "needs restartPolicy: Never"),
            ("score.yaml", "completions: 64", "completions: 65", "does not divide the plan by its 65 completions"),
            ("score.yaml", "maxFailedIndexes: 64", "maxFailedIndexes: 5", "stops all parts because of some"),
            ("score.yaml", "  backoffLimitPerIndex: 3", "  backoffLimit: 3", "FailIndex needs backoffLimitPerIndex"),
            ("score.yaml", "[1, 2, 70]", "[1, 2]", "exit code 70 leads to None, not FailIndex"),
            ("score.yaml", "[1, 2, 70]", "[1, 2, 3, 70]", "exit code 3 leads to FailIndex, not None"),
            ("score.yaml", "[75]", "[70, 75]", "exit code 70 leads to Ignore, not FailIndex"),
            ("heads.yaml", "action: FailJob", "action: Count", "exit code 1 leads to Count, not FailJob"),
            ("heads.yaml", "containerName: headwater", "containerName: water", "not for given exit codes of headwater"),
            ("finish.yaml", "DisruptionTarget", "Drained", "does not ignore disruptions"),
            ("finish.yaml", "  activeDeadlineSeconds: 86400", "  suspend: false", "without an end"),
            ("finish.yaml", "0.0.0.0:9464", "0.0.0.0:9465", "port 9464"),
            ("finish.yaml", "value: /cache", "value: /tmp", "cannot be written"),
            ("finish.yaml", "readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false", "is not true"),
            ("finish.yaml", 'cpu: "8"', 'cpu: "9"', "its pod differs"),
            ("finish.yaml", "/etc/headwater/pipeline.toml", "/etc/headwater/mine.toml", "is in no ConfigMap"),
            ("kustomization.yaml", "  - score.yaml\n", "", "the folder holds"),
        ]:
            with self.subTest(f"{name}: {after}"):
                found = self.broken(f"k8s/{name}", before, after, lambda copy: check_jobs.check_kubernetes(copy / "k8s"))
                self.assertIn(expected, found)

    @unittest.skipUnless(SCHEMAS and shutil.which("kubectl"), "kubectl or a Python package is not installed")
    def test_broken_kustomizations_fail(self) -> None:
        for name, before, after, expected in [
            ("kustomization.yaml", "[pipeline.toml]", "[mine.toml]", "mine.toml"),
            ("account.yaml", ", stage: setup", "", "ServiceAccount headwater is of no stage"),
        ]:
            with self.subTest(after):
                found = self.broken(f"k8s/{name}", before, after, lambda copy: check_jobs.check_kustomization(copy / "k8s"))
                self.assertIn(expected, found)

    def test_broken_images_and_tables_fail(self) -> None:
        for name, before, after, expected, check in [
            ("Containerfile", "COPY crates", "COPY crate", "there is no crate", check_jobs.check_image),
            ("Containerfile", "COPY tests/fuzz tests/fuzz\n", "", "tests/fuzz, of the workspace, is not copied", check_jobs.check_image),
            ("Containerfile", "rust:1.", "rust:0.", "builds with another Rust", check_jobs.check_image),
            ("README.md", "| 70 |", "| 71 |", "its table has the exit codes [0, 1, 2, 71, 75]", check_jobs.check_table),
        ]:
            with self.subTest(after):
                self.assertIn(expected, self.broken(f"k8s/{name}", before, after, lambda copy: check(copy / "k8s")))

    def test_broken_jobs_fail(self) -> None:
        for name, before, after, expected in [
            ("attempt.sh", "most_restarts=20", "most_restarts=21", "at exit code 75 after 20 restarts"),
            ("attempt.sh", "most_restarts=20", "most_restarts=19", "at exit code 75 after 19 restarts"),
            ("attempt.sh", "-eq 75 &&", "-gt 0 &&", "at exit code 1:"),
            ("attempt.sh", "    code=0\n", "", "at exit code 2:"),
            ("attempt.sh", '"$job"', '"$SLURM_JOB_ID"', "at exit code 75 after 0 restarts"),
            ("attempt.sh", 'kill -TERM "$child"', ":", "at the time limit (SIGUSR1)"),
            ("attempt.sh", " cancelled=yes; kill", "; kill", "at scancel (SIGTERM)"),
            ("attempt.sh", "while [[", "while false && [[", "at the time limit (SIGUSR1)"),
            ("score.sbatch", "$SLURM_ARRAY_TASK_ID/$PARTS", "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT", "--part 7/2"),
            ("score.sbatch", "#SBATCH --signal=B:USR1@120", "#", "it is not warned"),
        ]:
            with self.subTest(after):
                check = lambda copy: check_jobs.check_job(copy / "slurm" / "score.sbatch")  # noqa: E731
                self.assertIn(expected, self.broken(f"slurm/{name}", before, after, check))

    def test_srun_does_not_pass_sigterm_on(self) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            script = Path(scratch) / "score.sbatch"
            script.write_text(f"#!/bin/bash\n{WITH_SRUN}", encoding="utf-8")
            seen = check_jobs.attempt(script, sent=signal.SIGTERM)
            self.assertNotIn("headwater got SIGTERM", seen.log)
            self.assertIn("at the time limit (SIGTERM)", "\n".join(check_jobs.check_job(script)))

    def test_broken_submissions_fail(self) -> None:
        for before, after, expected in [
            ("afterok:$score", "afterany:$score", "not finish.sbatch"),
            ("${id%%;*}", "$id", "not score.sbatch"),
            ("PARTS - 1", "PARTS", "not score.sbatch"),
            ("-le 1001", "-le 9999", "with ['mine.toml', '1002']"),
            (" || return", "", "goes on when sbatch fails"),
        ]:
            with self.subTest(after):
                check = lambda copy: check_jobs.check_submit(copy / "slurm" / "submit.sh")  # noqa: E731
                self.assertIn(expected, self.broken("slurm/submit.sh", before, after, check))

    def test_broken_syntax_fails(self) -> None:
        check = lambda copy: check_jobs.check_syntax(copy / "slurm" / "attempt.sh")  # noqa: E731
        self.assertIn("syntax error", self.broken("slurm/attempt.sh", "\ndone\n", "\n", check))

    @unittest.skipUnless(check_jobs.HEADWATER.exists(), "headwater is not built")
    def test_unknown_options_fail(self) -> None:
        for name, before, after in [("slurm/score.sbatch", "--part", "--parts"), ("slurm/heads.sbatch", "heads \"", "head \"")]:
            with self.subTest(after):
                self.assertIn("headwater", self.broken(name, before, after, check_jobs.check_options))


if __name__ == "__main__":
    unittest.main()
