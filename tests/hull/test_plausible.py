from __future__ import annotations

import pytest

from dao_core.elements import MAX_ATOMIC_NUMBER, atomic_number
from dao_core.hull.plausible import bond_energy, lowest_formation_energy

# formation energies in eV/atom from enthalpies of formation at 298 K (CRC Handbook of Chemistry and Physics)
MEASURED = {
    ("Na", 1, "Cl", 1): -2.13,
    ("Mg", 1, "O", 1): -3.12,
    ("Al", 2, "O", 3): -3.47,
    ("Ca", 1, "F", 2): -4.24,
    ("La", 1, "F", 3): -4.40,
    ("Hf", 1, "O", 2): -3.95,
    ("Th", 1, "O", 2): -4.24,
    ("Si", 1, "O", 2): -3.15,
    ("S", 1, "F", 6): -1.81,
    ("Ga", 1, "As", 1): -0.37,
    ("Li", 1, "H", 1): -0.47,
    ("Pt", 1, "Al", 1): -1.04,
    ("W", 1, "F", 6): -2.55,
    ("Ti", 1, "N", 1): -1.75,
}


def counts(key: tuple) -> dict[int, int]:
    return {atomic_number(key[0]): key[1], atomic_number(key[2]): key[3]}


@pytest.mark.parametrize("key", MEASURED, ids=lambda k: "".join(map(str, k)))
def test_real_compounds_are_plausible_and_multiples_of_strong_ones_are_not(key: tuple) -> None:
    bound = lowest_formation_energy(counts(key))
    assert bound < MEASURED[key]
    if MEASURED[key] < -2.0:
        assert bound > 2 * MEASURED[key]


def test_bonds_of_rock_salt_by_hand() -> None:
    assert bond_energy({11: 1, 17: 1}) == pytest.approx((3.16 - 0.93) ** 2 / 2)
    assert bond_energy({20: 1, 9: 2}) == pytest.approx(2 * (3.98 - 1.00) ** 2 / 3)
    assert bond_energy({11: 2, 17: 2}) == bond_energy({11: 1, 17: 1})


def test_an_element_is_not_below_its_own_reference() -> None:
    assert lowest_formation_energy({11: 4}) == -0.1


def test_every_element_has_a_bound() -> None:
    for z in range(1, MAX_ATOMIC_NUMBER + 1):
        assert -6.0 < lowest_formation_energy({z: 1, 8 if z != 8 else 9: 1}) < -0.8
