"""FIRE and L-BFGS as init/step pairs on one flat vector; each crystal has its own state, in numpy.

Because a step reads nothing but its own state, a crystal's path cannot depend on the batch it travels in.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
MAX_BACK = 6


def clipped(step: Vector, max_step: float) -> Vector:
    """Scale a step down so that no atom moves too far.

    Args:
        step: (3 N,) or (3 N + 9,).
        max_step: Longest row of three, angstrom.

    Returns:
        The step or a shorter one.
    """
    longest = float(np.sqrt((step.reshape(-1, 3) ** 2).sum(axis=1).max()))
    return step * (max_step / longest) if longest > max_step else step


@dataclass
class LbfgsState:
    """Memory of L-BFGS: the last accepted point, and pairs of steps and gradient changes.

    Source: Nocedal and Wright, Numerical Optimization, algorithm 7.4; `stiffness` is the start value of the Hessian's
    diagonal in eV/angstrom^2 (ASE uses 70).
    """

    max_step: float
    energy_noise: float  # eV: a rise below this is rounding, not uphill
    memory: int = 30
    stiffness: float = 30.0
    x: Vector | None = None
    energy: float = 0.0
    gradient: Vector | None = None
    step: Vector | None = None
    n_back: int = 0
    pairs: list[tuple[Vector, Vector, float]] = field(default_factory=list)


def lbfgs_init(*, max_step: float, energy_noise: float) -> LbfgsState:
    """Fresh memory of L-BFGS.

    Args:
        max_step: Longest displacement of an atom in a step, angstrom.
        energy_noise: eV; a rise below this is rounding, not uphill.
    """
    return LbfgsState(max_step=max_step, energy_noise=energy_noise)


def lbfgs_step(state: LbfgsState, x: Vector, energy: float, gradient: Vector) -> Vector:
    """Next point to evaluate. An uphill step is shortened, at most MAX_BACK times, before it is taken as it is.

    Args:
        state: The memory; it is updated.
        x: The point that was evaluated.
        energy: Enthalpy there, eV.
        gradient: Its gradient there, eV/angstrom.

    Returns:
        The next point.
    """
    if state.x is not None and state.step is not None and state.gradient is not None:
        if energy > state.energy + state.energy_noise:
            if state.n_back < MAX_BACK:
                state.n_back += 1
                state.step = _shortening(state.gradient, gradient, state.step) * state.step
                return state.x + state.step
            state.pairs.clear()  # this potential's forces are not the slope of its energy here: start afresh
        else:
            _remember(state, x - state.x, gradient - state.gradient)
    step = clipped(_direction(state, gradient), state.max_step)
    if float(step @ gradient) >= 0.0:  # not downhill: the memory describes another basin
        state.pairs.clear()
        step = clipped(-gradient / state.stiffness, state.max_step)
    state.x, state.energy, state.gradient, state.step, state.n_back = x, energy, gradient, step, 0
    return x + step


def _shortening(before: Vector, after: Vector, step: Vector) -> float:
    """Where along the step the slope is zero by linear interpolation, kept between a tenth and a half."""
    slope, change = float(before @ step), float(before @ step) - float(after @ step)
    return min(0.5, max(0.1, slope / change)) if change < 0.0 else 0.5


def _remember(state: LbfgsState, s: Vector, y: Vector) -> None:
    curvature = float(s @ y)
    if curvature > 1e-8 * float(np.sqrt((s @ s) * (y @ y))):
        state.pairs.append((s, y, 1.0 / curvature))
        del state.pairs[: -state.memory]


def _direction(state: LbfgsState, gradient: Vector) -> Vector:
    """Two-loop recursion."""
    q = gradient.copy()
    factors = []
    for s, y, rho in reversed(state.pairs):
        a = rho * float(s @ q)
        factors.append(a)
        q -= a * y
    q /= state.stiffness
    for (s, y, rho), a in zip(state.pairs, reversed(factors), strict=True):
        q += s * (a - rho * float(y @ q))
    return -q


@dataclass
class FireState:
    """Velocity and time step of FIRE. Source: Bitzek et al., Phys. Rev. Lett. 97, 170201 (2006); ASE's constants."""

    max_step: float
    dt: float = 0.1
    dt_max: float = 1.0
    mixing: float = 0.1
    n_downhill: int = 0
    velocity: Vector | None = None


def fire_init(*, max_step: float) -> FireState:
    """FIRE at rest.

    Args:
        max_step: Longest step of the whole vector, angstrom.
    """
    return FireState(max_step=max_step)


def fire_step(state: FireState, x: Vector, gradient: Vector) -> Vector:
    """Next point to evaluate.

    Args:
        state: Velocity and time step; they are updated.
        x: The point that was evaluated.
        gradient: Gradient of the enthalpy there, eV/angstrom.

    Returns:
        The next point.
    """
    velocity = np.zeros_like(x) if state.velocity is None else _steered(state, state.velocity, -gradient)
    state.velocity = velocity - state.dt * gradient
    step = state.dt * state.velocity
    length = float(np.sqrt(step @ step))  # ASE limits the whole vector here, not each atom
    return x + (step * (state.max_step / length) if length > state.max_step else step)


def _steered(state: FireState, velocity: Vector, force: Vector) -> Vector:
    """Turn the velocity towards the force while it goes downhill, stop it where it goes uphill."""
    if float(force @ velocity) <= 0.0:
        state.dt, state.mixing, state.n_downhill = 0.5 * state.dt, 0.1, 0
        return np.zeros_like(velocity)
    speed, strength = np.sqrt(velocity @ velocity), np.sqrt(force @ force)
    turned = (1.0 - state.mixing) * velocity + state.mixing * force / strength * speed
    if state.n_downhill > 5:
        state.dt = min(1.1 * state.dt, state.dt_max)
        state.mixing *= 0.99
    state.n_downhill += 1
    return np.asarray(turned)
