"""Several structures in VASP's format: each is read, as ASE reads them."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import numpy as np
import pytest

from dao_core.crystal import Crystal
from dao_core.readers.base import Refusal
from dao_core.readers.read import read_structures
from dao_core.readers.vasp_frames import poscar_texts
from tests.helpers.structures import rutile

HEAD = "a title\n1.0\n{a} 0 0\n0 4.1 0\n0 0 4.1\nK Br\n1 1\n"
BODY = "0 0 0\n{x} .5 .5\n"
VELOCITIES = "\n0.1 0.2 0.3\n0 0 0\n"


def xdatcar(*, changing: bool, mark: str = "Direct configuration=     {}") -> str:
    """Three frames, in which the second atom moves and, if asked, the cell grows."""
    text = "" if changing else HEAD.format(a=4.1)
    for i in range(3):
        text += HEAD.format(a=4.1 + i) if changing else ""
        text += mark.format(i + 1) + "\n" + BODY.format(x=0.5 + 0.1 * i)
    return text


def found(tmp_path: Path, text: str) -> list[Crystal | Refusal]:
    (tmp_path / "XDATCAR").write_text(text)
    return [value for _, value in read_structures(tmp_path / "XDATCAR")]


@pytest.mark.parametrize("mark", ["Direct configuration=     {}", "Konfig= {}", "direct configuration = {}"])
@pytest.mark.parametrize("changing", [False, True])
def test_every_configuration_is_a_structure(tmp_path: Path, changing: bool, mark: str) -> None:
    frames = found(tmp_path, xdatcar(changing=changing, mark=mark))
    assert [f.symbols for f in frames if isinstance(f, Crystal)] == [["K", "Br"]] * 3
    for i, frame in enumerate(frames):
        assert isinstance(frame, Crystal)
        assert frame.frac_coords[1] == pytest.approx([0.5 + 0.1 * i, 0.5, 0.5])
        assert frame.lattice[0, 0] == pytest.approx(4.1 + i * changing)


def test_agrees_with_ase(tmp_path: Path) -> None:
    from ase.io import read, write

    images = [rutile().to_ase() for _ in range(4)]
    for i, image in enumerate(images):
        image.positions[0] += 0.1 * i
    text = StringIO()
    write(text, images, format="vasp-xdatcar")
    theirs = read(StringIO(text.getvalue()), index=":", format="vasp-xdatcar")
    ours = found(tmp_path, text.getvalue())
    assert len(ours) == len(theirs) == 4
    for a, b in zip(ours, theirs, strict=True):
        assert isinstance(a, Crystal)
        assert a.symbols == list(b.symbols)
        away = a.frac_coords - b.get_scaled_positions()
        np.testing.assert_allclose(away - np.rint(away), 0, atol=1e-7)


@pytest.mark.parametrize("between", ["", "\n", VELOCITIES])
def test_joined_poscars_are_all_read(tmp_path: Path, between: str) -> None:
    one = HEAD.format(a=4.1) + "Direct\n" + BODY.format(x=0.5)
    frames = found(tmp_path, one + between + one.replace("K", "Rb") + between)
    assert [f.formula_reduced for f in frames if isinstance(f, Crystal)] == ["KBr", "RbBr"]


def test_a_cut_trajectory_gives_its_whole_frames_and_a_reason(tmp_path: Path) -> None:
    text = xdatcar(changing=False)
    frames = found(tmp_path, text[: text.rindex("0.7 .5")])
    assert [type(f) for f in frames] == [Crystal, Crystal, Refusal]
    assert isinstance(frames[2], Refusal)
    assert frames[2].row == "XDATCAR frame 2"
    assert "fewer positions" in frames[2].reason


def test_what_follows_one_structure_is_no_other() -> None:
    lattice = "Lattice velocities and vectors\n 1\n" + "0 0 0\n" * 3 + "4.1 0 0\n0 4.1 0\n0 0 4.1\n"
    one = HEAD.format(a=4.1) + "Direct\n" + BODY.format(x=0.5)
    for rest in (VELOCITIES, lattice, "\n  1  1  1\n 0.1 0.2 0.3 0.4 0.5\n", "\n" + "1 1 1\n" * 12):
        assert poscar_texts(one + rest) == [one + rest]
