"""Prints the losses of windows under transformers, float32 on the CPU, as JSON. Reads {"path": ..., "gguf": ... or null, "windows": [[id, ...], ...]}."""
import json, sys

import torch
import transformers

transformers.logging.set_verbosity_error()
asked = json.load(sys.stdin)
more = {"gguf_file": asked["gguf"]} if asked["gguf"] else {}
model = transformers.AutoModelForCausalLM.from_pretrained(asked["path"], dtype=torch.float32, local_files_only=True, **more).eval()
losses = []
with torch.no_grad():
    for window in asked["windows"]:
        ids = torch.tensor([window])
        logits = model(ids, use_cache=False).logits[0, :-1].double()
        losses.append(torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="none").tolist())
print(json.dumps({"version": transformers.__version__, "losses": losses}))
