"""Writes tiny models of the architectures that differ from Llama, their reference values and GGUF files beside this script. See README.md."""
import json, pathlib
import gguf, numpy as np, torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from transformers import AutoConfig, AutoModelForCausalLM
import make_tiny as tiny

HERE = pathlib.Path(__file__).resolve().parent
HEADS, LAYERS, VOCAB = tiny.HEADS, tiny.LAYERS, tiny.VOCAB
BASE = {"hidden_size": 32, "intermediate_size": 40, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "num_key_value_heads": 2,
        "max_position_embeddings": 256, "vocab_size": VOCAB, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
GPT2 = {"n_embd": 32, "n_layer": LAYERS, "n_head": HEADS, "n_positions": 160, "vocab_size": VOCAB, "bos_token_id": 0, "eos_token_id": 0}
GEMMA = BASE | {"head_dim": 12}
CONFIGS = {
    "smollm3": BASE | {"rope_theta": 50000.0, "rms_norm_eps": 1e-5},
    "granite": BASE | {"embedding_multiplier": 6.0, "residual_multiplier": 0.4, "attention_multiplier": 0.1, "logits_scaling": 0.5,
                       "attention_bias": True, "mlp_bias": True},
    "phi3": BASE | {"partial_rotary_factor": 0.5, "sliding_window": 24},
    "olmo2": BASE | {"num_key_value_heads": 4, "attention_bias": True},
    "olmo3": BASE | {"sliding_window": 20, "layer_types": ["sliding_attention", "full_attention", "sliding_attention"]},
    "gemma": GEMMA | {"num_key_value_heads": 1},
    "gemma2": GEMMA | {"query_pre_attn_scalar": 12, "sliding_window": 24, "attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0},
    "gemma3_text": GEMMA | {"query_pre_attn_scalar": 12, "sliding_window": 24},
    "gpt_neox": BASE | {"intermediate_size": 64, "rotary_pct": 0.5},
    "gpt2": GPT2,
}
# What llama.cpp takes for granted is so in CONFIGS, whose weights are written as GGUF too: the layers that a window or no rotation is of, and 1/sqrt(d).
# Here: one head, as many key/value heads as heads, widths that are no multiples of a vector: the values are losses alone
ODD = {
    "smollm3": {"no_rope_layers": [1, 0, 1], "hidden_size": 22, "intermediate_size": 37, "num_attention_heads": 1, "num_key_value_heads": 1, "tie_word_embeddings": False},
    "granite": {"hidden_size": 30, "intermediate_size": 13, "num_attention_heads": 3, "num_key_value_heads": 3, "tie_word_embeddings": True},
    "phi3": {"hidden_size": 30, "intermediate_size": 21, "num_attention_heads": 3, "num_key_value_heads": 1, "partial_rotary_factor": 1.0},
    "olmo2": {"hidden_size": 18, "intermediate_size": 19, "num_attention_heads": 3, "num_key_value_heads": 1, "attention_bias": False},
    "olmo3": {"hidden_size": 20, "intermediate_size": 50, "num_attention_heads": 2, "num_key_value_heads": 2, "sliding_window": 3},
    "gemma": {"hidden_size": 27, "intermediate_size": 33, "num_attention_heads": 1, "num_key_value_heads": 1, "head_dim": 6},
    "gemma2": {"hidden_size": 26, "intermediate_size": 17, "num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 14, "sliding_window": 100,
               "query_pre_attn_scalar": 20},
    "gemma3_text": {"hidden_size": 24, "intermediate_size": 35, "num_attention_heads": 3, "num_key_value_heads": 3, "head_dim": 10,
                    "query_pre_attn_scalar": 20, "sliding_window_pattern": 2, "rope_scaling": {"rope_type": "linear", "factor": 8.0}, "rope_theta": 50000.0},
    "gpt_neox": {"hidden_size": 30, "intermediate_size": 41, "num_attention_heads": 3, "rotary_pct": 0.25, "use_parallel_residual": False,
                 "hidden_act": "gelu_new"},
    "gpt2": {"n_embd": 18, "n_head": 3, "n_inner": 23, "activation_function": "gelu"},
}
# rotary embeddings that are stretched: losses of windows of the original context
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}
STRETCHED = {
    "qwen3_yarn": BASE | {"model_type": "qwen3", "head_dim": 16, "rope_scaling": YARN, "tie_word_embeddings": True},
    "llama_yarn": BASE | {"model_type": "llama", "rope_scaling": YARN | {"type": "yarn", "beta_fast": 8.0, "beta_slow": 0.5, "attention_factor": 0.9}},
    "olmo3_yarn": CONFIGS["olmo3"] | {"model_type": "olmo3", "rope_scaling": YARN},
    "phi3_longrope": BASE | {"model_type": "phi3", "partial_rotary_factor": 0.75, "num_attention_heads": 4, "hidden_size": 64,
                             "original_max_position_embeddings": 100,
                             "rope_scaling": {"type": "longrope", "short_factor": [1.0, 1.1, 1.3, 1.7, 2.0, 3.0], "long_factor": [4.0] * 6}},
}
HEADER = {"smollm3": "SMOLLM3", "granite": "GRANITE", "phi3": "PHI3", "olmo2": "OLMO2", "gemma": "GEMMA", "gemma2": "GEMMA2", "gemma3_text": "GEMMA3",
          "gpt_neox": "GPTNEOX", "gpt2": "GPT2"}


def random_state(model, seed):
    gen, state = torch.Generator().manual_seed(seed), {}
    above_one = type(model).__name__.startswith("Gemma")
    for name, p in sorted(model.named_parameters()):
        noise = torch.randn(p.shape, generator=gen)
        if name.endswith("bias"):
            state[name] = 0.3 * noise
        elif "norm" in name or ".ln_" in name:
            state[name] = (0.0 if above_one else 1.0) + 0.3 * noise
        else:
            state[name] = noise * (0.4 if any(part in name for part in ("embed", "lm_head", "wte", "wpe")) else 0.2)
    # numbers that float16 holds, which half the bytes store
    return {name: value.half().float() for name, value in state.items()}


def maker(folder):
    return lambda attention: AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder), attn_implementation=attention)


