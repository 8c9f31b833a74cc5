"""How often a model's texts reflect under each schedule, and whether its greedy texts are those of transformers.

    python3 tests/bench/decode/reflections.py [--headwater BINARY] [--tokens 200] [--out FOLDER] [--transformers]

Ten prompts, the most likely token each time. `--transformers` also writes every text by transformers from the same GGUF file in float32 (it needs
torch, transformers and gguf) and ends with 1 if one differs. FOLDER gets table.json and a picture of one text a schedule. The model is no reasoning
model: the figures say what the schedules do to tokens, not what they do to answers.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[3]
MODEL = "smollm2-135m-instruct-q4"
PROMPTS = [
    "Question: A farmer has 17 sheep and all but 9 run away. How many are left?\nLet me think step by step.",
    "Question: Is 91 a prime number?\nLet me think step by step.",
    "Question: Which is heavier, a kilogram of iron or a kilogram of feathers?\nLet me think step by step.",
    "Question: If today is Tuesday, what day is it in 100 days?\nLet me think step by step.",
    "Question: A train leaves at 14:20 and arrives at 17:05. How long does it take?\nLet me think step by step.",
    "Question: How many corners does a cube have?\nLet me think step by step.",
    "Question: What is the next number in 1, 1, 2, 3, 5, 8?\nLet me think step by step.",
    "Question: Can a square be a rectangle?\nLet me think step by step.",
    "Question: Anna is older than Ben, and Ben is older than Carl. Who is the youngest?\nLet me think step by step.",
    "Question: How many minutes are there in three and a half hours?\nLet me think step by step.",
]
SCHEDULES = {
    "none": ["--reflection=none"],
    "cyclic, amplitude 5, period 80": ["--reflection=cyclic", "--amplitude=5", "--period=80"],
    "tip, 3 over the output": ["--reflection=tip", "--penalty=3"],
    "tip, minus 3 over the output": ["--reflection=tip", "--penalty=-3"],
    "tip, 3 over 50 tokens of each thought": ["--reflection=tip", "--penalty=3", "--until=50", "--by-thought"],
    "s1, two waits, thinking ends with the text": ["--reflection=s1", "--waits=2", "--end=<|im_end|>"],
}


def picture(schedule: str) -> str:
    """The name of a schedule's picture."""
    return re.sub(r"\W+", "-", schedule) + ".svg"


def written(headwater: Path, prompt: str, tokens: int, options: list[str]) -> dict[str, Any]:
    """What the command writes."""
    command = [headwater, "generate", MODEL, "--prompt", prompt, f"--tokens={tokens}", "--json", *options]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def compared(headwater: Path, tokens: int) -> bool:
    """Whether the greedy texts are those of transformers."""
    import torch
    import transformers

    fetched = subprocess.run([headwater, "model", "fetch", MODEL], check=True, capture_output=True, text=True).stdout
    path = Path(fetched.splitlines()[0])
    model = transformers.AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32).eval()
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([headwater, "model", "tokenizer", MODEL, "--out", folder], capture_output=True, check=True)
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    same = 0
    for prompt in PROMPTS:
        ours = written(headwater, prompt, tokens, ["--reflection=none"])
        ids = torch.tensor([tokenizer.encode(prompt, add_special_tokens=False)])
        text = model.generate(ids, max_new_tokens=tokens, do_sample=False, eos_token_id=ends(tokenizer), pad_token_id=0)
        theirs = text[0, ids.shape[1] :].tolist()
        same += ours["tokens"] == theirs
        if ours["tokens"] != theirs:
            first = next((at for at, (a, b) in enumerate(zip(ours["tokens"], theirs)) if a != b), min(len(ours["tokens"]), len(theirs)))
            print(f"differs at token {first}: {prompt!r}")
    print(f"{same} of {len(PROMPTS)} greedy texts of at most {tokens} tokens are those of transformers {transformers.__version__}")
    return same == len(PROMPTS)


def ends(tokenizer: Any) -> int:
    """The token that ends a text of the model."""
    return int(tokenizer.convert_tokens_to_ids("<|im_end|>"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--headwater", type=Path, default=REPOSITORY / "target/release/headwater")
    parser.add_argument("--tokens", type=int, default=200)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--transformers", action="store_true")
    options = parser.parse_args()
    rows = []
    for name, arguments in SCHEDULES.items():
        texts = []
        for number, prompt in enumerate(PROMPTS):
            more = [*arguments, f"--svg={options.out / picture(name)}"] if options.out and number == 0 else arguments
            texts.append(written(options.headwater, prompt, options.tokens, more))
        statistics = [text["statistics"] for text in texts]
        tokens, reflections = sum(s["thinking_tokens"] for s in statistics), sum(len(s["positions"]) for s in statistics)
        row = {
            "schedule": name,
            "tokens": tokens,
            "reflections": reflections,
            "reflections_per_hundred": round(100 * reflections / max(tokens, 1), 2),
            "thoughts": sum(s["thoughts"] for s in statistics),
        }
        rows.append(row)
        print(f"{name:48} {tokens:6,} tokens {reflections:5} reflections {row['reflections_per_hundred']:6.2f} in a hundred", flush=True)
    if options.out:
        (options.out / "table.json").write_text(json.dumps(rows, indent=1) + "\n")
    return 0 if not options.transformers or compared(options.headwater, options.tokens) else 1


if __name__ == "__main__":
    sys.exit(main())
