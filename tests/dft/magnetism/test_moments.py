"""Starting moments from oxidation states, and the names of what became of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pymatgen.core import Composition

from dao_core.crystal import Crystal, crystal_from_symbols
from dao_core.dft.magnetism import moments
from dao_core.dft.magnetism.moments import (
    MomentReport,
    magnetic_elements,
    moment_changes,
    oxidation_states,
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


def formula(**counts: int) -> Crystal:
    return cell(*(symbol for symbol, n in counts.items() for _ in range(n)))


def test_what_two_mixed_elements_share_is_not_guessed() -> None:
    """pymatgen says Fe +2.8 and Mn +5.33, which would start manganese with 1.7 Bohr magnetons."""
    mixed = formula(K=2, Fe=5, Mn=3, O=16)
    assert oxidation_states(mixed) == {}
    assert magnetic_elements(mixed) == {"Fe": 3.0, "Mn": 4.0}
    assert oxidation_states(formula(Fe=3, O=4))["Fe"] == pytest.approx(8 / 3)  # one alone: charge balance says it
    assert magnetic_elements(formula(Co=1, Fe=2, O=4)) == {"Co": 3.0, "Fe": 5.0}


def test_guesses_are_made_once_and_never_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    guessed = []
    guess = Composition.oxi_state_guesses

    def counted(self: Composition, *arguments: Any) -> Any:
        guessed.append(self.reduced_formula)
        return guess(self, *arguments)

    monkeypatch.setattr(Composition, "oxi_state_guesses", counted)
    moments._guess_of.cache_clear()
    assert oxidation_states(formula(Ni=1, O=1)) == oxidation_states(formula(Ni=4, O=4)) == {"Ni": 2.0, "O": -2.0}
    assert guessed == ["NiO"]
    sulphide = formula(Fe=11, Ni=7, Co=5, S=20, As=3, Sb=2)  # 250 million trials, most of a minute
    assert magnetic_elements(sulphide) == {"Co": 2.0, "Fe": 3.0, "Ni": 1.0}
    assert magnetic_elements(formula(Na=1, Fe=3, Al=6, B=3, Si=6, O=31, H=4)) == {"Fe": 4.0}  # large, but soon done
    assert len(guessed) == 2


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
