"""Trains with OLMo-core 3.0.0 by a config file: torchrun ... train.py config.yaml [KEY=VALUE...]

Written by headwater, the same for every run.
"""

import sys
from dataclasses import dataclass

from olmo_core.config import Config
from olmo_core.data.composable import ComposableDataLoaderConfig, InstanceSourceConfig
from olmo_core.nn.transformer import TransformerConfig
from olmo_core.train import TrainerConfig, prepare_training_environment, teardown_training_environment
from olmo_core.train.callbacks import ConfigSaverCallback
from olmo_core.train.train_module import TransformerTrainModuleConfig
from olmo_core.utils import seed_all


@dataclass
class Recipe(Config):
    """Everything a run needs."""

    model: TransformerConfig
    dataset: list[InstanceSourceConfig]
    data_loader: ComposableDataLoaderConfig
    train_module: TransformerTrainModuleConfig
    trainer: TrainerConfig
    init_seed: int


def main() -> None:
    """Trains by the config and the overrides that the command line names."""
    recipe = Recipe.from_file(sys.argv[1], overrides=sys.argv[2:])
    prepare_training_environment()
    seed_all(recipe.init_seed)
    train_module = recipe.train_module.build(recipe.model.build(init_device="meta"))
    sources = [source.build(recipe.data_loader.work_dir) for source in recipe.dataset]
    data_loader = recipe.data_loader.build(*sources, dp_process_group=train_module.dp_process_group)
    trainer = recipe.trainer.build(train_module, data_loader)
    for callback in trainer.callbacks.values():
        if isinstance(callback, ConfigSaverCallback):
            callback.config = recipe.as_config_dict()
    trainer.fit()
    teardown_training_environment()


if __name__ == "__main__":
    main()
