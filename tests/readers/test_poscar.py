"""POSCAR against ASE's and pymatgen's readers, and its faults."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings

from dao_core.crystal import Crystal
from dao_core.readers.base import UnreadableError
from dao_core.readers.poscar import read_poscar
from tests.helpers.strategies import crystals
from tests.helpers.structures import rutile

LINES = ["a comment", "1.0", "4.1 0 0", "0 4.1 0", "0 0 4.1", "K Br", "1 1", "Direct", "0 0 0", ".5 .5 .5", ""]


def poscar(**changes: str) -> str:
    """The text with lines exchanged: `line_6="K_sv Br"`."""
    lines = list(LINES)
    for name, text in changes.items():
        lines[int(name.removeprefix("line_")) - 1] = text
    return "\n".join(lines)


def same(a: Crystal, b: Crystal) -> None:
    assert a.symbols == b.symbols
    np.testing.assert_allclose(a.lattice, b.lattice, atol=1e-8)
    away = a.frac_coords - b.frac_coords
    np.testing.assert_allclose(away - np.rint(away), 0, atol=1e-8)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(crystals())
def test_reads_what_pymatgen_writes(crystal: Crystal) -> None:
    from pymatgen.io.vasp import Poscar

    assume(np.linalg.det(crystal.lattice) > 0)  # VASP wants it so, and pymatgen turns the others round
    structure = crystal.to_pymatgen().get_sorted_structure()
    text = Poscar(structure).get_str(significant_figures=12)
    crystal_back, _ = read_poscar(text)
    same(crystal_back, Crystal.from_pymatgen(structure))


@pytest.mark.parametrize("direct", [True, False])
@pytest.mark.parametrize("selective", [True, False])
def test_reads_what_ase_writes(direct: bool, selective: bool) -> None:
    from io import StringIO

    from ase.constraints import FixAtoms
    from ase.io import write

    atoms = rutile().to_ase()
    if selective:
        atoms.set_constraint(FixAtoms([0]))
    text = StringIO()
    write(text, atoms, format="vasp", direct=direct, vasp5=True, sort=False)
    same(read_poscar(text.getvalue())[0], rutile())


@pytest.mark.parametrize(
    ("changes", "edge"),
    [
        ({"line_2": "2.0"}, 8.2),
        ({"line_2": "-64.0"}, 4.0),
        ({"line_2": "1.0 1.0 1.0"}, 4.1),
        ({"line_6": "K_sv Br/0a1b2c"}, 4.1),
        ({"line_6": "K Br ! from a database"}, 4.1),
        ({"line_8": "Selective dynamics\nDirect", "line_9": "0 0 0 T T T", "line_10": ".5 .5 .5 T T T"}, 4.1),
        ({"line_2": "1.0 a scaling factor for all"}, 4.1),
        ({"line_8": "Cartesian", "line_10": "2.05 2.05 2.05"}, 4.1),
        ({"line_11": "\n0.1 0.2 0.3\n0 0 0\n"}, 4.1),  # velocities of a CONTCAR
        ({"line_9": "0 0 0 K", "line_10": ".5 .5 .5 Br"}, 4.1),
    ],
)
def test_what_programs_write(changes: dict[str, str], edge: float) -> None:
    crystal, notes = read_poscar(poscar(**changes))
    assert crystal.symbols == ["K", "Br"]
    assert crystal.lattice[0, 0] == pytest.approx(edge)
    assert crystal.frac_coords[1] == pytest.approx([0.5] * 3)
    assert notes == ()


def test_vasp_4_takes_the_elements_from_the_first_line_or_not_at_all() -> None:
    without = "\n".join(LINES[:5] + LINES[6:])
    with pytest.raises(UnreadableError, match="does not say which elements"):
        read_poscar(without)
    crystal, notes = read_poscar(without.replace("a comment", "K Br"))
    assert crystal.symbols == ["K", "Br"]
    assert notes == ("elements taken from the first line",)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"line_2": "0"}, "line 2 of the POSCAR is '0': write one scaling factor"),
        ({"line_2": "1.0 1.0"}, "write one scaling factor"),
        ({"line_2": "1.0 1.0 1.0 1.0"}, "write one scaling factor"),
        ({"line_2": "nan"}, "line 2 of the POSCAR is 'nan': write one scaling factor"),
        ({"line_2": "abc"}, "scaling factor"),
        ({"line_3": "4.1 0"}, "lattice vectors"),
        ({"line_3": "0 0 0"}, "span no volume"),
        ({"line_6": "K Xx"}, "'Xx' is no element"),
        ({"line_6": "K Br Cl"}, "3 elements"),
        ({"line_6": "K/Rb Br"}, "'K/Rb' names two elements"),
        ({"line_7": "1 2"}, "fewer positions"),
        ({"line_7": "1 0"}, "line 7 of the POSCAR is '1 0': .* whole numbers above 0"),
        ({"line_7": "1 -1"}, "line 7 of the POSCAR is '1 -1': .* whole numbers above 0"),
        ({"line_7": "1.0 1.0"}, "line 7 of the POSCAR is '1.0 1.0': .* whole numbers above 0"),
        ({"line_6": "1 0", "line_7": "Direct"}, "line 6 of the POSCAR is '1 0': .* whole numbers above 0"),
        ({"line_10": ".5 .5 .5\n.2 .2 .2"}, "more than its counts say"),
        ({"line_8": "Nonsense"}, "line 8 of the POSCAR is 'Nonsense': write Direct or Cartesian"),
        ({"line_8": ""}, "line 8 of the POSCAR is '': write Direct or Cartesian"),
        ({"line_9": "0 0 x"}, "is no position"),
        ({"line_10": ".5 .5 .5 K"}, "labelled K"),
    ],
)
def test_faults_are_named(changes: dict[str, str], match: str) -> None:
    with pytest.raises(UnreadableError, match=match):
        read_poscar(poscar(**changes))


def test_every_cut_is_whole_or_refused() -> None:
    text = poscar(line_10=".512 .523 .534")
    for end in range(len(text)):
        try:
            crystal, _ = read_poscar(text[:end])
        except UnreadableError:
            continue
        assert crystal.frac_coords[1] == pytest.approx([0.512, 0.523, 0.534]), text[:end]


def test_what_is_left_aside_is_said() -> None:
    held = {"line_8": "Selective dynamics\nDirect", "line_9": "0 0 0 T T F", "line_10": ".5 .5 .5 T T T"}
    assert read_poscar(poscar(**held))[1] == ("selective dynamics are left aside",)
    assert read_poscar(poscar(line_11="another title\n1.0\n"))[1] == ("what follows the positions is left aside",)


def test_deuterium() -> None:
    crystal, notes = read_poscar(poscar(line_6="Li D"))
    assert (crystal.symbols, notes) == (["Li", "H"], ("D is read as H",))
