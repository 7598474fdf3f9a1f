"""Structures from symmetry: what is asked for comes out, and every refusal says why."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dao_core.generate.symmetry.checkpoint import load_symmetry, save_symmetry
from dao_core.generate.symmetry.generator import COLLAPSED, OVERLAP, SymmetryGenerator, closest_ratio
from dao_core.matching.fingerprint import symmetry_of
from dao_core.models.checkpoint_io import CheckpointError
from tests.helpers.structures import rocksalt
from tests.helpers.symmetric import VOLUMES, labels, tiny_model

PEROVSKITE = {"Sr": 1, "Ti": 1, "O": 3}


def test_proposals_have_the_composition_and_are_ordered() -> None:
    found = SymmetryGenerator(tiny_model()).propose(PEROVSKITE, 10)
    assert 0 < len(found.items) <= 10
    scores = [p.log_probability for p in found.items]
    assert scores == sorted(scores, reverse=True)
    for proposal in found.items:
        assert proposal.crystal.composition == {"O": 3, "Sr": 1, "Ti": 1}
        assert proposal.log_probability <= proposal.log_label + 1e-6
        assert dict(zip(proposal.label.elements, proposal.label.counts, strict=True)) == {38: 1, 22: 1, 8: 3}


def test_none_are_proposed_where_none_are_asked_for() -> None:
    assert SymmetryGenerator(tiny_model()).propose(PEROVSKITE, 0).items == []


def test_a_given_space_group_is_kept() -> None:
    """The symmetry search finds it, or a group of higher order where coordinates happen to be special."""
    found = SymmetryGenerator(tiny_model()).propose(PEROVSKITE, 10, spacegroup=123)
    assert {p.label.spacegroup_number for p in found.items} == {123}
    assert {symmetry_of(p.crystal)[0] for p in found.items} <= {123, 221}


def test_the_same_seed_draws_the_same_labels() -> None:
    generator = SymmetryGenerator(tiny_model())
    first, again, other = (generator.propose(PEROVSKITE, 5, seed=seed) for seed in (1, 1, 2))
    assert [str(p.label) for p in first.items] == [str(p.label) for p in again.items]
    assert [str(p.label) for p in first.items] != [str(p.label) for p in other.items]


@pytest.mark.parametrize(
    ("composition", "spacegroup", "reason"),
    [
        ({"Sr": 1, "Fm": 1}, None, "never saw Fm"),
        (PEROVSKITE, 62, "sites of space group 62 don't add up to Sr1Ti1O3"),
        ({"O": 80}, None, "up to 64 atoms"),
        (PEROVSKITE, 231, "space group 231: numbers go from 1 to 230"),
        (PEROVSKITE, 0, "space group 0: numbers go from 1 to 230"),
        ({}, None, "at least one atom of each element"),
        ({"Na": 1, "Cl": -1}, None, "at least one atom of each element"),
    ],
)
def test_what_cannot_be_proposed_says_why(composition: dict[str, int], spacegroup: int | None, reason: str) -> None:
    found = SymmetryGenerator(tiny_model()).propose(composition, 5, spacegroup)
    assert found.items == []
    assert any(reason in r for r in found.refused)


def test_overlapping_atoms_are_refused_and_counted() -> None:
    model = tiny_model(closest=1e6)
    found = SymmetryGenerator(model).propose(PEROVSKITE, 5)
    assert found.items == []
    assert set(found.refused) <= {OVERLAP, COLLAPSED}
    assert found.refused[OVERLAP] > 0


def test_many_compositions_at_once_are_those_of_each_alone() -> None:
    generator = SymmetryGenerator(tiny_model())
    cells = [PEROVSKITE, {"Fm": 1}, {"Na": 1, "Cl": 1}]
    for cell, found in zip(cells, generator.propose_many(cells, 3), strict=True):
        alone = generator.propose(cell, 3)
        assert [str(p.label) for p in alone.items] == [str(p.label) for p in found.items]
        assert alone.refused == found.refused


def test_the_closest_distance_counts_periodic_images() -> None:
    crystal = rocksalt(length=5.64)
    radius = (3 * VOLUMES[0] / (4 * np.pi)) ** (1 / 3)
    assert closest_ratio(crystal, VOLUMES) == pytest.approx(2.82 / (2 * radius))
    alone = crystal.replace(frac_coords=crystal.frac_coords[:1], atomic_numbers=crystal.atomic_numbers[:1])
    assert closest_ratio(alone, VOLUMES) == pytest.approx(5.64 / np.sqrt(2) / (2 * radius))


def test_a_checkpoint_gives_the_same_proposals(tmp_path: Path) -> None:
    model = tiny_model(3, networks=2)
    for network in (*model.labels, *model.fills):
        network.half().float()  # what the file keeps: otherwise near ties change places
    save_symmetry(tmp_path / "symmetry", model, {}, "A card.")
    again = SymmetryGenerator(load_symmetry(tmp_path / "symmetry"))
    first, second = (g.propose(PEROVSKITE, 4) for g in (SymmetryGenerator(model), again))
    assert [str(p.label) for p in first.items] == [str(p.label) for p in second.items]
    assert np.allclose([p.log_probability for p in first.items], [p.log_probability for p in second.items], atol=0.02)
    assert again.identity.startswith("dao-symmetry-")


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    model = tiny_model()
    path = save_symmetry(tmp_path / "symmetry", model, {}, "A card.")
    weights = path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-8])
    with pytest.raises(CheckpointError, match="damaged"):
        load_symmetry(path)


def test_labels_of_the_helpers_have_distinct_groups() -> None:
    assert len({x.spacegroup_number for x in labels()}) == len(labels())
