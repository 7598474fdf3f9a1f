"""Train the symmetry label network: examples with exact masks, substituted elements, other element orders."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from dao_core.generate.symmetry.label_network import LabelNetwork, label_log_probabilities
from dao_core.generate.symmetry.label_tokens import FIELDS, EncodedLabel, Source, encode_label
from dao_core.generate.symmetry.labels import Label, orders_of
from dao_core.generate.templates.elements import N_ELEMENTS, substitution_log_odds
from dao_core.training.symmetry_loop import SymmetryTrainingConfig

N_ORDERS = 4  # orders of the elements kept of each structure, its canonical one first
VALIDATED = 1500


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
        """Replace elements at random by ones that behave alike.

        Args:
            elements: Atomic numbers of one structure, (S,).
            chance: Probability of replacing each.
            rng: Source of chance.

        Returns:
            (S,), all different.
        """
        out = elements.copy()
        for k in np.flatnonzero(rng.random(len(elements)) < chance):
            other = int(np.searchsorted(self.cumulated[elements[k]], rng.random()))
            if other < N_ELEMENTS and other not in out:
                out[k] = other
        return out


class LabelExamples:
    """Labels of training structures, each in several orders of its elements, and those of validation."""

    def __init__(
        self,
        train: Sequence[Label],
        sources: Sequence[Source],
        validation: Sequence[Label],
        config: SymmetryTrainingConfig,
    ) -> None:
        rng = np.random.default_rng(config.seed)
        self.config, self.substitution = config, Substitution(train)
        self.rows = [
            [encode_label(x, source) for x in orders_of(label, rng, N_ORDERS)]
            for label, source in zip(train, sources, strict=True)
        ]
        self.held = [encode_label(label) for label in validation[:VALIDATED]]
        self.lengths = np.array([len(r[0].tokens) for r in self.rows])

    def loss(self, network: nn.Module, rows: NDArray[np.int64], rng: np.random.Generator) -> Tensor:
        """Mean negative log likelihood of group and letters."""
        chosen = []
        for k in rows:
            orders = self.rows[k]
            chosen.append(orders[rng.integers(len(orders))] if rng.random() < self.config.reordered else orders[0])
        assert isinstance(network, LabelNetwork)
        tokens = [self._substituted(row, rng) for row in chosen]
        group, letters = label_log_probabilities(network, chosen, tokens)
        return -(group + letters).mean()

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
        assert isinstance(network, LabelNetwork)
        groups: list[float] = []
        letters: list[float] = []
        held = sorted(self.held, key=lambda r: len(r.tokens))
        for begin in range(0, len(held), 250):
            part = held[begin : begin + 250]
            group, letter = label_log_probabilities(network, part, [r.tokens for r in part])
            groups += group.tolist()
            letters += letter.tolist()
        return {"group": -float(np.mean(groups)), "letters": -float(np.mean(letters))}
