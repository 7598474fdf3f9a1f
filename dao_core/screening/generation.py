"""Structures that the generative model draws for one formula: from noise, from templates, and around what is given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from math import log
from typing import TYPE_CHECKING

from dao_core.crystal import Crystal
from dao_core.screening.priors import unit_share
from dao_core.screening.proposals import Proposer
from dao_core.screening.proposed import DE_NOVO, SEEDED, Proposals, Proposed

if TYPE_CHECKING:
    from dao_core.energy.predictor import DaoPotential
    from dao_core.generate.constraints import Constraint
    from dao_core.generate.sampler import Generator, Proposal
    from dao_core.screening.joint import Suggestion

Cells = Sequence[dict[str, int]]


def generate(proposer: Proposer) -> Proposals:
    """Samples for one formula, where too few templates left shares open as well.

    A model that never saw one of the elements, or no cell of the formula's size, draws nothing and says so.

    Raises:
        FormulaError: The formula is larger than any cell that is tried.
        GivenStructureError: What is given cannot be used.
    """
    if proposer.constraint is not None:
        return _around_given(proposer, proposer.constraint)
    generator, settings = proposer.models.generator, proposer.settings
    # places that no suggestion took are generated: who asks for 20 structures gets 20
    wanted = settings.n_generated + settings.n_seeded + settings.n_templates - len(proposer.chosen)
    if generator is None or wanted == 0:
        return Proposals()
    if reason := _unseen(proposer, generator):
        return Proposals(refused=[f"{proposer.formula.reduced}: {reason}"] * wanted)
    cells, not_tried = _sampled_cells(proposer, generator)
    seeds = [s for s in proposer.seeds if s.crystal.n_atoms <= proposer.largest_generated]
    if generator.process != "flow":
        seeds = []  # a diffusion starts from noise
    made = Proposals(not_tried=not_tried)
    rest = wanted - len(seeds)
    if cells and rest:
        made = _merged(made, _de_novo(proposer, cells, rest))
    return _merged(made, _seeded(proposer, seeds, len(made.items) + len(made.refused)))


def nothing_to_draw(proposer: Proposer) -> str | None:
    """Why no time would be enough for a sample of this formula; None where some can be drawn.

    Args:
        proposer: Of a search in which nothing is given.
    """
    generator = proposer.models.generator
    if generator is None:
        return None
    if reason := _unseen(proposer, generator):
        return f"{proposer.formula.shown}: nothing was generated: {reason}"
    return None if any(map(proposer.is_sampled, proposer.cells)) else _too_large(proposer, generator)


def samples_a_cell(likely: Sequence[float], n: int) -> list[int]:
    """How many samples each cell gets: half evenly, half as likely as the cell is.

    Args:
        likely: How likely each cell is; they need not add up to one.
        n: Samples in all.

    Returns:
        One number a cell, adding up to n by largest remainders, the smaller cell first where they are equal.
    """
    total = sum(likely)
    wanted = [n * (0.5 / len(likely) + 0.5 * share / total) for share in likely]
    counts = [int(w) for w in wanted]
    order = sorted(range(len(likely)), key=lambda i: (counts[i] - wanted[i], i))
    for i in order[: n - sum(counts)]:
        counts[i] += 1
    return counts


def _unseen(proposer: Proposer, generator: Generator) -> str | None:
    """The elements that the generator wasn't trained on, in words."""
    from dao_core.elements import atomic_number

    unseen = [s for s in proposer.formula.unit if atomic_number(s) not in generator.elements]
    return f"the generator never saw {', '.join(unseen)}" if unseen else None


def _too_large(proposer: Proposer, generator: Generator) -> str:
    smallest = sum(proposer.cells[0].values())
    return (
        f"{proposer.formula.shown}: nothing was generated: a cell has {smallest} atoms, the generator was trained "
        f"on {generator.max_atoms} at most (--generated-atoms {smallest} tries it all the same)"
    )


def _sampled_cells(proposer: Proposer, generator: Generator) -> tuple[Cells, list[str]]:
    """The cells that the generator fills, and what its size limit leaves out."""
    cells = [cell for cell in proposer.cells if proposer.is_sampled(cell)]
    if cells and proposer.largest_generated > generator.max_atoms:
        generator.check(cells[-1])  # the largest: the one to be warned about
    return cells, [] if cells else [_too_large(proposer, generator)]


def _de_novo(proposer: Proposer, cells: Cells, n: int) -> Proposals:
    """Samples from noise: those of a cell share the probability left to it, by how often each was drawn."""
    counts = samples_a_cell([proposer.share(cell) for cell in cells], n)
    found = [p.crystal for p in proposer.from_library() + proposer.from_suggestions()]
    made = _draw(proposer, cells, counts, found)
    rests = [(count, proposer.left(cell)) for cell, count in zip(cells, counts, strict=True) for _ in range(count)]
    priors = [log(rest * (p.share or 1 / count)) for p, (count, rest) in zip(made, rests, strict=True)]
    return _proposals(proposer, made, priors, 0)


