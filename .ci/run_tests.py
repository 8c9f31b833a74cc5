"""Runs tests and counts those that were skipped because something is missing; in CI a skipped test fails.

    python3 .ci/run_tests.py tests/readers            the unittest suite of a folder
    python3 .ci/run_tests.py cargo test --workspace   a command whose tests add a line for each skipped one to $HEADWATER_SKIPPED

If the caller has set $HEADWATER_SKIPPED, the lines are added to its file too, so that several runs are counted together.
"""

import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

VARIABLE = "HEADWATER_SKIPPED"


def run_suite(folder):
    """Runs the suite of a folder; returns whether it passed, and a line for each skipped test."""
    result = unittest.TextTestRunner().run(unittest.TestLoader().discover(folder, top_level_dir=folder))
    skipped = [f"skipped: {test.id()}: {' '.join(reason.split())}" for test, reason in result.skipped]
    return result.wasSuccessful() and result.testsRun + len(skipped) > 0, skipped


def run_command(command):
    """Runs a command; returns whether it succeeded, and the lines that its tests left."""
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "skipped"
        code = subprocess.run(command, env={**os.environ, VARIABLE: str(file)}).returncode
        return code == 0, file.read_text(encoding="utf-8").splitlines() if file.exists() else []


def main(arguments):
    if not arguments:
        sys.exit(__doc__)
    alone = len(arguments) == 1 and pathlib.Path(arguments[0]).is_dir()
    passed, skipped = run_suite(arguments[0]) if alone else run_command(arguments)
    for line in skipped:
        print(line)
    print(f"{len(skipped)} tests were skipped", flush=True)
    if skipped and VARIABLE in os.environ:
        with open(os.environ[VARIABLE], "a", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in skipped)
    return 0 if passed and not (skipped and "CI" in os.environ) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
