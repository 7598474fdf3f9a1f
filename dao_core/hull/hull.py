"""`Hull`: the convex hulls of all chemical systems in energies of one label, each built when it is first asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import gcd
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from dao_core.elements import SYMBOLS
from dao_core.hull.facets import FLAT, NOISE, LowerHull, lower_hull
from dao_core.hull.label import EnergyLabel
from dao_core.hull.references import ElementalReferences

Elements: TypeAlias = tuple[int, ...]  # atomic numbers, ascending
Counts: TypeAlias = tuple[int, ...]  # atoms of each, along some elements
_Compounds: TypeAlias = tuple[tuple[Counts, float], ...]  # with their formation energies per atom


class HullCoverageError(ValueError):
    """The hull has no answer for a composition: an element has no reference."""


@dataclass(frozen=True)
class HullEntry:
    """A phase: atoms of each element (atomic number -> count), energy per atom in eV, and its name where it has one."""

    counts: Mapping[int, int]
    energy_per_atom: float
    id: str = ""

    @property
    def formula(self) -> str:
        """Reduced formula in pymatgen's order, such as SrTiO3."""
        from pymatgen.core import Composition

        return str(Composition({SYMBOLS[z]: n for z, n in self.counts.items()}).reduced_formula)


@dataclass(frozen=True)
class Decomposition:
    """The hull at one composition.

    Attributes:
        energy_per_atom: In eV, counted as the hull's own energies are.
        phases: The competing phases with their atomic fractions, the largest first.
    """

    energy_per_atom: float
    phases: tuple[tuple[HullEntry, float], ...]

    def __str__(self) -> str:
        return " + ".join(f"{w:.3g} {e.formula}" if len(self.phases) > 1 else e.formula for e, w in self.phases)


