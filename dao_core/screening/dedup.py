"""Merging candidates that are the same structure: buckets by formula and space group, matching only inside one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from dao_core.matching.alignment import Cell, Tolerances
from dao_core.matching.reduction import reduced_primitive
from dao_core.matching.same import STRICT, same_reduced
from dao_core.screening.candidate import Candidate

SAME_ENERGY = 0.002  # eV/atom: closer than this, structures in different space groups may still be one


@dataclass(frozen=True)
class Merged:
    """Distinct candidates in the order of their energy, and how many were merged away."""

    candidates: list[Candidate]
    n_merged_away: int


def energy_key(candidate: Candidate) -> tuple[bool, float, str]:
    """Sort key: known energies first, lowest first, then by id, so that ties have one order."""
    energy = candidate.energy_per_atom
    return (not candidate.usable, float("inf") if energy is None else energy, candidate.id)


def deduplicate(candidates: Iterable[Candidate], tolerances: Tolerances = STRICT) -> Merged:
    """Merge equal structures, keeping the one of lowest energy and the count.

    Inside a bucket of equal formula and space group two candidates merge when they are the same crystal. Across
    space groups of one formula they merge only when their energies also agree within 2 meV/atom: a relaxed structure
    that just missed its symmetry is not a second polymorph. Candidates without a usable energy merge only among
    each other.
    """
    ordered = sorted(candidates, key=energy_key)
    kept: dict[tuple[str, bool], list[_Group]] = {}
    for candidate in ordered:
        groups = kept.setdefault((candidate.formula, candidate.usable), [])
        entry = _Group(candidate)
        home = next((g for g in groups if g.holds(entry, tolerances)), None)
        if home is None:
            groups.append(entry)
        else:
            home.absorb(candidate)
    merged = sorted((g.result() for groups in kept.values() for g in groups), key=energy_key)
    return Merged(merged, len(ordered) - len(merged))


class _Group:
    """One distinct structure: its representative (lowest energy) and what was merged into it."""

    def __init__(self, candidate: Candidate) -> None:
        self.candidate = candidate
        self.count = candidate.n_merged
        self.ids: list[str] = list(candidate.merged_ids)
        self.log_priors = [candidate.log_prior]

    def holds(self, other: _Group, tolerances: Tolerances) -> bool:
        a, b = self.candidate, other.candidate
        if a.spacegroup_after != b.spacegroup_after and not _same_energy(a, b):
            return False
        return same_reduced(self.reduced, other.reduced, tolerances)

    @cached_property
    def reduced(self) -> Cell:
        """The reduced primitive cell, made once a structure and not once a comparison."""
        return reduced_primitive(self.candidate.crystal)

    def absorb(self, candidate: Candidate) -> None:
        self.count += candidate.n_merged
        self.ids += [candidate.id, *candidate.merged_ids]
        self.log_priors.append(candidate.log_prior)

    def result(self) -> Candidate:
        # the most probable way here counts, not all together: false minima of an energy model have many ways to them
        # (160 validation compositions of MP-20: the first was right in 75.6 %, with sums in 71.2 %)
        prior = max((p for p in self.log_priors if p is not None), default=None)
        return self.candidate.replace(n_merged=self.count, merged_ids=tuple(self.ids), log_prior=prior)


def _same_energy(a: Candidate, b: Candidate) -> bool:
    if a.energy_per_atom is None or b.energy_per_atom is None:
        return False
    return abs(a.energy_per_atom - b.energy_per_atom) < SAME_ENERGY


def count_merged(candidates: Sequence[Candidate]) -> int:
    """Proposals that stand behind these candidates."""
    return sum(c.n_merged for c in candidates)
