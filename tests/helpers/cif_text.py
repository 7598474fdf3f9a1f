"""CIF texts in the ways in which people and programs write them."""

from __future__ import annotations

from collections.abc import Sequence

CUBIC = "90 90 90"
HEXAGONAL = "90 90 120"


def cif(
    lengths: str,
    sites: Sequence[str],
    symmetry: str = "_symmetry_space_group_name_H-M 'P 1'",
    angles: str = CUBIC,
    columns: Sequence[str] = ("label", "fract_x", "fract_y", "fract_z"),
) -> str:
    """A block `data_made`: cell, symmetry (any lines), sites with the given columns."""
    cell = [f"_cell_length_{name} {value}" for name, value in zip("abc", lengths.split(), strict=True)]
    cell += [f"_cell_angle_{n} {v}" for n, v in zip(("alpha", "beta", "gamma"), angles.split(), strict=True)]
    loop = ["loop_", *(f"_atom_site_{name}" for name in columns), *sites]
    return "\n".join(["data_made", *cell, symmetry, *loop]) + "\n"


def operations(*texts: str) -> str:
    """A loop of symmetry operations."""
    return "\n".join(["loop_", "_space_group_symop_operation_xyz", *(f"'{t}'" for t in texts)])
