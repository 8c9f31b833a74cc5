"""Scheduled reflection for transformers, vLLM and SGLang: the schedules of ``headwater generate``.

While a model thinks, the logits of *reflection tokens* such as ``Wait`` are changed: by a wave (CyclicReflex, arXiv 2506.11077), a penalty
(TIP, arXiv 2501.18585) or a budget of thinking (S1, arXiv 2501.19393). After the end of thinking nothing changes. One function,
:func:`change`, says what happens to the next token; the classes below give it to each library:

- transformers: ``model.generate(..., logits_processor=[ReflectionProcessor(schedule, tokens)])``
- vLLM: ``LLM(..., logits_processors=["headwater.decoding:VllmReflection"])``, or ``VllmV1Reflection`` with its first model runner, and
  ``SamplingParams(extra_args=request_arguments(schedule, tokens))`` for each request. The class is named, never registered as an entry point.
- SGLang: ``--enable-custom-logit-processor``, then ``custom_logit_processor=SglangReflection.to_str()`` and
  ``custom_params=request_arguments(schedule, tokens)`` for each request
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

ARGUMENT = "headwater_reflection"
"""The key of a request's arguments that holds its schedule and tokens."""

WORDS = ("wait", "Wait", "but", "But", "Alternatively", "alternatively")
"""Words that begin another thought. Each counts alone and after a space."""

PAPER_WORDS = ("wait", "Wait", "but", "But", "Alternatively")
"""The words of CyclicReflex's public code, which looks each up alone."""


@dataclass(frozen=True)
class Cyclic:
    """A triangular wave is added: up to ``amplitude``, down to its negative and back, every ``period`` tokens, ``shift`` periods on.

    It acts on generated tokens ``start`` to before ``stop``.
    """

    amplitude: float = 5.0
    period: float = 1200.0
    shift: float = 0.0
    start: int = 0
    stop: int = 8192

    def __post_init__(self) -> None:
        if not (math.isfinite(self.amplitude) and math.isfinite(self.shift) and math.isfinite(self.period) and self.period >= 1):
            raise ValueError(f"{self}: amplitude and shift are numbers, the period is at least one token")

    def at(self, token: int) -> float:
        """The wave at a token."""
        phase = ((token + self.shift * self.period) % self.period) / self.period
        if phase <= 0.25:
            return 4 * phase * self.amplitude
        if phase <= 0.75:
            return self.amplitude - 4 * self.amplitude * (phase - 0.25)
        return 4 * self.amplitude * (phase - 0.75) - self.amplitude


@dataclass(frozen=True)
class Tip:
    """``penalty`` is taken off tokens ``start`` to before ``stop``, counted from the output's beginning, or of each thought.

    ``stop`` is 8,192, or 600 of each thought, unless it is given.
    """

    penalty: float = 3.0
    start: int = 0
    stop: int | None = None
    by_thought: bool = False

    def __post_init__(self) -> None:
        if not math.isfinite(self.penalty):
            raise ValueError(f"{self}: a penalty is a number, such as 3")


@dataclass(frozen=True)
class S1:
    """``Wait`` takes the place of the end of thinking where that is the most likely token, ``waits`` times; ``budget`` tokens end thinking."""

    waits: int = 1
    budget: int | None = None


Schedule = Cyclic | Tip | S1


@dataclass(frozen=True)
class ReflectionTokens:
    """The ids that schedules act on: ``reflection``, what S1 appends, and what ends thinking (``None``: it never ends)."""

    reflection: tuple[int, ...]
    wait: int | None = None
    end: int | None = None


@dataclass
class Progress:
    """How far a text is: what a schedule needs to know of the tokens so far."""

    tokens: int = 0
    has_ended: bool = False
    thought: int = 0
    appended: int = 0
    calls: int = 0

    def follow(self, generated: Sequence[int], named: ReflectionTokens) -> None:
        """Takes note of the tokens of ``generated`` (prompt excluded) that it does not know yet."""
        for position in range(self.tokens, len(generated)):
            token = generated[position]
            self.has_ended |= token == named.end
            if token in named.reflection:
                self.thought = position
        self.tokens = len(generated)


