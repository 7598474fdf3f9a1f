"""The standard cell: Niggli reduction of many lattices at once.

Krivy and Gruber, Acta Cryst. A32, 297 (1976), with the tolerances of Grosse-Kunstleve, Sauter and Adams, Acta Cryst.
A60, 1 (2004), in numpy over a whole shard.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow as pa

TOLERANCE = 1e-5  # of the cube root of the volume, as pymatgen and cctbx use it
MAX_STEPS = 100
# A lattice just on the border between two cells can go round in circles at one tolerance and end at another.
RETRIES = (1.0, 1e-2, 1e-4, 10.0, 1e-6)


def niggli_reduce(lattices: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.bool_]]:
    """Niggli-reduced, right-handed lattices in the same orientation in space.

    `lattices` (B, 3, 3), rows in angstrom. Returns the reduced lattices (B, 3, 3), the integer matrices T (B, 3, 3)
    with reduced = T @ lattice, and whether each reduction ended (B,).
    """
    lattices = np.asarray(lattices, dtype=np.float64)
    size = len(lattices)
    transform = np.broadcast_to(np.eye(3, dtype=np.int64), (size, 3, 3)).copy()
    metric = lattices @ lattices.transpose(0, 2, 1)  # (B, 3, 3)
    eps = TOLERANCE * np.cbrt(np.abs(np.linalg.det(lattices)))
    ended = np.zeros(size, dtype=bool)
    for factor in RETRIES:
        active = np.flatnonzero((eps > 0) & ~ended)
        transform[active] = np.eye(3, dtype=np.int64)
        for _ in range(MAX_STEPS):
            if len(active) == 0:
                break
            t = transform[active]
            g = t @ metric[active] @ t.transpose(0, 2, 1)
            step, going = _step(g, eps[active] * factor)
            transform[active] = step @ t
            ended[active[~going]] = True
            active = active[going]
    left_handed = np.linalg.det(transform @ lattices) < 0
    transform[left_handed] *= -1
    return transform @ lattices, transform, ended


def _step(g: NDArray[np.float64], eps: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """One step for each metric tensor g (B, 3, 3): the matrix to multiply from the left, and whether to go on."""
    step = np.broadcast_to(np.eye(3, dtype=np.int64), g.shape).copy()
    a, b, c = g[:, 0, 0], g[:, 1, 1], g[:, 2, 2]
    xi, eta, zeta = 2 * g[:, 1, 2], 2 * g[:, 0, 2], 2 * g[:, 0, 1]
    swap_ab = (a > b + eps) | ((np.abs(a - b) < eps) & (np.abs(xi) > np.abs(eta) + eps))
    step[swap_ab] = [[0, -1, 0], [-1, 0, 0], [0, 0, -1]]
    swap_bc = ~swap_ab & ((b > c + eps) | ((np.abs(b - c) < eps) & (np.abs(eta) > np.abs(zeta) + eps)))
    step[swap_bc] = [[-1, 0, 0], [0, 0, -1], [0, -1, 0]]
    rest = np.flatnonzero(~(swap_ab | swap_bc))
    going = swap_ab | swap_bc
    if len(rest):
        signs = _signs(xi[rest], eta[rest], zeta[rest], eps[rest])  # (R, 3)
        i, j, k = signs.T
        angles = np.stack([xi[rest] * j * k, eta[rest] * i * k, zeta[rest] * i * j])
        shear, sheared = _shear(a[rest], b[rest], angles, eps[rest])
        step[rest] = shear * signs[:, None, :]  # shear @ diag(signs)
        going[rest] = sheared
    return step, going


def _signs(
    xi: NDArray[np.float64], eta: NDArray[np.float64], zeta: NDArray[np.float64], eps: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Axis signs that make the three angles all acute or all obtuse (steps A3 and A4), (B, 3)."""
    kinds = np.stack([np.where(np.abs(v) < eps, 0, np.sign(v)) for v in (xi, eta, zeta)], axis=1).astype(np.int64)
    product = kinds.prod(axis=1)
    acute = np.where(kinds == -1, -1, 1)
    obtuse = np.where(kinds == 1, -1, 1)
    odd = obtuse.prod(axis=1) == -1
    # one sign is free where an angle is a right one: the last such axis takes it
    for axis in (2, 1, 0):
        free = odd & (kinds[:, axis] == 0)
        obtuse[free, axis] = -1
        odd &= ~free
    return np.where((product == 1)[:, None], acute, obtuse)


