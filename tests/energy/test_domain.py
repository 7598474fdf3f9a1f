"""The trained domain: what is like the training set lies inside; denser, sparser, closer or lonelier doesn't."""

from __future__ import annotations

import json

import numpy as np
import pytest

from dao_core.crystal import Crystal
from dao_core.energy.domain import TrainedDomain
from tests.helpers.benchmark_targets import rocksalt

VOLUMES = np.full(101, 20.0)


@pytest.fixture(scope="module")
def domain() -> TrainedDomain:
    """Rock salts of five sizes around 5.2 angstrom."""
    return TrainedDomain.fit([rocksalt(11, 17, a) for a in (4.8, 5.0, 5.2, 5.6, 5.8)], VOLUMES)


def test_the_training_set_lies_inside_but_for_its_rarest(domain: TrainedDomain) -> None:
    assert [domain.outside(rocksalt(11, 17, a)) for a in (5.0, 5.2, 5.6)] == [None, None, None]
    assert TrainedDomain.from_state(json.loads(json.dumps(domain.state()))) == domain


def test_each_limit_is_named(domain: TrainedDomain) -> None:
    assert "of the usual density" in str(domain.outside(rocksalt(11, 17, 3.0)))
    assert "of the usual density" in str(domain.outside(rocksalt(11, 17, 9.0)))
    assert domain.outside(rocksalt(26, 17, 5.2)) == "no training data with Fe"
    lattice, numbers = np.diag([5.2, 5.2, 5.2]), np.array([11, 17, 11, 17, 11, 17, 11, 17])
    grid = np.array([[0, 0, 0], [0.5, 0, 0], [0.5, 0.5, 0], [0, 0.5, 0], [0, 0.5, 0.5], [0, 0, 0.5], [0.5, 0, 0.5],
                     [0.5, 0.5, 0.5]])  # fmt: skip
    close = grid.copy()
    close[1, 0] = 0.2
    assert "of their bond length" in str(domain.outside(Crystal(lattice, close, numbers)))
    alone = np.concatenate([grid[:4], [[0.25, 0.25, 0.5]]])
    tall = Crystal(np.diag([5.2, 5.2, 10.0]), alone, np.array([11, 17, 11, 17, 11]))
    assert "no neighbour" in str(TrainedDomain((11, 17), domain.volumes, (0.1, 9.0), 0.1, 1.2).outside(tall))


def test_what_lies_in_one_of_two_domains_lies_in_both_joined(domain: TrainedDomain) -> None:
    dense = TrainedDomain.fit([rocksalt(3, 9, a) for a in (3.4, 3.5, 3.6)], VOLUMES)
    for joined in (domain.joined(dense), dense.joined(domain)):
        assert joined.elements == (3, 9, 11, 17)
        assert joined.outside(rocksalt(11, 17, 5.2)) is None
        assert joined.outside(rocksalt(3, 9, 3.5)) is None
        assert "of the usual density" in str(joined.outside(rocksalt(3, 9, 2.8)))


def test_the_choice_of_cell_changes_nothing(domain: TrainedDomain) -> None:
    crystal = rocksalt(11, 17, 4.6)
    double = Crystal.from_pymatgen(crystal.to_pymatgen() * (2, 1, 1))
    skewed = crystal.to_pymatgen()
    skewed.make_supercell([[1, 3, 0], [0, 1, 0], [0, 0, 1]])
    reasons = {domain.outside(c) for c in (crystal, double, Crystal.from_pymatgen(skewed))}
    assert len(reasons) == 1
    assert None not in reasons
