"""Headwater chooses what a language model is pretrained on.

Every function starts the command ``headwater`` of this installation, which does the work. ``pipeline`` is the path of a TOML file;
``overrides`` are keys of it that take other values, such as ``{"select.fraction": 0.1}``. Relative paths start at the current folder.
Progress goes to ``sys.stderr``, or as events to ``on_event``. A command that fails raises :class:`HeadwaterError`.
"""

from __future__ import annotations

from typing import Any

from headwater._command import (
    BugError,
    Event,
    HeadwaterError,
    IncompleteError,
    Overrides,
    TransientError,
    UsageError,
    find_command,
)
from headwater._run import OnEvent, PipelinePath, Report, Run
from headwater._scorer import Scorer
from headwater._stages import flags_of, part_of, stage

__all__ = [
    "BugError",
    "Event",
    "HeadwaterError",
    "IncompleteError",
    "Report",
    "Run",
    "Scorer",
    "TransientError",
    "UsageError",
    "audit",
    "bench",
    "distill",
    "features",
    "find_command",
    "heads",
    "plan",
    "recipe",
    "report",
    "run",
    "score",
    "scores",
    "select",
    "status",
    "tokens",
    "trial",
]


def run(
    pipeline: PipelinePath,
    overrides: Overrides | None = None,
    *,
    rescore: bool = False,
    allow_weak_heads: bool = False,
    on_event: OnEvent | None = None,
) -> Run:
    """Runs every stage, going on where an earlier call stopped.

    ``rescore`` accepts settings or shards that changed since the run began, ``allow_weak_heads`` heads whose masking barely hurts.
    """
    return stage("run", pipeline, overrides, on_event, {"--rescore": rescore, "--allow-weak-heads": allow_weak_heads})


def plan(pipeline: PipelinePath, overrides: Overrides | None = None) -> dict[str, Any]:
    """What there is to score, by source and in ``total``: shards, units, documents, tokens, hours. Reads footers and writes nothing."""
    return Run(pipeline, overrides)._json("plan")


def bench(
    pipeline: PipelinePath, overrides: Overrides | None = None, *, seconds: float = 30, on_event: OnEvent | None = None
) -> dict[str, Any]:
    """Measures for ``seconds`` how fast this machine scores documents of the corpus, and how long all of it takes."""
    return Run(pipeline, overrides)._json("bench", f"--seconds={seconds}", on_event=on_event)


def heads(
    pipeline: PipelinePath,
    overrides: Overrides | None = None,
    *,
    rescore: bool = False,
    allow_weak_heads: bool = False,
    on_event: OnEvent | None = None,
) -> Run:
    """Finds the model's retrieval heads."""
    return stage("heads", pipeline, overrides, on_event, {"--rescore": rescore, "--allow-weak-heads": allow_weak_heads})


def distill(
    pipeline: PipelinePath,
    overrides: Overrides | None = None,
    *,
    allow_weak_heads: bool = False,
    allow_weak_student: bool = False,
    on_event: OnEvent | None = None,
) -> dict[str, Any]:
    """Fits a student to the model's scores of a sample, and says how well it ranks."""
    options = flags_of({"--allow-weak-heads": allow_weak_heads, "--allow-weak-student": allow_weak_student})
    return Run(pipeline, overrides)._json("distill", *options, on_event=on_event)


def score(
    pipeline: PipelinePath,
    overrides: Overrides | None = None,
    *,
    part: tuple[int, int] | None = None,
    rescore: bool = False,
    on_event: OnEvent | None = None,
) -> Run:
    """Scores the documents that have no score yet; of ``part=(i, n)`` only those of the i-th of n parts, 0 ≤ i < n."""
    return stage("score", pipeline, overrides, on_event, {"--rescore": rescore}, part)


def features(
    pipeline: PipelinePath,
    overrides: Overrides | None = None,
    *,
    part: tuple[int, int] | None = None,
    on_event: OnEvent | None = None,
) -> Run:
    """Adds what the scores of an earlier version lack, without the model."""
    return stage("features", pipeline, overrides, on_event, {}, part)


def audit(
    pipeline: PipelinePath, overrides: Overrides | None = None, *, documents: int = 8, on_event: OnEvent | None = None
) -> dict[str, Any]:
    """Changes texts in ways that keep their meaning, and tells how many of ``documents`` a side cross the cut of their domain."""
    return Run(pipeline, overrides)._json("audit", f"--documents={documents}", on_event=on_event)


def select(
    pipeline: PipelinePath,
    overrides: Overrides | None = None,
    *,
    control: bool = False,
    on_event: OnEvent | None = None,
) -> dict[str, Any]:
    """Cuts every domain of the scores that are there and writes the subset; ``control`` draws as many tokens at random instead."""
    return Run(pipeline, overrides)._json("select", *flags_of({"--control": control}), on_event=on_event)


def trial(
    pipeline: PipelinePath,
    overrides: Overrides | None = None,
    *,
    dry_run: bool = False,
    part: tuple[int, int] | None = None,
    collect: bool = False,
    on_event: OnEvent | None = None,
) -> dict[str, Any]:
    """Trains small models on several selections, or under several schedules, and judges them; ``dry_run`` says what it takes and could see.

    Under ``trial.trainer = "hf"`` it prepares the runs for :mod:`headwater.trial_runs`; ``collect`` judges what that left.
    """
    options = [*flags_of({"--dry-run": dry_run, "--collect": collect}), *part_of(part)]
    return Run(pipeline, overrides)._json("trial", *options, on_event=on_event)


def tokens(
    pipeline: PipelinePath,
    overrides: Overrides | None = None,
    *,
    control: bool = False,
    part: tuple[int, int] | None = None,
    on_event: OnEvent | None = None,
) -> Run:
    """Writes the corpus and the subset as token files, as the table ``[tokens]`` asks for."""
    return stage("tokens", pipeline, overrides, on_event, {"--control": control}, part)


def recipe(
    pipeline: PipelinePath, overrides: Overrides | None = None, *, control: bool = False, on_event: OnEvent | None = None
) -> Run:
    """Writes the pretraining configs and the schedule."""
    return stage("recipe", pipeline, overrides, on_event, {"--control": control})


def status(pipeline: PipelinePath, overrides: Overrides | None = None) -> dict[str, Any]:
    """How far a run is: see :meth:`Run.status`."""
    return Run(pipeline, overrides).status()


def scores(pipeline: PipelinePath, overrides: Overrides | None = None, *, filesystem: Any = None) -> Any:
    """The scores of a run as a lazy Arrow dataset: see :meth:`Run.scores`."""
    return Run(pipeline, overrides).scores(filesystem)


def report(pipeline: PipelinePath, overrides: Overrides | None = None, *, filesystem: Any = None) -> Report:
    """The report of a run: see :meth:`Run.report`."""
    return Run(pipeline, overrides).report(filesystem)

