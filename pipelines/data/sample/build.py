"""Builds the sample corpus: fetches pinned packages, cuts them into documents, chooses, writes the shards.

Run it from anywhere, on Debian 12 with Python 3.11, cargo and the ordinary package clients:

    python3 -m pip install pyarrow==26.0.1
    python3 pipelines/data/sample/build.py --cache /tmp/sample-packages

The same packages give the same documents in the same order; the same pyarrow gives the same bytes.
"""

import argparse
import collections
import hashlib
import io
import re
import subprocess
import tarfile
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import extract
import pyarrow as pa
import pyarrow.parquet as pq

HERE = Path(__file__).resolve().parent
ROW_GROUP_BYTES = 96 * 1024  # of text, so that a shard has several row groups
NESTED_SHARE = 8  # every 8th document of each domain goes to the shard with nested columns

# Documents with somebody's mail address, or with the address of a package host, stay out.
ADDRESSES = re.compile(r"\w@[a-z0-9-]+\.[a-z]|\b(crates|npmjs|pypi|debian)\.(io|com|org)\b", re.I)

CRATES = {
    "memchr": "2.8.3", "ignore": "0.4.34", "globset": "0.4.21", "walkdir": "2.5.0", "itertools": "0.15.0",
    "rayon-core": "1.13.0", "regex-automata": "0.4.19", "lua-src": "551.1.0", "libz-sys": "1.1.31",
}  # fmt: skip


@dataclass(frozen=True)
class Source:
    """One package's part of one domain: where it comes from and which of its documents qualify."""

    domain: str
    name: str
    package: str  # "deb NAME=VERSION", "wheel NAME==VERSION" or "crate NAME=VERSION"
    licence: str
    cut: Callable[[extract.Files], extract.Documents]
    count: int
    bytes: tuple[int, int] = (900, 9_000)
    always: tuple[str, ...] = ()  # endings of names taken whatever their length


def crate(name: str, licence: str, pattern: str, count: int, always: tuple[str, ...] = (), strip: str = r"^") -> Source:
    """Describes the source files of one pinned crate."""
    cut = lambda files: extract.sources(files, pattern, strip)  # noqa: E731
    label = {"lua-src": "lua", "libz-sys": "zlib"}.get(name, name)
    return Source("code", label, f"crate {name}={CRATES[name]}", licence, cut, count, (700, 8_500), always)


def wheel(domain: str, name: str, version: str, licence: str, count: int, cut: Callable, **more: object) -> Source:
    """Describes part of one pinned Python wheel."""
    return Source(domain, name, f"wheel {name}=={version}", licence, cut, count, **more)


def python_files(files: extract.Files) -> extract.Documents:
    """Yields a wheel's own modules."""
    return extract.sources(files, r"^[a-z0-9]+/(?!_unicode_data).*(?<!__init__)\.py$", "^")


AUSTEN = {
    "sense and sensibility": "sense-and-sensibility", "pride and prejudice": "pride-and-prejudice",
    "mansfield park": "mansfield-park", "northanger abbey": "northanger-abbey", "persuasion": "persuasion",
    "emma": "emma",
}  # fmt: skip
JANEAUSTENR = "deb r-cran-janeaustenr=1.0.0-1"
GO = "deb golang-1.19-src=1.19.8-2"
SQLITE = "deb sqlite3-doc=3.40.1-2+deb12u2"
POSTGRES = "deb postgresql-doc-15=15.20-0+deb12u1"
RUST = "deb rust-doc=1.63.0+dfsg1-2"
METAMATH = "deb metamath-databases=0.0.0~20210101.git55fe226-2"
GO_ROOT = "usr/share/go-1.19/src/"
SQLITE_ESSAYS = (
    "about|appfileformat|aff_short|atomiccommit|codeofethics|cpu|different|famous|fasterthanfs|features|footprint|"
    "fullsql|howtocorrupt|isolation|locrsf|lts|mostdeployed|np1queryprob|onefile|quirks|queryplanner|queryplanner-ng|"
    "security|selfcontained|serverless|testing|th3|transactional|useovernet|whentouse|whyc|whynotgit|zeroconf|"
    "intern-v-extern-blob|pgszchng2016|flextypegood|hirely|consortium|different|copyright|malloc"
)
PG_CHAPTERS = (
    "tutorial-|mvcc-intro|transaction-iso|explicit-locking|wal-intro|wal-reliability|backup-|high-availability|"
    "different-replication|overview|arch-|parse-stage|planner-|executor|rule-system|indexes-|performance-tips|using-explain|"
    "planner-stats|populate|routine-vacuuming|ddl-|queries-|geqo-|bug-reporting|history|preface"
)

