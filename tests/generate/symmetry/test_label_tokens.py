"""Labels as tokens: the rules of what may follow are exact."""

from __future__ import annotations

from itertools import combinations_with_replacement, product

import numpy as np
import pytest

from dao_core.generate.symmetry.label_tokens import (
    LETTER,
    LabelBatch,
    PartialLabel,
    UnlabelledCompositionError,
    encode_label,
)
from dao_core.generate.symmetry.labels import Label
from dao_core.generate.symmetry.wyckoff_tables import LETTERS, multiplicities, repeatable
from tests.helpers.symmetric import labels


def grown(state: PartialLabel) -> list[PartialLabel]:
    """All finished labels that follow."""
    if state.complete:
        return [state]
    return [
        final for letter in np.flatnonzero(state.allowed_letters()) for final in grown(state.with_letter(int(letter)))
    ]


@pytest.mark.parametrize(("number", "counts"), [(221, (1, 1, 3)), (62, (4, 4)), (139, (2, 3)), (47, (2, 2))])
def test_all_labels_are_reached_and_no_other(number: int, counts: tuple[int, ...]) -> None:
    """Every way to place the atoms on the letters, fixed ones once, is spelled exactly once."""
    sizes, free = multiplicities()[number], repeatable()[number]
    fitting = [k for k in range(len(LETTERS)) if sizes[k] <= max(counts)]
    ways = [
        [c for n in range(1, count + 1) for c in combinations_with_replacement(fitting, n)
         if sizes[list(c)].sum() == count]
        for count in counts
    ]  # fmt: skip
    expected = {
        choice
        for choice in product(*ways)
        if all(free[k] or sum(group.count(k) for group in choice) <= 1 for k in fitting)
    }
    found = [s.letters for s in grown(PartialLabel.start((3, 9, 17)[: len(counts)], counts).with_group(number))]
    assert len(found) == len(set(found))
    assert set(found) == expected


def test_groups_are_those_that_hold_every_element() -> None:
    allowed = PartialLabel.start((38, 22, 8), (1, 1, 3)).allowed_groups()
    assert {1, 221} <= set(np.flatnonzero(allowed).tolist())
    assert not allowed[[0, 19, 62, 227]].any()  # no site of these has one atom in the primitive cell


@pytest.mark.parametrize("label", labels(), ids=str)
def test_true_labels_obey_the_rules_and_come_back(label: Label) -> None:
    row = encode_label(label)
    assert row.groups[row.group]
    assert row.masks[np.arange(len(row.letters)), row.letters].all()
    assert len(row.tokens) == row.prefix + len(row.letters)
    state = PartialLabel.start(label.elements, label.counts).with_group(label.spacegroup_number)
    for letter in row.letters.tolist():
        state = state.with_letter(letter)
    assert state.complete
    assert state.label() == label


def test_batches_pad_and_count() -> None:
    rows = [encode_label(x) for x in labels()[:4]]
    batch = LabelBatch.of([r.tokens for r in rows], [r.prefix for r in rows])
    assert batch.total.tolist() == [sum(x.counts) for x in labels()[:4]]
    assert (batch.kind == LETTER).sum(1).tolist() == [len(r.letters) - 1 for r in rows]


def test_too_many_atoms_are_refused() -> None:
    with pytest.raises(UnlabelledCompositionError, match="up to 64 atoms"):
        PartialLabel.start((8,), (65,))
