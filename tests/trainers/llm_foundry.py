"""Loads recipes for LLM Foundry with its own parser and builders, and compares the learning rates that Composer logs.

    python tests/trainers/llm_foundry.py RUN [RUN...]

The scheduler is asked for the rate of every step, and Composer's Trainer, which takes about a millisecond a step, makes the first
of them over a model of two weights with the recipe's optimizer, scheduler and duration: what it logs must be the same to the last
bit. Nothing here opens token files or a tokenizer. Keys that LLM Foundry drops unread are wrong.
"""

import copy
import dataclasses
import inspect
import json
import logging
import os
import sys
import types
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

from common import against_mixture, against_schedule, compare, report

os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false", CUDA_VISIBLE_DEVICES="")
warnings.simplefilter("ignore")
logging.disable(logging.WARNING)

import torch  # noqa: E402
from composer import ComposerModel, Trainer  # noqa: E402
from composer.callbacks import LRMonitor  # noqa: E402
from composer.core import Callback, DataSpec, State, Time, Timestamp, TimeUnit  # noqa: E402
from composer.loggers import InMemoryLogger, Logger  # noqa: E402
from composer.utils import FSDPConfig  # noqa: E402
from llmfoundry import registry  # noqa: E402
from llmfoundry.command_utils.train import TRAIN_CONFIG_KEYS, TrainConfig, validate_config  # noqa: E402
from llmfoundry.data.text_data import StreamingTextDataset, build_streams, build_text_dataloader  # noqa: E402
from llmfoundry.models.hf import ComposerHFCausalLM  # noqa: E402
from llmfoundry.utils import builders  # noqa: E402
from llmfoundry.utils.config_utils import make_dataclass_and_log_config  # noqa: E402
from llmfoundry.utils.registry_utils import import_file  # noqa: E402
from omegaconf import OmegaConf  # noqa: E402
from streaming import Stream, StreamingDataset  # noqa: E402
from transformers import AutoConfig, AutoModelForCausalLM  # noqa: E402

PACKAGES = ("llm-foundry", "mosaicml", "mosaicml-streaming", "torch", "transformers")
PARSED_BY = "llmfoundry.utils.config_utils.make_dataclass_and_log_config of TrainConfig"
# Steps that the Trainer makes.
TRAINED_STEPS = 500


