from __future__ import annotations

import numpy as np
import pytest

from dao_core.crystal import Crystal
from dao_core.energy.potential import PotentialResult
from dao_core.hull.hull import Hull, HullEntry
from dao_core.hull.label import EnergyLabel, ForeignEnergyError
from dao_core.screening.pipeline import ScreenInputs, screen, symmetrize
from tests.helpers.candidates import candidate, cesium_chloride, perovskite, rattled, rocksalt


class Springs:
    """A potential whose energy per atom is a constant plus the mean square displacement from given positions."""

    identity = "test-potential"

    def __init__(self, home: Crystal, stiffness: float) -> None:
        self.home, self.stiffness = home, stiffness

    def compute(self, crystals):
        out = []
        for c in crystals:
            delta = c.frac_coords - self.home.frac_coords
            delta -= np.round(delta)
            energy = c.n_atoms * (-3.0 + self.stiffness * float(np.mean(np.sum((delta @ c.lattice) ** 2, axis=1))))
            out.append(PotentialResult(energy, np.zeros((c.n_atoms, 3)), np.zeros((3, 3))))
        return out


def test_counts_add_up_and_nothing_is_lost() -> None:
    items = [candidate(f"r{i}", rattled(rocksalt(), 0.01, i), -3.2 + 1e-4 * i) for i in range(4)]
    items += [candidate("c", cesium_chloride(), -3.1)]
    items += [candidate("x", rocksalt(length=9), -9.0, relaxation_status="rejected_volume")]
    done = screen(items)
    assert (done.n_asked, done.n_ok, done.n_failed, done.n_merged) == (6, 5, 1, 3)
    assert done.reasons == {"rejected_volume": 1}
    assert [(c.spacegroup_after, c.n_merged) for c in done.candidates[:2]] == [(225, 4), (221, 1)]
    assert sum(c.n_merged for c in done.candidates) == done.n_asked
    assert done.candidates[-1].id == "x"


def test_a_foreign_hull_stops_the_screening_at_once() -> None:
    hull = Hull.from_entries([HullEntry({11: 1}, -1.0, "na")], EnergyLabel("MP2020"))
    with pytest.raises(ForeignEnergyError):
        screen([candidate("a", rocksalt(), -3.0)], ScreenInputs(hull=hull))


def test_a_snap_is_confirmed_by_the_potential() -> None:
    item = candidate("a", rattled(perovskite(), 0.02), -2.999)
    cubic = symmetrize([item], [Springs(perovskite(), 1.0)])[0]
    assert cubic.spacegroup_after == 221
    assert cubic.energy_per_atom != item.energy_per_atom


def test_a_snap_that_costs_energy_is_undone() -> None:
    distorted = rattled(perovskite(), 0.02)
    item = candidate("a", distorted, -3.0)
    kept = symmetrize([item], [Springs(distorted, 100.0)])[0]
    assert kept.spacegroup_after == kept.spacegroup_before == 1
    assert kept.energy_per_atom == -3.0
    assert "undone" in kept.provenance["snap"]


def test_what_nobody_relaxed_keeps_its_own_cell_and_symmetry_is_filled_from_an_iterator() -> None:
    waiting = candidate("w", rattled(perovskite(), 0.02), None, relaxation_status="not_relaxed")
    found = symmetrize(iter([waiting, candidate("a", rattled(perovskite(), 0.02), -3.0)]), [Springs(perovskite(), 1.0)])
    assert found[0].crystal is waiting.crystal
    assert found[0].spacegroup_after == found[0].spacegroup_before == 1
    assert found[1].spacegroup_after == 221