def header_tensors(name, config, state, writer):
    """Adds the tensors as llama.cpp's converter stores them, under gguf-py's names."""
    names = gguf.get_tensor_name_map(getattr(gguf.MODEL_ARCH, HEADER[name]), LAYERS)
    heads, kv = config.num_attention_heads, getattr(config, "num_key_value_heads", config.num_attention_heads)
    for stored, tensor in state.items():
        target, data = names.get_name(stored, try_suffixes=(".weight", ".bias")), tensor.numpy()
        assert target, stored
        if name in ("smollm3", "granite") and (".q_proj." in stored or ".k_proj." in stored):
            data = tiny.permute(data)(heads if ".q_proj." in stored else kv)
        if name.startswith("gemma") and "norm" in stored:
            data = data + 1.0
        if name == "gpt2" and ".weight" in stored and any(part in stored for part in ("c_attn", "c_proj", "c_fc")):
            data = data.T
        if name == "gpt_neox" and "query_key_value" in stored:
            width = config.hidden_size // heads
            data = np.concatenate([data.reshape(heads, 3, width, -1)[:, i].reshape(heads * width, *data.shape[1:]) for i in range(3)])
        writer.add_tensor(target, np.ascontiguousarray(data.astype(np.float16) if data.ndim == 2 else data))


