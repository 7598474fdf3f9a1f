"""k samples of one composition without waste: a repeat of an earlier structure is drawn again from another seed.

What is drawn most often comes first: repeats are votes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from dao_core.crystal import Crystal
from dao_core.generate.sampler import DE_NOVO, Generator, Proposal, SampleStart, numbers_of, sample_seed
from dao_core.matching.fingerprint import fingerprint, fingerprint_distance, slots_of
from dao_core.matching.same import MatchSettings, Member, group_bucket

KERNEL_WIDTH = 0.06  # fingerprint distance over which draws vote for each other


@dataclass(frozen=True)
class SampleRequest:
    """`n` different structures are asked for a cell content (symbol -> count); `known` ones count as already there."""

    composition: dict[str, int]
    n: int
    known: tuple[Crystal, ...] = ()


def repeats(crystals: Sequence[Crystal | None], known: Sequence[Crystal] = ()) -> list[bool]:
    """Whether each structure is the same crystal as an earlier one of the list, or as a known one.

    Args:
        crystals: Structures in the order in which they were drawn; None, a failed draw, is no repeat.
        known: What counts as drawn before all of them.

    Returns:
        A flag for each of `crystals`, by the decision of `dao_core.matching.same` with its default tolerances.
    """
    numbered = [(f"known {i}", c) for i, c in enumerate(known)]
    numbered += [(str(i), c) for i, c in enumerate(crystals) if c is not None]
    members = [Member(name, c.lattice, c.frac_coords, c.atomic_numbers) for name, c in numbered]
    duplicates = group_bucket(members, MatchSettings())
    return [str(i) in duplicates for i in range(len(crystals))]


def sample_distinct(
    generator: Generator,
    requests: Sequence[SampleRequest],
    seed: int,
    *,
    rounds: int = 3,
    failed: list[Proposal] | None = None,
) -> list[list[Proposal]]:
    """For each request its proposals: different structures first, repeats only where drawing gave no more.

    The different ones are in the order of `by_density`. Sample i of a composition has the same seed as sample i of
    `Generator.propose`, replacements continue the count: the answer depends on (seed, composition, n) alone, not on the
    other requests. The caller asks `Generator.check` whether the elements are known.

    Args:
        generator: What draws.
        requests: Cell contents and numbers of structures.
        seed: Of the run.
        rounds: How often repeats are drawn anew.
        failed: Gets the draws without a structure, also where another draw took their place.

    Returns:
        `n` proposals for each request.
    """
    drawn: list[list[Proposal]] = [[] for _ in requests]
    kept: list[list[int]] = [[] for _ in requests]
    for _ in range(rounds):
        starts, owners = [], []
        for w, request in enumerate(requests):
            missing = request.n - len(kept[w])
            first = len(drawn[w])
            starts += _starts(request, seed, range(first, first + missing))
            owners += [w] * missing
        if not starts:
            break
        for w, proposal in zip(owners, generator.sample(starts), strict=True):
            drawn[w].append(proposal)
            if failed is not None and proposal.crystal is None:
                failed.append(proposal)
        for w, request in enumerate(requests):
            flags = repeats([p.crystal for p in drawn[w]], request.known)
            kept[w] = [i for i, (p, again) in enumerate(zip(drawn[w], flags, strict=True)) if p.crystal and not again]
    return [_chosen(d, k, w.n) for d, k, w in zip(drawn, kept, requests, strict=True)]


def _starts(request: SampleRequest, seed: int, numbers: range) -> list[SampleStart]:
    atoms = numbers_of(request.composition)
    return [SampleStart(atoms, sample_seed(seed, request.composition, i), None, DE_NOVO) for i in numbers]


def by_density(crystals: Sequence[Crystal], chosen: Sequence[int]) -> list[tuple[int, float]]:
    """Order structures of one cell content by the number of draws that each stands for, likeliest first.

    Each next one stands for the most draws that no earlier one stands for, a draw counting the less the farther its
    fingerprint lies (Gaussian of KERNEL_WIDTH).

    Args:
        crystals: All draws.
        chosen: Positions of those to be ordered.

    Returns:
        (position, number of draws it stands for).
    """
    prints = np.stack([fingerprint(c, slots_of(c.atomic_numbers)) for c in crystals])
    kernel = np.stack([np.exp(-((fingerprint_distance(prints, prints[i]) / KERNEL_WIDTH) ** 2)) for i in chosen])
    left, rest, order = np.ones(len(crystals)), list(range(len(chosen))), []
    while rest:
        votes = kernel[rest] @ left
        best = rest[int(votes.argmax())]
        order.append((chosen[best], float(votes.max())))
        rest.remove(best)
        left *= 1.0 - kernel[best]
    return order


def _chosen(drawn: list[Proposal], kept: list[int], n: int) -> list[Proposal]:
    """The n different structures by density, filled up with repeats and failures in the order they were drawn."""
    there = [i for i, p in enumerate(drawn) if p.crystal is not None]
    crystals = [p.crystal for p in drawn if p.crystal is not None]
    votes = {there[i]: v for i, v in by_density(crystals, [there.index(k) for k in kept])} if kept else {}
    rest = [i for i in range(len(drawn)) if i not in votes]
    rest.sort(key=lambda i: drawn[i].crystal is None)  # a repeat is worth more than nothing
    rows = [*votes, *rest][:n]
    weights = [votes.get(i, 1.0 if drawn[i].crystal else 0.0) for i in rows]
    total = sum(weights) or 1.0
    return [replace(drawn[i], share=w / total) for i, w in zip(rows, weights, strict=True)]
