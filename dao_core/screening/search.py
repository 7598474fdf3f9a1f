"""From formulas to ranked candidates: propose, relax, merge, place on the hull, judge novelty, rank.

Each step is a function of values, so that `dao predict` runs them in one go and a campaign runs them as stages.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from dao_core.crystal import Crystal
from dao_core.energy.potential import Potential, PotentialResult
from dao_core.energy.relaxation.relax import relax
from dao_core.hull.hull import Hull
from dao_core.screening.candidate import Candidate, new_candidate
from dao_core.screening.formulas import Formula, parse_formula
from dao_core.screening.held_atoms import HeldPotential, restored
from dao_core.screening.novelty import NoveltyIndex
from dao_core.screening.pipeline import Screened, candidate_from_relaxation, screen
from dao_core.screening.proposals import cells_of, propose
from dao_core.screening.report.page_data import ReportInfo
from dao_core.screening.settings import Proposals, Proposed, SearchModels, SearchSettings

__all__ = ["Proposals", "Proposed", "SearchModels", "SearchSettings", "cells_of", "propose"]  # used from here too
Progress = Callable[[str, int, int], None]  # (step, done, of)


@dataclass(frozen=True)
class SearchOutcome:
    """Ranked candidates with their counts, the structures that could not be made, and seconds by step."""

    screened: Screened
    refused: list[str]
    timings: dict[str, float]

    @property
    def candidates(self) -> list[Candidate]:
        return self.screened.candidates


def relax_proposals(
    proposals: Sequence[Proposed],
    potential: Potential,
    settings: SearchSettings,
    *,
    deadline: float | None = None,
    on_progress: Progress | None = None,
) -> list[Candidate]:
    """Energies of all proposals, then relaxation of the promising ones, lowest energy first.

    `deadline` is a `time.monotonic()` value after which no further batch is started; what was not relaxed keeps its
    energy as it stands and the status `not_relaxed`. One candidate for each proposal, none lost.
    """
    energies = single_points([p.crystal for p in proposals], potential)
    order = sorted(range(len(proposals)), key=lambda i: (energies[i] is None, energies[i] or 0.0, proposals[i].id))
    chosen = order[: settings.max_relaxed]
    done: dict[int, Candidate] = {}
    size = settings.relax.batch_size
    how, pull, constraint = settings.given.relaxation(settings.relax), potential, None
    if settings.keep_symmetry:  # free, DAO-P would leave 63 % of first templates in the listed space group, not 71 %
        how = how.model_copy(update={"keep_symmetry": True})
    if settings.given.active and settings.given.hold:
        constraint = settings.given.constraint()
        pull = HeldPotential(potential, 0 if constraint is None else constraint.n_kept)
    for begin in range(0, len(chosen), size):
        if deadline is not None and time.monotonic() > deadline:
            break
        batch = chosen[begin : begin + size]
        started = time.monotonic()
        results = relax([proposals[i].crystal for i in batch], pull, how)
        if constraint is not None:
            results = [replace(r, crystal=restored(r.crystal, constraint)) for r in results]
        seconds = (time.monotonic() - started) / len(batch)
        for i, result in zip(batch, results, strict=True):
            p = proposals[i]
            done[i] = candidate_from_relaxation(
                p.id,
                result,
                origin=p.origin,
                energy_identity=potential.identity,
                provenance=p.provenance,
                cost={"relax_s": seconds},
            )
        if on_progress is not None:
            on_progress("relax", len(done), len(chosen))
    for i, p in enumerate(proposals):
        if i not in done:
            done[i] = unrelaxed_candidate(p, energies[i], potential.identity)
    return [done[i] for i in range(len(proposals))]


def single_points(crystals: Sequence[Crystal], potential: Potential) -> list[float | None]:
    """Energy per atom (eV) of each structure as it stands, None where the potential has no answer."""
    outcomes = potential.compute(crystals) if crystals else []
    return [
        o.energy / c.n_atoms if isinstance(o, PotentialResult) and np.isfinite(o.energy) else None
        for o, c in zip(outcomes, crystals, strict=True)
    ]


def unrelaxed_candidate(p: Proposed, energy: float | None, identity: str) -> Candidate:
    """A proposal as it stands, with its energy per atom (eV) where the potential `identity` has one."""
    return new_candidate(
        p.id,
        p.crystal,
        origin=p.origin,
        energy_per_atom=energy,
        relaxation_status="not_relaxed" if energy is not None else "potential_failed",
        energy_identity=identity,
        provenance=p.provenance,
    )


def with_spread(candidates: Sequence[Candidate], potential: Potential) -> list[Candidate]:
    """Fill `energy_std` (eV/atom) where the potential is an ensemble that knows its spread."""
    predict = getattr(potential, "predict", None)
    if predict is None or not candidates:
        return list(candidates)
    spreads = predict([c.crystal for c in candidates])
    return [c.replace(energy_std=s.std) if c.usable else c for c, s in zip(candidates, spreads, strict=True)]


def search(
    formulas: Sequence[str | Formula],
    models: SearchModels,
    settings: SearchSettings,
    *,
    hull: Hull | None = None,
    known: NoveltyIndex | None = None,
    on_progress: Progress | None = None,
) -> SearchOutcome:
    """The whole way for some formulas in this process. Raises FormulaError before any work on a wrong formula."""
    parsed = [parse_formula(f) if isinstance(f, str) else f for f in formulas]
    for formula in parsed:
        cells_of(formula, settings)
    start = time.monotonic()
    deadline = None if settings.budget_seconds is None else start + settings.budget_seconds
    made = [propose(formula, models, settings) for formula in parsed]
    proposals = [p for m in made for p in m.items]
    refused = [r for m in made for r in m.refused]
    proposed_at = time.monotonic()
    relaxed = relax_proposals(proposals, models.potential, settings, deadline=deadline, on_progress=on_progress)
    relaxed_at = time.monotonic()
    relaxed = with_spread(relaxed, models.potential)
    screened = screen(relaxed, hull=hull, novelty=known, potential=models.potential)
    end = time.monotonic()
    timings = {"propose": proposed_at - start, "relax": relaxed_at - proposed_at, "rank": end - relaxed_at}
    return SearchOutcome(screened, refused, timings)


def relaxation_steps(candidates: Sequence[Candidate]) -> int:
    """Steps of all relaxations that candidates report (merged ones count with their representative's)."""
    return sum(int(c.provenance.get("n_steps") or 0) for c in candidates)


def report_info(title: str, outcome: SearchOutcome, models: SearchModels, settings: SearchSettings) -> ReportInfo:
    """The head of the report page: what was asked, which models answered, and counts that add up."""
    from importlib.metadata import version

    found, n_refused = outcome.screened, len(outcome.refused)
    reasons = {**found.reasons, **({"not made": n_refused} if n_refused else {})}
    return ReportInfo(
        title=title,
        model=None if models.generator is None else models.generator.identity,
        potential=models.potential.identity,
        seed=settings.seed,
        n_asked=found.n_asked + n_refused,
        n_ok=found.n_ok,
        n_failed=found.n_failed + n_refused,
        n_merged=found.n_merged,
        reasons=reasons,
        stages=outcome.timings,
        work={"proposals": found.n_asked, "relaxation steps": relaxation_steps(outcome.candidates)},
        notes=sorted(set(outcome.refused))[:20],
        software=f"DAO {version('dao-csp')}",
    )
