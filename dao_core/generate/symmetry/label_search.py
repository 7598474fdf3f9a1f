"""The likeliest symmetry labels of a composition by beam search, or labels drawn at a temperature.

Several networks vote: the probability of each step, and that of a whole label, is the mean of theirs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from dao_core.generate.symmetry.label_network import IMPOSSIBLE, LabelNetwork, label_log_probabilities
from dao_core.generate.symmetry.label_tokens import LabelBatch, PartialLabel, Source, encode_label
from dao_core.generate.symmetry.labels import Label, orders_of

BATCH = 512
Composition = tuple[tuple[int, ...], tuple[int, ...]]  # elements in the order of `ordered_elements`, and their counts


class LabelSearchSettings(BaseModel):
    """How thoroughly labels are searched."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    width: int = Field(40, ge=1, description="unfinished labels kept of each composition")
    n: int = Field(20, ge=1, description="labels returned of each composition")
    range: float = Field(8.0, gt=0, description="log probability below the best at which a label is dropped")
    orders: int = Field(4, ge=1, description="orders of the elements over which a label's probability is averaged")
    source: Source = Field(Source.NEAR_HULL, description="kind of structures whose labels are asked for")
    most_per_group: int | None = Field(None, ge=1, description="labels of one space group, for diversity; none: all")


@dataclass(frozen=True)
class ScoredLabel:
    """A canonical label and its log probability given the composition (and the space groups allowed)."""

    label: Label
    log_probability: float


@dataclass(frozen=True)
class _Beam:
    """An unfinished label of composition `row`."""

    row: int
    score: float
    state: PartialLabel


@dataclass(frozen=True)
class Draw:
    """How labels are drawn: probabilities p^(1/temperature) normalised at each step, in some space groups or all."""

    seed: int
    temperature: float = 1.0
    groups: Collection[int] | None = None
    source: Source = Source.NEAR_HULL


class NoSpaceGroupError(ValueError):
    """A composition whose atoms fit on the sites of none of the allowed space groups."""


@torch.no_grad()
def search_labels(
    networks: Sequence[LabelNetwork],
    compositions: Sequence[Composition],
    settings: LabelSearchSettings,
    groups: Collection[int] | None = None,
) -> list[list[ScoredLabel]]:
    """The likeliest labels of each composition by beam search; equivalent letters count together.

    Args:
        networks: Of the labels; their probabilities are averaged.
        compositions: Elements and counts of primitive cells.
        settings: Width of the beam.
        groups: Limits the space groups; probabilities are then those given that limit.

    Returns:
        Labels of each composition, best first; none where it fits none of the groups.
    """
    live = _starts(networks, compositions, settings, groups)
    done: list[dict[Label, float]] = [{} for _ in compositions]
    while live:
        grown: list[tuple[float, _Beam, int]] = []
        for beam, log_probabilities in _next_letters(networks, live):
            grown += [
                (beam.score + float(log_probabilities[k]), beam, int(k))
                for k in np.flatnonzero(log_probabilities > IMPOSSIBLE / 2)
            ]
        live = _pruned(grown, done, settings)
    return [_ranked(_rescored(networks, _best(found, settings), settings), settings) for found in done]


@torch.no_grad()
def sample_labels(
    networks: Sequence[LabelNetwork],
    composition: Composition,
    n: int,
    draw: Draw,
) -> list[Label]:
    """Labels drawn one by one; a draw whose last sites are taken by other elements is dropped.

    Args:
        networks: Of the labels; their probabilities are averaged.
        composition: Elements and counts of the primitive cell.
        n: Draws.
        draw: Source of chance and limits.

    Returns:
        The labels.

    Raises:
        NoSpaceGroupError: The atoms fit on the sites of no allowed space group.
    """
    temperature, rng = draw.temperature, np.random.default_rng(draw.seed)
    state = PartialLabel.start(*composition, draw.source)
    allowed = _limited(state.allowed_groups()[None], draw.groups)[0]
    if not allowed.any():
        raise NoSpaceGroupError(f"no space group's sites hold {composition[1]} atoms of the elements")
    logits = _group_scores(networks, [state], allowed[None])[0]
    picked = rng.choice(len(logits), size=n, p=_softmax(logits / temperature))
    live = [_Beam(i, 0.0, state.with_group(int(g))) for i, g in enumerate(picked)]
    out: list[Label] = []
    while live:
        after = []
        for beam, scores in _next_letters(networks, live):
            if scores.max() < IMPOSSIBLE / 2:
                continue  # the sites left are taken by other elements
            letter = int(rng.choice(len(scores), p=_softmax(scores / temperature)))
            grown = beam.state.with_letter(letter)
            if grown.complete:
                out.append(grown.label())
            else:
                after.append(_Beam(beam.row, 0.0, grown))
        live = after
    return out