@dataclass(frozen=True)
class HullSystem:
    """The hull of one chemical system.

    Attributes:
        elements: Atomic numbers, ascending.
        lower: The facets over the compounds below the plane of the elements.
        vertices: Counts along `elements` and formation energy per atom of the compounds on the hull.
        points: (n + d, d) mole fractions of the compounds that `lower` was made of, then of the elements.
        counts: The same compounds' counts along `elements`, n of them.
    """

    elements: Elements
    lower: LowerHull
    vertices: _Compounds
    points: NDArray[np.float64]
    counts: tuple[Counts, ...]

    def energy_per_atom(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Hull formation energy in eV/atom at mole fractions `x` (n, d), (n,)."""
        return self.lower.energy(x)


class Hull:
    """All hulls of energies of one label (one source and functional, or one potential).

    Holds the lowest energy of each reduced formula and builds a chemical system's hull from its own entries and the
    vertices of its subsystems. Every question carries the label of its energies, which must be the hull's.
    """

    def __init__(self, references: ElementalReferences) -> None:
        self.references = references
        # elements -> {reduced counts along them: (formation energy per atom, lowest phase)}, below and above zero
        self._below: dict[Elements, dict[Counts, tuple[float, HullEntry]]] = {}
        self._above: dict[Elements, dict[Counts, tuple[float, HullEntry]]] = {}
        self._systems: dict[Elements, HullSystem | None] = {}
        self._inherited: dict[Elements, _Compounds] = {}

    @property
    def label(self) -> EnergyLabel:
        """What the hull's energies mean."""
        return self.references.label

    @classmethod
    def from_entries(
        cls,
        entries: Iterable[HullEntry],
        label: EnergyLabel,
        *,
        references: Iterable[HullEntry] | None = None,
        elements_at_zero: bool = False,
    ) -> Hull:
        """A hull of phases.

        Args:
            entries: The phases.
            label: What their energies mean.
            references: The elements' phases, the lowest of each counting as it stands; no other entry moves them.
                Default: those among `entries`, where formation energies are zero by definition.
            elements_at_zero: Formation energies only: elements without a row stand at zero too.

        Returns:
            The hull.
        """
        items = list(entries)
        elements: dict[int, HullEntry] = {}
        for e in items if references is None else references:
            z = next(iter(e.counts))
            if len(e.counts) == 1 and (z not in elements or e.energy_per_atom < elements[z].energy_per_atom):
                elements[z] = e
        energies = {z: e.energy_per_atom for z, e in elements.items()}
        assumed: frozenset[int] = frozenset()
        if references is None and label.kind == "formation":
            if elements_at_zero:
                assumed = frozenset(z for e in items for z in e.counts) - elements.keys()
            energies = dict.fromkeys([*elements, *assumed], 0.0)
        hull = cls(ElementalReferences(label, energies, assumed, {z: e.id for z, e in elements.items()}))
        for e in items:
            hull.add(e)
        return hull

    def __len__(self) -> int:
        """Number of different formulas, elements included."""
        compounds = sum(len(known) for part in (self._below, self._above) for known in part.values())
        return len(self.references.energies) + compounds

    def add(self, entry: HullEntry) -> bool:
        """Add a phase; an element is none, its energy is a reference.

        Returns:
            True where it may change a hull: the lowest of its formula, and below the elements.
        """
        mean = self.references.elements_energy(entry.counts)
        if mean is None or len(entry.counts) < 2:
            return False
        formation = entry.energy_per_atom - mean
        elements, reduced = reduce_counts(entry.counts)
        for part in (self._below, self._above):
            if formation >= part.get(elements, {}).get(reduced, (np.inf, entry))[0]:
                return False
        if formation > -FLAT:
            self._above.setdefault(elements, {})[reduced] = (formation, entry)
            return False
        self._above.get(elements, {}).pop(reduced, None)
        self._below.setdefault(elements, {})[reduced] = (formation, entry)
        if self._systems or self._inherited:
            self._systems = {s: h for s, h in self._systems.items() if not set(elements) <= set(s)}
            self._inherited = {s: c for s, c in self._inherited.items() if not set(elements) <= set(s)}
        return True

    def system(self, elements: Iterable[int]) -> HullSystem | None:
        """The hull of a chemical system, or None where one of its elements has no reference."""
        key = tuple(sorted(set(elements)))
        if key not in self._systems:
            self._systems[key] = self._build(key)
        return self._systems[key]

    def _build(self, elements: Elements) -> HullSystem | None:
        if any(z not in self.references.energies for z in elements):
            return None
        own = ((counts, energy) for counts, (energy, _) in self._below.get(elements, {}).items())
        relevant = (*own, *self._from_subsystems(elements))
        rows, energies = tuple(row for row, _ in relevant), [energy for _, energy in relevant]
        counts = np.array(rows, dtype=np.float64).reshape(-1, len(elements))
        x = counts / counts.sum(axis=1, keepdims=True)
        lower = lower_hull(x, np.array(energies))
        vertices = tuple((rows[i], energies[i]) for i in lower.vertices)
        return HullSystem(elements, lower, vertices, np.concatenate([x, np.eye(len(elements))]), rows)

    def _from_subsystems(self, elements: Elements) -> _Compounds:
        """The vertices of every proper subsystem, along `elements`: besides own entries nothing can be a vertex here.

        A subsystem without entries of its own has the vertices of its own subsystems: no hull is computed for it.
        """
        if len(elements) <= 2:
            return ()
        if elements not in self._inherited:
            vertices: dict[Counts, float] = {}  # one on a shared edge comes with several faces
            for left_out in range(len(elements)):
                subset = elements[:left_out] + elements[left_out + 1 :]
                for counts, energy in self._vertices(subset):
                    vertices[(*counts[:left_out], 0, *counts[left_out:])] = energy
            self._inherited[elements] = tuple(vertices.items())
        return self._inherited[elements]

    def _vertices(self, elements: Elements) -> _Compounds:
        if not self._below.get(elements):
            return self._from_subsystems(elements)
        system = self.system(elements)
        return system.vertices if system else ()

    def formation_energy_per_atom(
        self, counts: Mapping[int, int], energy_per_atom: float, *, label: EnergyLabel
    ) -> float | None:
        """Formation energy of an entry against the hull's own elements.

        Args:
            counts: Atomic number -> atoms.
            energy_per_atom: Of the entry, in eV/atom.
            label: What made this energy.

        Returns:
            eV/atom, None where the hull lacks one of the elements.

        Raises:
            ForeignEnergyError: The energy was made by something else than the hull's.
        """
        return self.references.formation_energy_per_atom(counts, energy_per_atom, label=label)

    def e_above_hull(self, counts: Mapping[int, int], energy_per_atom: float, *, label: EnergyLabel) -> float | None:
        """Distance of a phase to the hull.

        Args:
            counts: Atomic number -> atoms.
            energy_per_atom: In eV.
            label: What the energy means.

        Returns:
            eV/atom, negative for an unknown phase below the hull; None where an element has no reference.

        Raises:
            ForeignEnergyError: `label` is not the hull's own.
        """
        formation = self.formation_energy_per_atom(counts, energy_per_atom, label=label)
        system = None if formation is None else self.system(counts)
        if formation is None or system is None:
            return None
        value = formation - float(system.energy_per_atom(fractions(counts, system.elements)[None])[0])
        return 0.0 if abs(value) < NOISE else value

    def decompose(self, counts: Mapping[int, int]) -> Decomposition:
        """The phases that a composition falls apart into at equilibrium.

        Args:
            counts: Atomic number -> atoms.

        Returns:
            Phases with the share of the atoms that each takes.

        Raises:
            HullCoverageError: An element has no reference; the message names it.
        """
        mean, system = self.references.elements_energy(counts), self.system(counts)
        if mean is None or system is None:
            missing = ", ".join(sorted(self.references.missing(counts)))
            raise HullCoverageError(
                f"the hull of {self.label} has no elemental reference for {missing}: add one to CrysDB"
            )
        x = fractions(counts, system.elements)
        weights = system.lower.weights(x, system.points)
        phases = [(self._corner(system, i), w) for i, w in sorted(weights.items(), key=lambda p: -p[1])]
        return Decomposition(float(system.energy_per_atom(x[None])[0]) + mean, tuple(phases))

    def _corner(self, system: HullSystem, index: int) -> HullEntry:
        """The phase at a corner of a system's facets."""
        n = len(system.counts)
        if index >= n:
            return self._element(system.elements[index - n])
        along = zip(system.elements, system.counts[index], strict=True)
        elements, reduced = zip(*((z, k) for z, k in along if k), strict=True)
        return self._below[elements][reduced][1]

    def _element(self, z: int) -> HullEntry:
        return HullEntry({z: 1}, self.references.energies[z], self.references.ids.get(z, ""))

    def phases(self, elements: Iterable[int] | None = None, *, above: bool = True) -> Iterator[HullEntry]:
        """The lowest phase of each formula: the elements, then compounds, those above the elements last.

        Args:
            elements: Atomic numbers; only phases made of these alone. None: all.
            above: Compounds above the elements too, which are on no hull.
        """
        allowed = None if elements is None else set(elements)
        for z in sorted(self.references.energies):
            if allowed is None or z in allowed:
                yield self._element(z)
        for part in (self._below, self._above) if above else (self._below,):
            for system, known in part.items():
                if allowed is None or set(system) <= allowed:
                    yield from (entry for _, entry in known.values())

    def stable(self, elements: Iterable[int]) -> list[dict[int, int]]:
        """Compositions (atomic number -> count) of the compounds on a system's hull; the elements are not listed."""
        system = self.system(elements)
        if system is None:
            return []
        return [{z: n for z, n in zip(system.elements, counts, strict=True) if n} for counts, _ in system.vertices]


def fractions(counts: Mapping[int, int], elements: Sequence[int]) -> NDArray[np.float64]:
    """Mole fractions of a composition.

    Args:
        counts: Atomic number -> atoms.
        elements: The order of the axes, d atomic numbers.

    Returns:
        (d,).
    """
    total = sum(counts.values())
    return np.array([counts.get(z, 0) / total for z in elements])


def count_atoms(atomic_numbers: Iterable[int]) -> dict[int, int]:
    """Atomic number -> atoms, ascending, of a structure's atomic numbers."""
    return dict(sorted(Counter(int(z) for z in atomic_numbers).items()))


def reduce_counts(counts: Mapping[int, int]) -> tuple[Elements, Counts]:
    """(elements ascending, counts divided by their greatest common divisor)."""
    elements = tuple(sorted(counts))
    divisor = gcd(*counts.values())
    return elements, tuple(counts[z] // divisor for z in elements)
