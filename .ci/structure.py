"""Checks what no compiler checks: which crate may depend on which, where heavy crates stop, and how long files are."""

import json
import pathlib
import subprocess
import sys

# crate -> workspace crates it may depend on
ALLOWED = {
    "record": set(),
    "store": {"record"},
    "run": {"store", "record"},
    "corpus": {"store", "record"},
    "kernels": set(),
    "model": {"kernels", "record"},
    "heads": {"model", "record"},
    "score": {"model", "heads", "corpus", "run", "store", "record"},
    "select": {"corpus", "run", "store", "record"},
    "schedule": set(),
    "recipe": {"select", "schedule", "record"},
    "tokens": {"model", "select", "corpus", "store", "record"},
    "report": {"store", "schedule", "record"},
}
# library -> the crates that may name it as a dependency
STOPS = {
    "object_store": {"store"},
    "tokio": {"store"},
    "candle-core": {"model"},
    "candle-nn": {"model"},
    "memmap2": {"kernels"},
    "clap": {"cli"},
    "indicatif": {"cli"},
    "anyhow": {"cli"},
}
MOST_LINES = 800  # without tests
PREFIX = "headwater-"


def manifest_errors():
    command = ["cargo", "metadata", "--format-version", "1", "--no-deps"]
    packages = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["packages"]
    for package in packages:
        crate = package["name"].removeprefix(PREFIX)
        for dependency in package["dependencies"]:
            if dependency["kind"] == "dev":
                continue
            name = dependency["name"]
            other = name.removeprefix(PREFIX)
            if name.startswith(PREFIX) and crate != "cli" and other not in ALLOWED[crate]:
                yield f"crate {crate} may not depend on {other}"
            if crate not in STOPS.get(name, {crate}):
                yield f"crate {crate} may not depend on {name}: it stops in {', '.join(sorted(STOPS[name]))}"


def line_errors():
    for path in sorted(pathlib.Path("crates").rglob("*.rs")):
        if path.name == "tests.rs" or "tests" in path.parts or "benches" in path.parts:
            continue
        lines = path.read_text().splitlines()
        end = next((n for n, line in enumerate(lines) if line.startswith("#[cfg(test)]")), len(lines))
        if end > MOST_LINES:
            yield f"{path} has {end} lines without its tests; at most {MOST_LINES}"


errors = [*manifest_errors(), *line_errors()]
print("\n".join(errors) or "structure: dependency direction and file lengths are in order")
sys.exit(bool(errors))
