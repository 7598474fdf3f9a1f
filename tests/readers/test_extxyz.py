"""Extended xyz: frames, quotes, what makes a crystal, and ids that look like numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase.build import bulk
from ase.constraints import FixAtoms, FixCartesian
from hypothesis import given, settings
from hypothesis import strategies as st

from dao_core.crysdb.export import extxyz_text
from dao_core.crystal import Crystal
from dao_core.readers.extxyz import parse_comment, read_extxyz
from dao_core.readers.read import read_structures
from tests.helpers.strategies import crystals

BODY = "K 0 0 0\nBr 2.05 2.05 2.05\n"
CELL = 'Lattice="4.1 0 0 0 4.1 0 0 0 4.1"'


def frame(comment: str = f"{CELL} Properties=species:S:1:pos:R:3", body: str = BODY) -> str:
    return f"{len(body.splitlines())}\n{comment}\n{body}"


def values(text: str) -> list[Crystal | str | None]:
    return [row.value for row in read_extxyz(text, "x")]


@settings(max_examples=40, deadline=None, derandomize=True)
@given(crystals())
def test_round_trip_to_the_last_digit(crystal: Crystal) -> None:
    (back,) = values(crystal.to_extxyz())
    assert isinstance(back, Crystal)
    assert back.atomic_numbers.tolist() == crystal.atomic_numbers.tolist()
    np.testing.assert_array_equal(back.lattice, crystal.lattice)
    away = back.frac_coords - crystal.frac_coords
    assert np.abs(away - np.rint(away)).max() < 1e-12


@settings(max_examples=30, deadline=None, derandomize=True)
@given(crystals())
def test_agrees_with_ase(crystal: Crystal) -> None:
    from io import StringIO

    from ase.io import write

    text = StringIO()
    write(text, crystal.to_ase(), format="extxyz")
    (back,) = values(text.getvalue())
    assert isinstance(back, Crystal)
    assert back.symbols == crystal.symbols
    np.testing.assert_allclose(back.lattice, crystal.lattice, atol=1e-7)
    away = back.frac_coords - crystal.frac_coords
    assert np.abs(away - np.rint(away)).max() < 1e-6


@pytest.mark.parametrize("held", [FixAtoms([0]), FixCartesian(1, mask=(True, False, False)), None])
def test_atoms_that_ase_holds_are_noted_as_in_a_poscar(held: Any) -> None:
    from io import StringIO

    from ase.io import write

    atoms, text = bulk("NaCl", "rocksalt", a=5.6), StringIO()
    atoms.set_constraint(held)
    write(text, atoms, format="extxyz", columns=["symbols", "positions", "move_mask"], write_results=False)
    (row,) = read_extxyz(text.getvalue(), "x")
    assert isinstance(row.value, Crystal)
    assert row.notes == (() if held is None else ("selective dynamics are left aside",))


@pytest.mark.parametrize("between", ["", "\n", "\n\n  \n"])
def test_all_frames_whatever_stands_between_them(between: str) -> None:
    assert [type(v) for v in values(between.join([frame()] * 3) + between)] == [Crystal] * 3


@pytest.mark.parametrize(
    ("comment", "match"),
    [
        (f'{CELL} pbc="T T F"', "not periodic in three directions"),
        (f"{CELL} pbc=F", "not periodic in three directions"),
        (f'{CELL} pbc="[True, True, False]"', "not periodic in three directions"),
        (f'{CELL} pbc="TTF"', "not periodic in three directions.*; set it to T T T where it is one"),
        (f'{CELL} pbc="T T"', "are no three flags: write T T T"),
        (f'{CELL} pbc="yes yes no"', "are no three flags: write T T T"),
        (f"{CELL} units=bohr", "lengths are read in angstrom"),
        ("energy=1", "no Lattice"),
        ('Lattice="4 0 0 0 4 0 0 0 0"', "spans no volume"),
        ('Lattice="4 0 0 0 4 0"', "6 numbers"),
        ('Lattice="4 0 0 0 x 0 0 0 4"', "no list of numbers"),
        (f"{CELL} energy=1 energy=2", "'energy' twice"),
        (f'{CELL} note="open', "check its quotes"),
        (f"{CELL} Properties=species:S:1:place:R:3", "no species and positions"),
        (f"{CELL} Properties=species:S:1:pos:R:2", "3 columns|4 columns"),
        (f"{CELL} Properties=species:Q:1:pos:R:3", "no list of name:type:columns"),
    ],
)
def test_frames_that_are_no_crystals_are_refused(comment: str, match: str) -> None:
    (value,) = values(frame(comment))
    assert isinstance(value, str)
    import re

    assert re.search(match, value)


@pytest.mark.parametrize("flag", ["T T T", "1 1 1", "true true true", "T", "TTT"])
def test_periodicity_in_all_its_spellings(flag: str) -> None:
    assert isinstance(values(frame(f'{CELL} pbc="{flag}"'))[0], Crystal)


def test_numbers_beside_the_symbols_are_those_of_the_symbols() -> None:
    comment = f"{CELL} Properties=species:S:1:Z:I:1:pos:R:3"
    assert isinstance(values(frame(comment, "K 19 0 0 0\nBr 35 2 2 2\n"))[0], Crystal)
    assert "Z and species are other elements" in str(values(frame(comment, "K 19 0 0 0\nBr 53 2 2 2\n"))[0])


def test_a_last_word_without_a_line_s_end_is_not_trusted() -> None:
    """What ends in B may have ended in Br."""
    (value,) = values(frame(f"{CELL} Properties=pos:R:3:species:S:1", "0 0 0 K\n2 2 2 Br\n")[:-2])
    assert "the last line has no end" in str(value)


def test_a_bad_frame_leaves_the_others() -> None:
    bad = frame(body=BODY.replace("Br", "Qq"))
    found = values(frame() + bad + frame())
    assert [type(v) for v in found] == [Crystal, str, Crystal]
    assert "'Qq' is no element" in str(found[1])


@pytest.mark.parametrize("rest", ["Br 1 1 1\n", "junk\n", "\n\nK 0 0 0\n" + frame()])
def test_a_frame_that_the_text_does_not_end_with_is_refused_itself(rest: str) -> None:
    """With a count that is too small another compound would be read."""
    found = values(frame() + frame() + rest)
    assert [type(v) for v in found] == [Crystal, str]
    assert "its number of atoms may be wrong" in str(found[1])


def test_every_cut_gives_whole_frames_and_one_reason() -> None:
    text = frame() + frame(f"{CELL} Properties=species:S:1:pos:R:3 energy=-3.25")
    for end in range(1, len(text)):
        found = values(text[:end])
        read = [v for v in found if isinstance(v, Crystal)]
        assert all(c.n_atoms == 2 and c.frac_coords[1] == pytest.approx([0.5] * 3) for c in read), text[:end]
        assert len(read) + sum(isinstance(v, str) for v in found) == len(found) <= 2


def test_columns_keep_their_names_and_words_stay_words() -> None:
    comment = (
        f'{CELL} Properties=species:S:1:pos:R:3:REF_forces:R:3:tag:I:1 REF_energy=-6.5 id=1e5 flag key="a \\"b\\" = c"'
    )
    (row,) = read_extxyz(frame(comment, "K 0 0 0 1 0 0 7\nBr 2.05 2.05 2.05 -1 0 0 8\n"), "x")
    columns = dict(row.columns)
    assert columns.pop("REF_forces").tolist() == [[1, 0, 0], [-1, 0, 0]]
    assert columns.pop("tag").tolist() == [7, 8]
    assert columns == {"REF_energy": "-6.5", "id": "1e5", "flag": True, "key": 'a "b" = c'}


@given(st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\x00"), min_size=1))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_any_text_survives_its_quotes(text: str) -> None:
    kept = "".join(c for c in text if c not in "\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029")
    assert parse_comment(f"id={extxyz_text(kept)} energy=1") == {"id": kept, "energy": "1"}


def test_deuterium_and_numbers_for_elements(tmp_path: Path) -> None:
    (row,) = read_extxyz(frame(body="Li 0 0 0\nD 2 2 2\n"), "x")
    assert isinstance(row.value, Crystal)
    assert (row.value.symbols, row.notes) == (["Li", "H"], ("D is read as H",))
    assert "give the symbol" in str(values(frame(body="3 0 0 0\n1 2 2 2\n"))[0])
    (tmp_path / "f.xyz").write_text(frame() + frame())
    assert [name for name, _ in read_structures(tmp_path / "f.xyz")] == ["f_1", "f_2"]
