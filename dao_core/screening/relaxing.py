"""From proposals to candidates with energies: relaxation with the first model, then with the judge; starts are kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dao_core.crystal import Crystal
from dao_core.energy.potential import Potential, PotentialResult, label_of
from dao_core.energy.relaxation.relax import RelaxationResult, relax
from dao_core.energy.relaxation.settings import RelaxationStatus, RelaxSettings
from dao_core.matching.distances import atoms_overlap
from dao_core.matching.same import same_crystal
from dao_core.screening.candidate import START, START_SUFFIX, Candidate, new_candidate
from dao_core.screening.held_atoms import relax_held, restored
from dao_core.screening.proposed import DE_NOVO, Proposed
from dao_core.screening.settings import SearchSettings

UNFINISHED = "unfinished"  # in the provenance: whose relaxation was broken off, and when
LEFT_PRIOR = -1.6  # log of what a structure keeps of its start's prior where the relaxation left the start


def proposal_candidate(p: Proposed, display_formula: str | None = None) -> Candidate:
    """A proposal as it stands, before any energy."""
    known = p.known
    return new_candidate(
        p.id,
        p.crystal,
        origin=p.origin,
        display_formula=display_formula,
        log_prior=p.log_prior,
        library=None if known is None else known.source,
        library_id=None if known is None else known.material_id,
        library_e_above_hull=None if known is None else known.e_above_hull,
        library_spacegroup=None if known is None else known.spacegroup_number,
        mineral=None if known is None else known.mineral,
        n_measured=0 if known is None else known.n_measured,
        given=p.given,
        held=p.held,
        provenance=dict(p.provenance),
    )


def with_energies(candidates: Sequence[Candidate], potential: Potential) -> list[Candidate]:
    """The candidates with the energies of their structures as they stand.

    Args:
        candidates: Before any relaxation.
        potential: Whose energies are taken.

    Returns:
        The candidates in the same order.
    """
    label = label_of(potential)
    energies = single_points([c.crystal for c in candidates], potential)
    return [
        c.replace(
            energy_per_atom=e,
            energy_identity=label.made_by,
            energy_kind=label.kind,
            relaxation_status="not_relaxed" if e is not None else "potential_failed",
        )
        for c, e in zip(candidates, energies, strict=True)
    ]


def single_points(crystals: Sequence[Crystal], potential: Potential) -> list[float | None]:
    """Energies of structures as they stand.

    Args:
        crystals: Any.
        potential: Whose energies are taken.

    Returns:
        eV/atom, None where the potential has no answer.
    """
    outcomes = potential.compute(crystals) if crystals else []
    return [
        o.energy / c.n_atoms if isinstance(o, PotentialResult) and np.isfinite(o.energy) else None
        for o, c in zip(outcomes, crystals, strict=True)
    ]


@dataclass(frozen=True)
class Relaxer:
    """Relaxes candidates with one potential as the search wants it: within their symmetry, keeping what is given.

    Where `stop` says True, what is not finished is left as it was before, since an energy from the middle of a
    relaxation would be compared with those from the end of others.
    """

    potential: Potential
    settings: SearchSettings
    stop: Callable[[], bool] | None = None

    def first(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """Relax candidates with the search's own potential, together.

        Where the relaxation of a known or substituted structure ends in another structure, the start follows as a
        candidate of its own: energy models relax right structures away. Where the relaxation is rejected, the start
        alone stays, unless its own atoms overlap.
        """
        begin = time.monotonic()
        results = self._run(candidates, self.settings.relax)
        cost = {"relax_s": (time.monotonic() - begin) / max(len(candidates), 1)}
        out = []
        for c, result in zip(candidates, results, strict=True):
            if result.status is RelaxationStatus.TIME_UP:
                out.append(self._unfinished(c, result).replace(cost={**c.cost, **cost}))
                continue
            relaxed = self._relaxed(c, result).replace(cost={**c.cost, **cost})
            keeps_start = c.origin != DE_NOVO and not atoms_overlap(c.crystal)
            if keeps_start and relaxed.rejected and result.n_steps and relaxed.energy_per_atom is not None:
                out.append(relaxed.replace(relaxation_status=START))  # the way was wrong, not where it began
            elif c.origin != DE_NOVO and relaxed.relaxed and not same_crystal(c.crystal, relaxed.crystal):
                start = self._start(c, result)
                out += [_left(relaxed, c, start), start]
            else:
                out.append(relaxed)
        return out

    def judge(self, candidate: Candidate) -> list[Candidate]:
        """Relax one candidate with the judge; the energy that it had stays beside the new one.

        A relaxation that was rejected leaves the candidate as it was, with the reason in its provenance. Where that of
        a known structure ends in another one, the known one follows as a candidate of its own, as it stands.
        """
        begin = time.monotonic()
        result = self._run([candidate], self.settings.judge.relax)[0]
        seconds = time.monotonic() - begin
        cost = {**candidate.cost, "judge_s": seconds}
        if result.status is RelaxationStatus.TIME_UP:
            left = self._unfinished(candidate, result)
            return [left.replace(provenance={**left.provenance, "judge": left.provenance[UNFINISHED]}, cost=cost)]
        judged = self._relaxed(candidate, result)
        if not judged.relaxed:
            facts = {**_finished(candidate), "judge": f"{self.potential.identity}: {result.reason or result.status}"}
            return [candidate.replace(provenance=facts, cost=cost)]
        by_judge: dict[str, Any] = {
            "judged": True,
            "energy_std": None,
            "first_energy_per_atom": candidate.energy_per_atom,
            "first_energy_identity": candidate.energy_identity,
            "first_energy_kind": candidate.energy_kind,
        }
        judged = judged.replace(**by_judge, cost=cost)
        if candidate.library_id is None or same_crystal(candidate.crystal, judged.crystal):
            return self._with_shifts([judged])
        start = self._start(candidate, result).replace(**by_judge)
        return self._with_shifts([_left(judged, candidate, start), start])

    def _with_shifts(self, judged: list[Candidate]) -> list[Candidate]:
        """With what r2SCAN adds to their energies, of a judge that knows it."""
        shifts = getattr(self.potential, "r2scan_shifts", None)
        if shifts is None or not self.settings.judge.r2scan:
            return judged
        found = shifts([c.crystal for c in judged])
        return [c.replace(r2scan_shift=shift) for c, shift in zip(judged, found, strict=True)]

    def _run(self, candidates: Sequence[Candidate], settings: RelaxSettings) -> list[RelaxationResult]:
        # free, DAO-P leaves 63 % of first templates in the listed group, not 71 %
        how = settings.model_copy(update={"keep_symmetry": self.settings.keep_symmetry})
        given, crystals = self.settings.given, [c.crystal for c in candidates]
        constraint = given.constraint() if given.hold else None
        if constraint is None:
            return relax(crystals, self.potential, how, stop=self.stop)
        results = relax_held(crystals, self.potential, given.relaxation(how), constraint.n_kept, self.stop)
        return [replace(r, crystal=restored(r.crystal, constraint)) for r in results]

    def _relaxed(self, c: Candidate, result: RelaxationResult) -> Candidate:
        """A candidate from its relaxation; steps, the force left, and a rejection's reason go into the provenance."""
        label = label_of(self.potential)
        facts = {
            **_finished(c),
            "n_steps": int(c.provenance.get("n_steps") or 0) + result.n_steps,
            "fmax": result.fmax,
            "stress_gpa": result.stress_gpa,
            "initial_energy_per_atom": result.initial_energy_per_atom,
        }
        if result.reason:
            facts["reason"] = result.reason
        return _on(c, result.crystal).replace(
            energy_per_atom=result.energy_per_atom,
            energy_identity=label.made_by,
            energy_kind=label.kind,
            relaxation_status=str(result.status),
            provenance=facts,
        )

    def _unfinished(self, c: Candidate, result: RelaxationResult) -> Candidate:
        """The candidate as it was, with the reason in its provenance."""
        return c.replace(provenance={**c.provenance, UNFINISHED: f"{self.potential.identity}: {result.reason}"})

    def _start(self, c: Candidate, result: RelaxationResult) -> Candidate:
        label = label_of(self.potential)
        energy = result.initial_energy_per_atom
        return c.replace(
            id=c.id + START_SUFFIX,
            provenance=_finished(c),
            energy_per_atom=energy,
            energy_identity=label.made_by,
            energy_kind=label.kind,
            relaxation_status=START if energy is not None else "potential_failed",
        )