SOURCES = [
    Source("prose", "austen", JANEAUSTENR, "public domain (package: MIT)",
           lambda f: extract.novels(f["usr/lib/R/site-library/janeaustenr/data/Rdata.rdb"], AUSTEN), 12, (3_000, 9_500),
           ("emma/chapter-42",)),
    Source("prose", "opticks", GO, "public domain",
           lambda f: extract.treatise(f[GO_ROOT + "testdata/Isaac.Newton-Opticks.txt"].decode()), 22, (900, 8_000)),
    Source("prose", "sqlite-essays", SQLITE, "public domain",
           lambda f: extract.pages(f, rf"doc/sqlite3/({SQLITE_ESSAYS})\.html$"), 16, (900, 10_000)),
    Source("prose", "rust-book", RUST, "MIT OR Apache-2.0",
           lambda f: extract.pages(f, r"html/(book|nomicon)/[^/]*\.html$", "main"), 24, (900, 9_000)),
    Source("prose", "postgresql-guide", POSTGRES, "PostgreSQL",
           lambda f: extract.pages(f, rf"/html/({PG_CHAPTERS})[^/]*\.html$"), 24),
    Source("reference", "postgresql-sql", POSTGRES, "PostgreSQL",
           lambda f: extract.pages(f, r"/html/(sql-|functions-|app-|datatype-|catalog-)[^/]*\.html$"), 58),
    Source("reference", "sqlite-sql", SQLITE, "public domain",
           lambda f: extract.pages(f, r"doc/sqlite3/(lang_|pragma|limits|printf|json1|uri|csv|series|dbstat|stmt|c3ref/)[^/]*"
                                      r"(?:/[^/]*)?\.html$"), 44, (500, 9_000)),
    Source("reference", "rust-reference", RUST, "MIT OR Apache-2.0",
           lambda f: extract.pages(f, r"html/reference/(?!print|toc|introduction).*\.html$", "main"), 24),
    crate("memchr", "Unlicense OR MIT", r"^src/.*\.rs$", 5),
    crate("ignore", "Unlicense OR MIT", r"^src/.*\.rs$", 1),
    crate("globset", "Unlicense OR MIT", r"^src/.*\.rs$", 3),
    crate("walkdir", "Unlicense OR MIT", r"^src/.*\.rs$", 1),
    crate("itertools", "MIT OR Apache-2.0", r"^src/.*\.rs$", 8),
    crate("rayon-core", "MIT OR Apache-2.0", r"^src/.*\.rs$", 5),
    crate("regex-automata", "MIT OR Apache-2.0", r"^src/.*\.rs$", 5),
    crate("lua-src", "MIT", r"^lua-5\.4\.9/.*\.[ch]$", 10, ("lua-5.4.9/lapi.h",)),
    crate("libz-sys", "Zlib", r"^src/zlib/[^/]*\.[ch]$", 6, ("inffixed.h", "trees.h"), "^src/zlib/"),
    Source("code", "go", GO, "BSD-3-Clause",
           lambda f: extract.sources(
               {k: v for k, v in f.items() if not k.endswith("_test.go")},
               rf"^{GO_ROOT}(container|bufio|strings|sort|text|encoding|errors|path|sync|hash|io|index)/[^.]*\.go$",
               f"^{GO_ROOT}"), 20, (500, 8_500)),
    wheel("code", "flask", "3.1.3", "BSD-3-Clause", 8, python_files, bytes=(500, 9_000)),
    wheel("code", "requests", "2.34.2", "Apache-2.0", 7, python_files, bytes=(500, 9_000)),
    wheel("code", "click", "8.5.1", "BSD-3-Clause", 4, python_files, bytes=(500, 9_000)),
    wheel("code", "jinja2", "3.1.6", "BSD-3-Clause", 5, python_files, bytes=(500, 9_000)),
    wheel("code", "attrs", "26.1.0", "MIT", 7, python_files, bytes=(500, 9_000), always=("attrs/setters.py",)),
    wheel("code", "rich", "15.0.0", "MIT", 10, python_files, bytes=(500, 9_000)),
    Source("mathematics", "set.mm", METAMATH, "CC0-1.0",
           lambda f: extract.metamath_sections(f["usr/share/metamath/databases/set.mm"].decode()), 34, (1_200, 4_500)),
    wheel("mathematics", "mpmath", "1.3.0", "BSD-3-Clause", 40,
          lambda f: (*extract.string_docstrings(f, "mpmath/function_docs.py"), *extract.docstrings(f, r"^mpmath/(?!libmp|tests)")),
          bytes=(800, 8_000)),
    wheel("mathematics", "sympy", "1.14.0", "BSD-3-Clause", 38,
          lambda f: extract.docstrings(f, r"^sympy/(ntheory|combinatorics|functions|solvers|series|integrals|concrete|polys|"
                                          r"geometry|matrices|discrete|sets|stats)/(?!.*tests)"),
          bytes=(1_200, 9_000)),
    wheel("mathematics", "networkx", "3.6.1", "BSD-3-Clause", 28,
          lambda f: extract.docstrings(f, r"^networkx/algorithms/(?!.*tests)"), bytes=(1_000, 7_000)),
]  # fmt: skip


