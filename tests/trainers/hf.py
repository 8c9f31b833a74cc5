"""Checks recipes for the Hugging Face Trainer with its own code: python hf.py RUN...

Needs the packages of requirements/hf.txt. RUN/recipe/hf holds `training_arguments.json`, which transformers parses and builds the
scheduler from, `expected_lr.csv`, `model/config.json`, from which transformers builds the model (on no memory), and
`mixture.json`, by which `datasets` mixes documents. Where there is no GPU, the arguments are parsed with `use_cpu`,
because bf16 is refused there otherwise.
"""

import json
import math
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from common import against_mixture, against_schedule, compare, report

os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", HF_DATASETS_DISABLE_PROGRESS_BARS="1")

PACKAGES = ("transformers", "torch", "accelerate", "datasets")
PARSED_BY = "transformers.HfArgumentParser(TrainingArguments).parse_json_file"


def arguments_of(path: Path) -> object:
    """Parses the file as a training script does."""
    import torch
    from transformers import HfArgumentParser, TrainingArguments

    with tempfile.TemporaryDirectory() as scratch:
        if not torch.cuda.is_available():
            changed = json.loads(path.read_text(encoding="utf-8")) | {"use_cpu": True}
            path = Path(scratch) / path.name
            path.write_text(json.dumps(changed), encoding="utf-8")
        return HfArgumentParser(TrainingArguments).parse_json_file(str(path))[0]


def rates_of(arguments: object) -> list[float]:
    """Returns the rate of every update, counted from 0, from the scheduler that the Trainer would make."""
    import torch
    from transformers import get_scheduler

    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=arguments.learning_rate)
    steps = arguments.max_steps
    warmup = arguments.get_warmup_steps(steps)
    scheduler = get_scheduler(arguments.lr_scheduler_type, optimizer, warmup, steps, arguments.lr_scheduler_kwargs)
    rates = []
    for _ in range(steps):
        rates.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    return rates


def model(folder: Path) -> Iterator[str]:
    """Yields a model that has not the parameters that the README tells."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    with torch.device("meta"):
        built = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder / "model"))
    billions = f"{sum(weight.numel() for weight in built.parameters()) / 1e9:.3f} billion"
    if billions not in (folder / "README.md").read_text(encoding="utf-8"):
        yield f"the model has {billions} parameters, the README says otherwise"


def mixture(path: Path, steps: int) -> Iterator[str]:
    """Yields where the stages do not fill the run, and parts that documents drawn would not give their share of the tokens."""
    settings = json.loads(path.read_text(encoding="utf-8"))
    parts, end = {part["name"]: part for part in settings["parts"]}, 0
    for stage in settings["stages"]:
        if stage["start_step"] != end:
            yield f"{path.name}: stage {stage['name']!r} starts at {stage['start_step']}, the one before ends at {end}"
        end = stage["start_step"] + stage["steps"]
        for name, share, weight, deviation in shares(settings, stage, parts):
            if abs(share - weight) > deviation:
                yield f"{path.name}: {name} gets {share:.3f} of the tokens of {stage['name']!r}, its weight is {weight:.3f}"
    if end != steps:
        yield f"{path.name}: the stages have {end} steps, the run has {steps}"
    weights, chances = (
        [{part["name"]: part[key] for part in stage["parts"]} for stage in settings["stages"]]
        for key in ("token_weight", "probability")
    )
    yield from (f"{path.name}: {text}" for text in against_mixture(path.parents[2], weights, chances))


def shares(settings: dict, stage: dict, parts: dict[str, dict]) -> Iterator[tuple[str, float, float, float]]:
    """Draws documents as the training script does; yields each part's name, share of the tokens, weight and leeway."""
    from datasets import Dataset, interleave_datasets

    drawn = interleave_datasets(
        [Dataset.from_dict({"part": [part["name"]] * parts[part["name"]]["documents"]}) for part in stage["parts"]],
        probabilities=[part["probability"] for part in stage["parts"]],
        seed=settings["seed"],
        stopping_strategy=settings["stopping_strategy"],
    )["part"]
    names = list(drawn)
    counts = {name: names.count(name) * part["tokens"] / part["documents"] for name, part in parts.items()}
    for part in stage["parts"]:
        yield part["name"], counts[part["name"]] / sum(counts.values()), part["token_weight"], 5 * math.sqrt(0.25 / len(names))


def check(run: Path) -> tuple[int, int, float, list[str]]:
    """Checks one run; returns its steps, the rows compared, the largest difference and what is wrong."""
    folder = run / "recipe" / "hf"
    try:
        arguments = arguments_of(folder / "training_arguments.json")
    except (ValueError, TypeError) as error:
        return 0, 0, 0.0, [f"training_arguments.json: {error}"]
    rates, steps = rates_of(arguments), arguments.max_steps
    # The Trainer logs at step k the rate of update k, counted from 1.
    rows, worst, wrong = compare(folder / "expected_lr.csv", steps, lambda step: rates[step - 1])
    warmup = arguments.get_warmup_steps(steps)
    floor = arguments.learning_rate * arguments.lr_scheduler_kwargs["min_lr_ratio"] if warmup else 0.0
    header = (folder / "README.md").read_text(encoding="utf-8")
    wrong += against_schedule(run, header, rates.__getitem__, above=floor)
    wrong += [*model(folder), *mixture(folder / "mixture.json", steps)]
    return steps, rows, worst, wrong


def main() -> int:
    """Runs the command line."""
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        print(__doc__)
        return 2
    return 0 if all([report(Path(run), "hf", PACKAGES, PARSED_BY, *check(Path(run))) for run in sys.argv[1:]]) else 1


if __name__ == "__main__":
    sys.exit(main())
