"""Documents of the sample corpus as windows of token ids, the same for every peer."""

import hashlib
import random
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
from gguf import GGUFReader
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

WINDOW_TOKENS = 4096
MIN_TOKENS = 32  # Headwater does not score shorter documents
CONTROL_TOKEN = 3  # `tokenizer.ggml.token_type`


@dataclass
class Document:
    """A text and its token ids."""

    id: str
    text: str
    ids: list[int]

    def windows(self, window_tokens: int = WINDOW_TOKENS) -> list[list[int]]:
        """Cuts the ids into consecutive windows, each scored alone; a last window of one token has no target."""
        pieces = (self.ids[at : at + window_tokens] for at in range(0, len(self.ids), window_tokens))
        return [piece for piece in pieces if len(piece) > 1]

    def ids_sha256(self) -> str:
        """The hash of the space-joined ids, as the goldens have it."""
        return hashlib.sha256(" ".join(map(str, self.ids)).encode()).hexdigest()


def smollm_tokenizer(gguf: Path) -> Tokenizer:
    """Builds the tokenizer of a GGUF whose `tokenizer.ggml.pre` is `smollm`: digits alone, then the GPT-2 split."""
    reader = GGUFReader(gguf)

    def field(name: str) -> object:
        return reader.fields[f"tokenizer.ggml.{name}"].contents()

    if field("pre") != "smollm":
        raise ValueError(f"{gguf} names the pre-tokenizer {field('pre')}; only smollm is known here")
    tokens = field("tokens")
    merges = [tuple(merge.split(" ")) for merge in field("merges")]
    tokenizer = Tokenizer(models.BPE({token: id for id, token in enumerate(tokens)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)]
    )
    control = [token for token, kind in zip(tokens, field("token_type")) if kind == CONTROL_TOKEN]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in control])
    return tokenizer


def read(shards: list[Path], tokenizer: Tokenizer) -> list[Document]:
    """Reads and tokenises every document of some Parquet files, in their order."""
    rows = [row for shard in shards for row in pq.read_table(shard, columns=["id", "text"]).to_pylist()]
    encoded = tokenizer.encode_batch([row["text"] for row in rows], add_special_tokens=False)
    return [Document(row["id"], row["text"], encoding.ids) for row, encoding in zip(rows, encoded)]


def draw(documents: list[Document], seed: int, tokens: int, most: int | None) -> list[Document]:
    """Takes documents in a seeded order until they hold `tokens` tokens or are `most`."""
    pool = [document for document in documents if len(document.ids) >= MIN_TOKENS]
    random.Random(seed).shuffle(pool)
    drawn: list[Document] = []
    while pool and sum(len(document.ids) for document in drawn) < tokens and len(drawn) != most:
        drawn.append(pool.pop())
    return drawn
