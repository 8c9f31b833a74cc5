"""Starts the command ``headwater`` and reads what it tells.

Everything is computed by the command. It writes one JSON object a line to standard error (``--log-format json``) and results to
standard output (``--json``).
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

Overrides = Mapping[str, Any]
"""Keys of a pipeline and the values that they take instead, such as ``{"select.fraction": 0.1}``."""

Event = dict[str, Any]
"""A line of ``--log-format json``: ``timestamp``, ``level``, ``message``, and what belongs to its ``event``."""

PATIENCE = 0.8
"""Seconds that a command gets to end cleanly when Python is interrupted; then it ends at once. What was finished is kept."""


DONE, USER_ERROR, INCOMPLETE, BUG, TRANSIENT = 0, 1, 2, 70, 75
"""Exit codes of the command."""


class HeadwaterError(Exception):
    """The command failed. The message is the command's own.

    ``code`` is its exit code, and the subclasses are the codes: 1, 2, 70, 75.
    """

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code

    def __reduce__(self) -> tuple[type[HeadwaterError], tuple[str, int]]:
        # exceptions cross processes
        return type(self), (str(self), self.code)


class UsageError(HeadwaterError):
    """Exit code 1: something is to be changed, such as a key, a path or a permission."""


class IncompleteError(HeadwaterError):
    """Exit code 2: all is written, but more documents were unusable than ``max_rejects``, or shards were skipped."""


class BugError(HeadwaterError):
    """Exit code 70: a bug of Headwater."""


class TransientError(HeadwaterError):
    """Exit code 75: the same call again may work, and goes on where this one stopped."""


_BY_CODE: dict[int, type[HeadwaterError]] = {
    USER_ERROR: UsageError,
    INCOMPLETE: IncompleteError,
    BUG: BugError,
    TRANSIENT: TransientError,
}


def find_command() -> str:
    """Finds the command: what ``HEADWATER_BIN`` names, else the one that was installed with this package, else one on ``PATH``.

    Raises:
        FileNotFoundError: if there is none.
    """
    named = os.environ.get("HEADWATER_BIN")
    if named:
        return named
    name = "headwater" + (sysconfig.get_config_var("EXE") or "")
    folders = [sysconfig.get_path("scripts"), sysconfig.get_path("scripts", sysconfig.get_preferred_scheme("user"))]
    # pip install --target PATH puts scripts into PATH/bin
    folders.append(str(Path(__file__).resolve().parent.parent / "bin"))
    for folder in folders:
        path = Path(folder) / name
        if path.is_file():
            return str(path)
    on_path = shutil.which(name)
    if on_path:
        return on_path
    raise FileNotFoundError(f"the command {name} is neither in {', '.join(folders)} nor on PATH: install the package again")


def toml_value(value: object) -> str:
    """Writes ``value`` as TOML.

    Raises:
        TypeError: for a value that TOML does not have.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return repr(int(value))
    if isinstance(value, float):
        return repr(float(value))  # a float of NumPy, too
    if isinstance(value, (str, os.PathLike)):
        # TOML forbids the control character that JSON leaves as it is
        return json.dumps(os.fspath(value), ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(toml_value(item) for item in value) + "]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{toml_value(str(key))} = {toml_value(item)}" for key, item in value.items()) + "}"
    raise TypeError(f"{value!r} ({type(value).__name__}) is no value of a pipeline: use strings, numbers, booleans, lists or dicts")


def pipeline_arguments(command: str, pipeline: str | os.PathLike[str], overrides: Overrides | None) -> list[str]:
    """The arguments of a command about a pipeline."""
    arguments = [command, os.fspath(pipeline)]
    for key, value in (overrides or {}).items():
        arguments += ["--set", f"{key}={toml_value(value)}"]
    return arguments


def run_command(
    arguments: list[str],
    on_event: Callable[[Event], None] | None = None,
    *,
    env: Mapping[str, str] | None = None,
    may_be_incomplete: bool = False,
) -> str:
    """Runs the command with ``arguments`` to its end and returns what it printed.

    ``on_event`` is called with every line of progress; without it they are printed to ``sys.stderr``. Warnings are Python's warnings.
    ``env`` holds more variables of the environment. With ``may_be_incomplete``, exit code 2 is a warning, for commands whose result says so.

    Raises:
        HeadwaterError: with the command's own words if it fails.
        KeyboardInterrupt: the command is then asked to stop, and ended after :data:`PATIENCE` seconds.
    """
    with subprocess.Popen(
        [find_command(), "--log-format", "json", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        env={**os.environ, **(env or {})},
        # a terminal's Ctrl-C is Python's to pass on, once: a second one would end the command at once
        start_new_session=True,
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        printed: list[str] = []
        reader = threading.Thread(target=lambda stream: printed.append(stream.read()), args=(process.stdout,), daemon=True)
        reader.start()
        errors: list[str] = []
        try:
            for event in _events(process.stderr):
                level = event.get("level")
                if level == "ERROR":
                    errors.append(str(event.get("message")))
                elif level == "WARN":
                    warnings.warn(_sentence(event), stacklevel=4)
                elif on_event is not None:
                    on_event(event)
                else:
                    print(event.get("message"), file=sys.stderr, flush=True)
            code = process.wait()
        except BaseException:
            _stop(process)
            raise
        finally:
            reader.join()
    if code == INCOMPLETE and may_be_incomplete:
        warnings.warn(str(_error(code, errors)), stacklevel=4)
    elif code != DONE:
        raise _error(code, errors)
    return printed[0]


def _error(code: int, errors: list[str]) -> HeadwaterError:
    """The exception for an exit code and the lines that led to it."""
    said = "\n".join(errors)
    if code == INCOMPLETE and not said:
        said = "finished, but more documents were unusable than max_rejects allows, or shards were skipped: see the warnings"
    if code < 0:
        said = said or f"headwater was ended by {signal.Signals(-code).name}"
    return _BY_CODE.get(code, HeadwaterError)(said or f"headwater ended with exit code {code}", code)


def _events(lines: Iterator[str]) -> Iterator[Event]:
    """The lines of standard error as events; usage errors are plain text."""
    plain: list[str] = []
    for line in lines:
        try:
            event = json.loads(line)
        except ValueError:
            event = None
        if isinstance(event, dict):
            yield event
        else:
            plain.append(line)
    text = "".join(plain).strip()
    if text:
        yield {"level": "ERROR", "message": text.removeprefix("error: ")}


def _sentence(event: Event) -> str:
    """The message of a warning with the fields that explain it."""
    known = {"timestamp", "level", "message", "target", "spans", "span"}
    fields = ", ".join(f"{key}: {value}" for key, value in event.items() if key not in known)
    return f"{event.get('message')}{' (' + fields + ')' if fields else ''}"


def _stop(process: subprocess.Popen[str]) -> None:
    """Ends the command: first as Ctrl-C does, then at once."""
    if process.poll() is not None:
        return
    try:
        process.send_signal(signal.SIGINT)
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
