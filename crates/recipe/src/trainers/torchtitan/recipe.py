"""What torchtitan 0.2.2 takes from Python alone: the model's shape, how its weights start, and the documents of its datasets.

Written by headwater, the same for every run. `experimental.custom_import` of config.toml names this module; the run's values are in
recipe.json beside it.
"""

import dataclasses
import json
from pathlib import Path

import torch
from datasets import concatenate_datasets, interleave_datasets, load_dataset
from torchtitan.hf_datasets import DatasetConfig
from torchtitan.hf_datasets.text_datasets import DATASETS
from torchtitan.models.llama3 import Transformer, TransformerModelArgs, get_train_spec
from torchtitan.models.llama3.model.args import RoPEScalingArgs
from torchtitan.models.utils import trunc_normal_
from torchtitan.protocols.train_spec import register_train_spec

RECIPE = json.loads(Path(__file__).with_name("recipe.json").read_text(encoding="utf-8"))


def arguments(dim, hidden_dim, **others):
    """Describes the model to torchtitan.

    torchtitan makes the feed-forward width of ffn_dim_multiplier * 8 / 3 * dim, rounded up to a multiple of multiple_of. The
    multiplier here leads to half the width wanted, so that rounding up gives the width itself.
    """
    return TransformerModelArgs(
        dim=dim,
        multiple_of=hidden_dim,
        ffn_dim_multiplier=hidden_dim / 2 / (8 * dim / 3),
        # 1 turns off the stretching of long wavelengths, which is on by default
        rope_scaling_args=RoPEScalingArgs(scaling_factor=1.0),
        **others,
    )


class Model(Transformer):
    """Llama whose matrices all start from a normal distribution of one width, cut off at three of it."""

    def init_weights(self, buffer_device: torch.device | None = None) -> None:
        """Fills the weights."""
        super().init_weights(buffer_device)
        std = RECIPE["init_std"]
        for weight in self.parameters():
            if weight.dim() == 2:
                trunc_normal_(weight, mean=0.0, std=std, a=-3 * std, b=3 * std)


def files(path):
    """A folder stands for the Parquet files below it."""
    return f"{path.rstrip('/')}/**/*.parquet" if path.endswith("/") or Path(path).is_dir() else path


def read(source):
    """Streams the texts of a source."""
    dataset = load_dataset("parquet", data_files=[files(path) for path in source["data_files"]], split="train", streaming=True)
    dataset = dataset.select_columns([source["text"]])
    return dataset if source["text"] == "text" else dataset.rename_column(source["text"], "text")


def documents(name):
    """Streams the documents of a part, shuffled in a buffer."""
    sources = next(part["sources"] for part in RECIPE["parts"] if part["name"] == name)
    dataset = concatenate_datasets([read(source) for source in sources])
    return dataset.shuffle(seed=RECIPE["seed"], buffer_size=RECIPE["shuffle_documents"])


def dataset(parts):
    """Describes the documents of a dataset to torchtitan, which tokenizes and packs them."""

    def load(_path):
        stream = interleave_datasets(
            [documents(part["name"]) for part in parts],
            probabilities=[part["probability"] for part in parts],
            seed=RECIPE["seed"],
            stopping_strategy="all_exhausted",
        )
        # torchtitan counts passes with set_epoch. Before datasets 5 that gives every pass the same order, unless the last step is a shuffle.
        return stream.shuffle(seed=RECIPE["seed"], buffer_size=1)

    return DatasetConfig(path="recipe.json", loader=load, sample_processor=lambda document: document["text"] or "")


DATASETS.update({entry["name"]: dataset(entry["parts"]) for entry in RECIPE["datasets"]})
register_train_spec(
    "headwater", dataclasses.replace(get_train_spec(), model_cls=Model, model_args={"recipe": arguments(**RECIPE["model"])})
)
