"""Structures that symmetry alone suggests: as many of a search's places as they are likelier than a sample would be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import exp, log
from typing import TYPE_CHECKING

from dao_core.matching.same import same_crystal
from dao_core.screening.priors import left_to_unknown, unit_share
from dao_core.screening.proposals import SMALLEST_SHARE, Proposer
from dao_core.screening.proposed import SYMMETRY, Proposals, Proposed

if TYPE_CHECKING:
    from dao_core.generate.symmetry.generator import SymmetryProposal


def from_symmetry(
    proposer: Proposer, cells: Sequence[dict[str, int]], left: float, places: int, spacegroup: int | None = None
) -> Proposals:
    """The likeliest structures of the symmetry model, as long as each is likelier than a sample in its place.

    Samples share the probability that is left between them, so a structure gets a place if its own probability is
    above what is left over the places that are left. What the library or the templates gave already is skipped.

    Args:
        proposer: The search's formula, models and settings.
        cells: Contents of the cells that the generator fills.
        left: Probability left to structures that are neither known nor from a template.
        places: How many structures are to be generated in all.
        spacegroup: The only space group allowed, if one is wanted.

    Returns:
        At most `places` structures; the model's reasons where it suggests none; nothing without a model.
    """
    generator = proposer.models.generator
    symmetry = None if generator is None else generator.symmetry
    if symmetry is None or places < 1:
        return Proposals()
    rest = log(left_to_unknown(bool(proposer.known)))
    found: list[tuple[float, SymmetryProposal]] = []
    reasons: dict[str, None] = {}
    for cell, proposals in zip(cells, symmetry.propose_many(cells, places, spacegroup), strict=True):
        found += [(p.log_prior + log(unit_share(cell)) + rest, p) for p in proposals.items]
        reasons |= dict.fromkeys(proposals.refused)
    if not found:
        return Proposals(refused=[f"{proposer.formula.reduced}: {reason}" for reason in reasons])
    items: list[Proposed] = []
    claimed = 0.0
    known = [p.crystal for p in proposer.from_library() + proposer.from_templates()]
    for prior, proposal in sorted(found, key=lambda item: -item[0]):
        unclaimed = max(0.0, left - claimed)
        if len(items) == places or exp(prior) <= unclaimed / (places - len(items)):
            break
        if any(same_crystal(proposal.crystal, crystal) for crystal in known):
            continue
        known.append(proposal.crystal)
        claimed += exp(prior)
        facts = {"model": symmetry.identity, "start": "symmetry", "label": str(proposal.label)}
        name = f"{proposer.formula.reduced}-s{len(items):04d}"
        items.append(Proposed(name, proposal.crystal, SYMMETRY, prior, provenance=facts))
    # each probability is calibrated by itself; together they leave something to structures without such symmetry
    excess = log(max(1.0, claimed / ((1.0 - SMALLEST_SHARE) * left)))
    return Proposals([replace(p, log_prior=(p.log_prior or 0.0) - excess) for p in items])
