"""Checks recipes for Megatron-LM with its own argument parser, data settings and scheduler: python megatron.py RUN...

Needs the packages of requirements/megatron.txt. RUN/recipe/megatron holds `expected_lr.csv`, `arguments.txt`, the flags of
`pretrain_gpt.py` as words of a shell, and for a run of several data stages `stage_1.txt`, `stage_2.txt` and so on, with the
flags that one stage alone has. The flags are parsed as on the first of DEVICES processes, by default as many as one copy of the
model is split over. Relative paths in them lie in the current folder, as for Megatron, or in ROOT. If the data settings are not
where the flags say, the recipe has been moved, and those beside the flags are taken:

    python megatron.py [--devices DEVICES] [--root ROOT] RUN...

Where there is no GPU, Megatron is told that there is one of the generation 9 (Hopper), because it asks for it when tensors are
split over devices. Nothing else of it is replaced.
"""

import argparse
import contextlib
import io
import logging
import os
import shlex
import sys
import traceback
import types
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

from common import against_mixture, against_schedule, by_part, compare, report, tokens_of

PACKAGES = ("megatron-core", "torch")
PARSED_BY = "megatron.training.arguments.parse_args and validate_args, get_optimizer_param_scheduler"


@contextlib.contextmanager
def inside(folder: Path) -> Iterator[None]:
    """Works in another folder for a while, as relative paths of the flags are meant."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def load() -> types.ModuleType:
    """Imports Megatron without its warnings about optional packages, and gives it a GPU's generation if there is none."""
    sys.path.remove(str(Path(__file__).resolve().parent))  # where this file would be taken for the package
    os.environ.setdefault("CUDA_DEVICE_MAX_CONNECTIONS", "1")
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        import megatron.training.training
        import torch
        from megatron.training import arguments

    if not torch.cuda.is_available():
        arguments.get_device_arch_version = lambda: 9
    return megatron.training


def cause(error: Exception) -> str:
    """Tells what an exception says, or if it says nothing, which line has raised it."""
    return str(error) or (traceback.extract_tb(error.__traceback__)[-1].line or repr(error))


def parsed(megatron: types.ModuleType, words: list[str], devices: int | None) -> argparse.Namespace:
    """Parses and validates flags as `pretrain_gpt.py` does and makes them its global arguments; raises ValueError."""
    from megatron.core.num_microbatches_calculator import (
        destroy_num_microbatches_calculator,
        init_num_microbatches_calculator,
    )

    destroy_num_microbatches_calculator()
    printed, argv = io.StringIO(), sys.argv
    sys.argv = ["pretrain_gpt.py", *words]
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            arguments = megatron.arguments.parse_args()
            split = arguments.tensor_model_parallel_size * arguments.pipeline_model_parallel_size
            arguments.world_size = devices or split * arguments.context_parallel_size
            megatron.arguments.validate_args(arguments)
            shape = argparse.Namespace(**vars(arguments) | {"apply_rope_fusion": False})  # a kernel of Transformer Engine's
            megatron.argument_utils.core_transformer_config_from_args(shape)
            batches = arguments.global_batch_size, arguments.micro_batch_size, arguments.data_parallel_size
            init_num_microbatches_calculator(0, arguments.rampup_batch_size, *batches)
    except SystemExit:
        raise ValueError(printed.getvalue().strip().rsplit("error: ", 1)[-1]) from None
    except (AssertionError, ValueError, TypeError) as error:
        raise ValueError(f"Megatron refuses the flags: {cause(error)}") from error
    finally:
        sys.argv = argv
    megatron.global_vars._GLOBAL_ARGS = arguments
    return arguments


def rates(megatron: types.ModuleType, arguments: argparse.Namespace) -> list[float]:
    """Returns the rate after 0, 1, 2 and so on completed steps, as Megatron's scheduler sets it and Megatron logs it."""
    from megatron.core.optimizer_param_scheduler import get_canonical_lr_for_logging

    optimizer = types.SimpleNamespace(param_groups=[{"default_config": True}])
    with contextlib.redirect_stdout(io.StringIO()):
        scheduler = megatron.training.get_optimizer_param_scheduler(optimizer)
    found = [get_canonical_lr_for_logging(optimizer.param_groups)]
    for _ in range(arguments.train_iters):
        scheduler.step(increment=arguments.global_batch_size)
        found.append(get_canonical_lr_for_logging(optimizer.param_groups))
    return found


def blend(megatron: types.ModuleType, arguments: argparse.Namespace) -> Iterator[str]:
    """Yields what is wrong with the data that the flags name; token files are opened if they are there."""
    from megatron.core.datasets.blended_megatron_dataset_config import BlendedMegatronDatasetConfig
    from megatron.core.datasets.indexed_dataset import IndexedDataset

    try:
        whole, by_split = megatron.utils.get_blend_and_blend_per_split(arguments)
        config = BlendedMegatronDatasetConfig(
            random_seed=arguments.seed,
            sequence_length=arguments.seq_length,
            blend=whole,
            blend_per_split=by_split,
            split=arguments.split,
        )
    except (OSError, AssertionError, KeyError, ValueError) as error:
        yield f"the data settings are refused: {error!r}"
        return
    if config.mock:
        yield "no data is named"
        return
    prefixes, weights = whole or by_split[0] or ([], None)
    if not prefixes:
        yield "no data to train on is named"
    if weights is None and len(prefixes) > 1:
        yield "the data has no weights"
    for prefix in prefixes:
        if Path(f"{prefix}.idx").is_file() or Path(f"{prefix}.bin").is_file():
            try:
                tokens = IndexedDataset(prefix)
            except (OSError, ValueError, AssertionError) as error:
                yield f"{prefix}: {cause(error)}"
                continue
            if not len(tokens) or len(tokens) != len(tokens.document_indices) - 1:
                yield f"{prefix}: has {len(tokens)} sequences for {len(tokens.document_indices) - 1} documents"


