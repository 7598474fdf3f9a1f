"""Structures to look at for one formula before any model is asked: what the library knows, and known prototypes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import exp
from typing import TYPE_CHECKING, Any

from dao_core.generate.templates.index import SHARED_BY
from dao_core.library.known import LARGEST_KNOWN
from dao_core.library.prior import known_log_priors
from dao_core.screening.around_given import GivenCells, cells_around, known_around, suggested_around
from dao_core.screening.formulas import LARGEST_CELL, MAX_ATOMS, Formula, FormulaError, enumerate_cells
from dao_core.screening.given import GivenStructureError
from dao_core.screening.priors import left_to_unknown
from dao_core.screening.proposed import KNOWN, SYMMETRY, TEMPLATE, Proposals, Proposed
from dao_core.screening.settings import SearchSettings
from dao_core.screening.suggestions import (
    SMALLEST_SHARE,
    CellTemplates,
    Suggested,
    Suggesters,
    before_samples,
    suggest,
    templates_of,
)

if TYPE_CHECKING:
    from dao_core.crystal import Crystal
    from dao_core.generate.constraints import Constraint
    from dao_core.library.known import KnownStructure
    from dao_core.screening.joint import Suggestion
    from dao_core.screening.load_models import SearchModels

LIKELY_LARGE = 0.1  # share of a cell above the size limit from which it is tried; few formulas have such a cell


def cells_of(formula: Formula, settings: SearchSettings) -> list[dict[str, int]]:
    """The cells to try for a formula.

    Args:
        formula: Parsed.
        settings: Formula units and largest cell.

    Returns:
        Symbol -> atoms of each cell.

    Raises:
        FormulaError: None is small enough.
    """
    if settings.z == "auto":
        return enumerate_cells(formula, settings.max_atoms)
    if settings.z < 1:
        raise FormulaError(f"z = {settings.z}: give 'auto' or a number of formula units from 1 up")
    largest = formula.atoms_per_unit * settings.z
    if largest > LARGEST_CELL:
        fits = LARGEST_CELL // formula.atoms_per_unit
        remedy = f"z = {fits} is the most" if fits else "it is too large to be searched"
        raise FormulaError(
            f"{formula.shown}: z = {settings.z} makes a cell of {largest} atoms, more than {LARGEST_CELL}: {remedy}"
        )
    return [enumerate_cells(formula, largest)[settings.z - 1]]


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
        """Cell contents to try, smallest first; of a formula that nobody knows also larger ones, as garnets have."""
        cells, limit = cells_of(self.formula, self.settings), self.settings.max_atoms
        if self.listed or self.settings.z != "auto" or self.settings.given.active or limit != MAX_ATOMS:
            return cells
        every = enumerate_cells(self.formula, LARGEST_KNOWN)
        likely = [t.share for t in templates_of(every, replace(self.without_models, n_templates=0))]
        return cells + [c for c, p in zip(every, likely, strict=True) if sum(c.values()) > limit and p >= LIKELY_LARGE]

    @cached_property
    def listed(self) -> list[KnownStructure]:
        """All of the library's structures of this formula."""
        library = self.models.library
        return [] if library is None else library.of_formula(self.formula.reduced)

    @cached_property
    def constraint(self) -> Constraint | None:
        """What is given of every structure. Raises GivenStructureError, ConstraintError where it cannot be used."""
        return self.settings.given.constraint()

    @cached_property
    def given_cells(self) -> GivenCells:
        """The cells in which samples are drawn around what is given. Raises GivenStructureError."""
        generator, kind = self.models.generator, self.settings.given.kind
        if self.constraint is None:
            return GivenCells(self.cells)
        if generator is None:
            raise GivenStructureError(f"a search with a given {kind} needs the generator: leave --generator alone")
        volumes, largest = generator.base.volumes.tolist(), self.largest_generated
        try:
            return cells_around(self.cells, self.constraint, volumes, self.settings, largest, self.listed)
        except GivenStructureError as error:
            raise GivenStructureError(f"{self.formula.shown}: {error}") from error

    @cached_property
    def agreeing(self) -> list[tuple[KnownStructure, Crystal]]:
        """The library's structures of this formula that agree with what is given, each as it is to be looked at."""
        if self.constraint is None:
            return [(k, k.crystal) for k in self.listed]
        return known_around(self.listed, self.constraint, self.given_cells)

    @cached_property
    def searched(self) -> list[tuple[KnownStructure, Crystal]]:
        """Those of `agreeing` within the size limit or of the wanted number of formula units."""
        if self.settings.z == "auto":
            return [(k, c) for k, c in self.agreeing if c.n_atoms <= self.largest_known]
        return [(k, c) for k, c in self.agreeing if c.composition == self.cells[0]]

    @property
    def largest_known(self) -> int:
        """Atoms of the largest cell that is taken from the library: what is listed needs no search."""
        limit = self.settings.max_atoms
        return max(limit, LARGEST_KNOWN) if limit == MAX_ATOMS else limit

    @cached_property
    def known(self) -> list[KnownStructure]:
        """The library's structures that are proposed."""
        return [k for k, _ in self.searched]

    def left_out(self) -> list[str]:
        """What of the library the size limit leaves out."""
        sizes = [c.n_atoms for _, c in self.agreeing if c.n_atoms > self.largest_known]
        if self.settings.z != "auto" or not sizes:
            return []
        several = f"{len(sizes)} known structures have" if len(sizes) > 1 else "1 known structure has"
        return [
            f"{self.formula.shown}: {several} more than {self.largest_known} atoms a cell "
            f"(--max-atoms {max(sizes)} takes {'them' if len(sizes) > 1 else 'it'})"
        ]

    @cached_property
    def suggested(self) -> Suggested:
        """What templates and symmetry suggest over all cells, or around what is given."""
        if self.constraint is not None:
            if self.constraint.spacegroup is not None:
                return suggest(self.cells, self.suggesters(self.constraint.spacegroup))
            return suggested_around(self.constraint, self.given_cells.cells[0], self.suggesters())
        return suggest(self.cells, self.suggesters(), self.templates)

    @cached_property
    def templates(self) -> list[CellTemplates]:
        """What the templates say of each cell."""
        return templates_of(self.cells, self.without_models)

    @cached_property
    def without_models(self) -> Suggesters:
        """Who suggests structures of this formula at once, before the generator is loaded: templates alone."""
        wanted = self.settings.n_templates + self.settings.n_seeded
        return Suggesters(
            templates=self.models.templates if wanted else None,
            symmetry=None,
            n_templates=max(wanted, SHARED_BY),
            known=[k.crystal for k in self.known],
            known_ids={k.material_id for k in self.listed},  # also those that do not agree with what is given
        )

    def suggesters(self, spacegroup: int | None = None) -> Suggesters:
        """Who suggests structures of this formula, of one space group or of any."""
        generator = self.models.generator if self.settings.n_generated else None
        symmetry = None if generator is None else generator.symmetry
        return replace(self.without_models, symmetry=symmetry, largest=self.largest_generated, spacegroup=spacegroup)

    @property
    def largest_generated(self) -> int:
        """Atoms of the largest cell that is generated."""
        generator = self.models.generator
        return self.settings.generated_atoms or (0 if generator is None else generator.max_atoms)

    @cached_property
    def chosen(self) -> list[Suggestion]:
        """Suggestions that get a place before samples. Without a generator every place is for a suggestion."""
        settings = self.settings
        if settings.given.active:  # a sample around what is given has no prior to compare with
            return self.suggested.ranked[: settings.n_templates + settings.n_generated]
        samples = settings.n_generated if self.models.generator is not None else 0
        places = settings.n_templates + samples
        left = sum(self.share(cell) for cell in self.cells if samples and self.is_sampled(cell))
        return before_samples(
            self.suggested.ranked, places, left, lambda suggestion: self.is_sampled(suggestion.crystal.composition)
        )

    def share(self, cell: dict[str, int]) -> float:
        """Probability that a structure which the library doesn't have fills this cell."""
        return self.templates[self.cells.index(cell)].share * left_to_unknown(bool(self.known))

    def is_sampled(self, cell: dict[str, int]) -> bool:
        """Whether a cell is small enough for the generator."""
        return sum(cell.values()) <= self.largest_generated

    def left(self, cell: dict[str, int]) -> float:
        """Probability that this cell holds the structure and none of the suggestions or seeds that are tried is it."""
        tried = [s for s in self.chosen + self.seeds if s.crystal.composition == cell]
        share = self.share(cell)
        return max(share - sum(exp(s.log_prior) for s in tried), SMALLEST_SHARE * share)

    @property
    def seeds(self) -> list[Suggestion]:
        """The next templates seed the generator: a seed that is relaxed as well would mostly end in the same one."""
        n, most = len(self.chosen), self.settings.n_seeded
        further = [s for s in self.suggested.ranked[n:] if s.hit is not None]
        return (further or [s for s in self.chosen if s.hit is not None])[:most]

    def from_library(self) -> list[Proposed]:
        """Every structure of the formula that the library has and what is given allows, the lowest first."""
        priors = known_log_priors(self.known)
        return [
            Proposed(f"{self.formula.reduced}-k{i:04d}", crystal, KNOWN, prior, known=k)
            for i, ((k, crystal), prior) in enumerate(zip(self.searched, priors, strict=True))
        ]

    def from_suggestions(self, suggestions: Sequence[Suggestion] | None = None) -> list[Proposed]:
        """Templates with the formula's elements and structures of the symmetry model, likeliest first."""
        chosen = self.chosen if suggestions is None else suggestions
        return [self._proposed(i, s) for i, s in enumerate(chosen)]

    def _proposed(self, i: int, suggestion: Suggestion) -> Proposed:
        facts: dict[str, Any] = {}
        if suggestion.proposal is not None:
            symmetry = None if self.models.generator is None else self.models.generator.symmetry
            assert symmetry is not None
            facts |= {"model": symmetry.identity, "label": str(suggestion.proposal.label)}
        if suggestion.hit is None:
            name = f"{self.formula.reduced}-s{i:04d}"
            facts["start"] = SYMMETRY
            return Proposed(name, suggestion.crystal, SYMMETRY, suggestion.log_prior, provenance=facts)
        source = "" if self.models.templates is None else self.models.templates.source
        hit = suggestion.hit
        facts |= {"template_id": hit.template_id, "template_score": hit.score, "templates": source}
        name = f"{self.formula.reduced}-t{i:04d}"
        return Proposed(name, suggestion.crystal, TEMPLATE, suggestion.log_prior, provenance=facts)