def _seeded(proposer: Proposer, suggestions: Sequence[Suggestion], first: int) -> Proposals:
    """One sample from each template, which has the template's prior."""
    if not suggestions:
        return Proposals()
    from dao_core.generate.sampler import SampleStart, sample_seed

    generator = proposer.models.generator
    assert generator is not None
    tasks = []
    for j, suggestion in enumerate(suggestions):
        assert suggestion.hit is not None
        start, origin = suggestion.crystal, f"template {suggestion.hit.template_id}"
        seed = sample_seed(proposer.settings.seed, start.composition, j, origin)
        tasks.append(SampleStart(start.atomic_numbers, seed, start, origin))
    return _proposals(proposer, generator.sample(tasks), [s.log_prior for s in suggestions], first)


def _around_given(proposer: Proposer, constraint: Constraint) -> Proposals:
    """Samples around what is given, in the places that templates and the symmetry model leave."""
    settings, cells = proposer.settings, proposer.given_cells.cells
    if not cells:
        return Proposals()  # why is said where the others are proposed
    n = settings.n_generated + settings.n_seeded + settings.n_templates - len(proposer.chosen)
    made = _draw(proposer, cells, samples_a_cell([unit_share(cell) for cell in cells], n), [], constraint)
    drawn = _proposals(proposer, made, [None] * len(made), 0)
    held = constraint.cell is not None and settings.given.hold
    return replace(drawn, items=[replace(p, given=settings.given.kind, held=held) for p in drawn.items])


def _draw(
    proposer: Proposer,
    cells: Cells,
    counts: Sequence[int],
    found: Sequence[Crystal],
    constraint: Constraint | None = None,
) -> list[Proposal]:
    """So many samples of each cell; a repeat is drawn anew, unless something is given or steers the samples."""
    from dao_core.generate.distinct_samples import SampleRequest, sample_distinct
    from dao_core.generate.guidance import guidance_for, lowest_drawn
    from dao_core.generate.sampler import SampleStart, numbers_of, sample_seed

    generator, seed = proposer.models.generator, proposer.settings.seed
    assert generator is not None
    steered = proposer.settings.guidance
    if constraint is None and steered is None:
        requests = [
            SampleRequest(cell, n, tuple(c for c in found if c.composition == cell))
            for cell, n in zip(cells, counts, strict=True)
        ]
        return [p for row in sample_distinct(generator, requests, seed) for p in row]
    draws = 1 if steered is None else steered.draws
    tasks = []
    for cell, n in zip(cells, counts, strict=True):
        numbers = numbers_of(cell) if constraint is None else constraint.numbers(cell)
        tasks += [SampleStart(numbers, sample_seed(seed, cell, j), constraint=constraint) for j in range(n * draws)]
    if steered is None:
        return generator.sample(tasks)
    guide = _guide(proposer)
    pull = guidance_for(generator.process, guide.checkpoint, generator.base, steered) if steered.scale else None
    made = iter(generator.sample(tasks, pull))
    rows = [(list(islice(made, n * draws)), n) for n in counts]
    if draws == 1:
        return [p for row, _ in rows for p in row]
    return [p for row, n in rows for p in lowest_drawn(row, n, guide.cautious_energies)]


def _guide(proposer: Proposer) -> DaoPotential:
    """What steers the samples. Raises GuidanceError where the potential of the search is no DAO-P."""
    from dao_core.energy.predictor import DaoPotential
    from dao_core.generate.guidance import GuidanceError

    potential = proposer.models.potential
    if not isinstance(potential, DaoPotential):
        raise GuidanceError(f"guidance needs DAO-P as the potential of the search, not {potential.identity}")
    return potential


def _proposals(proposer: Proposer, made: Sequence[Proposal], priors: Sequence[float | None], first: int) -> Proposals:
    """Samples as proposals, numbered from `first`; those without a structure as reasons."""
    items, refused = [], []
    for j, (sample, prior) in enumerate(zip(made, priors, strict=True), start=first):
        name = f"{proposer.formula.reduced}-g{j:04d}"
        if sample.crystal is None:
            refused.append(f"{name}: {sample.reason}")
            continue
        origin = DE_NOVO if sample.origin == "de novo" else SEEDED
        facts = {"model": sample.model, "seed": sample.seed, "start": sample.origin}
        items.append(Proposed(name, sample.crystal, origin, prior, provenance=facts))
    return Proposals(items, refused)


def _merged(a: Proposals, b: Proposals) -> Proposals:
    return Proposals(a.items + b.items, a.refused + b.refused, a.not_tried + b.not_tried)