def shares(megatron: types.ModuleType, arguments: argparse.Namespace) -> dict[str | None, float]:
    """Returns what each part weighs in the blend that the flags name; what is no part, if token files lie elsewhere."""
    _, by_split = megatron.utils.get_blend_and_blend_per_split(arguments)
    prefixes, weights = by_split[0] if by_split and by_split[0] else ([], [])
    return by_part(prefixes, weights or [])


def moved(arguments: argparse.Namespace, folder: Path) -> None:
    """Lets the flags name the data settings beside them if there are none where they say."""
    named = arguments.per_split_data_args_path
    if named and not Path(named).is_file():
        arguments.per_split_data_args_path = str(folder / Path(named).name)


def stages(megatron: types.ModuleType, runs: list[argparse.Namespace]) -> Iterator[str]:
    """Yields where Megatron would not change the data between the stages, or make other data than the stage needs."""
    last = runs[-1]
    starts = [0, *(last.phase_transition_iterations or [])]
    if len(starts) != len(runs):
        yield f"there are {len(runs)} stages, but {len(starts) - 1} transitions"
        return
    for run, start, end in zip(runs, starts, [*starts[1:], last.train_iters], strict=True):
        if run.phase_transition_iterations != last.phase_transition_iterations:
            yield "the stages differ in --phase-transition-iterations"
        run.iteration = start
        megatron.global_vars._GLOBAL_ARGS = run
        try:
            samples, *_ = megatron.training.get_train_valid_test_num_samples()
        except (TypeError, ValueError) as error:
            yield f"the samples of a stage cannot be counted: {error}"
            return
        if samples != (end - start) * run.global_batch_size:
            yield f"the stage from iteration {start} on has {samples} samples for {end - start} iterations"
        if start and not (run.load and run.load == last.save):
            yield "a later stage loads no checkpoint of the stage before"


def words_of(path: Path) -> list[str]:
    """Splits a file of flags as a shell does."""
    return shlex.split(path.read_text(encoding="utf-8"), comments=True)


def check(megatron: types.ModuleType, run: Path, root: Path, devices: int | None) -> tuple[int, int, float, list[str]]:
    """Checks one run; returns its steps, the rows compared, the largest difference and what is wrong."""
    run = run.resolve()
    folder = run / "recipe" / "megatron"
    common = words_of(folder / "arguments.txt")
    later = sorted(folder.glob("stage_*.txt"), key=lambda path: int(path.stem.removeprefix("stage_")))
    own = [words_of(path) for path in later] or [[]]
    wrong, runs, tables, weights = [], [], [], []
    with inside(root):
        for words in own:
            try:
                arguments = parsed(megatron, common + words, devices)
                tables.append(rates(megatron, arguments))
            except (ValueError, AssertionError) as error:
                return 0, 0, 0.0, [cause(error)]
            runs.append(arguments)
            moved(arguments, folder)
            refused = list(blend(megatron, arguments))
            wrong.extend(refused)
            weights.append({None: 1.0} if refused else shares(megatron, arguments))
        wrong.extend(stages(megatron, runs))
    if not any(None in stage for stage in weights):
        wrong.extend(against_mixture(run, weights))
    arguments, rate = runs[-1], tables[-1]
    if any(table != rate for table in tables):
        wrong.append("the stages differ in their learning rates, which the checkpoint would refuse")
    after: Callable[[int], float] = rate.__getitem__
    rows, worst, differing = compare(folder / "expected_lr.csv", arguments.train_iters, after)
    wrong.extend(differing)
    if (run / "schedule.csv").is_file():
        header = (folder / "arguments.txt").read_text(encoding="utf-8")
        wrong.extend(against_schedule(run, header, after))
        tokens = arguments.train_iters * arguments.global_batch_size * arguments.seq_length
        if tokens != tokens_of(run):
            wrong.append(f"batch × sequence × iterations is {tokens}, not the {tokens_of(run)} tokens of schedule.csv")
    return arguments.train_iters, rows, worst, wrong


def main() -> int:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--devices", type=int, help="how many processes train together")
    parser.add_argument("--root", type=Path, default=Path(), help="the folder that relative paths of the flags lie in")
    settings = parser.parse_args()
    megatron = load()
    found = []
    for run in settings.runs:
        checked = check(megatron, run, settings.root, settings.devices)
        found.append(report(run, "megatron", PACKAGES, PARSED_BY, *checked))
    return 0 if all(found) else 1


if __name__ == "__main__":
    sys.exit(main())
