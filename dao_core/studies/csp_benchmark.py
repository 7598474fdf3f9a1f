"""A structure prediction benchmark: targets in shards, columns of predictions, rows of hard cases, seeds averaged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import gcd
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, field_validator

from dao_core.crystal import Crystal
from dao_core.energy.relaxation.relax import RelaxSettings
from dao_core.evaluate.scorecard import compare_all, metre_rms
from dao_core.generate.distinct_samples import SampleRequest, sample_distinct
from dao_core.generate.sampler import Generator, Proposal, SampleStart, numbers_of, sample_seed
from dao_core.generate.templates.index import TemplateIndex
from dao_core.matching.pairs import MatchEffort
from dao_core.matching.rms import Comparison
from dao_core.screening.candidate import Candidate
from dao_core.screening.load_models import SearchModels
from dao_core.screening.search import search
from dao_core.screening.settings import SearchSettings, proposal_shares

Model = TypeVar("Model")
Column = Literal["templates", "denovo", "seeded", "mixed", "ranked", "baseline"]
SETS = ("mp-20", "mpts-52", "perov-5", "carbon-24")
HARD = ("all", "exact", "composition unseen", "prototype unseen", "more than 3 elements")


class BenchmarkSettings(BaseModel):
    """What is predicted for each target and how it is scored."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    columns: tuple[Column, ...] = ("templates", "denovo", "seeded")
    k: int = Field(20, ge=1, description="predictions of each target")
    seeds: tuple[int, ...] = (0, 1, 2)
    limit: int = Field(0, ge=0, description="random targets; 0: all")
    shard_size: int = Field(50, ge=1, description="targets of one shard, compositions kept together")
    distinct: bool = Field(True, description="draw repeats of a composition's samples again")
    # chosen on 60 validation compositions: 8 + 12 cover 93 %, 16 + 4 cover 90 % (benchmarks/ranking.py, `coverage`)
    free: int = Field(12, ge=0, description="de novo samples of column mixed at least")
    proposals: int = Field(40, ge=1, description="structures that column ranked relaxes for its k answers")
    steps: int | None = Field(None, gt=0, description="network evaluations of a flow sample; none: the checkpoint's")
    relax_steps: int = Field(30, ge=0, description="most steps of each of those relaxations")
    timeout_s: float = Field(30.0, gt=0, description="of one comparison")
    metre_pairs: int = Field(50_000, ge=0, description="no METRe where one composition needs more comparisons")

    @field_validator("columns", "seeds")
    @classmethod
    def _some(cls, value: tuple[object, ...]) -> tuple[object, ...]:
        if not value or len(set(value)) != len(value):
            raise ValueError("give at least one, each once")
        return value


@dataclass(frozen=True)
class Target:
    """A structure to be found; `exact` is False for a stand-in for the published row."""

    id: str
    crystal: Crystal
    exact: bool = True

    @property
    def formula(self) -> tuple[tuple[str, int], ...]:
        """Reduced composition."""
        return reduced(self.crystal)

    @property
    def units(self) -> int:
        """Formula units in the cell."""
        return gcd(*self.crystal.composition.values())


@dataclass(frozen=True)
class Models:
    """What predicts: the index of the training split, the generator, and another generator as `baseline`.

    `search` answers column ranked: (targets, settings, seed) to proposals in the order of their probability.
    """

    templates: TemplateIndex | None = None
    generator: Generator | None = None
    baseline: Generator | None = None
    search: Callable[[Sequence[Target], BenchmarkSettings, int], list[list[Proposal]]] | None = None


@dataclass(frozen=True)
class ShardResult:
    """Ranked predictions of some targets with their comparisons.

    `metre` (n,): smallest rms over the predictions for the composition, NaN without a match; None where not measured.
    `n_failed_draws`: samples from noise that were no structure, most of them replaced by another draw.
    """

    predicted: list[list[Crystal | None]]
    origins: list[list[str]]
    table: list[list[Comparison]]
    metre: NDArray[np.float64] | None
    n_failed_draws: int = 0


