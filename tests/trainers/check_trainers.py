"""Loads written recipes with the trainers' own code, and says where they disagree.

    python3 tests/trainers/check_trainers.py [FOLDER] [--trainer NAME]... [--markdown FILE]

FOLDER is the output of a run, or holds several; without it, small runs are made with `cargo run`. Each trainer's check is a script
of its name beside this file, run in an environment of its own (see `environments.py`): the config must be parsed by the trainer's
own code, and `expected_lr.csv` must hold the rates of its own scheduler over the whole run, within 1e-9 of the peak. Token files of
a run, if there are any with an `expected.jsonl`, are read back with the trainers' own readers.

Ends with 0 if all agree, 1 if not, 2 if there is nothing to check. What cannot run here is skipped with a line.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from environments import ENVIRONMENTS, Unavailable, default_folder, python_of

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
TRAINERS = tuple(name for name in ENVIRONMENTS if name != "token-files")

# An entry of what a check found.
Found = dict[str, object]


def make_samples(folder: Path) -> None:
    """Writes the recipes of small runs."""
    # no --package: with the features of the whole workspace nothing is built that `cargo test --workspace` has not built
    command = ["cargo", "run", "--quiet", "--example", "write_sample", "--", str(folder)]
    subprocess.run(command, cwd=REPOSITORY, check=True)


def make_token_files(folder: Path) -> None:
    """Writes small token files in every format, with what they should hold."""
    command = ["cargo", "run", "--quiet", "--example", "write_tokens", "--", str(folder)]
    subprocess.run(command, cwd=REPOSITORY, check=True)


def run_script(name: str, arguments: list[str], environments: Path) -> Iterator[Found]:
    """Runs a check in its environment and yields what it prints; raises `Unavailable` if it cannot run here."""
    script = HERE / f"{name.replace('-', '_')}.py"
    command = [python_of(name, environments), str(script), *arguments]
    printed = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    found = [json.loads(line) for line in printed.stdout.splitlines() if line.startswith("{")]
    yield from (entry if name == "token-files" else entry | {"trainer": name} for entry in found)
    if printed.returncode and not any(entry["wrong"] for entry in found):
        yield {"run": "", "trainer": name, "wrong": [f"the check ended with {printed.returncode}: {printed.stderr[-2000:]}"]}


def runs_in(folder: Path) -> list[Path]:
    """Returns the runs in a folder, which may be one itself."""
    return sorted(path.parent for path in [*folder.glob("schedule.csv"), *folder.glob("*/schedule.csv")])


def check(folder: Path, trainers: tuple[str, ...] = TRAINERS, environments: Path | None = None) -> list[Found]:
    """Checks the recipes of every run in `folder`, and returns what was found."""
    environments = environments or default_folder()
    found: list[Found] = []
    for trainer in trainers:
        runs = [str(run) for run in runs_in(folder) if (run / "recipe" / trainer).is_dir()]
        try:
            found.extend(run_script(trainer, runs, environments) if runs else [])
        except Unavailable as reason:
            print(f"skipped  {trainer}: {reason}")
    return found


def check_token_files(folder: Path, environments: Path | None = None) -> list[Found]:
    """Reads back the token files in `folder` that say what they should hold."""
    folders = sorted({path.parent for path in folder.glob("**/tokens.json") if (path.parents[1] / "expected.jsonl").is_file()})
    return list(run_script("token-files", [str(path) for path in folders], environments or default_folder())) if folders else []


def markdown(found: list[Found]) -> str:
    """Returns a table of what was found, a line for each trainer."""
    lines = ["| trainer | parsed by | versions | runs | steps | largest difference of the rates, of the peak |", "|---|---|---|---:|---:|---:|"]
    for trainer in TRAINERS:
        own = [entry for entry in found if entry["trainer"] == trainer]
        if not own:
            continue
        versions = ", ".join(f"{name} {version}" for name, version in own[0]["versions"].items())
        steps, worst = sum(entry["steps"] for entry in own), max(entry["worst"] for entry in own)
        lines.append(f"| {trainer} | `{own[0]['parsed_by']}` | {versions} | {len(own)} | {steps:,} | {worst:.1e} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, help="the output of a run, or a folder of several")
    parser.add_argument("--trainer", action="append", choices=TRAINERS, help="check only this one; may be repeated")
    parser.add_argument("--markdown", type=Path, help="write a table of the results there")
    arguments = parser.parse_args()
    trainers = tuple(arguments.trainer or TRAINERS)
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.folder or Path(scratch)
        if arguments.folder is None:
            make_samples(folder)
            make_token_files(folder / "token-files")
        found = [*check(folder, trainers), *check_token_files(folder)]
    wrong = [(entry, text) for entry in found for text in entry["wrong"]]
    for entry, text in wrong:
        print(f"differs  {entry['trainer']}  {entry['run']}: {text}")
    if arguments.markdown:
        arguments.markdown.write_text(markdown(found), encoding="utf-8")
    print(f"{len(found)} checks, {len(wrong)} differences")
    return 1 if wrong else 0 if found else 2


if __name__ == "__main__":
    sys.exit(main())
