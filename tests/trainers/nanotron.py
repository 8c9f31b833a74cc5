"""Checks recipes for nanotron by its rules: python nanotron.py RUN...

Needs PyYAML, a YAML 1.1 reader as nanotron uses it. nanotron itself needs GPUs' libraries, and its package is too old, so its
rules and its schedule are written out here, from its sources of April 2026 (`config/config.py`, `helpers.py`, `trainer.py`,
`run_train.py`).

RUN/recipe/nanotron holds `expected_lr.csv` and `config.yaml`. A run of several data stages has a file for each: `config.yaml`
trains the first stage, `config_2.yaml` goes on from its checkpoint with the second, and so on, because `run_train.py` makes data
for the last stage of a file only. A file has its own stage and those before it. Folders of token files that exist are looked
into; where they are relative, they lie in the current folder, as for nanotron, unless `--root` names another.
"""

import argparse
import math
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from common import TOLERANCE, against_mixture, against_schedule, by_part, compare, report, tokens_of

# What the strict parser accepts; sections not named here are not written by a recipe.
SECTIONS = {
    "general": "project run seed step consumed_train_samples benchmark_csv_path ignore_sanity_checks",
    "parallelism": "dp pp tp pp_engine tp_mode tp_linear_async_communication recompute_layer tp_recompute_allgather "
    "expert_parallel_size context_parallel_size",
    "model": "model_config init_method dtype make_vocab_size_divisible_by ddp_bucket_cap_mb",
    "model.init_method": "std scaling_method",
    "model.model_config": "bos_token_id eos_token_id hidden_act hidden_size initializer_range intermediate_size is_llama_config "
    "max_position_embeddings num_attention_heads num_hidden_layers attention_bias num_key_value_heads pad_token_id "
    "pretraining_tp rms_norm_eps rope_scaling rope_theta rope_interleaved tie_word_embeddings use_cache vocab_size",
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
STAGE = {"name", "start_training_step", "data", "sequence_length"}
DATA = {"dataset", "seed", "num_loading_workers"}
DATASET = set(
    "dataset_folder dataset_weights dataset_read_path tokenizer_name vocab_size token_size_in_bytes return_positions "
    "skip_in_stream pad_samples_to_global_batch_size dataset_max_tokens shuffle_files use_old_brrr_dataloader".split()
)
FLOATS = (
    "model.init_method.std model.model_config.initializer_range model.model_config.rms_norm_eps model.model_config.rope_theta "
    "optimizer.weight_decay optimizer.clip_grad optimizer.optimizer_factory.adam_eps optimizer.optimizer_factory.adam_beta1 "
    "optimizer.optimizer_factory.adam_beta2 optimizer.learning_rate_scheduler.learning_rate "
    "optimizer.learning_rate_scheduler.min_decay_lr"
).split()


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


def shape(config: dict) -> Iterator[str]:
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
    yield from stage_shape(config.get("data_stages"))


def stage_shape(stages: object) -> Iterator[str]:
    """Yields keys of data stages that nanotron does not know, and those it needs."""
    if not isinstance(stages, list) or not stages:
        yield "data_stages is missing"
        return
    for stage in stages:
        name = stage.get("name")
        data = stage.get("data") or {}
        dataset = data.get("dataset") or {}
        for found, known, needed in (
            (stage, STAGE, {"name", "start_training_step", "data"}),
            (data, DATA, {"dataset", "seed"}),
            (dataset, DATASET, {"dataset_folder", "dataset_weights", "tokenizer_name", "vocab_size", "token_size_in_bytes"}),
        ):
            yield from (f"stage {name!r}: {key} is no key of nanotron's" for key in sorted(found.keys() - known))
            yield from (f"stage {name!r}: {key} is missing" for key in sorted(needed - found.keys()))
        folders, weights = dataset.get("dataset_folder"), dataset.get("dataset_weights")
        if not isinstance(folders, list) or not all(isinstance(folder, str) for folder in folders):
            yield f"stage {name!r}: dataset_folder is no list of texts"
        if not isinstance(weights, list) or not all(isinstance(weight, float) for weight in weights):
            yield f"stage {name!r}: dataset_weights are no list of floats"


def stages(config: dict, root: Path) -> Iterator[str]:
    """Yields what nanotron asserts about data stages and does not hold."""
    listed = config["data_stages"]
    for key in ("name", "start_training_step"):
        values = [stage[key] for stage in listed]
        if len(set(values)) != len(values):
            yield f"two data stages share a {key}"
    starts = [stage["start_training_step"] for stage in listed]
    if 1 not in starts:
        yield "no data stage starts at step 1"
    if starts != sorted(starts):
        yield "the data stages do not ascend"
    if max(starts) > config["tokens"]["train_steps"]:
        yield f"a data stage starts at step {max(starts)}, after the last of {config['tokens']['train_steps']} steps"
    for stage in listed:
        yield from (f"stage {stage['name']!r}: {text}" for text in dataset(config, stage, root))


def dataset(config: dict, stage: dict, root: Path) -> Iterator[str]:
    """Yields what is wrong with the data of one stage."""
    data = stage["data"]["dataset"]
    folders, weights = data["dataset_folder"], data["dataset_weights"]
    if len(folders) != len(weights) or not math.isclose(sum(weights), 1.0, rel_tol=TOLERANCE) or min(weights) < 0:
        yield f"{len(folders)} folders have {len(weights)} weights, which sum to {sum(weights)}"
    if data["tokenizer_name"] != at(config, "tokenizer.tokenizer_name_or_path"):
        yield "the stage's tokenizer is not the model's"
    if data["vocab_size"] != at(config, "model.model_config.vocab_size"):
        yield "the stage's vocabulary is not the model's"
    if data["token_size_in_bytes"] != (2 if data["vocab_size"] <= 1 << 16 else 4):
        yield "the tokens' size does not fit the vocabulary"
    if stage.get("sequence_length") not in (None, config["tokens"]["sequence_length"]):
        yield "the stage has another sequence length, which nanotron refuses when it trains"
    for folder in folders:
        if (root / folder).is_dir():
            yield from (f"{folder}: {text}" for text in token_folder(root / folder, data))


def token_folder(folder: Path, data: dict) -> Iterator[str]:
    """Yields what is wrong with a folder of token files. nanotron reads `*.ds` and `*.metadata` in it, no deeper."""
    # The first metadata file is any of them, since nanotron does not sort; so each must hold.
    for path in sorted(folder.glob("*.metadata")):
        first = path.read_text(encoding="utf-8").split("\n", 1)[0].strip()
        if "|" not in first:
            continue
        if first.count("|") != 1:
            yield f"{path.name}: {first!r} has more than one bar"
        elif first != f"{data['tokenizer_name']}|{data['token_size_in_bytes']}":
            yield f"{path.name}: {first!r} is not {data['tokenizer_name']}|{data['token_size_in_bytes']}"
    files = sorted(folder.glob("*.ds"))
    if not files:
        yield "has no file *.ds"
    cut = (path.name for path in files if path.stat().st_size % data["token_size_in_bytes"])
    yield from (f"{name}: is no whole number of tokens" for name in cut)


def model(config: dict) -> Iterator[str]:
    """Yields what nanotron asserts about the model's shape and does not hold."""
    heads, kv_heads = (at(config, f"model.model_config.num_{kind}_heads") for kind in ("attention", "key_value"))
    parallel = at(config, "parallelism.tp")
    if heads % parallel or heads % kv_heads or kv_heads % parallel:
        yield f"{heads} heads, {kv_heads} key/value heads and {parallel} devices do not divide"


def rate_after(schedule: dict, step: int) -> float:
    """Computes the learning rate after `step` completed steps, corners included."""
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


def files_of(folder: Path) -> list[Path]:
    """Returns the configs in the order in which they are run."""
    later = sorted(folder.glob("config_*.yaml"), key=lambda path: int(path.stem.removeprefix("config_")))
    return [folder / "config.yaml", *later]


def sequence(configs: list[dict]) -> Iterator[str]:
    """Yields where a config would not go on from the one before."""
    for number, config in enumerate(configs, 1):
        listed, steps = config["data_stages"], config["tokens"]["train_steps"]
        if len(listed) != number:
            yield f"config {number} has {len(listed)} data stages, not {number}; run_train.py makes data for the last one only"
            continue
        resumed = config["checkpoints"].get("resume_checkpoint_path")
        if (number > 1) != bool(resumed):
            yield f"config {number} resumes from {resumed!r}"
        if number < len(configs) and configs[number]["data_stages"][-1]["start_training_step"] != steps + 1:
            yield f"config {number} ends after step {steps}, where the next stage does not start"
        for part in ("optimizer", "model", "parallelism", "tokenizer"):
            if config[part] != configs[0][part]:
                yield f"config {number} differs from the first in {part}"
        before = configs[number - 2]["data_stages"] if number > 1 else []
        if listed[:-1] != before:
            yield f"config {number} does not repeat the data stages before it"


def check(run: Path, root: Path) -> tuple[int, int, float, list[str]]:
    """Checks one run; returns its steps, the rows compared, the largest difference and what is wrong."""
    import yaml

    folder = run / "recipe" / "nanotron"
    configs, wrong = [], []
    for path in files_of(folder):
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
        found = list(shape(config)) or [*stages(config, root), *model(config)]
        wrong.extend(f"{path.name}: {text}" for text in found)
        configs.append(config)
    if wrong:
        return 0, 0, 0.0, wrong
    wrong.extend(sequence(configs))
    own = [config["data_stages"][-1]["data"]["dataset"] for config in configs]
    wrong.extend(against_mixture(run, [by_part(data["dataset_folder"], data["dataset_weights"]) for data in own]))
    config = configs[-1]
    schedule, tokens = at(config, "optimizer.learning_rate_scheduler"), config["tokens"]
    steps = tokens["train_steps"]
    rate: Callable[[int], float] = lambda step: rate_after(schedule, step)  # noqa: E731
    # nanotron logs after the scheduler's step.
    rows, worst, differing = compare(folder / "expected_lr.csv", steps, rate)
    wrong.extend(differing)
    if (run / "schedule.csv").is_file():
        header = (folder / "config.yaml").read_text(encoding="utf-8")
        wrong.extend(against_schedule(run, header, rate))
        batch = config["parallelism"]["dp"] * tokens["micro_batch_size"] * tokens["batch_accumulation_per_replica"]
        if batch * tokens["sequence_length"] * steps != tokens_of(run):
            wrong.append(f"batch × sequence × steps is not the {tokens_of(run)} tokens of schedule.csv")
    return steps, rows, worst, wrong


def main() -> int:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--root", type=Path, default=Path(), help="the folder that relative dataset folders lie in")
    settings = parser.parse_args()
    parsed_by = "PyYAML, and nanotron's rules written out"
    found = [report(run, "nanotron", ["PyYAML"], parsed_by, *check(run, settings.root)) for run in settings.runs]
    return 0 if all(found) else 1


if __name__ == "__main__":
    sys.exit(main())
