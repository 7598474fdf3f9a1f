"""Structures to degrees of freedom and back: exact, and the same for every way to write a structure."""

from __future__ import annotations

import numpy as np
import pytest

from dao_core.crystal import Crystal
from dao_core.generate.symmetry.description import (
    COORDINATE,
    CollapsedSitesError,
    degrees_of_freedom,
    describe,
    equivalent_descriptions,
    from_values,
    n_free_coordinates,
    to_crystal,
    values_of,
)
from dao_core.generate.symmetry.labels import Label, SymmetryLabelError, label_of, standard_cell
from dao_core.matching.pairs import match_pairs
from tests.helpers.structures import perovskite, reset
from tests.helpers.symmetric import VOLUMES, labels, random_structure, random_values


def described(crystal: Crystal) -> tuple[Label, np.ndarray]:
    cell = standard_cell(crystal)
    label = label_of(cell)
    return label, values_of(describe(cell, label), VOLUMES)


@pytest.mark.parametrize("label", labels(), ids=str)
def test_values_go_to_a_description_and_back(label: Label) -> None:
    values = random_values(label, 3)
    assert np.allclose(values_of(from_values(label, values, VOLUMES), VOLUMES), values)


@pytest.mark.parametrize("label", labels(), ids=str)
def test_a_structure_comes_back_from_its_degrees_of_freedom(label: Label) -> None:
    crystal = random_structure(label, 1)
    found, values = described(reset(crystal, 5))
    back = to_crystal(from_values(found, values, VOLUMES))
    comparison = match_pairs(predicted=[back], reference=[crystal])[0][0]
    assert comparison.rms is not None
    # where the tolerance of 0.1 angstrom sees a higher symmetry, atoms move by as much, in units of (V/N)^(1/3)
    assert comparison.rms < (1e-3 if found.spacegroup_number == label.spacegroup_number else 0.05)


@pytest.mark.parametrize("label", labels(), ids=str)
def test_the_description_does_not_depend_on_the_setting(label: Label) -> None:
    crystal = random_structure(label, 2)
    first, values = described(crystal)
    for seed in (1, 2):
        again, other = described(reset(crystal, seed))
        assert again == first
        away = values - other
        periodic = np.array([f.kind >= COORDINATE for f in degrees_of_freedom(first)])
        away[periodic] -= np.round(away[periodic])
        assert np.abs(away).max(initial=0.0) < 1e-4


@pytest.mark.parametrize("label", labels(), ids=str)
def test_equivalent_descriptions_are_the_same_structure_and_have_one_canonical_form(label: Label) -> None:
    crystal = random_structure(label, 4)
    cell = standard_cell(crystal)
    canonical = describe(cell, label_of(cell))
    others = equivalent_descriptions(canonical)
    made = [to_crystal(d) for d in others]
    assert all(
        c.rms is not None and c.rms < 1e-3 for c in match_pairs(predicted=made, reference=[crystal] * len(made))[0]
    )
    flat = [np.concatenate([d.lattice.ravel(), *d.free]).round(4) for d in others]
    assert len({tuple(row) for row in flat}) == len(others)
    for other in made[:4]:
        values = values_of(canonical, VOLUMES)
        away = values - described(other)[1]
        periodic = np.array([f.kind >= COORDINATE for f in degrees_of_freedom(canonical.label)])
        away[periodic] -= np.round(away[periodic])
        assert np.abs(away).max(initial=0.0) < 1e-4


def test_a_wurtzite_may_be_turned_over_and_start_on_either_atom() -> None:
    wurtzite = Crystal(
        [[3.8, 0, 0], [-1.9, 3.2909, 0], [0, 0, 6.2]],
        [[1 / 3, 2 / 3, 0], [2 / 3, 1 / 3, 0.5], [1 / 3, 2 / 3, 0.38], [2 / 3, 1 / 3, 0.88]], [30, 30, 16, 16],
    )  # fmt: skip
    cell = standard_cell(wurtzite)
    found = equivalent_descriptions(describe(cell, label_of(cell)))
    places = sorted(tuple(float(u[-1]) for u in d.free) for d in found)
    assert len(places) == len(set(places)) > 1


def test_no_freedom_but_the_volume_is_left_to_a_cubic_perovskite() -> None:
    label, values = described(perovskite())
    assert n_free_coordinates(label) == 0
    assert len(values) == 1
    assert np.exp(values[0]) * 5 * VOLUMES[0] == pytest.approx(3.9**3)


def test_the_number_of_freedoms_is_that_of_the_metric_and_the_sites() -> None:
    assert len(degrees_of_freedom(Label(62, (39, 26, 8), ("c", "b", "cd")))) == 3 + 2 + 2 + 3
    assert len(degrees_of_freedom(Label(2, (11,), ("i",)))) == 6 + 3


def test_an_orbit_on_a_more_special_site_is_refused() -> None:
    label = Label(225, (20, 9), ("a", "e"))
    with pytest.raises(CollapsedSitesError, match="1 atoms where e has 6"):
        to_crystal(from_values(label, [0.0, 0.0], VOLUMES))


def test_angles_that_fit_no_cell_are_refused() -> None:
    label = Label(1, (8,), ("a",))
    with pytest.raises(CollapsedSitesError, match="cosines"):
        from_values(label, [0.0, 0.0, 0.9, 0.9, -0.9, 0.5, 0.5, 0.5, 0.0], VOLUMES)


def test_another_structures_label_is_refused() -> None:
    with pytest.raises(SymmetryLabelError, match="no equivalent origin"):
        describe(standard_cell(perovskite()), Label(221, (38, 22, 8), ("a", "b", "d")))
