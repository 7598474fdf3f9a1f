"""Files of projwfc.x: spins, species that an ordering splits, Fortran's short exponents, files that are cut."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dao_core.crystal import crystal_from_symbols
from dao_core.dft.electronic.states import StatesError, lowdin_charges, read_density_of_states

TOTAL = "# E (eV)  dosup(E)  dosdw(E)  pdosup(E)  pdosdw(E)\n -1.0  0.2E+01  0.1E+01  0.1E+01  0.1E+01\n"
PART = "# E (eV)  ldosup(E)  ldosdw(E)\n -1.0  {}  {}  0.0  0.0\n"


def write(folder: Path, parts: dict[str, str]) -> Path:
    (folder / "dao.pdos_tot").write_text(TOTAL)
    for name, text in parts.items():
        (folder / f"dao.pdos_atm#{name}").write_text(text)
    return folder


def test_species_that_an_ordering_splits_are_one_element(tmp_path: Path) -> None:
    parts = {"1(Ni1)_wfc#1(d)": PART.format(1.0, 0.25), "2(Ni2)_wfc#1(d)": PART.format(0.25, 1.0)}
    states = read_density_of_states(write(tmp_path, parts), "dao")
    assert list(states.projected) == ["Ni d"]
    assert states.projected["Ni d"].tolist() == [[1.25], [1.25]]  # up and down of both sites
    assert states.total.tolist() == [[2.0], [1.0]]


def test_an_exponent_of_three_digits(tmp_path: Path) -> None:
    parts = {"1(Ni)_wfc#1(d)": PART.format("0.1-100", "0.5E+00")}
    states = read_density_of_states(write(tmp_path, parts), "dao")
    assert states.projected["Ni d"][0, 0] == pytest.approx(1e-101)


@pytest.mark.parametrize("text", ["", "# E\n", "# E\n stars ***\n"])
def test_a_file_without_a_table_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "dao.pdos_tot").write_text(text)
    with pytest.raises(StatesError, match=r"dao\.pdos_tot"):
        read_density_of_states(tmp_path, "dao")


def test_charges_of_atoms_in_order_and_of_all_of_them() -> None:
    crystal = crystal_from_symbols(np.eye(3) * 4.0, ["Ni", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    text = "     Atom #   1: total charge =  17.2000, s = 2\n                 polarization =   1.7000, s = 0\n"
    with pytest.raises(StatesError, match="1 of 2 atoms"):
        lowdin_charges(text, crystal, {"Ni": 18, "O": 6})
    charges = lowdin_charges(f"{text}     Atom #   2: total charge =   6.8000, s = 2\n", crystal, {"Ni": 18, "O": 6})
    assert [(c.symbol, c.charge) for c in charges] == [("Ni", 0.8), ("O", -0.8)]
