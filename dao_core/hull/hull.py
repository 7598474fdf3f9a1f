"""Convex hulls of formation energy: qhull's lower facets as affine functions, so that all entries cost one matmul.

The lower hull of a chemical system is convex and piecewise linear, so at composition x it is
max_k (a_k . x + b_k) over its lower facets (Barber, Dobkin and Huhdanpaa, ACM TOMS 22, 469 (1996) for the facets).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import gcd
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dao_core.hull.references import ElementalReferences, HullMismatchError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "HullMismatchError",
    "HullSet",
    "HullSystem",
    "fractions",
    "lower_facets",
    "reduce_counts",
    "system_distances",
]

FLAT = 1e-10  # eV/atom: an entry this close to the plane of the elements is no vertex
MIN_FORMATION = -10.0  # eV/atom: the most stable compounds have about -4.6; a row below this has a wrong energy
NOISE = 1e-9  # eV/atom: rounding of the hull distance of a vertex

_Compounds: TypeAlias = tuple[tuple[tuple[int, ...], float], ...]  # counts along a system's elements, energy per atom


def lower_facets(x: NDArray[np.float64], energy: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Affine functions of the lower hull, and the points on it.

    `x` (n, d) mole fractions summing to 1 and `energy` (n,) formation energies, all negative; the d pure elements
    at zero are added here. Returns coefficients (facets, d) such that hull(x) = max(x @ coefficients.T) and the
    indices of the given points that are vertices.
    """
    n, d = x.shape
    if n == 0 or d == 1:
        return np.zeros((1, d)), np.arange(0)
    if d == 2:
        return _lower_chain(x[:, 1], energy)
    if n == 1:  # one compound mixes with elements until one of its own runs out: e min(x_i / x0_i), and e < 0
        own = np.flatnonzero(x[0])
        coefficients = np.zeros((len(own), d))
        coefficients[np.arange(len(own)), own] = energy[0] / x[0, own]
        return coefficients, np.arange(1)
    from scipy.spatial import ConvexHull, QhullError

    scale = float(np.abs(energy).max())
    points = np.zeros((n + d, d))
    points[:n, : d - 1] = x[:, 1:]
    points[:n, d - 1] = energy / scale
    points[n : n + d - 1, : d - 1] = np.eye(d - 1)
    try:
        hull = ConvexHull(points, qhull_options="Qt")
    except QhullError:
        hull = ConvexHull(points, qhull_options="QJ Pp")  # joggled: only for inputs qhull calls flat
    normals = hull.equations
    down = normals[:, d - 1] < -1e-9
    equations = normals[down]
    slope = -equations[:, : d - 1] / equations[:, d - 1 : d] * scale  # d(energy)/d(x_1..)
    offset = -equations[:, d] / equations[:, d - 1] * scale
    # written for all d fractions: a_0 x_0 + ... with sum(x) = 1 absorbs the offset
    coefficients = np.concatenate([offset[:, None], slope + offset[:, None]], axis=1)
    vertices = np.unique(hull.simplices[down])
    return coefficients, vertices[vertices < n]


