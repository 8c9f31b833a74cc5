"""What PyTorch makes of two tiny Llama models: losses, every gradient, and the losses of 200 steps; and the check of an exported model.

    python crates/train/tests/golden/make_golden.py             # writes grouped.safetensors and tied.safetensors beside this script
    python crates/train/tests/golden/make_golden.py --check DIR # scores DIR, which the example `pretrain` wrote, with transformers

Needs torch, transformers and safetensors. Numbers were made with torch 2.15.0 and transformers 5.24.0 on one thread.
"""

import argparse
import json
import pathlib
import sys

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

HERE = pathlib.Path(__file__).resolve().parent
STEPS, WARMUP, DECAY, PEAK, CLIP = 200, 20, 60, 0.01, 0.6
BETAS, EPS, WEIGHT_DECAY = (0.9, 0.95), 1e-8, 0.1
SEQUENCES, LENGTH = 5, 70
MODELS = {
    "grouped": {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 6,
                "intermediate_size": 20, "rope_theta": 10000.0, "tie_word_embeddings": False},
    "tied": {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 12,
             "intermediate_size": 40, "rope_theta": 500.0, "tie_word_embeddings": True},
}  # fmt: skip
VOCABULARY = 61


def batch(step):
    """Tokens of which each follows from the one before but for a draw of three: (SEQUENCES, LENGTH + 1)."""
    rows = []
    for sequence in range(SEQUENCES):
        token, row = (step * 17 + sequence * 29) % VOCABULARY, []
        for place in range(LENGTH + 1):
            row.append(token)
            draw = ((step * 31 + sequence) * 1009 + place) * 2654435761 % 2**32 >> 16
            token = (3 * token + 1 + draw % 3) % VOCABULARY
        rows.append(row)
    return torch.tensor(rows)


def rate(step):
    """Linear from zero, then the peak, then one less the root of the share of the decay."""
    if step < WARMUP:
        return PEAK * step / WARMUP
    share = max(0, step - (STEPS - DECAY)) / DECAY
    return PEAK * (1 - share**0.5)


def losses_of(model, tokens):
    logits = model(input_ids=tokens[:, :-1], use_cache=False).logits
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten(), reduction="none")


def make(name, overrides):
    torch.manual_seed(7)
    config = LlamaConfig(vocab_size=VOCABULARY, max_position_embeddings=LENGTH, rms_norm_eps=1e-5, hidden_act="silu",
                         attn_implementation="eager", bos_token_id=None, eos_token_id=None, pad_token_id=None, **overrides)  # fmt: skip
    model = LlamaForCausalLM(config).float()
    assert model.config.rope_parameters["rope_theta"] == overrides["rope_theta"]
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            parameter.copy_(1 + 0.2 * torch.randn_like(parameter) if "norm" in key else 0.15 * torch.randn_like(parameter))
    out = {key: parameter.detach().clone() for key, parameter in model.named_parameters()}
    losses = losses_of(model, batch(0))
    losses.mean().backward()
    out["losses"] = losses.detach()
    out |= {f"gradient.{key}": parameter.grad.clone() for key, parameter in model.named_parameters()}
    matrices = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    norms = [parameter for parameter in model.parameters() if parameter.ndim == 1]
    groups = [{"params": matrices, "weight_decay": WEIGHT_DECAY}, {"params": norms, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=PEAK, betas=BETAS, eps=EPS)
    curve = []
    for step in range(STEPS):
        for group in optimiser.param_groups:
            group["lr"] = rate(step)
        optimiser.zero_grad()
        loss = losses_of(model, batch(step)).mean()
        loss.backward()
        absolute = sum(parameter.grad.abs().sum() for parameter in model.parameters())
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        curve.append([loss.item(), norm.item(), absolute.item()])
        optimiser.step()
    out["curve"] = torch.tensor(curve)
    save_file({key: value.contiguous() for key, value in out.items()}, HERE / f"{name}.safetensors")
    print(name, f"loss {curve[0][0]:.4f} to {curve[-1][0]:.4f}, clipped {sum(norm > CLIP for _, norm, _ in curve)} of {STEPS}")


def check(folder):
    """Scores the held-out tokens of `folder` with the exported model, and compares with our losses."""
    model = AutoModelForCausalLM.from_pretrained(folder / "model", dtype=torch.float32)
    held_out = json.loads((folder / "held_out.json").read_text())
    tokens, ours = torch.tensor(held_out["tokens"]), torch.tensor(held_out["losses"], dtype=torch.float64).flatten()
    with torch.no_grad():
        theirs = losses_of(model, tokens).double()
    mean = abs(ours.mean() - theirs.mean()).item()
    print(f"loss {ours.mean():.6f}, {theirs.mean():.6f} by transformers: off by {mean:.2e}, a token at most {(ours - theirs).abs().max():.2e}")
    return mean > 1e-4


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", type=pathlib.Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.check:
        return check(arguments.check)
    for name, overrides in MODELS.items():
        make(name, overrides)
    return 0


if __name__ == "__main__":
    sys.exit(main())
