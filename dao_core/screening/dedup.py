"""Merging candidates that are the same structure: buckets by formula and space group, matching only inside one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property

from dao_core.generate.symmetry.wyckoff_tables import point_group_order
from dao_core.matching.alignment import Cell, Tolerances
from dao_core.matching.reduction import reduced_primitive
from dao_core.matching.same import CLOSE, STRICT, same_reduced, without_hand
from dao_core.screening.candidate import NOT_RELAXED, Candidate
from dao_core.screening.proposed import KNOWN

SAME_ENERGY = 0.002  # eV/atom: closer than this, structures in different space groups may still be one


def merge_key(candidate: Candidate) -> tuple[bool, float, bool, float, str]:
    """Sort key: usable ones first, by prior, then judged ones, then by energy, then by id: ties have one order."""
    energy = float("inf") if candidate.energy_per_atom is None else candidate.energy_per_atom
    prior = float("-inf") if candidate.log_prior is None else candidate.log_prior
    return (candidate.rejected, -prior, not candidate.judged, energy, candidate.id)


def deduplicate(candidates: Iterable[Candidate], tolerances: Tolerances = STRICT) -> list[Candidate]:
    """Merge equal structures: one stands for all, with their count.

    Inside a bucket of equal formula and space group (left- and right-handed ones are equal) two candidates merge when
    they are the same crystal. Across space groups of one formula they merge only when their energies also agree within
    2 meV/atom: a relaxed structure that just missed its symmetry is not a second polymorph. Before anybody relaxed
    them, guesses merge across space groups too, but never with what a library lists: of BaTiO3 it lists three
    ferroelectric phases that differ by less than the tolerances. Rejected candidates merge only among each other.

    The member of highest prior stands for its group: one of lower energy that is merely similar would take a right
    structure's place. Only among those that ended at the same minimum does the lowest energy decide, and among those of
    about the same energy the symmetry: a description that just misses it is shown as what it is.

    Args:
        candidates: Any.
        tolerances: When two are the same crystal.

    Returns:
        Distinct candidates, the most probable before any energy first.
    """
    ordered = sorted(candidates, key=merge_key)
    kept: dict[tuple[str, bool], list[_Group]] = {}
    for candidate in ordered:
        groups = kept.setdefault((candidate.formula, candidate.rejected), [])
        entry = _Member(candidate)
        homes = [g for g in groups if g.holds(entry, tolerances)]
        home = next((g for g in homes if entry.group in g.one_of_each_space_group()), homes[0] if homes else None)
        if home is None:
            groups.append(_Group(entry))
        else:
            home.members.append(entry)
    merged = [g.result() for groups in kept.values() for g in groups]
    return sorted(merged, key=merge_key)


class _Member:
    """A candidate with its reduced cell, which is made once a structure and not once a comparison."""

    def __init__(self, candidate: Candidate) -> None:
        self.candidate = candidate

    @cached_property
    def cell(self) -> Cell:
        return reduced_primitive(self.candidate.crystal)

    @property
    def group(self) -> int | None:
        """Space group, of left- and right-handed ones the same."""
        return without_hand(self.candidate.spacegroup_after)


class _Group:
    """One distinct structure: its first member has the highest prior."""

    def __init__(self, first: _Member) -> None:
        self.members = [first]

    def holds(self, other: _Member, tolerances: Tolerances) -> bool:
        return any(_same(member, other, tolerances) for member in self.one_of_each_space_group().values())

    def one_of_each_space_group(self) -> dict[int | None, _Member]:
        """The first member of each space group."""
        found: dict[int | None, _Member] = {}
        for member in self.members:
            found.setdefault(member.group, member)
        return found

    def result(self) -> Candidate:
        first = self.members[0]
        near = [m.candidate for m in self.members if m is first or same_reduced(first.cell, m.cell, CLOSE)]
        best = min(near, key=_quality)
        equal = [c for c in near if c is best or (_as_good(c, best) and _same_energy(c, best))]
        everyone = [m.candidate for m in self.members]
        known = [c for c in everyone if c.origin == KNOWN]
        # a library that lists a structure twice, with and without an energy, has an energy of it
        own = next((c for c in known if not c.known_without_energy), known[0] if known else first.candidate)
        # of the equally symmetric the first, whose prior is highest; what the library lists is shown as it lists it
        # until somebody has relaxed it, and then as what became of it: KNbO3 is Amm2 though a guess ends in R3m
        listed_ones = [c for c in equal if c.origin == KNOWN]
        chosen = own if known and not (best.relaxed or best.judged) else max(listed_ones or equal, key=_symmetry)
        others = [c for c in everyone if c is not chosen]
        weighed = own if own.known_without_energy else next(c for c in everyone if not c.known_without_energy)
        listed = next((c for c in (own, *everyone) if c.library_id is not None), chosen)
        # the most probable way here counts, not all together: false minima of an energy model have many ways to them
        # (160 validation compositions of MP-20: the first was right in 75.6 %, with sums in 71.2 %)
        return chosen.replace(
            n_merged=sum(c.n_merged for c in everyone),
            merged_ids=_ids(chosen, others),
            # a known structure stays one when a guess leads there as well; without an energy in the library it keeps
            # its own prior, which rises once the judge finds one
            log_prior=weighed.log_prior,
            origin=own.origin,
            library=listed.library,
            library_id=listed.library_id,
            library_e_above_hull=listed.library_e_above_hull,
            library_spacegroup=listed.library_spacegroup,
            mineral=listed.mineral or next((c.mineral for c in everyone if c.mineral), None),
            n_measured=max(c.n_measured for c in everyone),
        )


def _same(a: _Member, b: _Member, tolerances: Tolerances) -> bool:
    if _listed_apart(a.candidate, b.candidate):
        return False
    if a.group != b.group and not _may_merge(a.candidate, b.candidate):
        return False
    return same_reduced(a.cell, b.cell, tolerances)


def _symmetry(c: Candidate) -> int:
    """Order of the point group: OQMD lists zincblende of ZnTe a second time as P3_1, at the same energy."""
    return 0 if c.spacegroup_after is None else point_group_order(c.spacegroup_after)


def _ids(chosen: Candidate, others: Sequence[Candidate]) -> tuple[str, ...]:
    return (*chosen.merged_ids, *(i for c in others for i in (c.id, *c.merged_ids)))


def _quality(c: Candidate) -> tuple[bool, bool, float, str]:
    """The best-known end of a minimum: judged before relaxed before as proposed, then the lowest energy."""
    return (not c.judged, not c.relaxed, float("inf") if c.energy_per_atom is None else c.energy_per_atom, c.id)


def _as_good(c: Candidate, best: Candidate) -> bool:
    return _quality(c)[:2] == _quality(best)[:2]


def _listed_apart(a: Candidate, b: Candidate) -> bool:
    """Whether a library lists both as they stand: it has compared them, and a hundred stackings take minutes."""
    if a.library is None or a.library != b.library or a.library_id == b.library_id:
        return False
    return a.relaxation_status == b.relaxation_status == NOT_RELAXED


def _may_merge(a: Candidate, b: Candidate) -> bool:
    """Whether structures of different space groups can be one: two guesses as they stand, or the energies agree."""
    if a.relaxation_status == b.relaxation_status == NOT_RELAXED:
        return a.library_id is None and b.library_id is None
    return _same_energy(a, b)


def _same_energy(a: Candidate, b: Candidate) -> bool:
    if a.energy_per_atom is None or b.energy_per_atom is None or a.energy_identity != b.energy_identity:
        return False
    return abs(a.energy_per_atom - b.energy_per_atom) < SAME_ENERGY
