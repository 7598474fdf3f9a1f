"""Decorated crystal prototypes: the AFLOW library that pymatgen carries, with elements of choice on its sites.

Gives unrelaxed structures of known types for the embedded sample, and any number of them for benchmarks.
Source: Mehl et al., Comput. Mater. Sci. 136, S1 (2017), 288 prototypes through pymatgen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations
from math import comb
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from dao_core.crystal import Crystal, InvalidCrystalError
from dao_core.elements import atomic_number
from dao_core.matching.distances import contact_ratios

CONTACT = 1.03  # bond length over the sum of covalent radii, the median of common solids
MIN_ATOM_VOLUME = 5.0  # angstrom^3; diamond has 5.7
# Elements that crystallise as molecules: bonds say nothing about the room between them. Angstrom^3 per atom at low
# temperature, from the densities of the solids.
MOLECULAR_VOLUME = {1: 19.0, 7: 23.0, 8: 17.5, 9: 16.0, 15: 19.0, 16: 25.0, 17: 29.0, 34: 27.5, 35: 33.0, 53: 43.0}

Fingerprint: TypeAlias = tuple[tuple[int, tuple[tuple[float, int], ...]], ...]


@dataclass(frozen=True, eq=False)
class Prototype:
    """A structure type: a primitive cell and which of its elements ("slot") sits on each site.

    `slots` (N,) holds 0, 1, ...; `label` is AFLOW's, such as AB_cF8_225_a_b. `distinct` lists the orders of elements
    that give different structures (swapping the two of rock salt gives rock salt again).
    """

    label: str
    name: str
    strukturbericht: str
    lattice: NDArray[np.float64]
    frac_coords: NDArray[np.float64]
    slots: NDArray[np.int64]
    distinct: tuple[tuple[int, ...], ...]

    @property
    def n_atoms(self) -> int:
        """Atoms in the primitive cell."""
        return len(self.slots)

    @property
    def n_elements(self) -> int:
        """How many elements the type takes."""
        return int(self.slots.max()) + 1

    def decorate(self, elements: Sequence[str]) -> Crystal:
        """The type with `elements[slot]` on each site, scaled by covalent radii. Raises ValueError on a wrong count."""
        if len(elements) != self.n_elements:
            raise ValueError(f"{self.label} takes {self.n_elements} elements, got {len(elements)}: {list(elements)}")
        numbers = np.array([atomic_number(e) for e in elements])[self.slots]
        scale = contact_scale(self.lattice, self.frac_coords, numbers)
        return Crystal(self.lattice * scale, self.frac_coords, numbers)


def contact_scale(
    lattice: NDArray[np.float64], frac_coords: NDArray[np.float64], atomic_numbers: NDArray[np.int64]
) -> float:
    """Factor on the lattice at which the atoms' nearest bonds are, on average, sums of covalent radii (x 1.03).

    Contacts are those shortest by ratio, not by length, so a small cation in a large cage doesn't set the scale alone.
    No denser than 5 angstrom^3 per atom, and molecular elements no denser than their solids.

    Args:
        lattice: (3, 3), rows in angstrom.
        frac_coords: (N, 3).
        atomic_numbers: (N,).

    Returns:
        The factor.
    """
    ratio = contact_ratios(lattice, frac_coords, atomic_numbers)
    volume = abs(float(np.linalg.det(lattice))) / len(atomic_numbers)
    single = set(atomic_numbers.tolist())
    floor = MOLECULAR_VOLUME.get(single.pop(), MIN_ATOM_VOLUME) if len(single) == 1 else MIN_ATOM_VOLUME
    return max(CONTACT / float(ratio.min(axis=1).mean()), (floor / volume) ** (1.0 / 3.0))


@lru_cache(maxsize=4)
def load_prototypes(max_atoms: int = 12) -> tuple[Prototype, ...]:
    """AFLOW's prototypes with at most `max_atoms` atoms in the primitive cell, in a fixed order, without twins.

    Raises ImportError where the installed pymatgen carries no AFLOW library.
    """
    from pymatgen.analysis.prototypes import AFLOW_PROTOTYPE_LIBRARY

    distinct: dict[tuple[str, Fingerprint], Prototype] = {}
    for entry in AFLOW_PROTOTYPE_LIBRARY:
        structure = entry["snl"].structure if not isinstance(entry["snl"], dict) else None
        if structure is None or not structure.is_ordered:
            continue
        primitive = structure.get_primitive_structure()
        if len(primitive) > max_atoms:
            continue
        prototype = _prototype(entry["tags"], Crystal.from_pymatgen(primitive))
        # AFLOW lists some types twice, by mineral; the fingerprint at equal volume tells
        plain = tuple(range(prototype.n_elements))
        key = (prototype.label.split("_")[0], _fingerprint(prototype, plain, _neighbours(prototype)))
        distinct.setdefault(key, prototype)
    return tuple(sorted(distinct.values(), key=lambda p: (p.n_elements, p.n_atoms, p.label, p.name)))


def _prototype(tags: dict[str, str], crystal: Crystal) -> Prototype:
    symbols = sorted(set(crystal.symbols))
    slots = np.array([symbols.index(s) for s in crystal.symbols])
    bare = Prototype(
        label=tags["aflow"],
        name=tags.get("mineral") or tags["aflow"],
        strukturbericht="" if tags.get("strukturbericht") in (None, "None") else tags["strukturbericht"],
        lattice=crystal.lattice,
        frac_coords=crystal.frac_coords,
        slots=slots,
        distinct=(),
    )
    near = _neighbours(bare)
    seen: dict[Fingerprint, tuple[int, ...]] = {}
    for order in permutations(range(len(symbols))):
        seen.setdefault(_fingerprint(bare, order, near), order)
    return Prototype(**{**bare.__dict__, "distinct": tuple(seen.values())})


def _neighbours(prototype: Prototype) -> list[list[tuple[float, int]]]:
    """For each atom its near neighbours as (distance at unit volume, slot), sorted."""
    scale = (abs(np.linalg.det(prototype.lattice)) / prototype.n_atoms) ** (-1 / 3)
    frac = prototype.frac_coords
    vectors = (frac[:, None, None] - frac[None, :, None] + _shifts(2)) @ prototype.lattice  # (N, N, S, 3)
    distance = np.linalg.norm(vectors, axis=-1) * scale
    near = []
    for row in distance:
        others, images = np.nonzero(row < 1.8)
        near.append(list(zip(np.round(row[others, images], 2).tolist(), prototype.slots[others].tolist(), strict=True)))
    return near


def _fingerprint(prototype: Prototype, order: tuple[int, ...], near: list[list[tuple[float, int]]]) -> Fingerprint:
    """Neighbour distances by species with element `order[slot]`: equal for structures that differ by naming only."""
    rows = (
        (order[slot], tuple(sorted((d, order[other]) for d, other in row)))
        for slot, row in zip(prototype.slots.tolist(), near, strict=True)
    )
    return tuple(sorted(rows))


@lru_cache(maxsize=2)
def _shifts(reach: int) -> NDArray[np.float64]:
    """Integer cell translations up to `reach` along each axis, ((2 reach + 1)^3, 3)."""
    axis = np.arange(-reach, reach + 1, dtype=float)
    return np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)


@dataclass(frozen=True, eq=False)
class Decorated:
    """A decorated prototype: its crystal, the type, and the elements in the order of the slots."""

    crystal: Crystal
    prototype: Prototype
    elements: tuple[str, ...]


def decorations(prototype: Prototype, elements: Sequence[str]) -> Iterator[Decorated]:
    """Every different structure with exactly these elements on the prototype's slots."""
    for order in prototype.distinct:
        placed = tuple(elements[i] for i in order)
        try:
            yield Decorated(prototype.decorate(placed), prototype, placed)
        except InvalidCrystalError:
            continue  # radii too unlike for this type: the volume per atom is out of bounds


