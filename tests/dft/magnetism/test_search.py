"""Which ordering is lowest when each cell has a mesh of its own."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from ase.build import bulk

from dao_core.crystal import Crystal
from dao_core.dft.magnetism.search import search_orderings
from dao_core.dft.settings import DftSettings

PER_FLIP = -0.005  # eV/atom that the antiferromagnetic order is lower
OF_MESH = 0.012  # eV/atom that the mesh of the larger cell is too high


class Magnet:
    """A session whose SCF has an exact energy, an error of the mesh of its cell, and moments that stay."""

    def __init__(self, per_flip: float = PER_FLIP, twin_collapses: bool = False) -> None:
        self.settings = DftSettings(max_orderings=2)
        self.per_flip, self.twin_collapses = per_flip, twin_collapses
        self.names: list[str] = []

    def build(self, crystal: Crystal, _calculation: str, moments: Sequence[float]) -> tuple[Crystal, np.ndarray]:
        return crystal, np.array(moments)

    def do(self, name: str, pw_input: tuple[Crystal, np.ndarray]) -> Any:
        crystal, moments = pw_input
        self.names.append(name)
        if self.twin_collapses and "in the cell" in name:
            moments = 0.0 * moments
        flipped = abs(moments.sum()) < 1e-6 and moments.any()
        energy = -100.0 + self.per_flip * flipped + OF_MESH * (crystal.n_atoms > 1)
        return SimpleNamespace(
            ok=True, energy=energy * crystal.n_atoms, message="", site_moments=tuple(moments),
            total_magnetization=float(moments.sum()), absolute_magnetization=float(abs(moments).sum()),
        )  # fmt: skip


@pytest.fixture
def chromium() -> Crystal:
    return Crystal.from_ase(bulk("Cr", "bcc", a=2.885))


def test_an_antiferromagnet_of_many_sites_is_found(chromium: Crystal) -> None:
    large = Crystal.from_pymatgen(chromium.to_pymatgen() * (4, 2, 2))
    found = search_orderings(Magnet(per_flip=-0.3), large)  # type: ignore[arg-type]
    assert found.lowest is not None
    assert found.lowest.kind == "antiferromagnetic"
    assert "of 16 magnetic sites only" in found.note
    silicon = Crystal.from_ase(bulk("Si"))
    assert search_orderings(Magnet(), silicon).note == ""  # type: ignore[arg-type]


def test_a_ferromagnet_that_is_asked_for_says_nothing_of_other_orderings(chromium: Crystal) -> None:
    magnet: Any = Magnet()
    magnet.settings = DftSettings(orderings="ferromagnetic")
    large = Crystal.from_pymatgen(chromium.to_pymatgen() * (4, 2, 2))
    found = search_orderings(magnet, large)
    assert [r.kind for r in found.results] == ["ferromagnetic"]
    assert "only orderings with one propagation vector" not in found.note


def test_the_mesh_of_a_larger_cell_does_not_decide(chromium: Crystal) -> None:
    magnet: Any = Magnet()
    search = search_orderings(magnet, chromium)
    assert search.lowest is not None
    assert search.lowest.kind == "antiferromagnetic"
    ferro, antiferro = (r.energy_per_atom for r in search.results)
    assert antiferro - ferro == pytest.approx(PER_FLIP)  # type: ignore[operator]
    assert search.energy_per_atom == pytest.approx(-100.0 + PER_FLIP + OF_MESH)  # on its own mesh, as it goes on
    assert len(magnet.names) == 3


def test_orderings_far_apart_need_no_further_run(chromium: Crystal) -> None:
    magnet: Any = Magnet(per_flip=-0.3)
    assert search_orderings(magnet, chromium).lowest.kind == "antiferromagnetic"  # type: ignore[union-attr]
    assert len(magnet.names) == 2


def test_another_state_of_the_ferromagnet_is_no_measure_of_the_mesh(chromium: Crystal) -> None:
    magnet: Any = Magnet(twin_collapses=True)
    search = search_orderings(magnet, chromium)
    assert search.lowest.kind == "ferromagnetic"  # type: ignore[union-attr]
    assert search.results[1].energy_per_atom == pytest.approx(-100.0 + PER_FLIP + OF_MESH)
