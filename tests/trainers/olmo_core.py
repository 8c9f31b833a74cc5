"""Checks recipes for OLMo-core with OLMo-core's own parser, scheduler and model, in an environment of its own.

    python tests/trainers/olmo_core.py RUN [RUN...]

The class `Recipe` of the recipe's `train.py`, made of OLMo-core's own, loads `config.yaml` as training does. OLMo-core counts a
step before it sets the rate, so update k, counted from 1, is made and logged with the scheduler's rate at k.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

# This file has the trainer's name: its folder must not be where `import olmo_core` looks first.
HERE = Path(__file__).resolve().parent
sys.path[:] = [folder for folder in sys.path if Path(folder or ".").resolve() != HERE] + [str(HERE)]

import importlib.util  # noqa: E402
import logging  # noqa: E402
import warnings  # noqa: E402
from types import ModuleType, SimpleNamespace  # noqa: E402

import yaml  # noqa: E402
from common import against_mixture, against_schedule, compare, report, tokens_of  # noqa: E402
from olmo_core.config import Config  # noqa: E402
from olmo_core.data.composable import (  # noqa: E402
    ConcatAndChunkInstanceSourceConfig,
    ConcatenatedInstanceSourceConfig,
    InstanceSourceConfig,
    SamplingInstanceSourceConfig,
    SplitInstanceSourceConfig,
)
from olmo_core.exceptions import OLMoConfigurationError  # noqa: E402
from olmo_core.optim.scheduler import ComposableScheduler, Scheduler  # noqa: E402

PACKAGES = ("ai2-olmo-core", "torch")
PARSED_BY = "olmo_core.config.Config.from_file"


def training_script(path: Path) -> ModuleType:
    """Imports the recipe's training script, which trains only when it is run."""
    spec = importlib.util.spec_from_file_location("recipe_train", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def parse(folder: Path) -> Config:
    """Loads the config as the training script does; raises ValueError for what OLMo-core refuses."""
    try:
        recipe = training_script(folder / "train.py").Recipe.from_file(folder / "config.yaml")
        recipe.apply(lambda config: config.validate())
    except (OLMoConfigurationError, TypeError, AttributeError, yaml.YAMLError, OSError) as error:
        raise ValueError(str(error)) from error
    return recipe


def rates_of(recipe: Config, steps: int) -> list[float]:
    """Returns the rate of every update, from the trainer's own scheduler."""
    peak, scheduler = recipe.train_module.optim.lr, recipe.train_module.scheduler
    group, batch, rates = {"params": [], "lr": peak, "initial_lr": peak}, recipe.data_loader.global_batch_size, []
    for step in range(1, steps + 1):
        trainer = SimpleNamespace(
            global_step=step, max_steps=steps, global_train_tokens_seen=step * batch, max_tokens=steps * batch
        )
        try:
            rates.append(scheduler.set_lr(group, trainer))
        except (ArithmeticError, AssertionError) as error:
            raise ValueError(f"the scheduler fails at step {step}: {type(error).__name__} {error}") from error
    return rates


def schedule_wrong(scheduler: Scheduler, steps: int) -> Iterator[str]:
    """Yields a schedule that does not end with the run."""
    if isinstance(scheduler, ComposableScheduler):
        lasts = sum(stage.duration for stage in scheduler.stages)
        if lasts not in (steps, steps + 1):
            yield f"the scheduler's stages last {lasts} steps, the run {steps}"
        return
    ramps = (getattr(scheduler, "warmup", None) or 0) + (getattr(scheduler, "decay", None) or 0)
    if scheduler.units == "steps" and ramps > steps:
        yield f"warm-up and decay last {ramps} steps, the run {steps}"


def sequences(source: InstanceSourceConfig) -> int:
    """Counts the sequences that a source gives, by its config alone."""
    if isinstance(source, ConcatenatedInstanceSourceConfig):
        return sum(sequences(inner) for inner in source.sources)
    if isinstance(source, SamplingInstanceSourceConfig) and source.max_instances is not None:
        return source.max_instances
    if isinstance(source, SplitInstanceSourceConfig):
        whole = sequences(source.source)
        first = int(source.ratio * whole)
        return whole - first if source.idx else first
    raise ValueError(f"cannot tell how many sequences a {type(source).__name__} gives")


def label(source: InstanceSourceConfig) -> str:
    """Returns the label of the documents that a source draws from, which is the name of their part."""
    if isinstance(source, ConcatAndChunkInstanceSourceConfig):
        return source.label
    return label(source.source if isinstance(source, SplitInstanceSourceConfig) else source.sources[0])


def data_wrong(recipe: Config, run: Path, steps: int) -> Iterator[str]:
    """Yields stages of the data that do not fill whole batches, or not the run, or give parts another share than they should."""
    length, batch = recipe.train_module.max_sequence_length, recipe.data_loader.global_batch_size
    counts = [sequences(source) for source in recipe.dataset]
    if any(count * length % batch for count in counts):
        yield f"stages of {counts} sequences do not end with a batch of {batch // length}"
    if sum(counts) * length != steps * batch:
        yield f"{sum(counts)} sequences are not the {steps * batch // length} of the run"
    shares = [
        {label(source): sequences(source) / count for source in stage.sources} for stage, count in zip(recipe.dataset, counts)
    ]
    # whole sequences
    yield from against_mixture(run, shares, tolerance=1 / min(counts))
    if batch % recipe.train_module.rank_microbatch_size:
        yield "a batch is no multiple of rank_microbatch_size"
    if len(counts) > 1 and recipe.data_loader.shuffle_strategy != "intra_source":
        yield "only shuffle_strategy intra_source takes the stages one after the other"


def plan_wrong(recipe: Config, run: Path, rates: list[float]) -> Iterator[str]:
    """Yields where the run is not that of `schedule.csv`, where there is one."""
    if not (run / "schedule.csv").is_file():
        return
    header = (run / "recipe" / "olmo-core" / "config.yaml").read_text(encoding="utf-8")
    yield from against_schedule(run, header, rates.__getitem__)
    if recipe.data_loader.global_batch_size * len(rates) != tokens_of(run):
        yield f"batch × steps is not the {tokens_of(run)} tokens of schedule.csv"


def model_wrong(recipe: Config, folder: Path) -> Iterator[str]:
    """Yields what is wrong with the model, built on no memory, and with what must outlive the run for a branch."""
    model = recipe.model.build(init_device="meta")
    billions = f"{sum(weight.numel() for weight in model.parameters()) / 1e9:.3f} billion"
    if billions not in (folder / "config.yaml").read_text(encoding="utf-8"):
        yield f"the model has {billions} parameters, the header says otherwise"
    if any(getattr(callback, "max_checkpoints", None) is not None for callback in recipe.trainer.callbacks.values()):
        yield "max_checkpoints removes checkpoints that a branch needs"


def check(run: Path) -> bool:
    """Checks one run; returns whether all is well."""
    folder = run / "recipe" / "olmo-core"
    try:
        recipe = parse(folder)
        duration = recipe.trainer.max_duration
        if duration.unit != "steps":
            raise ValueError("trainer.max_duration is not in steps")
        steps = duration.value
        rates = rates_of(recipe, steps)
        wrong = [*schedule_wrong(recipe.train_module.scheduler, steps), *data_wrong(recipe, run, steps)]
        wrong += [*model_wrong(recipe, folder), *plan_wrong(recipe, run, rates)]
    except ValueError as error:
        return report(run, "olmo_core", PACKAGES, PARSED_BY, wrong=[f"config.yaml: {error}"])
    rows, worst, differences = compare(folder / "expected_lr.csv", steps, lambda step: rates[step - 1])
    wrong = [f"config.yaml: {text}" for text in wrong]
    return report(run, "olmo_core", PACKAGES, PARSED_BY, steps, rows, worst, wrong + differences)


def main() -> int:
    """Checks every run named."""
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    results = [check(Path(run)) for run in sys.argv[1:]]
    return 2 if not results else 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
