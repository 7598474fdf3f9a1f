"""Batched relaxation of positions and cell: many crystals in flight, each on its own path.

Crystals that are finished leave the batch and waiting ones take their place. Results are rejected by name when volume,
distances or energy run away, or the crystal leaves what the potential was trained on, and the original is kept.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from dao_core.crystal import Crystal, InvalidCrystalError
from dao_core.energy.potential import (
    Outcome,
    Potential,
    PotentialFailure,
    PotentialResult,
    checked,
)
from dao_core.energy.relaxation.cell import (
    CellWalker,
    Vector,
    walker_arrays,
    walker_gradient,
    walker_init,
)
from dao_core.energy.relaxation.optimizers import (
    FireState,
    LbfgsState,
    fire_init,
    fire_step,
    lbfgs_init,
    lbfgs_step,
)
from dao_core.energy.relaxation.settings import RelaxationResult, RelaxationStatus, RelaxSettings
from dao_core.energy.relaxation.symmetry import SymmetryOperations, find_operations, symmetrized
from dao_core.matching.distances import closer_than, shortest_distance
from dao_core.units import GPA_PER_EV_A3

__all__ = ["Observer", "RelaxSettings", "RelaxationResult", "RelaxationStatus", "relax"]

Observer = Callable[[int, int, Crystal, PotentialResult], None]


def relax(
    crystals: Sequence[Crystal],
    potential: Potential,
    settings: RelaxSettings | None = None,
    *,
    observer: Observer | None = None,
    stop: Callable[[], bool] | None = None,
) -> list[RelaxationResult]:
    """Relax crystals together. A bad crystal raises nothing: see the statuses.

    A crystal's result depends on nothing but itself, as long as the potential answers a crystal alike in any batch.

    Args:
        crystals: Starts.
        potential: Energies, forces and stresses; it is asked on its own device, the steps are taken on the CPU.
        settings: When a relaxation is done and what counts as a blow-up; the defaults if None.
        observer: Called as observer(index, step, crystal, result) at each evaluation.
        stop: Asked before each evaluation of a batch; once it says True, what is not finished ends as `time_up`.

    Returns:
        One result each, in order.
    """
    settings = settings or RelaxSettings()
    results: dict[int, RelaxationResult] = {}
    # neighbours of like size waste the least padding in a dense batch
    waiting = deque(sorted(range(len(crystals)), key=lambda i: (crystals[i].n_atoms, i)))
    flying: dict[int, _Path] = {}
    while waiting or flying:
        while waiting and len(flying) < settings.batch_size:
            i = waiting.popleft()
            path = _Path(crystals[i], settings)
            refusal = path.refusal()
            if refusal is None:
                flying[i] = path
            else:
                results[i] = _within_domain(refusal, potential)
        if not flying:
            continue
        if stop is not None and stop():
            flying |= {i: _Path(crystals[i], settings) for i in waiting}
            results |= {i: _within_domain(path.broken_off(), potential) for i, path in flying.items()}
            break
        outcomes = potential.compute([path.crystal for path in flying.values()])
        for (i, path), outcome in zip(list(flying.items()), outcomes, strict=True):
            outcome = checked(outcome, path.crystal)
            if observer is not None and isinstance(outcome, PotentialResult):
                observer(i, path.n_steps, path.crystal, outcome)
            done = path.advance(outcome)
            if done is not None:
                results[i] = _within_domain(done, potential)
                del flying[i]
    return [results[i] for i in range(len(crystals))]


def _within_domain(result: RelaxationResult, potential: Potential) -> RelaxationResult:
    """The result; the start again where the path has left what the potential was trained on, if that can be told."""
    outside: Callable[[Crystal], str | None] | None = getattr(potential, "outside", None)
    reason = None if outside is None else outside(result.crystal)
    if outside is None or reason is None:
        return result
    unfinished = result.status is RelaxationStatus.TIME_UP  # a rejection would hide that it can be finished
    if unfinished or result.crystal is result.initial or outside(result.initial) is not None:
        return replace(result, outside=reason)
    return replace(
        result,
        crystal=result.initial,
        energy_per_atom=result.initial_energy_per_atom,
        status=RelaxationStatus.REJECTED_DOMAIN,
        reason=f"left what the potential was trained on: {reason}",
    )


@dataclass(frozen=True)
class _Lowest:
    """The lowest structure that a path has come through."""

    enthalpy: float
    energy: float
    crystal: Crystal
    fmax: float
    stress: float


@dataclass
class _Path:
    """One crystal on its way down."""

    initial: Crystal
    settings: RelaxSettings
    n_steps: int = 0
    fmax: float = float("nan")
    stress: float = float("nan")
    start_energy: float | None = None
    start_enthalpy: float = 0.0
    crystal: Crystal = field(init=False)
    walker: CellWalker = field(init=False)
    x: Vector = field(init=False)
    state: LbfgsState | FireState = field(init=False)
    operations: SymmetryOperations | None = None
    lowest: _Lowest | None = None

    def __post_init__(self) -> None:
        s = self.settings
        self.crystal = self.initial
        self.walker, self.x = walker_init(self.initial, relax_cell=s.relax_cell)
        if s.optimizer == "fire":
            self.state = fire_init(max_step=s.max_step)
        else:
            self.state = lbfgs_init(max_step=s.max_step, energy_noise=s.energy_noise * self.initial.n_atoms)
        if s.keep_symmetry:
            self.operations = find_operations(self.initial, symprec=s.symprec)

    def refusal(self) -> RelaxationResult | None:
        """Rejection before any energy, where atoms overlap from the start."""
        if self._is_too_close(self.initial):
            shortest = shortest_distance(self.initial)
            return self._end(RelaxationStatus.REJECTED_DISTANCE, f"atoms {shortest:.2f} A apart at the start")
        return None

    def advance(self, outcome: Outcome) -> RelaxationResult | None:
        """Take the evaluation of `crystal`; either the end or None, with `crystal` moved on."""
        if isinstance(outcome, PotentialFailure):
            return self._end(RelaxationStatus.POTENTIAL_FAILED, outcome.reason)
        result = outcome
        if self.operations is not None:
            result = symmetrized(result, self.operations, self.crystal.lattice)
        pressure = self.settings.pressure_gpa / GPA_PER_EV_A3
        enthalpy = result.energy + (pressure * self.crystal.volume if self.settings.relax_cell else 0.0)
        if self.start_energy is None:
            self.start_energy, self.start_enthalpy = result.energy, enthalpy
        change = (enthalpy - self.start_enthalpy) / self.initial.n_atoms
        if change < -self.settings.max_energy_drop:
            return self._end(RelaxationStatus.REJECTED_ENERGY, f"energy fell by {-change:.2f} eV/atom")
        converged = self._is_converged(result, pressure)
        if converged or self.n_steps >= self.settings.max_steps:
            return self._finish(result, change, converged=converged)
        if self.lowest is None or enthalpy < self.lowest.enthalpy:
            self.lowest = _Lowest(enthalpy, result.energy, self.crystal, self.fmax, self.stress)
        gradient = walker_gradient(self.walker, self.x, result, pressure)
        if isinstance(self.state, LbfgsState):
            self.x = lbfgs_step(self.state, self.x, enthalpy, gradient)
        else:
            self.x = fire_step(self.state, self.x, gradient)
        self.n_steps += 1
        return self._move()

    def broken_off(self) -> RelaxationResult:
        """The end of a path that may not go on: its lowest structure, the start where nothing was evaluated."""
        reason = f"the time was up after {self.n_steps} step{'' if self.n_steps == 1 else 's'}"
        if self.lowest is None:
            return self._end(RelaxationStatus.TIME_UP, reason)
        self.crystal, self.fmax, self.stress = self.lowest.crystal, self.lowest.fmax, self.lowest.stress
        return self._end(RelaxationStatus.TIME_UP, reason, energy=self.lowest.energy)

    def _is_converged(self, result: PotentialResult, pressure: float) -> bool:
        self.fmax = float(np.sqrt((result.forces**2).sum(axis=1).max()))
        self.stress = float(np.abs(result.stress + pressure * np.eye(3)).max()) * GPA_PER_EV_A3
        stress_done = not self.settings.relax_cell or self.stress < self.settings.stress_gpa
        return self.fmax < self.settings.fmax and stress_done

    def _finish(self, result: PotentialResult, change: float, *, converged: bool) -> RelaxationResult:
        if change > self.settings.max_energy_rise:
            return self._end(RelaxationStatus.REJECTED_ENERGY, f"ended {change:.4f} eV/atom above the start")
        if converged:
            return self._end(RelaxationStatus.CONVERGED, "", energy=result.energy)
        reason = f"fmax {self.fmax:.3f} eV/A, stress {self.stress:.2f} GPa after {self.n_steps} steps"
        return self._end(RelaxationStatus.MAX_STEPS, reason, energy=result.energy)

    def _move(self) -> RelaxationResult | None:
        """Build the crystal at the new x, or reject it."""
        lattice, frac = walker_arrays(self.walker, self.x)
        try:
            crystal = Crystal(lattice, frac, self.initial.atomic_numbers)
        except InvalidCrystalError as error:
            return self._end(RelaxationStatus.REJECTED_VOLUME, str(error))
        ratio = crystal.volume / self.initial.volume
        limit = self.settings.max_volume_ratio
        if not 1.0 / limit <= ratio <= limit:
            return self._end(RelaxationStatus.REJECTED_VOLUME, f"volume changed by a factor {ratio:.2f}")
        if self._is_too_close(crystal):
            shortest = shortest_distance(crystal)
            return self._end(RelaxationStatus.REJECTED_DISTANCE, f"atoms came {shortest:.2f} A close")
        self.crystal = crystal
        return None

    def _is_too_close(self, crystal: Crystal) -> bool:
        return closer_than(crystal.lattice, crystal.frac_coords, self.settings.min_distance)

    def _end(self, status: RelaxationStatus, reason: str, energy: float | None = None) -> RelaxationResult:
        """The result; without an energy of its own it is the original with the original's energy."""
        n = self.initial.n_atoms
        start = None if self.start_energy is None else self.start_energy / n
        kept = energy is not None
        return RelaxationResult(
            crystal=self.crystal if kept else self.initial,
            energy_per_atom=energy / n if energy is not None else start,
            status=status,
            n_steps=self.n_steps,
            fmax=self.fmax,
            stress_gpa=self.stress,
            initial=self.initial,
            initial_energy_per_atom=start,
            reason=reason,
        )