def _finished(c: Candidate) -> dict[str, Any]:
    """Provenance without that an earlier relaxation was broken off: this one ended by itself."""
    return {name: value for name, value in c.provenance.items() if name != UNFINISHED}


_MERGED = (  # what a candidate takes from those that are merged into it
    "origin", "log_prior", "library", "library_id", "library_e_above_hull", "library_spacegroup", "mineral",
    "n_measured", "n_merged", "merged_ids",
)  # fmt: skip
_UNKNOWN: dict[str, Any] = {  # of what is no longer the library's
    "library": None, "library_id": None, "library_e_above_hull": None, "library_spacegroup": None,
    "mineral": None, "n_measured": 0,
}  # fmt: skip


def _left(end: Candidate, before: Candidate, start: Candidate) -> Candidate:
    """What a relaxation ended in that left its start: less probable, and no longer the library's."""
    return end.replace(start_id=start.id, log_prior=prior_of_end(before), **_UNKNOWN)


def prior_of_end(before: Candidate) -> float | None:
    """Log prior of a structure that a relaxation reached by leaving a candidate's."""
    return None if before.log_prior is None else before.log_prior + LEFT_PRIOR


def on_its_own(judged: Candidate, before: Candidate) -> Candidate:
    """What the judge made of a merged candidate, without what it was merged with: that is merged anew in the end.

    Args:
        judged: By the judge.
        before: The candidate of that id, or of the id of which this is the start, before it was merged.
    """
    alone: dict[str, Any] = {name: getattr(before, name) for name in _MERGED}
    if before.library_id is None:
        return judged.replace(**alone, start_id=before.start_id)
    if judged.library_id is None:
        alone |= {**_UNKNOWN, "log_prior": prior_of_end(before)}
    return judged.replace(**alone)


def _on(c: Candidate, crystal: Crystal) -> Candidate:
    """The candidate with another structure, and what follows from it."""
    fresh = new_candidate(c.id, crystal, origin=c.origin)
    return c.replace(crystal=crystal, min_distance=fresh.min_distance, density=fresh.density)


def with_spread(candidates: Sequence[Candidate], potential: Potential) -> list[Candidate]:
    """Fill `energy_std` (eV/atom) where the potential is an ensemble that knows its spread.

    Args:
        candidates: Any.
        potential: Whose spread is taken.

    Returns:
        The candidates in the same order.
    """
    predict = getattr(potential, "predict", None)
    if predict is None or not candidates:
        return list(candidates)
    spreads = predict([c.crystal for c in candidates])
    return [c.replace(energy_std=s.std) if c.usable else c for c, s in zip(candidates, spreads, strict=True)]


def relaxation_steps(candidates: Sequence[Candidate]) -> int:
    """Steps of all relaxations that candidates report (merged ones count with their representative's)."""
    return sum(int(c.provenance.get("n_steps") or 0) for c in candidates)
