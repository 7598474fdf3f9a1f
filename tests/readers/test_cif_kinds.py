"""Modulated and magnetic structures, by whatever item tells them."""

from __future__ import annotations

import pytest

from dao_core.readers.base import UnreadableError
from dao_core.readers.cif import crystal_from_cif
from tests.helpers.cif_text import cif

SALT = ["K1 0 0 0", "Br1 .5 .5 .5"]
P1 = "_symmetry_space_group_name_H-M 'P 1'\n"


@pytest.mark.parametrize(
    ("lines", "match"),
    [
        ("_space_group_magn.number_BNS 1.1", "magnetic"),
        ("_space_group_magn_name_BNS 'P 1'", "magnetic"),
        ("loop_\n_space_group_symop_magn_centering.xyz\nx,y,z,+1", "magnetic"),
        ("loop_\n_atom_site_moment.label\n_atom_site_moment.crystalaxis_x\nK1 2.5", "magnetic"),
        ("loop_\n_atom_site_moment_label\n_atom_site_moment_crystalaxis_z\nK1 -1.0(2)", "magnetic"),
        ("_space_group_ssg_number 12", "modulated"),
        ("_cell_modulation_dimension 2", "modulated"),
        ("loop_\n_cell_wave_vector_seq_id\n_cell_wave_vector_y\n1 0.31", "modulated"),
        ("loop_\n_atom_site_displace_Fourier_atom_site_label\n_atom_site_displace_Fourier_axis\nK1 x", "modulated"),
        ("_cell_subsystems_number 2", "modulated"),
    ],
)
def test_other_kinds_of_structures_are_refused(lines: str, match: str) -> None:
    with pytest.raises(UnreadableError, match=match):
        crystal_from_cif(cif("4.1 4.1 4.1", SALT, P1 + lines))


@pytest.mark.parametrize(
    "lines",
    [
        "_space_group_magn.number_BNS ?", "_cell_modulation_dimension 0", "_space_group_ssg_name .",
        "loop_\n_atom_site_moment.label\n_atom_site_moment.crystalaxis_x\nK1 0.0\nBr1 0",
        "_parent_space_group.IT_number 225",
    ],
)  # fmt: skip
def test_items_that_say_nothing_are_no_reason(lines: str) -> None:
    assert crystal_from_cif(cif("4.1 4.1 4.1", SALT, P1 + lines)).n_atoms == 2
