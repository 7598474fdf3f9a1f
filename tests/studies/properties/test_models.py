"""The models of the study on a property that the composition decides: each learns it, none reads the test's labels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from dao_core.models.config import LocalConfig
from dao_core.studies.properties.models import Fitted, Folds, features_of, fit_cgcnn, fit_dao, fit_trees
from dao_core.training.packed import PackedCrystals
from dao_core.training.property_config import PropertySettings
from tests.helpers.networks import random_crystals

SETTINGS = PropertySettings(
    column="x", start=None, model=LocalConfig(width=16, n_blocks=1, n_radial=6), batch_size=8, max_epochs=12,
    head_learning_rate=1e-2,
)  # fmt: skip
FITS: dict[str, Callable[[Folds], Fitted]] = {
    "dao": lambda f: fit_dao(f, SETTINGS),
    "cgcnn": lambda f: fit_cgcnn(f, SETTINGS),
    "trees": lambda f: fit_trees(f, "none", 0),
}


def rows(seed: int, n: int, *, blank: bool = False) -> PackedCrystals:
    crystals = [c.niggli() for c in random_crystals(seed, (2, 3, 4) * (n // 3))]
    values = [float(c.atomic_numbers.mean()) for c in crystals]
    return PackedCrystals.from_crystals(crystals, value=[0.0] * len(values) if blank else values)


@pytest.mark.parametrize("name", FITS)
def test_it_learns_and_does_not_see_the_test_labels(name: str) -> None:
    train, validation, test = rows(0, 90), rows(1, 30), rows(2, 30)
    truth = test.labels["value"]
    fitted = FITS[name](Folds(train, validation, test))
    constant = np.abs(truth - train.labels["value"].mean()).mean()
    assert np.abs(fitted.predicted - truth).mean() < 0.8 * constant
    blank = FITS[name](Folds(train, validation, rows(2, 30, blank=True)))
    np.testing.assert_allclose(blank.predicted, fitted.predicted, rtol=1e-5)


def test_features_of_packed_rows_are_those_of_their_compositions() -> None:
    data = rows(0, 6)
    alone = np.concatenate([features_of(data.take(np.array([i]))) for i in range(len(data))])
    np.testing.assert_array_equal(features_of(data), alone)
