"""What is compared by joint_order.py: the order in which each column shows the structures of a pool."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

from joint_pools import ENERGY, FLOW, LIBRARY, SYMMETRY, Pool

from dao_core.crystal import Crystal
from dao_core.matching.seen import SeenCrystals
from dao_core.screening.calibration import shipped_calibration
from dao_core.screening.joint import JointWeights, Suggestion, joint_order, without
from dao_core.screening.suggestions import SMALLEST_SHARE, before_samples
from dao_core.studies.csp_benchmark import Target

DEPTH = 20  # structures of a column that count
RELAXED = " + DAO-P"
RANKED = (SYMMETRY + RELAXED, "joint" + RELAXED)
COLUMNS = ("templates", SYMMETRY, FLOW, "joint", *RANKED)
NEEDED: dict[str, set[str]] = {"templates": set(), SYMMETRY: {SYMMETRY}, FLOW: {FLOW}, "joint": {SYMMETRY}}
NEEDED |= {column: {SYMMETRY, ENERGY} for column in RANKED}
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
    temperature = shipped_calibration().contexts["neither"].temperature["dao"]
    relaxed, others = [], []
    for s in suggestions:
        made = [pool.by_predictor(found.crystal) for found in (s.hit, s.proposal) if found is not None]
        ends = next((m for m in made if m), [])
        relaxed += [(s.log_prior + end.log_prior - end.energy / temperature, end.crystal) for end in ends]
        if not ends:
            others.append(s.crystal)
    seen, kept = SeenCrystals(), []
    for _, crystal in sorted(relaxed, key=lambda pair: -pair[0]):
        if seen.find(crystal) is None:
            seen.add(crystal)
            kept.append(crystal)
    return kept + others


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
