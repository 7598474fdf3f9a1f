"""Stress in six numbers, in nine, or as a virial."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dao_core.readers.base import UnreadableError
from dao_core.readers.tensors import full_tensor, numbers_of, stress_of

FULL = np.array([[1.0, 6, 5], [6, 2, 4], [5, 4, 3]])


@pytest.mark.parametrize(
    "value",
    [
        FULL,
        FULL.tolist(),
        FULL.ravel().tolist(),
        [1, 2, 3, 4, 5, 6],
        "1 2 3 4 5 6",
        "[[1, 6, 5], [6, 2, 4], [5, 4, 3]]",
    ],
)
def test_voigt_and_full_give_one_tensor(value: Any) -> None:
    np.testing.assert_array_equal(full_tensor("stress", value), FULL)


def test_voigt_order_is_that_of_ase() -> None:
    from ase.stress import voigt_6_to_full_3x3_stress

    voigt = np.arange(1.0, 7.0)
    np.testing.assert_array_equal(full_tensor("stress", voigt), voigt_6_to_full_3x3_stress(voigt))


def test_a_virial_becomes_a_stress() -> None:
    found = stress_of({"virial": (-40.0 * FULL).tolist()}, 40.0)
    np.testing.assert_allclose(found, FULL)  # type: ignore[arg-type]
    assert stress_of({"energy": 1}, 40.0) is None
    both = {"stress": FULL.tolist(), "virial": (-40.0 * FULL).tolist()}
    np.testing.assert_allclose(stress_of(both, 40.0), FULL)  # type: ignore[arg-type]
    with pytest.raises(UnreadableError, match="contradict each other"):
        stress_of({**both, "virial": FULL.tolist()}, 40.0)


@pytest.mark.parametrize("value", [[1, 2, 3], [[1, 2, 3], [4, 5, 6], [7, 8, 9]], "a b c", [True] * 6, [None] * 9])
def test_what_is_no_tensor_is_refused(value: Any) -> None:
    with pytest.raises(UnreadableError):
        full_tensor("stress", value)


def test_lists_in_brackets_and_braces() -> None:
    assert numbers_of("x", "{1 2.5 -3e1}").tolist() == [1, 2.5, -30]
