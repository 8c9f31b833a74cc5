"""Loads written tokenizers with transformers, and compares them with the tokenizers library on random and hostile strings.

    python tests/trainers/tokenizer_export.py FOLDER [FOLDER...]

Prints what is wrong, a line each, and ends with 1 if anything is.
"""

import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import tokenizers
import transformers
from transformers import AutoTokenizer

STRINGS = 10_000
PARTS = [
    *"aZ0 \t\n\r\x00\x7f\u00a0éß漢字🙂\u200b\u200d\ufeff\u2028ĠĊﬁ\U0010ffff",
    *("the", "  ", "\r\n", "e\u0301", "👩‍💻", "'s", "12345", "</s>", "<s>", "<|", "|>", "<|endoftext|>", "<filename>", "{{ x }}", "\\n"),
]


def strings() -> Iterator[str]:
    """Yields random texts of odd parts and of any characters."""
    draw = random.Random(7)
    yield ""
    for _ in range(STRINGS // 2):
        yield "".join(draw.choices(PARTS, k=draw.randrange(12)))
    for _ in range(STRINGS - STRINGS // 2):
        # without surrogates, which UTF-8 has not
        points = (draw.choice([draw.randrange(0x250), draw.randrange(0xD800), draw.randrange(0xE000, 0x110000)]) for _ in range(draw.randrange(9)))
        yield "".join(map(chr, points))


def wrong(folder: Path) -> Iterator[str]:
    """Yields where transformers disagrees with the files in `folder`."""
    library = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    loaded = AutoTokenizer.from_pretrained(folder)
    for text in strings():
        ids = library.encode(text, add_special_tokens=False).ids
        if loaded(text, add_special_tokens=False)["input_ids"] != ids:
            yield f"{text!r}: other tokens"
        if loaded(text)["input_ids"] != library.encode(text).ids:
            yield f"{text!r}: other tokens with special ones"
        # a normalizer changes the text itself, so it is compared with what the library makes of it
        decoded = library.decode(ids, skip_special_tokens=False)
        if library.normalizer is None and decoded != text:
            yield f"{text!r}: decoded to {decoded!r}"
        if loaded.decode(ids, clean_up_tokenization_spaces=False) != decoded:
            yield f"{text!r}: decoded to {loaded.decode(ids)!r}"
    for name in ("bos_token", "eos_token", "unk_token", "pad_token"):
        if getattr(loaded, name) != config.get(name):
            yield f"{name} is {getattr(loaded, name)!r}, not {config.get(name)!r}"
    if loaded.pad_token is not None and loaded.pad_token == loaded.eos_token:
        yield "the pad token is the end token"
    if loaded.model_max_length != config.get("model_max_length", loaded.model_max_length):
        yield f"model_max_length is {loaded.model_max_length}"
    if loaded.chat_template != config.get("chat_template"):
        yield f"chat_template is {loaded.chat_template!r}"
    for token in config.get("additional_special_tokens", []):
        if token not in loaded.all_special_tokens:
            yield f"{token} is not special"


def main() -> int:
    """Compares every folder."""
    found = [f"transformers {transformers.__version__}, {folder}: {text}" for folder in sys.argv[1:] for text in wrong(Path(folder))]
    print("\n".join(found[:20]))
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
