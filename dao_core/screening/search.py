"""From formulas to ranked candidates: propose, relax, merge, place on the hull, judge novelty, rank.

Each step is a function of values, so that `dao predict` runs them in one go and a campaign runs them as stages.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from dao_core.crystal import Crystal
from dao_core.energy.potential import Potential, PotentialResult
from dao_core.energy.relax import RelaxSettings, relax
from dao_core.screening.candidate import Candidate, new_candidate
from dao_core.screening.formulas import MAX_ATOMS, Formula, FormulaError, enumerate_cells, parse_formula
from dao_core.screening.hull import ReferenceHull
from dao_core.screening.novelty import NoveltyIndex
from dao_core.screening.pipeline import Screened, candidate_from_relaxation, screen
from dao_core.screening.report_data import ReportInfo

if TYPE_CHECKING:
    from dao_core.generate.sampler import Generator
    from dao_core.generate.templates import TemplateHit, TemplateIndex

Progress = Callable[[str, int, int], None]  # (step, done, of)


class SearchSettings(BaseModel):
    """How much is tried for one formula. The same settings and seed give the same candidates, a time budget aside."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_atoms: int = Field(MAX_ATOMS, ge=1, le=64, description="largest cell tried")
    z: Literal["auto"] | int = Field("auto", description="formula units per cell; auto: all up to max_atoms")
    n_generated: int = Field(16, ge=0, description="structures the generative model makes from noise, a formula")
    n_seeded: int = Field(8, ge=0, description="structures it makes from the best templates, a formula")
    n_templates: int = Field(16, ge=0, description="known prototypes with the formula's elements, a formula")
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
class Proposals:
    """What was proposed, and a reason for each structure that was asked for and could not be made."""

    items: list[Proposed]
    refused: list[str]


@dataclass(frozen=True)
class SearchOutcome:
    """Ranked candidates with their counts, the structures that could not be made, and seconds by step."""

    screened: Screened
    refused: list[str]
    timings: dict[str, float]

    @property
    def candidates(self) -> list[Candidate]:
        return self.screened.candidates


def cells_of(formula: str | Formula, settings: SearchSettings) -> list[dict[str, int]]:
    """The cells to try for a formula. Raises FormulaError where none is small enough."""
    parsed = parse_formula(formula) if isinstance(formula, str) else formula
    if settings.z == "auto":
        return enumerate_cells(parsed, settings.max_atoms)
    if settings.z < 1:
        raise FormulaError(f"z = {settings.z}: give 'auto' or a number of formula units from 1 up")
    largest = parsed.atoms_per_unit * settings.z
    return [enumerate_cells(parsed, largest)[settings.z - 1]]


def propose(formula: str | Formula, tools: Toolbox, settings: SearchSettings) -> Proposals:
    """Structures for one formula: the best-scored templates over all cells, then samples of the generative model.

    A model that never saw one of the elements proposes nothing and says so in `refused`. Raises FormulaError on a
    formula that cannot be searched.
    """
    parsed = parse_formula(formula) if isinstance(formula, str) else formula
    cells = cells_of(parsed, settings)
    wanted = max(settings.n_templates, settings.n_seeded)
    hits = [] if tools.templates is None else [h for cell in cells for h in tools.templates.query(cell, wanted)]
    hits.sort(key=lambda hit: (-hit.score, hit.template_id))
    source = "" if tools.templates is None else tools.templates.source
    found = [
        Proposed(f"{parsed.reduced}-t{i:04d}", h.crystal, "template", _template_facts(h, source))
        for i, h in enumerate(hits[: settings.n_templates])
    ]
    generated = _from_generator(parsed, cells, hits[: settings.n_seeded], tools, settings)
    return Proposals(found + generated.items, generated.refused)


def _template_facts(hit: TemplateHit, source: str) -> dict[str, Any]:
    return {"template_id": hit.template_id, "template_score": float(hit.score), "templates": source}


def _from_generator(
    formula: Formula,
    cells: Sequence[dict[str, int]],
    hits: Sequence[TemplateHit],
    tools: Toolbox,
    settings: SearchSettings,
) -> Proposals:
    """De novo samples shared out over the cells (small ones get what is left over), and one from each template."""
    if tools.generator is None:
        return Proposals([], [])
    from dao_core.generate.sampler import Task, UnseenElementError, numbers_of, sample_seed

    try:
        tools.generator.check(cells[0])
    except UnseenElementError as error:
        return Proposals([], [f"{formula.reduced}: {error}"] * (settings.n_generated + len(hits)))
    tasks = []
    for i, cell in enumerate(cells):
        share = settings.n_generated // len(cells) + (i < settings.n_generated % len(cells))
        tasks += [Task(numbers_of(cell), sample_seed(settings.seed, cell, j)) for j in range(share)]
    for j, hit in enumerate(hits):
        start, origin = hit.crystal, f"template {hit.template_id}"
        seed = sample_seed(settings.seed, start.composition, j, origin)
        tasks.append(Task(start.atomic_numbers, seed, start, origin))
    items, refused = [], []
    for j, p in enumerate(tools.generator.sample(tasks)):
        name = f"{formula.reduced}-g{j:04d}"
        if p.crystal is None:
            refused.append(f"{name}: {p.reason}")
        else:
            origin = "de novo" if p.origin == "de novo" else "generated from template"
            items.append(Proposed(name, p.crystal, origin, {"model": p.model, "seed": p.seed, "start": p.origin}))
    return Proposals(items, refused)


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
    for begin in range(0, len(chosen), size):
        if deadline is not None and time.monotonic() > deadline:
            break
        batch = chosen[begin : begin + size]
        started = time.monotonic()
        results = relax([proposals[i].crystal for i in batch], potential, settings.relax)
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
    made = [propose(formula, tools, settings) for formula in parsed]
    proposals = [p for m in made for p in m.items]
    refused = [r for m in made for r in m.refused]
    proposed_at = time.monotonic()
    relaxed = relax_proposals(proposals, tools.potential, settings, deadline=deadline, on_progress=on_progress)
    relaxed_at = time.monotonic()
    relaxed = with_spread(relaxed, tools.potential)
    screened = screen(relaxed, hull=hull, novelty=known, potential=tools.potential)
    end = time.monotonic()
    timings = {"propose": proposed_at - start, "relax": relaxed_at - proposed_at, "rank": end - relaxed_at}
    return SearchOutcome(screened, refused, timings)


def report_info(title: str, outcome: SearchOutcome, tools: Toolbox, settings: SearchSettings) -> ReportInfo:
    """The head of the report page: what was asked, which models answered, and counts that add up."""
    from importlib.metadata import version

    found, n_refused = outcome.screened, len(outcome.refused)
    reasons = {**found.reasons, **({"not made": n_refused} if n_refused else {})}
    return ReportInfo(
        title=title,
        model=None if tools.generator is None else tools.generator.identity,
        potential=tools.potential.identity,
        seed=settings.seed,
        n_asked=found.n_asked + n_refused,
        n_ok=found.n_ok,
        n_failed=found.n_failed + n_refused,
        n_merged=found.n_merged,
        reasons=reasons,
        stages=outcome.timings,
        notes=sorted(set(outcome.refused))[:20],
        software=f"DAO {version('dao-csp')}",
    )