@dataclass(frozen=True)
class Change:
    """``delta`` is added to the logits of reflection tokens; with ``only``, no other token can follow."""

    delta: float = 0.0
    only: int | None = None


def resolve(tokenizer: Any, words: Sequence[str] = (), *, paper_tokens: bool = False, end: str | None = None) -> ReflectionTokens:
    """Looks up reflection words in a tokenizer of transformers.

    Args:
        tokenizer: of the model.
        words: instead of :data:`WORDS`; each counts alone and after a space.
        paper_tokens: exactly :data:`PAPER_WORDS`, alone.
        end: the token that ends thinking; ``</think>`` if the vocabulary has it.

    Raises:
        ValueError: for a word that is no single token, and for a named end that is none.
    """

    def single(text: str) -> list[int]:
        ids = tokenizer.encode(text, add_special_tokens=False)
        return list(ids) if len(ids) == 1 else []

    chosen = PAPER_WORDS if paper_tokens else tuple(words)
    found: set[int] = set()
    for word in chosen or WORDS:
        forms = single(word) + ([] if paper_tokens else single(f" {word}"))
        if chosen and not forms:
            raise ValueError(f"`{word}` is no single token of this model, neither alone nor after a space: leave it out, or name another word")
        found.update(forms)
    vocabulary, wait = tokenizer.get_vocab(), single("Wait")
    ends = vocabulary.get("</think>" if end is None else end)
    if end is not None and ends is None:
        ends = next(iter(single(end)), None)
        if ends is None:
            raise ValueError(f"{end!r} is no token of this model, so the end of its thinking cannot be seen: name the token that it uses")
    return ReflectionTokens(tuple(sorted(found)), wait[0] if wait else None, ends)


def change(schedule: Schedule, named: ReflectionTokens, progress: Progress, most_likely: Callable[[], int]) -> Change:
    """What happens to the token that follows. ``most_likely`` is asked for the greatest logit's id where that decides."""
    if progress.has_ended:
        return Change()
    token = progress.tokens
    if isinstance(schedule, Cyclic):
        return Change(schedule.at(token) if schedule.start <= token < schedule.stop else 0.0)
    if isinstance(schedule, Tip):
        since = token - (progress.thought if schedule.by_thought else 0)
        usual = 600 if schedule.by_thought else 8192
        return Change(-schedule.penalty if schedule.start <= since < (usual if schedule.stop is None else schedule.stop) else 0.0)
    if schedule.budget is not None and token >= schedule.budget:
        return Change(only=named.end)
    if progress.appended < schedule.waits and most_likely() == named.end:
        progress.appended += 1
        return Change(only=named.wait)
    return Change()


def check(schedule: Schedule, named: ReflectionTokens) -> None:
    """Checks that a schedule has the tokens that it needs.

    Raises:
        ValueError: if it has not.
    """
    if isinstance(schedule, (Cyclic, Tip)) and not named.reflection:
        raise ValueError("no usual reflection word, such as wait or but, is a token of this model: name words that are")
    if isinstance(schedule, S1) and named.end is None:
        raise ValueError("a budget of thinking needs the token that ends it, and this model has no `</think>`: name the token that it uses")
    if isinstance(schedule, S1) and schedule.waits > 0 and named.wait is None:
        raise ValueError("a budget of thinking appends `Wait`, which is no single token of this model")


def apply(row: Any, changed: Change, named: ReflectionTokens) -> None:
    """Changes the logits of one token, a tensor ``(vocab,)``, in place."""
    if changed.only is not None:
        row[:] = -math.inf
        row[changed.only] = 0.0
    elif changed.delta != 0.0:
        row[[token for token in named.reflection if token < row.shape[-1]]] += changed.delta


