"""Maxima of made-up ELFs: where they lie, what they are called; cut files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from dao_core.crystal import Crystal, crystal_from_symbols
from dao_core.dft.electronic.elf import CubeError, elf_maxima, read_cube

N = 40


def grid(crystal: Crystal, *, shells: dict[int, float] | None = None, spots: list[tuple[float, ...]] = ()) -> NDArray:  # type: ignore[type-arg,assignment]
    """An ELF with closed shells (atom -> radius) and spots (fractional coordinates, height)."""
    axes = np.stack(np.meshgrid(*[np.arange(N) / N] * 3, indexing="ij"), axis=-1)  # (N, N, N, 3)

    def distance(frac: NDArray[np.float64]) -> NDArray[np.float64]:
        delta = axes - frac
        delta -= np.round(delta)
        return np.asarray(np.linalg.norm(delta @ crystal.lattice, axis=-1))

    out = np.full((N, N, N), 0.1)
    for atom, radius in (shells or {}).items():
        out = np.maximum(out, 0.9 * np.exp(-(((distance(crystal.frac_coords[atom]) - radius) / 0.25) ** 2)))
    for x, y, z, height in spots:
        out = np.maximum(out, height * np.exp(-((distance(np.array([x, y, z])) / 0.5) ** 2)))
    return np.asarray(out)


SALT = crystal_from_symbols(4.0 * np.eye(3), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
LARGE = crystal_from_symbols(8.0 * np.eye(3), ["Ca"], [[0, 0, 0]])
DIATOMIC = crystal_from_symbols(8.0 * np.eye(3), ["Si", "Si"], [[0.5, 0.5, 0.35], [0.5, 0.5, 0.65]])


def test_a_closed_shell_is_no_maximum_off_the_nuclei() -> None:
    assert {m.kind for m in elf_maxima(grid(SALT, shells={1: 0.7}), SALT)} <= {"shell"}


def test_a_closed_shell_holds_no_bond_to_the_ions_around_it() -> None:
    """NaCl by pw.x and pp.x: the maxima of the chloride ion's round shell that face sodium are none of a bond."""
    lattice = 2.82 * (np.ones((3, 3)) - np.eye(3))
    rocksalt = crystal_from_symbols(lattice, ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    facing = np.array([0.5, 0.5, 0.5]) + np.array([0.8, 0.0, 0.0]) @ np.linalg.inv(lattice)
    x, y, z = (float(v) for v in facing)
    found = elf_maxima(grid(rocksalt, shells={1: 0.8}, spots=[(x, y, z, 0.92)]), rocksalt)
    assert {m.kind for m in found} == {"shell"}


def test_electride() -> None:
    found = elf_maxima(grid(LARGE, shells={0: 1.2}, spots=[(0.5, 0.5, 0.5, 0.95)]), LARGE)
    assert found[0].kind == "interstitial"
    assert found[0].frac_coords == pytest.approx((0.5, 0.5, 0.5))
    assert found[0].distance == pytest.approx(4 * 3**0.5, abs=0.01)
    assert [m.kind for m in found].count("interstitial") == 1


def test_bond_and_lone_pair() -> None:
    spots = [(0.5, 0.5, 0.5, 0.9), (0.5, 0.5, 0.8, 0.9)]
    found = elf_maxima(grid(DIATOMIC, spots=spots), DIATOMIC)
    assert sorted(m.kind for m in found) == ["bond", "lone_pair"]


def test_weak_maxima_are_none() -> None:
    assert elf_maxima(grid(LARGE, spots=[(0.5, 0.5, 0.5, 0.4)]), LARGE) == []


def test_origin_and_images_do_not_matter() -> None:
    moved = LARGE.replace(frac_coords=[[0.5, 0.5, 0.5]])
    found = elf_maxima(grid(moved, spots=[(0.0, 0.0, 0.0, 0.95)]), moved)
    assert [m.kind for m in found] == ["interstitial"]


def test_a_cut_cube_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "elf.cube"
    path.write_text("a\nb\n 1 0 0 0\n 2 1 0 0\n 2 0 1 0\n 2 0 0 1\n 14 14 0 0 0\n 1 2 3 4 5 6 7\n")
    with pytest.raises(CubeError, match=r"run pp\.x again"):
        read_cube(path)
    path.write_text(path.read_text() + " 8\n")
    values, lattice = read_cube(path)
    assert values.shape == (2, 2, 2)
    assert lattice[0, 0] == pytest.approx(2 * 0.529177210903)
