"""Reads token files back with the trainers' own readers: python token_files.py FOLDER...

FOLDER is RUN/tokens/PART/FORMAT with `tokens.json` and the files it names; `expected.jsonl` beside FOLDER has the token ids of
every document, in order, as {"ids": [...]}. Needs numpy and, by format:

- datatrove: datatrove, whose datasets nanotron reads through
- megatron: megatron-core
- mds: mosaicml-streaming
- olmo: ai2-olmo-core; without it the arrays are mapped with numpy

What the packages here cannot read is skipped and said to be. Prints one line of JSON for each folder; ends with 0 if all that was
read is right, 1 if not, 2 if nothing was read.
"""

import argparse
import contextlib
import importlib.metadata
import importlib.util
import io
import json
import logging
import sys
import warnings
from collections.abc import Iterator
from itertools import accumulate, chain, groupby
from pathlib import Path

import numpy as np

# A length of windows that no document has, so that they begin and end in the middle of documents.
WINDOW = 7

Documents = list[list[int]]


def joined(documents: Documents) -> list[int]:
    """Returns the stream of all tokens."""
    return list(chain.from_iterable(documents))


def cumulative(documents: Documents) -> list[int]:
    """Returns where each document begins in the stream of all tokens, and where the last one ends."""
    return [0, *accumulate(map(len, documents))]


def first_difference(where: str, found: list[int], expected: list[int]) -> Iterator[str]:
    """Yields the first place where two streams of tokens differ."""
    for position, (got, want) in enumerate(zip(found, expected, strict=False)):
        if got != want:
            yield f"{where}: token {position} is {got}, not {want}"
            return
    if len(found) != len(expected):
        yield f"{where}: has {len(found)} tokens, not {len(expected)}"


def in_files(manifest: dict, documents: Documents) -> Iterator[tuple[dict, Documents]]:
    """Yields every file of the manifest and the documents it should hold."""
    begin = 0
    for file in manifest["files"]:
        yield file, documents[begin : begin + file["documents"]]
        begin += file["documents"]


def read_datatrove(folder: Path, manifest: dict, documents: Documents) -> Iterator[str]:
    """Reads `.ds` files whole and, all together, in windows whose positions come from `.ds.index`; checks `.ds.metadata`."""
    from datatrove.utils.dataset import DatatroveFileDataset, DatatroveFolderDataset

    token_size, expected = manifest["token_bytes"], []
    for file, own in in_files(manifest, documents):
        path, flat = folder / file["path"], joined(own)
        whole = DatatroveFileDataset(str(path), seq_len=len(flat) - 1, token_size=token_size)
        yield from first_difference(file["path"], whole[0]["input_ids"].tolist() if len(whole) else [], flat)
        if np.fromfile(f"{path}.index", "<u8").tolist() != cumulative(own)[1:]:
            yield f"{file['path']}.index: the ends of the documents differ"
        named, count, *_ = Path(f"{path}.metadata").read_text(encoding="utf-8").split("\n")
        if named != f"{manifest['tokenizer']['name']}|{token_size}" or named.count("|") != 1 or count != str(len(flat)):
            yield f"{file['path']}.metadata: says {named!r} and {count!r}"
        positions = [position for document in own for position in range(len(document))]
        expected.extend((flat[at : at + WINDOW], positions[at : at + WINDOW]) for at in range(0, len(flat) - WINDOW + 1, WINDOW))
    every = DatatroveFolderDataset(
        str(folder), WINDOW - 1, filename_pattern="*.ds", recursive=False, token_size=token_size, return_positions=True
    )
    if len(every) != len(expected):
        yield f"the folder has {len(every)} windows of {WINDOW} tokens, not {len(expected)}"
        return
    for number, (tokens, positions) in enumerate(expected):
        window = every[number]
        # a window that begins inside a document counts from there
        cut = positions.index(0) if 0 in positions else WINDOW
        positions = [*range(cut), *positions[cut:]]
        if window["input_ids"].tolist() != tokens or window["positions"].tolist() != positions:
            yield f"window {number} of the folder differs"
            return