def _shear(
    a: NDArray[np.float64], b: NDArray[np.float64], angles: NDArray[np.float64], eps: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Steps A5 to A8, the first that applies, with `angles` xi, eta, zeta (3, B): row operations (B, 3, 3), and
    whether any did.
    """
    xi, eta, zeta = angles
    total = xi + eta + zeta + a + b
    conditions = [
        (np.abs(xi) > b + eps)
        | ((np.abs(xi - b) < eps) & (2 * eta < zeta - eps))
        | ((np.abs(xi + b) < eps) & (zeta < -eps)),
        (np.abs(eta) > a + eps)
        | ((np.abs(eta - a) < eps) & (2 * xi < zeta - eps))
        | ((np.abs(eta + a) < eps) & (zeta < -eps)),
        (np.abs(zeta) > a + eps)
        | ((np.abs(zeta - a) < eps) & (2 * xi < eta - eps))
        | ((np.abs(zeta + a) < eps) & (eta < -eps)),
        (total < -eps) | ((np.abs(total) < eps) & (2 * (a + eta) + zeta > eps)),
    ]
    which = np.select(conditions, [0, 1, 2, 3], default=4)
    out = np.broadcast_to(np.eye(3, dtype=np.int64), (len(a), 3, 3)).copy()
    for case, (row, column, value) in enumerate([(2, 1, xi), (2, 0, eta), (1, 0, zeta)]):
        hit = which == case
        out[hit, row, column] = -np.sign(value[hit]).astype(np.int64)
    out[which == 3, 2, :] = 1
    return out, which < 4


def reduce_frac_coords(
    frac_coords: NDArray[np.float64], owner: NDArray[np.intp], transform: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Fractional coordinates of all atoms in the transformed cells.

    Args:
        frac_coords: (A, 3) of all structures, one after the other.
        owner: (A,), the structure each atom belongs to.
        transform: (B, 3, 3), as from `niggli_reduce`.

    Returns:
        (A, 3), in [0, 1).
    """
    inverse = np.rint(np.linalg.inv(transform.astype(np.float64)))  # unimodular: the inverse is integer too
    moved = np.einsum("ai,aij->aj", frac_coords, inverse[owner])
    moved -= np.floor(moved)
    return np.where(moved >= 1.0, 0.0, moved)


def standardise(table: pa.Table) -> tuple[pa.Table, dict[str, str]]:
    """The table with every structure in its Niggli cell, and the rows it had to leave out with the reason by id.

    Forces and stress stay as they are, since the orientation in space does.
    """
    import pyarrow as pa

    if table.num_rows == 0:
        return table, {}
    reduced, transform, ended = niggli_reduce(np.asarray(table["lattice"].combine_chunks().flatten()).reshape(-1, 3, 3))
    refused = {}
    if not ended.all():
        ids = table["material_id"].filter(pa.array(~ended)).to_pylist()
        refused = dict.fromkeys(ids, "no Niggli cell: the lattice is too skewed for its metric")
        table, reduced, transform = table.filter(pa.array(ended)), reduced[ended], transform[ended]
    frac = table["frac_coords"].combine_chunks()
    counts = np.asarray(table["n_atoms"]).astype(np.int64)
    owner = np.repeat(np.arange(len(counts)), counts)
    moved = reduce_frac_coords(np.asarray(frac.flatten()).reshape(-1, 3), owner, transform)
    offsets = np.concatenate([[0], np.cumsum(counts * 3)]).astype(np.int32)
    table = _replace(table, "lattice", pa.FixedSizeListArray.from_arrays(pa.array(reduced.ravel()), 9))
    table = _replace(table, "frac_coords", pa.ListArray.from_arrays(pa.array(offsets), pa.array(moved.ravel())))
    return table, refused


def _replace(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    field = table.schema.field(name)
    return table.set_column(table.schema.get_field_index(name), field, values.cast(field.type))