class ReflectionProcessor:
    """A ``LogitsProcessor`` of transformers for one call of ``generate``; rows may be padded at their left."""

    def __init__(self, schedule: Schedule, tokens: ReflectionTokens) -> None:
        check(schedule, tokens)
        self.schedule = schedule
        self.named = tokens
        self.prompt: int | None = None
        self.rows: list[Progress] = []

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """Changes ``scores``, ``(row, vocab)``, of what follows ``input_ids``, ``(row, token)``; the first call holds the prompts."""
        if self.prompt is None:
            self.prompt = input_ids.shape[1]
            self.rows = [Progress() for _ in range(input_ids.shape[0])]
        if input_ids.shape[0] != len(self.rows) or any(input_ids.shape[1] != self.prompt + row.calls for row in self.rows):
            raise ValueError(
                f"{tuple(input_ids.shape)} tokens do not follow those before: make another processor for another call of generate, and "
                "generate without beams and assistants"
            )
        scores = scores.clone()
        for row, progress in enumerate(self.rows):
            progress.calls += 1
            progress.follow(input_ids[row, self.prompt :].tolist(), self.named)
            apply(scores[row], change(self.schedule, self.named, progress, lambda: int(scores[row].argmax())), self.named)
        return scores


def request_arguments(schedule: Schedule, tokens: ReflectionTokens) -> dict[str, Any]:
    """The arguments of a request: ``SamplingParams(extra_args=...)`` of vLLM, ``custom_params`` of SGLang."""
    check(schedule, tokens)
    return {ARGUMENT: {"kind": type(schedule).__name__.lower(), **asdict(schedule), "tokens": asdict(tokens)}}


def from_arguments(arguments: Mapping[str, Any] | None) -> tuple[Schedule, ReflectionTokens] | None:
    """The schedule and tokens in a request's arguments; ``None`` if it has none.

    Raises:
        ValueError: for arguments that :func:`request_arguments` did not make.
    """
    given = (arguments or {}).get(ARGUMENT)
    if given is None:
        return None
    try:
        settings = dict(given)
        named = settings.pop("tokens")
        kinds: dict[str, Callable[..., Schedule]] = {"cyclic": Cyclic, "tip": Tip, "s1": S1}
        schedule = kinds[settings.pop("kind")](**settings)
        tokens = ReflectionTokens(tuple(named["reflection"]), named.get("wait"), named.get("end"))
    except (KeyError, TypeError) as error:
        raise ValueError(f"`{ARGUMENT}` is not understood ({error!r}): make it with headwater.decoding.request_arguments") from error
    # they come from a client
    whole = [*tokens.reflection, tokens.wait, tokens.end]
    whole += [getattr(schedule, name, None) for name in ("start", "stop", "waits", "budget")]
    wrong = [value for value in whole if value is not None and (type(value) is not int or value < 0)]
    if wrong:
        raise ValueError(f"`{ARGUMENT}` has {wrong[0]!r} where a whole number from 0 is needed")
    check(schedule, tokens)
    return schedule, tokens


@dataclass
class Request:
    """A request of a batch."""

    schedule: Schedule
    named: ReflectionTokens
    progress: Progress
    output: Sequence[int] = ()


def _serve(request: Request, row: Any) -> None:
    """Changes the logits of a request."""
    apply(row, change(request.schedule, request.named, request.progress, lambda: int(row.argmax())), request.named)


def _base(module: str, name: str) -> type:
    """A library's class to be a subclass of, or ``object`` where the library is missing."""
    import importlib

    try:
        found: type = getattr(importlib.import_module(module), name)
    except Exception:  # what is wrong with a library that nobody asked for is its own matter
        return object
    return found


