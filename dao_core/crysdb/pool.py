"""Work over shards in processes: results in order, one process of no pool when there is little to do."""

from __future__ import annotations

import multiprocessing
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def ordered_map(work: Callable[[Item], Result], items: Iterable[Item], *, workers: int) -> Iterator[Result]:
    """Work on items over processes, in order, with bounded memory.

    Args:
        work: A function that other processes can import.
        items: Taken as needed: twice as many as processes are in flight.
        workers: Processes; 1 works in this one.

    Yields:
        `work(item)` for each item in order.
    """
    items = iter(items)
    head = list(islice(items, 2))
    if workers <= 1 or len(head) < 2:
        yield from map(work, head)
        yield from map(work, items)
        return
    context = multiprocessing.get_context("spawn")  # fork would copy the locks of arrow's threads
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_quiet) as pool:
        waiting = [pool.submit(work, item) for item in (*head, *islice(items, 2 * workers - 2))]
        try:
            while waiting:
                yield waiting.pop(0).result()
                waiting += [pool.submit(work, item) for item in islice(items, 1)]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _quiet() -> None:
    """In a process of its own: pymatgen warns once for each noble gas that it has no electronegativity."""
    warnings.filterwarnings("ignore", message="No Pauling electronegativity")
