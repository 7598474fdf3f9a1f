"""Are these the same crystal? One answer for everybody who asks, whatever cells the crystals are written in.

Both are reduced to their primitive Niggli cell (`dao_core.matching.reduction`) and laid on each other at equal volume
(`dao_core.matching.alignment`): the question that pymatgen's `StructureMatcher.fit` answers (Ong et al., Comput. Mater.
Sci. 68, 314 (2013)), with its tolerances, but without its dependence on the cell and on the order of the two. Mirror
images count as the same. Benchmarks that must reproduce pymatgen use `dao_core.matching.rms`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from dao_core.crystal import Crystal
from dao_core.matching.alignment import Cell, Tolerances, can_be_mapped
from dao_core.matching.reduction import reduced_primitive

CLOSE = Tolerances(lengths=0.05, sites=0.08, angles=2.0)  # two ends of relaxations that went to one minimum
STRICT = Tolerances(lengths=0.2, sites=0.3, angles=5.0)  # pymatgen's defaults: duplicates, novelty
LOOSE = Tolerances(
    lengths=0.3, sites=0.5, angles=10.0
)  # the published benchmarks': did a relaxation keep the structure?
# space groups that are mirror images of one another, such as those of left and right quartz
_OTHER_HAND = {
    78: 76, 95: 91, 96: 92, 145: 144, 153: 151, 154: 152, 170: 169, 172: 171, 179: 178, 181: 180, 213: 212,
}  # fmt: skip


def without_hand(spacegroup: int | None) -> int | None:
    """The number of a space group, of two that are mirror images the first."""
    return None if spacegroup is None else _OTHER_HAND.get(spacegroup, spacegroup)


class MatchSettings(BaseModel):
    """Tolerances of the match as a setting; the defaults are those of `STRICT`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ltol: float = STRICT.lengths
    stol: float = STRICT.sites
    angle_tol: float = STRICT.angles

    @property
    def tolerances(self) -> Tolerances:
        """The same numbers as the alignment takes them."""
        return Tolerances(lengths=self.ltol, sites=self.stol, angles=self.angle_tol)


@dataclass(frozen=True)
class Member:
    """One structure of a bucket: lattice (3, 3), frac_coords (N, 3), atomic_numbers (N,)."""

    name: str
    lattice: NDArray[np.float64]
    frac_coords: NDArray[np.float64]
    atomic_numbers: NDArray[np.integer]

    @property
    def crystal(self) -> Crystal:
        """The structure. Raises InvalidCrystalError where the numbers are not a crystal."""
        return Crystal(self.lattice, self.frac_coords, np.asarray(self.atomic_numbers))


def same_crystal(first: Crystal, second: Crystal, tolerances: Tolerances = STRICT) -> bool:
    """Whether two structures are one crystal: equal after reduction, scaling to equal volume and small displacements.

    Args:
        first: Any cell of a crystal; cell, origin, orientation and order of the atoms don't matter.
        second: The other one; exchanging the two doesn't change the answer.
        tolerances: `STRICT` or `LOOSE`.

    Returns:
        Whether they are.
    """
    return same_reduced(reduced_primitive(first), reduced_primitive(second), tolerances)


def same_reduced(first: Cell, second: Cell, tolerances: Tolerances = STRICT) -> bool:
    """`same_crystal` for cells that were reduced before, for those who compare one crystal with many.

    Args:
        first: From `reduced_primitive`.
        second: From `reduced_primitive`.
        tolerances: `STRICT` or `LOOSE`.

    Returns:
        Whether they are one crystal.
    """
    if len(first.numbers) != len(second.numbers):
        return False
    if _precedence(second) < _precedence(first):  # the alignment's tolerances refer to the second cell
        first, second = second, first
    return can_be_mapped(first, second, tolerances)


def _precedence(cell: Cell) -> tuple[float, ...]:
    return (abs(float(np.linalg.det(cell.matrix))), *np.linalg.norm(cell.matrix, axis=1).tolist())


class Matcher:
    """`same(a, b)` with the reduction of each structure kept; two structures may have the same name."""

    def __init__(self, settings: MatchSettings) -> None:
        self._tolerances = settings.tolerances
        self._reduced: dict[int, tuple[Member, Cell]] = {}  # the member is kept, so that its number stays its own

    def _reduce(self, member: Member) -> Cell:
        if id(member) not in self._reduced:
            self._reduced[id(member)] = (member, reduced_primitive(member.crystal))
        return self._reduced[id(member)][1]

    def same(self, a: Member, b: Member) -> bool:
        """Whether two structures are one crystal."""
        return same_reduced(self._reduce(a), self._reduce(b), self._tolerances)


def group_bucket(members: Sequence[Member], settings: MatchSettings) -> dict[str, str]:
    """Find the duplicates in one bucket.

    Args:
        members: Their order decides who stands for the others: give the lowest energy first.
        settings: Tolerances.

    Returns:
        Name -> name of the first earlier member that it matches and that is no duplicate itself.
    """
    matcher = Matcher(settings)
    kept: list[Member] = []
    duplicates: dict[str, str] = {}
    for member in members:
        twin = next((k for k in kept if matcher.same(k, member)), None)
        if twin is None:
            kept.append(member)
        else:
            duplicates[member.name] = twin.name
    return duplicates


def match_against(members: Sequence[Member], targets: Sequence[Member], settings: MatchSettings) -> list[str]:
    """Find the structures that are the same as one of several others.

    Args:
        members: Structures to look at.
        targets: What they are compared with.
        settings: Tolerances.

    Returns:
        Names of the members that match any target.
    """
    matcher = Matcher(settings)
    return [m.name for m in members if any(matcher.same(m, t) for t in targets)]
