"""A CIF cut or damaged anywhere gives the whole structure or a refusal, and never another exception."""

from __future__ import annotations

import random

import numpy as np
import pytest
from pymatgen.io.cif import CifWriter

from dao_core.crystal import Crystal
from dao_core.readers.base import UnreadableError
from dao_core.readers.cif import read_cif
from dao_core.readers.content import decode
from tests.helpers.cif_text import cif
from tests.helpers.structures import perovskite, peroxide, rutile

PLACES = ("label", "fract_x", "fract_y", "fract_z")
TEXTS = {
    "P1": rutile().to_cif(),
    "symmetry": str(CifWriter(perovskite().to_pymatgen(), symprec=0.01)),
    "monoclinic": str(CifWriter(peroxide().to_pymatgen(), symprec=0.01)),
}


def structures(text: str) -> list[Crystal]:
    try:
        return [b.value for b in read_cif(text) if isinstance(b.value, Crystal)]
    except UnreadableError:
        return []


def damaged(text: str, rng: random.Random) -> str:
    """A few bytes changed, removed or put in."""
    data = bytearray(text.encode())
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        at, kind = rng.randrange(len(data)), rng.random()
        if kind < 0.6:
            data[at] = rng.randrange(256)
        elif kind < 0.8:
            del data[at : at + rng.randrange(1, 9)]
        else:
            data[at:at] = bytes(rng.randrange(32, 127) for _ in range(rng.randrange(1, 4)))
    return bytes(data).decode("latin-1")


@pytest.mark.parametrize("name", TEXTS)
def test_every_cut(name: str) -> None:
    text = TEXTS[name]
    (whole,) = structures(text)
    for end in range(len(text)):
        for crystal in structures(text[:end]):
            assert crystal.atomic_numbers.tolist() == whole.atomic_numbers.tolist(), text[:end][-60:]
            np.testing.assert_allclose(crystal.frac_coords, whole.frac_coords, err_msg=text[:end][-60:])


@pytest.mark.parametrize("name", TEXTS)
def test_a_thousand_mutations(name: str) -> None:
    text, rng = TEXTS[name], random.Random(name)
    (whole,) = structures(text)
    n_read = 0
    for _ in range(1000):
        changed = damaged(text, rng)
        for crystal in structures(changed):
            n_read += 1
            assert crystal.composition == whole.composition, changed
    assert 0 < n_read < 1000


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        (cif("4 4 4", ["K1 0 0 0", "Br1 .5 .5 .25"]), False),  # may have been .255
        (cif("4 4 4", ["K1 0 0 0 1", "Br1 .5 .5 .25 1"], columns=(*PLACES, "occupancy")), True),
        (cif("4 4 4", ["K1 0 0 0 Uani", "Br1 .5 .5 .25 Uani"], columns=(*PLACES, "adp_type")), True),
        (cif("4 4 4", ["K1 0 0 0", "Br1 .5 .5 .25"]) + "_publ_year 19", True),
        (cif("4 4 4", ["K1 0 0 0", "Br1 .5 .5 .25"]) + "_cell_volume 6", False),
        (cif("4 4 4", ["0 0 0 Ba", ".5 .5 .5 B"], columns=(*PLACES[1:], "label")), False),  # may have been Br
        (cif("4 4 4", ["0 0 0 Ba1 Ba", ".5 .5 .5 S1 S"], columns=(*PLACES[1:], "label", "type_symbol")), False),
        (cif("4 4 4", ["K1 0 0 0", "Br1 .5 .5 .25"], "") + "_symmetry_space_group_name_H-M Pm", False),
        (cif("4 4 4", ["K1 0 0 0", "Br1 .5 .5 .25"]) + "_symmetry_cell_setting cubic", True),
    ],
)
def test_the_last_number_of_a_line_without_an_end_is_not_trusted(text: str, whole: bool) -> None:
    assert structures(text.rstrip("\n") + "\n") or not whole
    if whole:
        assert structures(text.rstrip("\n"))
    else:
        with pytest.raises(UnreadableError, match="the last line has no end"):
            read_cif(text.rstrip("\n"))


@pytest.mark.parametrize("end", ["data_", "data_n", "data_next\n"])
def test_a_cut_behind_the_name_of_the_next_block(end: str) -> None:
    found = read_cif(TEXTS["P1"] + end)
    assert isinstance(found[0].value, Crystal)
    assert "nothing below it: the file may be cut" in str(found[1].value)


def test_encodings() -> None:
    text = "# M\xfcller\n" + TEXTS["P1"]
    for data in (text.encode(), b"\xef\xbb\xbf" + text.encode(), text.encode("latin-1"), text.encode("utf-16"),
                 text.replace("\n", "\r\n").encode(), text.replace("\n", "\r").encode()):  # fmt: skip
        assert structures(decode(data, "x"))
    with pytest.raises(UnreadableError, match="not text"):
        decode(b"\xff\xfe\x00", "x")
