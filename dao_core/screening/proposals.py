"""Structures to look at for one formula before any model is asked: what the library knows, and known prototypes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import exp, log
from typing import TYPE_CHECKING

from dao_core.generate.templates.index import SHARED_BY
from dao_core.library.prior import known_log_priors
from dao_core.screening.formulas import Formula, FormulaError, enumerate_cells
from dao_core.screening.priors import left_to_unknown, unit_share
from dao_core.screening.proposed import KNOWN, TEMPLATE, Proposals, Proposed
from dao_core.screening.settings import SearchSettings

if TYPE_CHECKING:
    from dao_core.generate.templates.index import TemplateHit
    from dao_core.library.known import KnownStructure
    from dao_core.screening.load_models import SearchModels

SMALLEST_SHARE = 0.01  # of a cell's probability that templates always leave to other structures


def cells_of(formula: Formula, settings: SearchSettings) -> list[dict[str, int]]:
    """The cells to try for a formula. Raises FormulaError where none is small enough."""
    if settings.z == "auto":
        return enumerate_cells(formula, settings.max_atoms)
    if settings.z < 1:
        raise FormulaError(f"z = {settings.z}: give 'auto' or a number of formula units from 1 up")
    largest = formula.atoms_per_unit * settings.z
    return [enumerate_cells(formula, largest)[settings.z - 1]]


@dataclass(frozen=True)
class RankedHit:
    """A template with `log_prior`, the log of its probability before any energy."""

    found: TemplateHit
    log_prior: float


@dataclass(frozen=True)
class Proposer:
    """Proposes structures for one formula with some models, as far as some settings want.

    Raises FormulaError where the formula is too large.
    """

    formula: Formula
    models: SearchModels
    settings: SearchSettings

    @cached_property
    def cells(self) -> list[dict[str, int]]:
        """Cell contents to try, smallest first."""
        return cells_of(self.formula, self.settings)

    @cached_property
    def known(self) -> list[KnownStructure]:
        """The library's structures of this formula, of the wanted number of formula units."""
        library = self.models.library
        found = [] if library is None else library.of_formula(self.formula.reduced)
        if self.settings.z == "auto":
            return found
        return [k for k in found if k.crystal.composition == self.cells[0]]

    @cached_property
    def ranked(self) -> tuple[list[RankedHit], list[float]]:
        """The best templates over all cells, best first, and of each cell the probability left to other structures.

        A template's prior is the index's own within its cell, times how common primitive cells of that many formula
        units are (Bayes); without the latter, the many templates of large cells would crowd out the likely ones of
        small cells. What the library knows of the formula takes its part first.
        """
        wanted = max(self.settings.n_templates + self.settings.n_seeded, SHARED_BY)
        own = {k.material_id for k in self.known}
        rest = log(left_to_unknown(bool(own)))
        hits: list[RankedHit] = []
        left = []
        for cell in self.cells:
            found = [] if self.models.templates is None else self.models.templates.query(cell, wanted, own)
            taken = sum(exp(h.log_prior) for h in found)
            left.append(max(1.0 - taken, SMALLEST_SHARE) * unit_share(cell) * exp(rest))
            hits += [RankedHit(h, h.log_prior + log(unit_share(cell)) + rest) for h in found]
        return sorted(hits, key=lambda h: (-h.log_prior, h.found.template_id)), left

    @property
    def template_hits(self) -> list[RankedHit]:
        """Templates that are relaxed as they stand."""
        return self.ranked[0][: self.settings.n_templates]

    @property
    def seed_hits(self) -> list[RankedHit]:
        """The next ones seed the generator: a seed that is relaxed as well would mostly end in the same structure."""
        hits, n = self.ranked[0], self.settings.n_templates
        return hits[n : n + self.settings.n_seeded] or hits[: self.settings.n_seeded]

    def from_library(self) -> list[Proposed]:
        """Every structure of the formula that the library has, the lowest first."""
        priors = known_log_priors(self.known)
        return [
            Proposed(f"{self.formula.reduced}-k{i:04d}", k.crystal, KNOWN, prior, known=k)
            for i, (k, prior) in enumerate(zip(self.known, priors, strict=True))
        ]

    def from_templates(self, hits: Sequence[RankedHit] | None = None) -> list[Proposed]:
        """The formula's elements on the sites of known structures."""
        source = "" if self.models.templates is None else self.models.templates.source
        return [
            Proposed(
                f"{self.formula.reduced}-t{i:04d}",
                h.found.crystal,
                TEMPLATE,
                h.log_prior,
                provenance={"template_id": h.found.template_id, "template_score": h.found.score, "templates": source},
            )
            for i, h in enumerate(self.template_hits if hits is None else hits)
        ]


def propose_known(proposer: Proposer) -> Proposals:
    """What is known of a formula and the best-scored templates over all cells. Raises FormulaError."""
    if proposer.settings.given.active:
        return Proposals()  # everything is built around what is given (see generation.py)
    return Proposals(proposer.from_library() + proposer.from_templates())
