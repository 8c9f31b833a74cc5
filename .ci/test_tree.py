"""What the check of the dependency tree finds, and what it lets pass."""

import unittest

import tree


class Stack(unittest.TestCase):
    def test_one_of_each_passes(self):
        self.assertEqual(list(tree.stack_errors({("rustls", "v0.23.46"), ("ring", "v0.17.14"), ("reqwest", "v0.13.5")})), [])

    def test_a_second_client_provider_or_version_is_found(self):
        for second, expected in [
            ("ureq", "ureq is a second HTTP client beside reqwest"),
            ("aws-lc-rs", "aws-lc-rs is a second provider of TLS beside ring"),
            ("native-tls", "native-tls is a second TLS beside rustls"),
            ("reqwest", "reqwest is there in the versions v0.12.0 and v0.13.5"),
        ]:
            with self.subTest(second):
                (found,) = tree.stack_errors({("rustls", "v0.23.46"), ("reqwest", "v0.13.5"), (second, "v0.12.0")})
                self.assertIn(expected, found)


class Rust(unittest.TestCase):
    def errors(self, dependency, compiler="1.95.0", own="1.95"):
        packages = [
            {"name": "ours", "version": "0.1.0", "source": None, "rust_version": own},
            {"name": "theirs", "version": "2.0.0", "source": "registry", "rust_version": dependency},
        ]
        return "\n".join(tree.rust_errors(packages, compiler))

    def test_dependencies_that_need_no_newer_one_pass(self):
        for dependency in (None, "1.65", "1.95", "1.95.0"):
            self.assertEqual(self.errors(dependency), "")

    def test_a_newer_one_is_found(self):
        self.assertIn("theirs 2.0.0 needs Rust 1.96", self.errors("1.96"))
        self.assertIn("1.94 is declared, 1.95.0 builds", self.errors(None, own="1.94"))
        self.assertIn("different versions", self.errors(None, own=None))


if __name__ == "__main__":
    unittest.main()
