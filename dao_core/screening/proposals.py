"""Structures to look at for one formula: known prototypes, samples of the generative model, or both in one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from math import exp, gcd, log
from typing import TYPE_CHECKING, Any

from dao_core.crystal import Crystal
from dao_core.generate.templates.index import SHARED_BY
from dao_core.screening.candidate import LOG_PRIOR
from dao_core.screening.formulas import Formula, FormulaError, enumerate_cells, parse_formula
from dao_core.screening.given import GIVEN, HELD, GivenStructureError, fitting_cells
from dao_core.screening.settings import Proposals, Proposed, SearchModels, SearchSettings
from dao_core.screening.symmetry import SymmetryError, spacegroup_number

if TYPE_CHECKING:
    from dao_core.generate.constraints import Constraint
    from dao_core.generate.guidance import DiffusionGuidance, EnergyGuidance
    from dao_core.generate.sampler import Generator, Proposal
    from dao_core.generate.templates.index import TemplateHit

# Formula units in the primitive cells of MP-20's training split (25,050 structures); others are rarer than RARE_UNITS.
UNIT_SHARES = {1: 0.525, 2: 0.339, 3: 0.024, 4: 0.097, 5: 0.001, 6: 0.0043, 8: 0.0083}
RARE_UNITS = 0.0005
SMALLEST_SHARE = 0.01  # of a cell's probability that templates always leave to other structures


def cells_of(formula: str | Formula, settings: SearchSettings) -> list[dict[str, int]]:
    """The cells to try for a formula. Raises FormulaError where none is small enough."""
    parsed = parse_formula(formula) if isinstance(formula, str) else formula
    if settings.z == "auto":
        return enumerate_cells(parsed, settings.max_atoms)
    if settings.z < 1:
        raise FormulaError(f"z = {settings.z}: give 'auto' or a number of formula units from 1 up")
    largest = parsed.atoms_per_unit * settings.z
    return [enumerate_cells(parsed, largest)[settings.z - 1]]


def propose(formula: str | Formula, models: SearchModels, settings: SearchSettings) -> Proposals:
    """Structures for one formula: the best-scored templates over all cells, then samples of the generative model.

    Shares that too few templates leave open go to the model. A model that never saw one of the elements proposes
    nothing and says so in `refused`. Raises FormulaError on a formula that cannot be searched.
    """
    parsed = parse_formula(formula) if isinstance(formula, str) else formula
    cells = cells_of(parsed, settings)
    constraint = settings.given.constraint()
    if constraint is not None:
        return _propose_given(parsed, cells, constraint, models, settings)
    hits, left = _hits(cells, settings.n_templates + settings.n_seeded, models)
    found = _from_templates(parsed, hits[: settings.n_templates], models)
    # the next ones seed the model: a seed that is relaxed as it stands too would mostly end in the same structure
    seeds = hits[settings.n_templates : settings.n_templates + settings.n_seeded] or hits[: settings.n_seeded]
    if models.generator is not None and models.generator.process != "flow":
        seeds = []  # a diffusion starts from noise
    # what too few templates leave open is generated: who asks for 20 structures gets 20
    short = settings.n_templates - len(found) + settings.n_seeded - len(seeds)
    share = settings.model_copy(update={"n_generated": settings.n_generated + short})
    generated = _from_generator(parsed, cells, seeds, models, share, left=left, found=found)
    return Proposals(found + generated.items, generated.refused)


def unit_share(cell: dict[str, int]) -> float:
    """How often primitive cells hold as many formula units as this one, whatever the formula."""
    return UNIT_SHARES.get(reduce(gcd, cell.values()), RARE_UNITS)


@dataclass(frozen=True)
class _Hit:
    """A template with `log_prior`, the log of its probability before any energy."""

    found: TemplateHit
    log_prior: float


def _hits(cells: Sequence[dict[str, int]], wanted: int, models: SearchModels) -> tuple[list[_Hit], list[float]]:
    """The best templates over all cells, best first, and of each cell the probability left to other structures.

    A template's prior is the index's own within its cell, times how common primitive cells of that many formula
    units are (Bayes); without the latter, the many templates of large cells would crowd out the likely ones of small
    cells.
    """
    hits: list[_Hit] = []
    left = []
    for cell in cells:
        found = [] if models.templates is None else models.templates.query(cell, max(wanted, SHARED_BY))
        taken = sum(exp(h.log_prior) for h in found)
        left.append(max(1.0 - taken, SMALLEST_SHARE) * unit_share(cell))
        hits += [_Hit(h, h.log_prior + log(unit_share(cell))) for h in found]
    return sorted(hits, key=lambda h: (-h.log_prior, h.found.template_id)), left


def shares(cells: Sequence[dict[str, int]], n: int) -> list[int]:
    """How many of `n` samples each cell gets: half evenly, half as common as its number of formula units is.

    Largest remainders, the smaller cell first where they are equal; the shares add up to n.
    """
    total = sum(unit_share(cell) for cell in cells)
    wanted = [n * (0.5 / len(cells) + 0.5 * unit_share(cell) / total) for cell in cells]
    counts = [int(w) for w in wanted]
    order = sorted(range(len(cells)), key=lambda i: (counts[i] - wanted[i], i))
    for i in order[: n - sum(counts)]:
        counts[i] += 1
    return counts


def _from_templates(formula: Formula, hits: Sequence[_Hit], models: SearchModels) -> list[Proposed]:
    source = "" if models.templates is None else models.templates.source
    return [
        Proposed(f"{formula.reduced}-t{i:04d}", h.found.crystal, "template", _template_facts(h, source))
        for i, h in enumerate(hits)
    ]


def _propose_given(
    formula: Formula,
    cells: list[dict[str, int]],
    constraint: Constraint,
    models: SearchModels,
    settings: SearchSettings,
) -> Proposals:
    """Everything is generated around what is given, besides templates that have the wanted space group.

    Raises GivenStructureError without a generator, or where no cell fits.
    """
    if models.generator is None:
        raise GivenStructureError(
            f"a search with a given {settings.given.kind} needs the generator: leave --generator alone"
        )
    cells = fitting_cells(cells, constraint, models.generator.base.volumes.tolist())
    total = settings.n_generated + settings.n_seeded + settings.n_templates
    found: list[Proposed] = []
    if constraint.spacegroup is not None:
        hits, _ = _hits(cells, 8 * settings.n_templates, models)
        same = [h for h in hits if _has_group(h.found.crystal, constraint.spacegroup)][: settings.n_templates]
        found = _from_templates(formula, same, models)
    share = settings.model_copy(update={"n_generated": total - len(found)})
    generated = _from_generator(formula, cells, [], models, share, constraint)
    facts: dict[str, Any] = {GIVEN: settings.given.kind}
    if constraint.cell is not None and settings.given.hold:
        facts[HELD] = True
    items = [replace(p, provenance={**p.provenance, **facts}) for p in found + generated.items]
    return Proposals(items, generated.refused)


def _has_group(crystal: Crystal, number: int) -> bool:
    try:
        return spacegroup_number(crystal) == number
    except SymmetryError:
        return False


def _template_facts(hit: _Hit, source: str) -> dict[str, Any]:
    found = hit.found
    return {"template_id": found.template_id, "template_score": float(found.score), "templates": source,
            LOG_PRIOR: hit.log_prior}  # fmt: skip


def _guidance(models: SearchModels, settings: SearchSettings) -> EnergyGuidance | DiffusionGuidance | None:
    """What steers the samples. Raises GuidanceError where the potential is not a DAO-P of the generator's process."""
    if settings.guidance is None or models.generator is None:
        return None
    from dao_core.energy.predictor import DaoPotential
    from dao_core.generate.guidance import GuidanceError, guidance_for

    if not isinstance(models.potential, DaoPotential):
        raise GuidanceError(f"guidance needs DAO-P as the potential of the search, not {models.potential.identity}")
    generator = models.generator
    return guidance_for(generator.process, models.potential.checkpoint, generator.base, settings.guidance)


