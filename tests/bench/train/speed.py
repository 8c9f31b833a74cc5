"""How fast crate `train` trains beside PyTorch eager, in one run: in float32 and with products in bfloat16, each against each.

    python tests/bench/train/speed.py [--rounds N] [--threads N] [--out FILE]

Builds the example `pretrain` of crate `train`, keeps it running, and lets it and transformers' `LlamaForCausalLM` (as it is by default: with
PyTorch's own attention, the fused AdamW; bfloat16 by `torch.autocast`) train the same shape in turns, a few steps each. Prints the medians of tokens
a second and of the ratios of a round. Needs torch and transformers.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

import torch
from transformers import LlamaConfig, LlamaForCausalLM

SHAPES = {
    "1.3M": {"vocabulary": 4096, "width": 128, "layers": 4, "heads": 4, "kv-heads": 4, "head-width": 32, "hidden": 320},
    "8M": {"vocabulary": 8192, "width": 256, "layers": 8, "heads": 4, "kv-heads": 4, "head-width": 64, "hidden": 688},
}
SEQUENCES, LENGTH = 16, 512
BUILD = ["cargo", "build", "--release", "--quiet", "--package", "headwater-train", "--example", "pretrain"]
EXAMPLE = os.path.join(os.environ.get("CARGO_TARGET_DIR", "target"), "release/examples/pretrain")


class Ours:
    def __init__(self, shape, threads, bf16):
        options = ["--bf16"] if bf16 else []
        options += [option for key, value in shape.items() for option in (f"--{key}", str(value))]
        options += ["--sequences", str(SEQUENCES), "--length", str(LENGTH), "--steps", "100000", "--serve"]
        environment = os.environ | {"RAYON_NUM_THREADS": str(threads)}
        self.process = subprocess.Popen([EXAMPLE, *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)

    def seconds(self, steps):
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        return sum(json.loads(self.process.stdout.readline())["seconds"] for _ in range(steps)) / steps

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Torch:
    def __init__(self, shape, threads, bf16):
        self.bf16 = bf16
        torch.set_num_threads(threads)
        torch.manual_seed(1)
        config = LlamaConfig(
            vocab_size=shape["vocabulary"], hidden_size=shape["width"], num_hidden_layers=shape["layers"],
            num_attention_heads=shape["heads"], num_key_value_heads=shape["kv-heads"], head_dim=shape["head-width"],
            intermediate_size=shape["hidden"], max_position_embeddings=LENGTH, tie_word_embeddings=True,
        )  # fmt: skip
        self.model = LlamaForCausalLM(config).float()
        self.parameters = sum(parameter.numel() for parameter in self.model.parameters())
        self.optimiser = torch.optim.AdamW(self.model.parameters(), lr=1e-3, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
        self.vocabulary = shape["vocabulary"]

    def step(self):
        tokens = torch.randint(self.vocabulary, (SEQUENCES, LENGTH + 1))
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
            logits = self.model(input_ids=tokens[:, :-1], use_cache=False).logits
            loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
        self.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        return time.perf_counter() - start

    def seconds(self, steps):
        return sum(self.step() for _ in range(steps)) / steps


def measure(name, rounds, threads):
    shape = SHAPES[name]
    tokens, steps = SEQUENCES * LENGTH, 3 if name == "1.3M" else 1
    trainers = {
        "ours, f32": Ours(shape, threads, False),
        "ours, bf16": Ours(shape, threads, True),
        "torch, f32": Torch(shape, threads, False),
        "torch, bf16": Torch(shape, threads, True),
    }
    for trainer in trainers.values():
        trainer.seconds(1)
    rounds = [{key: trainer.seconds(steps) for key, trainer in trainers.items()} for _ in range(rounds)]
    for key in ("ours, f32", "ours, bf16"):
        trainers[key].close()

    def ratio(slow, fast):
        ratios = [of[slow] / of[fast] for of in rounds]
        return {"median": round(statistics.median(ratios), 2), "lowest": round(min(ratios), 2), "highest": round(max(ratios), 2)}

    row = {
        "shape": name,
        "parameters": trainers["torch, f32"].parameters,
        "threads": threads,
        "tokens_per_second": {key: round(tokens / statistics.median(of[key] for of in rounds)) for key in trainers},
        "times_as_fast": {
            f"{ours} as {theirs}": ratio(theirs, ours)
            for ours in ("ours, f32", "ours, bf16")
            for theirs in ("torch, f32", "torch, bf16")
        },
        "torch": torch.__version__,
    }
    print(json.dumps(row), flush=True)
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--out")
    arguments = parser.parse_args()
    subprocess.run(BUILD, check=True)
    rows = [measure(name, arguments.rounds, arguments.threads) for name in arguments.shapes]
    if arguments.out:
        with open(arguments.out, "w") as file:
            json.dump(rows, file, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
