from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from dao_core.crystal import Crystal
from dao_core.generate.templates.encyclopedia import EncyclopediaError, entry_crystal, read_entry
from tests.helpers.carriers import CUPRATE, RUTILE


def entry(label: str, prototype: str, **parameters: float) -> dict[str, Any]:
    names = {"c_a": "c/a", "b_a": "b/a"}
    return {
        "label": label, "prototype": prototype, "parameter_symbols": [names.get(n, n) for n in parameters],
        "parameter_values": list(parameters.values()),
    }  # fmt: skip


def same(crystal: Crystal, expected: Structure) -> bool:
    matcher = StructureMatcher(ltol=0.02, stol=0.02, angle_tol=0.5, scale=False)
    return bool(matcher.fit(crystal.to_pymatgen(), expected))


def test_rutile_is_pymatgens() -> None:
    lattice = Lattice.tetragonal(4.5937, 4.5937 * 0.64387)
    expected = Structure.from_spacegroup(136, lattice, ["Ti", "O"], [[0, 0, 0], [0.3053, 0.3053, 0]])
    crystal = entry_crystal(RUTILE)
    assert crystal.n_atoms == 6
    assert same(crystal, expected)


def test_rhombohedral_parameters_are_in_rhombohedral_axes() -> None:
    expected = Structure.from_spacegroup(
        166, Lattice.hexagonal(3.0351, 3.0351 * 5.6565), ["Cu", "Fe", "O"], [[0, 0, 0], [0, 0, 0.5], [0, 0, 0.1066]]
    )
    crystal = entry_crystal(CUPRATE)
    assert crystal.n_atoms == 4
    assert same(crystal, expected)


def test_a_molecular_formula_is_the_reduced_label_s() -> None:
    label = {"label": "A2B_tP6_136_f_a-001", "prototype": "O4Ti2"}
    assert entry_crystal(RUTILE | label).composition == {"Ti": 2, "O": 4}


def test_species_are_in_the_order_of_the_alphabet_however_the_formula_is_spelt() -> None:
    """Sodium chlorate: A is chlorine, which the oxygen surrounds at 1.5 angstrom."""
    sites = {"a": 6.57, "x1": 0.417, "x2": 0.064, "x3": 0.303, "y3": 0.592, "z3": 0.5}
    crystal = entry_crystal(entry("ABC3_cP20_198_a_a_b-001", "NaClO3", **sites))
    structure = crystal.to_pymatgen()
    around = {s: sum(n.nn_distance < 1.7 for n in structure.get_neighbors(structure[i], 1.7))
              for i, s in enumerate(crystal.symbols)}  # fmt: skip
    assert (around["Cl"], around["Na"]) == (3, 0)
    cubic = entry("AB3C_cP5_221_a_c_b-001", "CaTiO3", a=3.795)
    assert entry_crystal(cubic).composition == {"Ca": 1, "O": 3, "Ti": 1}


def test_the_second_origin_is_taken() -> None:
    spinel = entry("A2BC4_cF56_227_d_a_e-001", "Al2MgO4", a=8.08, x3=0.2624)
    # pymatgen's from_spacegroup takes origin 1: there O is at x + 1/8
    expected = Structure.from_spacegroup(
        227, Lattice.cubic(8.08), ["Mg", "Al", "O"], [[0, 0, 0], [0.625] * 3, [0.2624 + 0.125] * 3]
    )
    crystal = entry_crystal(spinel)
    assert crystal.n_atoms == 14
    assert same(crystal, expected)


def test_parameters_are_numbered_by_letter_across_species() -> None:
    """Zinc, the second species, sits on letter a: its height is z1."""
    swapped = entry("AB_hP4_186_b_a-001", "SZn", a=3.82, c_a=1.64, z1=0.0, z2=0.3)  # a (Zn) is 1, b (S) is 2
    crystal = entry_crystal(swapped)
    heights = {s: sorted(f[2] for f, e in zip(crystal.frac_coords, crystal.symbols, strict=True) if e == s) for s in
               ("S", "Zn")}  # fmt: skip
    gaps = {(b - a) % 1.0 for a in heights["Zn"] for b in heights["S"]}
    assert any(abs(g - 0.3) < 1e-3 or abs(g - 0.7) < 1e-3 for g in gaps)
    assert SpacegroupAnalyzer(crystal.to_pymatgen()).get_space_group_number() == 186


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"parameter_values": [4.5937, 0.64387, 0.02]}, "closer than"),
        ({"parameter_values": [4.5937, 0.64387, 0.0]}, "closer than"),
        ({"prototype": "O13Ti7"}, "partially occupied"),
        ({"parameter_symbols": ["a", "c/a", "x9"]}, "parameters of no site"),
        ({"label": "rutile"}, "not AFLOW's"),
    ],
)
def test_an_entry_that_is_no_crystal_says_why(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(EncyclopediaError, match=reason):
        entry_crystal({**RUTILE, **change})


def test_parameters_of_a_higher_symmetry_are_refused() -> None:
    with pytest.raises(EncyclopediaError, match=r"give space group 225, the label says 216"):
        entry_crystal(entry("AB2_cF12_216_a_cd-001", "CaF2", a=5.46))


def test_a_file_gives_its_crystal_or_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "info.json"
    path.write_text(json.dumps(RUTILE))
    assert isinstance(read_entry(path), Crystal)
    assert read_entry(path, max_atoms=5) == "more than 5 atoms in the primitive cell"
    path.write_text("{")
    assert isinstance(read_entry(path), str)
