"""Writes vocabularies of SentencePiece as GGUF headers without tensors, and the ids that SentencePiece gives. See README.md."""
import io, json, pathlib, random
import gguf, sentencepiece

HERE = pathlib.Path(__file__).resolve().parent
TEXTS = HERE.parents[3] / "docs"
# runs of spaces, code, accents, characters that no piece covers, and what pieces write for a space
CASES = ["", "a", " a", "  a", "a ", "a  b", "\n", "\n\n", "a\nb", "\tindent\n\t\tmore", "    let x = 1;\n", "The quick brown fox.", "attention influence",
         "naïve café", "日本語テキスト", "🙂🙂", "e\u0301", "x\u00a0y", "▁", "a▁b", "1234567890", "3.14159", "don't", "CamelCase_snake", "ééé", "aaaaaaaaaaaaaaaa",
         "<s>", "\r\n", "\u0000", "ﬁ", "ﾊﾝｶｸ", "Ω", "  \n  ", " \t ", "a" * 70, "documents documents", "select.fraction=0.1"]
# pieces that users added; SentencePiece puts no space after them, transformers and llama.cpp do, so the vocabulary with one before every text has none
ADDED = ["<|user|>", "\n\n", "▁▁", "▁▁▁▁"]
ADDED_CASES = ["<|user|>", "a<|user|>b", "a <|user|> b", "<|user|><|user|>\n\n\n", "x\n\ny", "a  b", "a   b", "a    b", "     a", "\n\n    \n\n"]


def train(prefix: bool) -> sentencepiece.SentencePieceProcessor:
    model = io.BytesIO()
    texts = sorted(TEXTS.glob("*.md"))
    lines = [line for text in texts for line in text.read_text().splitlines() if line]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=model, model_type="bpe", vocab_size=800, byte_fallback=True, normalization_rule_name="identity",
        add_dummy_prefix=prefix, remove_extra_whitespaces=False, user_defined_symbols=[] if prefix else ADDED, allow_whitespace_only_pieces=True, character_coverage=0.9995, num_threads=1, minloglevel=2)
    return sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())


def kind(pieces: sentencepiece.SentencePieceProcessor, added: list[str], index: int) -> gguf.TokenType:
    for holds, name in [(pieces.is_unknown, "UNKNOWN"), (pieces.is_control, "CONTROL"), (pieces.is_unused, "UNUSED"), (pieces.is_byte, "BYTE")]:
        if holds(index):
            return gguf.TokenType[name]
    return gguf.TokenType.USER_DEFINED if pieces.id_to_piece(index) in added else gguf.TokenType.NORMAL


def text(pieces: sentencepiece.SentencePieceProcessor, added: list[str], index: int) -> str:
    """A piece as llama.cpp's converter writes it: of those that users added with spaces."""
    piece = pieces.id_to_piece(index)
    return piece.replace("▁", " ") if kind(pieces, added, index) == gguf.TokenType.USER_DEFINED else piece


def write(path: pathlib.Path, pieces: sentencepiece.SentencePieceProcessor, prefix: bool) -> None:
    writer = gguf.GGUFWriter(path, "llama")
    added = [] if prefix else ADDED
    indices = range(pieces.get_piece_size())
    writer.add_tokenizer_model("llama")
    writer.add_token_list([text(pieces, added, index) for index in indices])
    writer.add_token_scores([pieces.get_score(index) for index in indices])
    writer.add_token_types([kind(pieces, added, index) for index in indices])
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(True)
    writer.add_add_space_prefix(prefix)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def cases(pieces: sentencepiece.SentencePieceProcessor, prefix: bool) -> list[dict]:
    draw = random.Random(7)
    text = "\n".join(path.read_text() for path in sorted(TEXTS.glob("*.md")))
    starts = [draw.randrange(len(text) - 400) for _ in range(40)]
    texts = CASES + ([] if prefix else ADDED_CASES) + [text[start:start + draw.randrange(1, 400)] for start in starts]
    # a control piece that a text spells is that piece for Headwater, and its letters for SentencePiece
    texts = [text for text in texts if "<s>" not in text and "</s>" not in text and "<unk>" not in text]
    return [{"text": text, "ids": pieces.encode(text)} for text in texts]


for name, prefix in [("sentence_pieces", True), ("sentence_pieces_bare", False)]:
    pieces = train(prefix)
    write(HERE / f"{name}.gguf", pieces, prefix)
    (HERE / f"{name}.json").write_text(json.dumps({"bos": 1, "cases": cases(pieces, prefix)}, ensure_ascii=False) + "\n")
