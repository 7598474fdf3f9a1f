"""Structures that symmetry alone suggests for a search, weighed beside templates: one order by probability."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from dao_core.crystal import Crystal

if TYPE_CHECKING:
    from dao_core.generate.symmetry.generator import SymmetryGenerator


@dataclass(frozen=True, eq=False)
class PriorCandidate:
    """A structure to look at, the log of its probability before any energy, and where it came from.

    `source` is "template" or "symmetry"; `name` a template's id or a symmetry label; `also` names what else gave the
    same structure.
    """

    crystal: Crystal
    log_prior: float
    source: str
    name: str
    also: tuple[str, ...] = ()


def symmetric_candidates(
    generator: SymmetryGenerator,
    cells: Sequence[dict[str, int]],
    cell_share: Callable[[dict[str, int]], float],
    n: int,
    spacegroup: int | None = None,
) -> tuple[list[PriorCandidate], dict[str, int]]:
    """Likeliest structures of the symmetry model over all cells.

    Args:
        generator: The symmetry model.
        cells: Contents of the primitive cells that are tried.
        cell_share: How common a cell's number of formula units is.
        n: Most candidates.
        spacegroup: The only space group allowed, if one is wanted.

    Returns:
        Candidates, likeliest first, and how many were left out for which reason.
    """
    found: list[PriorCandidate] = []
    refused: dict[str, int] = {}
    for cell, proposals in zip(cells, generator.propose_many(cells, n, spacegroup), strict=True):
        share = math.log(cell_share(cell))
        found += [PriorCandidate(p.crystal, p.log_prior + share, "symmetry", str(p.label)) for p in proposals.items]
        for reason, count in proposals.refused.items():
            refused[reason] = refused.get(reason, 0) + count
    return sorted(found, key=lambda c: -c.log_prior)[:n], refused


def joined(*sources: Sequence[PriorCandidate]) -> list[PriorCandidate]:
    """All candidates in one order, likeliest first; the same structure from two sources counts once.

    It is then as probable as that either source is right: 1 - (1 - p)(1 - q).
    """
    from dao_core.matching.same import same_crystal

    out: list[PriorCandidate] = []
    for candidate in sorted((c for source in sources for c in source), key=lambda c: -c.log_prior):
        for i, earlier in enumerate(out):
            if earlier.crystal.composition == candidate.crystal.composition and same_crystal(
                earlier.crystal, candidate.crystal
            ):
                if candidate.source != earlier.source:
                    wrong = math.log1p(-min(math.exp(earlier.log_prior), 1 - 1e-9))
                    wrong += math.log1p(-min(math.exp(candidate.log_prior), 1 - 1e-9))
                    prior = math.log(-math.expm1(wrong))
                    out[i] = replace(earlier, log_prior=prior, also=(*earlier.also, candidate.name))
                break
        else:
            out.append(candidate)
    return sorted(out, key=lambda c: -c.log_prior)
