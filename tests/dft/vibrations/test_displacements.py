"""Finite displacements through the fake pw.x: what is computed, in which cells, with which spins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dao_core.crystal import Crystal
from dao_core.dft.session import Session, StageFailedError
from dao_core.dft.vibrations.displacements import displaced_input, displaced_phonons, supercell_sizes


def test_every_displacement_is_a_stage_that_is_kept(session: Session, plan: Callable[..., Path], si: Crystal) -> None:
    pw_input = session.build(si, "scf")
    result = displaced_phonons(session, pw_input)
    assert result["n_displacements"] == 1  # diamond: one atom, one direction
    assert [s.name for s in session.stages] == ["displacement 1 of 1"]
    assert np.allclose(result["gamma"], 0.0)  # the fake has no forces
    assert np.shape(result["frequencies"]) == (len(result["distances"]), 6)
    count = Path(f"{plan()}.count")
    assert displaced_phonons(session, pw_input)["frequencies"] == result["frequencies"]
    assert not count.exists()


def test_a_failed_displacement_is_named(session: Session, plan: Callable[..., Path], si: Crystal) -> None:
    plan("crashed")
    with pytest.raises(StageFailedError, match="readpp") as caught:
        displaced_phonons(session, session.build(si, "scf"))
    assert caught.value.stage == "displacement 1 of 1"


def test_spins_and_u_go_into_the_supercell(session: Session, nio: Crystal) -> None:
    pw_input = replace(session.build(nio, "scf", (2.0, 0.0)), hubbard={"Ni": 6.2})
    double = nio.replace(
        lattice=np.diag([2, 1, 1]) @ nio.lattice,
        frac_coords=np.concatenate([nio.frac_coords * [0.5, 1, 1], nio.frac_coords * [0.5, 1, 1] + [0.5, 0, 0]]),
        atomic_numbers=np.tile(nio.atomic_numbers, 2),
    )
    new = displaced_input(pw_input, double, [0, 1, 0, 1])
    assert new.site_magnetisation == pw_input.site_magnetisation * 2
    assert new.hubbard == {"Ni": 6.2}
    assert new.kpoints[0] == -(-pw_input.kpoints[0] // 2)
    assert new.kpoints[1:] == pw_input.kpoints[1:]
    # a magnet with a gap that a repair gave fixed occupations: the moment of two cells is twice that of one
    fixed = pw_input.with_values("system", tot_magnetization=2.0, nbnd=12)
    doubled = displaced_input(fixed, double, [0, 1, 0, 1])
    assert (doubled.get("system", "tot_magnetization"), doubled.get("system", "nbnd")) == (4.0, 24)
    assert new.get("system", "tot_magnetization") is None


def test_supercell_is_thick_enough_or_says_so(si: Crystal) -> None:
    sizes, note = supercell_sizes(si, 6.0)
    assert (sizes, note) == ([2, 2, 2], "")
    sizes, note = supercell_sizes(si, 30.0)
    assert 2 * np.prod(sizes) <= 64
    assert "at most 64 atoms" in note
