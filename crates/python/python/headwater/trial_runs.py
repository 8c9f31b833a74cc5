"""Trains the runs of a trial with the Trainer of transformers: ``python train.py [--part I/N]``.

``headwater trial`` leaves this program with all that it reads beside it, for ``[trial] trainer = "hf"``. It trains the runs that are not done,
each from its last checkpoint, on the device that PyTorch finds, and leaves the models of each in its folder, which ``headwater trial --collect``
judges. Runs do not depend on each other: the tasks of a job array take a part each, and ``torchrun`` puts several GPUs to one run.

This program needs torch, transformers and accelerate alone, and is also ``python -m headwater.trial_runs FOLDER``.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.util
import json
import math
import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

LAST = "trainer_state.json"
"""What transformers writes of a checkpoint when its weights are there."""

SAVES = 10
"""Checkpoints of a run, about; the last two are kept until it is done."""
SAVE_SECONDS = 600
"""The most that is between two of them, on one device."""


class UnusableError(Exception):
    """The runs, the device or the packages cannot be used; the message says why and what to do."""


def packages() -> Any:
    """The modules torch and transformers.

    Raises:
        UnusableError: if a package is missing.
    """
    names = ("torch", "transformers", "accelerate")
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if missing:
        raise UnusableError(f"{sys.executable} has no {' and no '.join(missing)}: pip install {' '.join(names)}")
    return importlib.import_module("torch"), importlib.import_module("transformers")


def world_size() -> int:
    """Processes that ``torchrun`` gives to a run."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def tell(text: str) -> None:
    """Prints a line, in one process of a run."""
    if os.environ.get("RANK", "0") == "0":
        print(text, file=sys.stderr, flush=True)


def take_one_device(torch: Any, part: int) -> None:
    """Hides all GPUs but one from a process without ``torchrun``: a Trainer that sees several gives a batch to each in every step."""
    if world_size() > 1 or torch.cuda.device_count() < 2:
        return
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    devices = named.split(",") if named else [str(number) for number in range(torch.cuda.device_count())]
    os.environ["CUDA_VISIBLE_DEVICES"] = devices[part % len(devices)]


@contextlib.contextmanager
def held(output: Path) -> Iterator[bool]:
    """Whether this process alone trains a run; where files cannot be locked, it is taken at its word."""
    output.mkdir(parents=True, exist_ok=True)
    try:
        import fcntl
    except ImportError:
        yield True
        return
    with (output / "lock").open("w") as file:
        try:
            # the first process of a run holds it for the others
            if os.environ.get("RANK", "0") == "0":
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        except OSError:
            pass
        yield True


def settle(folder: Path) -> None:
    """Flushes the files below a folder to the device."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())


def positive(text: str) -> int:
    """A whole number above 0."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not at least 1")
    return number


def part_of(text: str) -> tuple[int, int]:
    """Part I of N, written I/N."""
    try:
        index, of = (int(number) for number in text.split("/"))
    except ValueError:
        index, of = 0, 0
    if not 0 <= index < of:
        raise argparse.ArgumentTypeError(f"{text} is no part: write I/N with I from 0 to below N, such as 0/4")
    return index, of


def listed(folder: Path) -> dict[str, Any]:
    """The list of runs in a folder.

    Raises:
        UnusableError: if there is none.
    """
    path = folder / "runs.json"
    try:
        runs: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UnusableError(f"{path} cannot be read: {error}; `headwater trial` with `trial.trainer = \"hf\"` leaves it") from error
    return runs


def is_done(folder: Path, plan: str, run: dict[str, Any]) -> bool:
    """Whether a run has its models.

    Raises:
        UnusableError: if they are of another trial.
    """
    path = folder / run["output"] / "run.json"
    if not path.exists():
        return False
    try:
        is_of_plan = json.loads(path.read_text(encoding="utf-8"))["plan"] == plan
    except (ValueError, KeyError, TypeError):
        is_of_plan = False
    if not is_of_plan:
        raise UnusableError(f"{path} is of another trial: remove the folder {path.parent} to train the run again")
    # a kill may have left it
    shutil.rmtree(path.parent / "work", ignore_errors=True)
    return True