def _from_generator(
    formula: Formula,
    cells: Sequence[dict[str, int]],
    hits: Sequence[_Hit],
    models: SearchModels,
    settings: SearchSettings,
    constraint: Constraint | None = None,
    left: Sequence[float] | None = None,
    found: Sequence[Proposed] = (),
) -> Proposals:
    """De novo samples shared out over the cells, and one from each template.

    The samples of a cell share the probability that is `left` to it, by how often each was drawn; without that their
    prior is unknown. They differ from each other and from what was `found` already as far as the model gives other
    structures.
    """
    if models.generator is None:
        return Proposals([], [])
    from dao_core.generate.sampler import UnseenElementError

    try:
        models.generator.check(cells[-1])  # the largest: the one to be warned about
    except UnseenElementError as error:
        return Proposals([], [f"{formula.reduced}: {error}"] * (settings.n_generated + len(hits)))
    counts = shares(cells, settings.n_generated)
    made = _de_novo(cells, counts, models, settings, constraint, [p.crystal for p in found])
    rests = [(n, rest) for n, rest in zip(counts, left or [0.0] * len(cells), strict=True) for _ in range(n)]
    priors = [log(rest * (p.share or 1 / n)) if rest else None for p, (n, rest) in zip(made, rests, strict=True)]
    made += _seeded(hits, models.generator, settings.seed)
    priors += [hit.log_prior for hit in hits]
    items, refused = [], []
    for j, (p, prior) in enumerate(zip(made, priors, strict=True)):
        name = f"{formula.reduced}-g{j:04d}"
        if p.crystal is None:
            refused.append(f"{name}: {p.reason}")
        else:
            origin = "de novo" if p.origin == "de novo" else "generated from template"
            facts = {"model": p.model, "seed": p.seed, "start": p.origin, LOG_PRIOR: prior}
            items.append(Proposed(name, p.crystal, origin, facts))
    return Proposals(items, refused)


