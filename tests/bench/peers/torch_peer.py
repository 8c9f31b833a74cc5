"""Scores documents with Hugging Face transformers on the processor. Run by `bench_peers.py`, not by hand.

    python torch_peer.py JOB.json --dtype bfloat16|float32 [--compile]

One window a forward pass, no padding; two passes over all layers, the second with the head set masked. A masked head is computed as
any other and then replaced by the running mean of its values, which is what a user who patches the attention does. Cross-entropy
in float32 from logits, by chunks of positions. Prints the seconds spent on scoring, the model being loaded and warm, and the losses.
"""

import argparse
import json
import sys
from pathlib import Path

import torch
import torch.nn.functional as F
import transformers
from transformers import AttentionInterface, AttentionMaskInterface, LlamaForCausalLM
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from measure import Stopwatch

LOGITS_CHUNK = 512  # positions whose logits exist at once: 100 MB in float32
WARM_UP_WINDOWS = (300, 701)  # lengths; two of them, so that torch.compile meets a changed one before the clock runs

MASKED_HEADS: dict[int, list[int]] = {}  # layer to heads


def masked_attention(module, query, key, value, attention_mask, **options):
    """`sdpa` whose masked heads give every visible position the same weight.

    Shapes: `query` (batch, head, position, width), `value` (batch, kv head, position, width); returns (batch, position, head, width).
    """
    output, weights = sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    heads = MASKED_HEADS.get(module.layer_idx)
    if not heads:
        return output, weights
    visible = torch.arange(1, value.shape[2] + 1, dtype=torch.float32)
    mean = value.float().cumsum(2) / visible[:, None]  # (batch, kv head, position, width)
    own = mean[:, [head // module.num_key_value_groups for head in heads]]  # (batch, masked head, position, width)
    output = output.clone()
    output[:, :, heads] = own.transpose(1, 2).to(output.dtype)
    return output, weights


AttentionInterface.register("sdpa-masked", masked_attention)
AttentionMaskInterface.register("sdpa-masked", sdpa_mask)


class Scorer:
    """A model and how it is run."""

    def __init__(self, gguf: Path, dtype: torch.dtype, compiled: bool):
        model = LlamaForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, attn_implementation="sdpa", dtype=dtype)
        self.model = model.eval()
        self.trunk, self.loss = model.model, self.chunk_loss
        if compiled:
            self.trunk, self.loss = (torch.compile(part, dynamic=True) for part in (self.trunk, self.loss))

    def chunk_loss(self, hidden: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Sums the cross-entropy of a chunk of positions."""
        return F.cross_entropy(self.model.lm_head(hidden).float(), targets, reduction="sum")

    def window_loss(self, ids: torch.Tensor, attention: str) -> float:
        """Sums the next-token losses of one window."""
        self.model.set_attn_implementation(attention)
        hidden = self.trunk(ids[None], use_cache=False).last_hidden_state[0, :-1]
        chunks = zip(hidden.split(LOGITS_CHUNK), ids[1:].split(LOGITS_CHUNK))
        return sum(self.loss(*chunk).item() for chunk in chunks)

    def score(self, windows: list[list[int]]) -> list[float]:
        """Returns the base and the masked loss of a document, in nats per target."""
        tensors = [torch.tensor(window) for window in windows]
        targets = sum(len(window) - 1 for window in windows)
        return [sum(self.window_loss(ids, how) for ids in tensors) / targets for how in ("sdpa", "sdpa-masked")]


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("job", type=Path)
    arguments.add_argument("--dtype", choices=("bfloat16", "float32"), required=True)
    arguments.add_argument("--compile", action="store_true")
    options = arguments.parse_args()
    job = json.loads(options.job.read_text())
    for layer, head in job["heads"]:
        MASKED_HEADS.setdefault(layer, []).append(head)

    torch.set_num_threads(job["threads"])
    setup = Stopwatch()
    with torch.inference_mode(), setup:
        scorer = Scorer(Path(job["model"]), getattr(torch, options.dtype), options.compile)
        for length in WARM_UP_WINDOWS:
            scorer.score([list(range(1000, 1000 + length))])
    scoring = Stopwatch()
    with torch.inference_mode(), scoring:
        losses = [scorer.score(windows) for windows in job["documents"]]
    versions = {"torch": torch.__version__, "transformers": transformers.__version__, "python": sys.version.split()[0]}
    print(json.dumps(scoring.result() | {"setup_seconds": setup.seconds, "losses": losses, "versions": versions}))


if __name__ == "__main__":
    main()
