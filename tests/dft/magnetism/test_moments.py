"""Starting moments from oxidation states, and the names of what became of them."""

from __future__ import annotations

import numpy as np
import pytest

from dao_core.crystal import Crystal, crystal_from_symbols
from dao_core.dft.magnetism.moments import (
    MomentReport,
    magnetic_elements,
    moment_changes,
    starting_moment,
    without_moment,
)


def cell(*symbols: str) -> Crystal:
    return crystal_from_symbols(8 * np.eye(3), list(symbols), [[i / len(symbols)] * 3 for i in range(len(symbols))])


@pytest.mark.parametrize(
    ("element", "state", "moment"),
    [("Fe", 3, 5.0), ("Fe", 2, 4.0), ("Ni", 2, 2.0), ("Mn", 2, 5.0), ("Cr", 3, 3.0), ("Cu", 1, 0.0), ("Cu", 2, 1.0),
     ("Ti", 4, 0.0), ("V", 5, 0.0), ("Gd", 3, 7.0), ("Eu", 2, 7.0), ("Yb", 2, 0.0), ("O", -2, 0.0)],
)  # fmt: skip
def test_high_spin_by_hund(element: str, state: int, moment: float) -> None:
    assert starting_moment(element, state) == moment


def test_oxides_by_oxidation_state_and_metals_by_element() -> None:
    assert magnetic_elements(cell("Ni", "O")) == {"Ni": 2.0}
    assert magnetic_elements(cell("Fe")) == {"Fe": 3.0}
    assert magnetic_elements(cell("Cu")) == {}
    assert magnetic_elements(cell("Ti", "O", "O")) == {}
    assert magnetic_elements(cell("Na", "Cl")) == {}
    assert magnetic_elements(cell("Fe", "Fe", "O", "O", "O")) == {"Fe": 5.0}


def test_changes_have_names_and_a_global_turn_is_none() -> None:
    assert moment_changes((2.0, 0.0, -2.0, 0.0), (-1.4, 0.05, 1.4, -0.05)) == ("kept",) * 4
    assert moment_changes((3.0, -3.0), (2.0, 1.9)) == ("kept", "flipped")
    assert moment_changes((3.0, 3.0), (0.01, 2.5)) == ("collapsed", "kept")
    report = MomentReport((3.0, 3.0), (0.01, 2.5), changes=("collapsed", "kept"))
    assert report.warning(["Fe", "Fe"]) == "moments changed: Fe1 collapsed"
    assert MomentReport((1.0,), (1.0,), changes=("kept",)).warning(["Fe"]) == ""


@pytest.mark.parametrize(
    ("symbols", "named"),
    [
        (["Pd", "O"], ("Pd",)),  # d8
        (["Nb", "Nb", "O", "O", "O", "O", "O"], ()),  # d0
        (["Nb", "O", "O"], ("Nb",)),  # d1
        (["Zr", "O", "O"], ()),
        (["Zn", "O"], ()),
        (["Ni", "O"], ()),  # which has an entry
        (["Pd", "Al"], ()),  # a metal
        (["Am", "O", "O"], ("Am",)),
        (["Th", "O", "O"], ()),
    ],
)
def test_open_shells_without_an_entry_are_named(symbols: list[str], named: tuple[str, ...]) -> None:
    assert without_moment(cell(*symbols)) == named
