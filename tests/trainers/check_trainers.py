"""Loads written recipes with the trainers' own code, and says where they disagree.

    python3 tests/trainers/check_trainers.py [FOLDER]

FOLDER is the output of a run, or holds several; without it, small runs are made with `cargo run`. The learning rates in
`expected_lr.csv` must be those of the trainer's own scheduler, step by step, within a relative 1e-9.

- Hugging Face: transformers parses `training_arguments.json` and builds the scheduler and the model (on no memory), and `datasets`
  mixes documents by `mixture.json`.
- nanotron: PyYAML, a YAML 1.1 reader as nanotron uses it, loads `config.yaml`. nanotron itself needs GPUs' libraries, so its rules
  and its schedule are written out here, from its sources of April 2026.

Ends with 0 if all agree, 1 if not, 2 if there is nothing to check. A library that is not installed is skipped with a line.
"""

import argparse
import csv
import importlib.util
import json
import math
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", HF_DATASETS_DISABLE_PROGRESS_BARS="1")

REPOSITORY = Path(__file__).resolve().parents[2]
TOLERANCE = 1e-9

# What nanotron's strict parser accepts, and which of it must be there; a key without a value of its own is a leaf.
SECTIONS = {
    "general": "project run seed step consumed_train_samples benchmark_csv_path ignore_sanity_checks",
    "parallelism": "dp pp tp pp_engine tp_mode tp_linear_async_communication recompute_layer tp_recompute_allgather "
    "expert_parallel_size context_parallel_size",
    "model": "model_config init_method dtype make_vocab_size_divisible_by ddp_bucket_cap_mb",
    "model.init_method": "std scaling_method",
    "model.model_config": "bos_token_id eos_token_id hidden_act hidden_size initializer_range intermediate_size is_llama_config "
    "max_position_embeddings num_attention_heads num_hidden_layers attention_bias num_key_value_heads pad_token_id pretraining_tp "
    "rms_norm_eps rope_scaling rope_theta rope_interleaved tie_word_embeddings use_cache vocab_size",
    "tokenizer": "tokenizer_name_or_path tokenizer_revision tokenizer_max_length",
    "tokens": "sequence_length train_steps micro_batch_size batch_accumulation_per_replica val_check_interval limit_val_batches "
    "limit_test_batches",
    "optimizer": "optimizer_factory zero_stage weight_decay clip_grad accumulate_grad_in_fp32 learning_rate_scheduler "
    "weight_decay_exclude_named_params",
    "optimizer.optimizer_factory": "name adam_eps adam_beta1 adam_beta2 torch_adam_is_fused",
    "optimizer.learning_rate_scheduler": "learning_rate lr_warmup_steps lr_warmup_style lr_decay_style lr_decay_steps "
    "lr_decay_starting_step min_decay_lr",
    "checkpoints": "checkpoints_path checkpoint_interval save_initial_state save_final_state resume_checkpoint_path "
    "load_lr_scheduler load_optimizer checkpoints_path_is_shared_file_system",
    "logging": "log_level log_level_replica iteration_step_info_interval",
}
DATASET = "dataset_folder dataset_weights dataset_read_path tokenizer_name vocab_size token_size_in_bytes return_positions " \
    "skip_in_stream pad_samples_to_global_batch_size dataset_max_tokens shuffle_files use_old_brrr_dataloader"
FLOATS = (
    "model.init_method.std model.model_config.initializer_range model.model_config.rms_norm_eps model.model_config.rope_theta "
    "optimizer.weight_decay optimizer.clip_grad optimizer.optimizer_factory.adam_eps optimizer.optimizer_factory.adam_beta1 "
    "optimizer.optimizer_factory.adam_beta2 optimizer.learning_rate_scheduler.learning_rate "
    "optimizer.learning_rate_scheduler.min_decay_lr"
).split()


def table(path: Path) -> list[tuple[int, float]]:
    """Reads the step and the learning rate of every row."""
    with path.open(newline="") as file:
        return [(int(row["step"]), float(row["lr"])) for row in csv.DictReader(file)]