@torch.no_grad()
def score_labels(
    networks: Sequence[LabelNetwork], labels: Sequence[Label], source: Source = Source.NEAR_HULL
) -> NDArray[np.float64]:
    """Log probability of labels as they are spelled, given their compositions.

    Args:
        networks: Of the labels; their probabilities are averaged.
        labels: What is scored.
        source: Kind of structures whose labels they are taken for.

    Returns:
        (n,), natural logarithms.
    """
    rows = [encode_label(label, source) for label in labels]
    out = np.zeros(len(rows))
    order = sorted(range(len(rows)), key=lambda i: len(rows[i].tokens))
    for begin in range(0, len(order), BATCH):
        part = order[begin : begin + BATCH]
        chosen = [rows[i] for i in part]
        scores = [torch.stack(label_log_probabilities(n, chosen, [r.tokens for r in chosen])).sum(0) for n in networks]
        out[part] = _mean(scores).numpy()
    return out


def _rescored(
    networks: Sequence[LabelNetwork], found: list[ScoredLabel], settings: LabelSearchSettings
) -> list[ScoredLabel]:
    """Probabilities averaged over orders of the elements, which the network was trained on as well.

    The total over the labels found stays: the network sees no limit of space groups in the other orders.
    """
    if settings.orders == 1 or not found:
        return found
    rng = np.random.default_rng(0)
    spelled = [orders_of(s.label, rng, settings.orders) for s in found]
    scores = iter(score_labels(networks, [label for row in spelled for label in row], settings.source))
    mean = np.array([np.logaddexp.reduce([next(scores) for _ in row]) - np.log(len(row)) for row in spelled])
    mean += np.logaddexp.reduce([s.log_probability for s in found]) - np.logaddexp.reduce(mean)
    return [ScoredLabel(s.label, float(m)) for s, m in zip(found, mean, strict=True)]


def _starts(
    networks: Sequence[LabelNetwork],
    compositions: Sequence[Composition],
    settings: LabelSearchSettings,
    groups: Collection[int] | None,
) -> list[_Beam]:
    states = [PartialLabel.start(*c, settings.source) for c in compositions]
    allowed = np.array([s.allowed_groups() for s in states]).reshape(len(states), -1)
    allowed = _limited(allowed, groups)
    beams = []
    for row, (state, scores) in enumerate(zip(states, _group_scores(networks, states, allowed), strict=True)):
        best = scores.max()
        for group in np.argsort(-scores)[: settings.width]:
            if scores[group] > max(best - settings.range, IMPOSSIBLE / 2):
                beams.append(_Beam(row, float(scores[group]), state.with_group(int(group))))
    return beams


def _limited(allowed: NDArray[np.bool_], groups: Collection[int] | None) -> NDArray[np.bool_]:
    return allowed if groups is None else allowed & np.isin(np.arange(allowed.shape[1]), list(groups))


