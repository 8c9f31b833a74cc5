"""Cuts packages into documents: one generator per kind of source, each yielding (name, text).

Standard library only. Nothing here fetches; `build.py` opens the packages and chooses among what these functions yield.
"""

import ast
import inspect
import re
import zlib
from collections.abc import Iterator
from html.parser import HTMLParser

Files = dict[str, bytes]
Documents = Iterator[tuple[str, str]]

BLOCKS = {
    "p", "div", "li", "ul", "ol", "dl", "dt", "dd", "tr", "table", "pre", "blockquote", "section", "br",
    "h1", "h2", "h3", "h4", "h5", "h6",
}  # fmt: skip
SILENT = {"script", "style", "head", "nav", "button", "svg", "select", "form"}
VOID = {"br", "hr", "img", "input", "link", "meta", "col", "area", "wbr"}
# Page furniture of the three documentation sets, by id or class.
FURNITURE = {"navheader", "navfooter", "nosearch", "toc", "indexterm", "searchmenu", "buttons", "boring"}


class _PlainText(HTMLParser):
    """Collects the text of a page: blocks end lines, `pre` keeps its spaces, cells are joined by ` | `."""

    def __init__(self, root: str | None) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self.silent: list[str] = []
        self.preformatted = 0
        self.root = root
        self.inside = root is None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == self.root:
            self.inside = True
        marks = {word for key, value in attrs if key in ("class", "id") for word in (value or "").split()}
        if self.silent:
            if tag == self.silent[0]:
                self.silent.append(tag)
            return
        if not self.inside:
            return
        if (tag in SILENT or marks & FURNITURE) and tag not in VOID:
            self.silent.append(tag)
            return
        if tag == "pre":
            self.preformatted += 1
        if tag == "li":
            self.parts.append("\n- ")
        elif tag in ("td", "th"):
            self.parts.append(" | ")
        elif tag in BLOCKS:
            self.parts.append("\n\n" if tag in ("p", "pre", "h1", "h2", "h3", "h4", "table") else "\n")

    def handle_endtag(self, tag: str) -> None:
        if self.silent:
            if tag == self.silent[0]:
                self.silent.pop()
            return
        if tag == self.root:
            self.inside = False
        if tag == "pre":
            self.preformatted = max(0, self.preformatted - 1)
        if tag in BLOCKS:
            self.parts.append("\n")

    def handle_data(self, data: str) -> None:
        if self.silent or not self.inside:
            return
        self.parts.append(data if self.preformatted else re.sub(r"\s+", " ", data))


def page_text(page: bytes, root: str | None = None) -> str:
    """Returns the readable text of an HTML page, of its `root` element alone where one is named."""
    parser = _PlainText(root)
    parser.feed(page.decode("utf-8", "replace"))
    parser.close()
    return tidy("".join(parser.parts))


def tidy(text: str) -> str:
    """Drops trailing spaces, carriage returns and runs of empty lines; the text ends with one newline."""
    lines = [line.rstrip() for line in text.replace("\r\n", "\n").split("\n")]
    lines = [re.sub(r"^ (?=\S)", "", re.sub(r"^ ?\| ", "", line)) for line in lines]
    joined = re.sub(r"^-\s*\n+", "- ", "\n".join(lines), flags=re.M)
    return re.sub(r"\n{3,}", "\n\n", joined).strip("\n") + "\n"


def pages(files: Files, pattern: str, root: str | None = None) -> Documents:
    """Yields each HTML page whose path matches, under its file name without `.html`."""
    for path, data in files.items():
        if re.search(pattern, path) and b"http-equiv=\"refresh\"" not in data:
            yield path.rsplit("/", 1)[-1].removesuffix(".html"), page_text(data, root)


def sources(files: Files, pattern: str, strip: str) -> Documents:
    """Yields each source file whose path matches, whole and unchanged, under its path without `strip`."""
    for path, data in files.items():
        if re.search(pattern, path):
            yield re.sub(strip, "", path), data.decode("utf-8")


