"""Many pairs of structures compared: reductions kept, processes, a time limit for each pair."""

from __future__ import annotations

import ctypes
import signal
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import lru_cache
from multiprocessing import get_context
from types import FrameType

from dao_core.artifacts import content_key
from dao_core.crystal import Crystal
from dao_core.matching.alignment import Cell
from dao_core.matching.rms import Comparison, compare, reduce_crystal

FAILED = ("timeout", "failed")  # reasons that mean "not measured", as against "measured, no match"
CHUNK = 64  # pairs handed to a process at a time
Pair = tuple[Crystal | None, Crystal]


class PairTimeoutError(TimeoutError):
    """A pair took longer than its limit."""


def match_pairs(
    *, predicted: Sequence[Crystal | None], reference: Sequence[Crystal], processes: int = 1, timeout_s: float = 30.0
) -> tuple[list[Comparison], int, int, dict[str, int]]:
    """Compare predicted[i] with reference[i]: values of pymatgen's `get_rms_dist(predicted, reference)`, faster.

    Returns (comparisons, n_ok, n_failed, reasons). Pairs over `timeout_s` and pairs whose process died are failed, with
    reason `timeout` or `failed`; a prediction that is None is measured as `none`. Equal pairs are compared once. Keep
    pairs of one reference together: its reduction is then computed once. `processes` > 1 starts new interpreters, so a
    script needs the usual `if __name__ == "__main__"`.
    """
    if len(predicted) != len(reference):
        raise ValueError(f"{len(predicted)} predictions for {len(reference)} references: give one for each")
    keys = [_pair_key(p, r) for p, r in zip(predicted, reference, strict=True)]
    first = {key: i for i, key in reversed(list(enumerate(keys)))}
    todo = sorted(first.values())
    chunks = [todo[i : i + CHUNK] for i in range(0, len(todo), CHUNK)]
    work = [([(predicted[i], reference[i]) for i in chunk], timeout_s) for chunk in chunks]
    done: dict[str, Comparison] = {}
    for chunk, results in zip(chunks, _run(work, processes), strict=True):
        done |= {keys[i]: result for i, result in zip(chunk, results, strict=True)}
    comparisons = [done[key] for key in keys]
    reasons = Counter(c.reason for c in comparisons)
    n_failed = sum(reasons[r] for r in FAILED)
    return comparisons, len(comparisons) - n_failed, n_failed, dict(reasons)


def _run(work: list[tuple[list[Pair], float]], processes: int) -> Iterator[list[Comparison]]:
    if processes <= 1 or len(work) <= 1:
        for pairs, timeout_s in work:
            yield compare_chunk(pairs, timeout_s)
        return
    context = get_context("spawn")  # a fork of a process that runs torch threads can hang
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        futures = [pool.submit(compare_chunk, pairs, timeout_s) for pairs, timeout_s in work]
        for future, (pairs, _) in zip(futures, work, strict=True):
            try:
                yield future.result()
            except BrokenProcessPool:  # killed from outside (memory, signal): these pairs are counted as failed
                yield [Comparison(None, None, "failed")] * len(pairs)


def compare_chunk(pairs: Sequence[Pair], timeout_s: float) -> list[Comparison]:
    """Compare some pairs in this process."""
    return [_compare_one(predicted, reference, timeout_s) for predicted, reference in pairs]


def _compare_one(predicted: Crystal | None, reference: Crystal, timeout_s: float) -> Comparison:
    if predicted is None:
        return Comparison(None, None, "none")
    try:
        with _time_limit(timeout_s):
            return compare(_reduced(_Key(predicted)), _reduced(_Key(reference)))
    except PairTimeoutError:
        return Comparison(None, None, "timeout")
    except (ValueError, ArithmeticError, IndexError, RuntimeError):  # what degenerate cells raise in the reductions
        return Comparison(None, None, "failed")


class _Key:
    """A crystal that hashes by content, for the cache of reductions."""

    def __init__(self, crystal: Crystal) -> None:
        self.crystal = crystal
        self.key = _crystal_key(crystal)

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and self.key == other.key


@lru_cache(maxsize=4096)
def _reduced(key: _Key) -> Cell:
    return reduce_crystal(key.crystal)


def _crystal_key(crystal: Crystal) -> bytes:
    return crystal.lattice.tobytes() + crystal.frac_coords.tobytes() + crystal.atomic_numbers.tobytes()


def _pair_key(predicted: Crystal | None, reference: Crystal) -> str:
    first = b"" if predicted is None else _crystal_key(predicted)
    return content_key(first=first.hex(), second=_crystal_key(reference).hex())


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Raise PairTimeoutError in the block after `seconds`: by a signal in the main thread, by a timer elsewhere.

    Both act between two Python instructions.
    """
    limit = _signal_limit if threading.current_thread() is threading.main_thread() else _timer_limit
    with limit(seconds):
        yield


@contextmanager
def _signal_limit(seconds: float) -> Iterator[None]:
    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise PairTimeoutError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def _timer_limit(seconds: float) -> Iterator[None]:
    """Signals reach the main thread only; CPython raises an exception in any other thread on request."""
    thread, lock, over = threading.get_ident(), threading.Lock(), threading.Event()

    def stop() -> None:
        with lock:
            if not over.is_set():
                raise_in = ctypes.pythonapi.PyThreadState_SetAsyncExc
                raise_in(ctypes.c_ulong(thread), ctypes.py_object(PairTimeoutError))

    timer = threading.Timer(seconds, stop)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        with lock:  # the timer has not run yet and never will, or its exception arrives with the next call: in here
            over.set()
        timer.cancel()