class TwoWeights(ComposerModel):
    """The least that Composer trains."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        return self.layer(batch)

    def loss(self, outputs: torch.Tensor, batch: torch.Tensor) -> torch.Tensor:
        return outputs.square().mean()


def unknown(path: str, given: dict, *known: Callable) -> Iterator[str]:
    """Yields keys of `given` that are no parameter of any of `known`."""
    names = {name for function in known for name in inspect.signature(function).parameters}
    yield from (f"{path}.{key} is no key of LLM Foundry's" for key in given if key not in names)


def dataset_wrong(path: str, dataset: dict) -> Iterator[str]:
    """Yields keys of a data set that are unknown, and streams that `streaming` refuses."""
    rest = {key: value for key, value in dataset.items() if key not in ("streams", "eos_token_id", "bos_token_id")}
    yield from unknown(path, rest, StreamingTextDataset, StreamingDataset)
    streams = build_streams(copy.deepcopy(dataset["streams"]))
    Stream.validate_weights(streams)
    shares = [stream.proportion for stream in streams]
    if abs(sum(shares) - 1) > 1e-9:
        yield f"{path}.streams: the proportions sum to {sum(shares)}"


def mixture_wrong(run: Path, config: TrainConfig) -> list[str]:
    """Says which streams have another share than their part should have."""
    callbacks = config.callbacks or {}
    first = config.train_loader["dataset"]
    # The callback has put the first stage before the others.
    later = [stage["dataset"] for stage in callbacks.get("curriculum_learning", {}).get("schedule", [])[1:]]
    shares = lambda streams: {name: stream["proportion"] for name, stream in streams.items()}  # noqa: E731
    return against_mixture(run, [shares(dataset["streams"]) for dataset in (first, *later)])


def model_wrong(folder: Path, model: dict) -> Iterator[str]:
    """Yields unknown keys of the model and of its Hugging Face config, which must make a model."""
    yield from unknown("model", {key: value for key, value in model.items() if key != "name"}, ComposerHFCausalLM)
    path = folder / model["pretrained_model_name_or_path"]
    config = AutoConfig.from_pretrained(path)
    with torch.device("meta"):
        AutoModelForCausalLM.from_config(config)
    given, default = json.loads((path / "config.json").read_text(encoding="utf-8")), type(config)()
    yield from (f"{path.name}/config.json: {key} is no key of the model's" for key in given if not hasattr(default, key))


def callbacks_wrong(config: TrainConfig, logged: dict) -> Iterator[str]:
    """Yields unknown loggers, and stages of data that do not fill the run, once every callback and algorithm is built."""
    callbacks = config.callbacks or {}
    for name, kwargs in callbacks.items():
        builders.build_callback(name, kwargs, logged)
    for name, kwargs in (config.algorithms or {}).items():
        builders.build_algorithm(name, kwargs)
    yield from (f"loggers.{name} is no logger of LLM Foundry's" for name in config.loggers or {} if name not in registry.loggers)
    if "curriculum_learning" not in callbacks:
        return
    # The callback has put the first stage before the others.
    stages = callbacks["curriculum_learning"]["schedule"]
    durations = [Time.from_input(stage["duration"]) for stage in stages]
    if (whole := sum(durations[1:], start=durations[0])) != Time.from_input(config.max_duration):
        yield f"the stages of curriculum_learning last {whole}, the run {config.max_duration}"
    yield from (text for stage in stages[1:] for text in dataset_wrong("curriculum_learning.dataset", stage["dataset"]))


class Stop(Callback):
    """Ends training after `TRAINED_STEPS`."""

    def batch_end(self, state: State, logger: Logger) -> None:
        if state.timestamp.batch.value == TRAINED_STEPS:
            state.stop_training()


def trained_rates(config: TrainConfig, batch: int, steps: int) -> dict[int, float]:
    """Trains the small model for the first steps of the run; returns the rate that LRMonitor logs at each."""
    model, scheduler, optimizer = TwoWeights(), dict(config.scheduler), dict(config.optimizer)
    tokens = batch * config.max_seq_len
    memory = InMemoryLogger()
    trainer = Trainer(
        model=model,
        train_dataloader=DataSpec(
            torch.utils.data.DataLoader(torch.ones(steps, 1), batch_size=1),
            get_num_samples_in_batch=lambda _: batch,
            get_num_tokens_in_batch=lambda _: tokens,
        ),
        optimizers=builders.build_optimizer(model, optimizer.pop("name"), optimizer),
        schedulers=builders.build_scheduler(scheduler.pop("name"), scheduler),
        max_duration=config.max_duration,
        callbacks=[LRMonitor(), Stop()],
        loggers=[memory],
        progress_bar=False,
        device="cpu",
    )
    trainer.fit()
    (name,) = (name for name in memory.data if name.startswith("lr-"))
    return {int(timestamp.batch): float(rate) for timestamp, rate in memory.data[name]}


def scheduled_rates(config: TrainConfig, batch: int, steps: int) -> dict[int, float]:
    """Asks the scheduler alone for every rate that LRMonitor logs: at step k that of k - 1 completed steps."""
    scheduler, tokens = dict(config.scheduler), batch * config.max_seq_len
    multiplier = builders.build_scheduler(scheduler.pop("name"), scheduler)
    state = types.SimpleNamespace(max_duration=Time.from_input(config.max_duration))
    rates = {}
    for done in range(steps):
        state.timestamp = Timestamp(batch=done, sample=done * batch, token=done * tokens)
        rates[done + 1] = config.optimizer["lr"] * multiplier(state)
    return rates


def steps_of(duration: str, tokens: int) -> int:
    """Returns how many steps a duration has, given the tokens of each."""
    time = Time.from_input(duration)
    if time.unit == TimeUnit.BATCH:
        return time.value
    if time.unit != TimeUnit.TOKEN or time.value % tokens:
        raise ValueError(f"max_duration {duration} is no whole number of steps of {tokens} tokens")
    return time.value // tokens


def check(run: Path) -> bool:
    """Checks one run."""
    folder = run / "recipe" / "llm-foundry"
    try:
        raw = OmegaConf.load(folder / "train.yaml")
        for path in raw.get("code_paths", []):
            import_file(str(folder / path))
        logged, config = make_dataclass_and_log_config(raw, TrainConfig, TRAIN_CONFIG_KEYS, transforms="all")
        validate_config(config)
        loader = {key: value for key, value in config.train_loader.items() if key != "name"}
        fields = {field.name for field in dataclasses.fields(FSDPConfig)}
        wrong = [
            *(f"fsdp_config.{key} is no key of Composer's" for key in config.fsdp_config or {} if key not in fields),
            *unknown("train_loader", loader, build_text_dataloader),
            *dataset_wrong("train_loader.dataset", loader["dataset"]),
            *model_wrong(folder, config.model),
            *callbacks_wrong(config, logged),
            *mixture_wrong(run, config),
        ]
        batch = raw.global_train_batch_size
        steps = steps_of(config.max_duration, batch * config.max_seq_len)
        rates, trained = scheduled_rates(config, batch, steps), trained_rates(config, batch, steps)
        if len(trained) != min(steps, TRAINED_STEPS):
            wrong.append(f"the Trainer made {len(trained)} steps")
        for step, rate in trained.items():
            if rate != rates[step]:
                wrong.append(f"step {step}: the Trainer logs {rate!r}, its scheduler says {rates[step]!r}")
                break
    except Exception as error:  # whatever LLM Foundry raises is what is wrong
        return report(run, "llm_foundry", PACKAGES, PARSED_BY, wrong=[f"train.yaml: {type(error).__name__}: {error}"])
    rows, worst, differing = compare(folder / "expected_lr.csv", len(rates), rates.__getitem__)
    if (run / "schedule.csv").is_file():
        # the log's step k shows the rate of update k, counted from 0, which is that of k - 1 completed steps
        header = (folder / "train.yaml").read_text(encoding="utf-8")
        differing.extend(against_schedule(run, header, lambda step: rates[max(step, 1)], lambda step: rates[step + 1]))
    return report(run, "llm_foundry", PACKAGES, PARSED_BY, len(rates), rows, worst, wrong + differing)


if __name__ == "__main__":
    sys.exit(0 if all([check(Path(run)) for run in sys.argv[1:]]) else 1)
