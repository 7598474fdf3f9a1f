from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dao_core.hull.facets import lower_hull


def test_an_entry_on_the_tie_plane_is_no_vertex() -> None:
    lower = lower_hull(np.array([[0.5, 0.25, 0.25], [0.2, 0.3, 0.5]]), np.array([-1.0, -1e-13]))
    assert lower.vertices.tolist() == [0]
    assert lower.energy(np.eye(3)) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(
    ("points", "energies"),
    [
        (np.zeros((0, 3)), []),
        (np.array([[0.5, 0.5, 0.0]]), [-1.0]),  # one compound on an edge
        (np.array([[0.4, 0.6]]), [-0.5]),
        (np.array([[0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]), [-1.0, -1.0, -1.0]),  # facets in one plane
    ],
)
def test_weights_of_small_and_degenerate_hulls_add_up(points: np.ndarray, energies: list[float]) -> None:
    lower = lower_hull(points, np.array(energies))
    d = points.shape[1]
    corners, values = np.concatenate([points, np.eye(d)]), np.array([*energies, *[0.0] * d])
    for x in np.random.default_rng(0).dirichlet(np.ones(d), 50):
        found = lower.weights(x, corners)
        index, weight = np.array(list(found)), np.array(list(found.values()))
        assert weight @ corners[index] == pytest.approx(x, abs=1e-9)
        assert weight @ values[index] == pytest.approx(lower.energy(x[None])[0], abs=1e-9)


@given(st.integers(0, 100_000))
@settings(max_examples=30, deadline=None)
def test_a_decomposition_has_the_energy_of_its_hull(seed: int) -> None:
    rng = np.random.default_rng(seed)
    d, n = int(rng.integers(2, 6)), int(rng.integers(1, 25))
    counts = rng.integers(0, 4, (n, d))
    counts = counts[(counts > 0).sum(axis=1) > 1]
    points = counts / counts.sum(axis=1, keepdims=True)
    energies = -np.abs(rng.normal(1, 0.7, len(points))) - 1e-6
    lower = lower_hull(points, energies)
    corners, values = np.concatenate([points, np.eye(d)]), np.array([*energies, *[0.0] * d])
    for x in np.concatenate([points, rng.dirichlet(np.ones(d), 10)]):
        found = lower.weights(x, corners)
        index, weight = np.array(list(found), dtype=int), np.array(list(found.values()))
        assert weight.min() > 0
        assert weight @ corners[index] == pytest.approx(x, abs=1e-8)
        assert weight @ values[index] == pytest.approx(lower.energy(x[None])[0], abs=1e-8)
