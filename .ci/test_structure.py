"""What the structure check finds in small crates that break its rules, and what it lets pass."""

import pathlib
import tempfile
import unittest

import rust_modules
import structure


class Crates(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.crates = pathlib.Path(folder.name)

    def errors(self, files, crate="record"):
        for name, text in files.items():
            path = self.crates / crate / "src" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return "\n".join(structure.source_errors(self.crates))

    def test_a_circle_through_re_exports_is_found(self):
        files = {
            "lib.rs": "mod a;\nmod b;\npub use a::A;\npub use b::{B, other as renamed};\n",
            "a.rs": "use crate::B;\npub struct A(B);\n",
            "b.rs": "pub struct B;\npub fn other() { let x = crate::A(B); }\n",
        }
        found = self.errors(files)
        self.assertIn("circle", found)
        self.assertIn("a.rs:1 uses", found)
        self.assertIn("b.rs:2 uses", found)
        files["b.rs"] = "pub struct B;\npub fn other() {}\n"
        self.assertEqual(self.errors(files), "")

    def test_tests_comments_and_strings_close_no_circle(self):
        files = {
            "lib.rs": "mod a;\nmod b;\n",
            "a.rs": "use crate::b::B;\npub struct A(B);\n",
            "b.rs": '/// [`A`](crate::a::A)\npub struct B;\n/* use crate::a::A; */\nconst S: &str = "crate::a::A";\n'
            "#[cfg(test)]\nmod tests {\n    use crate::a::A;\n}\n",
        }
        self.assertEqual(self.errors(files), "")

    def test_a_child_may_use_its_parents_types_but_not_call_back(self):
        files = {
            "lib.rs": "mod parent;\n",
            "parent.rs": "mod child;\npub trait Rank {}\npub fn all() -> child::Best { child::Best }\nfn shared() {}\n",
            "parent/child.rs": "use super::Rank;\npub struct Best;\nimpl Rank for Best {}\n",
        }
        self.assertEqual(self.errors(files), "")
        files["parent/child.rs"] += "fn go() { super::shared() }\n"
        self.assertIn("circle", self.errors(files))

    def test_a_parent_that_only_passes_on_uses_nothing(self):
        files = {
            "lib.rs": "mod parent;\n",
            "parent/mod.rs": "mod child;\npub use child::run;\npub fn shared() {}\n",
            "parent/child.rs": "pub fn run() { super::shared() }\n",
        }
        self.assertEqual(self.errors(files), "")

    def test_libraries_do_not_print_or_read_the_environment(self):
        text = (
            "use std::env;\nuse std::env::var_os;\n"
            'pub fn go() {\n    println!("x");\n    std::io::stderr();\n    env::args();\n}\n'
            '#[cfg(test)]\nmod tests {\n    fn f() { println!("{:?}", std::env::var("A")) }\n}\n'
        )
        lines = self.errors({"lib.rs": text}).splitlines()
        self.assertEqual([line.split("lib.rs:")[1].split()[0] for line in lines], ["4", "5", "6", "2"])
        self.assertEqual(self.errors({"lib.rs": "pub fn stdout() {}\nfn f(c: C) { c.stdout(); c.args() }\n"}), "")

    def test_the_command_may_but_is_short(self):
        self.assertEqual(self.errors({"main.rs": 'fn main() {\n    println!("x");\n}\n'}, "cli"), "")
        long = "mod other;\nfn main() {}\n" + "// a line\n" * 799
        found = self.errors({"main.rs": long, "other.rs": "// a line\n" * 700}, "cli")
        self.assertIn("main.rs has 801 lines", found)
        self.assertIn("cli has 1501 lines", found)

    def test_lines_of_tests_do_not_count(self):
        text = "fn f() {}\n#[cfg(test)]\nmod tests {\n" + "    // a line\n" * 900 + "}\n"
        self.assertEqual(self.errors({"lib.rs": text}), "")

    def test_dependencies_are_those_of_the_table(self):
        def package(name, *dependencies, kind=None):
            return {"name": f"headwater-{name}", "dependencies": [{"name": d, "kind": kind} for d in dependencies]}

        wrong = [package("record", "headwater-store"), package("cli", "headwater-select"), package("new"), package("run", "tokio")]
        found = list(structure.dependency_errors(wrong))
        self.assertEqual(len(found), 4, found)
        right = [package("cli", "headwater-pipeline", "headwater-record", "clap"), package("record", "headwater-store", kind="dev")]
        self.assertEqual(list(structure.dependency_errors(right)), [])


class Tokens(unittest.TestCase):
    def test_lifetimes_characters_and_raw_strings(self):
        words = [token.text for token in rust_modules.tokens("""<'a> '{' b'"' r#"{ "x" }"# '\\u{1F}' "\\"" /* /* */ { */ end""")]
        self.assertEqual([word for word in words if word != '""'], ["<", ">", "end"])


if __name__ == "__main__":
    unittest.main()
