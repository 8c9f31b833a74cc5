"""Learning-rate schedules of Headwater for PyTorch."""

from __future__ import annotations

import csv
import json
import os
import tempfile
from array import array
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from headwater._command import run_command
from headwater._run import ignore

EVERY_STEP = 10**18
"""Rows of a table that no schedule has so many steps for."""


class TableLR(LRScheduler):
    """Sets the learning rate from a table with a rate for each step.

    The update that follows ``n`` calls of :meth:`step` takes ``rates[n]``; after the last entry it stays there. A group whose initial rate
    is not ``peak`` keeps its proportion to it, so groups with a lower rate stay lower.

    Args:
        optimizer: its initial rates are those at the peak.
        rates: a rate for each number of completed steps, from 0.
        peak: the rate that ``rates`` is for; a group with it gets the table's own values.
        last_epoch: completed steps, when a run goes on without ``load_state_dict``; ``-1`` begins anew.

    Raises:
        ValueError: if ``rates`` is empty or ``peak`` is not positive.
    """

    def __init__(self, optimizer: Optimizer, rates: array[float], peak: float, last_epoch: int = -1) -> None:
        if not rates or not peak > 0:
            raise ValueError(f"a schedule needs rates and a positive peak, got {len(rates)} rates and {peak}")
        self.rates = rates
        self.peak = peak
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float | Tensor]:
        """The rate of each group."""
        rate = self.rates[min(self.last_epoch, len(self.rates) - 1)]
        return [rate if base == self.peak else base * (rate / self.peak) for base in self.base_lrs]

    def state_dict(self) -> dict[str, Any]:
        """The state without the table, which the schedule gives again."""
        return {key: value for key, value in super().state_dict().items() if key != "rates"}


def from_recipe(
    optimizer: Optimizer,
    schedule: str | os.PathLike[str],
    *,
    steps: int | None = None,
    tokens: float | None = None,
    peak_lr: float | None = None,
    last_epoch: int = -1,
) -> TableLR:
    """The schedule of a pipeline, or one by name, for a PyTorch optimizer.

    Args:
        optimizer: groups whose rate is the schedule's peak get its rates exactly, others in proportion.
        schedule: a TOML file with the tables ``schedule`` and ``recipe``, such as a pipeline, or a kind such as ``wsd:decay=0.2``.
        steps: steps of the run, instead of its tokens.
        tokens: tokens of the run.
        peak_lr: the highest rate.
        last_epoch: completed steps, when a run goes on without ``load_state_dict``.

    Raises:
        HeadwaterError: for a schedule that cannot be understood.
    """
    options = {"--steps": steps, "--tokens": tokens, "--peak-lr": peak_lr}
    arguments = ["schedule", "show", os.fspath(schedule), *(f"{name}={value}" for name, value in options.items() if value is not None)]
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "schedule.csv"
        shown = run_command([*arguments, "--json", f"--csv={table}", f"--csv-rows={EVERY_STEP}"], ignore)
        with table.open(newline="", encoding="utf-8") as file:
            rates = array("d", (float(row["lr"]) for row in csv.DictReader(file)))
    return TableLR(optimizer, rates, float(json.loads(shown)["peak_lr"]), last_epoch)

