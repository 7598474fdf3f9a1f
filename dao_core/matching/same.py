"""Structure matching inside buckets, each structure reduced once.

pymatgen's StructureMatcher (Ong et al., Comput. Mater. Sci. 68, 314 (2013)) is the judge of "the same structure"; the
exact key decides which pairs it ever sees.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict


class MatchSettings(BaseModel):
    """Tolerances of the match: pymatgen's defaults, stricter than the benchmarks' match rate."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ltol: float = 0.2
    stol: float = 0.3
    angle_tol: float = 5.0


@dataclass(frozen=True)
class Member:
    """One structure of a bucket: lattice (3, 3), frac_coords (N, 3), atomic_numbers (N,)."""

    name: str
    lattice: NDArray[np.float64]
    frac_coords: NDArray[np.float64]
    atomic_numbers: NDArray[np.integer]


class Matcher:
    """`same(a, b)` with the reductions cached by name."""

    def __init__(self, settings: MatchSettings) -> None:
        from pymatgen.analysis.structure_matcher import StructureMatcher

        self._matcher = StructureMatcher(
            ltol=settings.ltol, stol=settings.stol, angle_tol=settings.angle_tol, primitive_cell=True, scale=True
        )
        self._reduced: dict[str, Any] = {}

    def _reduce(self, member: Member) -> Any:
        if member.name not in self._reduced:
            from pymatgen.core import Lattice, Structure

            structure = Structure(Lattice(member.lattice), member.atomic_numbers.tolist(), member.frac_coords)
            self._reduced[member.name] = self._matcher._get_reduced_structure(structure)
        return self._reduced[member.name]

    def same(self, a: Member, b: Member) -> bool:
        """Whether two structures match after reduction and scaling to equal volume."""
        return bool(self._matcher.fit(self._reduce(a), self._reduce(b), skip_structure_reduction=True))


def group_bucket(members: Sequence[Member], settings: MatchSettings) -> dict[str, str]:
    """Duplicates in one bucket: name -> name of the first earlier member that it matches (itself no duplicate).

    The members' order decides who stands for the others: give the lowest energy first.
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
    """Names of the members that match any target."""
    matcher = Matcher(settings)
    return [m.name for m in members if any(matcher.same(m, t) for t in targets)]
