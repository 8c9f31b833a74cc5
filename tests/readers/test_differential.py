"""A thousand random files against pyarrow."""

import unittest

import differential


class Differential(unittest.TestCase):
    def test_random_files_are_read_as_pyarrow_reads_them(self):
        self.assertEqual(differential.differences(1_000, 0), [])


if __name__ == "__main__":
    unittest.main()