def read_megatron(folder: Path, manifest: dict, documents: Documents) -> Iterator[str]:
    """Reads every document by its index, one sequence each."""
    from megatron.core.datasets.indexed_dataset import IndexedDataset

    for file, own in in_files(manifest, documents):
        dataset = IndexedDataset(str(folder / file["path"].removesuffix(".bin")))
        if dataset.document_indices.tolist() != list(range(len(own) + 1)):
            yield f"{file['path']}: the index has other documents"
            continue
        if dataset.index.dtype_size != manifest["token_bytes"]:
            yield f"{file['path']}: a token has {dataset.index.dtype_size} bytes"
        for number, document in enumerate(own):
            yield from first_difference(f"{file['path']}, document {number}", dataset[number].tolist(), document)


def read_mds(folder: Path, manifest: dict, documents: Documents) -> Iterator[str]:
    """Reads every sample: a document, or with `sequence_tokens` so many tokens of a stretch of documents."""
    from streaming import StreamingDataset
    from streaming.base.util import clean_stale_shared_memory

    clean_stale_shared_memory()
    dataset = StreamingDataset(local=str(folder), batch_size=1, shuffle=False)
    samples = [dataset[number]["tokens"].tolist() for number in range(len(dataset))]
    length = manifest.get("sequence_tokens")
    if length is None:
        yield from first_difference("lengths of the samples", list(map(len, samples)), list(map(len, documents)))
        yield from first_difference("the samples", joined(samples), joined(documents))
        return
    if any(len(sample) != length for sample in samples):
        yield f"not every sample has {length} tokens"
        return
    flat, begins = joined(documents), cumulative(documents)[:-1]
    dropped = len(flat) - length * len(samples)
    if dropped != manifest.get("dropped_tokens", dropped) or dropped < 0:
        yield f"{len(samples)} samples leave {dropped} of {len(flat)} tokens"
    # The shards of a stretch have its name before their number. What does not fill its last sample is dropped, so the next stretch
    # begins with one of the documents that come after it.
    ends, number = {0}, 0
    for name, files in groupby(manifest["files"], lambda file: file["path"].rsplit(".", 2)[0]):
        stop = number + sum(file.get("samples", file.get("documents")) for file in files)
        stretch = joined(samples[number:stop])
        ends = {
            begin + len(stretch)
            for begin in begins
            if any(begin >= end for end in ends) and flat[begin : begin + len(stretch)] == stretch
        }
        if not ends:
            yield f"{name}: samples {number} to {stop - 1} are nowhere in the documents that are left"
            return
        number = stop
    if number != len(samples):
        yield f"there are {len(samples)} samples, the manifest counts {number}"