class Sequences:
    """The sequences of a run, as the Trainer reads them.

    The first label of each is left out: nothing predicts it, and the Trainer divides the loss by the labels that are left.
    """

    def __init__(self, torch: Any, path: Path) -> None:
        self.torch = torch
        self.tokens = importlib.import_module("safetensors.numpy").load_file(path)["tokens"]

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, at: int) -> dict[str, Any]:
        ids = self.torch.from_numpy(self.tokens[at].astype("int64"))
        labels = ids.clone()
        labels[0] = -100
        return {"input_ids": ids, "labels": labels}


def groups(model: Any, decay: float) -> list[dict[str, Any]]:
    """The parameters for AdamW: matrices decay, norms do not."""
    named = list(model.named_parameters())
    return [
        {"params": [weight for _, weight in named if weight.ndim >= 2], "weight_decay": decay},
        {"params": [weight for _, weight in named if weight.ndim < 2], "weight_decay": 0.0},
    ]


def trainer_of(torch: Any, transformers: Any, clip: float | None) -> Any:
    """A Trainer that reads sequences in their order and logs the l1 norm of gradients."""

    class InOrder(transformers.Trainer):  # type: ignore[misc]
        l1 = math.nan

        def _get_train_sampler(self, *_: Any) -> Any:
            return torch.utils.data.SequentialSampler(self.train_dataset)

        def log(self, logs: dict[str, float], *more: Any, **named: Any) -> None:
            if "loss" in logs:
                # norms are taken after clipping, which divides by the l2 norm
                scale = max(1.0, logs["grad_norm"] / clip) if clip else 1.0
                logs["grad_norm_l1"] = self.l1 * scale
                for name in ("loss", "grad_norm", "grad_norm_l1"):
                    if not math.isfinite(logs[name]):
                        raise UnusableError(f"{name} is {logs[name]} at step {self.state.global_step}: lower `trial.peak_lr`")
            super().log(logs, *more, **named)

    return InOrder


def watch_of(torch: Any, transformers: Any, name: str, stable: int | None, save: Any) -> Any:
    """A callback that saves the model before the decay, takes the l1 norm of gradients and tells how far the run is."""

    class Watch(transformers.TrainerCallback):  # type: ignore[misc]
        trainer: Any = None
        told = 0.0
        saved = time.monotonic()

        def on_step_begin(self, _: Any, state: Any, control: Any, **__: Any) -> None:
            if state.global_step == stable:
                save("stable")

        def on_pre_optimizer_step(self, _: Any, state: Any, control: Any, model: Any, **__: Any) -> None:
            norms = [weight.grad.abs().sum() for weight in model.parameters() if weight.grad is not None]
            self.trainer.l1 = float(torch.stack(norms).sum())

        def on_log(self, _: Any, state: Any, control: Any, logs: dict[str, float], **__: Any) -> None:
            if "loss" in logs and time.monotonic() - self.told >= 10:
                self.told = time.monotonic()
                tell(f"{name}: step {state.global_step} of {state.max_steps}, loss {logs['loss']:.3f}")

        def on_step_end(self, _: Any, state: Any, control: Any, **__: Any) -> None:
            # clocks of several processes would not agree
            if world_size() == 1 and time.monotonic() - self.saved >= SAVE_SECONDS:
                control.should_save = True

        def on_save(self, *_: Any, **__: Any) -> None:
            self.saved = time.monotonic()

    return Watch()


def checkpoint_of(work: Path) -> str | None:
    """The newest whole checkpoint of a run."""
    whole = {}
    for path in work.glob(f"checkpoint-*/{LAST}"):
        # a kill may have left a part of it
        with contextlib.suppress(ValueError):
            whole[int(json.loads(path.read_text(encoding="utf-8"))["global_step"])] = path.parent
    return str(whole[max(whole)]) if whole else None


