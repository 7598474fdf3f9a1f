"""Structure templates: a search in known structures for those that a new composition may take."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from dao_core.crystal import Crystal, InvalidCrystalError
from dao_core.elements import atomic_number
from dao_core.generate.templates.buckets import Bucket, BucketBuilder
from dao_core.generate.templates.elements import substitution_log_odds
from dao_core.generate.templates.ranker import FEATURES, Ranker, candidate_features
from dao_core.generate.templates.search import (
    Candidates,
    find_candidates,
    log_coverage,
    log_evidence,
    log_shares,
    select_distinct,
)
from dao_core.matching.atomic_volumes import fit_atomic_volumes
from dao_core.matching.distances import atoms_overlap
from dao_core.matching.fingerprint import fingerprint, prototype_key, slots_of, symmetry_of
from dao_core.matching.seen import SeenCrystals

SHARED_BY = 20  # templates that share a query's probability


class TemplateIndexError(ValueError):
    """An index that cannot be built, read or asked; the message says what to do."""


@dataclass(frozen=True)
class TemplateHit:
    """A template with the query's elements on its sites, at the predicted volume.

    `score` is the ranker's; `log_prior` the log of the probability that this is the structure of the composition.
    """

    crystal: Crystal
    template_id: str
    score: float
    log_prior: float = 0.0
    features: dict[str, float] = field(default_factory=dict)


@dataclass
class TemplateIndex:
    """Known structures by anonymised cell formula, with what they teach about elements.

    `source` says what the index was built from (table path and version, or a data description). Rows of `ids`,
    `crystals`, `spacegroups` and `keys` go together; `buckets` maps the ordered counts of a cell to its entries.
    """

    ids: list[str]
    crystals: Sequence[Crystal]
    spacegroups: NDArray[np.int64]
    keys: list[str]
    buckets: Mapping[tuple[int, ...], Bucket]
    log_odds: NDArray[np.float64]
    atomic_volumes: NDArray[np.float64]
    ranker: Ranker
    source: str

    @classmethod
    def build(cls, items: Iterable[tuple[str, Crystal]], *, source: str) -> TemplateIndex:
        """Index structures under the ranker that ships; about 1.5 ms each on one core.

        Args:
            items: (id, structure).
            source: What the index says of its origin.

        Returns:
            The index.

        Raises:
            TemplateIndexError: There is nothing to index, or an id occurs twice.
        """
        ids: list[str] = []
        crystals: list[Crystal] = []
        spacegroups: list[int] = []
        keys: list[str] = []
        builders: dict[tuple[int, ...], BucketBuilder] = {}
        for template_id, crystal in items:
            slots = slots_of(crystal.atomic_numbers)
            number, wyckoffs = symmetry_of(crystal)
            key, order = prototype_key(slots, number, wyckoffs)
            counts = tuple(int(n) for n in slots.counts)
            builder = builders.setdefault(counts, BucketBuilder(counts))
            builder.add(len(ids), key, order, slots, fingerprint(crystal, slots))
            ids.append(template_id)
            crystals.append(crystal)
            spacegroups.append(number)
            keys.append(key)
        if not ids or len(set(ids)) != len(ids):
            raise TemplateIndexError(f"{len(ids)} structures, {len(set(ids))} different ids: give each one its own id")
        buckets = {counts: builder.finish() for counts, builder in builders.items()}
        log_odds = substitution_log_odds(column for bucket in buckets.values() for column in bucket.slot_occupants())
        volumes = fit_atomic_volumes([c.atomic_numbers for c in crystals], [c.volume for c in crystals])
        return cls(ids, crystals, np.array(spacegroups), keys, buckets, log_odds, volumes, Ranker.shipped(), source)

    def __len__(self) -> int:
        return len(self.ids)

    def query(self, composition: Mapping[str, int], k: int, exclude_ids: Collection[str] = ()) -> list[TemplateHit]:
        """The best distinct templates for a cell.

        Args:
            composition: Symbol -> atoms in the cell.
            k: Most templates.
            exclude_ids: Entries that are not used (leave-one-out).

        Returns:
            Hits, best first; fewer where the index has fewer.

        Raises:
            UnknownElementError: A symbol is none.
            TemplateIndexError: The composition is empty or k negative.
        """
        if k < 0:
            raise TemplateIndexError(f"k = {k}: ask for no templates or some")
        match = self.candidates(composition, exclude_ids)
        if match is None:
            return []
        elements, candidates = match
        features = candidate_features(candidates, elements, self.spacegroups, self.atomic_volumes)
        scores = self.ranker.score(features)
        crystals = _Substituted(self, candidates)
        chosen, n_distinct = select_distinct(scores, max(k, SHARED_BY), crystals.repeats)
        priors = log_shares(scores[chosen], n_distinct) + log_coverage(candidates)
        hits = []
        for i, prior in zip(chosen[:k], priors, strict=False):
            crystal = crystals.of(int(i))
            if crystal is not None:
                row = int(candidates.bucket.members[candidates.rows[i]])
                facts = dict(zip(FEATURES, features[i].tolist(), strict=True))
                hits.append(TemplateHit(crystal, self.ids[row], float(scores[i]), float(prior), facts))
        return hits

    def log_evidence(self, composition: Mapping[str, int], exclude_ids: Collection[str] = ()) -> float | None:
        """How much speaks for a cell content, to compare with other cells of the formula; None where nothing does.

        Args:
            composition: Symbol -> atoms in the cell.
            exclude_ids: Entries that are not used.
        """
        match = self.candidates(composition, exclude_ids)
        return None if match is None else log_evidence(match[1])

    def candidates(
        self, composition: Mapping[str, int], exclude_ids: Collection[str] = ()
    ) -> tuple[NDArray[np.int64], Candidates] | None:
        """All candidates of a cell content, before they are ranked.

        Args:
            composition: Symbol -> atoms in the cell.
            exclude_ids: Entries that are not used.

        Returns:
            (the query's elements in bucket order, the candidates); None where no template has this formula.
        """
        counted = sorted((int(n), atomic_number(symbol)) for symbol, n in composition.items() if n > 0)
        if not counted:
            raise TemplateIndexError("empty composition: give at least one element with a count above zero")
        bucket = self.buckets.get(tuple(n for n, _ in counted))
        if bucket is None:
            return None
        excluded = np.array([self._rows[i] for i in exclude_ids if i in self._rows], dtype=np.int64)
        elements = np.array([z for _, z in counted])
        candidates = find_candidates(bucket, elements, self.log_odds, excluded)
        return None if candidates is None else (elements, candidates)

    def substitute(self, row: int, old: NDArray[np.int64], new: NDArray[np.int64]) -> Crystal | None:
        """An entry with its elements exchanged, scaled by the ratio of the predicted volumes.

        Args:
            row: Of the entry.
            old: Its elements, (S,).
            new: What replaces them, (S,).

        Returns:
            The structure; None if it is not a crystal.
        """
        template = self.crystals[row]
        numbers = new[np.argsort(old)[np.searchsorted(np.sort(old), template.atomic_numbers)]]
        ratio = self.atomic_volumes[numbers].sum() / self.atomic_volumes[template.atomic_numbers].sum()
        try:
            return Crystal(template.lattice * ratio ** (1 / 3), template.frac_coords, numbers)
        except InvalidCrystalError:
            return None

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {i: row for row, i in enumerate(self.ids)}


class _Substituted:
    """The structures of a query's candidates, made when they are asked for."""

    def __init__(self, index: TemplateIndex, candidates: Candidates) -> None:
        self.index, self.candidates = index, candidates
        self.made: dict[int, Crystal | None] = {}
        self.seen = SeenCrystals()

    def of(self, i: int) -> Crystal | None:
        """The structure of one; None if it is no crystal, or large atoms overlap in place of small ones."""
        if i not in self.made:
            c = self.candidates
            made = self.index.substitute(int(c.bucket.members[c.rows[i]]), c.old[i], c.new[i])
            self.made[i] = None if made is None or atoms_overlap(made) else made
        return self.made[i]

    def repeats(self, i: int, kept: list[int]) -> bool:
        """Whether one is the same crystal as a better one, or none."""
        for k in kept[len(self.seen) :]:
            crystal = self.of(k)
            assert crystal is not None
            self.seen.add(crystal, self.candidates.prints[k])
        own = self.of(i)
        return own is None or self.seen.find(own, self.candidates.prints[i]) is not None
