"""CIF: what a text means, and the refusal of texts that mean two things."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings

from dao_core.crystal import Crystal
from dao_core.matching.distances import shortest_distance
from dao_core.matching.same import same_crystal
from dao_core.readers.base import MIN_DISTANCE, UnreadableError
from dao_core.readers.cif import crystal_from_cif, read_cif
from tests.helpers.cif_text import HEXAGONAL, cif, operations
from tests.helpers.strategies import crystals
from tests.helpers.structures import perovskite, peroxide, rutile

TYPED = ("label", "type_symbol", "fract_x", "fract_y", "fract_z")
OCCUPIED = ("label", "fract_x", "fract_y", "fract_z", "occupancy")
SALT = ["K1 0 0 0", "Br1 .5 .5 .5"]
FORMULA = "_symmetry_space_group_name_H-M 'P 1'\n_chemical_formula_sum "


def refused(text: str, match: str) -> None:
    with pytest.raises(UnreadableError, match=match):
        crystal_from_cif(text)


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    derandomize=True,
)
@given(crystals())
def test_round_trip_keeps_order_metric_and_handedness(crystal: Crystal) -> None:
    assume(shortest_distance(crystal) >= MIN_DISTANCE)
    back = crystal_from_cif(crystal.to_cif())
    assert back.atomic_numbers.tolist() == crystal.atomic_numbers.tolist()
    metric = crystal.lattice @ crystal.lattice.T
    np.testing.assert_allclose(back.lattice @ back.lattice.T, metric, rtol=1e-11, atol=1e-9)
    expected = crystal.frac_coords if np.linalg.det(crystal.lattice) > 0 else -crystal.frac_coords
    away = back.frac_coords - expected
    assert np.abs(away - np.rint(away)).max() < 1e-13
    assert np.linalg.det(back.lattice) > 0


@pytest.mark.parametrize("crystal", [perovskite(), rutile(), peroxide()], ids=lambda c: c.chemsys)
def test_files_with_operations_give_what_pymatgen_gives(crystal: Crystal) -> None:
    from pymatgen.io.cif import CifParser

    text = crystal.to_pymatgen().to(fmt="cif", symprec=0.01)
    theirs = Crystal.from_pymatgen(CifParser.from_str(text).parse_structures(primitive=False)[0])
    ours = crystal_from_cif(text)
    assert ours.composition == theirs.composition
    assert same_crystal(ours, theirs)
    assert same_crystal(ours, crystal)


@pytest.mark.parametrize(
    ("symbol", "lengths", "sites", "composition"),
    [
        ("F m 3 m", "6.6 6.6 6.6", SALT, {"Br": 4, "K": 4}),  # before 1983, without the bar
        ("Fm-3m", "6.6 6.6 6.6", SALT, {"Br": 4, "K": 4}),
        ("P m 3 m", "4.1 4.1 4.1", SALT, {"Br": 1, "K": 1}),
        ("F d -3 m:2", "8.3 8.3 8.3", ["Zn1 .125 .125 .125", "Cr1 .5 .5 .5", "S1 .26 .26 .26"],
         {"Cr": 16, "S": 32, "Zn": 8}),
        ("F d -3 m :1", "8.3 8.3 8.3", ["Zn1 0 0 0", "Cr1 .625 .625 .625", "S1 .385 .385 .385"],
         {"Cr": 16, "S": 32, "Zn": 8}),
        ("F m -3 m S", "6.6 6.6 6.6", SALT, {"Br": 4, "K": 4}),  # a letter that adds nothing
        ("F d -3 m Z", "5.4 5.4 5.4", ["Ge1 .125 .125 .125"], {"Ge": 8}),  # ICSD's letter for the second origin
        ("P n m a", "5.5 7.7 5.4", ["Ca1 .03 .25 .99", "Ge1 0 0 .5", "O1 .49 .25 .07", "O2 .29 .03 .71"],
         {"Ca": 4, "Ge": 4, "O": 12}),
        ("P b n m", "5.3 5.5 7.7", ["Ca1 .99 .03 .25", "Ge1 .5 0 0", "O1 .07 .49 .25", "O2 .71 .29 .03"],
         {"Ca": 4, "Ge": 4, "O": 12}),
    ],
)  # fmt: skip
def test_a_symbol_alone_stands_for_its_operations(
    symbol: str, lengths: str, sites: list[str], composition: dict[str, int]
) -> None:
    assert crystal_from_cif(cif(lengths, sites, f"_space_group_name_H-M_alt '{symbol}'")).composition == composition


@pytest.mark.parametrize("symbol", ["P 21/c", "P 1 21/c 1", "P2_1/c", "P 2(1)/c", "p 21/c"])
def test_the_ways_to_spell_a_screw_axis(symbol: str) -> None:
    text = cif("5.1 5.2 5.4", ["Hf1 .28 .04 .21", "O1 .07 .33 .34", "O2 .45 .76 .48"],
               f"_symmetry_space_group_name_H-M '{symbol}'", "90 99 90")  # fmt: skip
    assert crystal_from_cif(text).composition == {"Hf": 4, "O": 8}


def test_the_unique_axis_is_told_from_the_cell() -> None:
    symmetry = "_symmetry_space_group_name_H-M 'P 2'"
    along_b = crystal_from_cif(cif("4 5 6", ["Se1 .1 .2 .3"], symmetry, "90 97 90"))
    along_c = crystal_from_cif(cif("4 6 5", ["Se1 .1 .3 .2"], symmetry, "90 90 97"))
    assert same_crystal(along_b, along_c)
    refused(cif("4 5 6", ["Se1 .1 .2 .3"], symmetry, "83 97 95"), "does not have the symmetry")


def test_rhombohedral_axes_with_and_without_a_letter() -> None:
    """One crystal in rhombohedral and in hexagonal axes."""
    rhombohedral = cif("4.55 4.55 4.55", ["Sb1 .233 .233 .233"], "_space_group_name_H-M_alt 'R -3 m:R'", "56 56 56")
    crystal = crystal_from_cif(rhombohedral)
    assert crystal.n_atoms == 2
    assert same_crystal(crystal, crystal_from_cif(rhombohedral.replace(":R", "")))
    a, c = np.linalg.norm(crystal.lattice[0] - crystal.lattice[1]), np.linalg.norm(crystal.lattice.sum(axis=0))
    hexagonal = cif(f"{a:.5f} {a:.5f} {c:.5f}", ["Sb1 0 0 .233"], "_space_group_name_H-M_alt 'R -3 m'", HEXAGONAL)
    assert crystal_from_cif(hexagonal).n_atoms == 6
    assert same_crystal(crystal, crystal_from_cif(hexagonal))
    refused(rhombohedral.replace(":R", ":H"), "does not have the symmetry")


def test_a_symbol_that_leaves_the_origin_open_needs_something_that_decides() -> None:
    sites = ["Zn1 .125 .125 .125", "Cr1 .5 .5 .5", "S1 .26 .26 .26"]
    symmetry = "_space_group_name_H-M_alt 'F d -3 m'"
    refused(cif("8.3 8.3 8.3", sites, symmetry), "both fit: name the origin")
    (block,) = read_cif(cif("8.3 8.3 8.3", sites, f"{symmetry}\n_chemical_formula_sum 'Zn Cr2 S4'"))
    assert isinstance(block.value, Crystal)
    assert block.value.composition == {"Cr": 16, "S": 32, "Zn": 8}
    assert "only setting that fits" in block.notes[0]


def test_a_number_alone_means_the_standard_setting() -> None:
    assert crystal_from_cif(cif("6.6 6.6 6.6", SALT, "_space_group_IT_number 225")).n_atoms == 8
    refused(cif("6.6 6.6 6.6", SALT, "_space_group_IT_number 231"), "numbers go from 1 to 230")


def test_a_hall_symbol_alone_stands_for_its_operations() -> None:
    assert crystal_from_cif(cif("6.6 6.6 6.6", SALT, "_space_group_name_Hall '-F 4 2 3'")).n_atoms == 8


@pytest.mark.parametrize(
    ("symmetry", "match"),
    [
        ("", "no symmetry operations, symbol or number"),
        ("_symmetry_space_group_name_H-M ?", "no symmetry operations, symbol or number"),
        ("_symmetry_space_group_name_H-M 'F q 3 m'", "unknown space group"),
        ("_symmetry_space_group_name_H-M 'F m -3 m'\n_space_group_IT_number 221", "is number 225"),
        ("_space_group_IT_number 225\n_symmetry_Int_Tables_number 221", "contradict each other"),
        ("_symmetry_space_group_name_H-M 'F m -3 m'\n_space_group_name_H-M_alt 'P m -3 m'", "contradict each other"),
        ("_symmetry_space_group_name_H-M 'F m -3 m'\n_space_group_name_Hall '-P 4 2 3'", "contradict each other"),
        ("_symmetry_space_group_name_H-M 'F m -3 m'\n" + operations("x,y,z"), "contradict each other"),
        ("_space_group_IT_number 225\n" + operations("x,y,z", "-x,-y,-z"), "those of number 2"),
        ("_space_group_name_Hall '-P 1'\n" + operations("x,y,z"), "contradict each other"),
        (operations("x,y,z", "-x,-y,-z", "x+1/2,y,z"), "are no group"),
        (operations("-x,-y,-z"), "are no group"),
        (operations("x,y,z", "x,y"), "symmetry operation 'x,y'"),
        (operations("x,y,z", "2*x,y,z"), "changes the volume"),
        (operations("x,y,z", "z,x,y", "y,z,x").replace("made", ""), "does not have the symmetry"),
        ("_cell_modulation_dimension 1", "modulated"),
        ("loop_\n_space_group_symop_magn_operation.xyz\nx,y,z,+1", "magnetic"),
        ("_symmetry_layer_group_number 12", "fewer than three periods"),
    ],
)
def test_symmetry_that_contradicts_itself_is_refused(symmetry: str, match: str) -> None:
    lengths = "6.6 6.6 7.1" if "have the symmetry" in match else "6.6 6.6 6.6"
    refused(cif(lengths, SALT, symmetry), match)


def test_operations_with_an_origin_that_no_table_lists_are_taken_as_they_stand() -> None:
    shifted = operations("x,y,z", "-x+1/4,-y,-z+1/2")
    crystal = crystal_from_cif(cif("4 5 6", ["Te1 .1 .2 .3"], f"_space_group_name_H-M_alt 'P -1'\n{shifted}"))
    assert crystal.frac_coords[1] == pytest.approx([0.15, 0.8, 0.2])


@pytest.mark.parametrize(
    ("label", "match"),
    [
        ("Wat1", "no single element"), ("OH2", "no single element"), ("T1", "no single element"),
        ("M2", "no single element"), ("Ba/Sr", "no single element"), ("Al,Si", "no single element"),
        ("OW", "no single element"), ("X1", "no single element"), ("NaK1", "no single element"),
        ("Vac1", "no single element"), ("(Mg,Fe)1", "no single element"), ("H2O1", "no single element"),
    ],
)  # fmt: skip
def test_labels_that_are_no_single_element_are_refused(label: str, match: str) -> None:
    refused(cif("4.1 4.1 4.1", [f"{label} 0 0 0", "Br1 .5 .5 .5"]), match)


@pytest.mark.parametrize("label", ["K", "K1", "K1A", "K_1", "K(1)", "K1+", "K1'", "K12b"])
def test_labels_that_name_an_element(label: str) -> None:
    text = cif("4.1 4.1 4.1", [f'"{label}" 0 0 0' if "'" in label else f"{label} 0 0 0", "Br1 .5 .5 .5"])
    assert crystal_from_cif(text).composition == {"Br": 1, "K": 1}


@pytest.mark.parametrize(
    ("kind", "symbol"), [("Ti", "Ti"), ("Ti4+", "Ti"), ("O2-", "O"), ("Cl-", "Cl"), ("Al0+", "Al"), ("Fe+3", "Fe")]
)
def test_type_symbols_with_charges(kind: str, symbol: str) -> None:
    assert crystal_from_cif(cif("4 4 4", [f"A1 {kind} 0 0 0"], columns=TYPED)).symbols == [symbol]


def test_a_spelling_that_leaves_a_doubt_needs_a_formula() -> None:
    """CO may be cobalt or carbon monoxide; a label may contradict its type."""
    capitals = cif("4 4 4", ["M1 CO 0 0 0"], columns=TYPED)
    refused(capitals, "no formula confirms")
    assert crystal_from_cif(capitals.replace("_cell_length_a", "_chemical_formula_sum Co\n_cell_length_a")).symbols == [
        "Co"
    ]
    refused(cif("4 4 4", ["Ti1 Tl 0 0 0"], columns=TYPED), "no formula confirms")
    refused(cif("4 4 4", ["A1 Xx 0 0 0"], columns=TYPED), "no single element")


@pytest.mark.parametrize("label", ["O1W", "Ow1", "Wat1", "OH2", "H2O"])
def test_water_without_its_hydrogen_needs_a_formula(label: str) -> None:
    sites = ["Ca1 Ca 0 0 0", f"{label} O .5 .5 .5"]
    refused(cif("4 4 4", sites, columns=TYPED), f"{label} as O without its hydrogen, which no formula confirms")
    confirmed = cif("4 4 4", sites, "_symmetry_space_group_name_H-M 'P 1'\n_chemical_formula_sum 'Ca O'", columns=TYPED)
    assert crystal_from_cif(confirmed).composition == {"Ca": 1, "O": 1}
    whole = cif("4 4 4", [*sites, "H1 H .5 .5 .74", "H2 H .5 .74 .5"], columns=TYPED)
    assert crystal_from_cif(whole).composition == {"Ca": 1, "H": 2, "O": 1}


def test_deuterium_is_hydrogen_with_a_note() -> None:
    for sites, columns in ((["Li1 0 0 0", "D1 .5 .5 .5"], ("label", "fract_x", "fract_y", "fract_z")),
                           (["Li1 Li 0 0 0", "D1 D .5 .5 .5"], TYPED)):  # fmt: skip
        (block,) = read_cif(cif("4 4 4", sites, columns=columns))
        assert isinstance(block.value, Crystal)
        assert (block.value.symbols, block.notes) == (["Li", "H"], ("D is read as H",))


@pytest.mark.parametrize("name", ["occupancy", "calc_flag", "attached_hydrogens"])
def test_a_column_beside_the_sites_that_is_too_short_is_refused(name: str) -> None:
    text = cif("4.1 4.1 4.1", ["K1 0 0 0", "Br1 .5 .5 .5"]) + f"_atom_site_{name} 1\n"
    refused(text, f"_atom_site_{name} has 1 values for 2 sites")


def test_a_cell_of_too_many_atoms_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dao_core.readers.cif_expand.MAX_ATOMS", 1)
    refused(cif("4.1 4.1 4.1", ["K1 0 0 0", "Br1 .5 .5 .5"]), "more than 1 atoms in the cell")


@pytest.mark.parametrize("occupancy", [".", "?", "1", "1.0", "1.000(2)"])
def test_full_occupancy_in_all_its_spellings(occupancy: str) -> None:
    text = cif("4.1 4.1 4.1", [f"K1 0 0 0 {occupancy}", "Br1 .5 .5 .5 1"], columns=OCCUPIED)
    assert crystal_from_cif(text).composition == {"Br": 1, "K": 1}


@pytest.mark.parametrize(
    ("occupancy", "match"),
    [
        ("0.5", "partially occupied"), ("0.98(1)", "partially occupied"), ("0", "an empty site"),
        ("1.2", "no occupancy between 0 and 1"), ("-1", "no occupancy between 0 and 1"), ("abc", "no occupancy"),
    ],
)  # fmt: skip
def test_other_occupancies_are_refused(occupancy: str, match: str) -> None:
    text = cif("4.1 4.1 4.1", [f"K1 0 0 0 {occupancy}", "Br1 .5 .5 .5 1"], columns=OCCUPIED)
    refused(text, f"K1 is occupied to {re.escape(occupancy)}, .*{match}")


@pytest.mark.parametrize(
    ("column", "value", "match"),
    [
        ("attached_hydrogens", "2", "carries 2 hydrogens"),
        ("calc_flag", "dum", "is a dummy"),
        ("fract_w", "0", ""),
    ],
)
def test_atoms_that_are_not_there_are_refused(column: str, value: str, match: str) -> None:
    text = cif("4 4 4", [f"O1 0 0 0 {value}"], columns=("label", "fract_x", "fract_y", "fract_z", column))
    if match:
        refused(text, match)
    else:
        assert crystal_from_cif(text).symbols == ["O"]


@pytest.mark.parametrize("x", ["1e999", "405.2", "-1e30"])
def test_coordinates_that_are_no_fractions_are_refused(x: str) -> None:
    refused(cif("4 4 4", [f"O1 {x} 0 0"]), "cells away")


def test_an_atom_that_was_not_located_is_refused() -> None:
    refused(cif("4 4 4", ["O1 0 0 0", "H1 ? ? ?"]), "H1 has no position")


@pytest.mark.parametrize("text", ["0,5", "1/2", "nan", "half"])
def test_a_coordinate_that_is_no_number_is_quoted(text: str) -> None:
    refused(cif("4 4 4", ["K1 0 0 0", f"Br1 {text} .5 .5"]), f"Br1 has the coordinate '{text}', which is no number")


def test_cartesian_coordinates_are_named_and_suspected() -> None:
    columns = ("label", "Cartn_x", "Cartn_y", "Cartn_z")
    refused(cif("4 4 4", ["K1 0 0 0", "Br1 2 2 2"], columns=columns), "Cartesian coordinates: give fractional ones")
    (far,) = read_cif(cif("4 4 4", ["K1 0 0 0", "Br1 2.1 2.1 2.1"]))
    assert "from 0 to 2.1 read as fractions" in far.notes[0]
    (near,) = read_cif(cif("4 4 4", ["K1 -.1 0 0", "Br1 1.3 .5 .5"]))
    assert near.notes == ()


@pytest.mark.parametrize(
    ("groups", "match"),
    [
        (("1", "2"), "K1 and Br1 are alternatives"),
        (("A 1", "A 2"), "K1 and Br1 are alternatives"),
        ((".", "1"), ""),
        (("1", "1"), ""),
        (("A 1", "B 2"), ""),
        (("0", "0"), ""),
        ((".", "-1"), ""),  # without symmetry there is no image to be an alternative of
    ],
)
def test_fully_occupied_alternatives_are_refused(groups: tuple[str, str], match: str) -> None:
    extra = ("disorder_assembly", "disorder_group") if " " in groups[0] else ("disorder_group",)
    sites = [f"K1 0 0 0 {groups[0]}", f"Br1 .5 .5 .5 {groups[1]}"]
    text = cif("4 4 4", sites, columns=("label", "fract_x", "fract_y", "fract_z", *extra))
    if match:
        refused(text, match)
    else:
        assert crystal_from_cif(text).n_atoms == 2
    if groups[1] == "-1":
        refused(text.replace("P 1", "P -1"), "about a symmetry element")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda text: text + text, "duplicate block name: made: rename one"),
        (lambda text: text.replace("_cell_length_b", "_cell_length_a 5\n_cell_length_b"), "keep one of its values"),
        (lambda text: text + "Rb1 0\n", "may be cut or damaged"),
        (
            lambda text: text.replace("K1 0 0 0", "K1 0 0 \u22120.25"),
            "line 14 has a minus sign, which CIF doesn't know",
        ),
        (lambda text: text.replace("K1 0", "K1\u00a00"), "line 14 has a no-break space"),
        (lambda text: "# 1\u20132\n" + text + "Rb1 0\n", "may be cut or damaged"),
    ],
)
def test_what_the_parser_refuses_comes_with_its_remedy(change: Callable[[str], str], match: str) -> None:
    refused(change(cif("4 4 4", ["K1 0 0 0"])), match)


@pytest.mark.parametrize(
    ("formula", "match"),
    [
        ("'K Br H2'", "atoms are missing or wrong"),
        ("'K Br2'", "atoms are missing or wrong"),
        ("'Na Br'", "atoms are missing or wrong"),
        ("'K2 Br2'", "0.5 times"),
        ("'K Br~'", "is no formula"),
        ("'K Br'\n_cell_formula_units_Z 4", "_cell_formula_units_Z says 4"),
        ("'K Br'\n_cell_volume 99", "_cell_volume says 99"),
        ("'K Br'\n_cell_formula_units_Z 1e-320", "no number of formula units"),
        ("'K Br'\n_cell_formula_units_Z 1e999", "no number of formula units"),
        (f"'K Br{'9' * 400}'", "is no formula"),
    ],
)
def test_what_the_block_says_about_itself_must_be_so(formula: str, match: str) -> None:
    refused(cif("4.1 4.1 4.1", SALT, f"{FORMULA}{formula}"), match)


@pytest.mark.parametrize("formula", ["'K Br'", "BrK", "'K1 Br1'\n_cell_formula_units_Z 1", "?", "'K1.00 Br1.00'"])
def test_formulas_that_fit(formula: str) -> None:
    assert crystal_from_cif(cif("4.1 4.1 4.1", SALT, f"{FORMULA}{formula}")).n_atoms == 2


def test_one_missing_atom_in_a_large_formula_is_seen() -> None:
    sites = [f"C{i} {i / 101:.6f} .5 .5" for i in range(101)]
    text = cif("303 8 8", sites, f"{FORMULA}C102")
    refused(text, "0.99 times")


@pytest.mark.parametrize(
    ("x", "y", "moved"), [("0.333", "0.667", 0.002), ("0.3333", "0.6667", 2e-4), ("0.33", "0.67", 0.02)]
)
def test_rounded_thirds_are_put_on_their_site(x: str, y: str, moved: float) -> None:
    text = cif("3.1 3.1 5.1", [f"Co1 {x} {y} .25"], "_symmetry_space_group_name_H-M 'P 63/m m c'", HEXAGONAL)
    (block,) = read_cif(text)
    assert isinstance(block.value, Crystal)
    assert block.value.n_atoms == 2
    assert block.value.frac_coords[0] == pytest.approx([1 / 3, 2 / 3, 0.25], abs=1e-9)
    assert "onto its special position" in block.notes[0]
    assert float(block.notes[0].split("moved by ")[1].split()[0]) == pytest.approx(moved, rel=0.5)


def test_atoms_close_together_are_named() -> None:
    text = cif("3.1 3.1 5.1", ["Co1 0.35 0.65 .25"], "_symmetry_space_group_name_H-M 'P 63/m m c'", HEXAGONAL)
    refused(text, r"Co1 \(Co\) and Co1 \(Co\) are 0\.\d+ A apart")
    refused(cif("4 4 4", ["Ba1 0 0 0", "Sr1 0 0 0"]), "0.00 A apart")


def test_an_atom_that_is_listed_twice_is_named() -> None:
    """All atoms of a cell are listed, and its space group, which would make them once more."""
    text = cif("5.3 5.3 5.3", ["Cu1 0 0 0", "Cu2 0 .5 .5"], "_symmetry_space_group_name_H-M 'F m -3 m'")
    refused(text, "Cu1 and Cu2 are the same atom: list it once, .* give 'P 1' as the space group")


def test_blocks_without_atoms_are_passed_over_and_several_structures_are_all_read() -> None:
    first = cif("4.1 4.1 4.1", SALT).replace("data_made", "data_one")
    second = cif("4.3 4.3 4.3", ["Rb1 0 0 0", "I1 .5 .5 .5"]).replace("data_made", "data_two")
    found = read_cif("data_global\n_publ_section_title 'two salts'\n" + first + second)
    assert [(b.name, b.value.formula_reduced) for b in found if isinstance(b.value, Crystal)] == [
        ("one", "KBr"), ("two", "RbI")
    ]  # fmt: skip
    refused(first + second, "2 structures in one CIF text")
    cut = read_cif(first + second.split("loop_")[0])
    assert [type(b.value).__name__ for b in cut] == ["Crystal", "str"]


@pytest.mark.parametrize(
    "text",
    ["", "data_x\n_cell_length_a 3\n", "not a cif at all", "\x00\x01", "data_x\nloop_\n_atom_site_label\nNa1\n"],
)
def test_texts_without_a_structure_are_refused(text: str) -> None:
    refused(text, "unreadable CIF")


@pytest.mark.parametrize(
    "cell", ["4 4 0", "4 4 -4", "4 4 ?", "4 4 abc", "nan 4 4", "4 4 1e400"],
)  # fmt: skip
def test_cells_that_are_none(cell: str) -> None:
    refused(cif(cell, SALT), "_cell_length_|volume|make no cell")


def test_numbers_of_a_cell_as_people_write_them() -> None:
    refused(cif("4,1 4.1 4.1", SALT), "_cell_length_a is 4,1, which is no number above 0: write it plainly, as in 5.64")
    assert crystal_from_cif(cif("'4.1' 4.1 4.1", SALT)).lattice[0, 0] == 4.1


@pytest.mark.parametrize("angles", ["90 90 180", "30 30 150", "90 90 ?", "0 90 90"])
def test_angles_that_make_no_cell(angles: str) -> None:
    refused(cif("4 4 4", SALT, angles=angles), "angle|make no cell")


def test_numbers_may_carry_their_uncertainty() -> None:
    crystal = crystal_from_cif(cif("4.10(1) 4.1 4.1", ["K1 0 0 0", "Br1 .5(2) .5 .5"]))
    assert crystal.lattice[0, 0] == pytest.approx(4.1)
