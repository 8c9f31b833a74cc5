"""Runs a causal language model of transformers on one device, with attention heads masked: ``python -m headwater.torch_worker``.

The command ``headwater`` starts it for ``[model] engine = "torch"`` and speaks to it over pipes. A message in either direction is a
little-endian frame: length of a JSON object (4 bytes), length of an array (8 bytes), the object, the array. The first request holds the
settings of :class:`Worker`; the others name one of its methods.

A masked head gives all positions up to the current one the same weight (``causal-uniform``), or none (``zero``). Layers below the first
masked head are computed once for all variants of a batch; above them the batch holds each window once for each variant. The vocabulary
projection and the cross-entropy take some rows at a time.

This file needs torch and transformers alone, and is also part of the command.
"""

from __future__ import annotations

import json
import os
import signal
import struct
import sys
from array import array
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Iterator

FRAME = struct.Struct("<IQ")
ATTENTION = "headwater"
PROBE = [3, 1, 4, 1, 5, 9, 2, 6]
"""Tokens that a model is tried on once it is loaded."""

HEAD_BYTES = {"cpu": 24 << 20}
"""Bytes of float32 logits that are in memory at once: on a CPU what its caches hold."""
HEAD_BYTES_OF_DEVICES = 1 << 30


class UnusableError(Exception):
    """The model, the device or the packages cannot be used; the message says why and what to do."""


class MemoryShortError(Exception):
    """A window does not fit the device."""


Mask = dict[int, list[int]]
"""The masked query heads by layer."""


@dataclass
class Question:
    """What the attention of a forward pass is to do, and what it saw."""

    masks: list[Mask]
    """The variants of the batch from the first masked layer on."""
    kind: str = "causal-uniform"
    rows: tuple[int, int] | None = None
    """Query rows whose most attended positions are wanted."""
    positions: dict[int, Any] = field(default_factory=dict)
    """By layer ``(head, row)``."""

    def first_masked(self, layers: int) -> int:
        """The first layer in which variants differ."""
        return min((layer for mask in self.masks for layer, heads in mask.items() if heads), default=layers)


