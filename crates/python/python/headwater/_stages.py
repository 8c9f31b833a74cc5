"""Commands that leave files and print nothing that Python needs."""

from __future__ import annotations

from collections.abc import Mapping

from headwater._command import Overrides, pipeline_arguments, run_command
from headwater._run import OnEvent, PipelinePath, Run


def stage(
    command: str,
    pipeline: PipelinePath,
    overrides: Overrides | None,
    on_event: OnEvent | None,
    flags: Mapping[str, bool],
    part: tuple[int, int] | None = None,
    *,
    env: Mapping[str, str] | None = None,
) -> Run:
    """Runs a command about a pipeline, with the flags that are wanted, on part ``(i, n)`` of it; returns the run."""
    arguments = [*pipeline_arguments(command, pipeline, overrides), *flags_of(flags), *part_of(part)]
    run_command(arguments, on_event, env=env)
    return Run(pipeline, overrides)


def flags_of(flags: Mapping[str, bool]) -> list[str]:
    """The flags that are wanted."""
    return [name for name, wanted in flags.items() if wanted]


def part_of(part: tuple[int, int] | None) -> list[str]:
    """A part as the command takes it."""
    return [] if part is None else [f"--part={part[0]}/{part[1]}"]
