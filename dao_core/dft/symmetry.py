"""The little symmetry that DFT inputs need: count operations, clean noise, break it on purpose."""

from __future__ import annotations

import numpy as np

from dao_core.artifacts import content_key
from dao_core.crystal import Crystal

TIGHT, LOOSE = 1e-5, 0.01  # angstrom: what pw.x itself recognises, and what noise of a relaxation hides


def _cell(crystal: Crystal) -> tuple[object, object, object]:
    return crystal.lattice, crystal.frac_coords, crystal.atomic_numbers


def n_symmetries(crystal: Crystal, symprec: float = TIGHT) -> int:
    """Number of space-group operations of the cell."""
    import spglib

    found = spglib.get_symmetry(_cell(crystal), symprec=symprec)
    return 1 if found is None else len(found["rotations"])


def symmetrised(crystal: Crystal, symprec: float = LOOSE, *, primitive: bool = False) -> Crystal | None:
    """The standardised, idealised cell of a nearly symmetric structure.

    Args:
        crystal: Any.
        symprec: Tolerance in angstrom.
        primitive: Whether the primitive cell is made; without it the number of atoms must stay.

    Returns:
        The cell, or None where spglib finds none or atoms would go.
    """
    import spglib

    found = spglib.standardize_cell(_cell(crystal), to_primitive=True, no_idealize=False, symprec=symprec)
    if found is None:
        return None
    cell = Crystal(np.array(found[0]), np.array(found[1]), np.array(found[2]))
    if primitive or cell.n_atoms == crystal.n_atoms:
        return cell
    conventional = spglib.standardize_cell(_cell(crystal), to_primitive=False, no_idealize=False, symprec=symprec)
    if conventional is None or len(conventional[2]) != crystal.n_atoms:
        return None
    return Crystal(np.array(conventional[0]), np.array(conventional[1]), np.array(conventional[2]))


def rattled(crystal: Crystal, sigma: float = 0.01) -> Crystal:
    """Atoms moved at random; the same crystal gives the same displacements.

    Args:
        crystal: Any.
        sigma: Standard deviation of a displacement, angstrom.

    Returns:
        The moved structure.
    """
    seed = int(content_key(x=np.round(crystal.frac_coords, 6).tolist(), n=crystal.n_atoms), 16) % 2**32
    moves = np.random.default_rng(seed).normal(scale=sigma, size=(crystal.n_atoms, 3))
    return crystal.replace(frac_coords=(crystal.cart_coords + moves) @ np.linalg.inv(crystal.lattice))
