"""From formulas to ranked candidates: propose, relax, merge, place on the hull, judge novelty, rank.

Each step is a function of values, so that `dao predict` runs them in one go and a campaign runs them as stages.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from dao_core.crystal import Crystal
from dao_core.energy.potential import Potential, PotentialResult
from dao_core.energy.relax import RelaxSettings, relax
from dao_core.screening.candidate import Candidate, new_candidate
from dao_core.screening.dedup import deduplicate
from dao_core.screening.formulas import MAX_ATOMS, Formula, FormulaError, enumerate_cells, parse_formula
from dao_core.screening.hull import ReferenceHull, place_on_hull
from dao_core.screening.novelty import NoveltyIndex, with_novelty
from dao_core.screening.ranking import rank, with_probability
from dao_core.screening.report_data import ReportInfo
from dao_core.screening.symmetry import SymmetryError, snap

if TYPE_CHECKING:
    from dao_core.generate.sampler import Generator
    from dao_core.generate.templates import TemplateIndex

SNAP_TOLERANCE = 0.005  # eV/atom: a symmetrised form further away in energy is another structure
Progress = Callable[[str, int, int], None]  # (step, done, of)


class SearchSettings(BaseModel):
    """How much is tried for one formula. The same settings and seed give the same candidates, a time budget aside."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_atoms: int = Field(MAX_ATOMS, ge=1, le=64, description="largest cell tried")
    z: Literal["auto"] | int = Field("auto", description="formula units per cell; auto: all up to max_atoms")
    n_generated: int = Field(16, ge=0, description="structures from the generative model, a formula")
    n_templates: int = Field(16, ge=0, description="structures from known prototypes, a formula")
    max_relaxed: int | None = Field(
        None, ge=1, description="relax only this many of lowest energy; the rest keep theirs"
    )
    budget_seconds: float | None = Field(None, gt=0, description="no new batch of relaxations starts after it")
    seed: int = 0
    relax: RelaxSettings = Field(default_factory=lambda: RelaxSettings(max_steps=100, batch_size=16))


@dataclass(frozen=True)
class Toolbox:
    """What a search works with. Without a generator only templates are tried, and the other way round."""

    potential: Potential
    generator: Generator | None = None
    templates: TemplateIndex | None = None


@dataclass(frozen=True)
class Proposed:
    """A structure to look at: unique id within a search, where it came from and what made it."""

    id: str
    crystal: Crystal
    origin: str
    provenance: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class SearchOutcome:
    """Ranked candidates and the counts of every step; seconds by step in `timings`."""

    candidates: list[Candidate]
    counts: dict[str, int]
    timings: dict[str, float]


def cells_of(formula: str | Formula, settings: SearchSettings) -> list[dict[str, int]]:
    """The cells to try for a formula. Raises FormulaError where none is small enough."""
    parsed = parse_formula(formula) if isinstance(formula, str) else formula
    if settings.z == "auto":
        return enumerate_cells(parsed, settings.max_atoms)
    if settings.z < 1:
        raise FormulaError(f"z = {settings.z}: give 'auto' or a number of formula units from 1 up")
    largest = parsed.atoms_per_unit * settings.z
    return [enumerate_cells(parsed, largest)[settings.z - 1]]


def propose(formula: str | Formula, tools: Toolbox, settings: SearchSettings) -> list[Proposed]:
    """Structures for one formula: the best-scored templates over all cells, then samples of the generative model.

    Raises FormulaError on a formula that cannot be searched.
    """
    parsed = parse_formula(formula) if isinstance(formula, str) else formula
    cells = cells_of(parsed, settings)
    found = _from_templates(parsed, cells, tools, settings.n_templates)
    return found + _from_generator(parsed, cells, tools, settings)


def _from_templates(formula: Formula, cells: Sequence[dict[str, int]], tools: Toolbox, k: int) -> list[Proposed]:
    if tools.templates is None or k == 0:
        return []
    hits = [hit for cell in cells for hit in tools.templates.query(cell, k)]
    hits.sort(key=lambda hit: (-hit.score, hit.template_id))
    return [
        Proposed(
            f"{formula.reduced}-t{i:04d}",
            hit.crystal,
            "template",
            {"template_id": hit.template_id, "template_score": hit.score, "templates": tools.templates.source},
        )
        for i, hit in enumerate(hits[:k])
    ]