def reduced(crystal: Crystal) -> tuple[tuple[str, int], ...]:
    """Symbols with their counts over the common divisor."""
    divisor = gcd(*crystal.composition.values())
    return tuple((s, n // divisor) for s, n in crystal.composition.items())


def shards(targets: Sequence[Target], settings: BenchmarkSettings) -> list[list[Target]]:
    """Cut the targets into shards, all of one composition into the same, as METRe needs; seeds don't change it.

    Args:
        targets: All targets; a composition with too many of them for METRe is cut like any other list.
        settings: Of the benchmark.

    Returns:
        The targets of each shard.
    """
    chosen = list(targets)
    if settings.limit and settings.limit < len(chosen):
        order = np.random.default_rng(0).permutation(len(chosen))[: settings.limit]
        chosen = [chosen[i] for i in sorted(order)]
    groups: dict[tuple[tuple[str, int], ...], list[Target]] = {}
    for target in chosen:
        groups.setdefault(target.formula, []).append(target)
    out: list[list[Target]] = []
    for group in groups.values():
        size = len(group) if _measures_metre(group, settings) else settings.shard_size
        for begin in range(0, len(group), size):
            part = group[begin : begin + size]
            if not out or len(out[-1]) + len(part) > settings.shard_size:
                out.append([])
            out[-1] += part
    return out


def _measures_metre(targets: Sequence[Target], settings: BenchmarkSettings) -> bool:
    largest = max(Counter(t.formula for t in targets).values())
    return largest * largest * settings.k <= settings.metre_pairs


@dataclass(frozen=True)
class Predictions:
    """Up to k proposals of each target, best first, and how many samples from noise were no structure."""

    rows: list[list[Proposal]]
    n_failed_draws: int = 0


def run_shard(
    targets: Sequence[Target], column: Column, models: Models, settings: BenchmarkSettings, seed: int
) -> ShardResult:
    """Predict and compare one shard. A composition that a model refuses has no predictions and counts as missed.

    Args:
        targets: What is to be found.
        column: Who predicts.
        models: The models that the column needs.
        settings: Number of predictions and how they are scored.
        seed: Of sampling.

    Returns:
        Predictions and comparisons.
    """
    predictions = predict(targets, column, models, settings, seed)
    predicted = [[p.crystal for p in row] for row in predictions.rows]
    reference = [t.crystal for t in targets]
    effort = MatchEffort(timeout_s=settings.timeout_s)
    table = compare_all(predicted=predicted, reference=reference, effort=effort)
    metre = None
    if _measures_metre(targets, settings):
        metre = metre_rms(predicted=predicted, reference=reference, effort=effort)
    return ShardResult(
        predicted, [[p.origin for p in row] for row in predictions.rows], table, metre, predictions.n_failed_draws
    )


def predict(
    targets: Sequence[Target], column: Column, models: Models, settings: BenchmarkSettings, seed: int
) -> Predictions:
    """Proposals for each target by one column's method.

    Args:
        targets: What is to be found.
        column: Who predicts.
        models: The models that the column needs.
        settings: Number of predictions of each target.
        seed: Of sampling.

    Returns:
        Up to k proposals of each target.

    Raises:
        ValueError: The column's model is not given.
    """
    if column == "templates":
        index = _given(models.templates, "templates")
        return Predictions([[_plain(i, c) for i, c in _hits(index, t, settings.k)] for t in targets])
    if column == "ranked":
        return Predictions(_given(models.search, column)(targets, settings, seed))
    generator = _given(models.baseline if column == "baseline" else models.generator, column)
    draws = _Draws(generator, settings, seed)
    if column in ("denovo", "baseline"):
        return Predictions(draws.de_novo(targets, [settings.k] * len(targets)), len(draws.failed))
    index = _given(models.templates, column)
    hits = [_hits(index, t, max(0, settings.k - (settings.free if column == "mixed" else 0))) for t in targets]
    first = draws.refined(targets, hits)
    rest = draws.de_novo(targets, [settings.k - len(row) for row in first])
    return Predictions([f + r for f, r in zip(first, rest, strict=True)], len(draws.failed))


class _Draws:
    """Samples of one generator for the targets whose elements it knows; `failed` collects those without a structure."""

    def __init__(self, generator: Generator, settings: BenchmarkSettings, seed: int) -> None:
        self.generator, self.settings, self.seed = generator, settings, seed
        self.failed: list[Proposal] = []

    def _knows(self, target: Target) -> bool:
        return set(target.crystal.atomic_numbers.tolist()) <= self.generator.elements

    def refined(self, targets: Sequence[Target], hits: Sequence[Sequence[tuple[str, Crystal]]]) -> list[list[Proposal]]:
        """Each target's templates sampled from. One of elements that the generator never saw is given as it is."""
        starts = [
            SampleStart(c.atomic_numbers, sample_seed(self.seed, t.crystal.composition, i, name), c, name)
            for t, row in zip(targets, hits, strict=True) if self._knows(t)
            for i, (name, c) in enumerate(row)
        ]  # fmt: skip
        drawn = iter(self.generator.sample(starts) if starts else [])
        return [
            [next(drawn) if self._knows(t) else _plain(name, c) for name, c in row]
            for t, row in zip(targets, hits, strict=True)
        ]

    def de_novo(self, targets: Sequence[Target], counts: Sequence[int]) -> list[list[Proposal]]:
        """So many samples from noise of each: the second target of a composition gets others than the first."""
        out: list[list[Proposal]] = [[] for _ in targets]
        seen: Counter[tuple[tuple[str, int], ...]] = Counter()
        levels: dict[int, list[int]] = {}
        for i, target in enumerate(targets):
            cell = tuple(target.crystal.composition.items())
            if self._knows(target) and counts[i]:
                levels.setdefault(seen[cell], []).append(i)
            seen[cell] += 1
        for level, members in levels.items():
            requests = [SampleRequest(targets[i].crystal.composition, counts[i]) for i in members]
            for i, row in zip(members, self._sampled(requests, self.seed + 1_000_003 * level), strict=True):
                out[i] = row
        return out

    def _sampled(self, requests: Sequence[SampleRequest], seed: int) -> list[list[Proposal]]:
        for request in requests:
            self.generator.check(request.composition)
        if self.settings.distinct:
            return sample_distinct(self.generator, requests, seed, failed=self.failed)
        starts = [
            SampleStart(numbers_of(r.composition), sample_seed(seed, r.composition, i))
            for r in requests
            for i in range(r.n)
        ]
        made = self.generator.sample(starts)
        self.failed += [p for p in made if p.crystal is None]
        drawn = iter(made)
        return [[next(drawn) for _ in range(r.n)] for r in requests]


def _hits(index: TemplateIndex, target: Target, k: int) -> list[tuple[str, Crystal]]:
    return [(h.template_id, h.crystal) for h in index.query(target.crystal.composition, k, exclude_ids=(target.id,))]


def _plain(origin: str, crystal: Crystal) -> Proposal:
    return Proposal(crystal, origin, 0, "template")


def _given(model: Model | None, column: str) -> Model:
    if model is None:
        raise ValueError(f"column {column!r} needs a model that was not given")
    return model


def ranked_predictions(
    targets: Sequence[Target], settings: BenchmarkSettings, seed: int, models: SearchModels
) -> list[list[Proposal]]:
    """Proposals of all kinds for each target's cell content, relaxed, merged where equal, ordered by probability.

    Args:
        targets: Of one shard.
        settings: Of the benchmark.
        seed: Of the search.
        models: What proposes and ranks.

    Returns:
        The predictions of each target, best first.

    Raises:
        ValueError: A target is in the template index, which a search has no way to leave out.
    """
    known = {t.id for t in targets} & set(models.templates.ids if models.templates else ())
    if known:
        raise ValueError(f"the index holds the targets {sorted(known)[:3]}: build it from the training split alone")
    relaxing = RelaxSettings(max_steps=settings.relax_steps, batch_size=32)
    out = []
    for target in targets:
        formula = "".join(f"{symbol}{count}" for symbol, count in target.formula)
        how = SearchSettings(z=target.units, seed=seed, relax=relaxing, **proposal_shares(settings.proposals))
        candidates = search([formula], models, how).candidates
        out.append([_proposal(c) for c in candidates[: settings.k]])
    return out


def _proposal(candidate: Candidate) -> Proposal:
    facts = candidate.provenance
    origin = candidate.library_id or facts.get("template_id") or facts.get("start") or candidate.origin
    return Proposal(candidate.crystal, str(origin).removeprefix("template "), int(facts.get("seed", 0)), "search")