def read_olmo(folder: Path, manifest: dict, documents: Documents) -> Iterator[str]:
    """Reads raw arrays, and the documents between the tokens that end them."""
    from olmo_core.data.utils import iter_document_indices, load_array_slice

    dtype = np.uint16 if manifest["token_bytes"] == 2 else np.uint32
    for file, own in in_files(manifest, documents):
        path = folder / file["path"]
        tokens = load_array_slice(path, 0, path.stat().st_size // manifest["token_bytes"], dtype)
        yield from first_difference(file["path"], tokens.tolist(), joined(own))
        ends = [end for _, end in iter_document_indices(path, eos_token_id=manifest["eos"]["id"], dtype=dtype)]
        if not set(cumulative(own)[1:]) <= set(ends):
            yield f"{file['path']}: a document does not end with the token {manifest['eos']['id']}"


def read_raw(folder: Path, manifest: dict, documents: Documents) -> Iterator[str]:
    """Maps raw arrays."""
    dtype = np.uint16 if manifest["token_bytes"] == 2 else np.uint32
    for file, own in in_files(manifest, documents):
        tokens = np.memmap(folder / file["path"], mode="r", dtype=dtype)
        yield from first_difference(file["path"], tokens.tolist(), joined(own))


# By format: modules that read it, the first that is there does; their packages; the function.
READERS = {
    "datatrove": (("datatrove", "datatrove", read_datatrove),),
    "megatron": (("megatron.core", "megatron-core", read_megatron),),
    "mds": (("streaming", "mosaicml-streaming", read_mds),),
    "olmo": (("olmo_core", "ai2-olmo-core", read_olmo), ("numpy", "numpy", read_raw)),
}


def installed(module: str) -> bool:
    """Tells whether a module can be imported."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def manifest_of(folder: Path, documents: Documents) -> tuple[dict, list[str]]:
    """Reads `tokens.json`; returns it and where its numbers are not those of the documents and the files."""
    manifest, wrong = json.loads((folder / "tokens.json").read_text(encoding="utf-8")), []
    eos, size = manifest["eos"]["id"], manifest["token_bytes"]
    if manifest["documents"] != len(documents):
        wrong.append(f"tokens.json counts {manifest['documents']} documents, not {len(documents)}")
    if any(not document or document[-1] != eos for document in documents):
        wrong.append(f"a document does not end with the token {eos}")
    packed = "sequence_tokens" in manifest
    if not packed and sum(file["documents"] for file in manifest["files"]) != len(documents):
        wrong.append("tokens.json counts other documents file by file")
    tokens = sum(file["tokens"] for file in manifest["files"])
    if manifest["tokens"] != (tokens if packed else sum(map(len, documents))) or manifest["tokens"] != tokens:
        wrong.append(f"tokens.json counts {manifest['tokens']} tokens and {tokens} file by file")
    if max(map(max, documents), default=0) >= manifest["tokenizer"]["vocab_size"]:
        wrong.append("a token lies outside the vocabulary")
    if size not in (2, 4) or manifest["tokenizer"]["vocab_size"] > 1 << 8 * size:
        wrong.append(f"{size} bytes are too few for {manifest['tokenizer']['vocab_size']} tokens")
    for file in manifest["files"]:
        if "bytes" in file and file["bytes"] != (folder / file["path"]).stat().st_size:
            wrong.append(f"{file['path']} has not the {file['bytes']} bytes that tokens.json tells")
    return manifest, wrong


def check(folder: Path) -> dict:
    """Reads one folder; returns what was found."""
    lines = (folder.parent / "expected.jsonl").read_text(encoding="utf-8").splitlines()
    documents = [json.loads(line)["ids"] for line in lines]
    manifest, wrong = manifest_of(folder, documents)
    found = {"run": str(folder), "trainer": f"token files, {manifest['format']}", "documents": len(documents), "tokens": manifest["tokens"]}
    readers = READERS[manifest["format"]]
    reader = next((reader for reader in readers if installed(reader[0])), None)
    if reader is None:
        return found | {"skipped": f"{readers[0][1]} is not installed", "wrong": wrong}
    _, package, read = reader
    if not wrong:
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                wrong = list(read(folder, manifest, documents))
        except Exception as error:  # noqa: BLE001, a reader may fail on wrong bytes in any way
            wrong = [f"{package} fails: {error!r}"]
    return found | {"versions": {package: importlib.metadata.version(package)}, "wrong": wrong}


def main() -> int:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    folders = parser.parse_args().folders
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    # beside this file lie others with the names of packages
    sys.path.remove(str(Path(__file__).resolve().parent))
    found = []
    for folder in folders:
        found.append(check(folder))
        print(json.dumps(found[-1]), flush=True)
    if any(result["wrong"] for result in found):
        return 1
    return 0 if any("versions" in result for result in found) else 2


if __name__ == "__main__":
    sys.exit(main())
