from __future__ import annotations

import os

import pytest

from dao_core.crysdb.pool import ordered_map


def square(x: int) -> tuple[int, int]:
    return x * x, os.getpid()


def fail(x: int) -> int:
    if x == 3:
        raise ValueError("three")
    return x


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_order(workers: int) -> None:
    assert [r for r, _ in ordered_map(square, iter(range(9)), workers=workers)] == [x * x for x in range(9)]


def test_one_item_needs_no_process() -> None:
    assert [pid for _, pid in ordered_map(square, [5], workers=2)] == [os.getpid()]
    assert list(ordered_map(square, [], workers=2)) == []


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_comes_through(workers: int) -> None:
    with pytest.raises(ValueError, match="three"):
        list(ordered_map(fail, range(6), workers=workers))


def test_items_are_taken_as_needed() -> None:
    taken: list[int] = []

    def items():  # type: ignore[no-untyped-def]
        for i in range(100):
            taken.append(i)
            yield i

    results = ordered_map(square, items(), workers=2)
    next(results)
    assert len(taken) <= 6
    results.close()