def docstrings(files: Files, pattern: str) -> Documents:
    """Yields the docstring of each public function or class, headed by its signature's name, and of each module."""
    for path, data in files.items():
        if not re.search(pattern, path):
            continue
        tree = ast.parse(data.decode("utf-8"))
        taken: set[str] = set()
        for node in ast.walk(tree):
            if not isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.Module)):
                continue
            name = getattr(node, "name", "module")
            text = ast.get_docstring(node, clean=False)
            if text and not name.startswith("_") and name not in taken:
                taken.add(name)
                head = f"{name}\n\n" if name != "module" else ""
                yield f"{path}#{name}", head + inspect.cleandoc(text) + "\n"


def string_docstrings(files: Files, path: str) -> Documents:
    """Yields the docstrings that a module keeps as plain assignments, `name = r\"\"\"...\"\"\"`."""
    for node in ast.parse(files[path].decode("utf-8")).body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            name = node.targets[0].id
            yield f"{path}#{name}", f"{name}\n\n{inspect.cleandoc(node.value.value)}\n"


def r_strings(raw: bytes) -> list[str]:
    """Reads one character vector in R's XDR serialisation, version 2 or 3; anything else has no strings."""

    def integer(at: int) -> int:
        return int.from_bytes(raw[at : at + 4], "big", signed=True)

    at = 2 + 12
    if integer(2) == 3:
        at += 4 + integer(at)
    if integer(at) & 0xFF != 16:
        return []
    count, at = integer(at + 4), at + 8
    strings = []
    for _ in range(count):
        length = integer(at + 4)
        strings.append(raw[at + 8 : at + 8 + max(length, 0)].decode("utf-8", "replace"))
        at += 8 + max(length, 0)
    return strings


def novels(rdb: bytes, titles: dict[str, str]) -> Documents:
    """Yields the chapters of the novels in an R lazy-load database, recognised by their title lines."""
    rest = rdb
    while len(rest) > 4:  # each entry: 4 bytes of unpacked length, then a zlib stream
        stream = zlib.decompressobj()
        lines = r_strings(stream.decompress(rest[4:]))
        rest = stream.unused_data
        opening = " ".join(lines[:20]).lower()
        slug = next((slug for title, slug in titles.items() if title in opening), None)
        if slug is None:
            continue
        chapters = re.split(r"(?im)^(?=chapter\s+(?:\d+|[ivxlc]+)\.?\s*$)", "\n".join(lines))
        for number, chapter in enumerate(chapters[1:], start=1):
            yield f"{slug}/chapter-{number:02}", tidy(re.sub(r"(?im)^(volume [ivx]+|finis|the end)\s*$", "", chapter))


def treatise(text: str) -> Documents:
    """Yields the propositions, experiments, observations and queries of Newton's Opticks."""
    text = text[text.index("OPTICKS:") :].replace("\r\n", "\n")
    marker = r"(?m)^(?=_?(?:PROP\. [IVX]+|Exper\. \d+|_?Obs\. \d+|Quest?\.? \d+|_?Qu\. \d+|DEFIN|AX\. )|_?(?:Exper|Obs|Qu)\._? \d+)"
    for number, part in enumerate(re.split(marker, text)):
        yield f"part-{number:03}", tidy(part)


def metamath_sections(text: str) -> Documents:
    """Yields the sections of a Metamath database: heading, prose, statements with their comments; proofs are left out."""
    rule = r"(?:=-){20,}=?|(?:-\.){20,}-?"
    parts = re.split(rf"(?m)^\$\(\n(?={rule})", text)
    for number, part in enumerate(parts[1:], start=1):
        title = re.sub(rule, "", part).strip().split("\n")[0].strip()
        slug = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
        body = re.sub(r"(?m)^\$\)$", "", part, count=1)
        body = re.sub(r"\$=.*?\$\.", "$.", body, flags=re.S)
        body = re.sub(r"\(\s*(?:Contributed|Proof\s+shortened|Revised)\s+by[^()]*(?:\([^()]*\)[^()]*)*\)", "", body)
        body = re.sub(r"(?m)^\s*\$\{\s*$|^\s*\$\}\s*$", "", body)
        body = re.sub(r"\$\(\s*Begin \$\[.*|\$\(\s*End \$\[.*|(?m:^" + rule + r"\s*$)", "", body)
        yield f"{number:04}-{slug[:60]}", tidy(body)
