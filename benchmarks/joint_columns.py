"""What is compared by joint_order.py: the order in which each column shows the structures of a pool."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

from joint_pools import ENERGY, FLOW, JUDGE, LIBRARY, SYMMETRY, Pool, Relaxed

from dao_core.crystal import Crystal
from dao_core.matching.seen import SeenCrystals
from dao_core.screening.calibration import shipped_calibration
from dao_core.screening.joint import JointWeights, Suggestion, joint_order, without
from dao_core.screening.suggestions import SMALLEST_SHARE, before_samples
from dao_core.studies.csp_benchmark import Target

DEPTH = 20  # structures of a column that count
RELAXED = " + DAO-P"
JUDGED = RELAXED + " + judge"
RANKED = (SYMMETRY + RELAXED, "joint" + RELAXED)
COLUMNS = ("templates", SYMMETRY, FLOW, "joint", *RANKED, "joint" + JUDGED)
NEEDED: dict[str, set[str]] = {"templates": set(), SYMMETRY: {SYMMETRY}, FLOW: {FLOW}, "joint": {SYMMETRY}}
NEEDED |= {column: {SYMMETRY, ENERGY} for column in RANKED} | {"joint" + JUDGED: {SYMMETRY, ENERGY, JUDGE}}
STAND_IN = (
    "MP structures up to 52 atoms without the ids of MPTS-52's validation and test as library (its training split "
    "isn't at hand"
)
LIBRARIES = {
    ("mpts-52", "train"): f"{STAND_IN}; has younger structures of test compositions too, unlike the split by year)",
    ("mpts-52", "strict"): f"{STAND_IN}; has no composition of validation and test, unlike the split by year)",
    "prototypes": "the prototypes that ship as library",
    "without": "library without the test's compositions",
    LIBRARY: "library as it is, known first",
    "train": "training split as library",
    "strict": "training split without any composition of validation and test as library",
}


@dataclass(frozen=True)
class Measured:
    """Pools of a set, their targets in the same order, and which library and weights the joint order uses."""

    name: str
    index: str
    pools: list[Pool]
    targets: list[Target]
    weights: JointWeights

    @property
    def library(self) -> str:
        """What the templates come from, in words."""
        return LIBRARIES.get((self.name, self.index)) or LIBRARIES[self.index]

    def part(self, keep: Callable[[Pool, Target], bool]) -> Measured:
        """Some of the targets."""
        rows = [i for i, (p, t) in enumerate(zip(self.pools, self.targets, strict=True)) if keep(p, t)]
        pools, targets = [self.pools[i] for i in rows], [self.targets[i] for i in rows]
        return Measured(self.name, self.index, pools, targets, self.weights)

    def orders(self, column: str) -> list[list[Crystal]]:
        """Predictions of each target by one column, best first."""
        return [order(p, self.index, column, self.weights) for p in self.pools]


@cache
def order(pool: Pool, index: str, column: str, weights: JointWeights) -> list[Crystal]:
    """Structures for one target; what a library knows comes first and is not suggested again."""
    known = pool.known if index == LIBRARY else []
    if column == SYMMETRY + RELAXED:
        return by_posterior(pool, [Suggestion(proposal=p, log_prior=p.log_prior) for p in pool.proposals])[:DEPTH]
    if column == "joint" + RELAXED:
        return (known + by_posterior(pool, suggested(pool, index, weights)))[:DEPTH]
    if column == "joint" + JUDGED:
        return by_judge(pool, by_posterior(pool, suggested(pool, index, weights)))[:DEPTH]
    if column == "templates":
        return (known + [hit.crystal for hit in pool.hits.get(index, [])])[:DEPTH]
    if column == SYMMETRY:
        return [p.crystal for p in pool.proposals][:DEPTH]
    if column == FLOW:
        return pool.samples[:DEPTH]
    suggestions = suggested(pool, index, weights)
    ranked = [s.crystal for s in suggestions]
    if column == "joint without flow":
        return (known + ranked)[:DEPTH]
    first = DEPTH - len(known) - places_for_samples(pool, index, weights)
    return (known + ranked[:first] + new_samples(pool, known + ranked) + ranked[first:])[:DEPTH]


def by_posterior(pool: Pool, suggestions: Sequence[Suggestion]) -> list[Crystal]:
    """Relaxed structures in the order of the posterior, each once; those that weren't relaxed behind, as they come."""
    return [end.crystal for end in relaxed_order(pool, suggestions)] + [
        s.crystal for s in suggestions if not ends_of(pool, s)
    ]


def relaxed_order(pool: Pool, suggestions: Sequence[Suggestion]) -> list[Relaxed]:
    """What DAO-P made of the suggestions, likeliest first, each once; with the suggestion's prior and what it lost."""
    temperature = shipped_calibration().contexts["neither"].temperature["dao"]
    ends = [
        end._replace(log_prior=s.log_prior + end.log_prior) for s in suggestions for end in ends_of(pool, s)
    ]  # fmt: skip
    seen, kept = SeenCrystals(), []
    for end in sorted(ends, key=lambda e: e.energy / temperature - e.log_prior):
        if seen.find(end.crystal) is None:
            seen.add(end.crystal)
            kept.append(end)
    return kept


def ends_of(pool: Pool, suggestion: Suggestion) -> list[Relaxed]:
    """What DAO-P made of one suggestion: of its template, else of symmetry's structure."""
    made = [pool.by_predictor(x.crystal) for x in (suggestion.hit, suggestion.proposal) if x is not None]
    return next((m for m in made if m), [])


def by_judge(pool: Pool, others: Sequence[Crystal]) -> list[Crystal]:
    """What the judge relaxed, in the order of prior and its energy; behind it the others that it didn't."""
    temperature = shipped_calibration().contexts["neither"].temperature["sevennet"]
    seen, kept = SeenCrystals(), []
    judged = [end.crystal for end in sorted(pool.judged, key=lambda e: e.energy / temperature - e.log_prior)]
    for crystal in judged + list(others):
        if seen.find(crystal) is None:
            seen.add(crystal)
            kept.append(crystal)
    return kept


@cache
def suggested(pool: Pool, index: str, weights: JointWeights) -> list[Suggestion]:
    """Templates and symmetry's structures in their joint order, without what a library knows."""
    known = pool.known if index == LIBRARY else []
    found = joint_order(pool.hits.get(index, []), pool.proposals, weights)
    return without(found, SeenCrystals(known), SMALLEST_SHARE).suggestions


def places_for_samples(pool: Pool, index: str, weights: JointWeights) -> int:
    """How many of the places behind what a library knows a search gives to samples from noise."""
    places = DEPTH - (len(pool.known) if index == LIBRARY else 0)
    return places - len(before_samples(suggested(pool, index, weights), places, 1.0))


def new_samples(pool: Pool, others: Sequence[Crystal]) -> list[Crystal]:
    """The flow's samples that nothing else suggests."""
    seen = SeenCrystals(others)
    return [s for s in pool.samples if seen.find(s) is None]