def iter_decorated(
    prototypes: Sequence[Prototype], elements: Sequence[str], limit: int, seed: int = 0
) -> Iterator[Decorated]:
    """Decorated prototypes with elements drawn from a set, without repeats.

    Args:
        prototypes: To draw from.
        elements: Symbols to draw from.
        limit: Most structures; fewer where no more are left.
        seed: Of the draws.

    Yields:
        The decorated prototypes.
    """
    rng = np.random.default_rng(seed)
    usable = [p for p in prototypes if p.n_elements <= len(elements)]
    choices = [comb(len(elements), p.n_elements) * len(p.distinct) for p in usable]
    weights = np.array(choices, dtype=float) ** 0.5  # neither all ternaries nor all unaries
    used: set[tuple[int, tuple[str, ...]]] = set()
    total, given = sum(choices), 0
    while given < limit and len(used) < total:
        k = int(rng.choice(len(usable), p=weights / weights.sum()))
        prototype = usable[k]
        chosen = sorted(rng.choice(len(elements), size=prototype.n_elements, replace=False).tolist())
        order = prototype.distinct[int(rng.integers(len(prototype.distinct)))]
        placed = tuple(elements[chosen[i]] for i in order)
        if (k, placed) in used:
            continue
        used.add((k, placed))
        try:
            crystal = prototype.decorate(placed)
        except InvalidCrystalError:
            continue
        given += 1
        yield Decorated(crystal, prototype, placed)
