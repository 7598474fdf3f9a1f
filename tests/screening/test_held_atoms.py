"""Relaxations that keep given atoms: they stay, and the energy is that of the structure as it is written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dao_core.crystal import Crystal
from dao_core.energy.relaxation.settings import RelaxSettings
from dao_core.screening.given import GivenStructure
from dao_core.screening.held_atoms import relax_held
from dao_core.screening.relaxing import Relaxer, single_points
from dao_core.screening.settings import SearchSettings
from dao_core.screening.symmetry import spacegroup_number
from tests.helpers.candidates import candidate
from tests.helpers.potentials import emt

RELAX = RelaxSettings(max_steps=20)


def alloy(u: float = 0.33) -> Crystal:
    """Gold and copper as titanium and oxygen are in rutile: the four copper atoms are equivalent."""
    coppers = [[u, u, 0], [1 - u, 1 - u, 0], [0.5 + u, 0.5 - u, 0.5], [0.5 - u, 0.5 + u, 0.5]]
    sites = np.array([[0, 0, 0], [0.5, 0.5, 0.5], *coppers])
    return Crystal(np.diag([5.2, 5.2, 3.2]), sites, np.array([79, 79, 29, 29, 29, 29]))


@pytest.mark.parametrize("n_held", [2, 3])
def test_held_atoms_stay_and_the_energy_is_that_of_what_is_written(n_held: int, tmp_path: Path) -> None:
    start = alloy()
    held = start.replace(frac_coords=start.frac_coords[:n_held], atomic_numbers=start.atomic_numbers[:n_held])
    path = tmp_path / "held.cif"
    path.write_text(held.to_cif())
    settings = SearchSettings(relax=RELAX, given=GivenStructure(framework=path))
    item = candidate("x", start, None, relaxation_status="not_relaxed", origin="de novo")
    (end,) = Relaxer(emt(), settings).first([item])
    assert end.relaxed
    assert np.abs(end.crystal.frac_coords - start.frac_coords).max() > 0.01
    np.testing.assert_allclose(end.crystal.frac_coords[:n_held], held.frac_coords, atol=1e-6)
    assert end.energy_per_atom == pytest.approx(single_points([end.crystal], emt())[0], abs=1e-6)


def test_symmetry_is_kept_where_it_leaves_the_held_atoms_among_themselves() -> None:
    """Both in one batch: one crystal's held atoms are whole orbits, the other's are a part of one."""
    kept = RELAX.model_copy(update={"keep_symmetry": True, "relax_cell": False})
    whole = alloy()
    part = whole.replace(
        frac_coords=whole.frac_coords[[2, 0, 1, 3, 4, 5]], atomic_numbers=whole.atomic_numbers[[2, 0, 1, 3, 4, 5]]
    )
    first, second = relax_held([part, whole], emt(), kept, 2)
    assert first.initial is part
    assert second.initial is whole
    assert spacegroup_number(second.crystal) == 136
    np.testing.assert_allclose(second.crystal.frac_coords[:2], whole.frac_coords[:2], atol=1e-12)
    assert spacegroup_number(first.crystal) < 136
    np.testing.assert_allclose(first.crystal.frac_coords[:2], part.frac_coords[:2], atol=1e-12)


def test_a_relaxation_around_held_atoms_can_be_broken_off() -> None:
    (result,) = relax_held([alloy()], emt(), RELAX, 2, lambda: True)
    assert result.status == "time_up"
