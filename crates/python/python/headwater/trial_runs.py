"""Trains the runs of a trial with the Trainer of transformers: ``python train.py [--part I/N]``.

``headwater trial`` leaves this program with all that it reads beside it, for ``[trial] trainer = "hf"``. It trains the runs that are not done,
each from its last checkpoint, on the device that PyTorch finds, and leaves the models of each in its folder, which ``headwater trial --collect``
judges. Runs do not depend on each other: the tasks of a job array take a part each, and ``torchrun`` puts several devices to one run.

This program needs torch, transformers and accelerate alone, and is also ``python -m headwater.trial_runs FOLDER``.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import math
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

LAST = "trainer_state.json"
"""What transformers writes of a checkpoint when its weights are there."""

SAVES = 10
"""Checkpoints of a run, about; the last two are kept until it is done."""


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
    said = json.loads(path.read_text(encoding="utf-8"))
    if said["plan"] != plan:
        raise UnusableError(f"{path} is of another trial: remove the folder {path.parent} to train the run again")
    return True


class Sequences:
    """The sequences of a run, as the Trainer reads them.

    The first label of each is left out: nothing predicts it, and the Trainer divides the loss by the labels that are left.
    """

    def __init__(self, torch: Any, path: Path) -> None:
        from safetensors import safe_open

        self.torch = torch
        with safe_open(str(path), framework="np") as file:
            self.tokens = file.get_tensor("tokens")

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
            super().log(logs, *more, **named)

    return InOrder


def watch_of(torch: Any, transformers: Any, name: str, stable: int | None, save: Any) -> Any:
    """A callback that saves the model before the decay, takes the l1 norm of gradients and tells how far the run is."""

    class Watch(transformers.TrainerCallback):  # type: ignore[misc]
        trainer: Any = None
        told = 0.0

        def on_step_begin(self, _: Any, state: Any, control: Any, **__: Any) -> None:
            if state.global_step == stable:
                save("stable")

        def on_pre_optimizer_step(self, _: Any, state: Any, control: Any, model: Any, **__: Any) -> None:
            norms = [weight.grad.abs().sum() for weight in model.parameters() if weight.grad is not None]
            self.trainer.l1 = float(torch.stack(norms).sum())

        def on_log(self, _: Any, state: Any, control: Any, logs: dict[str, float], **__: Any) -> None:
            loss = logs.get("loss")
            if loss is None:
                return
            if not math.isfinite(loss):
                raise UnusableError(f"{name}: the loss is {loss} at step {state.global_step}: lower `trial.peak_lr`")
            if state.is_world_process_zero and time.monotonic() - self.told >= 10:
                self.told = time.monotonic()
                print(f"{name}: step {state.global_step} of {state.max_steps}, loss {loss:.3f}", file=sys.stderr, flush=True)

    return Watch()


def checkpoint_of(work: Path) -> str | None:
    """The newest whole checkpoint of a run."""
    numbers = sorted(int(path.parent.name.rpartition("-")[2]) for path in work.glob(f"checkpoint-*/{LAST}"))
    return str(work / f"checkpoint-{numbers[-1]}") if numbers else None


def train(torch: Any, transformers: Any, folder: Path, runs: dict[str, Any], run: dict[str, Any], options: argparse.Namespace) -> None:
    """Trains one run to its end.

    Raises:
        UnusableError: if it diverges, or the batch cannot be divided among the devices.
    """
    from safetensors.torch import load_file

    settings, name = runs["settings"], f"{run['arm']}, seed {run['seed']}"
    output = folder / run["output"]
    work, world = output / "work", int(os.environ.get("WORLD_SIZE", "1"))
    together = options.device_sequences or settings["sequences"] // world
    if together * world > settings["sequences"] or settings["sequences"] % (together * world):
        raise UnusableError(
            f"{settings['sequences']} sequences of a step cannot be {together} at a time on {world} devices: "
            "give --device-sequences a number that divides them"
        )
    rates = json.loads((folder / run["rates"]).read_text(encoding="utf-8"))
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig.from_pretrained(folder / "model", local_files_only=True)).float()
    found = model.load_state_dict(load_file(folder / run["start"]), strict=False)
    if found.unexpected_keys or set(found.missing_keys) - {"lm_head.weight"}:
        raise UnusableError(f"{run['start']} does not fit the model: {found}")
    model.tie_weights()
    model.config.use_cache = False

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

    def save(which: str) -> None:
        if trainer.is_world_process_zero():
            trainer.accelerator.unwrap_model(model).save_pretrained(output / which, safe_serialization=True)

    watch = watch_of(torch, transformers, name, run["stable"], save)
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
        "device": device_name(torch, trainer.args.device),
        "precision": options.precision,
        "seconds": None if resumed else round(time.monotonic() - began, 1),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }
    # last: what has it is done
    fresh = output / "run.json.new"
    fresh.write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")
    fresh.replace(output / "run.json")
    shutil.rmtree(work, ignore_errors=True)


def device_name(torch: Any, device: Any) -> str:
    """A device in words."""
    return str(torch.cuda.get_device_name(device)) if device.type == "cuda" else str(device.type)


def main() -> int:
    """Runs the command line; returns 0 when all runs of the part are done, 1 when one could not be trained."""
    parser = argparse.ArgumentParser(description="Trains the runs of a trial with the Trainer of transformers.")
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).resolve().parent, help="the folder with runs.json")
    parser.add_argument("--part", type=part_of, default=(0, 1), metavar="I/N", help="every N-th run, beginning with the I-th")
    parser.add_argument("--precision", choices=["auto", "float32", "bf16"], default="auto", help="of products; weights are float32 (default: bf16 on a GPU that has it)")
    parser.add_argument("--device-sequences", type=int, metavar="N", help="sequences at a time on one device; fewer take less memory")
    parser.add_argument("--compile", action="store_true", help="compile the model first (torch.compile)")
    options = parser.parse_args()
    try:
        runs = listed(options.folder)
        torch, transformers = packages()
        if options.precision == "auto":
            options.precision = "bf16" if torch.cuda.is_available() and torch.cuda.is_bf16_supported() else "float32"
        index, of = options.part
        mine = runs["runs"][index::of]
        missing = [run for run in mine if not is_done(options.folder, runs["plan"], run)]
    except UnusableError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{len(mine) - len(missing)} of {len(mine)} runs are done", file=sys.stderr)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    failed = 0
    for run in missing:
        try:
            train(torch, transformers, options.folder, runs, run, options)
        except UnusableError as error:
            failed += 1
            print(f"error: {error}", file=sys.stderr)
        except torch.OutOfMemoryError:
            print("error: the device is out of memory: give fewer --device-sequences", file=sys.stderr)
            return 1
        else:
            print(f"{run['arm']}, seed {run['seed']}: done", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