def propose_known(proposer: Proposer) -> Proposals:
    """What is known of a formula, and what templates and symmetry suggest: over all cells, or around what is given.

    Raises:
        FormulaError: The formula is larger than any cell that is tried.
        GivenStructureError: What is given cannot be used, or nothing agrees with it.
    """
    if proposer.constraint is not None:
        return _propose_around(proposer, proposer.constraint)
    refused = [f"{proposer.formula.reduced}: {reason}" for reason in proposer.suggested.refused]
    return Proposals(proposer.from_library() + proposer.from_suggestions(), refused, proposer.left_out())


def _propose_around(proposer: Proposer, constraint: Constraint) -> Proposals:
    given, cells, suggested = proposer.settings.given, proposer.given_cells, proposer.suggested
    found = proposer.from_library() + proposer.from_suggestions()
    if cells.why_none and not found:
        raise GivenStructureError(f"{proposer.formula.shown}: {cells.why_none}")
    not_tried = [f"{proposer.formula.shown}: nothing was generated: {cells.why_none}"] if cells.why_none else []
    refused = [f"{proposer.formula.reduced}: {reason}" for reason in suggested.refused]
    held = constraint.cell is not None and given.hold
    items = [replace(p, given=given.kind, held=held) for p in found]
    return Proposals(items, refused, proposer.left_out() + not_tried)


def propose_at_once(proposer: Proposer) -> Proposals:
    """What the library knows of a formula, and the templates alone: all that can be said before a model is loaded.

    `propose_known` orders the same structures anew, with what symmetry says of them. Raises FormulaError.
    """
    if proposer.settings.given.active:
        return Proposals()
    likely = suggest(proposer.cells, proposer.without_models, proposer.templates).ranked[
        : proposer.settings.n_templates
    ]
    return Proposals(proposer.from_library() + proposer.from_suggestions(likely), not_tried=proposer.left_out())
