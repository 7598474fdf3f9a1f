"""Structures from symmetry alone: p(label | composition) x p(degrees of freedom | label), no library needed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dao_core.crystal import Crystal, InvalidCrystalError
from dao_core.elements import atomic_number
from dao_core.generate.symmetry.checkpoint import KIND, SymmetryModel, load_symmetry
from dao_core.generate.symmetry.description import CollapsedSitesError, from_values, to_crystal
from dao_core.generate.symmetry.fill_search import search_fills
from dao_core.generate.symmetry.label_search import (
    Composition,
    Draw,
    LabelSearchSettings,
    ScoredLabel,
    sample_labels,
    search_labels,
)
from dao_core.generate.symmetry.label_tokens import PartialLabel, UnlabelledCompositionError
from dao_core.generate.symmetry.labels import Label, ordered_elements
from dao_core.generate.symmetry.wyckoff_tables import N_GROUPS
from dao_core.matching.distances import distance_matrix
from dao_core.matching.seen import SeenCrystals, fingerprint_of

OVERLAP = "atoms overlap"
COLLAPSED = "atoms fall on one site or the cell collapses"
FILLS = 4  # most proposals of one label


@dataclass(frozen=True, eq=False)
class SymmetryProposal:
    """A structure in its primitive cell and its label.

    `log_probability` is log p(label) + log p(fill) given the composition, `log_label` its first part, `log_prior` the
    log of how often such a proposal is the wanted structure.
    """

    crystal: Crystal
    label: Label
    log_probability: float
    log_label: float
    log_prior: float


@dataclass(frozen=True, eq=False)
class SymmetryProposals:
    """Different structures for one composition, likeliest first.

    `refused` counts what was left out, by reason; `labels` were tried. Empty `items` always come with a reason.
    """

    items: list[SymmetryProposal]
    refused: dict[str, int] = field(default_factory=dict)
    labels: list[ScoredLabel] = field(default_factory=list)


class SymmetryGenerator:
    """Proposes structures by their symmetry; knows which elements it has seen."""

    def __init__(self, model: SymmetryModel, search: LabelSearchSettings | None = None) -> None:
        """Take the networks, and how thoroughly labels are searched."""
        self.model, self.search = model, search or LabelSearchSettings()

    @classmethod
    def load(cls, directory: Path | str = KIND, search: LabelSearchSettings | None = None) -> SymmetryGenerator:
        """The model that ships, `symmetry`, or one in a folder (see `resolve`). Raises CheckpointError."""
        return cls(load_symmetry(directory), search)

    @property
    def identity(self) -> str:
        """Kind and weights hash of the model."""
        return self.model.identity

    @property
    def elements(self) -> frozenset[int]:
        """Atomic numbers that the model was trained on."""
        return self.model.facts.elements

    def propose(
        self, composition: Mapping[str, int], n: int, spacegroup: int | None = None, seed: int | None = None
    ) -> SymmetryProposals:
        """Structures of a cell's content, likeliest first.

        Args:
            composition: Symbol -> atoms of the primitive cell.
            n: Most structures.
            spacegroup: Allows only this one.
            seed: Draws the labels; None takes those of a beam search.

        Returns:
            The proposals, and why there are not more.
        """
        return self.propose_many([composition], n, spacegroup, seed)[0]

    def propose_many(
        self,
        compositions: Sequence[Mapping[str, int]],
        n: int,
        spacegroup: int | None = None,
        seed: int | None = None,
    ) -> list[SymmetryProposals]:
        """`propose` for many cells at once, which is faster.

        Args:
            compositions: Symbol -> atoms of each primitive cell.
            n: Most structures of each.
            spacegroup: Allows only this one.
            seed: Draws the labels; None takes those of a beam search.

        Returns:
            The proposals of each cell.
        """
        groups = None if spacegroup is None else [spacegroup]
        out = [SymmetryProposals([], self._refusal(c, groups)) for c in compositions]
        todo = [i for i, p in enumerate(out) if not p.refused]
        keys = [_key(compositions[i]) for i in todo]
        if seed is None:
            labels = search_labels(self.model.labels, keys, self.search, groups) if keys else []
        else:
            labels = [self._drawn(key, n, groups, seed) for key in keys]
        for i, proposals in zip(todo, self._fill(labels, n), strict=True):
            out[i] = proposals
        return out

    def _drawn(self, key: Composition, n: int, groups: Collection[int] | None, seed: int) -> list[ScoredLabel]:
        """Labels in the order in which they were drawn most often; the log of their share is their probability."""
        draw = Draw(seed, groups=groups, source=self.search.source)
        counts = Counter(sample_labels(self.model.labels, key, 4 * n, draw))
        total = sum(counts.values())
        return [ScoredLabel(label, float(np.log(k / total))) for label, k in counts.most_common(self.search.n)]

    def _refusal(self, composition: Mapping[str, int], groups: Collection[int] | None) -> dict[str, int]:
        if not composition or min(composition.values()) < 1:
            return {"a cell holds at least one atom of each element": 1}
        wrong = [g for g in groups or () if not 1 <= g < N_GROUPS]
        if wrong:
            return {f"space group {wrong[0]}: numbers go from 1 to {N_GROUPS - 1}": 1}
        unseen = [s for s in composition if atomic_number(s) not in self.elements]
        if unseen:
            return {f"the symmetry model never saw {', '.join(unseen)}": 1}
        try:
            allowed = PartialLabel.start(*_key(composition)).allowed_groups()
        except UnlabelledCompositionError as error:
            return {str(error): 1}
        if not any(allowed[g] for g in groups or range(1, N_GROUPS)):
            cell = "".join(f"{s}{k}" for s, k in composition.items())
            where = "any space group" if groups is None else f"space group {', '.join(map(str, groups))}"
            return {f"the sites of {where} don't add up to {cell}: try another number of formula units": 1}
        return {}

    def _fill(self, found: Sequence[Sequence[ScoredLabel]], n: int) -> list[SymmetryProposals]:
        """Degrees of freedom for all labels; what overlaps is left out and counted."""
        labels = [scored.label for row in found for scored in row]
        fills = iter(search_fills(self.model.fills, labels, FILLS))
        out = []
        for row in found:
            items: list[SymmetryProposal] = []
            refused: Counter[str] = Counter()
            for scored in row:
                for fill in next(fills):
                    made = self._made(scored.label, fill.values)
                    if isinstance(made, str):
                        refused[made] += 1
                        continue
                    total = scored.log_probability + fill.log_probability
                    prior = self.model.calibration.log_prior(total)
                    items.append(SymmetryProposal(made, scored.label, total, scored.log_probability, prior))
            items.sort(key=lambda p: -p.log_probability)
            if not row:
                refused["no label was found within the search's width"] += 1
            out.append(SymmetryProposals(_distinct(items, n), dict(refused), list(row)))
        return out

    def _made(self, label: Label, values: Sequence[float]) -> Crystal | str:
        try:
            crystal = to_crystal(from_values(label, values, self.model.facts.volumes))
        except (CollapsedSitesError, InvalidCrystalError):
            return COLLAPSED
        close = closest_ratio(crystal, self.model.facts.volumes)
        return crystal if close >= self.model.facts.closest else OVERLAP


def _distinct(items: Sequence[SymmetryProposal], n: int) -> list[SymmetryProposal]:
    """The first n different structures: peaks of equivalent coordinates, and subgroups' labels, repeat others."""
    kept: list[SymmetryProposal] = []
    seen = SeenCrystals()
    for item in items:
        if len(kept) == n:
            break

        def repeats(i: int, label: Label = item.label) -> bool:
            return kept[i].label == label

        own = fingerprint_of(item.crystal)
        if seen.find(item.crystal, own, repeats) is not None:
            continue
        kept.append(item)
        seen.add(item.crystal, own)
    return kept


def closest_ratio(crystal: Crystal, volumes: NDArray[np.float64]) -> float:
    """Smallest distance of two atoms over the sum of their radii, those of spheres of the elements' usual volume.

    Args:
        crystal: Any.
        volumes: Usual volume of each element, (101,), angstrom^3.

    Returns:
        The ratio.
    """
    radii = (3 * volumes[crystal.atomic_numbers] / (4 * np.pi)) ** (1 / 3)
    distances = distance_matrix(crystal.lattice, crystal.frac_coords)
    return float((distances / (radii[:, None] + radii)).min())


def _key(composition: Mapping[str, int]) -> Composition:
    counts = {atomic_number(symbol): n for symbol, n in composition.items()}
    elements = ordered_elements(list(counts))
    return elements, tuple(counts[z] for z in elements)
