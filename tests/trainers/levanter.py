"""Loads recipes for Levanter with its own parser, optimizer and mixture, and compares the learning rates that it logs.

    python tests/trainers/levanter.py RUN [RUN...]

The table is compared with the schedule in 64-bit floats. The optimizer, stepped over the whole run, computes rates in 32 bits;
`float32` of the report says how far they are then, as a fraction of the peak. Levanter's hooks see no update before the third, so
the first rate logged is that of step 2.
"""

import dataclasses
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

from common import against_mixture, against_schedule, compare, report

# The package has this script's name.
sys.path.remove(str(Path(__file__).resolve().parent))
os.environ.update(JAX_PLATFORMS="cpu", HF_HUB_OFFLINE="1")
warnings.simplefilter("ignore")

import draccus  # noqa: E402
import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
from levanter.data.dataset import ListAsyncDataset  # noqa: E402
from levanter.data.mixture import MixtureDataset, rescale_mixture_schedule_for_batch_schedule  # noqa: E402
from levanter.main.train_lm import TrainLmConfig  # noqa: E402
from transformers import AutoConfig  # noqa: E402

PACKAGES = ("marin-levanter", "jax", "optax", "draccus")
PARSED_BY = "draccus.parse of levanter.main.train_lm.TrainLmConfig"
FIRST_LOGGED = 2
TOLERANCE_FLOAT32 = 1e-6


def exact_rates(config: TrainLmConfig) -> list[float]:
    """Returns the schedule's rate for every update, in 64-bit floats; those need counts of 64 bits."""
    steps = config.trainer.num_train_steps
    with jax.enable_x64(True):
        return jax.vmap(config.optimizer.lr_scheduler(steps))(jnp.arange(steps, dtype=jnp.int64)).tolist()


def trained_rates(config: TrainLmConfig) -> list[float]:
    """Returns the rate with which the optimizer makes each update, in the 32-bit floats that it uses."""
    steps = config.trainer.num_train_steps
    optimizer, weights = config.optimizer.build(steps), jnp.zeros((1,), jnp.float32)

    def update(state: object, _: None) -> tuple[object, jax.Array]:
        state = optimizer.update(weights, state, weights)[1]
        return state, state.hyperparams["learning_rate"]

    return jax.lax.scan(update, optimizer.init(weights), None, length=steps)[1].tolist()


def data_wrong(run: Path, config: TrainLmConfig) -> Iterator[str]:
    """Yields components without files, shares that are not those of the selection, and what Levanter refuses in the mixture."""
    for name, component in config.data.components.items():
        if component.source is None or not component.source.train_urls:
            yield f"component {name} has no train_urls"
    weights = config.data.train_weights
    stages = [stage for _, stage in weights] if isinstance(weights, list) else [weights]
    yield from against_mixture(run, stages)
    if isinstance(weights, list):
        weights = rescale_mixture_schedule_for_batch_schedule(weights, config.trainer.batch_schedule)
    datasets = {name: ListAsyncDataset([0]) for name in config.data.components}
    try:
        MixtureDataset(datasets, weights, config.data.mixture_block_size, key=0, stop_strategy=config.data.stop_strategy)
    except (AssertionError, ValueError) as error:
        yield f"mixture: {error}"


def model_wrong(folder: Path, config: TrainLmConfig) -> Iterator[str]:
    """Yields what Levanter asserts about sizes once it has devices, and a reference model that is another than the model."""
    if not 0 < (config.train_seq_len or config.model.max_seq_len) <= config.model.max_seq_len:
        yield f"train_seq_len {config.train_seq_len} exceeds max_seq_len {config.model.max_seq_len}"
    if config.trainer.train_batch_size % abs(config.trainer.per_device_parallelism):
        yield f"the batch {config.trainer.train_batch_size} is no multiple of {config.trainer.per_device_parallelism} a device"
    # Levanter loads the reference before it trains; its default lies on the network.
    hub = AutoConfig.from_pretrained(folder / config.model.reference_checkpoint)
    own = {key: getattr(config.model, key) for key in ("reference_checkpoint", "tokenizer", "gradient_checkpointing")}
    if dataclasses.replace(type(config.model).from_hf_config(hub), **own) != config.model:
        yield f"{config.model.reference_checkpoint}/config.json is not the model of config.yaml"


def check(run: Path) -> bool:
    """Checks one run."""
    folder = run / "recipe" / "levanter"
    try:
        config = draccus.parse(TrainLmConfig, config_path=folder / "config.yaml", args=[])
        wrong = [*data_wrong(run, config), *model_wrong(folder, config)]
        rates, trained = exact_rates(config), trained_rates(config)
    except (draccus.utils.DraccusException, TypeError, ValueError, AssertionError, OSError) as error:
        return report(run, "levanter", PACKAGES, PARSED_BY, wrong=[f"config.yaml: {error}"])
    steps, first = len(rates), min(FIRST_LOGGED, len(rates) - 1)
    rows, worst, differing = compare(folder / "expected_lr.csv", steps - first, rates.__getitem__, first)
    if (run / "schedule.csv").is_file():
        differing.extend(against_schedule(run, (folder / "config.yaml").read_text(encoding="utf-8"), rates.__getitem__))
    float32 = max(abs(exact - used) for exact, used in zip(rates, trained)) / max(rates)
    if not float32 <= TOLERANCE_FLOAT32:
        differing.append(f"the optimizer's rates differ from its schedule's by {float32} of the peak")
    return report(run, "levanter", PACKAGES, PARSED_BY, steps, rows, worst, wrong + differing, float32=float32)


if __name__ == "__main__":
    sys.exit(0 if all([check(Path(run)) for run in sys.argv[1:]]) else 1)