@dataclass
class Document:
    """One row of the corpus before it is written."""

    id: str
    text: str
    source: Source
    path: str
    order: bytes = field(init=False)

    def __post_init__(self) -> None:
        self.order = hashlib.sha256(self.id.encode()).digest()


def run(command: list[str], cwd: Path) -> None:
    """Runs a package client quietly; a failure ends the build."""
    subprocess.run(command, cwd=cwd, check=True, stdout=subprocess.DEVNULL)


def debian_files(name: str, version: str, cache: Path) -> extract.Files:
    """Reads the text members of one Debian package, fetched once."""
    found = sorted(cache.glob(f"{name}_*.deb"))
    if not found:
        run(["apt-get", "download", "-qq", f"{name}={version}"], cache)
        found = sorted(cache.glob(f"{name}_*.deb"))
    archive = subprocess.run(["dpkg-deb", "--fsys-tarfile", str(found[0])], check=True, capture_output=True).stdout
    wanted = re.compile(r"(\.html|\.mm|\.go|\.rdb|Opticks\.txt)$")
    unwanted = re.compile(r"html/(std|core|alloc|src|implementors|test|proc_macro)/")
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        members = [m for m in tar if m.isfile() and wanted.search(m.name) and not unwanted.search(m.name)]
        return {m.name.removeprefix("./"): tar.extractfile(m).read() for m in sorted(members, key=lambda m: m.name)}


def wheel_files(name: str, version: str, cache: Path) -> extract.Files:
    """Reads the Python files of one wheel, fetched once."""
    found = sorted(cache.glob(f"{name}-{version}-*.whl"))
    if not found:
        run(["python3", "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:", f"{name}=={version}"], cache)
        found = sorted(cache.glob(f"{name}-{version}-*.whl"))
    with zipfile.ZipFile(found[0]) as archive:
        return {name: archive.read(name) for name in sorted(archive.namelist()) if name.endswith(".py")}


def crate_files(name: str, version: str, cache: Path) -> extract.Files:
    """Reads the files of one crate from a vendor folder that cargo fills once for all of them."""
    project = cache / "crates"
    if not (project / "vendor").is_dir():
        (project / "src").mkdir(parents=True, exist_ok=True)
        (project / "src/lib.rs").touch()
        needs = "".join(f'{crate} = "={number}"\n' for crate, number in CRATES.items())
        head = '[package]\nname = "sample"\nversion = "0.0.0"\nedition = "2021"\n[workspace]\n[dependencies]\n'
        (project / "Cargo.toml").write_text(head + needs)
        run(["cargo", "vendor", "-q", "--versioned-dirs"], project)
    root = project / "vendor" / f"{name}-{version}"
    paths = sorted(path for path in root.rglob("*") if path.suffix in (".rs", ".c", ".h"))
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}


def package_files(package: str, cache: Path, opened: dict[str, extract.Files]) -> extract.Files:
    """Opens a package once, whichever sources share it."""
    if package not in opened:
        kind, pinned = package.split(" ")
        reader = {"deb": debian_files, "wheel": wheel_files, "crate": crate_files}[kind]
        name, version = re.split(r"==?", pinned, maxsplit=1)
        opened[package] = reader(name, version, cache)
    return opened[package]


def choose(source: Source, files: extract.Files) -> list[Document]:
    """Takes the source's documents of fitting length, `always` first, then by the hash of their ids, up to its count."""
    seen: dict[str, Document] = {}
    for name, text in source.cut(files):
        document = Document(f"{source.domain}/{source.name}/{name}", text, source, name)
        fits = source.bytes[0] <= len(text.encode()) <= source.bytes[1]
        if (fits or name.endswith(source.always or ("\0",))) and not ADDRESSES.search(text):
            seen.setdefault(document.id, document)
    ranked = sorted(seen.values(), key=lambda d: (not d.path.endswith(source.always or ("\0",)), d.order))
    if len(ranked) < source.count:
        raise SystemExit(f"{source.name}: wanted {source.count} documents, found {len(ranked)}")
    return ranked[: source.count]


