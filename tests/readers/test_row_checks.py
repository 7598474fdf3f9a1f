"""Columns of a row that hold another structure, and units that are not the angstrom."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dao_core.readers.base import UnreadableError
from dao_core.readers.plain_rows import StructureColumns, arrays_and_notes, wrong_proportions
from dao_core.readers.row_checks import check_energy_units, check_length_units

PLAIN: dict[str, Any] = {
    "lattice": [[4, 0, 0], [0, 4, 0], [0, 0, 4]], "frac_coords": [[0, 0, 0], [0.5, 0.5, 0.5]],
    "atomic_numbers": [19, 35],
}  # fmt: skip


@pytest.mark.parametrize(
    "extra",
    [
        {"coords": [[0, 0, 0], [2, 2, 2]]},
        {"coords": [[0, 0, 0], [-2, 2.01, 6]]},  # the same atom in another cell, rounded
        {"coords": [[0, 0, 0], [0.5, 0.5, 0.5]]},  # fractions again
        {"positions": "somewhere", "coords": [], "cart_coords": None},
        {"species": ["K", "Br"], "elements": ["Br", "K"]},
        {"elements": "Br-K"},
        {"charge": 0, "units": "angstrom"},
        {"pbc": [True, True, True]},
        {"pbc": None, "PBC": " "},
    ],
)
def test_columns_that_agree_or_cannot_be_compared(extra: dict[str, Any]) -> None:
    (_, frac, numbers), notes = arrays_and_notes({**PLAIN, **extra}, StructureColumns())
    assert (len(frac), numbers.tolist(), notes) == (2, [19, 35], ())


@pytest.mark.parametrize(
    ("extra", "match"),
    [
        ({"coords": [[0, 0, 0], [2, 2, 3]]}, "two sets of positions"),
        ({"cart_coords": [[0, 0, 0]]}, "1 positions, frac_coords 2"),
        ({"species": ["Na", "Br"]}, "names other elements"),
        ({"elements": ["Na", "Br"]}, "names other elements"),
        ({"units": "bohr"}, "in angstrom"),
        ({"length_unit": "nm"}, "in angstrom"),
        ({"pbc": [True, True, False]}, "pbc='T T F': not periodic in three directions"),
        ({"PBC": "F F F"}, "not periodic in three directions"),
        ({"pbc": np.zeros(3, dtype=bool)}, "not periodic in three directions"),
        ({"pbc": "xy"}, "no three flags"),
    ],
)
def test_columns_that_contradict_each_other(extra: dict[str, Any], match: str) -> None:
    with pytest.raises(UnreadableError, match=match):
        arrays_and_notes({**PLAIN, **extra}, StructureColumns())


@pytest.mark.parametrize(
    ("name", "value", "good"),
    [
        ("units", "Bohr", False), ("unit", "a.u.", False), ("Lattice_unit", "atomic", False), ("pos_unit", "nm", False),
        ("units", "metal", True), ("units", "eV/Ang", True), ("units", "Angstrom", True), ("energy_unit", "au", True),
        ("config", "bohr", True), ("units", True, True),
    ],
)  # fmt: skip
def test_units_of_length(name: str, value: object, good: bool) -> None:
    if good:
        check_length_units({name: value})
    else:
        with pytest.raises(UnreadableError, match="lengths are read in angstrom"):
            check_length_units({name: value})


@pytest.mark.parametrize(
    ("name", "value", "good"),
    [
        ("energy_unit", "Hartree", False), ("energy_units", "kcal/mol", False), ("REF_forces_unit", "Ry/bohr", False),
        ("stress_unit", "GPa", False), ("energy_unit", "meV", False), ("energy_unit", "eV", True),
        ("energy_unit", "eV/atom", True), ("forces_unit", "eV/Angstrom", True), ("stress_unit", "eV/A^3", True),
        ("stress_unit", "eV/Ang**3", True), ("units", "GPa", True), ("energy_unit", 7, True),
    ],
)  # fmt: skip
def test_units_of_energy(name: str, value: object, good: bool) -> None:
    if good:
        check_energy_units({name: value})
    else:
        with pytest.raises(UnreadableError, match="energies are read in eV"):
            check_energy_units({name: value})


def test_a_charge_and_deuterium_are_noted() -> None:
    row = {**PLAIN, "atomic_numbers": None, "species": ["K", "D"], "charge": -1}
    notes = arrays_and_notes(row, StructureColumns())[1]
    assert notes == ("D is read as H", "charge -1 left aside: crystals are neutral here")


def test_proportions_of_a_formula() -> None:
    assert not wrong_proportions({"K": 1, "Br": 1}, ["K", "Br", "Br", "K"])
    assert not wrong_proportions({"H": 2, "O": 1}, ["D", "D", "O"])
    assert wrong_proportions({"K": 1, "Br": 2}, ["K", "Br"])
    assert wrong_proportions({"K": 1}, ["K", "Br"])