def compare(path: Path, steps: int, rate: Callable[[int], float]) -> Iterator[str]:
    """Yields rows of `path` whose rate is not `rate(step)`, and what makes it no table of a run of `steps` steps."""
    rows = table(path)
    logged = [step for step, _ in rows]
    if logged != sorted(set(logged)) or not logged or logged[0] != 1 or logged[-1] != steps:
        yield f"{path}: the steps do not ascend from 1 to {steps}"
    if steps <= 2000 and len(logged) != steps:
        yield f"{path}: has {len(logged)} rows for {steps} steps, though it need not leave one out"
    for step, written in rows:
        if not math.isclose(written, rate(step), rel_tol=TOLERANCE, abs_tol=1e-18):
            yield f"{path}: step {step} is {written!r}, the trainer has {rate(step)!r}"
            return


def at(config: dict, path: str) -> object:
    """Returns what lies at a dotted path, None if nothing does."""
    for key in path.split("."):
        config = config.get(key) if isinstance(config, dict) else None
    return config


def numbers_read_as_text(value: object, path: str = "") -> Iterator[str]:
    """Yields where a string stands that is spelt like a number, such as 4e-4 under YAML 1.1."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from numbers_read_as_text(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for position, inner in enumerate(value):
            yield from numbers_read_as_text(inner, f"{path}[{position}]")
    elif isinstance(value, str) and re.fullmatch(r"[-+.\d][\d_.eE+-]*", value):
        yield f"{path} is the text {value!r}"


def nanotron_shape(config: dict) -> Iterator[str]:
    """Yields sections that are missing, keys that nanotron does not know and values of the wrong type."""
    for section, known in SECTIONS.items():
        found = at(config, section)
        if not isinstance(found, dict):
            yield f"{section} is missing"
            continue
        yield from (f"{section}.{key} is no key of nanotron's" for key in found if key not in known.split())
    top = {section.split(".")[0] for section in SECTIONS} | {"data_stages"}
    yield from (f"{key} is no section of nanotron's" for key in config if key not in top)
    yield from (f"{path} is {at(config, path)!r}, not a float" for path in FLOATS if not isinstance(at(config, path), float))
    yield from numbers_read_as_text(config)
    schedule = at(config, "optimizer.learning_rate_scheduler") or {}
    for key in SECTIONS["optimizer.learning_rate_scheduler"].split():
        if schedule.get(key) is None:
            yield f"optimizer.learning_rate_scheduler.{key} is missing, and nanotron's default is another schedule"
    if schedule.get("lr_warmup_style") not in ("linear", "constant"):
        yield "lr_warmup_style is neither linear nor constant"
    if schedule.get("lr_decay_style") not in ("linear", "cosine", "1-sqrt"):
        yield "lr_decay_style is neither linear nor cosine nor 1-sqrt"


def nanotron_stages(config: dict) -> Iterator[str]:
    """Yields what nanotron asserts about data stages and does not hold."""
    stages = config.get("data_stages") or []
    for key in ("name", "start_training_step"):
        values = [stage[key] for stage in stages]
        if len(set(values)) != len(values):
            yield f"two data stages share a {key}"
    if 1 not in [stage["start_training_step"] for stage in stages]:
        yield "no data stage starts at step 1"
    for stage in stages:
        data = stage["data"]["dataset"]
        folders, weights = data["dataset_folder"], data["dataset_weights"]
        yield from (f"dataset.{key} is no key of nanotron's" for key in data if key not in DATASET.split())
        if not all(isinstance(folder, str) for folder in folders) or not all(isinstance(weight, float) for weight in weights):
            yield "dataset_folder is not text or dataset_weights are not floats"
        elif len(folders) != len(weights) or not math.isclose(sum(weights), 1.0, rel_tol=TOLERANCE):
            yield f"{len(folders)} folders have {len(weights)} weights, which sum to {sum(weights)}"
        if data["tokenizer_name"] != at(config, "tokenizer.tokenizer_name_or_path"):
            yield "the stage's tokenizer is not the model's"
        if data["vocab_size"] != at(config, "model.model_config.vocab_size"):
            yield "the stage's vocabulary is not the model's"
        if data["token_size_in_bytes"] != (2 if data["vocab_size"] <= 1 << 16 else 4):
            yield "the tokens' size does not fit the vocabulary"


def nanotron_model(config: dict) -> Iterator[str]:
    """Yields what nanotron asserts about the model's shape and does not hold."""
    heads, kv_heads = (at(config, f"model.model_config.num_{kind}_heads") for kind in ("attention", "key_value"))
    parallel = at(config, "parallelism.tp")
    if heads % parallel or heads % kv_heads or kv_heads % parallel:
        yield f"{heads} heads, {kv_heads} key/value heads and {parallel} devices do not divide"


