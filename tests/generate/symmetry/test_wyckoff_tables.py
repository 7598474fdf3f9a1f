"""All 1,731 Wyckoff positions against pymatgen's tables and moyopy's symmetry search."""

from __future__ import annotations

import gzip
import json
from importlib.util import find_spec
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from pymatgen.symmetry.groups import SpaceGroup

from dao_core.generate.symmetry.wyckoff_sites import orbit
from dao_core.generate.symmetry.wyckoff_tables import (
    LETTERS,
    conventional_cell,
    multiplicities,
    point_group_order,
    position_ids,
    reachable,
    repeatable,
    wyckoff_positions,
)
from tests.helpers.symmetric import labels, random_structure


def pymatgen_table(name: str) -> dict[str, dict[str, int]]:
    spec = find_spec("pymatgen.analysis.prototypes")
    assert spec is not None
    assert spec.origin is not None
    path = Path(spec.origin).with_name(f"wyckoff-position-{name}.json.gz")
    return json.loads(gzip.decompress(path.read_bytes()))


def test_letters_multiplicities_and_free_coordinates_are_pymatgens() -> None:
    sizes, free = pymatgen_table("multiplicities"), pymatgen_table("params")
    for number in range(1, 231):
        centring = round(abs(np.linalg.det(conventional_cell(number))))
        ours = wyckoff_positions(number)
        assert {x: w.multiplicity * centring for x, w in ours.items()} == sizes[str(number)]
        assert {x: w.n_free for x, w in ours.items()} == free[str(number)]


def test_points_of_a_position_have_an_orbit_of_its_size() -> None:
    rng = np.random.default_rng(0)
    for number in range(1, 231):
        for position in wyckoff_positions(number).values():
            point = position.origin + position.directions @ rng.random(position.n_free)
            assert len(orbit(number, point)) == position.multiplicity
            moved = position.origin + position.directions @ (rng.random(position.n_free) + 1.0)
            assert np.allclose(position.normal @ (moved - position.origin), 0.0)


@pytest.mark.parametrize("label", labels(), ids=str)
def test_the_conventional_cell_is_moyopys(label: object) -> None:
    """moyopy finds the space group of a structure made from our tables, and our centring leads to its standard cell."""
    from moyopy import Cell, MoyoDataset

    crystal = random_structure(label)  # type: ignore[arg-type]
    cell = Cell(crystal.lattice.tolist(), crystal.frac_coords.tolist(), crystal.atomic_numbers.tolist())
    found = MoyoDataset(cell, symprec=1e-3)
    ratio = np.array(found.std_cell.basis) @ np.linalg.inv(np.array(found.prim_std_cell.basis))
    assert np.allclose(ratio, conventional_cell(found.number), atol=1e-6)


def test_reachable_counts_are_those_of_brute_force() -> None:
    for number, start in product((47, 123, 216, 14), (0, 1, 3)):
        sizes, free = multiplicities()[number], repeatable()[number]
        sums = {0}
        for letter in range(start, len(LETTERS)):
            if sizes[letter] > 24:
                continue
            times = range(24 // sizes[letter] + 1) if free[letter] else (0, 1)
            sums = {s + k * int(sizes[letter]) for s in sums for k in times if s + k * sizes[letter] <= 24}
        assert set(np.flatnonzero(reachable()[number, start, :25]).tolist()) == sums


def test_every_position_has_its_own_number() -> None:
    ids = position_ids()[multiplicities() < 999]
    assert len(set(ids.tolist())) == len(ids) == 1731


@pytest.mark.parametrize("number", range(1, 231, 7))
def test_the_order_of_the_point_group_is_that_of_pymatgens_operations(number: int) -> None:
    rotations = {tuple(np.round(op.rotation_matrix).ravel()) for op in SpaceGroup.from_int_number(number).symmetry_ops}
    assert point_group_order(number) == len(rotations)