def write_header(path, name, config, state, tok):
    """Writes a GGUF file with the keys of llama.cpp's converter."""
    arch = gguf.MODEL_ARCH_NAMES[getattr(gguf.MODEL_ARCH, HEADER[name])]
    w = gguf.GGUFWriter(path, arch)
    w.add_block_count(LAYERS); w.add_context_length(config.max_position_embeddings); w.add_embedding_length(config.hidden_size)
    inner = getattr(config, "intermediate_size", None) or 4 * config.hidden_size
    w.add_feed_forward_length(inner); w.add_head_count(config.num_attention_heads)
    if hasattr(config, "num_key_value_heads"):
        w.add_head_count_kv(config.num_key_value_heads)
    if hasattr(config, "rms_norm_eps"):
        w.add_layer_norm_rms_eps(config.rms_norm_eps)
    else:
        w.add_layer_norm_eps(getattr(config, "layer_norm_eps", None) or config.layer_norm_epsilon)
    rope = getattr(config, "rope_parameters", None)
    if rope:
        rope = rope.get("full_attention", rope)
        w.add_rope_freq_base(rope["rope_theta"])
        width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        w.add_rope_dimension_count(int(width * rope.get("partial_rotary_factor", 1.0)))
        if rope["rope_type"] == "linear":
            w.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
            w.add_rope_scaling_factor(rope["factor"])
    if name.startswith("gemma"):
        w.add_key_length(config.head_dim); w.add_value_length(config.head_dim)
    if getattr(config, "sliding_window", None):
        w.add_sliding_window(config.sliding_window)
    if name == "granite":
        w.add_attention_scale(config.attention_multiplier); w.add_embedding_scale(config.embedding_multiplier)
        w.add_residual_scale(config.residual_multiplier); w.add_logit_scale(config.logits_scaling)
    if name == "gemma2":
        w.add_attn_logit_softcapping(config.attn_logit_softcapping); w.add_final_logit_softcapping(config.final_logit_softcapping)
    if name == "gpt_neox":
        w.add_parallel_residual(config.use_parallel_residual)
    model = json.loads(tok.to_str())["model"]
    vocab = sorted(model["vocab"], key=model["vocab"].get)
    w.add_add_bos_token(False); w.add_tokenizer_model("gpt2"); w.add_tokenizer_pre("smollm"); w.add_token_list(vocab)
    w.add_token_types([3] * len(tiny.SPECIALS) + [1] * (len(vocab) - len(tiny.SPECIALS)))
    w.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in model["merges"]])
    w.add_bos_token_id(tiny.BOS); w.add_eos_token_id(tiny.EOT)
    header_tensors(name, config, state, w)
    w.write_header_to_file(); w.write_kv_data_to_file(); w.write_tensors_to_file(); w.close()


def model(name, keys, folder, seed, tok):
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"model_type": name} | keys, indent=1) + "\n")
    state = random_state(maker(folder)("eager"), seed)
    # transformers renames this one when it saves
    stored = {"lm_head.weight": "embed_out.weight"} if name == "gpt_neox" else {}
    save_file({stored.get(key, key): value.half() for key, value in state.items()}, folder / "model.safetensors", metadata={"format": "pt"})
    tok.save(str(folder / "tokenizer.json"), pretty=False)
    return state


def main():
    torch.set_num_threads(1)
    tok = Tokenizer.from_file(str(HERE / "llama" / "tokenizer.json"))
    draw = np.random.default_rng(11).integers(3, VOCAB, 130).tolist()
    for seed, (name, keys) in enumerate(CONFIGS.items()):
        folder, worst = HERE / name, {"base": 0.0, "masked": 0.0}
        state = model(name, keys, folder, 60 + seed, tok)
        tiny.write_json(folder / "golden.json", tiny.golden(name, maker(folder), state, [draw[:2], draw], worst))
        print(name, worst)
        if name in HEADER:
            write_header(HERE / f"{name}.gguf", name, AutoConfig.from_pretrained(folder), state, tok)
        keys, folder = keys | ODD[name], HERE / f"{name}_odd"
        heads = keys.get("n_head") or keys["num_attention_heads"]
        state = model(name, keys, folder, 80 + seed, tok)
        sets = {"last_of_layer_1": [[1, heads - 1]], "whole_layer": [[0, head] for head in range(heads)]}
        tiny.write_json(folder / "golden.json", tiny.golden(name, maker(folder), state, [draw[:99]], worst, heads, sets))
    sets = {"last_of_layer_1": [[1, HEADS - 1]]}
    for seed, (name, keys) in enumerate(STRETCHED.items()):
        folder, worst = HERE / name, {"base": 0.0, "masked": 0.0}
        state = model(name, keys, folder, 100 + seed, tok)
        tiny.write_json(folder / "golden.json", tiny.golden(name, maker(folder), state, [draw[:99]], worst, HEADS, sets))
        print(name, worst)


if __name__ == "__main__":
    main()
