"""U on which elements, and both forms of the input."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dao_core.crystal import Crystal
from dao_core.dft.hubbard import (
    RESPONDING,
    SHELLS,
    HubbardChoice,
    hubbard_form,
    hubbard_label,
    hubbard_values,
    without_value,
)
from dao_core.dft.pseudo.library import PseudoLibrary
from dao_core.dft.pw.build import build_input
from dao_core.dft.pw.write import write_input
from dao_core.dft.session import functional_label
from dao_core.dft.settings import DftSettings
from tests.helpers.fake_pw import silicon


def test_the_table_is_for_oxides_and_fluorides_only(nio: Crystal) -> None:
    assert hubbard_values(nio, "mp") == {"Ni": 6.2}
    assert hubbard_values(nio, "none") == {}
    assert hubbard_values(nio.replace(atomic_numbers=[28, 16]), "mp") == {}  # a sulphide
    assert hubbard_values(silicon(), "mp") == {}


@pytest.mark.parametrize(
    ("numbers", "choice", "given", "values"),
    [
        ((28, 8), "none", {"Ni": 6.4}, {"Ni": 6.4}),  # NiO, only the value given
        ((30, 8), "mp", {"Zn": 7.5}, {"Zn": 7.5}),  # ZnO, an element that no table has
        ((28, 16), "mp", {"Ni": 4.0}, {"Ni": 4.0}),  # NiS, no oxide
        ((26, 8), "mp", {"Fe": 4.0, "O": 2.0, "Ni": 6.0}, {"Fe": 4.0, "O": 2.0}),
        ((28, 13), "hp", {"Ni": 3.0}, {"Ni": 3.0}),
    ],
)
def test_a_value_that_is_given_holds_in_any_crystal(
    nio: Crystal, numbers: tuple[int, int], choice: HubbardChoice, given: dict[str, float], values: dict[str, float]
) -> None:
    assert hubbard_values(nio.replace(atomic_numbers=list(numbers)), choice, given) == values


def test_a_value_alone_reaches_pw_x(nio: Crystal, library: PseudoLibrary, tmp_path: Path) -> None:
    settings = DftSettings(hubbard_u={"Ni": 6.4}, qe_version="6.7MaX")
    text = write_input(build_input(nio, library, settings, "scf"), tmp_path).read_text()
    assert "hubbard_u(1)=6.4" in text.lower().replace(" ", "")


def test_every_shell_of_a_table_or_the_response_is_known() -> None:
    assert set(SHELLS) >= RESPONDING
    assert (SHELLS["Zn"], SHELLS["O"], SHELLS["Ce"], SHELLS["W"]) == ("3d", "2p", "4f", "5d")


def test_an_element_without_an_entry_is_named(nio: Crystal) -> None:
    assert without_value(nio.replace(atomic_numbers=[64, 8]), "mp") == ("Gd",)
    assert without_value(nio, "mp") == ()


@pytest.mark.parametrize(
    ("version", "form"),
    [("6.7MaX", "namelist"), ("7.0", "namelist"), ("7.1", "card"), ("7.3.1", "card"), ("", "namelist")],
)
def test_form_by_version(version: str, form: str) -> None:
    assert hubbard_form(version) == form


def antiferromagnet(nio: Crystal, library: PseudoLibrary, version: str, folder: Path) -> str:
    double = nio.replace(
        lattice=[[0, 4.2, 4.2], [2.1, 0, 2.1], [2.1, 2.1, 0]],
        frac_coords=[[0, 0, 0], [0.5, 0, 0], [0.25, 0.5, 0.5], [0.75, 0.5, 0.5]], atomic_numbers=[28, 28, 8, 8],
    )  # fmt: skip
    settings = DftSettings(pseudo_dir=library.folder, hubbard="mp", qe_version=version)
    pw_input = build_input(double, library, settings, "scf", (2.0, -2.0, 0.0, 0.0))
    assert pw_input.species == ["Ni", "Ni1", "O"]
    return write_input(pw_input, folder).read_text()


def test_old_form_counts_species_that_differ_in_spin(nio: Crystal, library: PseudoLibrary, tmp_path: Path) -> None:
    text = antiferromagnet(nio, library, "6.7MaX", tmp_path)
    words = text.lower().replace(" ", "")
    assert "lda_plus_u=.true." in words
    assert "hubbard_u(1)=6.2" in words
    assert "hubbard_u(2)=6.2" in words
    assert "hubbard_u(3)" not in words
    assert "\nNi1 " in text
    assert "HUBBARD {" not in text


def test_new_form_is_a_card(nio: Crystal, library: PseudoLibrary, tmp_path: Path) -> None:
    text = antiferromagnet(nio, library, "7.3", tmp_path)
    assert "HUBBARD {atomic}\nU Ni-3d 6.2\nU Ni1-3d 6.2\n" in text
    assert "lda_plus_u" not in text


def test_energies_with_and_without_have_other_names_and_keys(nio: Crystal, library: PseudoLibrary) -> None:
    plain = build_input(nio, library, DftSettings(), "scf")
    assert replace(plain, hubbard={"Ni": 6.2}).key() != plain.key()
    with_u = functional_label(library, DftSettings(), {"Ni": 6.2})
    assert with_u == f"{functional_label(library, DftSettings())}|{hubbard_label({'Ni': 6.2})}"
    assert hubbard_label({"Ni": 6.2}) == "U(Ni-3d 6.2)"