def _from_generator(
    formula: Formula, cells: Sequence[dict[str, int]], tools: Toolbox, settings: SearchSettings
) -> list[Proposed]:
    if tools.generator is None or settings.n_generated == 0:
        return []
    share = np.full(len(cells), settings.n_generated // len(cells))
    share[: settings.n_generated % len(cells)] += 1  # the small cells get what is left over
    out: list[Proposed] = []
    for cell, n in zip(cells, share.tolist(), strict=True):
        if n == 0:
            continue
        for p in tools.generator.propose(cell, n, settings.seed):
            facts = {"model": p.model, "seed": p.seed}
            out.append(Proposed(f"{formula.reduced}-g{len(out):04d}", p.crystal, p.origin, facts))
    return out


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
    first = potential.compute([p.crystal for p in proposals]) if proposals else []
    energies = [o.energy / p.crystal.n_atoms if isinstance(o, PotentialResult) else None
                for o, p in zip(first, proposals, strict=True)]  # fmt: skip
    order = sorted(range(len(proposals)), key=lambda i: (energies[i] is None, energies[i] or 0.0, proposals[i].id))
    chosen = order[: settings.max_relaxed]
    done: dict[int, Candidate] = {}
    size = settings.relax.batch_size
    for begin in range(0, len(chosen), size):
        if deadline is not None and time.monotonic() > deadline:
            break
        batch = chosen[begin : begin + size]
        results = relax([proposals[i].crystal for i in batch], potential, settings.relax)
        for i, result in zip(batch, results, strict=True):
            done[i] = _candidate(
                proposals[i], result.crystal, result.energy_per_atom, str(result.status), potential.identity,
                steps=result.n_steps, reason=result.reason,
            )  # fmt: skip
        if on_progress is not None:
            on_progress("relax", len(done), len(chosen))
    for i, p in enumerate(proposals):
        if i not in done:
            done[i] = _candidate(p, p.crystal, energies[i], "not_relaxed", potential.identity)
    return [done[i] for i in range(len(proposals))]


def _candidate(
    p: Proposed, crystal: Crystal, energy: float | None, status: str, identity: str, *, steps: int = 0, reason: str = ""
) -> Candidate:
    provenance = {**p.provenance, "relaxation_steps": steps}
    if reason:
        provenance["relaxation_reason"] = reason
    return new_candidate(
        p.id,
        crystal,
        origin=p.origin,
        energy_per_atom=energy,
        relaxation_status=status,
        energy_identity=identity,
        provenance=provenance,
    )


def symmetrise(candidates: Sequence[Candidate], potential: Potential) -> list[Candidate]:
    """Snap nearly symmetric structures to their symmetric form, where its energy stays within 5 meV/atom."""
    snapped = []
    for c in candidates:
        try:
            snapped.append(snap(c.crystal) if c.usable else None)
        except SymmetryError:
            snapped.append(None)
    targets = [i for i, s in enumerate(snapped) if s is not None]
    outcomes = potential.compute([snapped[i].crystal for i in targets]) if targets else []  # type: ignore[union-attr]
    out = list(candidates)
    for i, outcome in zip(targets, outcomes, strict=True):
        form, c = snapped[i], candidates[i]
        assert form is not None
        assert c.energy_per_atom is not None
        energy = outcome.energy / form.crystal.n_atoms if isinstance(outcome, PotentialResult) else np.inf
        facts = {"spacegroup_before": form.before, "spacegroup_after": form.after, "symprec": form.symprec}
        if abs(energy - c.energy_per_atom) <= SNAP_TOLERANCE:
            out[i] = c.replace(crystal=form.crystal, energy_per_atom=float(energy), prototype=form.prototype, **facts)
        else:
            out[i] = c.replace(**{**facts, "spacegroup_after": form.before})
    return out


def judge(
    candidates: Iterable[Candidate],
    *,
    hull: ReferenceHull | None = None,
    known: NoveltyIndex | None = None,
) -> list[Candidate]:
    """Merge duplicates, place on the hull, judge novelty and rank. Raises HullIdentityError on a foreign hull."""
    items = deduplicate(candidates).candidates
    if hull is not None:
        items = with_probability(place_on_hull(items, hull))
    if known is not None:
        items = with_novelty(items, known)
    return rank(items)


def search(
    formulas: Sequence[str | Formula],
    tools: Toolbox,
    settings: SearchSettings,
    *,
    hull: ReferenceHull | None = None,
    known: NoveltyIndex | None = None,
    on_progress: Progress | None = None,
) -> SearchOutcome:
    """The whole way for some formulas in this process. Raises FormulaError before any work on a wrong formula."""
    parsed = [parse_formula(f) if isinstance(f, str) else f for f in formulas]
    for formula in parsed:
        cells_of(formula, settings)
    start = time.monotonic()
    deadline = None if settings.budget_seconds is None else start + settings.budget_seconds
    proposals = [p for formula in parsed for p in propose(formula, tools, settings)]
    if on_progress is not None:
        on_progress("propose", len(proposals), len(proposals))
    proposed_at = time.monotonic()
    relaxed = relax_proposals(proposals, tools.potential, settings, deadline=deadline, on_progress=on_progress)
    relaxed_at = time.monotonic()
    candidates = judge(symmetrise(relaxed, tools.potential), hull=hull, known=known)
    end = time.monotonic()
    timings = {"propose": proposed_at - start, "relax": relaxed_at - proposed_at, "judge": end - relaxed_at}
    return SearchOutcome(candidates, count(proposals, relaxed, candidates), timings)


def count(
    proposals: Sequence[Proposed], relaxed: Sequence[Candidate], candidates: Sequence[Candidate]
) -> dict[str, int]:
    """What happened to every proposal: by origin, by relaxation status, and how many distinct ones are left."""
    counts = {"proposed": len(proposals), "distinct": len(candidates)}
    for p in proposals:
        counts[f"origin {p.origin}"] = counts.get(f"origin {p.origin}", 0) + 1
    for c in relaxed:
        counts[c.relaxation_status] = counts.get(c.relaxation_status, 0) + 1
    return counts


def report_info(title: str, outcome: SearchOutcome, tools: Toolbox, settings: SearchSettings) -> ReportInfo:
    """The head of the report page: what was asked, which models answered, and counts that add up."""
    from importlib.metadata import version

    proposed = outcome.counts["proposed"]
    reasons = {k: n for k, n in outcome.counts.items() if k.startswith("rejected") or k == "potential_failed"}
    failed = sum(reasons.values())
    return ReportInfo(
        title=title,
        model=None if tools.generator is None else getattr(tools.generator, "identity", None),
        potential=tools.potential.identity,
        seed=settings.seed,
        n_asked=proposed,
        n_ok=proposed - failed,
        n_failed=failed,
        n_merged=proposed - outcome.counts["distinct"],
        reasons=reasons,
        stages=outcome.timings,
        software=f"DAO {version('dao-csp')}",
    )
