from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from dao_core.crysdb.schema import records_to_table, table_to_records
from dao_core.crysdb.steps.standardise import niggli_reduce, standardise
from dao_core.crystal import Crystal
from tests.helpers.lattices import parameters, random_lattices
from tests.helpers.records import perovskite, record, rocksalt
from tests.helpers.strategies import crystals


def unimodular(rng: np.random.Generator) -> np.ndarray:
    out = np.eye(3, dtype=int)
    for _ in range(6):
        i, j = rng.choice(3, 2, replace=False)
        step = np.eye(3, dtype=int)
        step[i, j] = rng.integers(-2, 3)
        out = step @ out
    return out


def test_conditions_of_the_reduced_cell() -> None:
    reduced, transform, ended = niggli_reduce(random_lattices(300))
    assert ended.all()
    metric = reduced @ reduced.transpose(0, 2, 1)
    a, b, c = (metric[:, i, i] for i in range(3))
    xi, eta, zeta = 2 * metric[:, 1, 2], 2 * metric[:, 0, 2], 2 * metric[:, 0, 1]
    tol = 1e-3
    assert (a <= b + tol).all()
    assert (b <= c + tol).all()
    assert (np.abs(xi) <= b + tol).all()
    assert (np.abs(eta) <= a + tol).all()
    assert (np.abs(zeta) <= a + tol).all()
    acute = (xi > 0) & (eta > 0) & (zeta > 0)
    obtuse = (xi <= tol) & (eta <= tol) & (zeta <= tol)
    assert (acute | obtuse).all()
    assert (xi + eta + zeta + a + b >= -tol).all()
    assert np.allclose(np.abs(np.linalg.det(transform)), 1)
    assert (np.linalg.det(reduced) > 0).all()


def test_any_cell_of_one_lattice_gives_the_same_one() -> None:
    rng = np.random.default_rng(1)
    lattices = random_lattices(100, seed=2)
    others = np.array([unimodular(rng) @ lattice for lattice in lattices])
    first, second = niggli_reduce(lattices)[0], niggli_reduce(others)[0]
    for x, y in zip(first, second, strict=True):
        assert parameters(x) == pytest.approx(parameters(y), abs=1e-6)


def test_near_degenerate_lattice_ends() -> None:
    """From the WBM set: three lengths equal to 1e-6, on which one tolerance alone goes round in circles."""
    lattice = np.array([[4.64122697, 0, 2.68032502], [1.54727697, 4.37571931, 2.68033544], [0, 0, 5.3595863]])
    reduced, _, ended = niggli_reduce(lattice[None])
    assert ended.all()
    assert np.linalg.det(reduced[0]) == pytest.approx(abs(np.linalg.det(lattice)))


def test_no_volume_is_reported_not_reduced() -> None:
    flat = np.array([[[1.0, 0, 0], [2.0, 0, 0], [0, 0, 1.0]]])
    assert not niggli_reduce(flat)[2].any()


@given(crystals())
@settings(max_examples=40, deadline=None)
def test_standardise_keeps_the_crystal(crystal: Crystal) -> None:
    table, refused = standardise(records_to_table([record("a", crystal)]))
    assert not refused
    out = table_to_records(table)[0].crystal
    assert out.volume == pytest.approx(crystal.volume)
    # every atom sits where it was, modulo the old lattice
    delta = (out.cart_coords - crystal.cart_coords) @ np.linalg.inv(crystal.lattice)
    assert np.abs(delta - np.rint(delta)).max() < 1e-6
    assert (out.atomic_numbers == crystal.atomic_numbers).all()


def test_mixed_sizes_and_forces_stay() -> None:
    skewed = rocksalt()
    skewed = skewed.replace(lattice=unimodular(np.random.default_rng(3)) @ skewed.lattice)
    rows = [record("a", skewed, forces=np.ones((2, 3))), record("b", perovskite()), record("c", skewed)]
    table, _ = standardise(records_to_table(rows))
    out = table_to_records(table)
    assert [r.n_atoms for r in out] == [2, 5, 2]
    assert np.array_equal(out[0].forces, np.ones((2, 3)))
    assert np.allclose(out[0].frac_coords, out[2].frac_coords)
