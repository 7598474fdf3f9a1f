from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from dao_core.energy.relaxation.optimizers import clipped, fire_init, fire_step, lbfgs_init, lbfgs_step


def rosenbrock(x: np.ndarray) -> tuple[float, np.ndarray]:
    """The banana valley in three variables, minimum 0 at (1, 1, 1)."""
    a, b = x[:-1], x[1:]
    value = float((100.0 * (b - a**2) ** 2 + (1 - a) ** 2).sum())
    gradient = np.zeros_like(x)
    gradient[:-1] += -400.0 * a * (b - a**2) - 2 * (1 - a)
    gradient[1:] += 200.0 * (b - a**2)
    return value, gradient


def test_clipped_limits_the_longest_row_and_keeps_the_direction() -> None:
    step = np.array([3.0, 0.0, 4.0, 0.1, 0.0, 0.0])
    short = clipped(step, 0.5)
    assert np.sqrt((short[:3] ** 2).sum()) == pytest.approx(0.5)
    np.testing.assert_allclose(short / step[0] * step[0], step * 0.1)
    np.testing.assert_array_equal(clipped(step, 10.0), step)


def test_lbfgs_finds_the_minimum_of_the_banana_valley() -> None:
    state, x = lbfgs_init(max_step=0.2, energy_noise=0.0), np.array([-1.2, 1.0, 0.5])
    for _ in range(300):
        value, gradient = rosenbrock(x)
        if np.abs(gradient).max() < 1e-8:
            break
        x = lbfgs_step(state, x, value, gradient)
    np.testing.assert_allclose(x, 1.0, atol=1e-6)


def test_lbfgs_never_accepts_an_uphill_point_while_it_can_shorten() -> None:
    state, x = lbfgs_init(max_step=0.2, energy_noise=0.0), np.array([-1.2, 1.0, 0.5])
    accepted = []
    for _ in range(120):
        value, gradient = rosenbrock(x)
        x = lbfgs_step(state, x, value, gradient)
        if state.n_back == 0:
            accepted.append(state.energy)
    assert all(b <= a for a, b in pairwise(accepted))


def test_an_uphill_step_is_shortened_from_the_last_good_point() -> None:
    state = lbfgs_init(max_step=0.2, energy_noise=0.0)
    start, gradient = np.zeros(3), np.array([-30.0, 0.0, 0.0])
    first = lbfgs_step(state, start, 0.0, gradient)
    np.testing.assert_allclose(first, [0.2, 0.0, 0.0])
    np.testing.assert_allclose(lbfgs_step(state, first, 1.0, -gradient), [0.1, 0.0, 0.0])


def test_fire_finds_the_bottom_of_a_stretched_bowl() -> None:
    stiffness = np.array([1.0, 10.0, 50.0])
    state, x = fire_init(max_step=0.2), np.array([1.0, -1.0, 0.5])
    for _ in range(600):
        x = fire_step(state, x, stiffness * x)
    np.testing.assert_allclose(x, 0.0, atol=1e-4)
