"""The phases are the crystals that their names say: space groups by spglib, coordination by distances."""

from __future__ import annotations

import numpy as np
import pytest
import spglib

from dao_core.evaluate.validity import min_distance
from dao_core.studies.pressure.phases import TRANSITIONS, lah10, lanthanum_framework, phase

GROUPS = {"diamond": 227, "beta-tin": 141, "B1": 225, "B2": 221, "B4": 186, "calcite": 167, "aragonite": 62,
          "perovskite": 62, "post-perovskite": 63}  # fmt: skip
NEAREST = {"Si": (2.2, 2.6), "NaCl": (2.7, 3.0), "ZnO": (1.9, 2.2), "CaO": (2.3, 2.6), "GaN": (1.9, 2.2),
           "MgSiO3": (1.6, 1.85), "CaCO3": (1.25, 1.33)}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "which"), [(n, w) for n, t in TRANSITIONS.items() for w in (t.below, t.above)]
)  # fmt: skip
def test_a_phase_has_its_space_group_and_sound_distances(name: str, which: str) -> None:
    crystal = phase(name, which)
    cell = (crystal.lattice, crystal.frac_coords, crystal.atomic_numbers)
    assert spglib.get_symmetry_dataset(cell, symprec=1e-3).number == GROUPS[which]
    assert crystal.formula_reduced == name
    low, high = NEAREST[name]
    assert low <= min_distance(crystal) <= high


def test_the_high_pressure_phase_is_denser() -> None:
    for name, t in TRANSITIONS.items():
        volumes = [phase(name, w).volume / phase(name, w).n_atoms for w in (t.below, t.above)]
        assert volumes[1] < volumes[0], name


def test_lah10_is_a_cage_around_the_framework_s_lanthanum() -> None:
    crystal, frame = lah10(5.1), lanthanum_framework(5.1)
    assert crystal.composition == {"H": 10, "La": 1}
    assert crystal.volume == pytest.approx(frame.volume)
    cell = (crystal.lattice, crystal.frac_coords, crystal.atomic_numbers)
    assert spglib.get_symmetry_dataset(cell, symprec=1e-3).number == 225
    structure = crystal.to_pymatgen()
    lanthanum = next(site for site in structure if site.specie.symbol == "La")
    shell = [s for s in structure.get_neighbors(lanthanum, 2.5) if s.specie.symbol == "H"]
    assert len(shell) == 32
    assert 0.9 < min_distance(crystal) < 1.3
    assert np.linalg.det(frame.lattice) > 0
