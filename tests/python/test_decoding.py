"""Scheduled reflection in Python, held against the command: python3 -m unittest discover tests/python"""

import importlib.util
import json
import math
import subprocess
import unittest
from types import SimpleNamespace
from typing import Any

from site_of_tests import TINY

HAS_TORCH = all(importlib.util.find_spec(name) for name in ("headwater", "torch", "transformers"))
MODEL = TINY / "llama"
# words that the tiny vocabulary has as tokens
WORDS = ["the", "in", "row"]
PROMPTS = ["The river runs", "In the harbour", "def mean(values):"]


def generated(prompt: str, *options: str) -> dict[str, Any]:
    """What the command writes."""
    import headwater

    command = [headwater.find_command(), "generate", str(MODEL), "--prompt", prompt, "--tokens", "40", "--json", "--words", ",".join(WORDS)]
    return json.loads(subprocess.run([*command, *options], check=True, capture_output=True, text=True).stdout)


@unittest.skipUnless(HAS_TORCH, "the packages headwater, torch and transformers are not installed")
class Decoding(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        import torch
        import transformers
        from headwater.decoding import Cyclic, Tip, resolve

        cls.tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_file=str(MODEL / "tokenizer.json"))
        cls.named = resolve(cls.tokenizer, WORDS)
        cls.model = transformers.AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32).eval()
        cls.schedules = [
            (Cyclic(6.0, 12.0, 0.25, 2, 30), ["--reflection=cyclic", "--amplitude=6", "--period=12", "--shift=0.25", "--from=2", "--until=30"]),
            (Cyclic(-2.5, 7.0, -0.1), ["--reflection=cyclic", "--amplitude=-2.5", "--period=7", "--shift=-0.1"]),
            (Tip(2.0, 1, 9), ["--reflection=tip", "--penalty=2", "--from=1", "--until=9"]),
            (Tip(-4.0, 0, 3, by_thought=True), ["--reflection=tip", "--penalty=-4", "--until=3", "--by-thought"]),
        ]

    def test_words_are_looked_up_as_the_command_does(self) -> None:
        written = generated(PROMPTS[0])
        self.assertEqual(written["reflection_tokens"], self.tokenizer.convert_ids_to_tokens(self.named.reflection))
        from headwater.decoding import resolve

        with self.assertRaisesRegex(ValueError, "`Mississippi` is no single token of this model"):
            resolve(self.tokenizer, ["Mississippi"])
        with self.assertRaisesRegex(ValueError, "'</ponder>' is no token of this model"):
            resolve(self.tokenizer, WORDS, end="</ponder>")
        self.assertIsNone(self.named.end)

    def test_what_is_added_and_the_text_are_those_of_the_command(self) -> None:
        import torch
        from headwater.decoding import Progress, ReflectionProcessor, change

        for schedule, options in self.schedules:
            for prompt in PROMPTS:
                with self.subTest(f"{schedule} after {prompt}"):
                    written = generated(prompt, *options)
                    self.assertTrue(any(written["added"]))
                    progress = Progress()
                    for position, added in enumerate(written["added"]):
                        progress.follow(written["tokens"][:position], self.named)
                        ours = change(schedule, self.named, progress, lambda: self.fail("not asked for"))
                        self.assertAlmostEqual(ours.delta, added, delta=1e-6)
                        self.assertIsNone(ours.only)
                    ids = torch.tensor([self.tokenizer.encode(prompt, add_special_tokens=False)])
                    self.assertEqual(ids.shape[1], written["prompt_tokens"])
                    text = self.model.generate(
                        ids, max_new_tokens=40, do_sample=False, eos_token_id=None, logits_processor=[ReflectionProcessor(schedule, self.named)]
                    )
                    self.assertEqual(text[0, ids.shape[1] :].tolist(), written["tokens"])

    def test_rows_that_are_padded_at_their_left_get_what_they_get_alone(self) -> None:
        import torch
        from headwater.decoding import ReflectionProcessor

        schedule = self.schedules[3][0]
        encoded = [self.tokenizer.encode(prompt, add_special_tokens=False) for prompt in PROMPTS]
        longest = max(map(len, encoded))
        padded = torch.tensor([[0] * (longest - len(ids)) + ids for ids in encoded])
        seen = torch.tensor([[0] * (longest - len(ids)) + [1] * len(ids) for ids in encoded])
        options = {"max_new_tokens": 30, "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
        together = self.model.generate(
            padded, attention_mask=seen, logits_processor=[ReflectionProcessor(schedule, self.named)], **options
        )
        for row, ids in enumerate(encoded):
            alone = self.model.generate(torch.tensor([ids]), logits_processor=[ReflectionProcessor(schedule, self.named)], **options)
            self.assertEqual(together[row, longest:].tolist(), alone[0, len(ids) :].tolist())
        processor = ReflectionProcessor(schedule, self.named)
        for other in [padded[:1], padded]:
            processor(padded, torch.zeros(3, 512))
            with self.assertRaisesRegex(ValueError, "make another processor"):
                processor(other, torch.zeros(len(other), 512))
            processor = ReflectionProcessor(schedule, self.named)


def tokens_of_tests() -> Any:
    from headwater.decoding import ReflectionTokens

    return ReflectionTokens((1, 3), wait=3, end=5)


@unittest.skipUnless(HAS_TORCH, "the packages headwater, torch and transformers are not installed")
class Servers(unittest.TestCase):
    """vLLM and SGLang, by stand-ins of their calls: a request's logits change as its own output asks, wherever it lies."""

    def params(self, schedule: Any) -> SimpleNamespace:
        """The sampling parameters of a request."""
        from headwater.decoding import request_arguments

        return SimpleNamespace(extra_args=None if schedule is None else request_arguments(schedule, tokens_of_tests()))

    def expected(self, schedule: Any, output: list[int]) -> float:
        """What is added to reflection tokens after ``output``."""
        from headwater.decoding import Progress, change

        if schedule is None:
            return 0.0
        progress = Progress()
        progress.follow(output, tokens_of_tests())
        return change(schedule, tokens_of_tests(), progress, lambda: 0).delta

    def check(self, logits: Any, row: int, schedule: Any, output: list[int]) -> None:
        """Checks that exactly the reflection tokens of a row changed by exactly the delta."""
        delta = self.expected(schedule, output)
        self.assertEqual(logits[row].tolist(), [0.0, delta, 0.0, delta, 0.0, 0.0, 0.0], (row, schedule, output))

    def test_vllm_v1_follows_requests_that_come_move_and_go(self) -> None:
        import torch
        from headwater.decoding import S1, Cyclic, Tip, VllmV1Reflection

        wave, tip = Cyclic(4.0, 8.0), Tip(3.0, 0, 2, by_thought=True)
        processor = VllmV1Reflection(None, torch.device("cpu"), False)
        self.assertFalse(processor.is_argmax_invariant())
        batch: list[tuple[Any, list[int]] | None] = [None] * 4

        def step(removed: tuple[int, ...] = (), added: tuple[Any, ...] = (), moved: tuple[Any, ...] = ()) -> None:
            """One step of the engine, then a token for each request."""
            for index in removed:
                batch[index] = None
            for index, schedule, output in added:
                batch[index] = (schedule, output)
            for source, target, name in moved:
                batch[source], batch[target] = (batch[target] if name == "SWAP" else None), batch[source]
            update = None
            if removed or added or moved:
                new = [(index, self.params(schedule), [9, 9], output) for index, schedule, output in added]
                moves = [(source, target, SimpleNamespace(name=name)) for source, target, name in moved]
                update = SimpleNamespace(batch_size=4, removed=removed, added=new, moved=moves)
            processor.update_state(update)
            logits = processor.apply(torch.zeros(4, 7))
            for row, request in enumerate(batch):
                self.check(logits, row, *(request or (None, [])))
                if request is not None:
                    request[1].append([0, 1, 2][len(request[1]) % 3])

        step(added=((0, wave, []), (1, None, []), (2, tip, [])))
        step()
        step()
        step(moved=((0, 2, "SWAP"),))
        step(removed=(1,), moved=((2, 1, "UNIDIRECTIONAL"),))
        step(added=((1, tip, [0, 0]), (3, wave, [])))  # takes the place of another
        step(removed=(0, 1), added=((0, None, []),), moved=((3, 1, "UNIDIRECTIONAL"),))
        for _ in range(5):
            step()
        batch[1][1].append(5)  # type: ignore[index]  # the end of thinking
        step()
        # a budget: the end is the most likely token, and Wait takes its place, once
        output: list[int] = []
        new = [(3, self.params(S1(waits=1, budget=4)), [9], output)]
        processor.update_state(SimpleNamespace(batch_size=4, removed=(), added=new, moved=()))
        drawn = []
        for _ in range(5):
            ending = torch.zeros(4, 7)
            ending[3, 5 if len(output) < 2 else 6] = 9
            drawn.append(int(processor.apply(ending)[3].argmax()))
            output.append(drawn[-1] if drawn[-1] != 5 else 0)
            processor.update_state(None)
        self.assertEqual(drawn, [3, 5, 6, 6, 5])

    def test_vllms_newer_runner_uses_slots_again(self) -> None:
        import numpy
        import torch
        from headwater.decoding import Cyclic, Tip, VllmReflection

        ids = torch.zeros(3, 40, dtype=torch.int32)
        states = SimpleNamespace(prompt_len=SimpleNamespace(np=numpy.zeros(3, int)), all_token_ids=SimpleNamespace(gpu=ids))
        processor = VllmReflection(SimpleNamespace(speculative_config=None), states)
        slots: dict[int, tuple[Any, int, list[int]]] = {}

        def add(slot: int, schedule: Any, prompt: int) -> None:
            ids[slot] = 3  # what an earlier request left
            states.prompt_len.np[slot] = prompt
            slots[slot] = (schedule, prompt, [])
            self.assertEqual(processor.add_request(slot, self.params(schedule)), schedule is not None)

        def step(order: list[int]) -> None:
            processor.apply_staged_writes()
            mapping = torch.tensor(order)
            positions = torch.tensor([slots[slot][1] + len(slots[slot][2]) - 1 for slot in order])
            logits = processor.apply(torch.zeros(len(order), 7), SimpleNamespace(expanded_idx_mapping=mapping, pos=positions))
            for row, slot in enumerate(order):
                schedule, prompt, output = slots[slot]
                self.check(logits, row, schedule, output)
                ids[slot, prompt + len(output)] = token = [0, 1, 2][len(output) % 3]
                output.append(token)

        add(0, Cyclic(4.0, 8.0), 5)
        add(2, Tip(3.0, 0, 2, by_thought=True), 3)
        step([2, 0])
        step([0, 2])
        add(1, None, 4)
        step([1, 2, 0])
        add(0, Tip(1.0, 1, 4), 7)
        for _ in range(5):
            step([0, 1, 2])
        # a prompt that is read in parts
        add(1, Cyclic(4.0, 8.0, 0.25), 6)
        chunk = SimpleNamespace(expanded_idx_mapping=torch.tensor([1]), pos=torch.tensor([2]))
        self.assertEqual(processor.apply(torch.zeros(1, 7), chunk).abs().sum(), 0)
        step([1])
        with self.assertRaisesRegex(NotImplementedError, "speculative"):
            VllmReflection(SimpleNamespace(speculative_config=object()), states)

    def test_sglang_keeps_a_text_with_its_request(self) -> None:
        import torch
        from headwater.decoding import Cyclic, SglangReflection, Tip

        schedules = [Cyclic(4.0, 8.0), None, Tip(3.0, 0, 2, by_thought=True)]
        requests = [SimpleNamespace(output_ids=[]) for _ in schedules]
        processor = SglangReflection()
        for count in range(7):
            order = [0, 1, 2] if count % 2 else [2, 0, 1]
            custom = [{**(self.params(schedules[at]).extra_args or {}), "__req__": requests[at]} for at in order]
            logits = processor(torch.zeros(3, 7), custom)
            for row, at in enumerate(order):
                self.check(logits, row, schedules[at], requests[at].output_ids)
            for request in requests:
                request.output_ids.append([0, 1, 2][count % 3])
        self.assertEqual(processor(torch.zeros(1, 7), [None]).abs().sum(), 0)

    def test_a_budget_appends_wait_and_ends(self) -> None:
        import torch
        from headwater.decoding import S1, ReflectionProcessor

        processor = ReflectionProcessor(S1(waits=2, budget=6), tokens_of_tests())
        ending = torch.tensor([[0.0, 0, 0, 0, 0, 9, 0]])
        likely = [int(processor(torch.zeros(1, 4 + step, dtype=torch.int64), ending).argmax()) for step in range(8)]
        self.assertEqual(likely, [3, 3, 5, 5, 5, 5, 5, 5])
        going_on = torch.tensor([[9.0, 0, 0, 0, 0, 8, 0]])
        processor = ReflectionProcessor(S1(waits=2, budget=6), tokens_of_tests())
        scores = [processor(torch.zeros(1, 4 + step, dtype=torch.int64), going_on) for step in range(7)]
        self.assertTrue(all(torch.equal(score, going_on) for score in scores[:6]))
        self.assertEqual((int(scores[6].argmax()), scores[6][0, 0].item()), (5, -math.inf))

    def test_arguments_that_cannot_work_are_refused_when_a_request_comes(self) -> None:
        import torch
        from headwater.decoding import ARGUMENT, S1, Cyclic, ReflectionTokens, VllmReflection, VllmV1Reflection, request_arguments

        for kind in (VllmReflection, VllmV1Reflection):
            kind.validate_params(SimpleNamespace(extra_args=None))
            kind.validate_params(SimpleNamespace(extra_args={"other": 1}))
            for wrong in [{}, {"kind": "square", "tokens": {}}, {"kind": "cyclic", "tokens": {"reflection": [1]}, "pitch": 2}]:
                with self.assertRaisesRegex(ValueError, "is not understood"):
                    kind.validate_params(SimpleNamespace(extra_args={ARGUMENT: wrong}))
            for wrong in [-1, 1.5, "1", True]:
                named = {"kind": "cyclic", "tokens": {"reflection": [wrong]}}
                with self.assertRaisesRegex(ValueError, "a whole number from 0 is needed"):
                    kind.validate_params(SimpleNamespace(extra_args={ARGUMENT: named}))
        # an id beyond the vocabulary changes nothing
        far = VllmV1Reflection(None, None, False)
        arguments = SimpleNamespace(extra_args=request_arguments(Cyclic(4.0, 8.0, 0.25), ReflectionTokens((1, 7_000))))
        far.update_state(SimpleNamespace(batch_size=1, removed=(), added=[(0, arguments, None, [])], moved=()))
        self.assertEqual(far.apply(torch.zeros(1, 7)).sum().item(), 4.0)
        with self.assertRaisesRegex(ValueError, "period"):
            Cyclic(period=0.5)
        with self.assertRaisesRegex(ValueError, "no usual reflection word"):
            request_arguments(Cyclic(), ReflectionTokens(()))
        with self.assertRaisesRegex(ValueError, "ends it"):
            request_arguments(S1(), ReflectionTokens((1,), wait=1))
        with self.assertRaisesRegex(ValueError, "`Wait`"):
            request_arguments(S1(), ReflectionTokens((1,), end=1))


if __name__ == "__main__":
    unittest.main()
