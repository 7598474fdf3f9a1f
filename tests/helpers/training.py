"""A training of seconds on random crystals."""

from __future__ import annotations

from pathlib import Path

import yaml

from dao_core.training.card import Provenance
from dao_core.training.config import TrainingConfig
from dao_core.training.fit_generator import GeneratorData, fit_generator
from dao_core.training.packed import PackedCrystals
from tests.helpers.networks import random_crystals

TINY = yaml.safe_load((Path(__file__).parents[2] / "configs" / "train-tiny.yaml").read_text())


def data() -> PackedCrystals:
    return PackedCrystals.from_crystals([c.niggli() for c in random_crystals(0, (2, 3, 4) * 8)])


def train(directory: Path, **changes: object) -> dict[str, object]:
    config = TrainingConfig(**{**TINY, **changes})
    return fit_generator(GeneratorData(data()), config, directory, Provenance({"name": "random"}, "# test"))
