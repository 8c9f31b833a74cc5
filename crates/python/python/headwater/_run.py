"""A run of a pipeline, from Python."""

from __future__ import annotations

import html
import json
import os
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headwater._command import Event, Overrides, pipeline_arguments, run_command

if TYPE_CHECKING:
    import pyarrow.dataset
    import pyarrow.fs

PipelinePath = str | os.PathLike[str]
OnEvent = Callable[[Event], None]


class Report:
    """The report of a run, one page of HTML. A notebook shows it.

    ``location`` is its path or URL, ``html`` the page.
    """

    def __init__(self, location: str, page: str) -> None:
        self.location = location
        self.html = page

    def __repr__(self) -> str:
        return f"Report({self.location!r})"

    def _repr_html_(self) -> str:
        # a frame keeps the page's styles and scripts from the notebook's
        return (
            f'<iframe title="Headwater report" srcdoc="{html.escape(self.html, quote=True)}" '
            'style="width: 100%; height: 800px; border: 1px solid #ccc"></iframe>'
        )


class Run:
    """A run of a pipeline: its settings, and what lies in its output.

    ``pipeline`` is the path of a TOML file, ``overrides`` are keys of it that take other values. Nothing is read before a method is called.
    """

    def __init__(self, pipeline: PipelinePath, overrides: Overrides | None = None) -> None:
        self.pipeline = os.fspath(pipeline)
        self.overrides = dict(overrides or {})

    def __repr__(self) -> str:
        overrides = f", {self.overrides!r}" if self.overrides else ""
        return f"Run({self.pipeline!r}{overrides})"

    def _repr_html_(self) -> str | None:
        try:
            selection = self.selection()
        except FileNotFoundError:
            return None  # nothing is selected yet: the plain form is shown
        rows = "".join(
            f"<tr><td>{html.escape(domain['domain'])}</td><td>{domain['kept_documents']:,} of {domain['documents']:,}</td>"
            f"<td>{domain['kept_tokens']:,} of {domain['tokens']:,}</td></tr>"
            for domain in selection["domains"]
        )
        caption = f"{html.escape(self.pipeline)}: kept by {html.escape(str(selection['rank']))}"
        head = "<tr><th>domain</th><th>documents</th><th>tokens</th></tr>"
        return f"<table><caption>{caption}</caption>{head}{rows}</table>"

    def _json(self, command: str, *options: str, on_event: OnEvent | None = None) -> dict[str, Any]:
        arguments = [*pipeline_arguments(command, self.pipeline, self.overrides), *options, "--json"]
        result: dict[str, Any] = json.loads(run_command(arguments, on_event, may_be_incomplete=True))
        return result

    def status(self) -> dict[str, Any]:
        """How far the run is, from any machine: ``output``, ``scoring``, ``has_heads``, ``has_selection``."""
        return self._json("status", on_event=ignore)

    @cached_property
    def output(self) -> str:
        """The path or URL that everything goes to; asked for once."""
        return str(self.status()["output"])

    def scores(self, filesystem: pyarrow.fs.FileSystem | None = None) -> pyarrow.dataset.Dataset:
        """The scores as a lazy Arrow dataset: a row a document with ``loss_base``, ``loss_masked``, ``influence`` and what belongs to it.

        It holds the files of the run's plan alone. pandas reads ``scores.to_table().to_pandas()``, polars
        ``polars.scan_pyarrow_dataset(scores)``, DuckDB ``SELECT ... FROM scores``.

        ``filesystem`` is for object stores that ``pyarrow.fs.FileSystem.from_uri`` does not open by the environment; paths in it are those
        of the URLs without their scheme.

        Raises:
            UsageError: before anything is scored.
            ImportError: without pyarrow.
        """
        listed = self._json("status", "--files", on_event=ignore)
        filesystem, root = _filesystem(listed["output"], filesystem)
        import pyarrow.dataset

        paths = [root + str(file).removeprefix(listed["output"]) for file in listed["files"]]
        return pyarrow.dataset.dataset(paths, format="parquet", filesystem=filesystem)

    def selection(self, filesystem: pyarrow.fs.FileSystem | None = None) -> dict[str, Any]:
        """``selection.json``: the cut of every domain, and what it keeps.

        Raises:
            FileNotFoundError: before anything is selected.
        """
        selection: dict[str, Any] = json.loads(_read(self.output, "selection.json", filesystem))
        return selection

    def report(self, filesystem: pyarrow.fs.FileSystem | None = None) -> Report:
        """Writes ``report.html`` of what is known so far, also of an unfinished run."""
        run_command(pipeline_arguments("report", self.pipeline, self.overrides), ignore)
        return Report(f"{self.output}/report.html", _read(self.output, "report.html", filesystem).decode())


def import_pyarrow() -> Any:
    """Imports pyarrow, or says how to get it."""
    try:
        import pyarrow
    except ImportError as error:
        raise ImportError("pyarrow is not installed: pip install 'headwater[arrow]'", name="pyarrow") from error
    return pyarrow


def ignore(event: Event) -> None:
    """Shows no progress: for what takes no time."""


def _filesystem(output: str, filesystem: pyarrow.fs.FileSystem | None) -> tuple[pyarrow.fs.FileSystem, str]:
    """The file system of an output, and the output's path in it."""
    import_pyarrow()
    import pyarrow.fs

    if "://" not in output:
        return filesystem or pyarrow.fs.LocalFileSystem(), output
    if filesystem is not None:
        bucket, _, path = output.split("://", 1)[1].partition("/")
        return filesystem, f"{bucket.split('@')[0]}/{path}"  # abfss://CONTAINER@ACCOUNT/PATH
    opened, path = pyarrow.fs.FileSystem.from_uri(output)
    return opened, str(path)


def _read(output: str, name: str, filesystem: pyarrow.fs.FileSystem | None) -> bytes:
    """Reads an artefact of a run."""
    if "://" not in output:
        return (Path(output) / name).read_bytes()
    opened, root = _filesystem(output, filesystem)
    with opened.open_input_stream(f"{root}/{name}") as stream:
        content: bytes = stream.read()
    return content
