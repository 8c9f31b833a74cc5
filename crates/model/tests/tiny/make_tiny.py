"""Writes the tiny models, their reference values and the hostile files beside this script. See README.md."""
import json, pathlib, struct
import gguf, numpy as np, torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers, AddedToken
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

HERE = pathlib.Path(__file__).resolve().parent
VOCAB, LAYERS, HEADS, KV, CONTEXT, HIDDEN, MLP = 304, 3, 4, 2, 256, 32, 64
EOT, FILENAME, BOS = 0, 1, 2
SPECIALS = ["<|endoftext|>", "<filename>", "<s>"]
TEXT = ("The river ran past the mill and the miller counted the sacks. In the year 1848 there were 215 of them. "
        "def total(rows):\n    return sum(row.value for row in rows)\n\nIt's said that the old bridge can't hold two carts; "
        "the stones in the stream are the ones that were carried there when the other bridge fell.\n")
SETS = {"one": [[2, 1]], "several": [[1, 0], [1, 3], [2, 2]], "whole_layer": [[1, h] for h in range(HEADS)],
        "with_layer_0": [[0, 2], [2, 3]]}
KINDS = ["causal-uniform", "zero"]
STRINGS = ["", " ", "a", "12345", "1 22 333", "x1y22", "the river", " the river", "The  river   ran", "it's can't we'll I'M they're",
           "line\nline", "line\r\nline\r\n", "\n\n\n", "\t\ttab\tand  space", "    indented", "trail   ", "é", "e\u0301", "naïve café", "日本語のテキスト",
           "Привет, мир", "العربية", "हिन्दी", "mixed Ελλ日本 12３４", "😀", "👩‍👩‍👧 family", "½ ² Ⅷ ٣", "<filename>", "a<filename>b", " <filename> x",
           "<|endoftext|>", "<filename", "<s>", "nul\0in\0side", "\0", "\u00a0nbsp\u00a0", "\u2028sep\u200bzero", "...!?--", "snake_case camelCase",
           "def f(x):\n    return x+1\n", "\ufeffbom", "𝔘𝔫𝔦", "a" * 40, "'s 's'S", "\u3000 wide"]


def tokenizer():
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True),
                                                 pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
    tok.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=VOCAB, special_tokens=[AddedToken(s, special=True) for s in SPECIALS],
                                  initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False)
    tok.train_from_iterator([TEXT], trainer)
    assert tok.get_vocab_size() == VOCAB, tok.get_vocab_size()
    return tok


def write_json(path, value, **kw):
    path.write_text(json.dumps(value, ensure_ascii=True, **kw) + "\n")


def tokens(tok):
    to_byte = {c: b for b, c in gguf_bytes().items()}
    cases = []
    for text in STRINGS:
        enc = tok.encode(text, add_special_tokens=False)
        at = np.cumsum([0] + [len(c.encode()) for c in text]).tolist()
        spans, pos, exact = [[at[a], at[b]] for a, b in enc.offsets], 0, []
        for i, piece in zip(enc.ids, enc.tokens):
            size = len(piece.encode()) if i < len(SPECIALS) else len(bytes(to_byte[c] for c in piece))
            exact.append([pos, pos + size])
            pos += size
        assert pos == len(text.encode()), text
        assert all(s[0] <= e[0] and e[1] <= s[1] for s, e in zip(spans, exact)), text
        cases.append({"text": text, "ids": enc.ids, "spans": spans, "exact_spans": exact})
    return {"bos": BOS, "vocab": VOCAB, "cases": cases}


def gguf_bytes():
    keep = [*range(33, 127), *range(161, 173), *range(174, 256)]
    table, extra = {b: chr(b) for b in keep}, 0
    for b in range(256):
        if b not in table:
            table[b] = chr(256 + extra)
            extra += 1
    return table


MASK, SEEN = {"heads": [], "kind": None}, {}


def masked_attention(module, query, key, value, attention_mask, scaling, dropout=0.0, **kwargs):
    group, n = query.shape[1] // key.shape[1], query.shape[2]
    key, value = key.repeat_interleave(group, 1), value.repeat_interleave(group, 1)
    scores = torch.matmul(query, key.transpose(2, 3)) * scaling
    if kwargs.get("softcap"):
        scores = torch.tanh(scores / kwargs["softcap"]) * kwargs["softcap"]
    unseen = torch.ones(n, n).triu(1) + torch.ones(n, n).tril(-(kwargs.get("sliding_window") or n))
    scores = scores.masked_fill(unseen.bool(), float("-inf"))
    SEEN[module.layer_idx] = scores[0]
    out = torch.matmul(torch.softmax(scores, -1, dtype=torch.float32).to(query.dtype), value)
    for layer, head in MASK["heads"]:
        if layer == module.layer_idx:
            mean = value[:, head].cumsum(1) / torch.arange(1, n + 1, dtype=value.dtype)[None, :, None]
            out[:, head] = mean if MASK["kind"] == "causal-uniform" else 0.0
    return out.transpose(1, 2).contiguous(), None


