"""Train the symmetry label network: examples with exact masks, substituted elements, other element orders."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from dao_core.generate.symmetry.label_network import LabelNetwork
from dao_core.generate.symmetry.label_tokens import ELEMENT, FIELDS, EncodedLabel, LabelBatch, encode_label
from dao_core.generate.symmetry.labels import Label, canonical_letters
from dao_core.generate.templates.elements import N_ELEMENTS, substitution_log_odds
from dao_core.training.symmetry_loop import SymmetryTrainingConfig

N_ORDERS = 4  # orders of the elements kept of each structure, its canonical one first
VALIDATED = 1500
IMPOSSIBLE = -1e9


class Substitution:
    """Which element replaces which, as often as they share a site in the training structures."""

    def __init__(self, labels: Sequence[Label]) -> None:
        slots: dict[tuple[int, tuple[str, ...], int], list[int]] = {}
        seen = np.zeros(N_ELEMENTS)
        for label in labels:
            for place, z in enumerate(label.elements):
                slots.setdefault((label.spacegroup_number, label.letters, place), []).append(z)
                seen[z] += 1
        odds = np.exp(substitution_log_odds(np.array(s) for s in slots.values())) * seen
        np.fill_diagonal(odds, 0.0)
        self.cumulated = (odds / np.maximum(odds.sum(1, keepdims=True), 1e-12)).cumsum(1)

    def draw(self, elements: NDArray[np.int64], chance: float, rng: np.random.Generator) -> NDArray[np.int64]:
        """The elements of one structure, each replaced with the given chance; all stay different."""
        out = elements.copy()
        for k in np.flatnonzero(rng.random(len(elements)) < chance):
            other = int(np.searchsorted(self.cumulated[elements[k]], rng.random()))
            if other < N_ELEMENTS and other not in out:
                out[k] = other
        return out


class LabelExamples:
    """Labels of training structures, each in several orders of its elements, and those of validation."""

    def __init__(self, train: Sequence[Label], validation: Sequence[Label], config: SymmetryTrainingConfig) -> None:
        rng = np.random.default_rng(config.seed)
        self.config, self.substitution = config, Substitution(train)
        self.rows = [[encode_label(x) for x in orders_of(label, rng)] for label in train]
        self.held = [encode_label(label) for label in validation[:VALIDATED]]
        self.lengths = np.array([len(r[0].tokens) for r in self.rows])

    def loss(self, network: nn.Module, rows: NDArray[np.int64], rng: np.random.Generator) -> Tensor:
        """Mean negative log likelihood of group and letters."""
        chosen = []
        for k in rows:
            orders = self.rows[k]
            chosen.append(orders[rng.integers(len(orders))] if rng.random() < self.config.reordered else orders[0])
        tokens = [self._substituted(row, rng) for row in chosen]
        group, letters = label_losses(network, chosen, tokens)
        return (group + letters).mean()

    def _substituted(self, row: EncodedLabel, rng: np.random.Generator) -> NDArray[np.int64]:
        column = FIELDS.index("element")
        old = row.tokens[: row.prefix - 1, column]
        new = self.substitution.draw(old, self.config.substitution, rng)
        if (new == old).all():
            return row.tokens
        table = np.arange(N_ELEMENTS)
        table[old] = new
        tokens = row.tokens.copy()
        tokens[:, column] = table[tokens[:, column]]
        return tokens

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Losses on the rows held out, by name."""
        groups, letters = [], []
        held = sorted(self.held, key=lambda r: len(r.tokens))
        for begin in range(0, len(held), 250):
            part = held[begin : begin + 250]
            group, letter = label_losses(network, part, [r.tokens for r in part])
            groups += group.tolist()
            letters += letter.tolist()
        return {"group": float(np.mean(groups)), "letters": float(np.mean(letters))}


def orders_of(label: Label, rng: np.random.Generator, n: int = N_ORDERS) -> list[Label]:
    """The label with its elements in up to `n` orders, its own first; letters are canonical for each order."""
    size = len(label.elements)
    others = list(permutations(range(size)))[1:] if size <= 5 else [tuple(rng.permutation(size)) for _ in range(n)]
    picked = [others[k] for k in rng.permutation(len(others))[: n - 1]]
    out = [label]
    for order in picked:
        letters = canonical_letters(label.spacegroup_number, tuple(label.letters[k] for k in order))
        out.append(Label(label.spacegroup_number, tuple(label.elements[k] for k in order), letters))
    return out


def label_losses(
    network: nn.Module, rows: Sequence[EncodedLabel], tokens: Sequence[NDArray[np.int64]]
) -> tuple[Tensor, Tensor]:
    """Negative log likelihoods (B,) of the space groups and of all letters of each row."""
    assert isinstance(network, LabelNetwork)
    batch = LabelBatch.of(tokens, [r.prefix for r in rows])
    assert int(batch.kind[:, 0].min()) == ELEMENT
    hidden, groups, positions = network(batch)
    each = torch.arange(len(rows))
    target = torch.tensor([r.group for r in rows])
    allowed = torch.from_numpy(np.stack([r.groups for r in rows]))
    logits = network.group_logits(hidden[each, batch.prefix - 1], groups).masked_fill(~allowed, IMPOSSIBLE)
    group_loss = functional.cross_entropy(logits, target, reduction="none")
    sizes = [len(r.letters) for r in rows]
    row = torch.repeat_interleave(each, torch.tensor(sizes))
    step = torch.cat([r.prefix + torch.arange(n) for r, n in zip(rows, sizes, strict=True)])
    masks = torch.from_numpy(np.concatenate([r.masks for r in rows]))
    letters = torch.from_numpy(np.concatenate([r.letters for r in rows]))
    logits = network.letter_logits(hidden[row, step], positions, target[row]).masked_fill(~masks, IMPOSSIBLE)
    each_letter = functional.cross_entropy(logits, letters, reduction="none")
    return group_loss, torch.zeros(len(rows)).index_add(0, row, each_letter)
