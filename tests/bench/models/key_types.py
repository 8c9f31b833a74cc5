"""Writes the types of the keys of `config.json`, by architecture, as transformers declares and checks them.

    python tests/bench/models/key_types.py [--check]

Writes `crates/model/src/architectures/key_types.json`; with `--check` says whether it is what the installed transformers declares. Needs transformers.
"""

import argparse
import dataclasses
import json
import pathlib
import re
import sys
import typing

import transformers
from huggingface_hub.dataclasses import type_validator

REPOSITORY = pathlib.Path(__file__).resolve().parents[3]
FILE = REPOSITORY / "crates/model/src/architectures/key_types.json"
# what a value may be, and values that only it allows; the words stand in errors
KINDS = {"null": [None], "true or false": [True], "a whole number": [1], "a number with a point": [0.5], "a text": ["x"], "a list of whole numbers": [[1]],
         "a list of texts": [["x"]], "a table": [{}, {"x": "y"}]}


def kinds(annotation):
    """The kinds of values that an annotation of a key allows."""
    def allows(value):
        try:
            type_validator("key", value, annotation)
        except TypeError:
            return False
        return True

    return ", or ".join(kind for kind, values in KINDS.items() if any(map(allows, values)))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    names = re.findall(r'model_type: "(\w+)"', "".join(path.read_text() for path in sorted(FILE.parent.glob("*.rs"))))
    table = {}
    for name in sorted(names):
        config = transformers.CONFIG_MAPPING[name]
        types = {field.name: kinds(field.type) for field in dataclasses.fields(config)}
        types |= {alias: types[key] for alias, key in config.attribute_map.items() if key in types}
        # read of every model, declared or not; `rope_scaling` is the older name
        types |= {"rope_parameters": kinds(dict | None), "rope_scaling": kinds(dict | None), "layer_types": kinds(list[str] | None)}
        if "num_key_value_heads" in types:
            # read if it is there, declared or not
            types.setdefault("head_dim", kinds(int))
        table[name] = {key: kind for key, kind in types.items() if kind != kinds(typing.Any)}
    text = json.dumps(table, indent=1, sort_keys=True) + "\n"
    if not args.check:
        FILE.write_text(text)
    elif FILE.read_text() != text:
        sys.exit(f"{FILE.relative_to(REPOSITORY)} is not what transformers {transformers.__version__} declares: run this without --check")


if __name__ == "__main__":
    main()
