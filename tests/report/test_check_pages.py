"""Tests report pages of made-up runs in a browser, whole and broken: python3 -m unittest discover tests/report"""

import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

import check_pages

REPOSITORY = Path(__file__).resolve().parents[2]
MOST_BYTES = 3_000_000


def setUpModule() -> None:
    missing = check_pages.MISSING + ([] if shutil.which("cargo") else ["cargo"])
    if missing:
        raise unittest.SkipTest(f"no page was opened: {' and '.join(missing)} not installed")


class Check(unittest.TestCase):
    """Runs the checks over pages made with `cargo run`, and over copies that are broken at one place."""

    @classmethod
    def setUpClass(cls) -> None:
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.pages, cls.shots = Path(folder.name) / "pages", Path(folder.name) / "shots"
        cls.shots.mkdir()
        # no --package: with the features of the whole workspace nothing is built that `cargo test --workspace` has not built
        command = ["cargo", "run", "--quiet", "--example", "write_page", "--", str(cls.pages)]
        subprocess.run(command, cwd=REPOSITORY, check=True)
        cls.browser = cls.enterClassContext(check_pages.opened_browser())

    def wrong(self, path: Path) -> str:
        return "\n".join(check_pages.check_page(self.browser, path, self.shots))

    def broken(self, *changes: tuple[str, str], page: str = "upsampled") -> str:
        """Replaces each text by the one after it wherever it is on a page, and returns what the check says."""
        text = (self.pages / f"{page}.html").read_text(encoding="utf-8")
        for before, after in changes:
            self.assertIn(before, text)
            text = text.replace(before, after)
        path = self.pages.parent / "broken.html"
        path.write_text(text, encoding="utf-8")
        return self.wrong(path)

    def test_every_page_is_in_order(self) -> None:
        names = {path.stem for path in self.pages.glob("*.html")}
        self.assertEqual(names, {"full", "upsampled", "partial", "empty", "maximal", "compared"})
        for name in sorted(names):
            with self.subTest(name):
                self.assertEqual(self.wrong(self.pages / f"{name}.html"), "")
                self.assertLess((self.pages / f"{name}.html").stat().st_size, MOST_BYTES)
                for width in (check_pages.PHONE, check_pages.DESK):
                    for scheme in ("light", "dark"):
                        self.assertGreater((self.shots / f"{name}-{width}-{scheme}.png").stat().st_size, 5_000)

    def test_hostile_text_reads_as_it_is(self) -> None:
        page = self.browser.new_page()
        page.goto((self.pages / "full.html").as_uri())
        text = page.evaluate("() => document.querySelector('main').textContent")
        page.close()
        for payload in [
            "</script><script>window.hacked = 1</script>",
            '<img src=x onerror="window.hacked = 2">',
            "</pre></article></main></body><iframe src=\"javascript:parent.hacked = 5\"></iframe>",
            "nul ␀ bell ␇ escape ␛[31mred␛[0m carriage␍\nreturn delete ␡ next line ⟨U+0085⟩ byte order mark ⟨U+FEFF⟩",
            "user⟨U+202E⟩gpj.exe⟨U+202C⟩ ⟨U+2066⟩isolated⟨U+2069⟩",
            "السلام عليكم ورحمة الله. שלום עולם.",
        ]:
            with self.subTest(payload):
                self.assertIn(payload, text)

    def test_broken_pages_fail(self) -> None:
        lead = '<p class="about">Read'
        no_policy = ('<meta http-equiv="Content-Security-Policy"', '<meta name="none"')
        for name, changes, expected in [
            ("script", [(lead, f"<script>window.hacked = 1</script>{lead}")], "console: error: "),
            ("script that runs", [(lead, f"<script>window.hacked = 1</script>{lead}"), no_policy], "text ran: payload 1"),
            ("request", [no_policy, ("<style>", '<link rel="stylesheet" href="other.css"><style>')], "other.css"),
            ("no words", [("<desc>", "<desc></desc><metadata>")], "no text alternative with numbers"),
            ("no title", [("<figcaption><b>", "<figcaption><i>")], "no title, or no picture of that name"),
            ("no name", [('role="img"', 'role="none"')], "with a name for screen readers"),
            ("no unit", [("base loss (nats per token)", "base loss")], "the axis 'base loss' is not"),
            ("wide", [(lead, f"{lead}{'x' * 300}")], "at 400 pixels P.about is too wide"),
            ("faint", [("--muted: #53606c", "--muted: #a0a8b0"), no_policy], "light: too little contrast"),
            ("order", [("sign * document.keys[at]", "document.keys[at]"), no_policy], "down is no order"),
            ("search", [("document.text.includes(needle)", "true"), no_policy], "a search for"),
        ]:
            with self.subTest(name):
                self.assertIn(expected, self.broken(*changes))

    def test_a_broken_explorer_fails(self) -> None:
        no_policy = ('<meta http-equiv="Content-Security-Policy"', '<meta name="none"')
        for name, change, expected in [
            ("counts", ("documents: domain.documents[percent]", "documents: domain.documents[0]"), "domain 0 at 1 %: "),
            ("documents that move", ("!one.isKept && isNow(one)", "isNow(one)"), "enter and leave, not"),
            ("passes", ("(weight ?? selected", "(selected"), "passes, not"),
        ]:
            with self.subTest(name):
                self.assertIn(expected, self.broken(change, no_policy, page="full"))


if __name__ == "__main__":
    unittest.main()