def _group_scores(
    networks: Sequence[LabelNetwork], states: Sequence[PartialLabel], allowed: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Log probabilities of the space groups, (n, 231)."""
    out = []
    for begin in range(0, len(states), BATCH):
        part = states[begin : begin + BATCH]
        batch, last = _batch(part)
        mask = torch.from_numpy(allowed[begin : begin + BATCH])
        scores = []
        for network in networks:
            hidden, groups, _ = network(batch)
            scores.append(_log_softmax(network.group_logits(hidden[torch.arange(len(part)), last], groups), mask))
        out.append(_mean(scores).masked_fill(~mask, IMPOSSIBLE))
    return torch.cat(out).numpy()


def _next_letters(
    networks: Sequence[LabelNetwork], beams: Sequence[_Beam]
) -> Iterator[tuple[_Beam, NDArray[np.float64]]]:
    """Log probabilities (27,) of the letter that follows each unfinished label."""
    ordered = sorted(beams, key=lambda b: len(b.state.tokens))
    for begin in range(0, len(ordered), BATCH):
        part = ordered[begin : begin + BATCH]
        batch, last = _batch([b.state for b in part])
        number = torch.tensor([b.state.spacegroup_number for b in part])
        mask = torch.from_numpy(np.stack([b.state.allowed_letters() for b in part]))
        scores = []
        for network in networks:
            hidden, _, positions = network(batch)
            logits = network.letter_logits(hidden[torch.arange(len(part)), last], positions, number)
            scores.append(_log_softmax(logits, mask))
        yield from zip(part, _mean(scores).masked_fill(~mask, IMPOSSIBLE).numpy(), strict=True)


def _batch(states: Sequence[PartialLabel]) -> tuple[LabelBatch, torch.Tensor]:
    """Unfinished labels as the networks read them, and the place of each one's last token."""
    rows = [np.array(s.tokens, dtype=np.int64) for s in states]
    return LabelBatch.of(rows, [len(s.elements) + 1 for s in states]), torch.tensor([len(r) - 1 for r in rows])


def _log_softmax(logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return torch.log_softmax(logits.masked_fill(~mask, IMPOSSIBLE), -1)


def _mean(scores: Sequence[torch.Tensor]) -> torch.Tensor:
    """Log of the mean of the networks' probabilities, in double precision."""
    return torch.logsumexp(torch.stack(list(scores)).double(), 0) - float(np.log(len(scores)))


def _pruned(
    grown: list[tuple[float, _Beam, int]], done: list[dict[Label, float]], settings: LabelSearchSettings
) -> list[_Beam]:
    """Finished labels go to `done`; of the others the best of each composition stay."""
    by_row: dict[int, list[tuple[float, _Beam, int]]] = {}
    for item in grown:
        by_row.setdefault(item[1].row, []).append(item)
    live = []
    for row, items in by_row.items():
        items.sort(key=lambda item: -item[0])
        floor = max([items[0][0], *done[row].values()]) - settings.range
        if len(done[row]) >= 2 * settings.n and settings.most_per_group is None:
            floor = max(floor, sorted(done[row].values())[-2 * settings.n])
        for score, beam, letter in items[: settings.width]:
            if score <= floor:
                break
            state = beam.state.with_letter(letter)
            if state.complete:
                label = state.label()
                done[row][label] = float(np.logaddexp(done[row].get(label, -np.inf), score))
            else:
                live.append(_Beam(row, score, state))
    return live


def _best(found: dict[Label, float], settings: LabelSearchSettings) -> list[ScoredLabel]:
    """Twice as many as are wanted, in the order of the beam: averaging moves some of them up."""
    ordered = sorted(found.items(), key=lambda item: (-item[1], str(item[0])))
    most = 2 * settings.n if settings.most_per_group is None else len(ordered)
    return [ScoredLabel(label, score) for label, score in ordered[:most]]


def _ranked(found: list[ScoredLabel], settings: LabelSearchSettings) -> list[ScoredLabel]:
    out: list[ScoredLabel] = []
    taken: Counter[int] = Counter()
    for scored in sorted(found, key=lambda s: (-s.log_probability, str(s.label))):
        number = scored.label.spacegroup_number
        if settings.most_per_group is None or taken[number] < settings.most_per_group:
            taken[number] += 1
            out.append(scored)
    return out[: settings.n]


def _softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    weights = np.exp(scores - scores.max())
    return np.asarray(weights / weights.sum())
