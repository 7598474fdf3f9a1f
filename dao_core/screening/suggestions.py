"""What templates and symmetry suggest for a formula, over all its cells, in one order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from math import exp, log
from typing import TYPE_CHECKING

from dao_core.matching.seen import SeenCrystals
from dao_core.screening.joint import Suggestion, joint_order, without
from dao_core.screening.priors import cell_shares, left_to_unknown
from dao_core.screening.symmetry import SymmetryError, spacegroup_number

if TYPE_CHECKING:
    from dao_core.crystal import Crystal
    from dao_core.generate.symmetry.generator import SymmetryGenerator, SymmetryProposal
    from dao_core.generate.templates.index import TemplateHit, TemplateIndex

SAMPLES_FIND = 0.36  # of what suggestions leave: among 20 (benchmarks/results/bars.jsonl, generator row 23, n = 30)
SMALLEST_SHARE = 0.01  # of a cell's probability that suggestions always leave to other structures
PROPOSALS = 20  # of the symmetry model for a cell
ASKED_FROM = 0.03  # share of a cell: less likely ones are mostly large, and take seconds to fill


@dataclass(frozen=True)
class Suggesters:
    """Who suggests, and what they must keep to.

    Attributes:
        templates: The index, or None.
        symmetry: The symmetry model, or None.
        n_templates: Templates of each cell.
        known: Structures of the formula that the library has; `known_ids` are theirs in the index.
        largest: Atoms of the largest cell that the symmetry model is asked for.
        spacegroup: The only one allowed, if one is wanted.
    """

    templates: TemplateIndex | None
    symmetry: SymmetryGenerator | None
    n_templates: int
    known: Sequence[Crystal] = ()
    known_ids: Collection[str] = ()
    largest: int = 0
    spacegroup: int | None = None


@dataclass(frozen=True)
class Suggested:
    """Suggestions over all cells of a formula, likeliest first.

    Attributes:
        ranked: With their probability over all cells.
        refused: Why the symmetry model suggests nothing, where it doesn't.
    """

    ranked: list[Suggestion]
    refused: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class CellTemplates:
    """What the templates say of one cell of a formula; it comes long before the symmetry model has an answer.

    Attributes:
        hits: Those with the cell's contents, best first.
        share: Probability that the structure fills this cell and none of the others.
    """

    hits: list[TemplateHit]
    share: float


def suggest(
    cells: Sequence[dict[str, int]], who: Suggesters, templates: Sequence[CellTemplates] | None = None
) -> Suggested:
    """What templates and symmetry suggest for some cells of a formula, in one order.

    A suggestion's prior is that within its cell, times the cell's own probability (Bayes); without the latter, the many
    suggestions for large cells would crowd out the likely ones of small cells.
    What the library knows of the formula takes its part first, and is not suggested again.

    Args:
        cells: Contents, symbol -> atoms.
        who: What suggests.
        templates: Of each cell, where they were looked up before (`templates_of`).
    """
    templates = templates_of(cells, who) if templates is None else templates
    proposals, refused = _proposals(cells, [t.share for t in templates], who)
    unknown, known = left_to_unknown(bool(who.known)), SeenCrystals(who.known)
    ranked: list[Suggestion] = []
    for found, made in zip(templates, proposals, strict=True):
        order = without(joint_order(found.hits, made), known, SMALLEST_SHARE)
        share = log(found.share * unknown)
        ranked += [replace(s, log_prior=s.log_prior + share) for s in order.suggestions]
    return Suggested(sorted(ranked, key=lambda s: -s.log_prior), refused)


def before_samples(
    ranked: Sequence[Suggestion], places: int, left: float, is_sampled: Callable[[Suggestion], bool] = lambda _: True
) -> list[Suggestion]:
    """Suggestions that get a place: those that are likelier to be right than a sample from noise in their place.

    Samples share what the suggestions leave, as far as they find it.

    Args:
        ranked: Likeliest first.
        places: For suggestions and samples together.
        left: Probability that the structure is in a cell that is sampled.
        is_sampled: Whether a suggestion's cell is.

    Returns:
        The first of `ranked`; the other places are for samples.
    """
    out: list[Suggestion] = []
    for suggestion in ranked[:places]:
        if exp(suggestion.log_prior) <= SAMPLES_FIND * left / (places - len(out)):
            break
        out.append(suggestion)
        if is_sampled(suggestion):
            left -= exp(suggestion.log_prior)
    return out


def templates_of(cells: Sequence[dict[str, int]], who: Suggesters) -> list[CellTemplates]:
    """The templates of each cell, and what they say of how likely it is.

    Args:
        cells: Of one formula.
        who: What suggests.
    """
    index = who.templates
    evidence = [None if index is None else index.log_evidence(cell, who.known_ids) for cell in cells]
    shares = cell_shares(cells, evidence)
    return [CellTemplates(_hits(cell, who), share) for cell, share in zip(cells, shares, strict=True)]


def _hits(cell: dict[str, int], who: Suggesters) -> list[TemplateHit]:
    """Templates of the wanted space group for one cell, best first."""
    if who.templates is None or who.n_templates < 1:
        return []
    hits = who.templates.query(cell, who.n_templates, who.known_ids)
    return hits if who.spacegroup is None else [h for h in hits if _has_group(h.crystal, who.spacegroup)]


def _has_group(crystal: Crystal, number: int) -> bool:
    try:
        return spacegroup_number(crystal) == number
    except SymmetryError:
        return False


def _proposals(
    cells: Sequence[dict[str, int]], shares: Sequence[float], who: Suggesters
) -> tuple[list[list[SymmetryProposal]], list[str]]:
    """The symmetry model's structures for each cell, and its reasons where it has none at all.

    Unlikely cells are left out where there are others: together they hold next to nothing.
    """
    out: list[list[SymmetryProposal]] = [[] for _ in cells]
    if who.symmetry is None:
        return out, []
    small = [i for i, cell in enumerate(cells) if sum(cell.values()) <= who.largest]
    asked = [i for i in small if shares[i] >= ASKED_FROM] or small
    reasons: Counter[str] = Counter()
    found = who.symmetry.propose_many([cells[i] for i in asked], PROPOSALS, who.spacegroup)
    for i, proposals in zip(asked, found, strict=True):
        out[i] = proposals.items
        reasons.update(proposals.refused)
    return out, [] if any(out) else [reason if n == 1 else f"{reason} ({n} times)" for reason, n in reasons.items()]