def _lower_chain(x: NDArray[np.float64], energy: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """The binary case by Andrew's monotone chain: no qhull call for the most frequent small systems."""
    order = np.argsort(x, kind="stable")
    points = [(0.0, 0.0, -1), *((float(x[i]), float(energy[i]), int(i)) for i in order), (1.0, 0.0, -1)]
    chain: list[tuple[float, float, int]] = []
    for p in points:
        while len(chain) > 1 and _turn(chain[-2], chain[-1], p) <= 0:
            chain.pop()
        chain.append(p)
    left = np.array([(p[0], p[1]) for p in chain[:-1]])
    right = np.array([(p[0], p[1]) for p in chain[1:]])
    slope = (right[:, 1] - left[:, 1]) / (right[:, 0] - left[:, 0])
    at_zero = left[:, 1] - slope * left[:, 0]
    vertices = np.array([p[2] for p in chain if p[2] >= 0], dtype=np.intp)
    return np.stack([at_zero, at_zero + slope], axis=1), vertices


def _turn(a: tuple[float, float, int], b: tuple[float, float, int], c: tuple[float, float, int]) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


@dataclass(frozen=True)
class HullSystem:
    """The hull of one chemical system in formation energies.

    `elements` ascending, `coefficients` (facets, d), `vertices` (counts along the elements, formation energy per atom).
    """

    elements: tuple[int, ...]
    coefficients: NDArray[np.float64]
    vertices: _Compounds

    def energy_per_atom(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Hull formation energy in eV/atom at mole fractions `x` (n, d), (n,)."""
        return (x @ self.coefficients.T).max(axis=1)


def system_distances(counts: NDArray[np.float64], energy_per_atom: NDArray[np.float64]) -> NDArray[np.float64]:
    """Hull distances of all entries of one chemical system in one go: one qhull call, one matmul.

    `counts` (n, d) atoms of each of the system's d elements, `energy_per_atom` (n,) in eV, all of one origin. Returns
    eV/atom (n,), all NaN where an element has no entry of its own.
    """
    x = counts / counts.sum(axis=1, keepdims=True)
    pure = (counts > 0).sum(axis=1) == 1
    lowest = np.where(x[pure] > 0, energy_per_atom[pure][:, None], np.inf).min(axis=0, initial=np.inf)
    if not np.isfinite(lowest).all():
        return np.full(len(x), np.nan)
    formation = energy_per_atom - x @ lowest
    below = (formation < -FLAT) & ~pure
    coefficients, _ = lower_facets(x[below], formation[below])
    above = formation - (x @ coefficients.T).max(axis=1)
    above[np.abs(above) < NOISE] = 0.0
    return above


def fractions(counts: Mapping[int, int], elements: Sequence[int]) -> NDArray[np.float64]:
    """Mole fractions of a composition along `elements`, (d,)."""
    total = sum(counts.values())
    return np.array([counts.get(z, 0) / total for z in elements])


class HullSet:
    """All hulls of one source and functional.

    Holds the lowest formation energy of each reduced formula and builds a chemical system's hull when it is first
    asked for, from its own entries and the vertices of its subsystems. Energies in eV/atom. `identity` names what
    made the energies ("materials_project|GGA_GGA+U|total+correction"); every question must carry the same one.
    """

    def __init__(self, references: ElementalReferences) -> None:
        self.references = references
        # elements -> {reduced counts along them: lowest formation energy per atom}
        self._entries: dict[tuple[int, ...], dict[tuple[int, ...], float]] = {}
        self._systems: dict[tuple[int, ...], HullSystem | None] = {}
        self._compounds: dict[tuple[int, ...], _Compounds] = {}

    @property
    def identity(self) -> str:
        return self.references.identity

    @classmethod
    def from_entries(
        cls,
        entries: Iterable[tuple[Mapping[int, int], float]],
        *,
        identity: str,
        kind: str = "total",
        zero: bool = False,
    ) -> HullSet:
        """From (atomic number -> count, energy per atom) pairs.

        `kind` "formation" takes the energies as formation energies: an element's reference is 0 where the source
        has any row of it (or everywhere with `zero`), else it is missing and its systems have no hull.
        """
        pairs = [(dict(c), float(e)) for c, e in entries]
        lowest: dict[int, float] = {}
        for counts, energy in pairs:
            if len(counts) == 1:
                z = next(iter(counts))
                lowest[z] = min(energy, lowest.get(z, np.inf))
        assumed: frozenset[int] = frozenset()
        if kind == "formation":
            lowest = {z: min(0.0, e) for z, e in lowest.items()}
            if zero:
                assumed = frozenset(z for counts, _ in pairs for z in counts) - lowest.keys()
                lowest |= dict.fromkeys(assumed, 0.0)
        out = cls(ElementalReferences(identity, lowest, kind, assumed))
        for counts, energy in pairs:
            out.add(counts, energy)
        return out

    def add(self, counts: Mapping[int, int], energy_per_atom: float) -> bool:
        """Add an entry; True if it may change a hull (its formula's lowest energy, below the elements)."""
        formation = self.references.formation_energy_per_atom(counts, energy_per_atom, identity=self.identity)
        if formation is None or len(counts) < 2 or formation > -FLAT or formation < MIN_FORMATION:
            return False
        elements, reduced = reduce_counts(counts)
        known = self._entries.setdefault(elements, {})
        if known.get(reduced, np.inf) <= formation:
            return False
        known[reduced] = formation
        if self._systems or self._compounds:
            self._systems = {s: h for s, h in self._systems.items() if not set(elements) <= set(s)}
            self._compounds = {s: c for s, c in self._compounds.items() if not set(elements) <= set(s)}
        return True

    def system(self, elements: Iterable[int]) -> HullSystem | None:
        """The hull of a chemical system, or None where a terminal element has no reference."""
        key = tuple(sorted(set(elements)))
        if key not in self._systems:
            self._systems[key] = self._build(key)
        return self._systems[key]

    def _build(self, elements: tuple[int, ...]) -> HullSystem | None:
        if any(z not in self.references.energies for z in elements):
            return None
        relevant = (*self._entries.get(elements, {}).items(), *self._below(elements))
        rows, energies = [row for row, _ in relevant], [energy for _, energy in relevant]
        counts = np.array(rows, dtype=np.float64).reshape(-1, len(elements))
        coefficients, vertices = lower_facets(counts / counts.sum(axis=1, keepdims=True), np.array(energies))
        return HullSystem(elements, coefficients, tuple((rows[i], energies[i]) for i in vertices))

    def _below(self, elements: tuple[int, ...]) -> _Compounds:
        """The vertices of every proper subsystem, along `elements`: besides own entries nothing can be a vertex here.

        A subsystem without entries of its own has the vertices of its own subsystems: no hull is computed for it.
        """
        if len(elements) <= 2:
            return ()
        if elements not in self._compounds:
            found: dict[tuple[int, ...], float] = {}  # one on a shared edge comes with several faces
            for left_out in range(len(elements)):
                subset = elements[:left_out] + elements[left_out + 1 :]
                for counts, energy in self._vertices(subset):
                    found[(*counts[:left_out], 0, *counts[left_out:])] = energy
            self._compounds[elements] = tuple(found.items())
        return self._compounds[elements]

    def _vertices(self, elements: tuple[int, ...]) -> _Compounds:
        if not self._entries.get(elements):
            return self._below(elements)
        system = self.system(elements)
        return system.vertices if system else ()

    def formation_energy_per_atom(
        self, counts: Mapping[int, int], energy_per_atom: float, *, identity: str
    ) -> float | None:
        """Formation energy against the elemental references (None: a reference is missing)."""
        return self.references.formation_energy_per_atom(counts, energy_per_atom, identity=identity)

    def e_above_hull(self, counts: Mapping[int, int], energy_per_atom: float, *, identity: str) -> float | None:
        """Distance to the hull in eV/atom; negative for an unknown phase below it; None without terminal elements.

        Raises HullMismatchError when `identity` is not the hull's own.
        """
        formation = self.formation_energy_per_atom(counts, energy_per_atom, identity=identity)
        if formation is None:
            return None
        system = self.system(counts)
        if system is None:
            return None
        value = formation - float(system.energy_per_atom(fractions(counts, system.elements)[None])[0])
        return 0.0 if abs(value) < NOISE else value

    def stable(self, elements: Iterable[int]) -> list[dict[int, int]]:
        """Compositions (atomic number -> count) of the compounds on a system's hull; the elements are not listed."""
        system = self.system(elements)
        if system is None:
            return []
        return [{z: n for z, n in zip(system.elements, counts, strict=True) if n} for counts, _ in system.vertices]

    def entries(self) -> Iterator[tuple[tuple[int, ...], tuple[int, ...], float]]:
        """(elements, reduced counts, formation energy per atom) of the lowest entry of each formula below zero."""
        for elements, known in self._entries.items():
            for reduced, energy in known.items():
                yield elements, reduced, energy

    @classmethod
    def from_table(cls, table: pa.Table, *, identity: str) -> HullSet:
        """From a table of hull entries (columns identity, atomic_numbers, counts, energy_per_atom, kind)."""
        import pyarrow.compute as pc

        own = table.filter(pc.equal(table["identity"], identity))
        if own.num_rows == 0:
            known = sorted(set(table["identity"].to_pylist()))
            raise HullMismatchError(f"no hull of {identity!r}; there is {', '.join(map(repr, known)) or 'none'}")
        rows = own.to_pylist()
        references = {r["atomic_numbers"][0]: r["energy_per_atom"] for r in rows if len(r["atomic_numbers"]) == 1}
        out = cls(ElementalReferences(identity, references, rows[0]["kind"]))
        for r in rows:
            out.add(dict(zip(r["atomic_numbers"], r["counts"], strict=True)), r["energy_per_atom"])
        return out

    @classmethod
    def load(cls, path: str | Path, *, identity: str) -> HullSet:
        """From the Parquet file that a build leaves beside its table (`hulls.parquet`)."""
        import pyarrow.parquet as pq

        return cls.from_table(pq.read_table(path), identity=identity)


def reduce_counts(counts: Mapping[int, int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """(elements ascending, counts divided by their greatest common divisor)."""
    elements = tuple(sorted(counts))
    divisor = gcd(*counts.values())
    return elements, tuple(counts[z] // divisor for z in elements)
