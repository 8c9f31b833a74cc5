"""The torch worker, held against goldens and against transformers itself: python3 -m unittest discover tests/python"""

import importlib.util
import json
import sys
import tempfile
import unittest
from array import array
from pathlib import Path
from typing import Any

TINY = Path(__file__).resolve().parents[2] / "crates/model/tests/tiny"
HAS_TORCH = all(importlib.util.find_spec(name) for name in ("torch", "transformers"))

NATS = 2e-4  # as for the other engines, tests of `model`
MARGIN = 1e-4  # positions and tokens are compared where the best is ahead of the second by more


def models() -> list[Path]:
    """The tiny models that have a configuration of their own."""
    return sorted(folder for folder in TINY.iterdir() if (folder / "golden.json").is_file())


def settings(path: Path, **more: Any) -> dict[str, Any]:
    """What a worker is started with."""
    return {"path": str(path), "gguf": None, "device": "cpu", "precision": "f32", "threads": 2, **more}


def losses(worker: Any, windows: list[list[int]], heads: list[list[int]], kind: str) -> tuple[list[list[float]], list[list[float]]]:
    """The losses of each window, intact and masked."""
    ids = array("I", [token for window in windows for token in window])
    _, both = worker.losses({"lengths": [len(window) for window in windows], "heads": heads, "kind": kind}, ids)
    found, begin = [], 0
    for _ in range(2):
        found.append([])
        for window in windows:
            found[-1].append(list(both[begin : begin + len(window) - 1]))
            begin += len(window) - 1
    return found[0], found[1]


