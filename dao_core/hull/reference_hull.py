"""TODO."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

ZERO_WEIGHT = 1e-8


class HullIdentityError(ValueError):
    """The hull and the energies were made by different potentials; the message names both and the remedy."""


class HullCoverageError(ValueError):
    """The hull cannot answer for a composition (an element without any reference)."""


class EnergyRecord(Protocol):
    """What a hull needs of a CrysDB record."""

    material_id: str
    functional: str
    atomic_numbers: Any
    energy_per_atom: float | None
    formation_energy_per_atom: float | None


@dataclass(frozen=True)
class HullEntry:
    """A reference phase: composition as symbol -> count and its energy per atom (eV)."""

    id: str
    composition: Mapping[str, int]
    energy_per_atom: float

    @property
    def formula(self) -> str:
        from pymatgen.core import Composition

        return str(Composition(dict(self.composition)).reduced_formula)


@dataclass(frozen=True)
class Decomposition:
    """The hull at one composition: energy per atom (eV) and the competing phases with their atomic fractions."""

    energy_per_atom: float
    phases: tuple[tuple[HullEntry, float], ...]

    def __str__(self) -> str:
        return " + ".join(f"{w:.3g} {e.formula}" if len(self.phases) > 1 else e.formula for e, w in self.phases)


@dataclass(frozen=True, eq=False)
class ReferenceHull:
    """Reference phases whose energies come from one potential or functional, named by `identity`."""

    identity: str
    entries: tuple[HullEntry, ...]

    def __post_init__(self) -> None:
        if not self.entries:
            raise HullCoverageError("a hull needs at least one reference phase")

    @cached_property
    def _best(self) -> tuple[HullEntry, ...]:
        """The lowest entry of each reduced formula: no other one can be on the hull."""
        best: dict[str, HullEntry] = {}
        for entry in self.entries:
            formula = entry.formula
            if formula not in best or entry.energy_per_atom < best[formula].energy_per_atom:
                best[formula] = entry
        return tuple(best.values())

    @cached_property
    def elemental(self) -> dict[str, float]:
        """Lowest energy per atom of each pure element present."""
        return {next(iter(e.composition)): e.energy_per_atom for e in self._best if len(e.composition) == 1}

    def within(self, elements: Iterable[str]) -> list[HullEntry]:
        """Lowest entries made of these elements only."""
        allowed = set(elements)
        return [e for e in self._best if set(e.composition) <= allowed]

    def decompose(self, composition: Mapping[str, int]) -> Decomposition:
        """Hull energy and competing phases at a composition. Raises HullCoverageError by missing element."""
        from scipy.optimize import linprog

        elements = sorted(composition)
        if missing := [e for e in elements if e not in self.elemental]:
            raise HullCoverageError(
                f"the hull {self.identity} has no elemental reference for {', '.join(missing)}: add one to CrysDB"
            )
        entries = self.within(elements)
        # Against the elements: total energies are large and close, formation energies keep the digits.
        costs = [self.formation_energy(e.composition, e.energy_per_atom) for e in entries]
        fractions = np.array([_fractions(e.composition, elements) for e in entries]).T  # (elements, entries)
        target = _fractions(composition, elements)
        result = linprog(costs, A_eq=fractions, b_eq=target, bounds=(0, None), method="highs")
        if not result.success:
            raise HullCoverageError(f"no decomposition of {dict(composition)} found: {result.message}")
        phases = [(e, float(w)) for e, w in zip(entries, result.x, strict=True) if w > ZERO_WEIGHT]
        energy = float(result.fun) + self._elements_energy(composition)
        return Decomposition(energy, tuple(sorted(phases, key=lambda p: -p[1])))

    def formation_energy(self, composition: Mapping[str, int], energy_per_atom: float) -> float:
        """Energy per atom against the elemental references (eV/atom). Raises HullCoverageError."""
        return energy_per_atom - self._elements_energy(composition)

    def _elements_energy(self, composition: Mapping[str, int]) -> float:
        total = sum(composition.values())
        try:
            return sum(self.elemental[s] * n for s, n in composition.items()) / total
        except KeyError as error:
            raise HullCoverageError(
                f"the hull {self.identity} has no elemental reference for {error.args[0]}"
            ) from error


def _fractions(composition: Mapping[str, int], elements: Sequence[str]) -> NDArray[np.float64]:
    counts = np.array([composition.get(e, 0) for e in elements], dtype=float)
    return counts / counts.sum()


def hull_from_records(records: Iterable[EnergyRecord], *, identity: str | None = None) -> ReferenceHull:
    """A hull from CrysDB records of one functional, on total energies per atom.

    `identity` defaults to the records' functional. Records without an energy are left out. Raises HullIdentityError
    when records of several functionals are given.
    """
    from dao_core.elements import SYMBOLS

    items = [r for r in records if r.energy_per_atom is not None]
    functionals = {r.functional for r in items}
    if len(functionals) > 1:
        raise HullIdentityError(
            f"records of several functionals ({', '.join(sorted(functionals))}) on one hull: filter to one of them"
        )
    entries = []
    for r in items:
        numbers = [int(z) for z in np.asarray(r.atomic_numbers)]
        composition = {SYMBOLS[z]: numbers.count(z) for z in sorted(set(numbers))}
        entries.append(HullEntry(r.material_id, composition, float(r.energy_per_atom)))  # type: ignore[arg-type]
    name = identity or (next(iter(functionals)) if functionals else "empty")
    return ReferenceHull(name, tuple(entries))


def check_identity(hull: ReferenceHull, energy_identity: str | None) -> None:
    """Raise HullIdentityError unless the hull's energies and the candidates' come from the same potential."""
    if energy_identity != hull.identity:
        raise HullIdentityError(
            f"the hull's energies come from {hull.identity!r}, the candidates' from {energy_identity!r}: relax the "
            "hull's phases with the candidates' potential (relaxed_hull) or evaluate the candidates with the hull's"
        )
