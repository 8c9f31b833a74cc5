"""Pretrains a model on corpus and selected subset with the Hugging Face Trainer, from the files beside this script.

Written by headwater; needs torch, transformers 5, accelerate and datasets.
"""

import csv
import json
from itertools import count
from pathlib import Path

import torch
from datasets import IterableDataset, concatenate_datasets, interleave_datasets, load_dataset
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, HfArgumentParser, Trainer, TrainingArguments
from transformers.trainer_utils import get_last_checkpoint

HERE = Path(__file__).resolve().parent
# Documents that are tokenised together.
DOCUMENTS = 1000


def training_arguments():
    arguments = json.loads((HERE / "training_arguments.json").read_text(encoding="utf-8"))
    arguments["output_dir"] = str(HERE / arguments["output_dir"])
    if not torch.cuda.is_available():
        arguments["use_cpu"] = True
    return HfArgumentParser(TrainingArguments).parse_dict(arguments)[0]


def files(path):
    """A folder stands for the Parquet files below it."""
    return f"{path.rstrip('/')}/**/*.parquet" if path.endswith("/") or Path(path).is_dir() else path


def read(source):
    """The texts of a source, whatever other columns its files have."""
    paths = [files(path) for path in source["data_files"]]
    dataset = load_dataset("parquet", data_files=paths, columns=[source["text"]], split="train", streaming=True)
    return dataset if source["text"] == "text" else dataset.rename_column(source["text"], "text")


def sequences(mixture, stage, tokenizer):
    """Packs the documents of one stage, drawn from its parts, into sequences. Every pass over the data has an order of its own."""
    parts = {part["name"]: part["sources"] for part in mixture["parts"]}
    length = mixture["sequence_tokens"]

    def documents(name, seed):
        dataset = concatenate_datasets([read(source) for source in parts[name]])
        return dataset.shuffle(seed=seed, buffer_size=mixture["shuffle_documents"])

    def drawn(seed):
        return interleave_datasets(
            [documents(part["name"], seed) for part in stage["parts"]],
            probabilities=[part["probability"] for part in stage["parts"]],
            seed=seed,
            stopping_strategy=mixture["stopping_strategy"],
        )

    def packed(seed):
        ids = []
        for batch in drawn(seed).iter(batch_size=DOCUMENTS):
            texts = [text for text in batch["text"] if text]
            for document in tokenizer(texts, add_special_tokens=False)["input_ids"] if texts else []:
                ids += document + [tokenizer.eos_token_id]
            whole = len(ids) - len(ids) % length
            for start in range(0, whole, length):
                yield {"input_ids": ids[start : start + length], "labels": ids[start : start + length]}
            ids = ids[whole:]

    def passes():
        for number in count():
            filled = False
            for sequence in packed(mixture["seed"] + number):
                filled = True
                yield sequence
            if not filled:
                names = ", ".join(part["name"] for part in stage["parts"])
                raise ValueError(f"one pass over {names} does not fill a sequence of {length} tokens: the data is too small, or its paths are wrong")

    return IterableDataset.from_generator(passes)


def compare_rates(log):
    """Says how far the logged learning rates are from `expected_lr.csv`."""
    with (HERE / "expected_lr.csv").open(newline="") as table:
        expected = {int(row["step"]): float(row["lr"]) for row in csv.DictReader(table)}
    logged = {entry["step"]: entry["learning_rate"] for entry in log if "learning_rate" in entry}
    steps = sorted(expected.keys() & logged.keys())
    worst = max((abs(expected[step] - logged[step]) for step in steps), default=float("nan"))
    print(f"learning rates: {len(steps)} logged steps compared with expected_lr.csv, largest difference {worst:.1e}")


def main():
    arguments = training_arguments()
    mixture = json.loads((HERE / "mixture.json").read_text(encoding="utf-8"))
    folder = HERE / mixture["tokenizer"]
    tokenizer = AutoTokenizer.from_pretrained(folder if folder.is_dir() else mixture["tokenizer"])
    model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(HERE / "model"))
    stages = [
        sequences(mixture, stage, tokenizer).take(stage["steps"] * mixture["batch_sequences"]) for stage in mixture["stages"]
    ]
    trainer = Trainer(model=model, args=arguments, train_dataset=concatenate_datasets(stages))
    trainer.train(resume_from_checkpoint=get_last_checkpoint(arguments.output_dir) if Path(arguments.output_dir).is_dir() else None)
    trainer.save_state()
    trainer.save_model()
    if trainer.is_world_process_zero():
        compare_rates(trainer.state.log_history)


if __name__ == "__main__":
    main()