class VllmV1Reflection(_base("vllm.v1.sample.logits_processor", "LogitsProcessor")):  # type: ignore[misc]
    """For vLLM's first model runner (``VLLM_USE_V2_MODEL_RUNNER=0``): rows are requests, which are added, moved and removed."""

    def __init__(self, vllm_config: Any, device: Any, is_pin_memory: bool) -> None:
        self.requests: dict[int, Request] = {}

    @classmethod
    def validate_params(cls, sampling_params: Any) -> None:
        """Refuses arguments that are not understood."""
        from_arguments(sampling_params.extra_args)

    def is_argmax_invariant(self) -> bool:
        """Another token may become the most likely one."""
        return False

    def update_state(self, batch_update: Any) -> None:
        """Follows the batch: first removed, then added, then moved requests."""
        if batch_update is None:
            return
        for index in batch_update.removed:
            self.requests.pop(index, None)
        for index, params, _, output in batch_update.added:
            self.requests.pop(index, None)
            asked = from_arguments(params.extra_args)
            if asked is not None:
                self.requests[index] = Request(*asked, Progress(), output)
        for source, target, direction in batch_update.moved:
            moved, there = self.requests.pop(source, None), self.requests.pop(target, None)
            if moved is not None:
                self.requests[target] = moved
            if there is not None and direction.name == "SWAP":
                self.requests[source] = there

    def apply(self, logits: Any) -> Any:
        """Changes ``logits``, ``(request, vocab)``, in place."""
        for index, request in self.requests.items():
            request.progress.follow(request.output, request.named)
            _serve(request, logits[index])
        return logits


class VllmReflection(_base("vllm.v1.worker.gpu.sample.logits_processor.interface", "LogitsProcessor")):  # type: ignore[misc]
    """For vLLM's newer model runner: state belongs to slots, which are used again, and rows are no requests."""

    def __init__(self, vllm_config: Any, req_states: Any) -> None:
        if getattr(vllm_config, "speculative_config", None) is not None:
            raise NotImplementedError("scheduled reflection needs each token before the next: switch speculative decoding off")
        self.states = req_states
        self.slots: dict[int, Request] = {}

    @classmethod
    def validate_params(cls, sampling_params: Any) -> None:
        """Refuses arguments that are not understood."""
        from_arguments(sampling_params.extra_args)

    def add_request(self, req_idx: int, sampling_params: Any) -> bool:
        """Takes a request into a slot; says whether its logits change."""
        self.slots.pop(req_idx, None)
        asked = from_arguments(sampling_params.extra_args)
        if asked is None:
            return False
        self.slots[req_idx] = Request(*asked, Progress())
        return True

    def apply_staged_writes(self) -> None:
        """Nothing is staged."""

    def apply(self, logits: Any, ctx: Any) -> Any:
        """Changes ``logits``, ``(row, vocab)``, in place."""
        slots, positions = ctx.expanded_idx_mapping.tolist(), ctx.pos.tolist()
        for row, (slot, position) in enumerate(zip(slots, positions)):
            request = self.slots.get(slot)
            if request is None:
                continue
            prompt = int(self.states.prompt_len.np[slot])
            known, generated = request.progress.tokens, position + 1 - prompt
            if generated < 0:
                continue  # the prompt is still being read
            news = self.states.all_token_ids.gpu[slot, prompt + known : prompt + generated].tolist()
            request.progress.follow(_After(known, news), request.named)
            _serve(request, logits[row])
        return logits


class _After(Sequence[int]):
    """``news`` after ``known`` tokens that nobody asks for again."""

    def __init__(self, known: int, news: list[int]) -> None:
        self.known, self.news = known, news

    def __len__(self) -> int:
        return self.known + len(self.news)

    def __getitem__(self, index: Any) -> Any:
        return self.news[index - self.known]


class SglangReflection(_base("sglang.srt.sampling.custom_logit_processor", "CustomLogitProcessor")):  # type: ignore[misc]
    """For SGLang: the rows of a call are the requests that asked for it."""

    def __call__(self, logits: Any, custom_param_list: Sequence[dict[str, Any] | None] | None = None) -> Any:
        """Changes ``logits``, ``(request, vocab)``, in place."""
        for row, params in enumerate(custom_param_list or ()):
            asked = from_arguments(params)
            if params is None or asked is None:
                continue
            # the request lives as long as its text, and so does what is kept in it
            request = params["__req__"]
            progress = getattr(request, ARGUMENT, None)
            if progress is None:
                progress = Progress()
                setattr(request, ARGUMENT, progress)
            progress.follow(request.output_ids, asked[1])
            _serve(Request(*asked, progress), logits[row])
        return logits
