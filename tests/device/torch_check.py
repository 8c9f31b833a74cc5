"""Checks the torch engine on a device, without the command: goldens of the tiny models, then speed, share of the peak, and memory.

    python3 tests/device/torch_check.py [--device cuda:0] [--tokens 16384] [--seconds 20]

It needs torch and transformers, this folder and the tiny models alone, and ends within six minutes. The speed is that of SmolLM2-135M's shape with
random weights: both passes over windows of 1,024 tokens, 14 heads masked from layer 17 of 30, in bfloat16. Ends with 1 if a golden is missed.
"""

import argparse
import json
import sys
import tempfile
import time
from array import array
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "crates/python/python"))
sys.path.insert(0, str(REPOSITORY / "tests/python"))

import torch  # noqa: E402
import transformers  # noqa: E402
from headwater.torch_worker import Worker  # noqa: E402
from test_torch_worker import TINY, losses, settings  # noqa: E402

GOLDENS = ["llama", "qwen3", "gemma2", "gpt_neox"]
NATS = {"f32": (2e-4, 2e-4), "bf16": (1.5, 0.02)}  # of one token and of their mean, as the tests of crate `model`
HEADS = [[17, 0], [17, 4], [18, 2], [19, 7], [20, 1], [21, 3], [22, 5], [23, 8], [24, 0], [25, 6], [26, 2], [27, 4], [28, 1], [29, 3]]
WINDOW = 1_024
SHAPE = {
    "vocab_size": 49_152,
    "hidden_size": 576,
    "intermediate_size": 1_536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "max_position_embeddings": 8_192,
    "tie_word_embeddings": True,
}


def goldens(device: str) -> bool:
    """Holds the tiny models' losses on the device against PyTorch's of a CPU; says whether all are near."""
    fine = True
    for name in GOLDENS:
        expected = json.loads((TINY / name / "golden.json").read_text(encoding="utf-8"))["windows"]
        for precision, (allowed, allowed_mean) in NATS.items():
            worker, off, signed, compared = Worker(settings(TINY / name, device=device, precision=precision)), 0.0, 0.0, 0
            for window in expected:
                for masked in window["masks"]:
                    base, under = losses(worker, [window["ids"]], masked["heads"], masked["kind"])
                    for got, wanted in [(base[0], window["base"]), (under[0], masked["losses"])]:
                        off = max([off, *(abs(a - b) for a, b in zip(got, wanted))])
                        signed += sum(got) - sum(wanted)
                        compared += len(wanted)
            mean = abs(signed) / compared
            is_near = off <= allowed and mean <= allowed_mean
            fine &= is_near
            print(f"{name:10} {precision:4} {compared:6,} losses, off by {off:.1e} at most, {mean:.1e} in the mean{'' if is_near else ': MISSED'}")
    return fine


def product_rate(device: torch.device) -> float:
    """Operations a second of a large bfloat16 product on the device."""
    size = 8_192 if device.type != "cpu" else 1_024
    a, b = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    best = 0.0
    for _ in range(6):
        wait(device)
        began = time.perf_counter()
        for _ in range(4):
            a @ b
        wait(device)
        best = max(best, 4 * 2 * size**3 / (time.perf_counter() - began))
    return best


def wait(device: torch.device) -> None:
    """Waits for what the device was asked."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def operations_per_token() -> float:
    """Operations of both passes for a token of a window, the layers below the first masked head counted once."""
    hidden, inner = SHAPE["hidden_size"], SHAPE["intermediate_size"]
    keys = hidden * SHAPE["num_key_value_heads"] // SHAPE["num_attention_heads"]
    layer = 2 * (2 * hidden * hidden + 2 * hidden * keys + 3 * hidden * inner)
    attention = 2 * 2 * hidden * (WINDOW + 1) / 2
    first = min(layer for layer, _ in HEADS)
    return (first + 2 * (SHAPE["num_hidden_layers"] - first)) * (layer + attention) + 2 * 2 * hidden * SHAPE["vocab_size"]


def speed(device: str, tokens: int, seconds: float) -> None:
    """Prints tokens/s, the share of the peak, and the peak of memory."""
    with tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(0)
        transformers.AutoModelForCausalLM.from_config(transformers.LlamaConfig(**SHAPE)).to(torch.bfloat16).save_pretrained(folder)
        worker = Worker(settings(Path(folder), device=device, precision="bf16"))
    windows = max(1, tokens // WINDOW)
    ids = array("I", torch.randint(0, SHAPE["vocab_size"], (windows * WINDOW,)).tolist())
    request: dict[str, Any] = {"lengths": [WINDOW] * windows, "heads": HEADS, "kind": "causal-uniform"}
    worker.losses(request, ids)
    began, batches = time.perf_counter(), 0
    while batches < 1 or time.perf_counter() - began < seconds:
        worker.losses(request, ids)
        batches += 1
    rate = batches * windows * WINDOW / (time.perf_counter() - began)
    used, most = rate * operations_per_token(), product_rate(worker.device)
    print(f"{rate:,.0f} tokens/s in batches of {windows * WINDOW:,}: {used / 1e12:.1f} TFLOP/s, {used / most:.0%} of a large product's {most / 1e12:.0f}")
    if worker.device.type == "cuda":
        print(f"{torch.cuda.max_memory_allocated(worker.device) / 2**20:,.0f} MiB of the device at the peak")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--tokens", type=int, default=16_384, help="of a batch (%(default)s)")
    parser.add_argument("--seconds", type=float, default=20.0, help="of the measurement (%(default)s)")
    options = parser.parse_args()
    print(f"torch {torch.__version__}, transformers {transformers.__version__}")
    fine = goldens(options.device)
    speed(options.device, options.tokens, options.seconds)
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
