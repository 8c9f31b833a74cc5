import contextlib
import io
import os
import pathlib
import tempfile
import unittest
from unittest import mock

import run_tests

SUITE = """
import unittest

class Some(unittest.TestCase):
    def test_passes(self):
        pass

    @unittest.skip("a tool is\\n missing")
    def test_needs_a_tool(self):
        pass
"""


class Skipped(unittest.TestCase):
    def run_in(self, arguments, **environment):
        """Runs `arguments` with a suite in a folder of its own; returns the exit code, what was printed and what was counted."""
        with tempfile.TemporaryDirectory() as scratch:
            counted = pathlib.Path(scratch) / "counted"
            name = f"test_{pathlib.Path(scratch).name.lower()}"
            (pathlib.Path(scratch) / f"{name}.py").write_text(SUITE)
            outside = {key: value for key, value in os.environ.items() if key != "CI"}
            variables = {**outside, run_tests.VARIABLE: str(counted), **environment}
            printed = io.StringIO()
            with mock.patch.dict(os.environ, variables, clear=True):
                with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(io.StringIO()):
                    code = run_tests.main([argument.replace("FOLDER", scratch) for argument in arguments])
            text = printed.getvalue().replace(name, "suite")
            return code, text, counted.read_text().replace(name, "suite") if counted.exists() else ""

    def test_a_skipped_test_of_a_suite_is_counted_and_fails_in_ci(self):
        line = "skipped: suite.Some.test_needs_a_tool: a tool is missing\n"
        self.assertEqual(self.run_in(["FOLDER"]), (0, f"{line}1 tests were skipped\n", line))
        self.assertEqual(self.run_in(["FOLDER"], CI="true")[0], 1)

    def test_a_skipped_test_of_a_command_is_counted_and_fails_in_ci(self):
        command = ["sh", "-c", f"echo 'skipped: a: b' >> ${run_tests.VARIABLE}"]
        line = "skipped: a: b\n"
        self.assertEqual(self.run_in(command), (0, f"{line}1 tests were skipped\n", line))
        self.assertEqual(self.run_in(command, CI="true")[0], 1)

    def test_without_a_skipped_test_the_code_is_that_of_the_tests(self):
        for command, code in (["true"], 0), (["false"], 1):
            self.assertEqual(self.run_in(command, CI="true"), (code, "0 tests were skipped\n", ""))


if __name__ == "__main__":
    unittest.main()
