"""Evaluates documents with llama.cpp. Run by `bench_peers.py`, not by hand.

    python llama_peer.py JOB.json

llama.cpp has no way to mask a head, so this is the intact pass alone: half of what the others do. Each window is decoded as
`llama-perplexity` does it, in batches of 512 tokens with the logits of every position, on the weights as quantised. The clock runs
during `llama_decode` alone; the cross-entropy, which numpy computes afterwards on one thread, is left out.
"""

import json
import sys
from pathlib import Path

import llama_cpp
import numpy as np

from measure import Stopwatch

BATCH_TOKENS = 512
WARM_UP_TOKENS = 300


class Scorer:
    """A model and a batch that every position of has logits."""

    def __init__(self, model: str, threads: int, longest: int):
        self.llama = llama_cpp.Llama(
            model, n_ctx=longest, n_batch=BATCH_TOKENS, n_ubatch=BATCH_TOKENS, n_threads=threads, n_threads_batch=threads, verbose=False
        )
        self.batch = llama_cpp.llama_batch_init(BATCH_TOKENS, 0, 1)

    def fill(self, ids: list[int], position: int) -> None:
        """Puts consecutive tokens into the batch."""
        self.batch.n_tokens = len(ids)
        for at, token in enumerate(ids):
            self.batch.token[at], self.batch.pos[at], self.batch.logits[at] = token, position + at, 1
            self.batch.n_seq_id[at], self.batch.seq_id[at][0] = 1, 0

    def window_loss(self, ids: list[int], watch: Stopwatch) -> float:
        """Sums the next-token losses of one window."""
        total, context = 0.0, self.llama.ctx
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(context), True)
        for position in range(0, len(ids), BATCH_TOKENS):
            piece, targets = ids[position : position + BATCH_TOKENS], ids[position + 1 : position + BATCH_TOKENS + 1]
            self.fill(piece, position)
            with watch:
                status = llama_cpp.llama_decode(context, self.batch)
                pointer = llama_cpp.llama_get_logits(context)  # waits for the result
            if status != 0:
                raise RuntimeError(f"llama_decode returned {status}")
            logits = np.ctypeslib.as_array(pointer, (len(piece), self.llama.n_vocab()))[: len(targets)]
            total += sum(cross_entropy(row, target) for row, target in zip(logits, targets))
        return total


def cross_entropy(logits: np.ndarray, target: int) -> float:
    """The loss of one position, in nats."""
    top = logits.max()
    return float(top + np.log(np.exp(logits - top).sum(dtype=np.float64)) - logits[target])


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text())
    longest = max(len(window) for windows in job["documents"] for window in windows)
    setup = Stopwatch()
    with setup:
        scorer = Scorer(job["model"], job["threads"], longest)
    scorer.window_loss(list(range(1000, 1000 + min(longest, WARM_UP_TOKENS))), setup)
    scoring, losses = Stopwatch(), []
    for windows in job["documents"]:
        targets = sum(len(window) - 1 for window in windows)
        losses.append([sum(scorer.window_loss(window, scoring) for window in windows) / targets, None])
    versions = {"llama-cpp-python": llama_cpp.__version__, "system": llama_cpp.llama_print_system_info().decode()}
    print(json.dumps(scoring.result() | {"setup_seconds": setup.seconds, "losses": losses, "versions": versions}))


if __name__ == "__main__":
    main()
