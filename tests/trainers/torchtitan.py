"""Checks recipes for torchtitan with torchtitan's own parser, scheduler and model, in an environment of its own.

    python tests/trainers/torchtitan.py RUN [RUN...]

`ConfigManager` parses `config.toml`. The module that `experimental.custom_import` names, if any, is imported from the recipe's
folder, as the trainer does, and its model is built on no memory. torchtitan logs update k, counted from 1, as step k.
"""

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

# This file has the trainer's name: its folder must not be where `import torchtitan` looks first.
HERE = Path(__file__).resolve().parent
sys.path[:] = [folder for folder in sys.path if Path(folder or ".").resolve() != HERE] + [str(HERE)]

import importlib  # noqa: E402

import torch  # noqa: E402
from common import against_mixture, against_schedule, compare, report, tokens_of  # noqa: E402
from torchtitan.components.lr_scheduler import build_lr_schedulers  # noqa: E402
from torchtitan.config import ConfigManager, JobConfig  # noqa: E402
from torchtitan.hf_datasets.text_datasets import DATASETS  # noqa: E402
from torchtitan.protocols.train_spec import get_train_spec  # noqa: E402

PACKAGES = ("torchtitan", "torch")
PARSED_BY = "torchtitan.config.ConfigManager.parse_args"


class Warnings(logging.Handler):
    """Keeps what torchtitan warns of."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps one message."""
        self.messages.append(record.getMessage())


def parse(path: Path) -> JobConfig:
    """Parses the file as the trainer does; raises ValueError for what the trainer refuses."""
    try:
        return ConfigManager().parse_args([f"--job.config_file={path}"])
    except SystemExit as error:
        raise ValueError("the trainer refuses a value") from error


def rates_of(config: JobConfig) -> list[float]:
    """Returns the rate of every update, from the trainer's own scheduler stepped over the run."""
    peak = config.optimizer.lr
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=peak)
    scheduler = build_lr_schedulers([optimizer], config.lr_scheduler, config.training.steps)
    rates = []
    for _ in range(config.training.steps):
        rates.append(scheduler.schedulers[0].get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    return rates


def run_wrong(config: JobConfig) -> Iterator[str]:
    """Yields what the trainer would take without a word and is not meant."""
    steps, total = config.training.steps, config.lr_scheduler.total_steps
    if total is not None and total < steps:
        yield f"lr_scheduler.total_steps {total} is below training.steps {steps}"
    checkpoint = config.checkpoint
    if checkpoint.enable and checkpoint.last_save_model_only:
        yield "checkpoint.last_save_model_only leaves the last checkpoint without optimizer and step"


def model_wrong(config: JobConfig, folder: Path) -> Iterator[str]:
    """Yields what torchtitan's registries lack of the config's model and data."""
    try:
        if config.experimental.custom_import:
            sys.path.insert(0, str(folder))
            importlib.import_module(config.experimental.custom_import)
        spec = get_train_spec(config.model.name)
    except (ImportError, ValueError) as error:
        yield str(error)
        return
    if config.model.flavor not in spec.model_args:
        yield f"model {config.model.name} has no flavor {config.model.flavor}"
        return
    if config.training.dataset.lower() not in DATASETS:
        yield f"no dataset {config.training.dataset} is registered"
    arguments = spec.model_args[config.model.flavor]
    arguments.update_from_config(config)
    with torch.device("meta"):
        model = spec.model_cls(arguments)
    count, _ = arguments.get_nparams_and_flops(model, config.training.seq_len)
    header = (folder / "config.toml").read_text(encoding="utf-8")
    if f"{count / 1e9:.3f} billion" not in header and "cannot tie the embeddings" not in header:
        yield f"the model has {count / 1e9:.3f} billion parameters, the header says otherwise"


def data_wrong(run: Path) -> Iterator[str]:
    """Yields parts that have another share than they should, in what the recipe's module reads."""
    values = json.loads((run / "recipe" / "torchtitan" / "recipe.json").read_text(encoding="utf-8"))
    weights, chances = (
        [{part["name"]: part[key] for part in dataset["parts"]} for dataset in values["datasets"]]
        for key in ("token_weight", "probability")
    )
    named = {part["name"] for part in values["parts"]}
    yield from (f"recipe.json: no sources of {name}" for names in chances for name in names if name not in named)
    yield from (f"recipe.json: {text}" for text in against_mixture(run, weights, chances))


def plan_wrong(config: JobConfig, run: Path, rates: list[float]) -> Iterator[str]:
    """Yields where the run is not that of `schedule.csv`, where there is one; only the warm-up is a step ahead of it.

    Where torchtitan has no keys for the schedule, and for the warm-up, the header says how far it is.
    """
    if not (run / "schedule.csv").is_file():
        return
    training, warmup = config.training, config.lr_scheduler.warmup_steps
    header = (run / "recipe" / "torchtitan" / "config.toml").read_text(encoding="utf-8")
    reindexed = lambda step: rates[step] if step >= warmup else rates[step - 1] if step else 0.0  # noqa: E731
    yield from against_schedule(run, header, rates.__getitem__, reindexed)
    if training.global_batch_size * training.seq_len * training.steps != tokens_of(run):
        yield f"batch × sequence × steps is not the {tokens_of(run)} tokens of schedule.csv"


def check(run: Path) -> bool:
    """Checks one run; returns whether all is well."""
    folder = run / "recipe" / "torchtitan"
    warnings = Warnings()
    logging.getLogger().addHandler(warnings)
    try:
        config = parse(folder / "config.toml")
        rates = rates_of(config)
    except (ValueError, TypeError, AssertionError, OSError) as error:
        return report(run, "torchtitan", PACKAGES, PARSED_BY, wrong=[f"config.toml: {error}"])
    found = [*run_wrong(config), *model_wrong(config, folder), *plan_wrong(config, run, rates)]
    wrong = [f"config.toml: {text}" for text in found]
    wrong += [f"the trainer warns: {text}" for text in warnings.messages if "exceed total steps" in " ".join(text.split())]
    steps = config.training.steps
    wrong += data_wrong(run)
    rows, worst, differences = compare(folder / "expected_lr.csv", steps, lambda step: rates[step - 1])
    return report(run, "torchtitan", PACKAGES, PARSED_BY, steps, rows, worst, [*wrong, *differences])


def main() -> int:
    """Checks every run named, each in a process of its own: a model can be registered once only."""
    runs = sys.argv[1:]
    if len(runs) == 1:
        return 0 if check(Path(runs[0])) else 1
    return max((subprocess.run([sys.executable, __file__, run], check=False).returncode for run in runs), default=2)


if __name__ == "__main__":
    sys.exit(main())
