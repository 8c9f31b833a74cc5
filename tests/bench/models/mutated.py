"""Changes configurations of the tiny models at random and compares `headwater model check` with transformers.

    python tests/bench/models/mutated.py HEADWATER [--count 2000] [--seed 1]

HEADWATER is the command. It must never panic, never give a finite loss where transformers refuses the model or has weights that the file does not
hold, and give transformers' losses where both give any. Needs torch, transformers and safetensors.
"""

import argparse
import json
import logging
import pathlib
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import warnings

import torch
import transformers

TINY = pathlib.Path(__file__).resolve().parents[3] / "crates/model/tests/tiny"
# a mean over a sentence, of models whose float32 losses are good to 4e-5; of a loss above 1 nat, that share of it
NATS = 1e-3
VALUES = [None, True, False, 0, 1, 2, 3, -1, 4, 7, 8, 16, 31, 64, 255, 2**40, 0.0, 0.25, 0.5, 1.0, 2.0, -1.0, 1e-6, 1e30, "", "x", "silu", "gelu", "gelu_new",
          "relu", "linear", "default", "llama3", "yarn", [], [0], [1, 0, 1], ["full_attention"] * 3, ["sliding_attention"] * 3, {}, {"rope_type": "linear", "factor": 4.0},
          {"type": "linear", "factor": 2.0}, {"rope_theta": 500.0}, {"rope_type": "default", "rope_theta": 500.0}, {"rope_type": "dynamic", "factor": 2.0},
          {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}, {"factor": 4.0}]
KEYS = ["model_type", "hidden_act", "activation_function", "hidden_activation", "attention_bias", "mlp_bias", "tie_word_embeddings", "num_attention_heads",
        "num_key_value_heads", "head_dim", "hidden_size", "intermediate_size", "num_hidden_layers", "vocab_size", "max_position_embeddings", "rms_norm_eps",
        "layer_norm_eps", "layer_norm_epsilon", "rope_theta", "rope_scaling", "rope_parameters", "partial_rotary_factor", "rotary_pct", "sliding_window",
        "use_sliding_window", "max_window_layers", "layer_types", "no_rope_layers", "no_rope_layer_interval", "embedding_multiplier", "residual_multiplier",
        "attention_multiplier", "logits_scaling", "attn_logit_softcapping", "final_logit_softcapping", "query_pre_attn_scalar", "use_parallel_residual",
        "n_inner", "n_head", "n_embd", "n_positions", "scale_attn_weights", "scale_attn_by_inverse_layer_idx", "quantization_config", "num_experts",
        "sliding_window_pattern", "rope_local_base_freq", "original_max_position_embeddings", "pretraining_tp"]
TYPES = ["llama", "mistral", "qwen2", "qwen3", "smollm3", "granite", "phi3", "olmo2", "olmo3", "gemma", "gemma2", "gemma3_text", "gpt_neox", "gpt2", "bloom", "mixtral"]


def mutate(config, draw):
    config = dict(config)
    for _ in range(draw.choice([1, 1, 1, 2, 3])):
        key = draw.choice(sorted(config) + KEYS)
        if draw.random() < 0.2:
            config.pop(key, None)
        elif key == "model_type":
            config[key] = draw.choice(TYPES)
        else:
            config[key] = draw.choice(VALUES)
    return config


def ours(command, folder):
    """The mean losses of the sentences, or why there are none; whether the command broke."""
    done = subprocess.run([command, "model", "check", str(folder), "--json"], capture_output=True, text=True)
    if done.returncode == 0:
        sentences = json.loads(done.stdout)["sentences"]
        return [(sentence["loss"], sentence["tokens"]) for sentence in sentences], None, False
    return None, done.stderr.strip(), done.returncode not in (1,) or "panicked" in done.stderr


def theirs(folder, windows):
    try:
        model, loading = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, output_loading_info=True, attn_implementation="eager")
        if loading["missing_keys"] or loading["mismatched_keys"]:
            return None, f"not in the file: {sorted(loading['missing_keys'])[:2]}"
        losses = []
        with torch.no_grad():
            for window in windows:
                ids = torch.tensor([window])
                logits = model.eval()(ids, use_cache=False).logits[0, :-1].double()
                losses.append(float(torch.nn.functional.cross_entropy(logits, ids[0, 1:])))
        return losses, None
    except Exception as error:  # whatever it is, it is a refusal
        return None, f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("command")
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    torch.set_num_threads(1)
    # some configurations ask for more memory than there is
    resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))
    draw = random.Random(args.seed)
    models = sorted(path.parent for path in TINY.glob("*/model.safetensors"))
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_file=str(TINY / "llama/tokenizer.json"))
    sentences = json.loads(subprocess.run([args.command, "model", "check", str(TINY / "llama"), "--json"], capture_output=True, text=True, check=True).stdout)["sentences"]
    windows = [tokenizer(sentence["text"])["input_ids"] for sentence in sentences]
    counts = {"equal": 0, "refused by both": 0, "refused by us alone": 0}
    wrong, alone = 0, {}

    def report(kind, model, config, why):
        print(f"{kind}: {model}: {json.dumps(config)}\n    {why}", flush=True)

    with tempfile.TemporaryDirectory() as scratch:
        for number in range(args.count):
            model = draw.choice(models)
            config = mutate(json.loads((model / "config.json").read_text()), draw)
            folder = pathlib.Path(scratch) / str(number)
            folder.mkdir()
            for name in ("model.safetensors", "tokenizer.json"):
                (folder / name).symlink_to(model / name)
            (folder / "config.json").write_text(json.dumps(config))
            got, reason, broke = ours(args.command, folder)
            # windows are as long as the context that is left
            lengths = [tokens for _, tokens in got] if got else map(len, windows)
            expected, refusal = theirs(folder, [window[:length] for window, length in zip(windows, lengths)])
            got = [loss for loss, _ in got] if got else None
            shutil.rmtree(folder)
            finite = got is not None and all(loss is not None and loss == loss and abs(loss) < 1e30 for loss in got)
            if broke:
                wrong += 1
                report("it broke", model.name, config, reason)
            elif finite and expected is None:
                wrong += 1
                report("finite where transformers refuses", model.name, config, refusal)
            elif finite and any(abs(a - b) > NATS * max(1, abs(b)) for a, b in zip(got, expected)):
                wrong += 1
                report("other losses", model.name, config, f"{got} {expected}")
            elif finite:
                counts["equal"] += 1
            elif expected is None:
                counts["refused by both"] += 1
            else:
                counts["refused by us alone"] += 1
                alone.setdefault((reason or "a loss that is no number").split("/config.json: ")[-1].splitlines()[0][:90], config)
    for reason in sorted(alone):
        print("by us alone:", reason)
    print(counts, "wrong:", wrong)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
