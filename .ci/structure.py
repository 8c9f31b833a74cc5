"""Checks what no compiler checks: which crate may depend on which and where heavy crates stop, that modules form no circle, that
libraries neither print nor read the environment, and how long files are."""

import json
import pathlib
import subprocess
import sys

import rust_modules

LIBRARIES = {
    "record", "store", "run", "corpus", "kernels", "model", "heads", "score", "distill", "select", "schedule", "robust", "train", "recipe", "tokens",
    "report", "trial", "decode",
}  # fmt: skip
# crate -> workspace crates it may depend on
ALLOWED = {
    "record": set(),
    "store": {"record"},
    "run": {"store", "record"},
    "corpus": {"store", "record"},
    "kernels": set(),
    "model": {"kernels", "record"},
    "heads": {"model", "record"},
    "score": {"model", "corpus", "distill", "run", "store", "record"},
    "distill": {"record"},
    "select": {"corpus", "run", "store", "record"},
    "schedule": set(),
    "robust": {"schedule"},
    "train": {"kernels", "schedule"},
    "recipe": {"select", "schedule", "run", "record"},
    "tokens": {"model", "select", "corpus", "store", "record"},
    "report": {"schedule", "record"},
    "trial": {"select", "train", "record"},
    "decode": {"model", "schedule"},
    "pipeline": LIBRARIES,
    "cli": {"pipeline", "record"},
    "fuzz": LIBRARIES | {"pipeline"},
}
# library -> the crates that may name it as a dependency
STOPS = {
    "object_store": {"store"},
    "tokio": {"store"},
    "candle-core": {"model", "robust"},
    "candle-nn": {"model", "robust"},
    "memmap2": {"kernels"},
    "clap": {"cli", "robust"},
    "indicatif": {"cli"},
    "anyhow": {"cli"},
    "etcetera": {"cli"},
    "signal-hook": {"cli"},
    "tracing-subscriber": {"cli"},
}
COMMAND = "cli"  # the one crate that may print and read the environment
MOST_LINES = 800  # of a file, without tests
MOST_COMMAND_LINES = 1_500  # of all files of the command, without tests
PREFIX = "headwater-"
ENVIRONMENT = {"var", "var_os", "vars", "vars_os", "home_dir", "args", "args_os"}
PRINTING = {"print", "println", "eprint", "eprintln", "dbg"}
STREAMS = {"stdout", "stderr"}


def dependency_errors(packages):
    """What `packages`, as `cargo metadata` lists them, name as dependencies and may not."""
    for package in packages:
        crate = package["name"].removeprefix(PREFIX)
        if crate not in ALLOWED:
            yield f"crate {crate} is in no row of the table of crates: add what it may depend on"
            continue
        for dependency in package["dependencies"]:
            if dependency["kind"] == "dev":
                continue
            name = dependency["name"]
            other = name.removeprefix(PREFIX)
            if name.startswith(PREFIX) and other not in ALLOWED[crate]:
                yield f"crate {crate} may not depend on {other}"
            if crate not in STOPS.get(name, {crate}):
                yield f"crate {crate} may not depend on {name}: it stops in {', '.join(sorted(STOPS[name]))}"


def circle_errors(modules):
    """The circles of the files of one crate, each with the uses that close it."""
    between = {}
    for user, used in rust_modules.uses(modules).items():
        for target, line in used.items():
            files = modules[user].file, modules[target].file
            if files[0] != files[1]:
                between.setdefault(files[0], {}).setdefault(files[1], line)
    for circle in rust_modules.circles(between):
        steps = [f"{a}:{between[a][b]} uses {b}" for a in circle for b in sorted(between[a]) if b in circle]
        yield "these modules form a circle:\n" + "\n".join(f"    {step}" for step in steps)


def purity_errors(modules):
    """Where a library reads the environment or prints."""
    for path, module in modules.items():
        words = [token.text for token in module.body]
        for index, token in enumerate(module.body):
            before, after = words[index - 2 : index], words[index + 1 : index + 3]
            if token.text in PRINTING and after[:1] == ["!"]:
                yield f"{module.file}:{token.line} prints with {token.text}!"
            if token.text in STREAMS and after == ["(", ")"] and before[1:] != ["."] and before[1:] != ["fn"]:
                yield f"{module.file}:{token.line} opens {token.text}"
            if token.text in ENVIRONMENT and before == ["env", "::"]:
                yield f"{module.file}:{token.line} reads the environment with env::{token.text}"
        for imported in module.imports:
            if imported.path[:2] == ("std", "env") and imported.path[-1] in ENVIRONMENT | {"*"}:
                yield f"{module.file}:{imported.line} imports {'::'.join(imported.path)}, which reads the environment"


def source_errors(crates):
    """What is wrong with the sources below the folder `crates`."""
    command_lines = 0
    for folder in sorted(crates.iterdir()):
        roots = [root for root in (folder / "src/lib.rs", folder / "src/main.rs") if root.exists()]
        for root in roots:
            modules = rust_modules.read_crate(root)
            yield from circle_errors(modules)
            if folder.name != COMMAND:
                yield from purity_errors(modules)
            for module in modules.values():
                if module.lines > MOST_LINES:
                    yield f"{module.file} has {module.lines} lines without its tests; at most {MOST_LINES}"
                command_lines += module.lines if folder.name == COMMAND else 0
        for path in sorted(folder.glob("examples/**/*.rs")):
            lines = len(path.read_text().splitlines())
            if lines > MOST_LINES:
                yield f"{path} has {lines} lines; at most {MOST_LINES}"
    if command_lines > MOST_COMMAND_LINES:
        yield f"{crates / COMMAND} has {command_lines} lines without its tests; at most {MOST_COMMAND_LINES}"


def main():
    command = ["cargo", "metadata", "--format-version", "1", "--no-deps"]
    packages = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["packages"]
    errors = [*dependency_errors(packages), *source_errors(pathlib.Path("crates"))]
    print("\n".join(errors) or "structure: dependencies, modules, purity of libraries and file lengths are in order")
    return bool(errors)


if __name__ == "__main__":
    sys.exit(main())
