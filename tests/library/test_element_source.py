from __future__ import annotations

import numpy as np
import pytest
import spglib
from ase.data import reference_states

from dao_core.elements import atomic_number
from dao_core.library.element_source import (
    BODY_CENTRED,
    FACE_CENTRED,
    HEXAGONAL,
    ElementSource,
)
from dao_core.library.folder import Library
from dao_core.library.known import known_structures

GROUPS = {"fcc": 225, "bcc": 229, "hcp": 194, "diamond": 227, "sc": 221, "bct": 139}
# ASE's table is of room temperature (white tin, body-centred lithium) and calls hexagonal cells of chains hcp
OTHER = {"H", "Li", "C", "Na", "Se", "Sn", "Te", "Hg"}


def test_elements_have_the_form_that_ase_s_own_table_of_experiments_gives_them() -> None:
    records = {str(i.cursor): i.record for i in ElementSource().iter_records()}
    assert len(records) == 84
    compared = 0
    for symbol, record in records.items():
        state = reference_states[atomic_number(symbol)]
        if record is None or state is None or state["symmetry"] not in GROUPS or symbol in OTHER:
            continue
        crystal = record.crystal
        cell = (crystal.lattice, crystal.frac_coords, crystal.atomic_numbers)
        assert spglib.get_symmetry_dataset(cell, symprec=0.01).number == GROUPS[state["symmetry"]]
        if "a" in state and state["symmetry"] in ("fcc", "bcc", "sc"):
            volume = state["a"] ** 3 / {"fcc": 4, "bcc": 2, "sc": 1}[state["symmetry"]]
            assert crystal.volume / crystal.n_atoms == pytest.approx(volume, rel=0.1)
        compared += 1
    assert compared > 50


@pytest.mark.parametrize("symbol", [*FACE_CENTRED, *BODY_CENTRED, *HEXAGONAL, "La", "Pr", "Nd", "Sm", "Pa"])
def test_measured_cells_have_the_volume_of_ase_s_own_table(symbol: str) -> None:
    record = next(i.record for i in ElementSource().iter_records() if i.cursor == symbol)
    assert record is not None
    state = reference_states[atomic_number(symbol)]
    a = state["a"]
    cosine = np.cos(np.radians(state.get("alpha", 90)))
    volume = {
        "fcc": a**3 / 4,
        "bcc": a**3 / 2,
        "hcp": np.sqrt(3) / 4 * a**3 * state.get("c/a", 1),
        "rhombohedral": a**3 * np.sqrt(1 - 3 * cosine**2 + 2 * cosine**3) / 3,
        "tetragonal": a**3 * state.get("c/a", 1) / 2,
    }[state["symmetry"]]
    assert record.crystal.volume / record.n_atoms == pytest.approx(volume, rel=0.02)


def test_layers_of_the_lanthanides_are_close_packed_in_their_own_sequence() -> None:
    layers = {str(i.cursor): i.record.n_atoms for i in ElementSource().iter_records() if i.record}
    assert [layers[s] for s in ("Yb", "Gd", "Nd", "Sm")] == [1, 2, 4, 3]  # ABC, AB, ABAC, and ABABCBCAC threefold
    for symbol in ("Nd", "Sm"):
        crystal = next(i.record.crystal for i in ElementSource().iter_records() if i.cursor == symbol)
        distances = crystal.to_pymatgen().get_neighbor_list(1.1 * 3.7)[3]
        assert len(distances) == 12 * crystal.n_atoms


def test_cells_are_primitive_and_reading_goes_on_behind_the_cursor() -> None:
    items = list(ElementSource().iter_records())
    assert next(i.record.n_atoms for i in items if i.cursor == "Ni" and i.record) == 1
    again = list(ElementSource().iter_records(cursor="Ni"))
    cursors = [i.cursor for i in items]
    assert [i.cursor for i in again] == cursors[cursors.index("Ni") + 1 :]


def test_the_library_puts_an_element_s_stable_form_at_zero(library: Library) -> None:
    nickel = known_structures(library, "Ni")
    assert [(k.material_id, k.spacegroup_number, k.e_above_hull) for k in nickel] == [("delta-elements-Ni", 225, 0.0)]
    silicon = [k for k in known_structures(library, "Si") if k.spacegroup_number == 227]
    assert len(silicon) == 1  # OQMD's diamond is the same crystal
    assert np.isclose(silicon[0].e_above_hull, 0.0)