def columns(documents: list[Document]) -> dict[str, list[str]]:
    """Returns the flat columns that every shard has."""
    return {
        "id": [d.id for d in documents],
        "text": [d.text for d in documents],
        "domain": [d.source.domain for d in documents],
        "source": [d.source.package.split(" ", 1)[1] for d in documents],
        "licence": [d.source.licence for d in documents],
        "path": [d.path for d in documents],
    }


FLAT = pa.schema([pa.field(name, pa.string(), nullable=name == "path") for name in columns([])])
NESTED = FLAT.append(
    pa.field("metadata", pa.struct([
        ("package", pa.struct([("kind", pa.string()), ("name", pa.string()), ("version", pa.string())])),
        ("headings", pa.list_(pa.string())),
    ])),
).append(
    pa.field("words", pa.list_(pa.struct([("word", pa.string()), ("count", pa.int64())]))),
).append(
    pa.field("paragraphs", pa.list_(pa.struct([("start", pa.int64()), ("bytes", pa.int64()), ("code", pa.bool_())]))),
)  # fmt: skip


def nested_columns(documents: list[Document]) -> dict[str, list]:
    """Returns the flat columns and, derived from each text, a struct of a struct and a list, and two lists of structs."""
    table: dict[str, list] = columns(documents)
    table |= {"metadata": [], "words": [], "paragraphs": []}
    for document in documents:
        kind, pinned = document.source.package.split(" ")
        name, version = re.split(r"==?", pinned, maxsplit=1)
        lines = document.text.splitlines()
        headings = [line for line, below in zip(lines, lines[1:]) if re.fullmatch(r"[=~^-]{3,}", below) and line]
        table["metadata"].append({
            "package": {"kind": kind, "name": name, "version": version},
            "headings": headings or None,
        })  # fmt: skip
        words = collections.Counter(re.findall(r"[a-z]{4,}", document.text.lower()))
        frequent = sorted(words.items(), key=lambda item: (-item[1], item[0]))[:5]
        table["words"].append([{"word": word, "count": count} for word, count in frequent])
        start, paragraphs = 0, []
        for piece in document.text.split("\n\n")[:12]:
            size = len(piece.encode())
            paragraphs.append({"start": start, "bytes": size, "code": piece.startswith(("    ", ">>> ", "\t"))})
            start += size + 2
        table["paragraphs"].append(paragraphs)
    return table


def write_shard(path: Path, table: pa.Table) -> None:
    """Writes one shard, cutting a row group wherever about `ROW_GROUP_BYTES` of text have come together."""
    with pq.ParquetWriter(path, table.schema, compression="zstd", compression_level=9) as writer:
        start = held = 0
        for row, text in enumerate(table["text"].to_pylist()):
            held += len(text.encode())
            if held >= ROW_GROUP_BYTES or row + 1 == table.num_rows:
                writer.write_table(table.slice(start, row + 1 - start), row_group_size=row + 1 - start)
                start, held = row + 1, 0


def build(cache: Path, out: Path) -> Iterable[tuple[Path, int]]:
    """Writes one shard per domain and one of all domains with nested columns; yields each with its rows."""
    opened: dict[str, extract.Files] = {}
    domains: dict[str, list[Document]] = collections.defaultdict(list)
    for source in SOURCES:
        domains[source.domain] += choose(source, package_files(source.package, cache, opened))
    nested: list[Document] = []
    for domain, documents in domains.items():
        documents.sort(key=lambda d: d.order)
        nested += documents[::NESTED_SHARE]
        kept = [d for row, d in enumerate(documents) if row % NESTED_SHARE]
        write_shard(out / f"{domain}.parquet", pa.table(columns(kept), schema=FLAT))
        yield out / f"{domain}.parquet", len(kept)
    nested.sort(key=lambda d: d.order)
    write_shard(out / "nested.parquet", pa.table(nested_columns(nested), schema=NESTED))
    yield out / "nested.parquet", len(nested)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cache", type=Path, required=True, help="folder for the fetched packages")
    parser.add_argument("--out", type=Path, default=HERE, help="folder for the shards")
    options = parser.parse_args()
    options.cache.mkdir(parents=True, exist_ok=True)
    for path, rows in build(options.cache.resolve(), options.out):
        print(f"{path.name}: {rows} documents, {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
