"""A small random batch of crystals, in double precision so that invariances can be tested to rounding."""

from __future__ import annotations

import pytest
import torch

from dao_core.crystal import CrystalBatch
from tests.helpers.networks import random_crystals


@pytest.fixture
def batch() -> CrystalBatch:
    return CrystalBatch.from_crystals(random_crystals(), dtype=torch.float64)
