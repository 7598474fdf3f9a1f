"""The normaliser: it keeps the group, renames letters as pymatgen's table says, and moves points where it claims."""

from __future__ import annotations

import numpy as np
import pytest

from dao_core.generate.symmetry.normalizer import find_on_position, normalizer, polar_axes, representatives
from dao_core.generate.symmetry.wyckoff_sites import operations, orbit
from dao_core.generate.symmetry.wyckoff_tables import wyckoff_positions
from dao_core.matching.fingerprint import equivalent_labellings

GROUPS = [1, 2, 5, 14, 19, 36, 43, 62, 69, 88, 99, 141, 146, 155, 167, 186, 194, 198, 216, 227]


@pytest.mark.parametrize("number", [g for g in GROUPS if g > 15])
def test_letters_are_renamed_as_in_pymatgens_table(number: int) -> None:
    ours = {tuple(sorted((old, new.letter) for old, new in e.letters.items())) for e in normalizer(number)}
    assert ours == {tuple(sorted(r.items())) for r in equivalent_labellings()[number]}


@pytest.mark.parametrize("number", GROUPS)
def test_an_element_brings_every_operation_onto_one_of_the_group(number: int) -> None:
    rotations, translations = operations(number)
    known = {tuple(r.ravel()): t for r, t in zip(rotations, translations, strict=True)}
    for element in normalizer(number):
        inverse = np.linalg.inv(element.rotation)
        for rotation, translation in zip(rotations, translations, strict=True):
            moved = np.rint(element.rotation @ rotation @ inverse).astype(int)
            shift = element.rotation @ translation + element.shift - moved @ element.shift
            away = shift - known[tuple(moved.ravel())]
            assert np.allclose(away, np.round(away), atol=1e-4)


@pytest.mark.parametrize("number", GROUPS)
def test_a_moved_point_lies_where_the_image_says(number: int) -> None:
    rng = np.random.default_rng(1)
    for element in normalizer(number)[:12]:
        for letter, image in element.letters.items():
            old, new = wyckoff_positions(number)[letter], wyckoff_positions(number)[image.letter]
            free = rng.random(old.n_free)
            moved = element.rotation @ (old.origin + old.directions @ free) + element.shift
            claimed = new.origin + new.directions @ (image.matrix @ free + image.shift)
            away = orbit(number, claimed) - moved
            assert np.abs(away - np.round(away)).max(1).min() < 1e-6


@pytest.mark.parametrize(
    ("number", "axes"), [(1, (0, 1, 2)), (4, (1,)), (8, (0, 2)), (36, (2,)), (186, (2,)), (62, ())]
)
def test_polar_axes(number: int, axes: tuple[int, ...]) -> None:
    assert polar_axes(number) == axes


def test_representatives_stay_in_the_orbit_and_on_the_position() -> None:
    for number, letter in ((62, "c"), (166, "h"), (225, "e"), (227, "g"), (12, "i")):
        position = wyckoff_positions(number)[letter]
        free = np.random.default_rng(2).random(position.n_free)
        atoms = orbit(number, position.origin + position.directions @ free)
        matrices, shifts = representatives(number, letter)
        assert len(matrices) > 1
        for other in matrices @ free + shifts:
            away = atoms - (position.origin + position.directions @ other)
            assert np.abs(away - np.round(away)).max(1).min() < 1e-6


def test_a_point_off_the_position_is_not_found() -> None:
    assert find_on_position(221, wyckoff_positions(221)["c"], np.array([0.1, 0.2, 0.3])) is None