@unittest.skipUnless(HAS_TORCH, "torch or transformers is not installed")
class Goldens(unittest.TestCase):
    """Every tiny model of the other engines' tests."""

    def near(self, got: list[float], expected: list[float], what: str) -> None:
        self.assertEqual(len(got), len(expected), what)
        off = max((abs(a - b) for a, b in zip(got, expected)), default=0.0)
        self.assertLessEqual(off, NATS, what)

    def check(self, worker: Any, window: dict[str, Any], what: str) -> tuple[int, int]:
        """Checks a window; returns how many positions and tokens were compared and left out."""
        ids, rows = window["ids"], window["rows"]
        for masked in window["masks"]:
            # a second, shorter window in the batch changes nothing
            base, under = losses(worker, [ids, ids[: len(ids) // 2 + 1], ids[:1]], masked["heads"], masked["kind"])
            self.near(base[0], window["base"], f"{what}: base")
            self.near(under[0], masked["losses"], f"{what}: {masked['name']}, {masked['kind']}")
            half = len(base[1])
            self.near(base[1] + under[1], window["base"][:half] + masked["losses"][:half], f"{what}: {masked['name']}, the beginning")
        _, positions = worker.argmax({"rows": [0, len(ids)]}, array("I", ids))
        heads = worker.shape["heads"]
        compared, left_out = 0, 0

        def equal(got: int, expected: int, margin: float, where: str) -> None:
            nonlocal compared, left_out
            if margin < MARGIN:
                left_out += 1
                return
            compared += 1
            self.assertEqual(got, expected, where)

        attention = window["attention"]
        for layer, (of_layer, margins) in enumerate(zip(attention["positions"], attention["margins"])):
            for head, (of_head, of_margins) in enumerate(zip(of_layer, margins)):
                for at, row in enumerate(rows):
                    got = positions[(layer * heads + head) * len(ids) + row]
                    equal(got, of_head[at], of_margins[at], f"{what}: layer {layer}, head {head}, row {row}")
        for masked in [{"heads": [], "kind": "zero", "predictions": window["predictions"]}, *window["masks"]]:
            asked = {"rows": [0, len(ids)], "masks": [masked["heads"]], "kind": masked["kind"]}
            _, tokens = worker.predictions(asked, array("I", ids))
            expected = masked["predictions"]
            for at, row in enumerate(rows):
                equal(tokens[row], expected["ids"][at], expected["margins"][at], f"{what}: row {row}")
        return compared, left_out

    def test_every_tiny_model(self) -> None:
        from headwater.torch_worker import Worker

        self.assertGreater(len(models()), 20)
        for folder in models():
            with self.subTest(folder.name):
                worker = Worker(settings(folder))
                compared, left_out = 0, 0
                for window in json.loads((folder / "golden.json").read_text(encoding="utf-8"))["windows"]:
                    more = self.check(worker, window, folder.name)
                    compared, left_out = compared + more[0], left_out + more[1]
                self.assertLessEqual(left_out * 50, compared, folder.name)


@unittest.skipUnless(HAS_TORCH, "torch or transformers is not installed")
class Memory(unittest.TestCase):
    def test_a_batch_that_does_not_fit_is_halved_and_a_window_that_does_not_is_named(self) -> None:
        import torch
        from headwater.torch_worker import MemoryShortError, Worker

        worker = Worker(settings(TINY / "llama"))
        windows = [[(7 * at + 3 * number) % 304 for at in range(20 + number)] for number in range(5)]
        heads = [[1, 0], [2, 3]]
        expected = losses(worker, windows, heads, "causal-uniform")
        self.assertEqual(worker.notes, [])
        within = worker._losses

        def short_of(room: int) -> Any:
            def tried(windows: list[list[int]], variants: list[Any], kind: str) -> Any:
                if sum(map(len, windows)) * len(variants) > room:
                    raise torch.OutOfMemoryError("CUDA out of memory")
                return within(windows, variants, kind)

            return tried

        for room in [100, 30]:  # several windows, and one of a window's two variants
            worker._losses = short_of(room)
            got = losses(worker, windows, heads, "causal-uniform")
            for ours, wanted in zip(got, expected):
                for a, b in zip(ours, wanted):
                    self.assertLessEqual(max(abs(x - y) for x, y in zip(a, b)), NATS)
            self.assertIn("out of memory with 5 windows of up to 24 tokens", worker.notes[0])
            worker.notes.clear()
        worker._losses = short_of(10)
        with self.assertRaisesRegex(MemoryShortError, r"one window of 20 tokens: lower `score.window_tokens`"):
            losses(worker, windows, heads, "causal-uniform")


@unittest.skipUnless(HAS_TORCH, "torch or transformers is not installed")
class OtherArchitectures(unittest.TestCase):
    """Architectures that Headwater's own engines lack, beside transformers with the attention weights replaced."""

    HEADS = [[1, 0], [1, 3], [2, 2]]

    def reference(self, path: str, ids: list[int], heads: list[list[int]]) -> list[float]:
        """The losses of ``ids`` by transformers' eager attention, whose weights are replaced for ``heads``."""
        import torch
        import transformers

        model = transformers.AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, attn_implementation="eager").eval()
        module = sys.modules[type(model).__module__]
        eager = module.eager_attention_forward

        def replaced(layer: Any, query: Any, key: Any, value: Any, mask: Any, *args: Any, **kwargs: Any) -> Any:
            output, weights = eager(layer, query, key, value, mask, *args, **kwargs)
            tokens, group = query.shape[2], query.shape[1] // key.shape[1]
            equal = torch.ones(tokens, tokens).tril()
            equal /= equal.sum(1, keepdim=True)
            for of_layer, head in heads:
                if of_layer == layer.layer_idx:
                    output[:, :, head] = equal @ value[:, head // group]
            return output, weights

        module.eager_attention_forward = replaced
        try:
            with torch.no_grad():
                tokens = torch.tensor([ids])
                logits = model(input_ids=tokens, use_cache=False).logits[0, :-1].double()
                return torch.nn.functional.cross_entropy(logits, tokens[0, 1:], reduction="none").tolist()
        finally:
            module.eager_attention_forward = eager

    def test_losses_are_those_of_transformers(self) -> None:
        import torch
        import transformers
        from headwater.torch_worker import Worker

        sizes = {
            "vocab_size": 128,
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 64,
        }
        experts = {"num_local_experts": 4, "num_experts_per_tok": 2}
        sinks = {"head_dim": 8, "sliding_window": 8}
        for config in [
            transformers.MixtralConfig(**sizes, **experts),
            transformers.GptOssConfig(**sizes, **experts, **sinks),
            transformers.CohereConfig(**sizes),
            transformers.StableLmConfig(**sizes),
        ]:
            with self.subTest(config.model_type), tempfile.TemporaryDirectory() as folder:
                torch.manual_seed(0)
                model = transformers.AutoModelForCausalLM.from_config(config)
                for parameter in model.parameters():  # larger than they begin with, so that heads matter
                    parameter.data += 0.2 * torch.randn_like(parameter)
                model.save_pretrained(folder)
                ids = torch.randint(0, 128, (40,)).tolist()
                worker = Worker(settings(Path(folder)))
                base, masked = losses(worker, [ids, ids[:17]], self.HEADS, "causal-uniform")
                expected = self.reference(folder, ids, []), self.reference(folder, ids, self.HEADS)
                self.assertGreater(max(abs(a - b) for a, b in zip(*expected)), 100 * NATS)
                for got, wanted in zip((base, masked), expected):
                    for window in got:
                        self.assertLessEqual(max(abs(a - b) for a, b in zip(window, wanted)), NATS)

    def test_what_cannot_be_masked_is_refused(self) -> None:
        import torch
        import transformers
        from headwater.torch_worker import UnusableError, Worker

        config = transformers.MambaConfig(vocab_size=64, hidden_size=16, num_hidden_layers=2, state_size=4)
        with tempfile.TemporaryDirectory() as folder:
            torch.manual_seed(0)
            transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder)
            with self.assertRaisesRegex(UnusableError, "num_attention_heads|cannot be (masked|replaced)"):
                Worker(settings(Path(folder)))


if __name__ == "__main__":
    unittest.main()