def nanotron_lr(schedule: dict, step: int) -> float:
    """Computes nanotron's learning rate after `step` completed steps, corners included."""
    peak, floor = schedule["learning_rate"], schedule["min_decay_lr"]
    warmup, start, decay = (schedule[f"lr_{key}"] for key in ("warmup_steps", "decay_starting_step", "decay_steps"))
    if warmup == 0 and decay == 0:
        return peak * peak
    if step <= warmup:
        return peak * step / max(warmup, 1) if schedule["lr_warmup_style"] == "linear" else peak
    if step < start:
        return peak
    if step >= start + decay:
        return floor
    passed = (step - start) / decay
    left = {"linear": 1 - passed, "1-sqrt": 1 - math.sqrt(passed), "cosine": (1 + math.cos(math.pi * passed)) / 2}
    return floor + (peak - floor) * left[schedule["lr_decay_style"]]


def canonical(run: Path, rate: Callable[[int], float], above: float) -> Iterator[str]:
    """Yields where the rate of an update, by completed steps, is not that of `schedule.csv` or exceeds it by more than `above`."""
    for step, written in table(run / "schedule.csv")[:-1]:
        excess = rate(step) - written
        if excess < -TOLERANCE * written or excess > above + TOLERANCE * written:
            yield f"{run}: update {step} has {rate(step)!r}, schedule.csv {written!r}"
            return


def check_nanotron(run: Path) -> Iterator[str]:
    """Yields what is wrong with the recipe for nanotron."""
    import yaml

    path = run / "recipe" / "nanotron" / "config.yaml"
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    wrong = [*nanotron_shape(config)]
    wrong = wrong or [*nanotron_stages(config), *nanotron_model(config)]
    yield from (f"{path}: {text}" for text in wrong)
    if wrong:
        return
    schedule, tokens = at(config, "optimizer.learning_rate_scheduler"), config["tokens"]
    rate = lambda step: nanotron_lr(schedule, step)  # noqa: E731
    # nanotron logs after the scheduler's step.
    yield from compare(path.with_name("expected_lr.csv"), tokens["train_steps"], rate)
    yield from canonical(run, rate, 0.0)
    batch = config["parallelism"]["dp"] * tokens["micro_batch_size"] * tokens["batch_accumulation_per_replica"]
    with (run / "schedule.csv").open(newline="") as file:
        *_, last = csv.DictReader(file)
    if batch * tokens["sequence_length"] * tokens["train_steps"] != int(last["tokens"]):
        yield f"{path}: batch × sequence × steps is not the {last['tokens']} tokens of schedule.csv"


def arguments_of(path: Path) -> object:
    """Parses the file as a training script does; where there is no GPU, told so, because bf16 is refused there otherwise."""
    import torch
    from transformers import HfArgumentParser, TrainingArguments

    with tempfile.TemporaryDirectory() as scratch:
        if not torch.cuda.is_available():
            changed = json.loads(path.read_text(encoding="utf-8")) | {"use_cpu": True}
            path = Path(scratch) / path.name
            path.write_text(json.dumps(changed), encoding="utf-8")
        return HfArgumentParser(TrainingArguments).parse_json_file(str(path))[0]


