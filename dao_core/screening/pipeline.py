"""From relaxed proposals to the ranked landscape: the order of the screening steps, in one place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dao_core.hull.hull import Hull
from dao_core.hull.label import check_label
from dao_core.screening.candidate import Candidate, new_candidate
from dao_core.screening.dedup import deduplicate
from dao_core.screening.given import HELD
from dao_core.screening.novelty import NoveltyIndex, with_novelty
from dao_core.screening.place_on_hull import place_on_hull
from dao_core.screening.ranking import rank, with_probability, with_stability
from dao_core.screening.symmetry import SNAP_SYMPREC, SymmetryError, snap
from dao_core.units import STABLE_BELOW

if TYPE_CHECKING:
    from dao_core.energy.potential import Potential
    from dao_core.energy.relaxation.relax import RelaxationResult

SNAP_ENERGY = 0.002  # eV/atom: snapping to symmetry may cost at most this


@dataclass(frozen=True)
class Screened:
    """Ranked candidates and the counts behind them: n_ok + n_failed == n_asked, n_merged duplicates among the ok."""

    candidates: list[Candidate]
    n_asked: int
    n_ok: int
    n_failed: int
    n_merged: int
    reasons: dict[str, int] = field(default_factory=dict)


def candidate_from_relaxation(
    id: str,
    result: RelaxationResult,
    *,
    origin: str,
    energy_identity: str,
    energy_std: float | None = None,
    provenance: Mapping[str, Any] | None = None,
    cost: Mapping[str, float] | None = None,
) -> Candidate:
    """A candidate from one relaxation; steps, the force left, and a rejection's reason go into the provenance."""
    facts: dict[str, Any] = {
        **(provenance or {}),
        "n_steps": result.n_steps,
        "fmax": result.fmax,
        "stress_gpa": result.stress_gpa,
        "initial_energy_per_atom": result.initial_energy_per_atom,
    }
    if result.reason:
        facts["reason"] = result.reason
    return new_candidate(
        id,
        result.crystal,
        origin=origin,
        energy_per_atom=result.energy_per_atom,
        relaxation_status=str(result.status),
        energy_std=energy_std,
        energy_identity=energy_identity,
        provenance=facts,
        cost=dict(cost or {}),
    )


def symmetrize(
    candidates: Iterable[Candidate], *, symprec: float = SNAP_SYMPREC, potential: Potential | None = None
) -> list[Candidate]:
    """Fill the space groups and snap nearly symmetric structures to their symmetric form.

    With a potential the snapped structure is computed anew: its energy replaces the relaxed one, and a snap that costs
    more than 2 meV/atom is undone (the distortion was real). Without one, the relaxed structure's energy is kept.
    A structure that holds a given framework or lattice keeps its own cell and atoms.
    """
    out: list[Candidate] = []
    for c in candidates:
        try:
            snapped = snap(c.crystal, symprec)
        except SymmetryError as error:
            out.append(c.replace(provenance={**c.provenance, "symmetry": str(error)}))
            continue
        out.append(
            c.replace(
                crystal=c.crystal if c.provenance.get(HELD) else snapped.crystal,
                spacegroup_before=snapped.before,
                spacegroup_after=snapped.after,
                symprec=snapped.symprec,
                prototype=snapped.prototype,
            )
        )
    return out if potential is None else _confirm(list(candidates), out, potential)


def _confirm(originals: Sequence[Candidate], snapped: Sequence[Candidate], potential: Potential) -> list[Candidate]:
    from dao_core.energy.potential import PotentialResult

    changed = [
        i
        for i, c in enumerate(snapped)
        if c.usable and c.spacegroup_after != c.spacegroup_before and not c.provenance.get(HELD)
    ]
    outcomes = potential.compute([snapped[i].crystal for i in changed])
    out = list(snapped)
    for i, outcome in zip(changed, outcomes, strict=True):
        c, original = snapped[i], originals[i]
        energy = outcome.energy / c.crystal.n_atoms if isinstance(outcome, PotentialResult) else None
        relaxed = original.energy_per_atom
        if energy is not None and relaxed is not None and energy <= relaxed + SNAP_ENERGY:
            out[i] = c.replace(energy_per_atom=energy)
            continue
        tight = snap(original.crystal, 0.0)
        out[i] = c.replace(
            crystal=tight.crystal,
            spacegroup_after=tight.after,
            symprec=tight.symprec,
            prototype=tight.prototype,
            provenance={**c.provenance, "snap": "undone: the symmetric form is higher in energy"},
        )
    return out


def screen(
    candidates: Sequence[Candidate],
    *,
    hull: Hull | None = None,
    novelty: NoveltyIndex | None = None,
    potential: Potential | None = None,
    symprec: float = SNAP_SYMPREC,
    stable_below: float = STABLE_BELOW,
) -> Screened:
    """Symmetrise, merge duplicates, place on the hull, compare with the database, and rank.

    Raises ForeignEnergyError before anything else when the hull's energies come from another potential.
    """
    if hull is not None:
        for c in candidates:
            if c.usable:
                check_label(hull.label, c.energy_label)
    n_ok = sum(c.usable for c in candidates)
    reasons = Counter(c.relaxation_status for c in candidates if not c.usable)
    merged = deduplicate(symmetrize(candidates, symprec=symprec, potential=potential))
    found = merged.candidates
    if hull is not None:
        found = place_on_hull(found, hull)
    if novelty is not None:
        found = with_novelty(found, novelty)
    found = rank(with_probability(with_stability(found, threshold=stable_below)))
    n_merged = n_ok - sum(c.usable for c in found)
    return Screened(found, len(candidates), n_ok, len(candidates) - n_ok, n_merged, dict(reasons))
