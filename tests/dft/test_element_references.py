"""Reference structures of the elements."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dao_core.crystal import crystal_from_symbols
from dao_core.dft.element_references import BOX_VACUUM, element_reference
from dao_core.dft.hull import element_energies
from dao_core.dft.session import Session
from dao_core.elements import SYMBOLS
from dao_core.screening.symmetry import spacegroup_number
from tests.helpers.fake_pw import silicon


@pytest.mark.parametrize(("element", "atoms"), [("Si", 2), ("Mg", 2), ("Na", 1), ("Ti", 2), ("Fe", 1), ("Sr", 1)])
def test_solids(element: str, atoms: int) -> None:
    reference = element_reference(element)
    assert reference is not None
    assert (reference.crystal.n_atoms, reference.molecule) == (atoms, False)


def test_every_element_has_a_reference_or_none_and_the_chains_are_trigonal() -> None:
    """ASE's table calls selenium and tellurium hcp without a place for their atoms."""
    for number in range(1, len(SYMBOLS)):
        reference = element_reference(SYMBOLS[number])
        assert reference is None or set(reference.crystal.symbols) == {SYMBOLS[number]}
    for element in ("Se", "Te"):
        reference = element_reference(element)
        assert reference is not None
        assert spacegroup_number(reference.crystal) in (152, 154)
        assert reference.crystal.n_atoms == 3


@pytest.mark.parametrize("element", ["H", "N", "O", "F", "Cl"])
def test_molecules_are_far_from_their_images(element: str) -> None:
    reference = element_reference(element)
    assert reference is not None
    assert reference.molecule
    bond = np.linalg.norm(reference.crystal.cart_coords[1] - reference.crystal.cart_coords[0])
    assert (np.diag(reference.crystal.lattice) - [0, 0, bond] >= BOX_VACUUM - 1e-9).all()
    assert len(set(np.diag(reference.crystal.lattice))) == 3


def test_given_structures_win_and_unknown_ones_are_none() -> None:
    given = element_reference("Mn", {"Mn": silicon()})
    assert given is not None
    assert given.crystal.n_atoms == 2
    assert element_reference("Mn") is None
    assert element_reference("Ga") is None


@pytest.mark.parametrize(("spin", "nspin", "sites"), [("auto", 2, [0.1667] * 2), ("none", None, [])])
def test_solid_oxygen_keeps_its_spin(session: Session, spin: str, nspin: int | None, sites: list[float]) -> None:
    """Without it pw.x puts O2 0.46 eV/atom too high, and every oxide's formation energy too low."""
    solid = crystal_from_symbols(np.diag([3.2, 3.4, 4.2]), ["O", "O"], np.array([[0, 0, 0], [0, 0, 0.29]]))
    run = replace(session, settings=session.settings.model_copy(update={"spin": spin}))
    element_energies(run, "label", solid, {"O": solid})
    assert [s.name for s in run.stages] == ["element O, vc-relax", "element O, scf"]
    for stage in run.stages:
        written = json.loads((Path(stage.directory) / "round_1" / "input.json").read_text())
        assert (written["namelists"]["system"].get("nspin"), written["site_magnetisation"]) == (nspin, sites)