def check_hf(run: Path) -> Iterator[str]:
    """Yields what is wrong with the recipe for the Hugging Face Trainer."""
    import torch
    from transformers import get_scheduler

    folder = run / "recipe" / "hf"
    path = folder / "training_arguments.json"
    try:
        arguments = arguments_of(path)
    except (ValueError, TypeError) as error:
        yield f"{path}: {error}"
        return
    steps, peak = arguments.max_steps, arguments.learning_rate
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=peak)
    warmup = arguments.get_warmup_steps(steps)
    scheduler = get_scheduler(arguments.lr_scheduler_type, optimizer, warmup, steps, arguments.lr_scheduler_kwargs)
    rates = []
    for _ in range(steps):
        rates.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    # The Trainer logs at step k the rate of update k, counted from 1.
    yield from compare(folder / "expected_lr.csv", steps, lambda step: rates[step - 1])
    floor = peak * arguments.lr_scheduler_kwargs["min_lr_ratio"] if warmup else 0.0
    yield from canonical(run, lambda step: rates[step], floor)
    yield from check_hf_model(folder)


def check_hf_model(folder: Path) -> Iterator[str]:
    """Yields a model that has not the parameters that the README tells."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder / "model"))
    billions = f"{sum(weight.numel() for weight in model.parameters()) / 1e9:.3f} billion"
    if billions not in (folder / "README.md").read_text(encoding="utf-8"):
        yield f"{folder}: the model has {billions} parameters, the README says otherwise"


def check_mixture(run: Path) -> Iterator[str]:
    """Yields parts that documents drawn by `mixture.json` would not give their share of the tokens."""
    from datasets import Dataset, interleave_datasets

    path = run / "recipe" / "hf" / "mixture.json"
    mixture = json.loads(path.read_text(encoding="utf-8"))
    parts, probabilities = mixture["parts"], mixture["probabilities"]
    drawn = interleave_datasets(
        [Dataset.from_dict({"part": [part["name"]] * part["documents"]}) for part in parts],
        probabilities=probabilities,
        seed=mixture["seed"],
        stopping_strategy=mixture["stopping_strategy"],
    )["part"]
    names = list(drawn)
    tokens = [names.count(part["name"]) * part["tokens"] / part["documents"] for part in parts]
    for part, share in zip(parts, (count / sum(tokens) for count in tokens)):
        deviation = 5 * math.sqrt(0.25 / len(names))
        if abs(share - part["token_weight"]) > deviation:
            yield f"{path}: {part['name']} gets {share:.3f} of the tokens, its weight is {part['token_weight']:.3f}"


CHECKS = (
    ("nanotron", ("yaml",), check_nanotron),
    ("hf", ("torch", "transformers", "accelerate"), check_hf),
    ("hf", ("datasets",), check_mixture),
)


def make_samples(folder: Path) -> None:
    """Writes the recipes of small runs."""
    # no --package: with the features of the whole workspace nothing is built that `cargo test --workspace` has not built
    command = ["cargo", "run", "--quiet", "--example", "write_sample", "--", str(folder)]
    subprocess.run(command, cwd=REPOSITORY, check=True)


def check(folder: Path) -> tuple[int, list[str]]:
    """Checks every run in `folder`; returns how many recipes were checked and what is wrong with them."""
    missing = {name for _, needs, _ in CHECKS for name in needs if importlib.util.find_spec(name) is None}
    for name in sorted(missing):
        print(f"skipped  what needs {name}, which is not installed")
    runs = sorted(path.parent for path in [*folder.glob("schedule.csv"), *folder.glob("*/schedule.csv")])
    checked, wrong = 0, []
    for run in runs:
        for trainer, needs, function in CHECKS:
            if not missing.intersection(needs) and (run / "recipe" / trainer).is_dir():
                checked += 1
                wrong.extend(function(run))
    return checked, wrong


def main() -> int:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, help="the output of a run, or a folder of several")
    folder = parser.parse_args().folder
    with tempfile.TemporaryDirectory() as scratch:
        if folder is None:
            make_samples(Path(scratch))
        checked, wrong = check(folder or Path(scratch))
    for text in wrong:
        print(f"differs  {text}")
    print(f"{checked} checks, {len(wrong)} differences")
    return 1 if wrong else 0 if checked else 2


if __name__ == "__main__":
    sys.exit(main())
