"""Gaps from eigenvalues: by counting electrons, over several sets of k-points, with spin."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dao_core.dft.electronic.eigenvalues import EigenvalueError, Eigenvalues, band_gap, read_eigenvalues


def bands(energies: list[list[list[float]]], electrons: tuple[float, ...], fermi: float = 0.0) -> Eigenvalues:
    values = np.array(energies)
    return Eigenvalues(np.arange(values.shape[1] * 3).reshape(-1, 3) * 1.0, values, fermi, electrons, True)


def test_indirect_gap_over_mesh_and_path() -> None:
    mesh = bands([[[-3.0, 0.0, 2.0], [-2.0, -1.0, 1.5]]], (4.0,))
    path = bands([[[-3.0, -0.5, 1.0]]], (4.0,))
    gap = band_gap(mesh, path)
    assert (gap.value, gap.kind, gap.direct_value, gap.n_kpoints) == (1.0, "indirect", 1.5, 3)
    assert (gap.valence_top, gap.conduction_bottom) == (0.0, 1.0)


def test_a_calculation_without_empty_bands_adds_its_valence_bands() -> None:
    fixed = bands([[[-3.0, 0.5], [-2.0, -1.0]]], (4.0,))
    path = bands([[[-3.0, 0.0, 1.0]]], (4.0,))
    assert band_gap(fixed, path).value == band_gap(path, fixed).value == 0.5
    with pytest.raises(EigenvalueError, match="no empty band"):
        band_gap(fixed)


def test_direct_gap() -> None:
    assert band_gap(bands([[[0.0, 1.0], [-1.0, 2.0]]], (2.0,))).kind == "direct"


def test_a_fermi_energy_inside_a_band_edge_changes_nothing() -> None:
    assert band_gap(bands([[[0.0, 1.0]]], (2.0,), fermi=1.1)).value == 1.0


def test_metals() -> None:
    assert band_gap(bands([[[0.0, 1.0]]], (1.0,))).is_metal  # an odd electron
    assert band_gap(bands([[[0.0, 1.0], [1.5, 2.0]]], (2.0,))).is_metal  # overlap
    assert band_gap(bands([[[0.0, 1.0]], [[0.0, 1.0]]], (1.4, 0.6))).is_metal  # fractional spins


def test_spins_have_one_gap() -> None:
    gap = band_gap(bands([[[-1.0, 0.0, 3.0]], [[-1.0, 1.0, 4.0]]], (2.0, 1.0)))
    assert (gap.value, gap.kind) == (1.0, "direct")  # up 0 -> down 1


@pytest.mark.parametrize("text", ["", "<espresso/>", "<espresso><output><band_structure/></output></espresso>"])
def test_an_unreadable_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "data-file-schema.xml").write_text(text)
    with pytest.raises(EigenvalueError, match=r"data-file-schema\.xml"):
        read_eigenvalues(tmp_path)