ALL_ATTENTION_FUNCTIONS.register("headwater_masked", masked_attention)


@torch.no_grad()
def logits(model, ids, heads=(), kind=None):
    MASK.update(heads=heads, kind=kind)
    return model(torch.tensor([ids]), use_cache=False).logits[0].double()


def losses(out, ids):
    return torch.nn.functional.cross_entropy(out[:-1], torch.tensor(ids[1:]), reduction="none")


def rounded(values):
    return [round(float(v), 7) for v in values]


def top(scores):
    if len(scores) == 1:
        return 0, 1e9
    best = int(torch.nonzero(scores == scores.max())[0])
    rest = torch.cat([scores[:best], scores[best + 1:]])
    return best, float(f"{float(scores[best] - rest.max()):.4g}")


def golden(name, make, state, windows, worst, heads=HEADS, sets=SETS):
    plain, masked = make("eager"), make("headwater_masked")
    for m in (plain, masked):
        m.load_state_dict(state, strict=False)
        m.tie_weights()
        m.float().eval()
    wide = make("headwater_masked")
    wide.load_state_dict(state, strict=False)
    wide.tie_weights()
    wide.double().eval()
    result = {"windows": []}
    for ids in windows:
        out = logits(masked, ids)
        SEEN_NOW = {l: SEEN[l].double() for l in range(LAYERS)}
        assert (losses(out, ids) - losses(logits(plain, ids), ids)).abs().max() < 2e-5, name
        rows = sorted({0, 1, len(ids) // 2, len(ids) - 2, len(ids) - 1} & set(range(len(ids))))
        peaks, margins = [], []
        for layer in range(LAYERS):
            found = [[top(SEEN_NOW[layer][h, r, :r + 1]) for r in rows] for h in range(heads)]
            peaks.append([[p for p, _ in f] for f in found])
            margins.append([[m for _, m in f] for f in found])
        worst["base"] = max(worst["base"], float((losses(logits(wide, ids), ids) - losses(out, ids)).abs().max()))
        entry = {"ids": ids, "bos": ids[0] == BOS, "base": rounded(losses(out, ids)), "rows": rows, "attention": {"positions": peaks, "margins": margins},
                 "predictions": predict(out, rows), "masks": []}
        for label, set_ in sets.items():
            for kind in KINDS:
                out_m = logits(masked, ids, set_, kind)
                worst["masked"] = max(worst["masked"], float((losses(logits(wide, ids, set_, kind), ids) - losses(out_m, ids)).abs().max()))
                entry["masks"].append({"name": label, "kind": kind, "heads": set_, "losses": rounded(losses(out_m, ids)), "predictions": predict(out_m, rows)})
        result["windows"].append(entry)
    return result


def predict(out, rows):
    found = [top(out[r]) for r in rows]
    return {"ids": [p for p, _ in found], "margins": [m for _, m in found]}


def random_state(model, seed):
    gen, state = torch.Generator().manual_seed(seed), {}
    for name, p in sorted(model.named_parameters()):
        noise = torch.randn(p.shape, generator=gen)
        if name.endswith("bias"):
            state[name] = 0.3 * noise
        elif "norm" in name:
            state[name] = 1.0 + 0.3 * noise
        else:
            state[name] = noise * (0.4 if "embed" in name or "lm_head" in name else 0.15 if "down_proj" in name else 0.3)
    return state


def config(kind, tied, theta, **extra):
    base = {"architectures": [{"llama": "Llama", "mistral": "Mistral", "qwen2": "Qwen2", "qwen3": "Qwen3"}[kind] + "ForCausalLM"], "model_type": kind,
            "hidden_size": HIDDEN, "intermediate_size": MLP, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "num_key_value_heads": KV,
            "hidden_act": "silu", "max_position_embeddings": CONTEXT, "vocab_size": VOCAB, "rms_norm_eps": 1e-5, "rope_theta": theta,
            "tie_word_embeddings": tied, "bos_token_id": EOT, "eos_token_id": EOT, "torch_dtype": "float32"}
    return base | extra


CONFIGS = {
    "llama": config("llama", True, 10000.0, attention_bias=False, mlp_bias=False, rope_scaling=None),
    "llama3_rope": config("llama", False, 10000.0, intermediate_size=40, attention_bias=False, mlp_bias=False, rope_scaling={
        "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 32}),
    "mistral": config("mistral", False, 50000.0, intermediate_size=40, sliding_window=None),
    "qwen2": config("qwen2", False, 1000000.0, use_sliding_window=False, sliding_window=CONTEXT, max_window_layers=LAYERS),
    "qwen3": config("qwen3", True, 1000000.0, intermediate_size=40, head_dim=16, attention_bias=False, use_sliding_window=False, sliding_window=None, rope_scaling=None),
}


def maker(folder):
    def make(attention):
        return AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder), attn_implementation=attention)
    return make


def permute(w):
    rows = w.shape[0]
    return lambda heads: w.reshape(heads, 2, rows // heads // 2, *w.shape[1:]).swapaxes(1, 2).reshape(w.shape)


def unpermute(w, heads):
    return w.reshape(heads, w.shape[0] // heads // 2, 2, *w.shape[1:]).swapaxes(1, 2).reshape(w.shape)


NAMES = {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
         "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}
MIXED = {"attn_q": "Q4_1", "attn_k": "Q4_1", "attn_v": "Q4_1", "attn_output": "Q4_0", "ffn_gate": "Q4_0", "ffn_up": "Q4_1", "ffn_down": "Q8_0",
         "token_embd": "Q8_0", "output": "Q8_0"}


def gguf_name(name):
    fixed = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight", "lm_head.weight": "output.weight"}
    if name in fixed:
        return fixed[name]
    _, _, layer, rest = name.split(".", 3)
    stem, end = rest.rsplit(".", 1)
    return f"blk.{layer}.{NAMES[stem]}.{end}"


def write_gguf(path, arch, state, tok, theta, quants, add_bos=False, pre="smollm", hidden=HIDDEN, mlp=MLP, layers=LAYERS):
    """Writes the file and returns the weights as a reader sees them, in the HF layout."""
    w, seen = gguf.GGUFWriter(path, arch), {}
    w.add_type("model"); w.add_name("tiny"); w.add_block_count(layers); w.add_context_length(CONTEXT); w.add_embedding_length(hidden)
    w.add_feed_forward_length(mlp); w.add_head_count(HEADS); w.add_head_count_kv(KV); w.add_rope_freq_base(theta); w.add_layer_norm_rms_eps(1e-5)
    w.add_file_type(3 if quants else 0); w.add_vocab_size(VOCAB); w.add_rope_dimension_count(hidden // HEADS)
    model = json.loads(tok.to_str())["model"]
    vocab = sorted(model["vocab"], key=model["vocab"].get)
    w.add_add_space_prefix(False); w.add_add_bos_token(add_bos); w.add_tokenizer_model("gpt2"); w.add_tokenizer_pre(pre)
    w.add_token_list(vocab); w.add_token_types([3] * len(SPECIALS) + [1] * (len(vocab) - len(SPECIALS)))
    w.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in model["merges"]])
    w.add_bos_token_id(BOS); w.add_eos_token_id(EOT); w.add_unk_token_id(EOT); w.add_pad_token_id(EOT)
    if quants:
        w.add_quantization_version(2)
    for name, tensor in state.items():
        target, data = gguf_name(name), tensor.numpy()
        heads = HEADS if "q_proj" in name else KV if "k_proj" in name else 0
        heads = heads if arch == "llama" else 0
        data = np.ascontiguousarray(permute(data)(heads) if heads else data)
        kind = quants.get(target.split(".")[-2]) if data.ndim == 2 else None
        if kind:
            kind = gguf.GGMLQuantizationType[kind]
            raw = gguf.quants.quantize(data, kind)
            w.add_tensor(target, raw, raw_dtype=kind)
            data = gguf.quants.dequantize(raw, kind)
        else:
            w.add_tensor(target, data)
        seen[name] = torch.from_numpy(np.ascontiguousarray(unpermute(data, heads) if heads else data).astype(np.float32))
    w.write_header_to_file(); w.write_kv_data_to_file(); w.write_tensors_to_file(); w.close()
    return seen


def text_bytes(s):
    return struct.pack("<Q", len(s)) + s


def hostile(tok):
    out = HERE / "hostile"
    out.mkdir(exist_ok=True)
    head = lambda tensors, kvs, magic=b"GGUF": magic + struct.pack("<IQQ", 3, tensors, kvs)
    arch = text_bytes(b"general.architecture") + struct.pack("<I", 8) + text_bytes(b"llama")
    info = lambda dims, offset: text_bytes(b"token_embd.weight") + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, 0, offset)
    pad = b"\0" * 64
    files = {
        "tensor_count.gguf": head(2**64 - 1, 1) + arch + pad, "kv_count.gguf": head(1, 2**63 - 1) + arch + pad,
        "string_length.gguf": head(0, 1) + struct.pack("<Q", 2**64 - 8) + b"general.architecture" + pad,
        "array_length.gguf": head(0, 1) + text_bytes(b"tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, 2**62) + pad,
        "huge_dims.gguf": head(1, 1) + arch + info([2**33, 2**33], 0) + pad, "dimension_count.gguf": head(1, 1) + arch + text_bytes(b"x") + struct.pack("<I", 2**32 - 1) + pad,
        "offset.gguf": head(1, 1) + arch + info([32, 4], 2**40) + pad, "wrong_magic.gguf": head(0, 0, b"GGML") + pad, "empty.gguf": b"",
        "header_length.safetensors": struct.pack("<Q", 2**63) + b"{}",
    }
    for name, data in files.items():
        (out / name).write_bytes(data)
    small = CONFIGS["llama"] | {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    for name, change in {"shape_mismatch": {}, "vocab_too_large": {"vocab_size": 100}}.items():
        folder = out / name
        folder.mkdir(exist_ok=True)
        write_json(folder / "config.json", small | change, indent=1)
        state = random_state(maker(folder)("eager"), 90)
        if name == "shape_mismatch":
            write_gguf(out / "unknown_pre.gguf", "llama", state, tok, 10000.0, {}, pre="nonesuch", hidden=16, mlp=16, layers=1)
            write_gguf(out / "whole.gguf", "llama", state, tok, 10000.0, {}, hidden=16, mlp=16, layers=1)
            whole = (out / "whole.gguf").read_bytes()
            (out / "whole.gguf").unlink()
            (out / "truncated.gguf").write_bytes(whole[:len(whole) * 3 // 4])
            state["model.layers.0.self_attn.q_proj.weight"] = torch.zeros(12, 16)
        save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
        tok.save(str(folder / "tokenizer.json"), pretty=False)


def save_sharded(state, folder):
    keys, where = sorted(state), {}
    for i, part in enumerate((keys[::2], keys[1::2]), 1):
        file = f"model-{i:05}-of-00002.safetensors"
        save_file({k: state[k] for k in part}, folder / file, metadata={"format": "pt"})
        where |= {k: file for k in part}
    write_json(folder / "model.safetensors.index.json",
               {"metadata": {"total_size": sum(4 * t.numel() for t in state.values())}, "weight_map": dict(sorted(where.items()))}, indent=1)


def main():
    torch.set_num_threads(1)
    tok = tokenizer()
    with_bos = Tokenizer.from_str(tok.to_str())
    with_bos.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", BOS)])
    with_bos.save(str(HERE / "tokenizer_bos.json"), pretty=False)
    assert all(with_bos.encode(s).ids == [BOS] + tok.encode(s).ids for s in STRINGS)
    write_json(HERE / "tokens.json", tokens(tok))
    ids = tok.encode(TEXT).ids
    draw = np.random.default_rng(7).integers(3, VOCAB, 40).tolist()
    windows = [ids[5:7], draw[:20] + draw[3:20], ([BOS] + ids + draw + ids)[:130]]
    assert [len(w) for w in windows] == [2, 37, 130]
    for seed, (name, cfg) in enumerate(CONFIGS.items()):
        folder, worst = HERE / name, {"base": 0.0, "masked": 0.0}
        folder.mkdir(exist_ok=True)
        write_json(folder / "config.json", cfg, indent=1)
        state = random_state(maker(folder)("eager"), 40 + seed)
        if name == "mistral":
            save_sharded(state, folder)
        else:
            save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
        tok.save(str(folder / "tokenizer.json"), pretty=False)
        write_json(folder / "golden.json", golden(name, maker(folder), state, windows, worst))
        print(name, worst)
        if name == "llama":
            plain = write_gguf(HERE / "llama-f32.gguf", "llama", state, tok, cfg["rope_theta"], {})
            assert all(torch.equal(plain[k], state[k]) for k in state)
        if name in ("llama", "qwen2"):
            seen = write_gguf(HERE / f"{name}-mixed.gguf", name, state, tok, cfg["rope_theta"], MIXED, add_bos=name == "qwen2")
            worst = {"base": 0.0, "masked": 0.0}
            write_json(HERE / f"{name}-mixed.golden.json", golden(name, maker(folder), seen, windows, worst))
            print(name, "mixed", worst)
        if name == "mistral":
            new = {k: v for k, v in cfg.items() if k != "rope_theta"} | {"rope_parameters": {"rope_type": "default", "rope_theta": cfg["rope_theta"]}}
            write_json(folder / "config.transformers5.json", new, indent=1)
    hostile(tok)


if __name__ == "__main__":
    main()