class Worker:
    """A model on a device.

    Args:
        settings: ``path`` (folder of the model), ``gguf`` (file in it, or null), ``device``, ``precision`` (``f32`` or ``bf16``) and
            ``threads`` (of a CPU).

    Raises:
        UnusableError: if the model cannot be loaded, or its heads cannot be masked.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        try:
            import torch
            import transformers
        except ImportError as error:
            raise UnusableError(f"{sys.executable} has no {error.name}: pip install torch transformers") from error
        try:
            from transformers import AttentionInterface, AttentionMaskInterface
        except ImportError as error:
            raise UnusableError(f"transformers {transformers.__version__} cannot replace attention: 5.0 or later is needed") from error

        self.torch = torch
        self.notes: list[str] = []
        self.question: Question | None = None
        self.called: list[int] = []
        self.device = _device(torch, settings["device"])
        if self.device.type == "cpu":
            torch.set_num_threads(settings["threads"])
        dtype = {"f32": torch.float32, "bf16": torch.bfloat16}[settings["precision"]]
        transformers.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
        transformers.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        AttentionInterface.register(ATTENTION, self._attention)
        more = {"gguf_file": settings["gguf"]} if settings["gguf"] else {}
        try:
            config = transformers.AutoConfig.from_pretrained(settings["path"], local_files_only=True, **more)
            of_text = config.get_text_config()
            # what torch's own attention does not compute, such as caps and sinks
            kind = transformers.MODEL_FOR_CAUSAL_LM_MAPPING.get(type(config), None)
            self.is_eager = bool(getattr(of_text, "attn_logit_softcapping", None)) or not getattr(kind, "_supports_sdpa", True)
            masks = transformers.masking_utils
            AttentionMaskInterface.register(ATTENTION, masks.eager_mask if self.is_eager else masks.sdpa_mask)
            model = transformers.AutoModelForCausalLM.from_pretrained(
                settings["path"], dtype=dtype, local_files_only=True, attn_implementation=ATTENTION, **more
            )
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            raise UnusableError(f"transformers {transformers.__version__} cannot load {settings['path']}: {_first_line(error)}") from error
        self.model = model.to(self.device).eval().requires_grad_(False)
        self.base = model.base_model
        self.config = of_text
        self.shape = self._shape()
        self._register_layers()
        self._try()
        self.hello = {
            "shape": self.shape,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "device": _device_name(torch, self.device),
        }

    def _shape(self) -> dict[str, int]:
        """The sizes that the command plans with."""
        config = self.config

        def size(*names: str) -> int:
            for name in names:
                value = getattr(config, name, None)
                if isinstance(value, int) and value > 0:
                    return value
            raise UnusableError(f"the configuration of {type(self.model).__name__} has no {names[0]}: it is no decoder that can be scored with")

        heads, hidden = size("num_attention_heads"), size("hidden_size")
        kv_heads = getattr(config, "num_key_value_heads", None) or heads
        if not isinstance(kv_heads, int):
            raise UnusableError("its layers have different numbers of key/value heads")
        return {
            "layers": size("num_hidden_layers"),
            "heads": heads,
            "kv_heads": kv_heads,
            "head_dim": getattr(config, "head_dim", None) or hidden // heads,
            "hidden": hidden,
            "intermediate": getattr(config, "intermediate_size", None) or 4 * hidden,
            "vocab": self.model.get_input_embeddings().weight.shape[0],
            "context_tokens": size("max_position_embeddings"),
        }

    def _register_layers(self) -> None:
        """Finds the layers and makes them repeat a batch where its variants begin to differ."""
        torch, count = self.torch, self.shape["layers"]
        lists = [module for module in self.base.modules() if isinstance(module, torch.nn.ModuleList) and len(module) == count]
        if not lists:
            raise UnusableError(f"the layers of {type(self.model).__name__} were not found: its heads cannot be masked")
        for index, layer in enumerate(lists[0]):
            layer.register_forward_pre_hook(self._repeat_at(index), with_kwargs=True)

    def _repeat_at(self, index: int) -> Callable[[Any, tuple[Any, ...], dict[str, Any]], tuple[Any, Any] | None]:
        """What layer ``index`` does first."""

        def repeat(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any] | None:
            question = self.question
            if question is None or len(question.masks) < 2:
                return None
            first = question.first_masked(self.shape["layers"])
            if index < first:
                return None
            variants, windows = len(question.masks), self.windows

            def repeated(value: Any) -> Any:
                if isinstance(value, self.torch.Tensor):
                    is_of_batch = value.dim() > 1 and value.shape[0] == windows
                    return self.torch.cat([value] * variants) if is_of_batch else value
                if isinstance(value, tuple):
                    return tuple(repeated(item) for item in value)
                return value

            # the hidden states come from the layer below, which has repeated them already
            def others(named: Any) -> Any:
                return named if index > first else repeated(named)

            if args:
                args = (others(args[0]), *(repeated(value) for value in args[1:]))
                return args, {name: repeated(value) for name, value in kwargs.items()}
            return args, {name: others(value) if name == "hidden_states" else repeated(value) for name, value in kwargs.items()}

        return repeat

    def _attention(
        self, module: Any, query: Any, key: Any, value: Any, attention_mask: Any, scaling: float | None = None, **kwargs: Any
    ) -> tuple[Any, Any]:
        """The attention of a layer; shapes ``(window, head, token, width)``, and ``(window, token, head, width)`` for the result."""
        torch, layer = self.torch, module.layer_idx
        self.called.append(layer)
        kwargs.pop("dropout", None)
        if kwargs.get("position_bias") is not None:
            raise UnusableError(f"{type(module).__name__} adds a bias to attention that cannot be followed")
        question = self.question
        if question is not None and question.rows is not None:
            question.positions[layer] = self._most_attended(query, key, attention_mask, scaling, kwargs.get("softcap"), question.rows)
        output, _ = self._inner(module)(module, query, key, value, attention_mask, scaling=scaling, dropout=0.0, **kwargs)
        if question is None:
            return output, None
        repeated = query.shape[0] > self.windows
        for variant, mask in enumerate(question.masks):
            heads = mask.get(layer)
            if not heads:
                continue
            rows = slice(variant * self.windows, (variant + 1) * self.windows) if repeated else slice(None)
            if question.kind == "zero":
                output[rows, :, heads] = 0
                continue
            group = query.shape[1] // key.shape[1]
            values = value[rows][:, [head // group for head in heads]]
            # equal logits: the mean of the values up to each position
            equal = torch.zeros_like(values)
            means = torch.nn.functional.scaled_dot_product_attention(equal, equal, values, is_causal=True)
            output[rows, :, heads] = means.transpose(1, 2).to(output.dtype)
        return output, None

    def _inner(self, module: Any) -> Callable[..., tuple[Any, Any]]:
        """The attention of transformers that computes what the layer means."""
        from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

        if not self.is_eager:
            function: Callable[..., tuple[Any, Any]] = ALL_ATTENTION_FUNCTIONS["sdpa"]
            return function
        eager = getattr(sys.modules[type(module).__module__], "eager_attention_forward", None)
        if eager is None:
            raise UnusableError(f"the attention of {type(module).__name__} cannot be replaced")
        return eager  # type: ignore[no-any-return]

    def _most_attended(
        self, query: Any, key: Any, mask: Any, scaling: float | None, softcap: float | None, rows: tuple[int, int]
    ) -> Any:
        """The position with the greatest float32 logit of each head and query row, the lowest of several: ``(head, row)``."""
        torch = self.torch
        asked = query[0, :, rows[0] : rows[1]].float()
        keys = key[0].float().repeat_interleave(query.shape[1] // key.shape[1], dim=0)
        logits = asked @ keys.transpose(1, 2) * (asked.shape[-1] ** -0.5 if scaling is None else scaling)
        if softcap is not None:
            logits = torch.tanh(logits / softcap) * softcap
        tokens = keys.shape[1]
        at = torch.arange(tokens, device=logits.device)
        seen = at[None] <= at[rows[0] : rows[1], None]
        if mask is not None:
            of_rows = mask[0, 0, rows[0] : rows[1], :tokens]
            seen = seen & (of_rows if of_rows.dtype == torch.bool else of_rows == 0)
        logits = logits.masked_fill(~seen, float("-inf"))
        greatest = logits == logits.amax(-1, keepdim=True)
        return torch.where(greatest, at, tokens).amin(-1)

    def _try(self) -> None:
        """Tries the model in parts against transformers' own way, so that what does not fit this worker is found before anything is scored.

        Raises:
            UnusableError: if the parts give something else, or a layer's attention is not this worker's.
        """
        torch = self.torch
        name = type(self.model).__name__
        ids = [token % self.shape["vocab"] for token in PROBE]
        with torch.inference_mode():
            tokens = torch.tensor([ids, ids], device=self.device)
            self.model.set_attn_implementation("eager")
            whole = self.model(input_ids=tokens, use_cache=False).logits[0].float()
            self.model.set_attn_implementation(ATTENTION)
            self.called.clear()
            self.model(input_ids=tokens, use_cache=False)
            called = sorted(set(self.called))
            if called != list(range(self.shape["layers"])):
                missing = sorted(set(range(self.shape["layers"])) - set(called))
                raise UnusableError(f"the attention of {name} cannot be replaced in layers {missing}: their heads cannot be masked")
            last = {self.shape["layers"] - 1: [0]}
            hidden = self._hidden([ids, ids], Question([{}, last]))
            parts = self._logits(hidden[:1, :, :].reshape(len(ids), -1))
            masked = self._logits(hidden[2:3, :, :].reshape(len(ids), -1))
        span = float(whole.abs().max())
        off = float((parts - whole).abs().max())
        # roundings of bfloat16 add up differently in another form of attention; what is computed wrongly is far off
        if not off <= (0.1 if self.model.dtype == torch.bfloat16 else 0.005) * max(span, 1.0):
            raise UnusableError(f"{name} gives other logits in parts than as a whole (by {off:.3g} of {span:.3g}): it cannot be scored with")
        if torch.equal(masked, parts):
            raise UnusableError(f"masking a head of {name} changes nothing: its heads cannot be masked")

    def _hidden(self, windows: Sequence[Sequence[int]], question: Question) -> Any:
        """The hidden states after the last norm, ``(variant and window, token, width)``; short windows are followed by zeros."""
        torch = self.torch
        longest = max(len(window) for window in windows)
        padded = [[*window, *[0] * (longest - len(window))] for window in windows]
        ids = torch.tensor(padded, device=self.device)
        self.question, self.windows = question, len(windows)
        try:
            hidden = self.base(input_ids=ids, use_cache=False).last_hidden_state
        finally:
            self.question = None
        variants = len(question.masks)
        if hidden.shape[0] < variants * len(windows):
            hidden = torch.cat([hidden] * variants)  # no layer is masked, so all variants are the same
        return hidden

    def _logits(self, hidden: Any) -> Any:
        """The float32 logits of hidden states ``(row, width)``, by the model's own head with what belongs to it."""
        with _standing_in(self.base, hidden[None]):
            return self.model(input_ids=None, inputs_embeds=hidden[None], use_cache=False).logits[0].float()

    def _rows_at_once(self) -> int:
        """Rows whose logits are in memory at once."""
        room = HEAD_BYTES.get(self.device.type, HEAD_BYTES_OF_DEVICES)
        return max(1, room // (4 * self.shape["vocab"]))

    def losses(self, request: dict[str, Any], tokens: array[int]) -> tuple[dict[str, Any], Any]:
        """The next-token cross-entropy of each window, intact and masked, in nats.

        ``lengths`` of the windows whose ids are ``tokens``, ``heads`` as ``[layer, head]``, ``kind``. The array is float32: the targets of
        all windows intact, then those masked.
        """
        windows = _windows(tokens, request["lengths"])
        mask = _mask(request["heads"])
        variants = [{}, mask] if mask else [{}]
        found = self._losses_within_memory(windows, variants, request["kind"])
        intact = [loss for window in found for loss in window[0]]
        masked = [loss for window in found for loss in window[-1]]
        return {}, array("f", intact + masked)

    def _losses_within_memory(self, windows: list[list[int]], variants: list[Mask], kind: str) -> list[list[list[float]]]:
        """By window and variant the losses; a batch that does not fit the device is halved."""
        try:
            return self._losses(windows, variants, kind)
        except self.torch.OutOfMemoryError:
            pass
        if self.device.type == "cuda":
            self.torch.cuda.empty_cache()
        if len(windows) > 1:
            self.notes.append(
                f"device {self.device} is out of memory with {len(windows)} windows of up to {max(map(len, windows))} tokens: they are done in "
                "two halves; a lower `model.batch_memory` does so from the start"
            )
            middle = len(windows) // 2
            halves = windows[:middle], windows[middle:]
            return [window for half in halves for window in self._losses_within_memory(half, variants, kind)]
        if len(variants) > 1:
            return [[self._losses_within_memory(windows, [variant], kind)[0][0] for variant in variants]]
        raise MemoryShortError(
            f"device {self.device} is out of memory with one window of {len(windows[0])} tokens: lower `score.window_tokens`, or use "
            "`model.precision = \"bf16\"`"
        )

    def _losses(self, windows: list[list[int]], variants: list[Mask], kind: str) -> list[list[list[float]]]:
        torch = self.torch
        with torch.inference_mode():
            hidden = self._hidden(windows, Question(variants, kind))
            targets = [torch.tensor(window[1:], device=self.device, dtype=torch.int64) for window in windows]
            # no padded position is projected
            rows = [hidden[variant * len(windows) + at, : len(window) - 1] for variant in range(len(variants)) for at, window in enumerate(windows)]
            of_rows = torch.cat(targets * len(variants))
            flat = torch.cat(rows)
            del hidden, rows
            parts = []
            step = self._rows_at_once()
            for begin in range(0, flat.shape[0], step):
                logits = self._logits(flat[begin : begin + step])
                parts.append(torch.nn.functional.cross_entropy(logits, of_rows[begin : begin + step], reduction="none"))
            losses = torch.cat(parts).cpu().tolist() if parts else []
        found: list[list[list[float]]] = [[] for _ in windows]
        begin = 0
        for _ in variants:
            for at, window in enumerate(windows):
                found[at].append(losses[begin : begin + len(window) - 1])
                begin += len(window) - 1
        return found

    def argmax(self, request: dict[str, Any], tokens: array[int]) -> tuple[dict[str, Any], Any]:
        """The most attended position of every head from each query row: int32 ``(layer, head, row)`` for ``rows = [begin, end]``."""
        question = Question([{}], rows=(request["rows"][0], request["rows"][1]))
        with self.torch.inference_mode():
            self._hidden([list(tokens)], question)
            layers = [question.positions[layer].flatten().cpu().tolist() for layer in range(self.shape["layers"])]
        return {}, array("i", [position for layer in layers for position in layer])

    def predictions(self, request: dict[str, Any], tokens: array[int]) -> tuple[dict[str, Any], Any]:
        """The most likely next token after each of ``rows`` under each of ``masks``, the lowest of several: int32 ``(mask, row)``."""
        torch, (begin, end) = self.torch, request["rows"]
        found: list[int] = []
        with torch.inference_mode():
            hidden = self._hidden([list(tokens)], Question([_mask(heads) for heads in request["masks"]], request["kind"]))
            for of_mask in hidden[:, begin:end]:
                logits = self._logits(of_mask)
                at = torch.arange(logits.shape[1], device=logits.device)
                greatest = logits == logits.amax(-1, keepdim=True)
                found += torch.where(greatest, at, logits.shape[1]).amin(-1).cpu().tolist()
        return {}, array("i", found)


@contextmanager
def _standing_in(base: Any, hidden: Any) -> Iterator[None]:
    """Makes ``base`` return ``hidden``, so that the model around it computes its head alone."""

    class Output:
        last_hidden_state = hidden

        def __getattr__(self, name: str) -> None:
            return None

        def __getitem__(self, index: Any) -> Any:
            return hidden if index == 0 else None

    base.forward = lambda *_, **__: Output()
    try:
        yield
    finally:
        del base.forward


def _windows(tokens: array[int], lengths: Sequence[int]) -> list[list[int]]:
    """Cuts ``tokens`` into windows."""
    windows, begin = [], 0
    for length in lengths:
        windows.append(list(tokens[begin : begin + length]))
        begin += length
    return windows


def _mask(heads: Sequence[Sequence[int]]) -> Mask:
    """Groups ``[layer, head]`` pairs by layer."""
    mask: Mask = {}
    for layer, head in heads:
        mask.setdefault(layer, []).append(head)
    return mask


def _device(torch: Any, name: str) -> Any:
    """The device that ``name`` means."""
    name = "mps" if name == "metal" else name
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UnusableError(f"torch {torch.__version__} cannot use device {name}: {_first_line(error)}") from error
    return device


def _device_name(torch: Any, device: Any) -> str:
    """What tells devices apart whose last bits differ."""
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    if device.type == "cpu":
        return f"cpu {torch.backends.cpu.get_cpu_capability().lower()}, {torch.get_num_threads()} threads"
    return str(device.type)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _read(stream: BinaryIO, count: int) -> bytes:
    """Reads ``count`` bytes, or fewer at the end."""
    content = stream.read(count)
    return content if content is not None else b""


def _receive(stream: BinaryIO) -> tuple[dict[str, Any], array[int]] | None:
    """Reads a message; ``None`` when the command is gone."""
    head = _read(stream, FRAME.size)
    if len(head) < FRAME.size:
        return None
    of_object, of_array = FRAME.unpack(head)
    request, payload = _read(stream, of_object), _read(stream, of_array)
    if len(request) < of_object or len(payload) < of_array:
        return None
    tokens = array("I")
    tokens.frombytes(payload)
    if sys.byteorder == "big":
        tokens.byteswap()
    return json.loads(request), tokens


def _send(stream: BinaryIO, answer: dict[str, Any], payload: Any = None) -> None:
    """Writes a message."""
    if payload is not None and sys.byteorder == "big":
        payload.byteswap()
    content = payload.tobytes() if payload is not None else b""
    encoded = json.dumps(answer).encode()
    stream.write(FRAME.pack(len(encoded), len(content)) + encoded + content)
    stream.flush()


def _answered(call: Callable[[], tuple[dict[str, Any], Any]]) -> tuple[dict[str, Any], Any]:
    """What ``call`` returns, or what went wrong as a message."""
    try:
        return call()
    except UnusableError as error:
        return {"error": str(error), "kind": "unusable"}, None
    except MemoryShortError as error:
        return {"error": str(error), "kind": "memory"}, None
    except Exception as error:  # the command tells it
        import traceback

        traceback.print_exc()
        if type(error).__name__ == "OutOfMemoryError":
            return {"error": f"the device is out of memory: {_first_line(error)}", "kind": "memory"}, None
        return {"error": f"{type(error).__name__}: {_first_line(error)}", "kind": "failed"}, None


def main() -> None:
    """Serves the command until it closes the pipe."""
    # the terminal's Ctrl-C is the command's to handle
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print is no answer
    received = _receive(requests)
    if received is None:
        return
    settings, _ = received
    worker: Worker | None = None

    def begin() -> tuple[dict[str, Any], Any]:
        nonlocal worker
        worker = Worker(settings)
        return worker.hello, None

    _send(answers, *_answered(begin))
    while worker is not None:
        received = _receive(requests)
        if received is None:
            return
        request, tokens = received
        operation = {"losses": worker.losses, "argmax": worker.argmax, "predictions": worker.predictions}[request["do"]]
        answer, payload = _answered(lambda: operation(request, tokens))
        notes, worker.notes = worker.notes, []
        _send(answers, {**answer, "notes": notes}, payload)


if __name__ == "__main__":
    main()