def together_of(sequences: int, options: argparse.Namespace) -> int:
    """Sequences at a time on one device.

    Raises:
        UnusableError: if the batch cannot be divided so.
    """
    world = world_size()
    if sequences % world:
        raise UnusableError(f"the {sequences} sequences of a step cannot be divided among {world} devices: take a number that divides them")
    share = sequences // world
    together: int = options.device_sequences or share
    if share % together:
        raise UnusableError(f"--device-sequences {together}: it must divide the {share} sequences of a step on a device")
    return together


def train(torch: Any, transformers: Any, folder: Path, runs: dict[str, Any], run: dict[str, Any], options: argparse.Namespace) -> None:
    """Trains one run to its end.

    Raises:
        UnusableError: if it diverges, its files do not fit, or the devices are not those that the batch is divided among.
    """
    settings = runs["settings"]
    output = folder / run["output"]
    work, world, together = output / "work", world_size(), together_of(settings["sequences"], options)
    rates = json.loads((folder / run["rates"]).read_text(encoding="utf-8"))
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig.from_pretrained(folder / "model", local_files_only=True)).float()
    start = importlib.import_module("safetensors.torch").load_file(folder / run["start"])
    found = model.load_state_dict(start, strict=False)
    if found.unexpected_keys or set(found.missing_keys) - {"lm_head.weight"}:
        raise UnusableError(f"{folder / run['start']} does not fit the model; remove {folder} and prepare the trial again")
    model.tie_weights()

    optimiser = settings["optimiser"]
    peak, clip = runs["peak_lr"], settings["clip"]
    adamw = torch.optim.AdamW(
        groups(model, optimiser["weight_decay"]), lr=peak, betas=(optimiser["beta1"], optimiser["beta2"]), eps=optimiser["eps"]
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(adamw, lambda step: rates[min(step, len(rates) - 1)] / peak)
    arguments = transformers.TrainingArguments(
        output_dir=str(work),
        max_steps=runs["steps"],
        per_device_train_batch_size=together,
        gradient_accumulation_steps=settings["sequences"] // (together * world),
        max_grad_norm=clip or 0.0,
        learning_rate=peak,
        bf16=options.precision == "bf16",
        tf32=None if options.precision == "bf16" else False,
        torch_compile=options.compile,
        save_strategy="steps",
        save_steps=max(1, runs["steps"] // SAVES),
        save_total_limit=2,
        logging_strategy="steps",
        logging_steps=1,
        logging_nan_inf_filter=False,
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=torch.cuda.is_available(),
        seed=run["seed"] % 2**32,
    )

    if arguments.world_size != world or arguments.n_gpu > 1:
        raise UnusableError(
            f"{arguments.world_size} processes and {arguments.n_gpu} GPUs would share a step: several GPUs for one run take `torchrun`, "
            "and one GPU is chosen by CUDA_VISIBLE_DEVICES"
        )

    def save(which: str) -> None:
        if trainer.is_world_process_zero():
            model.save_pretrained(output / which)

    watch = watch_of(torch, transformers, f"{run['arm']}, seed {run['seed']}", run["stable"], save)
    trainer = trainer_of(torch, transformers, clip)(
        model=model, args=arguments, train_dataset=Sequences(torch, folder / run["tokens"]), optimizers=(adamw, schedule), callbacks=[watch]
    )
    trainer.remove_callback(transformers.PrinterCallback)
    watch.trainer = trainer
    began, resumed = time.monotonic(), checkpoint_of(work)
    trainer.train(resume_from_checkpoint=resumed)
    save("final")
    if not trainer.is_world_process_zero():
        return
    steps = [entry for entry in trainer.state.log_history if "loss" in entry]
    if len(steps) != runs["steps"]:
        raise UnusableError(f"{len(steps)} of {runs['steps']} steps are logged: remove the folder {output} to train the run again")
    # the rates are those that were set; the Trainer's own entry has changed its meaning between versions
    lines = [
        {"step": at, "loss": entry["loss"], "rate": rates[at], "l2": entry["grad_norm"], "l1": entry["grad_norm_l1"]}
        for at, entry in enumerate(steps)
    ]
    (output / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    said = {
        "plan": runs["plan"],
        "arm": run["arm"],
        "seed": run["seed"],
        "way": way(torch, transformers, trainer.args.device, options),
        "tokens_per_second": None if resumed else round(runs["steps"] * settings["sequences"] * settings["length"] / (time.monotonic() - began)),
    }
    # last: what has it is done
    fresh = output / "run.json.new"
    fresh.write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")
    settle(output)
    fresh.replace(output / "run.json")
    # after that, so that a kill in between costs no run
    shutil.rmtree(work, ignore_errors=True)


def way(torch: Any, transformers: Any, device: Any, options: argparse.Namespace) -> str:
    """How a run was trained, in words: runs of a trial are compared if it is the same."""
    name = str(torch.cuda.get_device_name(device)) if device.type == "cuda" else str(device.type)
    devices = f"{world_size()} × {name}" if world_size() > 1 else name
    compiled = ", compiled" if options.compile else ""
    return f"{devices}, {options.precision}{compiled}, torch {torch.__version__}, transformers {transformers.__version__}"


def main() -> int:
    """Runs the command line; returns 0 when all runs of the part are done, 1 when one is not."""
    here = Path(__file__).resolve().parent
    beside: dict[str, Any] = {"nargs": "?", "default": here} if (here / "runs.json").exists() else {}
    parser = argparse.ArgumentParser(description="Trains the runs of a trial with the Trainer of transformers.")
    parser.add_argument("folder", type=Path, help="the folder with runs.json", **beside)
    parser.add_argument("--part", type=part_of, default=(0, 1), metavar="I/N", help="every N-th run, beginning with the I-th")
    parser.add_argument(
        "--precision",
        choices=["auto", "float32", "bf16"],
        default="auto",
        help="of products; parameters are float32 (default: bf16 on a GPU that has it)",
    )
    parser.add_argument("--device-sequences", type=positive, metavar="N", help="sequences at a time on one device; fewer take less memory")
    parser.add_argument("--compile", action="store_true", help="compile the model first (torch.compile)")
    options = parser.parse_args()
    index, of = options.part
    # what a launcher says of precision is not what was asked for here
    os.environ.pop("ACCELERATE_MIXED_PRECISION", None)
    try:
        runs = listed(options.folder)
        torch, transformers = packages()
        together_of(runs["settings"]["sequences"], options)
        take_one_device(torch, index)
        if options.precision == "auto":
            options.precision = "bf16" if torch.cuda.is_available() and torch.cuda.is_bf16_supported() else "float32"
    except UnusableError as error:
        tell(f"error: {error}")
        return 1
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    mine = runs["runs"][index::of]
    done = sum([trained(torch, transformers, runs, run, options) for run in mine])
    tell(f"{done} of {len(mine)} runs are done")
    return 0 if done == len(mine) else 1


def trained(torch: Any, transformers: Any, runs: dict[str, Any], run: dict[str, Any], options: argparse.Namespace) -> bool:
    """Trains a run if it is not done; says what keeps it from being trained and returns whether it is done."""
    name = f"{run['arm']}, seed {run['seed']}"
    try:
        if is_done(options.folder, runs["plan"], run):
            return True
        with held(options.folder / run["output"]) as is_held:
            if not is_held:
                tell(f"{name}: another process trains it")
                return False
            # it may have ended meanwhile
            if not is_done(options.folder, runs["plan"], run):
                torch.compiler.reset()
                train(torch, transformers, options.folder, runs, run, options)
                tell(f"{name}: done")
            return True
    except torch.OutOfMemoryError:
        tell(f"error: {name}: the device is out of memory: give fewer --device-sequences")
    except (UnusableError, OSError, ValueError, KeyError, importlib.import_module("safetensors").SafetensorError) as error:
        tell(f"error: {name}: {error}")
    return False


if __name__ == "__main__":
    sys.exit(main())
