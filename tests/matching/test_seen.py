from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk, make_supercell

from dao_core.crystal import Crystal
from dao_core.matching.fingerprint import SAME_DISTANCE, fingerprint_distance
from dao_core.matching.seen import SeenCrystals, fingerprint_of


def metal(form: str) -> Crystal:
    return Crystal.from_ase(bulk("Ag", form, a=2.9 if form != "fcc" else 4.1))


@pytest.mark.parametrize(("first", "second"), [("fcc", "hcp"), ("fcc", "bcc"), ("bcc", "hcp")])
def test_metals_whose_fingerprints_are_alike_are_not_one_crystal(first: str, second: str) -> None:
    a, b = metal(first), metal(second)
    assert fingerprint_distance(fingerprint_of(a), fingerprint_of(b)) < SAME_DISTANCE
    assert SeenCrystals([a]).find(b) is None


def test_zincblende_is_not_wurtzite() -> None:
    wurtzite = Crystal.from_ase(bulk("ZnS", "wurtzite", a=3.82, c=6.26))
    assert SeenCrystals([wurtzite]).find(Crystal.from_ase(bulk("ZnS", "zincblende", a=5.41))) is None


def test_a_crystal_is_found_in_any_cell_and_a_little_displaced() -> None:
    rng = np.random.default_rng(0)
    cell = make_supercell(bulk("ZnS", "zincblende", a=5.41), [[1, 1, 0], [0, 1, 0], [0, 0, 2]])
    cell.rattle(0.02, rng=rng)
    seen = SeenCrystals([Crystal.from_ase(bulk("ZnS", "rocksalt", a=5.0)), Crystal.from_ase(cell)])
    assert seen.find(Crystal.from_ase(bulk("ZnS", "zincblende", a=5.9))) == 1


def test_the_matcher_is_not_asked_where_the_caller_is_sure() -> None:
    seen = SeenCrystals([metal("fcc")])
    assert seen.find(metal("hcp"), surely=lambda i: i == 0) == 0
    assert seen.find(Crystal.from_ase(bulk("Ag", "sc", a=2.6)), surely=lambda _: True) is None  # its print is far