def _de_novo(
    cells: Sequence[dict[str, int]],
    counts: Sequence[int],
    models: SearchModels,
    settings: SearchSettings,
    constraint: Constraint | None,
    found: Sequence[Crystal],
) -> list[Proposal]:
    """So many samples of each cell; a repeat is drawn anew, unless something is given or steers the samples."""
    from dao_core.generate.distinct_samples import SampleRequest, sample_distinct
    from dao_core.generate.sampler import SampleStart, numbers_of, sample_seed

    generator, guidance = models.generator, _guidance(models, settings)
    assert generator is not None
    if constraint is None and guidance is None:
        requests = [
            SampleRequest(cell, n, tuple(c for c in found if c.composition == cell))
            for cell, n in zip(cells, counts, strict=True)
        ]
        return [p for row in sample_distinct(generator, requests, settings.seed) for p in row]
    starts = []
    for cell, n in zip(cells, counts, strict=True):
        numbers = numbers_of(cell) if constraint is None else constraint.numbers(cell)
        seeds = [sample_seed(settings.seed, cell, j) for j in range(n)]
        starts += [SampleStart(numbers, seed, constraint=constraint) for seed in seeds]
    return generator.sample(starts, guidance)


def _seeded(hits: Sequence[_Hit], generator: Generator, seed: int) -> list[Proposal]:
    """One sample from each template."""
    from dao_core.generate.sampler import SampleStart, sample_seed

    starts = []
    for j, hit in enumerate(hits):
        start, origin = hit.found.crystal, f"template {hit.found.template_id}"
        starts.append(SampleStart(start.atomic_numbers, sample_seed(seed, start.composition, j, origin), start, origin))
    return generator.sample(starts)
