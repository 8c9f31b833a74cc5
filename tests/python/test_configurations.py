"""Configurations of models as transformers takes them: python3 -m unittest discover tests/python"""

import importlib.util
import subprocess
import sys
import unittest

from site_of_tests import REPOSITORY

HAS_TORCH = all(importlib.util.find_spec(name) for name in ("headwater", "torch", "transformers"))
SCRIPTS = REPOSITORY / "tests/bench/models"


@unittest.skipUnless(HAS_TORCH, "the packages headwater, torch and transformers are not installed")
class Configurations(unittest.TestCase):
    def run_script(self, *arguments: str) -> None:
        done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_keys_have_the_types_that_transformers_declares(self) -> None:
        self.run_script(str(SCRIPTS / "key_types.py"), "--check")

    def test_changed_configurations_are_refused_or_right(self) -> None:
        import headwater

        self.run_script(str(SCRIPTS / "mutated.py"), headwater.find_command(), "--count", "100")


if __name__ == "__main__":
    unittest.main()
